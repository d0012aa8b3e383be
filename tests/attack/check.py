"""Compares what the attempts themselves wrote (out/) with the database, without any code of crondag's.

check(binary, home) gives a list of (code, text), empty when every promise was kept, and a line of facts. The binary is
used for one thing only, `db check`."""
import fcntl
import glob
import json
import os
import sqlite3
import subprocess
from collections import Counter
from datetime import datetime, timezone

POOL = 2
# Where control groups of version 2 are mounted, if they are.
CGROUPS = ["/sys/fs/cgroup/unified"] if os.path.isdir("/sys/fs/cgroup/unified") else ["/sys/fs/cgroup"]


def is_at_rest(home):
    """Whether all runs have ended and every attempt's end is recorded."""
    database = connect(home)
    try:
        queries = [
            "SELECT count(*) FROM runs WHERE state IN ('queued', 'running')",
            "SELECT count(*) FROM attempts WHERE ended_at IS NULL",
            "SELECT count(*) FROM intents",
        ]
        return all(database.execute(query).fetchone()[0] == 0 for query in queries)
    finally:
        database.close()


def connect(home):
    database = sqlite3.connect(f"{home}/.crondag/crondag.db", timeout=60)
    database.row_factory = sqlite3.Row
    return database


def attempts_by_themselves(home):
    """(dag, date, task, try) -> the lines that the attempt wrote."""
    found = {}
    for path in glob.glob(f"{home}/out/*"):
        dag, day, task, number = os.path.basename(path).split(".")
        with open(path) as file:
            found[dag, day, task, int(number)] = [line.split() for line in file.read().splitlines()]
    return found


def day_of(micros):
    return datetime.fromtimestamp(micros / 1e6, timezone.utc).strftime("%Y-%m-%d")


def has_live_process(path):
    with open(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
        except BlockingIOError:
            return True


def left_processes(home):
    """Live processes that carry the home in their environment, or are named after it."""
    wanted = f"CRONDAG_HOME={home}".encode()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                is_ours = wanted in file.read().split(b"\0")
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                line = file.read().split(b"\0")
        except OSError:
            continue  # it ended meanwhile
        if is_ours or (len(line) > 2 and line[1] == b"__driver" and line[2].decode() == home):
            yield pid, b" ".join(line).decode(errors="replace")


def left_groups():
    """Control groups of attempts that still hold a process, though the spawner that numbered them is gone."""
    for root in CGROUPS:
        for path in glob.glob(f"{root}/**/crondag-attempt-*", recursive=True):
            pid, ticks = path.rsplit("crondag-attempt-", 1)[1].split("-")[:2]
            try:
                with open(f"{path}/cgroup.events") as file:
                    is_populated = "populated 1" in file.read()
            except FileNotFoundError:
                continue  # it was removed meanwhile
            try:
                with open(f"/proc/{pid}/stat") as file:
                    is_numbered = file.read().rsplit(")", 1)[1].split()[19] == ticks
            except FileNotFoundError:
                is_numbered = False
            if is_populated and not is_numbered:
                yield path


def check(binary, home):
    problems = []
    told = attempts_by_themselves(home)
    with open(f"{home}/expected.json") as file:
        expected = json.load(file)
    database = connect(home)
    runs = {}
    for run in database.execute("SELECT * FROM runs"):
        runs.setdefault((run["dag_id"], day_of(run["logical_date"])), []).append(run)

    wanted = {(dag, day) for dag, days in expected.items() for day in days}
    problems += [("missing-run", f"{dag} {day}") for dag, day in sorted(wanted - set(runs))]
    problems += [("unasked-run", f"{dag} {day}") for dag, day in sorted(set(runs) - wanted)]
    problems += [("run-twice", f"{key}: {len(rows)} runs") for key, rows in runs.items() if len(rows) > 1]
    unfinished = [(key, run["state"]) for key, rows in runs.items() for run in rows if run["state"] not in ("success", "failed")]
    problems += [("unfinished-run", f"{key} is {state}") for key, state in unfinished]

    recorded = {}
    query = """SELECT a.*, r.dag_id, r.logical_date, t.state, t.try_number AS tries, r.state AS run_state
               FROM attempts a JOIN runs r ON r.id = a.run JOIN task_instances t ON t.run = a.run AND t.task_id = a.task_id"""
    for row in database.execute(query):
        key = (row["dag_id"], day_of(row["logical_date"]), row["task_id"], row["try_number"])
        recorded[key] = (row, json.loads(row["ending"]) if row["ending"] else None)

    for key, lines in told.items():
        starts = [line for line in lines if line[0] == "start"]
        if len(starts) > 1:
            problems.append(("started-twice", f"{key}"))
        problems += [("overlap", f"{key} began while try {line[1]} had a live process") for line in lines if line[0] == "overlap"]
        if key not in recorded:
            problems.append(("unrecorded-start", f"{key}"))
    for key, (row, ending) in recorded.items():
        lines = told.get(key, [])
        if ending is None:
            problems.append(("open-attempt", f"{key} has no end"))
            continue
        if ending["how"] == "signaled":
            problems.append(("killed-task", f"{key} ended by signal {ending['signal']}, which nobody sent"))
        if ending["how"] == "exited":
            if ["end", str(ending["code"])] not in lines:
                problems.append(("invented-end", f"{key}: the database has {ending}, the attempt wrote {lines}"))
            if ending["code"] == 0 and (row["tries"] != key[3] or row["state"] != "success"):
                problems.append(("success-not-kept", f"{key} exited with 0, but {row['state']} after try {row['tries']}"))
    query = """SELECT r.dag_id, r.logical_date, t.* FROM task_instances t JOIN runs r ON r.id = t.run"""
    instances = database.execute(query).fetchall()
    states = Counter(instance["state"] for instance in instances)
    for instance in instances:
        key = (instance["dag_id"], day_of(instance["logical_date"]), instance["task_id"], instance["try_number"])
        if instance["state"] not in ("success", "failed", "skipped", "upstream_failed"):
            problems.append(("unfinished-task", f"{key} is {instance['state']}"))
        if instance["state"] == "success":
            ending = recorded.get(key, (None, None))[1]
            if ending != {"how": "exited", "code": 0}:
                problems.append(("success-without-exit-0", f"{key}: {ending}"))

    moments = []
    for key, (row, ending) in recorded.items():
        if key[0] == "pooled" and row["ended_at"] is not None:
            moments += [(row["started_at"], 1), (row["ended_at"], -1)]
    running = 0
    for _, change in sorted(moments):
        running += change
        if running > POOL:
            problems.append(("pool", f"{running} attempts at once in a pool of {POOL}"))
            break

    problems += [("live-process", f"of attempt {path}") for path in glob.glob(f"{home}/out/*") if has_live_process(path)]
    problems += [("live-process", f"{pid} {line}") for pid, line in left_processes(home)]
    problems += [("left-group", path) for path in left_groups()]
    lost = sum(1 for _, ending in recorded.values() if ending and ending["how"] == "lost")
    facts = f"{len(runs)} runs, {len(recorded)} attempts ({lost} lost), {len(told)} began; tasks: {dict(states)}"
    integrity = database.execute("PRAGMA integrity_check").fetchone()[0]
    if integrity != "ok":
        problems.append(("unsound", integrity))
    database.close()
    checked = subprocess.run([binary, "--home", home, "db", "check"], capture_output=True, text=True)
    if checked.returncode != 0:
        problems.append(("unsound", checked.stdout + checked.stderr))
    return problems, facts
