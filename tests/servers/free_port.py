"""Prints a free TCP port of loopback, below those that the kernel gives to clients: until the server that it is for has bound it, no
connection of another program takes it by chance."""

import random
import socket

with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
    lowest = int(file.read().split()[0])
while True:
    with socket.socket() as probe:
        port = random.randrange(min(lowest, 32768) - 12000, min(lowest, 32768))
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        print(port)
        break
