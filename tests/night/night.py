#!/usr/bin/env python3
"""A pipeline of tags, night after night, under Debian's cron: two `all_done` branches on real Spark and in the shell, merged,
counted with a gate, synced to a real MariaDB, made an audience, pushed. Each night something goes wrong. The command that the mail or
the screen names is typed, as a person would, on a terminal; afterwards every table, file and marker equals those of a home in which
nothing went wrong, and nothing was pushed meanwhile. Needs root, for cron, a full disk and another boot.

    night.py CRONDAG VENV [--keep]
"""

import argparse
import email
import email.policy
import json
import os
import pathlib
import pty
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
SERVERS = HERE.parent / "servers"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
LONGEST_WAIT = 240
DAYS = [f"2024-06-0{nth}" for nth in range(1, 8)]
FIRST, LATE, MEMORY, DOUBLED, EDITED, REBOOTED, FULL = DAYS


class Failure(Exception):
    pass


def expect(is_so, what):
    if not is_so:
        raise Failure(what)


def until(what, is_so, longest=LONGEST_WAIT):
    deadline = time.monotonic() + longest
    while not is_so():
        expect(time.monotonic() < deadline, f"waited {longest} s in vain: {what}")
        time.sleep(0.05)


def say(text):
    print(f"{time.monotonic() - BEGAN:5.0f}s  {text}", flush=True)


BEGAN = time.monotonic()


# ---- what comes from upstream --------------------------------------------------------------------------------------------

CITIES = ["Beijing", "Harbin", "Shanghai", "Hangzhou", "Shenzhen"]
PAGES = ["news", "shoes", "books"]


def deliver(home, day):
    """The files of a day, the same however often they are delivered."""
    chance = random.Random(day)
    users = [f"u{nth:03}" for nth in range(600)]
    orders = [f"{user},{chance.choice(CITIES)}\n" for user in users for city in [0] * chance.randrange(5)]
    # A user orders from one city.
    city = {user: chance.choice(CITIES) for user in users}
    orders = [f"{line.split(',')[0]},{city[line.split(',')[0]]}\n" for line in orders]
    visits = [f"{user},{chance.choice(PAGES)}\n" for user in users for visit in range(chance.randrange(4))]
    folder = home.path / "raw" / day
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "orders.csv").write_text("".join(orders))
    (folder / "visits.csv").write_text("".join(visits))
    (folder / "prices.size").write_text(str(400 * 1024 * 1024) if day == MEMORY else "1024")
    (folder / "_SUCCESS").write_text("")


# ---- a home --------------------------------------------------------------------------------------------------------------

class Home:
    def __init__(self, crondag, work, name, port, settings):
        self.crondag_path, self.path = crondag, work / name
        shutil.copytree(HERE / "home", self.path)
        self.database = name
        client = (work / "mariadb/client.cnf").read_text().replace("database=mysql", f"database={name}")
        password = re.search("password=(.*)", client).group(1)
        (self.path / "secrets").mkdir(mode=0o700)
        for file, text in [("client.cnf", client), ("password", password + "\n")]:
            (self.path / "secrets" / file).write_text(text)
            (self.path / "secrets" / file).chmod(0o600)
        with open(self.path / "crondag.toml", "a") as config:
            config.write(f'\n[connections.serving]\ntype = "mysql"\nhost = "127.0.0.1"\nport = {port}\ndatabase = "{name}"\n')
            config.write('username = "etl"\npassword_file = "secrets/password"\n\n[env]\n')
            config.writelines(f'{key} = "{value}"\n' for key, value in settings.items())
        self.sql("CREATE TABLE tags (day DATE, user VARCHAR(20), tag VARCHAR(40), KEY (day, user));"
                 "CREATE TABLE audience (day DATE, user VARCHAR(20), PRIMARY KEY (day, user))")

    def sql(self, statement):
        client = ["mariadb", f"--defaults-file={self.path}/secrets/client.cnf", "-BN", "-e", statement]
        return subprocess.run(client, capture_output=True, text=True, check=True).stdout

    def crondag(self, *args, code=0):
        command = [self.crondag_path, "--home", str(self.path), *args]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=LONGEST_WAIT)
        expect(code is None or done.returncode == code,
               f"`crondag {' '.join(args)}` exits with {done.returncode} instead of {code}:\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def json(self, *args):
        return json.loads(self.crondag(*args, "--json"))

    def typed(self, command):
        """Typed by a person at a terminal, who says yes when asked. Gives what stood on the screen."""
        say(f"$ {command}")
        environment = os.environ | {"PATH": f"{self.crondag_path.parent}:{os.environ['PATH']}", "CRONDAG_HOME": str(self.path)}
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.path)
            os.execvpe("bash", ["bash", "-c", command], environment)
        screen, answered = "", False
        deadline = time.monotonic() + LONGEST_WAIT
        while time.monotonic() < deadline:
            if not select.select([terminal], [], [], 1)[0]:
                continue
            try:
                text = os.read(terminal, 65536).decode(errors="replace")
            except OSError:
                break
            if not text:
                break
            screen += text
            if not answered and "[y/N]" in screen:
                os.write(terminal, b"y\n")
                answered = True
        os.close(terminal)
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen).replace("\r\n", "\n")

    def edit(self, name, old, new):
        text = (self.path / name).read_text()
        expect(old in text, f"{name} has no `{old}`")
        (self.path / name).write_text(text.replace(old, new))

    def states(self, day):
        return {task["task_id"]: task["state"] for task in self.json("tasks", "tags", day)}

    def run(self, day):
        """The scheduled run of a day; nothing while there is none."""
        found = self.crondag("runs", "tags", "--limit", "100", "--json")
        runs = json.loads(found)
        return next((run for run in runs if run["run_id"].startswith(f"scheduled__{day}T")), None)

    def has_ended(self, day, state, before=None):
        """The run of a day has ended in this state, later than `before`."""
        until(f"the run of {day} has ended", lambda: (self.run(day) or {"end_date": None})["end_date"] not in (None, before))
        found = self.run(day)["state"]
        expect(found == state, f"the run of {day} is {found} instead of {state}:\n" + self.crondag("tasks", "tags", day))

    def mails(self):
        files = sorted((self.path / "mail").glob("*.eml"), key=lambda file: file.stat().st_mtime_ns) if (self.path / "mail").exists() else []
        return [email.message_from_bytes(file.read_bytes(), policy=email.policy.default) for file in files]

    def mail(self, subject, known):
        """The mail after the first `known` ones whose subject has these words: its text, unfolded."""
        found = lambda: [mail for mail in self.mails()[known:] if subject in mail["subject"]]
        until(f"a mail about `{subject}`", found)
        return found()[0].get_body(("plain",)).get_content()

    def pushed(self, day):
        return sorted(str(path.relative_to(self.path)) for path in self.path.glob(f"pushed/{day}*")), self.sql(
            f"SELECT (SELECT count(*) FROM tags WHERE day = '{day}'), (SELECT count(*) FROM audience WHERE day = '{day}')")

    def whole(self, day):
        """All that there is of a day: the job's files, MariaDB's tables, what was pushed, and whether its marker is there."""
        files = {str(path.relative_to(self.path)): path.read_text() for path in sorted(self.path.glob(f"warehouse/*/{day}.csv"))}
        files |= {path.name: path.read_text() for path in self.path.glob(f"pushed/{day}.csv")}
        return files | {
            "tags": self.sql(f"SELECT user, tag FROM tags WHERE day = '{day}' ORDER BY user, tag"),
            "audience": self.sql(f"SELECT user FROM audience WHERE day = '{day}' ORDER BY user"),
            "marker": (self.path / f"pushed/{day}.ready").exists(),
        }


def commands_of(text):
    """The commands that a mail or a screen names, in order."""
    return [match.group(1).rstrip() for match in re.finditer(r"^(?: *(?:next|then): +| +|)(crondag .*)$", text, re.M)]


# ---- the nights ----------------------------------------------------------------------------------------------------------

class Night:
    def __init__(self, home, clean):
        self.home, self.clean = home, clean

    def begins(self, day):
        """cron's next tick makes the run; here it is called at once where it does not matter who calls it."""
        if day != FIRST:
            last = DAYS[DAYS.index(day) - 1]
            self.home.edit("dags/tags.toml", f"end_date        = {last}", f"end_date        = {day}")
        if day not in (FIRST, REBOOTED):
            self.home.crondag("tick")
        until(f"the run of {day} begins", lambda: self.home.run(day))

    def is_not_well(self, day):
        """The night went wrong: every screen says so, and nobody got anything."""
        files, rows = self.home.pushed(day)
        expect((files, rows) == ([], "0\t0\n"), f"something of {day} was served or pushed: {files} {rows}")
        screen = self.home.crondag("status", code=None)
        expect("all is well" not in screen, f"status says that all is well:\n{screen}")
        expect("failed" in self.home.crondag("list_dags"), "list_dags does not say that a run failed")
        return screen

    def is_whole(self, day):
        found, wanted = self.home.whole(day), self.clean.whole(day)
        different = [name for name in wanted if found.get(name) != wanted[name]] + [name for name in found if name not in wanted]
        expect(not different, f"of {day} these are not as if nothing had gone wrong: {different}")
        expect(wanted["audience"].count("\n") > 3, f"the audience of {day} is empty: {wanted['audience']}")
        expect(self.home.run(day)["state"] == "success", f"the run of {day} is not good")
        say(f"{day} is whole")

    def repaired(self, day, command):
        before = self.home.run(day)["end_date"]
        code, screen = self.home.typed(command)
        expect(code == 0, f"`{command}` ends with {code}:\n{screen}")
        self.home.has_ended(day, "success", before)
        self.is_whole(day)
        return screen

    def repair_by_mail(self, day, subject, known):
        text = self.home.mail(subject, known)
        commands = [command for command in commands_of(text) if re.search(" (clear|backfill) ", command)]
        expect(commands, f"the mail names no command that repairs:\n{text}")
        return text, self.repaired(day, commands[0])

    def repair_by_screen(self, day):
        """Beginning with `explain`, what the screen says to type next is typed until it is what repairs."""
        command = f"crondag explain tags {day}"
        for _ in range(4):
            _, screen = self.home.typed(command)
            named = commands_of(screen)
            repairs = [name for name in named if re.search(" (clear|backfill) ", name)]
            expect(named, f"`{command}` does not say what to type:\n{screen}")
            command = (repairs or named)[0]
            if repairs:
                return self.repaired(day, command)
        raise Failure(f"no screen says what repairs {day}")

    def first(self):
        say("a good night")
        self.begins(FIRST)
        self.home.has_ended(FIRST, "success")
        self.is_whole(FIRST)
        expect(not self.home.mails(), "a good night sends mail")
        expect("all is well" in self.home.crondag("status"), "a good night is not said to be well:\n" + self.home.crondag("status"))

    def late(self):
        say("upstream is late")
        raw = self.home.path / "raw" / LATE
        for name in ("_SUCCESS", "orders.csv"):
            (raw / name).unlink()
        known = len(self.home.mails())
        self.begins(LATE)
        self.home.has_ended(LATE, "failed")
        expect(self.home.states(LATE)["merge"] == "success", "`all_done` did not merge what there was")
        self.is_not_well(LATE)
        deliver(self.home, LATE)
        self.repair_by_mail(LATE, "tags", known)

    def memory(self):
        say("a job needs more memory than it has")
        known = len(self.home.mails())
        self.begins(MEMORY)
        self.home.has_ended(MEMORY, "failed")
        expect(self.home.states(MEMORY)["buyer_tags"] == "failed", "buyer_tags did not run out of memory")
        self.is_not_well(MEMORY)
        text = self.home.mail("tags", known)
        expect("driver_memory" in text, f"the mail does not say which memory is to be raised:\n{text}")
        self.home.edit("crondag.toml", 'driver_memory = "600m"', 'driver_memory = "1g"')
        self.repair_by_mail(MEMORY, "tags", known)

    def doubled(self):
        say("a join doubles its rows")
        cities = (self.home.path / "dims/city.csv").read_text()
        (self.home.path / "dims/city.csv").write_text(cities + cities)
        known = len(self.home.mails())
        self.begins(DOUBLED)
        self.home.has_ended(DOUBLED, "failed")
        expect(self.home.states(DOUBLED)["counts"] == "failed", "the doubled rows were not noticed")
        self.is_not_well(DOUBLED)
        (self.home.path / "dims/city.csv").write_text(cities)
        self.repair_by_mail(DOUBLED, "tags", known)

    def edited(self):
        say("at three in the morning somebody edits a job, and then the DAG file")
        job = "jobs/page_tags.py"
        good = (self.home.path / job).read_text()
        (self.home.path / job).write_text(good.replace("raw/{day}/visits.csv", "raw/{day}/visits.csv' + day"))
        known = len(self.home.mails())
        self.begins(EDITED)
        self.home.edit("dags/tags.toml", 'shell       = "python3 jobs/visit_tags.py {{ ds }}"', 'shell       = "python3 jobs/visit_tags.py {{ ds }}')
        self.home.has_ended(EDITED, "failed")
        screen = self.is_not_well(EDITED)
        self.home.crondag("tick", code=None)
        told = self.home.mail("tags.toml", known)
        for text, name in ((screen, "faulty    tags:"), (told, "tags.toml is faulty")):
            expect(name in text and "validate" in text, f"the faulty file is not told, or not what to type:\n{text}")
        [validate] = {command for command in commands_of(told) if "validate" in command}
        code, screen = self.home.typed(validate)
        expect(code == 2 and "tags.toml:" in screen, f"`{validate}` ends with {code}:\n{screen}")
        self.home.edit("dags/tags.toml", "jobs/visit_tags.py {{ ds }}", 'jobs/visit_tags.py {{ ds }}"')
        code, screen = self.home.typed(validate)
        expect(code == 0, f"`{validate}` ends with {code}:\n{screen}")
        (self.home.path / job).write_text(good)
        self.repair_by_screen(EDITED)

    def rebooted(self, cron):
        say("the machine is booted again while Spark runs")
        self.begins(REBOOTED)
        until("both branches run", lambda: self.home.states(REBOOTED)["buyer_tags"] == "running")
        until("Spark runs", lambda: self.processes("SparkSubmit"))
        cron.stop()
        # Nobody sees another one die.
        for end in (signal.SIGSTOP, signal.SIGKILL):
            for pid in self.processes(""):
                try:
                    os.kill(pid, end)
                except ProcessLookupError:
                    pass
        until("nothing of the home is left", lambda: not self.processes(""))
        boot = self.home.path.parent / "boot_id"
        boot.write_text("00000000-0000-4000-8000-000000000000\n")
        subprocess.run(["mount", "--bind", str(boot), BOOT_ID], check=True)
        cron.start()
        self.home.has_ended(REBOOTED, "failed")
        self.is_not_well(REBOOTED)
        self.repair_by_screen(REBOOTED)

    def processes(self, word):
        """Those that run in the home or for it."""
        found = []
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes().decode(errors="replace")
                where = os.readlink(process / "cwd")
            except OSError:
                continue
            of_home = where.startswith(str(self.home.path)) or f"{self.home.path}\0" in command
            if of_home and word in command and int(process.name) != os.getpid() and command:
                found.append(int(process.name))
        return found

    def full(self):
        say("the disk of the logs is full")
        logs = self.home.path / ".crondag/logs"
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "logs", str(logs)], check=True)
        known = len(self.home.mails())
        self.begins(FULL)
        self.home.has_ended(FULL, "success")
        self.is_whole(FULL)
        screen = self.home.crondag("status", code=None)
        expect("all is well" not in screen and "disk" in screen, f"status says nothing of the full disk:\n{screen}")
        told = self.home.mail("logs", known)
        [command] = {f"df -h {logs}" for text in (screen, told) if f"df -h {logs}" in " ".join(text.split())}
        code, _ = self.home.typed(command)
        expect(code == 0, f"`{command}` ends with {code}")
        subprocess.run(["umount", str(logs)], check=True)
        # What was lost of the logs is had again by running the day once more, which must change nothing.
        self.repaired(FULL, f"crondag backfill -s {FULL} -e {FULL} tags --rerun all")


class Cron:
    """Debian's cron with a line of this home alone, in a mount namespace of its own."""

    def __init__(self, home):
        pathlib.Path("/etc/cron.d/crondag").write_text(
            f"* * * * * root {home.crondag_path} --home {home.path} tick >> {home.path}/cron.log 2>&1\n")
        pathlib.Path("/etc/cron.d/crondag").chmod(0o600)
        self.process = None

    def start(self):
        self.process = subprocess.Popen(["cron", "-f"])

    def stop(self):
        self.process.kill()
        self.process.wait()


def own_mounts():
    """Whatever is mounted here, the machine does not see; and its cron's own files are not here."""
    if os.environ.get("CRONDAG_OWN_MOUNTS") == "1":
        return
    own = "mount -t tmpfs run /run && mount -t tmpfs crontabs /var/spool/cron && mount -t tmpfs cron.d /etc/cron.d"
    own += " && mkdir -p /var/spool/cron/crontabs && touch /run/crontab && mount --bind /run/crontab /etc/crontab"
    command = ["unshare", "--mount", "sh", "-c", f'{own} && exec "$@"', "sh", sys.executable, *sys.argv]
    os.execvpe("unshare", command, os.environ | {"CRONDAG_OWN_MOUNTS": "1"})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("crondag", type=pathlib.Path)
    parser.add_argument("venv", type=pathlib.Path)
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args()
    own_mounts()
    python = args.venv.resolve() / "bin/python"
    spark = subprocess.run([python, "-c", "import os, pyspark; print(os.path.dirname(pyspark.__file__))"], capture_output=True, text=True,
                           check=True).stdout.strip()
    settings = {"SPARK_HOME": spark, "PYSPARK_PYTHON": str(python), "SPARK_LOCAL_IP": "127.0.0.1"}
    # Not below target/: the server's own user must reach its folder.
    work = pathlib.Path(tempfile.mkdtemp(prefix="crondag-night."))
    server = [str(SERVERS / "mariadb.sh")]
    home = cron = None
    try:
        say("a MariaDB server, and a home in which nothing goes wrong")
        port = subprocess.run([*server, "start", str(work / "mariadb"), "night"], capture_output=True, text=True, check=True).stdout.strip()
        root = ["mariadb", "--no-defaults", "--user=root", f"--socket={work}/mariadb/socket", "-e"]
        grants = "CREATE DATABASE clean; GRANT ALL ON clean.* TO etl@'127.0.0.1', etl@localhost; SET GLOBAL local_infile = 1"
        subprocess.run([*root, grants], check=True)
        client = work / "mariadb/client.cnf"
        client.write_text(client.read_text().replace("database=night", "database=mysql"))
        clean, home = [Home(args.crondag.resolve(), work, name, int(port), settings) for name in ("clean", "night")]
        for day in DAYS:
            deliver(clean, day)
            deliver(home, day)
        clean.edit("dags/tags.toml", f"end_date        = {FIRST}", f"end_date        = {FULL}")
        clean.edit("crondag.toml", 'driver_memory = "600m"', 'driver_memory = "1g"')
        clean.crondag("backfill", "-s", FIRST, "-e", FULL, "tags")
        night, cron = Night(home, clean), Cron(home)
        cron.start()
        night.first()
        night.late()
        night.memory()
        night.doubled()
        night.edited()
        night.rebooted(cron)
        night.full()
        for day in DAYS:
            night.is_whole(day)
        text = home.crondag("status")
        expect("all is well" in text, f"after all repairs status does not say that all is well:\n{text}")
        # cron's own mail has the fault of the edited file, and nothing else.
        heard = set(re.findall("^error.*$", home.path.joinpath("cron.log").read_text(), re.M))
        expect(heard <= {"error[syntax]: not TOML: a string is not closed"}, f"cron heard of {heard}")
        home.crondag("db", "check")
        say("seven nights, all whole")
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        if home:
            for log in [home.path / ".crondag/driver.log", home.path / "cron.log"]:
                print(log, *(log.read_text().splitlines()[-30:] if log.exists() else ["is not there"]), sep="\n", file=sys.stderr)
            print(home.crondag("status", code=None), file=sys.stderr)
        sys.exit(1)
    finally:
        if cron:
            cron.stop()
        subprocess.run(["pkill", "-KILL", "-f", str(work)], check=False)
        subprocess.run([*server, "stop", str(work / "mariadb")], check=False)
        subprocess.run(["umount", "-q", str(work / "night/.crondag/logs")], check=False)
        if not args.keep:
            shutil.rmtree(work, ignore_errors=True)
        else:
            print(work)


if __name__ == "__main__":
    main()
