"""Attacks the real binary with the clock: both DST switches of two zones minute by minute, a clock set back, a machine
asleep for three days; first with the ticks of a crontab, then with a resident scheduler. And who is told of what fails minute by minute.

usage: clock.py CRONDAG [--only WORD]

The clock is libfaketime's. What should have run is computed here, from zoneinfo and from what the manual says about
schedules, not by asking crondag.
"""

import atexit
import contextlib
import datetime as dt
import fcntl
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import zoneinfo

UTC = dt.timezone.utc
CRONDAG = str(pathlib.Path(sys.argv[1]).resolve())
ONLY = sys.argv[3] if len(sys.argv) > 3 else ""
MINUTE = dt.timedelta(minutes=1)
LIBRARY = next(pathlib.Path("/usr/lib").rglob("libfaketimeMT.so.1"), None)
failures = []


def utc(text):
    return dt.datetime.fromisoformat(text).replace(tzinfo=UTC)


# ---- what should run ------------------------------------------------------------------------------------------------


def field(text, low, high):
    numbers = set()
    for part in text.split(","):
        part, _, step = part.partition("/")
        first, last = (low, high) if part == "*" else (part.split("-") * 2)[:2]
        numbers |= set(range(int(first), int(last) + 1, int(step or 1)))
    return numbers


def fires(schedule, zone, since, until):
    """The instants in (since, until] at which a schedule of the form `MINUTE HOUR * * *` is due."""
    zone = zoneinfo.ZoneInfo(zone)
    minute_text, hour_text = schedule.split()[:2]
    minutes, hours = field(minute_text, 0, 59), field(hour_text, 0, 23)
    found = set()
    if minute_text.startswith("*") or hour_text.startswith("*"):
        # Elapsed time: each minute that reads so on the wall.
        at = since.replace(second=0, microsecond=0)
        while at <= until:
            wall = at.astimezone(zone)
            if wall.minute in minutes and wall.hour in hours:
                found.add(at)
            at += MINUTE
    else:
        # Once for each time of the day: one that is skipped is shifted by the gap, a repeated one counts the first time.
        day = since.astimezone(zone).date() - dt.timedelta(days=1)
        while day <= until.astimezone(zone).date() + dt.timedelta(days=1):
            for hour in hours:
                for minute in minutes:
                    wall = dt.datetime.combine(day, dt.time(hour, minute), tzinfo=zone)  # fold=0: the offset before
                    found.add(wall.astimezone(UTC))
            day += dt.timedelta(days=1)
    return sorted(at for at in found if since < at <= until)


# ---- crondag under another clock ------------------------------------------------------------------------------------


class Home:
    def __init__(self, name, dags):
        self.name = name
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="crondag-clock."))
        (self.path / "dags").mkdir()
        (self.path / "crondag.toml").write_text("timezone = 'UTC'\n")
        for dag, text in dags.items():
            # The ticks come faster than runs end: that one waits for another is not what is asked here.
            text += "" if "catchup" in text else "max_active_runs = 100\n"
            note = f"[tasks.note]\nshell = 'echo {{{{ ts }}}} >> {dag}.ran'\n"
            (self.path / f"dags/{dag}.toml").write_text(text + note)

    def run(self, *args, at=None, variables=None, notes=None):
        """What a command prints; that it says anything else is an error, unless there is a list for its notes."""
        environment = {"PATH": os.environ["PATH"], "TZ": "UTC", **(variables or {})}
        if at is not None:
            # From that instant on, so that waiting still ends.
            environment |= {"LD_PRELOAD": str(LIBRARY), "FAKETIME": at.strftime("@%Y-%m-%d %H:%M:%S")}
        command = [CRONDAG, "--home", str(self.path), *args]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        if notes is not None:
            notes += done.stderr.splitlines()
        elif done.stderr:
            raise SystemExit(f"error: {self.name}: {args} at {at} says\n{done.stderr}")
        if done.returncode != 0:
            raise SystemExit(f"error: {self.name}: {args} at {at}: exit code {done.returncode}\n{done.stderr}")
        return done.stdout

    def tick(self, at, notes=None):
        self.run("tick", at=at, notes=notes)

    @contextlib.contextmanager
    def without_driver(self):
        """Ticks inside create runs; nobody starts them before the end."""
        (self.path / ".crondag").mkdir(exist_ok=True, mode=0o700)
        with open(self.path / ".crondag/driver.lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def wait_for_driver(self):
        """Until the driver of the last tick has ended, and its clock with it."""
        with open(self.path / ".crondag/driver.lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)

    def runs(self, dag):
        runs = json.loads(self.run("runs", dag, "--limit", "100000", "--json"))
        instant = lambda text: dt.datetime.fromisoformat(text).astimezone(UTC)
        return sorted((instant(run["logical_date"]), instant(run["queued_at"]), run) for run in runs)

    def wait_until_done(self, expected):
        """Waits until that many runs have succeeded; more, or another end, is a failure later on."""
        deadline = time.monotonic() + 120
        while True:
            rows = [run for dag in self.dags() for *_, run in self.runs(dag)]
            if len(rows) >= expected and all(run["state"] in ("success", "failed") for run in rows):
                return
            if time.monotonic() > deadline:
                raise SystemExit(f"error: {self.name}: {expected} runs expected: {rows}")
            time.sleep(0.05)

    def dags(self):
        return sorted(path.stem for path in (self.path / "dags").glob("*.toml"))

    def compare(self, dag, expected, queued_within=None):
        """`expected`: the intervals whose runs should exist, as pairs of start and fire."""
        found = self.runs(dag)
        wrong = []
        if [start for start, _ in expected] != [start for start, *_ in found]:
            want, have = {start for start, _ in expected}, {start for start, *_ in found}
            wrong.append(f"missing {[str(x) for x in sorted(want - have)]}, too many {[str(x) for x in sorted(have - want)]}")
        if queued_within is not None:
            for (_, fire), (_, queued, _) in zip(expected, found):
                # The fake clock may be a little behind the second that was asked for.
                if not -2 <= (queued - fire).total_seconds() < queued_within:
                    wrong.append(f"the run that was due at {fire} was created at {queued}")
        ran = self.path / f"{dag}.ran"
        lines = ran.read_text().splitlines() if ran.exists() else []
        times = sorted(dt.datetime.fromisoformat(line).astimezone(UTC) for line in lines)
        if times != [start for start, _ in expected]:
            wrong.append(f"the tasks noted {len(times)} intervals: {lines}")
        for line in wrong:
            failures.append(f"{self.name}: {dag}: {line}")
        return len(found)

    def tidy(self):
        shutil.rmtree(self.path, ignore_errors=True)


def intervals(schedule, zone, since, until):
    """Pairs of each fire in (since, until] and the one before it, which is its logical date."""
    before = fires(schedule, zone, since - dt.timedelta(days=2), until)
    return [(start, fire) for start, fire in zip(before, before[1:]) if fire > since]


# ---- with the ticks of a crontab ------------------------------------------------------------------------------------

SCHEDULES = {
    "at_0130": "30 1 * * *",
    "at_0230": "30 2 * * *",
    "at_0300": "0 3 * * *",
    "half_hours": "0,30 1-4 * * *",
    "every_15": "*/15 * * * *",
    "hourly": "0 * * * *",
    "night": "*/20 1-3 * * *",
    "two_hours": "15 */2 * * *",
}
SWITCHES = [
    ("Europe/Berlin", "2026-03-29T01:00"),
    ("Europe/Berlin", "2026-10-25T01:00"),
    ("America/New_York", "2026-03-08T07:00"),
    ("America/New_York", "2026-11-01T06:00"),
]


def dst():
    for zone, instant in SWITCHES:
        switch = utc(instant)
        since, until = switch - dt.timedelta(hours=3), switch + dt.timedelta(hours=4)
        dags = {dag: f"schedule = '{text}'\ntimezone = '{zone}'\n" for dag, text in SCHEDULES.items()}
        home = Home(f"{zone} {instant[:10]}", dags)
        first, count, ticks = since + dt.timedelta(seconds=5), 0, 0
        with home.without_driver():
            at = first
            while at <= until:
                home.tick(at)
                at, ticks = at + MINUTE, ticks + 1
        last = at - MINUTE
        wanted = {dag: intervals(text, zone, first, last) for dag, text in SCHEDULES.items()}
        home.tick(last + dt.timedelta(seconds=20))
        home.wait_until_done(sum(map(len, wanted.values())))
        for dag, expected in wanted.items():
            count += home.compare(dag, expected, queued_within=60)
        print(f"{home.name}: {ticks} ticks, {count} runs of {len(dags)} DAGs")
        home.tidy()


EVERY_10 = "*/10 * * * *"


def set_back():
    home = Home("clock set back an hour", {"tens": f"schedule = '{EVERY_10}'\n", "catch": f"schedule = '{EVERY_10}'\ncatchup = true\nstart_date = 2026-06-01T10:00:00\n"})
    start = utc("2026-06-01T11:00:05")
    times = [start + MINUTE * minute for minute in range(91)]
    back = times[-1] - dt.timedelta(hours=1)
    for at in times:
        home.tick(at)
    # The first tick says what it found.
    home.wait_for_driver()
    home.tick(back, notes := [])
    said = [" ".join(note.split(" ")[1:4]) for note in notes]
    if said != ["catch was scheduled", "catch has runs", "tens was scheduled", "tens has runs"]:
        failures.append(f"{home.name}: the first tick says {notes}")
    after = [back + MINUTE * minute for minute in range(1, 121)]
    for at in after:
        home.tick(at, notes)
    times += [back, *after]
    tens = intervals(EVERY_10, "UTC", start, times[-1])
    catch = intervals(EVERY_10, "UTC", utc("2026-06-01T10:00"), times[-1])
    home.wait_until_done(len(tens) + len(catch))
    count = home.compare("tens", tens) + home.compare("catch", catch)
    print(f"{home.name}: {len(times)} ticks, {count} runs of 2 DAGs")
    home.tidy()


HOURLY = "0 * * * *"
SLEEPERS = {
    "latest": f"schedule = '{HOURLY}'\n",
    "all": f"schedule = '{HOURLY}'\ncatchup = true\nmax_active_runs = 1\nstart_date = 2026-06-05\n",
}
ASLEEP, AWAKE = utc("2026-06-05T12:00:30"), utc("2026-06-08T12:00:30")


def expect_awake(home, first):
    """Of three days, the newest interval without catchup, and all of them in order with it."""
    latest = intervals(HOURLY, "UTC", first, AWAKE)
    latest = [pair for pair in latest if pair[1] <= ASLEEP] + latest[-1:]
    everything = intervals(HOURLY, "UTC", utc("2026-06-05T00:00"), AWAKE)
    home.wait_until_done(len(latest) + len(everything))
    count = home.compare("latest", latest) + home.compare("all", everything)
    order = (home.path / "all.ran").read_text().splitlines()
    if order != sorted(order):
        failures.append(f"{home.name}: not oldest first: {order}")
    return count


def asleep():
    home = Home("asleep for three days", SLEEPERS)
    first = ASLEEP - dt.timedelta(hours=2)
    # One of them has a backlog, and both the first tick and the one after the sleep say how long it is.
    notes = []
    for minute in range(0, 121):
        home.tick(first + MINUTE * minute, notes)
    home.wait_for_driver()
    home.tick(AWAKE, notes)
    backlog = "note: all catches up: "
    if not notes or not all(note.startswith(backlog) for note in notes):
        failures.append(f"{home.name}: the ticks say {notes}")
    count = expect_awake(home, first)
    print(f"{home.name}: {count} runs of 2 DAGs")
    home.tidy()


# ---- with a resident scheduler --------------------------------------------------------------------------------------


class Scheduler:
    """A scheduler whose clock stands where a file says, and jumps with it."""

    def __init__(self, home, at):
        self.home, self.clock = home, home.path / "clock"
        self.set(at)
        self.log = open(home.path / "log", "w")
        environment = {
            "PATH": os.environ["PATH"],
            "TZ": "UTC",
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self.clock),
            "FAKETIME_NO_CACHE": "1",
            # Only the wall clock is set; waiting takes what it takes.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        command = [CRONDAG, "--home", str(home.path), "scheduler"]
        self.process = subprocess.Popen(command, env=environment, stderr=self.log)
        # However this ends, no scheduler stays behind.
        atexit.register(self.process.kill)

    def set(self, at):
        new = self.clock.with_suffix(".new")
        new.write_text(at.strftime("%Y-%m-%d %H:%M:%S\n"))
        new.rename(self.clock)

    def until(self, what, condition):
        deadline = time.monotonic() + 120
        while not condition():
            if time.monotonic() > deadline or self.process.poll() is not None:
                log = (self.home.path / "log").read_text()
                raise SystemExit(f"error: {self.home.name}: waited in vain: {what}\n{log}")
            time.sleep(0.02)

    def go(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(timeout=120) != 0:
            failures.append(f"{self.home.name}: the scheduler ended with {self.process.returncode}")


def looked(home, scheduler, at):
    """Sets the clock, and waits until the scheduler has looked at it: it finds a file that is new by then."""
    name = f"look_{at:%H%M%S}"
    # Before the clock, which stands still otherwise: it looks once at each second.
    (home.path / f"dags/{name}.toml").write_text("[tasks.a]\nshell = 'true'\n")
    scheduler.set(at)
    with contextlib.closing(sqlite3.connect(home.path / ".crondag/crondag.db")) as database:
        count = "SELECT count(*) FROM dags WHERE dag_id = ?"
        scheduler.until(f"a look at {at}", lambda: database.execute(count, [name]).fetchone() == (1,))
    (home.path / f"dags/{name}.toml").unlink()


def resident():
    home = Home("resident scheduler", SLEEPERS | {"seconds": f"schedule = '{EVERY_10}'\n"})
    first = ASLEEP - dt.timedelta(hours=2)
    scheduler = Scheduler(home, first)
    scheduler.until("it has caught up", lambda: len(home.runs("all")) == 10)
    known = lambda dag: [start for start, *_ in home.runs(dag)]
    # A second before it is due nothing happens; in the second in which it is due, the run is there.
    due = utc("2026-06-05T10:10:00")
    looked(home, scheduler, due - dt.timedelta(seconds=1))
    if known("seconds"):
        failures.append(f"{home.name}: a run before it was due: {known('seconds')}")
    scheduler.set(due)
    scheduler.until("the run that is due", lambda: len(known("seconds")) == 1)
    [(_, queued, _)] = home.runs("seconds")
    if queued != due:
        failures.append(f"{home.name}: due at {due}, created at {queued}")
    # Set back an hour: it goes on looking, and what was dealt with is not dealt with again.
    looked(home, scheduler, due - dt.timedelta(hours=1))
    for hour in (10, 11, 12):
        at = ASLEEP.replace(hour=hour, minute=0, second=30)
        scheduler.set(at)
        scheduler.until(f"the run of {hour}:00", lambda: at.replace(second=0) - dt.timedelta(hours=1) in known("all"))
    # Three days later, in one jump.
    scheduler.set(AWAKE)
    scheduler.until("the newest run", lambda: AWAKE.replace(second=0) - dt.timedelta(hours=1) in known("latest"))
    # It has done its part; the others are counted.
    (home.path / "dags/seconds.toml").unlink()
    count = expect_awake(home, first)
    scheduler.go()
    print(f"{home.name}: due to the second, set back, asleep for three days: {count} runs of 2 DAGs")
    home.tidy()


def incidents():
    """A job that fails each minute, 200 times, and ten that fail in the same minute, where five mails an hour may go out."""
    home = Home("incidents", {})
    (home.path / "crondag.toml").write_text(
        "timezone = 'UTC'\n[email]\nfrom = 'etl@example.com'\ntransport = 'folder'\npath = 'mail'\nmax_per_hour = 5\n"
    )
    task = "[tasks.a]\nemail = 'team@example.com'\nshell = 'test -e good'\n"
    (home.path / "dags/fails.toml").write_text(f"schedule = '* * * * *'\n{task}")
    for number in range(10):
        (home.path / f"dags/many{number}.toml").write_text(f"schedule = '30 11 * * *'\n{task}")
    start = utc("2026-06-05T10:00:30")
    scheduler = Scheduler(home, start)
    scheduler.until("there is a database", lambda: (home.path / ".crondag/crondag.db").exists())
    database = sqlite3.connect(home.path / ".crondag/crondag.db")
    made = "SELECT count(*) FROM sqlite_master WHERE name = 'outbox'"
    scheduler.until("it has its tables", lambda: database.execute(made).fetchone() == (1,))
    ended = "SELECT count(*) FROM runs WHERE state IN ('failed', 'success')"
    waiting = "SELECT count(*) FROM outbox WHERE next_try_at <= ?"
    looked(home, scheduler, start + dt.timedelta(seconds=1))
    for minute in range(1, 202):
        at = start + MINUTE * minute
        if minute == 201:
            (home.path / "good").touch()
        scheduler.set(at)
        # It looks at the clock at once, not in a second.
        scheduler.process.send_signal(signal.SIGHUP)
        runs = minute + (10 if minute >= 90 else 0)
        scheduler.until(f"{runs} runs have ended", lambda: database.execute(ended).fetchone()[0] == runs)
        micros = [int(at.timestamp()) * 1_000_000]
        scheduler.until("all that is due is delivered", lambda: database.execute(waiting, micros).fetchone()[0] == 0)
    scheduler.go()
    minute_of = lambda micros: round((micros / 1e6 - start.timestamp()) / 60)
    rows = database.execute("SELECT kind, dag_id, created_at, sent_at, digest FROM outbox ORDER BY id").fetchall()
    told = [(kind, minute_of(created)) for kind, dag, created, _, _ in rows if dag == "fails"]
    if told != [("task_failed", 1), ("task_failed", 61), ("recovered", 201)]:
        failures.append(f"{home.name}: of 200 failures these were told: {told}")
    many = [digest for _, dag, _, _, digest in rows if dag.startswith("many")]
    # One of the hour was the reminder.
    if len(many) != 10 or sum(digest is None for digest in many) != 4:
        failures.append(f"{home.name}: of ten failures at once these were held back: {many}")
    digests = [minute_of(sent) for kind, _, _, sent, _ in rows if kind == "digest"]
    if digests != [100]:
        failures.append(f"{home.name}: digests came at the minutes {digests}")
    mails = [path.read_text() for path in (home.path / "mail").iterdir()]
    if len(mails) != 8 or sum("Subject: [crondag] 6 notices held back" in mail for mail in mails) != 1:
        failures.append(f"{home.name}: {len(mails)} mails")
    print(f"{home.name}: 210 failures, {len(mails)} mails")
    database.close()
    home.tidy()


if LIBRARY is None:
    raise SystemExit("error: libfaketime is missing\nnext: apt-get install faketime")
for scenario in (dst, set_back, asleep, resident, incidents):
    if ONLY in scenario.__name__:
        scenario()
if failures:
    print("\n".join(f"error: {line}" for line in failures))
    raise SystemExit(1)
