"""Proves that check.py can fail: forges each violation in a copy of a sound home and expects it to be found."""
import fcntl
import glob
import os
import shutil
import subprocess
import tempfile
import time

import check


def sql(*statements):
    def forge(home):
        database = check.connect(home)
        for statement in statements:
            if database.execute(statement).rowcount == 0:
                raise ValueError(f"changed nothing: {statement}")
        database.commit()
        database.close()

    return forge


def append(pattern, line):
    def forge(home):
        with open(sorted(glob.glob(f"{home}/out/{pattern}"))[0], "a") as file:
            file.write(line + "\n")

    return forge


def strange_attempt(home):
    with open(f"{home}/out/ticked.2024-01-01.first.999", "w") as file:
        file.write("start 1\n")


def lost_end(home):
    for path in sorted(glob.glob(f"{home}/out/ticked.*")):
        with open(path) as file:
            text = file.read()
        if "end 0" in text:
            with open(path, "w") as file:
                file.write(text.replace("end 0\n", ""))
            return


def held_lock(home):
    file = open(sorted(glob.glob(f"{home}/out/*"))[0])
    fcntl.flock(file, fcntl.LOCK_EX)
    return file.close


def left_process(home):
    process = subprocess.Popen(["sleep", "3600"], env={"PATH": os.environ["PATH"], "CRONDAG_HOME": home})

    def end():
        process.kill()
        process.wait()

    # Until it has become `sleep`, its environment is this program's.
    while not any(pid == str(process.pid) for pid, _ in check.left_processes(home)):
        time.sleep(0.01)
    return end


def left_group(home):
    """A folder that looks like a group, so that it can be forged where no control groups can be made."""
    folder = f"{home}/groups/crondag-attempt-999999999-1-0"
    os.makedirs(folder)
    with open(f"{folder}/cgroup.events", "w") as file:
        file.write("populated 1\nfrozen 0\n")
    check.CGROUPS.append(f"{home}/groups")
    return check.CGROUPS.pop


ONE_RUN = "(SELECT min(id) FROM runs WHERE dag_id = 'ticked')"
SUCCESSES = "(run, task_id, try_number) IN (SELECT run, task_id, try_number FROM task_instances WHERE state = 'success')"
FORGERIES = [
    ("missing-run", sql(f"DELETE FROM runs WHERE id = {ONE_RUN}")),
    ("unasked-run", sql(f"UPDATE runs SET logical_date = 0 WHERE id = {ONE_RUN}")),
    ("run-twice", sql(
        "CREATE TABLE copied AS SELECT * FROM runs WHERE dag_id = 'ticked' LIMIT 1",
        "UPDATE copied SET id = 999999, run_id = 'again', run_type = 'manual'",
        "INSERT INTO runs SELECT * FROM copied")),
    ("unfinished-run", sql(f"UPDATE runs SET state = 'running' WHERE id = {ONE_RUN}")),
    ("unfinished-task", sql(f"UPDATE task_instances SET state = 'queued' WHERE run = {ONE_RUN}")),
    ("started-twice", append("ticked.*", "start 2")),
    ("overlap", append("long.*", "overlap 1")),
    ("unrecorded-start", strange_attempt),
    ("open-attempt", sql(f"UPDATE attempts SET ended_at = NULL, ending = NULL WHERE run = {ONE_RUN}")),
    ("invented-end", lost_end),
    ("killed-task", sql(f"UPDATE attempts SET ending = '{{\"how\":\"signaled\",\"signal\":9}}' WHERE run = {ONE_RUN}")),
    ("success-without-exit-0", sql(
        f"UPDATE attempts SET ending = '{{\"how\":\"exited\",\"code\":1}}' WHERE {SUCCESSES}")),
    ("success-not-kept", sql(f"UPDATE task_instances SET try_number = try_number + 1 WHERE run = {ONE_RUN}")),
    ("pool", sql("UPDATE attempts SET ended_at = ended_at + 60000000 WHERE task_id = 'p1'")),
    ("live-process", held_lock),
    ("live-process", left_process),
    ("left-group", left_group),
    ("unsound", sql(f"DELETE FROM events WHERE id = (SELECT max(id) FROM events WHERE run = {ONE_RUN})")),
]


def self_test(binary, home):
    problems = []
    for code, forge in FORGERIES:
        folder = os.path.realpath(tempfile.mkdtemp(prefix="crondag-forged."))
        copy = f"{folder}/home"
        shutil.copytree(home, copy, ignore=shutil.ignore_patterns("doorbell", "logs", "attempts"))
        undo = forge(copy)
        found, _ = check.check(binary, copy)
        if undo:
            undo()
        shutil.rmtree(folder)
        if code not in {found_code for found_code, _ in found}:
            problems.append(("checker", f"{code}, forged by {getattr(forge, '__name__', forge)}, was not found: {found[:3]}"))
    if not problems:
        print(f"the checker found all {len(FORGERIES)} forged violations")
    return problems
