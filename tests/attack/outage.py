#!/usr/bin/env python3
"""Takes from the built binary what it stands on (disks, the database, processes, memory, the mail server), or gives it too
much, and compares what it says, how it exits, what goes on meanwhile, and what is recorded afterwards. Needs root.

    outage.py BINARY [--keep] [FAULT...]

Each fault has a home of its own, with the DAG `d` that is hit and the DAG `other` that must go on."""
import argparse
import contextlib
import glob
import json
import os
import shutil
import socketserver
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback

sys.dont_write_bytecode = True
import check

LONGEST_WAIT = 120
# Nobody else's, so that its processes can be counted.
USER = 61_234
OTHER = "[tasks.a]\nshell = 'echo a > other_a'\n[tasks.b]\nafter = 'a'\nshell = 'echo b > other_b'\n"
BACKFILL = ["backfill", "-s", "2024-01-01", "-e", "2024-01-01"]
# Begins, and ends when it is told to.
WAITING = "echo > begun; until [ -e go ]; do sleep 0.05; done"


class Failure(Exception):
    pass


class Unable(Exception):
    """This machine does not allow the fault to be made."""


def expect(condition, text):
    if not condition:
        raise Failure(text)


def until(what, is_so, longest=LONGEST_WAIT):
    deadline = time.monotonic() + longest
    while not is_so():
        expect(time.monotonic() < deadline, f"waited {longest} s in vain: {what}")
        time.sleep(0.05)


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unable(f"{' '.join(command)}: {done.stderr.strip()}")


class Home:
    def __init__(self, binary, folder, dag, config="", prefix=()):
        self.binary, self.path, self.prefix = binary, folder, prefix
        self.mounts = []
        os.makedirs(f"{folder}/dags")
        self.write("crondag.toml", f"timezone = 'UTC'\nkill_grace = '300ms'\n{config}")
        self.write("dags/d.toml", dag)
        self.write("dags/other.toml", OTHER)

    def write(self, name, text=""):
        with open(f"{self.path}/{name}", "w") as file:
            file.write(text)

    def read(self, name):
        with open(f"{self.path}/{name}", errors="replace") as file:
            return file.read()

    def has(self, name):
        return os.path.exists(f"{self.path}/{name}")

    def start(self, *args, prefix=()):
        command = [*self.prefix, *prefix, self.binary, "--home", self.path, *args]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, errors="replace")

    def crondag(self, *args, code=0, longest=LONGEST_WAIT, prefix=()):
        """Runs it, compares the exit code, gives what it printed and what it complained of."""
        process = self.start(*args, prefix=prefix)
        try:
            out, err = process.communicate(timeout=longest)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise Failure(f"`crondag {' '.join(args)}` took more than {longest} s") from None
        expect(process.returncode == code,
               f"`crondag {' '.join(args)}` exits with {process.returncode} instead of {code}:\n{out[-2000:]}{err[-2000:]}")
        return out, err

    def ends(self, process, code=0, longest=LONGEST_WAIT):
        out, err = process.communicate(timeout=longest)
        expect(process.returncode == code, f"{process.args} exits with {process.returncode} instead of {code}:\n{out}{err}")
        return out, err

    def says(self, *args, code=3, words, next_step):
        """The error in full: its words and the next step are compared."""
        _, err = self.crondag(*args, code=code)
        expected = f"error: {words}\nnext: {next_step}\n"
        expect(err == expected, f"`crondag {' '.join(args)}` says\n{err}instead of\n{expected}")

    def tasks(self, dag="d"):
        out, _ = self.crondag("tasks", dag, "--json")
        return {row["task_id"]: row for row in json.loads(out)}

    def task(self, name, dag="d"):
        row = self.tasks(dag)[name]
        return row["state"], row["reason"] or ""

    def is_task(self, name, state, reason="", dag="d"):
        found = self.task(name, dag)
        expect(found == (state, reason), f"the task {name} is {found} instead of {(state, reason)}")

    def log(self, task, dag="d"):
        return self.crondag("logs", dag, task)[0]

    def other_goes_on(self):
        self.crondag(*BACKFILL, "other")
        expect(self.read("other_a") == "a\n" and self.read("other_b") == "b\n", "the other DAG did not run")

    def driver_lives(self):
        return any("__driver" in line for _, line in check.left_processes(self.path))

    def is_sound(self):
        """Nothing recorded is lost, no process is left."""
        until("the driver is done", lambda: not self.driver_lives())
        self.crondag("db", "check")
        left = list(check.left_processes(self.path))
        expect(not left, f"processes are left: {left}")
        left = os.listdir(f"{self.path}/.crondag/attempts")
        expect(not left, f"attempt files are left: {left}")

    def endings(self, dag="d"):
        database = check.connect(self.path)
        rows = database.execute("SELECT a.ending FROM attempts a JOIN runs r ON r.id = a.run WHERE r.dag_id = ?", [dag])
        endings = [json.loads(row[0]) for row in rows]
        database.close()
        return endings

    def mount(self, name, options):
        os.makedirs(f"{self.path}/{name}", mode=0o700, exist_ok=True)
        run("mount", "-t", "tmpfs", "-o", options, "crondag-outage", f"{self.path}/{name}")
        self.mounts.append(f"{self.path}/{name}")

    def remount(self, name, options):
        run("mount", "-o", f"remount,{options}", f"{self.path}/{name}")

    def fill(self, name):
        """Writes until the disk takes no byte more."""
        with open(f"{self.path}/{name}", "wb", buffering=0) as file:
            for size in [1 << 20, 4096, 1]:
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)):
                        pass

    def tidy(self):
        for _ in range(100):
            left = [int(pid) for pid, _ in check.left_processes(self.path)]
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
            if not left:
                break
            time.sleep(0.05)
        for mount in reversed(self.mounts):
            subprocess.run(["umount", "-l", mount], check=False)


FAULTS = {}


def fault(function):
    FAULTS[function.__name__] = function
    return function


@fault
def log_disk_full(make):
    """The task works on without its log, which says so."""
    home = make("[tasks.a]\nshell = 'yes 0123456789abcdef | head -c 5000000; echo worked > worked; exit 3'\n")
    home.mount(".crondag", "size=30m,mode=700")
    home.mount(".crondag/logs", "size=1m,mode=700")
    home.crondag(*BACKFILL, "d", code=1)
    home.is_task("a", "failed", "exit status 3")
    expect(home.read("worked") == "worked\n", "the task did not work on")
    log = home.log("a")
    expect("0123456789abcdef" in log, f"nothing of the output is there: {log[:300]}")
    words = "\n[crondag] exit status 3\n[crondag] the log is not whole, the disk did not take it: No space left on device (os error 28)\n"
    expect(words in log, f"the log does not say that it was cut: {log[-500:]}")
    home.other_goes_on()
    home.is_sound()


@fault
def log_disk_without_inodes(make):
    """No log can be made at all: tasks run, the driver's log names the disk."""
    home = make("[tasks.a]\nshell = 'echo worked > worked'\n")
    home.mount(".crondag", "size=30m,mode=700")
    home.mount(".crondag/logs", "size=1m,nr_inodes=1,mode=700")
    home.crondag(*BACKFILL, "d")
    expect(home.read("worked") == "worked\n", "the task did not work")
    said = home.read(".crondag/driver.log")
    words = "/.crondag/logs/d/backfill__2024-01-01T00:00:00+00:00: No space left on device (os error 28)"
    expect(f"cannot make the log folder {home.path}{words}" in said, f"the driver says: {said}")
    home.other_goes_on()
    home.is_sound()


@fault
def database_disk_full(make):
    """Nothing new is recorded and so nothing new begins; with space, all goes on where it was."""
    tasks = "".join(f"[tasks.t{n}]\nafter = 'a'\nshell = 'echo t{n} >> ran'\n" for n in range(200))
    home = make(f"[defaults]\nretries = 1000\nretry_delay = '100ms'\n[tasks.a]\nshell = '{WAITING}; echo a >> ran'\n{tasks}")
    home.mount(".crondag", "size=8m,mode=700")
    # Elsewhere, or nobody could read what the driver says.
    os.symlink(f"{home.path}/driver.log", f"{home.path}/.crondag/driver.log")
    backfill = home.start(*BACKFILL, "d")
    until("the task runs", lambda: home.has("begun"))
    home.fill(".crondag/ballast")
    home.says("backfill", "-s", "2023-01-01", "-e", "2025-12-31", "other",
              words="the disk of the database .crondag/crondag.db is full", next_step="free some space; nothing recorded is lost")
    home.crondag("runs", "d")
    home.write("go")
    until("the task has ended", lambda: home.has("ran"))
    words = ["the database does not take changes, trying again", "the disk of the database .crondag/crondag.db is full"]
    until("the driver tries again", lambda: all(part in home.read("driver.log") for part in words))
    expect(backfill.poll() is None, "the backfill did not wait")
    os.remove(f"{home.path}/.crondag/ballast")
    home.ends(backfill)
    ran = home.read("ran").split()
    expect(sorted(ran) == sorted(["a", *(f"t{n}" for n in range(200))]), f"ran {len(ran)} times: {ran}")
    home.other_goes_on()
    home.is_sound()


@fault
def state_folder_read_only(make):
    """Each command says so and changes nothing; writable again, all goes on."""
    home = make("[tasks.a]\nshell = 'echo a >> ran'\n")
    home.mount(".crondag", "size=30m,mode=700")
    home.crondag(*BACKFILL, "d")
    home.is_sound()
    home.remount(".crondag", "ro")
    path = f"{home.path}/.crondag/crondag.db"
    home.write("dags/d.toml", "[tasks.a]\nshell = 'echo again >> ran'\n")
    for command in [["tick"], [*BACKFILL, "other"], ["trigger", "d"], ["pause", "d"], ["runs", "d"]]:
        home.says(*command, words=f"the disk of the database {path} is mounted read-only",
                  next_step="look why with `dmesg`, then mount it writable again; nothing recorded is lost")
    home.remount(".crondag", "rw")
    expect(home.read("ran") == "a\n", "something ran")
    home.crondag("tick")
    home.other_goes_on()
    home.is_sound()


@fault
def home_read_only(make):
    """A home that has no state folder and cannot get one."""
    home = make("[tasks.a]\nshell = 'true'\n")
    run("mount", "--bind", home.path, home.path)
    home.mounts.append(home.path)
    run("mount", "-o", "remount,bind,ro", home.path)
    _, err = home.crondag("tick", code=3)
    expect(err == f"error: cannot make the state folder {home.path}/.crondag: Read-only file system (os error 30)\n"
                  f"next: check who owns {home.path}/.crondag and whether the disk is full or read-only\n", err)
    home.crondag("validate")
    run("mount", "-o", "remount,bind,rw", home.path)
    home.other_goes_on()
    home.is_sound()


@fault
def database_locked(make):
    """Another program holds the database for half a minute: running tasks run, writers wait, readers read."""
    home = make(f"order = ['a >> b']\n[tasks.a]\nshell = '{WAITING}; echo a >> ran'\n[tasks.b]\nshell = 'echo b >> ran'\n")
    backfill = home.start(*BACKFILL, "d")
    until("the task runs", lambda: home.has("begun"))
    locker = sqlite3.connect(f"{home.path}/.crondag/crondag.db", isolation_level=None)
    locker.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    home.write("go")
    home.write("dags/new.toml", OTHER)
    waiting = [home.start("tick"), home.start(*BACKFILL, "other")]
    until("the task has ended", lambda: home.has("ran"))
    home.crondag("runs", "d", longest=20)
    home.is_task("a", "running")
    time.sleep(max(0, 30 - (time.monotonic() - began)))
    expect(all(process.poll() is None for process in [backfill, *waiting]), "one did not wait")
    expect(home.read("ran") == "a\n", "the next task began before the end of the first was recorded")
    locker.execute("ROLLBACK")
    locker.close()
    for process in [backfill, *waiting]:
        _, err = home.ends(process)
        expect("error" not in err, err)
    expect(home.read("ran") == "a\nb\n" and home.read("other_b") == "b\n", "not all ran, or twice")
    home.is_sound()


@fault
def process_table_full(make):
    """A user who may have few processes: what cannot be started says why and is tried again; nothing leaks."""
    # One process each, waiting by a builtin: a bash that cannot fork tries for 15 s.
    tasks = "".join(f"[tasks.t{n}]\nshell = 'echo t{n} >> ran; read -r _ < gate'\n" for n in range(20))
    user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    home = make("[defaults]\nretries = 1000\nretry_delay = '200ms'\n" + tasks, config="parallelism = 20\n", prefix=user)
    os.mkfifo(f"{home.path}/gate")
    for path in [home.path, *glob.glob(f"{home.path}/**", recursive=True)]:
        os.chown(path, USER, USER)
    backfill = home.start(*BACKFILL, "d", prefix=["prlimit", "--nproc=16"])
    log = ".crondag/driver.log"
    until("the limit is reached", lambda: home.has(log) and "the process table is full" in home.read(log))
    with open(f"{home.path}/gate", "r+b", buffering=0) as gate:
        gate.write(b"\n" * 20)
        home.ends(backfill)
    ran = home.read("ran").split()
    expect(sorted(ran) == sorted(f"t{n}" for n in range(20)), f"not each ran once: {ran}")
    reasons = {ending["reason"] for ending in home.endings() if ending["how"] == "not_started"}
    allowed = {"the process table is full (see `ulimit -u`)", "cannot start /bin/bash: the process table is full (see `ulimit -u`)"}
    expect(reasons <= allowed, f"other reasons: {reasons - allowed}")
    one = ["prlimit", "--nproc=1"]
    until("the driver is done", lambda: not home.driver_lives())
    _, err = home.crondag(*BACKFILL, "other", code=3, prefix=one)
    expect(err == "error: cannot start the driver: Resource temporarily unavailable (os error 11)\n"
                  "next: check the limit of processes (`ulimit -u`) and the free memory\n"
                  "next: what you asked for is recorded; `crondag tick` starts the driver and carries it out\n", err)
    home.write("dags/d.toml", f"[tasks.a]\nshell = '{WAITING}'\n")
    os.chown(f"{home.path}/dags/d.toml", USER, USER)
    backfill = home.start("backfill", "-s", "2024-01-02", "-e", "2024-01-02", "d")
    until("the task runs", lambda: home.has("begun"))
    _, err = home.crondag("backfill", "-s", "2024-01-02", "-e", "2024-01-02", "other", code=3, prefix=one)
    expect(err == "error: cannot watch for Ctrl-C: Resource temporarily unavailable (os error 11)\n"
                  "next: what you asked for is recorded and runs; check the limits (`ulimit -a`), then type the same again to watch\n", err)
    home.write("go")
    home.ends(backfill)
    home.other_goes_on()
    home.is_sound()
    until("no process of the user is left", lambda: all(owner(pid) != USER for pid in filter(str.isdigit, os.listdir("/proc"))))


def owner(pid):
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None


@contextlib.contextmanager
def memory_limit():
    """A shell line that puts the shell under a limit of 64 MB that the OOM killer enforces, or at least `ulimit -v`."""
    name = f"crondag-outage-{os.getpid()}"
    for root, limit in [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/unified", "memory.max"),
                        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")]:
        folder = f"{root}/{name}"
        try:
            os.mkdir(folder)
        except OSError:
            continue
        try:
            # A new control group has this file only where there is a controller of memory.
            if os.path.exists(f"{folder}/{limit}"):
                with open(f"{folder}/{limit}", "w") as file:
                    file.write(str(64 << 20))
                print(f"    by the OOM killer, {folder}/{limit}")
                yield f"echo $$ > {folder}/cgroup.procs", True
                return
        finally:
            until("the control group is empty", lambda: remove(folder))
    print("    there is no control group for memory here: by `ulimit -v`")
    yield "ulimit -v 65536", False


def remove(folder):
    with contextlib.suppress(OSError):
        os.rmdir(folder)
    return not os.path.exists(folder)


@fault
def out_of_memory(make):
    """The OOM killer ends the task itself, or a program of it; both are named, and what it left is ended."""
    with memory_limit() as (limit, by_killer):
        hog = "python3 -c \"print(len(bytearray(300 << 20)))\""
        home = make(f"[tasks.itself]\nshell = '''\n{limit}\nexec {hog}\n'''\n"
                    f"[tasks.program]\nshell = '''\n{limit}\nsleep 3600 &\n{hog}\nexit $?\n'''\n[tasks.fine]\nshell = 'true'\n")
        home.crondag(*BACKFILL, "d", code=1)
        if by_killer:
            home.is_task("itself", "failed", "killed by signal 9 SIGKILL (out of memory? see `dmesg`)")
            home.is_task("program", "failed", "exit status 137: a program of it was killed by signal 9 SIGKILL (out of memory? see `dmesg`)")
            expect("[crondag] ended 1 process that it had left behind\n" in home.log("program"), home.log("program"))
        else:
            home.is_task("itself", "failed", "exit status 1")
            expect("MemoryError" in home.log("itself"), home.log("itself"))
        home.is_task("fine", "success")
        home.other_goes_on()
        home.is_sound()


@fault
def log_of_5_gb(make):
    """One task prints 5 GB: its head and tail are kept, what is left out is stated."""
    home = make("[tasks.a]\nshell = 'echo first; head -c 5G /dev/zero | tr \"\\\\0\" x; echo; echo last'\n",
                config="[logs]\nmax_size = '20MB'\n")
    home.crondag(*BACKFILL, "d", longest=300)
    home.is_task("a", "success")
    [path] = glob.glob(f"{home.path}/.crondag/logs/d/*/a.1.log")
    size = os.path.getsize(path)
    expect(size < 20 * 1024 * 1024 + 4096, f"the log has {size} bytes")
    log = home.read(os.path.relpath(path, home.path))
    expect("\nfirst\nxxxx" in log and "xxxx\nlast\n[crondag] exit status 0\n" in log.replace("\n\n", "\n"), log[-300:])
    expect("\n[crondag] 5.0 GB left out here: the log has reached its max_size\n" in log, "the cut is not stated")
    home.other_goes_on()
    home.is_sound()


@fault
def garbage_in_the_log(make):
    """Binary output passes as it is; every command and the mail about it cope."""
    home = make("[defaults]\nemail = ['a@example.com']\n[tasks.a]\nshell = 'head -c 3000000 /dev/urandom | tee garbage; exit 4'\n",
                config="[email]\nfrom = 'crondag@example.com'\ntransport = 'folder'\npath = 'mail'\n")
    home.crondag(*BACKFILL, "d", code=1)
    home.is_task("a", "failed", "exit status 4")
    [path] = glob.glob(f"{home.path}/.crondag/logs/d/*/a.1.log")
    with open(path, "rb") as log, open(f"{home.path}/garbage", "rb") as garbage:
        expect(garbage.read() in log.read(), "the log holds something else than what was printed")
    home.crondag("logs", "d", "a")
    home.crondag("diagnose", "d", "a")
    until("the mail is there", lambda: len(glob.glob(f"{home.path}/mail/*.eml")) == 1)
    home.other_goes_on()
    home.is_sound()


class Mailbox(socketserver.StreamRequestHandler):
    """As much of SMTP as a client needs to deliver."""

    def handle(self):
        self.say("220 ready")
        while line := self.rfile.readline():
            verb = line.split(b" ")[0].strip().upper()
            if verb == b"DATA":
                self.say("354 go on")
                lines = iter(self.rfile.readline, b".\r\n")
                self.server.mails.append(b"".join(lines).decode(errors="replace"))
            self.say("250 done")
            if verb == b"QUIT":
                return

    def say(self, text):
        self.wfile.write(f"{text}\r\n".encode())


class Silent(socketserver.BaseRequestHandler):
    """Accepts and says nothing."""

    def handle(self):
        self.server.mails.append("")
        while self.request.recv(1 << 16):
            pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False


@contextlib.contextmanager
def server(handler, port=0):
    with Server(("127.0.0.1", port), handler) as listening:
        listening.mails = []
        threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield listening
        listening.shutdown()


@fault
def mail_server_hangs(make):
    """Tasks go on, the mail waits and is delivered once the server speaks again."""
    with server(Silent) as silent:
        port = silent.server_address[1]
        config = f"[email]\nfrom = 'crondag@example.com'\nhost = '127.0.0.1'\nport = {port}\ntls = 'none'\ntimeout = '2s'\n"
        dag = "[defaults]\nemail = ['a@example.com']\n[tasks.a]\nshell = 'exit 3'\n[tasks.b]\nafter = 'a'\ntrigger_rule = 'all_done'\nshell = 'echo b > b'\n"
        home = make(dag, config=config)
        home.crondag(*BACKFILL, "d", code=1)
        until("the driver has tried", lambda: silent.mails)
        home.other_goes_on()
        words = f"the mail server 127.0.0.1:{port} did not answer in time"
        until("the driver says so", lambda: words in home.read(".crondag/driver.log"))
        expect(home.driver_lives(), "the driver has not waited")
    with server(Mailbox, port) as mailbox:
        until("the mail is delivered", lambda: mailbox.mails)
        until("the driver is done", lambda: not home.driver_lives())
        expect(len(mailbox.mails) == 1, f"{len(mailbox.mails)} mails")
        expect("d" in mailbox.mails[0] and "exit status 3" in mailbox.mails[0], mailbox.mails[0])
    home.is_sound()


@fault
def ten_thousand_tasks(make):
    """One DAG of 10,000 tasks, in 100 layers of 100."""
    lines = []
    for n in range(10_000):
        after = "" if n < 100 else f"after = ['t{n - 100}', 't{(n - 99) if n % 100 != 99 else n - 199}']\n"
        lines.append(f"[tasks.t{n}]\n{after}shell = 'exit 0'\n")
    home = make("".join(lines))
    home.crondag("validate")
    began = time.monotonic()
    home.crondag(*BACKFILL, "d", longest=600)
    print(f"    10,000 tasks in {time.monotonic() - began:.0f} s")
    tasks = home.tasks()
    expect(len(tasks) == 10_000 and all(row["state"] == "success" for row in tasks.values()), "not all are a success")
    expect(len(home.endings()) == 10_000, "not one attempt each")
    home.other_goes_on()
    home.is_sound()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("faults", nargs="*", metavar="FAULT")
    parser.add_argument("--keep", action="store_true", help="keep the homes of faults that fail")
    args = parser.parse_args()
    if os.geteuid() != 0:
        print("error: the faults of disks and limits need root\nnext: run this again with sudo")
        return 3
    wanted = args.faults or list(FAULTS)
    folder = os.path.realpath(tempfile.mkdtemp(prefix="crondag-outage."))
    os.chmod(folder, 0o755)
    # Where any user may run it.
    binary = shutil.copy2(args.binary, f"{folder}/crondag")
    failed, unable = [], []
    for name in wanted:
        homes = []

        def make(*given, **named):
            homes.append(Home(binary, f"{folder}/{name}", *given, **named))
            return homes[-1]

        began = time.monotonic()
        print(f"{name}: {FAULTS[name].__doc__.splitlines()[0]}", flush=True)
        try:
            FAULTS[name](make)
            outcome = "ok"
        except Unable as error:
            unable.append(name)
            outcome = f"UNABLE: {error}"
        except (Failure, subprocess.SubprocessError, OSError, KeyError, ValueError) as error:
            failed.append(name)
            at = traceback.extract_tb(error.__traceback__)
            line = next(frame.lineno for frame in at if frame.name == name)
            outcome = f"FAILED at line {line}: {type(error).__name__}: {error}"
        finally:
            for home in homes:
                home.tidy()
                if name not in failed or not args.keep:
                    shutil.rmtree(home.path, ignore_errors=True)
        print(f"  {time.monotonic() - began:.1f} s: {outcome}", flush=True)
    if not (failed and args.keep):
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{len(wanted)} faults, {len(failed)} failed, {len(unable)} could not be made here")
    if failed or unable:
        print(f"next: outage.py --keep BINARY {' '.join(failed + unable)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
