"""Draws one attempt's life in microseconds: medians over a chain of 200 `true`s, from the kernel's own trace points.

Needs root, perf and tracefs:  sudo python3 benches/life.py   (writes docs/performance/life.svg)
"""

import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CRONDAG = ROOT / "target/release/crondag"
LINKS = 200
EVENTS = [
    "sched:sched_process_fork", "sched:sched_process_exec", "sched:sched_process_exit",
    "syscalls:sys_enter_fdatasync", "syscalls:sys_exit_fdatasync", "syscalls:sys_enter_sendmsg",
    "syscalls:sys_enter_sendto", "syscalls:sys_exit_recvmsg", "syscalls:sys_exit_recvfrom",
]
# What ends a step: process (driver, shim, bash, reports) and event, in the order in which they follow one another.
STEPS = [
    ("driver", "sys_enter_sendmsg", None),
    ("shim", "sys_exit_recvmsg", "the waiting shim wakes"),
    ("shim", "sched_process_fork", "reads what to do, opens the log"),
    ("bash", "sched_process_exec", "the kernel starts bash"),
    ("bash", "sched_process_exit", "bash runs `true`"),
    ("shim", "sys_enter_sendto", "collects it, writes footer and exit record"),
    ("reports", "sys_exit_recvfrom", "the report reaches the driver"),
    ("driver", "sys_enter_fdatasync", "engine, SQL, journal written"),
    ("driver", "sys_exit_fdatasync", "the disk confirms the commit"),
    ("driver", "sys_enter_sendmsg", "the next task's command and environment"),
]
COLOURS = {"driver": "#3a6ea5", "shim": "#2f7d4f", "bash": "#b9892f", "reports": "#3a6ea5"}


def trace():
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as folder:
        home = Path(folder)
        (home / "dags").mkdir()
        (home / "crondag.toml").write_text('timezone = "UTC"\n')
        tasks = "".join(f'[tasks.t{i}]\nshell = "true"\n' + (f'after = "t{i - 1}"\n' if i else "") for i in range(LINKS))
        (home / "dags/chain.toml").write_text(tasks)
        data = home / "perf.data"
        backfill = [CRONDAG, "--home", home, "backfill", "-s", "2024-01-01", "-e", "2024-01-01", "chain"]
        events = [word for event in EVENTS for word in ("-e", event)]
        subprocess.run(["perf", "record", "-q", "-a", "-o", data, *events, "--", *backfill], check=True, capture_output=True)
        fields = ["-F", "comm,tid,time,event"]
        return subprocess.run(["perf", "script", "-i", data, *fields], check=True, capture_output=True, text=True).stdout


def lives(text):
    """For each attempt the times of its steps, in seconds."""
    driver, at, times = None, 0, []
    for line in text.splitlines():
        match = re.match(r"\s*(\S+)\s+(\d+)\s+([\d.]+):\s+\w+:(\w+):", line)
        if not match:
            continue
        comm, tid, time, event = match[1], int(match[2]), float(match[3]), match[4]
        if event == "sys_enter_sendmsg" and comm == "crondag":
            driver = tid
        who = comm if comm in ("bash", "reports") else "driver" if tid == driver else "shim" if comm == "crondag" else None
        wanted, step, _ = STEPS[at]
        if who != wanted or event != step:
            continue
        times.append(time)
        at += 1
        if at == len(STEPS):
            yield times
            # The request of the next attempt is the end of this one.
            times, at = [time], 1


def main():
    found = list(lives(trace()))
    if len(found) < LINKS // 2:
        sys.exit(f"only {len(found)} whole lives were seen; is the machine busy?")
    steps = []
    for number, (who, _, what) in enumerate(STEPS[1:], 1):
        steps.append((who, what, statistics.median(life[number] - life[number - 1] for life in found) * 1e6))
    total = sum(length for _, _, length in steps)
    font = 'font-family="system-ui, sans-serif" font-size="12"'
    left, width, high = 300, 520, 24
    height = 50 + high * len(steps)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 {height}" width="960" height="{height}" role="img">',
        "<title>One attempt's life</title>",
        f'<rect width="960" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="20" {font} fill="#222">One attempt of `true`: {total:,.0f} µs, medians of {len(found)} in a chain</text>',
    ]
    began = 0.0
    for row, (who, what, length) in enumerate(steps):
        y = 34 + row * high
        x, wide = left + began / total * width, max(2, length / total * width)
        out.append(f'<text x="{left - 10}" y="{y + 13}" text-anchor="end" {font} fill="#222">{what}</text>')
        out.append(f'<rect x="{x:.1f}" y="{y}" width="{wide:.1f}" height="17" rx="2" fill="{COLOURS[who]}"/>')
        out.append(f'<text x="{x + wide + 6:.1f}" y="{y + 13}" {font} fill="#555">{length:,.0f} µs</text>')
        print(f"{length:8.0f} µs  {who if who != 'reports' else 'driver':8s}{what}")
        began += length
    print(f"{total:8.0f} µs")
    out.append("</svg>")
    (ROOT / "docs/performance").mkdir(exist_ok=True)
    (ROOT / "docs/performance/life.svg").write_text("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
