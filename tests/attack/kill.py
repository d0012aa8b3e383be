#!/usr/bin/env python3
"""Attacks the built binary: kills driver, spawner, shims, ticks and clients of one home with -9, at random, while a mixed
load runs; then lets the load end and has check.py compare what the tasks wrote with what the database says.

    kill.py BINARY [--seed N] [--kills 300] [--keep]

The seed fixes what is drawn (the scheduling of the machine is not repeatable, so neither is the attack as a whole)."""
import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import date, timedelta

sys.dont_write_bytecode = True
import check
import forge

FIRST = date(2024, 1, 1)
TICKED_DAYS = 25
CHUNK = 3
KINDS = ["driver", "spawner", "shim", "tick", "client"]

CONFIG = "timezone = 'UTC'\nkill_grace = '300ms'\nparallelism = 8\n[pools]\nnarrow = 2\n"

# Every process of an attempt inherits the locked descriptor 9: while the lock is held, one of them lives.
ATTEMPT = r"""
prefix=$CRONDAG_HOME/out/$CRONDAG_DAG_ID.$CRONDAG_DS.$CRONDAG_TASK_ID
exec 9>> "$prefix.$CRONDAG_TRY_NUMBER"
flock -n 9 || echo overlap itself >&9
echo start $EPOCHREALTIME >&9
for earlier in "$prefix".*; do
  [ "$earlier" = "$prefix.$CRONDAG_TRY_NUMBER" ] || flock -n "$earlier" true || echo "overlap ${earlier##*.}" >&9
done
ends() { echo end "$1" >&9; exit "$1"; }
"""

DEFAULTS = "[defaults]\nretries = 200\nretry_delay = '50ms'\n"


def task(name, script, more=""):
    return f"[tasks.{name}]\n{more}shell = '''\n. jobs/attempt.sh\n{script}\n'''\n"


TICKED = (
    f"schedule = '@daily'\nstart_date = {FIRST}\nend_date = {FIRST + timedelta(TICKED_DAYS - 1)}\ncatchup = true\n"
    "max_active_runs = 2\norder = ['first >> [left, right] >> last']\n" + DEFAULTS
    + "".join(task(name, "sleep 0.2; ends 0") for name in ["first", "left", "right", "last"])
)
LONG = "max_active_runs = 2\n" + DEFAULTS + task("sleeper", "sleep 2; ends 0") + task(
    "after", "sleep 0.3; ends 0", "after = 'sleeper'\n")
FLAKY = "max_active_runs = 3\n" + DEFAULTS + task("third_time", "[ $CRONDAG_TRY_NUMBER -gt 2 ] || ends 3; ends 0") + task(
    "doomed", "sleep 0.1; ends 7", "retries = 1\n") + task("after", "ends 0", "after = 'third_time'\n")
# Double fork and a session of their own; one ignores TERM, one lets go of the descriptor.
DAEMONS = "max_active_runs = 2\n" + DEFAULTS + task("leaves_two", r"""
(setsid bash -c 'trap "" TERM; sleep 3600 & wait; sleep 3600' < /dev/null > /dev/null 2>&1 &)
(setsid bash -c 'exec 9>&-; (exec sleep 3600) & exec sleep 3600' < /dev/null > /dev/null 2>&1 &)
sleep 0.3; ends 0""")
POOLED = "max_active_runs = 3\n" + DEFAULTS + "".join(
    task(f"p{number}", "sleep 0.3; ends 0", "pool = 'narrow'\n") for number in range(4))
BACKFILLED = {"long": LONG, "flaky": FLAKY, "daemons": DAEMONS, "pooled": POOLED}


class Attack:
    def __init__(self, binary, home, rng):
        self.binary, self.home, self.rng = binary, home, rng
        self.kills = Counter()
        self.clients = []  # (process, chunk)
        self.open = []  # chunks whose client was killed
        self.next_day = dict.fromkeys(BACKFILLED, FIRST)
        self.expected = {"ticked": [str(FIRST + timedelta(day)) for day in range(TICKED_DAYS)]}
        self.complaints = []

    def crondag(self, *args):
        with open(f"{self.home}/said.log", "a") as said:
            return subprocess.Popen([self.binary, "--home", self.home, *args], stdin=subprocess.DEVNULL, stdout=said, stderr=said)

    def make_home(self):
        for folder in ["dags", "jobs", "out"]:
            os.makedirs(f"{self.home}/{folder}")
        files = {"crondag.toml": CONFIG, "jobs/attempt.sh": ATTEMPT, "dags/ticked.toml": TICKED}
        files.update({f"dags/{dag}.toml": text for dag, text in BACKFILLED.items()})
        for name, text in files.items():
            with open(f"{self.home}/{name}", "w") as file:
                file.write(text)

    def ask(self):
        """Starts a backfill: one whose client was killed again, or of the next days."""
        if self.open:
            chunk = self.open.pop(self.rng.randrange(len(self.open)))
        else:
            # Each once before any twice: a short attack must have something of all.
            dag = self.rng.choice(sorted(set(BACKFILLED) - set(self.expected)) or sorted(BACKFILLED))
            first = self.next_day[dag]
            self.next_day[dag] += timedelta(CHUNK)
            self.expected.setdefault(dag, []).extend(str(first + timedelta(day)) for day in range(CHUNK))
            chunk = (dag, str(first), str(first + timedelta(CHUNK - 1)))
        self.clients.append((self.backfill(chunk), chunk))

    def backfill(self, chunk):
        dag, first, last = chunk
        return self.crondag("backfill", "-s", first, "-e", last, dag)

    def collect(self):
        for entry in list(self.clients):
            process, chunk = entry
            code = process.poll()
            if code is None:
                continue
            self.clients.remove(entry)
            if code not in (0, 1):
                self.complaints.append(f"the backfill of {chunk} ended with {code}")
                self.open.append(chunk)

    def targets(self):
        """Processes of this home by kind."""
        found = {"driver": [], "shim": [], "spawner": []}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    line = file.read().split(b"\0")
                if len(line) < 2 or not line[1].startswith(b"__"):
                    continue
                if line[1] == b"__driver" and line[2].decode() == self.home:
                    found["driver"].append(int(pid))
                elif line[1] == b"__shim" and os.readlink(f"/proc/{pid}/fd/1").startswith(self.home + "/"):
                    found["shim"].append(int(pid))
                elif line[1] == b"__spawner":
                    found["spawner"].append(int(pid))
            except OSError:
                continue  # it ended meanwhile
        # A task that has not become its program yet looks like its shim; a task is not what is killed here.
        found["shim"] = [pid for pid in found["shim"] if parent(pid) not in found["shim"]]
        # A spawner is a child of this home's driver; its spare shim is a child of the spawner.
        own = [pid for pid in found["spawner"] if parent(pid) in found["driver"]]
        found["spawner"] = own + [pid for pid in found["spawner"] if parent(pid) in own]
        return found

    def kill_one(self):
        kind = min(KINDS, key=lambda kind: self.kills[kind] + self.rng.random() * 12)
        if kind == "tick":
            tick = self.crondag("tick")
            time.sleep(self.rng.uniform(0, 0.03))
            if tick.poll() is None:
                tick.kill()
                self.kills["tick"] += 1
            tick.wait()
        elif kind == "client":
            living = [entry for entry in self.clients if entry[0].poll() is None]
            if living:
                entry = self.rng.choice(living)
                entry[0].kill()
                entry[0].wait()
                self.clients.remove(entry)
                self.open.append(entry[1])
                self.kills["client"] += 1
        else:
            pids = self.targets()[kind]
            if pids:
                try:
                    os.kill(self.rng.choice(pids), 9)
                    self.kills[kind] += 1
                except ProcessLookupError:
                    pass

    def tick(self):
        code = self.crondag("tick").wait(timeout=120)
        if code != 0:
            self.complaints.append(f"a tick ended with {code}")

    def run(self, kills):
        self.make_home()
        while self.kills.total() < kills:
            self.collect()
            while len(self.clients) < 3:
                self.ask()
            time.sleep(self.rng.uniform(0.01, 0.25))
            self.kill_one()
            if self.rng.random() < 0.7:
                self.tick()
        with open(f"{self.home}/expected.json", "w") as file:
            json.dump(self.expected, file)

    def come_to_an_end(self, longest):
        """Without any more violence. Gives whether everything ended."""
        deadline = time.monotonic() + longest
        while self.clients or self.open:
            self.collect()
            if self.open:
                chunk = self.open.pop()
                self.clients.append((self.backfill(chunk), chunk))
            if time.monotonic() > deadline:
                for process, _ in self.clients:
                    process.kill()
                return False
            self.tick()
            time.sleep(0.2)
        while True:
            self.tick()
            if check.is_at_rest(self.home) and not any(self.targets().values()):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)


def parent(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--keep", action="store_true", help="keep the home")
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    home = os.path.realpath(tempfile.mkdtemp(prefix="crondag-kill."))
    attack = Attack(os.path.abspath(args.binary), home, random.Random(args.seed))
    attack.run(args.kills)
    print(f"{attack.kills.total()} kills: " + ", ".join(f"{attack.kills[kind]} {kind}" for kind in KINDS), flush=True)
    ended = attack.come_to_an_end(120)
    problems = [("end", "not everything came to an end within 120 s")] * (not ended)
    problems += [("client", text) for text in attack.complaints]
    problems += [("kills", f"no {kind} was killed") for kind in KINDS if attack.kills[kind] == 0 and args.kills >= 50]
    found, facts = check.check(attack.binary, home)
    problems += found
    print(facts)
    if not problems:
        problems = forge.self_test(attack.binary, home)
    for code, text in problems:
        print(f"error: {code}: {text}")
    if problems:
        print(f"next: look into {home}; again with --seed {args.seed}")
        return 1
    if args.keep:
        print(f"kept: {home}")
    else:
        shutil.rmtree(home)
    return 0


if __name__ == "__main__":
    sys.exit(main())
