"""Restarts what started the driver while an attempt lives: the machine (another boot id), and Debian's cron. Needs root:
both happen in a mount namespace of their own, in which nothing of this machine's cron is seen.

usage: restart.py CRONDAG boot|cron
"""

import fcntl
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

CRONDAG = str(pathlib.Path(sys.argv[1]).resolve())
BOOT_ID = "/proc/sys/kernel/random/boot_id"
# Their drivers' logs are shown when something goes wrong.
HOMES = []


class Home:
    def __init__(self, dag):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="crondag-restart."))
        (self.path / "dags").mkdir()
        (self.path / "crondag.toml").write_text("timezone = 'UTC'\nkill_grace = '300ms'\n")
        (self.path / "dags/d.toml").write_text(dag)
        HOMES.append(self)

    def run(self, *args, wrapper=()):
        command = [*wrapper, CRONDAG, "--home", str(self.path), *args]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180)
        expect(done.returncode == 0, f"{command}: {done.returncode}: {done.stderr}")
        return done.stdout

    def json(self, *args):
        return json.loads(self.run(*args, "--json"))

    def lines(self, name):
        path = self.path / name
        return path.read_text().split() if path.exists() else []

    def go(self):
        (self.path / "go").touch()

    def has_driver(self):
        with open(self.path / ".crondag/driver.lock") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def driver(self):
        return int((self.path / ".crondag/driver.lock").read_text())

    def holder(self):
        """Who holds the only attempt."""
        [attempt] = (self.path / ".crondag/attempts").iterdir()
        return json.loads(attempt.read_text().splitlines()[0])


def expect(is_so, what):
    if not is_so:
        for log in [home.path / ".crondag/driver.log" for home in HOMES if home.path.exists()]:
            print(f"{log}:\n{log.read_text()}" if log.exists() else f"{log} is not there")
        raise SystemExit(f"error: {what}")


def until(what, condition, seconds=180):
    deadline = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < deadline, f"waited in vain: {what}")
        time.sleep(0.02)


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def in_other_boot(home):
    """A command in whose world the machine has been booted again."""
    fake = home.path / "boot_id"
    fake.write_text("00000000-0000-4000-8000-000000000000\n")
    return ["unshare", "--mount", "sh", "-c", f'mount --bind "{fake}" {BOOT_ID} && exec "$@"', "sh"]


def boot():
    """An attempt's shim is killed. A process that carries no mark of the attempt, but the number of its session, is ended
    when this is still the same boot; in another boot that number belongs to somebody else."""
    # Waits by a builtin: a `sleep` of the shell's would be a second process that outlives it for a moment.
    bystander = "env -i sleep 86400 & echo $! >> bystanders; echo $$ >> shells; read -r _ < go"
    for reboots in (False, True):
        home = Home(f"[tasks.a]\nretries = 1\nretry_delay = '0s'\nshell = '''{bystander}'''\n")
        os.mkfifo(home.path / "go")
        home.run("trigger", "d", "--date", "2024-01-01")
        until("the task runs", lambda: len(home.lines("shells")) == 1)
        holder = home.holder()
        expect(holder["boot_id"] == pathlib.Path(BOOT_ID).read_text().strip(), f"the boot is not recorded: {holder}")
        first = int(home.lines("bystanders")[0])
        # Until it has become its program it carries the attempt's token, which is believed in any boot.
        until("the bystander has no environment", lambda: pathlib.Path(f"/proc/{first}/comm").read_text() == "sleep\n")
        for pid in (home.driver(), holder["pid"], int(home.lines("shells")[0])):
            os.kill(pid, signal.SIGKILL)
        # A tick that comes while the driver still dies leaves the work to the next tick.
        until("they are gone", lambda: not is_alive(holder["pid"]) and not home.has_driver())
        home.run("tick", wrapper=in_other_boot(home) if reboots else ())
        until("the next attempt runs", lambda: len(home.lines("shells")) == 2)
        expect(is_alive(first) == reboots, f"reboot: {reboots}, and the process of that session lives: {is_alive(first)}")
        (home.path / "go").write_text("\n")
        until("the run is over", lambda: [run["state"] for run in home.json("runs", "d")] == ["success"])
        log = (home.path / ".crondag/driver.log").read_text()
        lost = "no process of the attempt is left" if reboots else "1 process of the attempt was still alive"
        expect(lost in log, f"the log does not say `{lost}`: {log}")
        if reboots:
            os.kill(first, signal.SIGKILL)
        shutil.rmtree(home.path, ignore_errors=True)
    print("another boot: an attempt without a record is lost and retried, and no number of the old boot is believed")


def cron():
    """Debian's cron starts a driver by way of a tick, is restarted, and ticks on; the attempt does not notice."""
    if os.environ.get("CRONDAG_OWN_MOUNTS") != "1":
        # A cron of our own that sees our line alone: not the machine's crontab, which starts its daily jobs.
        own = "mount -t tmpfs run /run && mount -t tmpfs crontabs /var/spool/cron && mount -t tmpfs cron.d /etc/cron.d"
        own += " && mkdir -p /var/spool/cron/crontabs && touch /run/crontab && mount --bind /run/crontab /etc/crontab"
        command = ["unshare", "--mount", "sh", "-c", f'{own} && exec "$@"', "sh"]
        os.execvpe("unshare", [*command, sys.executable, *sys.argv], os.environ | {"CRONDAG_OWN_MOUNTS": "1"})
    note = "echo {{ ts }} >> begun; while [ ! -e go ]; do sleep 0.05; done; echo {{ ts }} >> ended"
    home = Home(f"schedule = '* * * * *'\noverlap = 'allow'\n[tasks.a]\nshell = '{note}'\n")
    home.run("tick")
    line = f"* * * * * root {CRONDAG} --home {home.path} tick >> {home.path}/cron.log 2>&1\n"
    pathlib.Path("/etc/cron.d/crondag").write_text(line)
    service = lambda verb: subprocess.run(["service", "cron", verb], capture_output=True, check=True)
    pid = lambda: int(pathlib.Path("/run/crond.pid").read_text())
    service("start")
    try:
        before = pid()
        until("cron's tick has started a task", lambda: home.lines("begun"), 130)
        driver, holder = home.driver(), home.holder()
        service("restart")
        expect(pid() != before and not is_alive(before), "cron was not restarted")
        expect(is_alive(driver) and is_alive(holder["pid"]), "the driver or the attempt ended with cron")
        until("the new cron ticks too", lambda: len(home.lines("begun")) == 2, 130)
        expect(home.driver() == driver, "the driver is another one")
        pathlib.Path("/etc/cron.d/crondag").unlink()
        service("stop")
        expect(is_alive(driver), "the driver ended with cron")
        home.go()
        until("both runs are over", lambda: len(home.lines("ended")) == 2)
        expect(sorted(home.lines("ended")) == home.lines("begun"), f"{home.lines('begun')} {home.lines('ended')}")
        states = lambda: [run["state"] for run in home.json("runs", "d")]
        until("both are recorded", lambda: states() == ["success"] * 2)
        expect(home.lines("cron.log") == [], home.lines("cron.log"))
    finally:
        subprocess.run(["service", "cron", "stop"], capture_output=True, check=False)
    shutil.rmtree(home.path, ignore_errors=True)
    print("cron restarted and stopped: the attempt and its driver lived on, the new cron ticked on")


{"boot": boot, "cron": cron}[sys.argv[2]]()
