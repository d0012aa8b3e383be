"""Measures the built binary beside its rivals: whole processes, in turn, fresh homes, medians.

Every row names what is measured, the rival on the same work, and the target. Nothing here judges a change:
these machines are noisy, so the rival runs in the same minute and the ratio is what counts.
"""

import argparse
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CRONDAG = ROOT / "target/release/crondag"
RESULTS = ROOT / "docs/performance/results.json"
DOCUMENTS = [ROOT / "docs/performance/README.md", ROOT / "README.md"]
PICTURE = ROOT / "docs/performance/results.svg"


def run(command, cwd=None):
    """Seconds that a command takes, output thrown away; a failing command ends the measurement."""
    began = time.perf_counter()
    done = subprocess.run([str(word) for word in command], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True)
    took = time.perf_counter() - began
    if done.returncode != 0:
        sys.exit(f"{command} failed ({done.returncode}): {done.stdout[-500:]!r} {done.stderr[-500:]!r}")
    return took


def many(command, times):
    """Milliseconds of one of many short runs."""
    words = [str(word) for word in command]
    null = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1, 2)]
    began = time.perf_counter()
    for _ in range(times):
        os.waitpid(os.posix_spawnp(words[0], words, os.environ, file_actions=null), 0)
    return (time.perf_counter() - began) / times * 1000


def peak_mb(command):
    """Peak memory of a command in MB, as GNU time reports it."""
    done = subprocess.run(["/usr/bin/time", "-f", "%M", *map(str, command)], capture_output=True, text=True)
    return int(done.stderr.split()[-1]) / 1024


class Bench:
    def __init__(self, folder, rounds):
        self.folder = folder
        self.rounds = rounds
        self.count = 0

    def home(self, dags, config=""):
        """A new home; nothing is deleted between runs, for a file system is slow where much was just deleted."""
        self.count += 1
        home = self.folder / f"home{self.count}"
        (home / "dags").mkdir(parents=True)
        (home / "crondag.toml").write_text(f'timezone = "UTC"\nparallelism = 2\n{config}')
        for name, text in dags.items():
            (home / "dags" / f"{name}.toml").write_text(text)
        return home

    def backfill(self, dags, dag, first="2024-01-01", last="2024-01-01"):
        home = self.home(dags)
        return run([CRONDAG, "--home", home, "backfill", "-s", first, "-e", last, dag])

    def in_turn(self, *measures):
        """Each measure once a round, in turn."""
        columns = [[] for _ in measures]
        for _ in range(self.rounds):
            for column, measure in zip(columns, measures):
                column.append(measure())
        return columns


def task(name, after=()):
    line = f"after = {json.dumps(list(after))}\n" if after else ""
    return f'[tasks.{name}]\nshell = "true"\n{line}'


def makefile(folder, name, lines):
    path = folder / name
    path.write_text("".join(f"{target}: {' '.join(needs)}\n\tbash -c true\n" for target, needs in lines))
    return path


def row(name, what, unit, values, target, rival=None, rival_values=None, measure="ratio", note=""):
    """One row: `measure` is what the target bounds, `ratio` to the rival or the `value` itself."""
    value = statistics.median(values)
    entry = {
        "name": name, "what": what, "unit": unit, "value": value, "min": min(values), "max": max(values),
        "target": target, "measure": measure, "note": note,
    }
    if rival:
        other = statistics.median(rival_values)
        entry |= {"rival": rival, "rival_value": other, "rival_min": min(rival_values), "rival_max": max(rival_values)}
        entry["ratio"] = statistics.median(a / b for a, b in zip(values, rival_values))
    entry["score"] = entry["ratio"] if measure == "ratio" else value
    return entry


WIDE = 1_000


def wide(bench):
    dag = {"wide": "".join(task(f"t{i}") for i in range(WIDE))}
    rules = makefile(bench.folder, "wide.mk", [("all", [f"t{i}" for i in range(WIDE)])] + [(f"t{i}", []) for i in range(WIDE)])
    listed = bench.folder / "listed"
    listed.write_text("true\n" * WIDE)
    ours, make, xargs = bench.in_turn(
        lambda: bench.backfill(dag, "wide"),
        lambda: run(["make", "-s", "-j2", "-f", rules, "all"]),
        lambda: run(["xargs", "-a", listed, "-P2", "-n1", "bash", "-c"]),
    )
    yield row("wide", "1,000 independent tasks, parallelism 2", "s", ours, 2.0, "make -j2", make)
    yield row("wide_xargs", "the same beside xargs -P2", "s", ours, 2.0, "xargs -P2", xargs)


def chain(bench):
    links = 200
    dag = {"chain": "".join(task(f"t{i}", [f"t{i - 1}"] if i else []) for i in range(links))}
    loop = f"i=0; while [ $i -lt {links} ]; do bash -c true; i=$((i+1)); done"
    ours, bare = bench.in_turn(lambda: bench.backfill(dag, "chain"), lambda: run(["sh", "-c", loop]))
    over = [(a - b) / links * 1000 for a, b in zip(ours, bare)]
    bare = [seconds / links * 1000 for seconds in bare]
    yield row("chain", "one link of 200, over the bare command", "ms", over, 5.0, "the bare command", bare, "value")


def backfill(bench):
    dag = {"three": 'schedule = "@daily"\nmax_active_runs = 16\n' + task("a") + task("b", "a") + task("c", "b")}
    days = range(365)
    needs = [("all", [f"c{d}" for d in days])]
    needs += [rule for d in days for rule in ((f"a{d}", []), (f"b{d}", [f"a{d}"]), (f"c{d}", [f"b{d}"]))]
    rules = makefile(bench.folder, "three.mk", needs)
    ours, make = bench.in_turn(
        lambda: bench.backfill(dag, "three", "2023-01-01", "2023-12-31"),
        lambda: run(["make", "-s", "-j2", "-f", rules, "all"]),
    )
    yield row("backfill", "backfill of 365 days x 3 tasks", "s", ours, 3.0, "make -j2", make)


def big(bench):
    count = 10_000
    after = lambda i: [f"t{i - step}" for step in (1, 7, 50, 300) if i - step >= 0 and i % 4 != 0][:4]
    edges = sum(len(after(i)) for i in range(count))
    dag = "".join(task(f"t{i}", after(i)) for i in range(count))
    home = bench.home({"big": dag})
    validate = [run([CRONDAG, "--home", home, "validate"]) for _ in range(bench.rounds)]
    yield row("big_validate", f"validate 10,000 tasks, {edges:,} edges", "s", validate, 0.3, measure="value")
    small = {"wide": "".join(task(f"t{i}") for i in range(WIDE))}
    ours, thousand = [], []
    for _ in range(min(3, bench.rounds)):
        ours.append(bench.backfill({"big": dag}, "big") / count * 1000)
        thousand.append(bench.backfill(small, "wide") / WIDE * 1000)
    yield row("big", "a task of 10,000 beside one of 1,000", "ms", ours, 1.25, "of 1,000", thousand)


def yearly(count):
    return {f"d{i}": 'schedule = "0 0 1 1 *"\n' + task("a") + task("b", "a") for i in range(count)}


def tick(bench):
    times = {}
    for count in (1_000, 10_000):
        home = bench.home(yearly(count))
        command = [CRONDAG, "--home", home, "tick"]
        run(command)
        times[count] = command
    small, large = bench.in_turn(*(lambda c=c: many(c, 5) for c in times.values()))
    yield row("tick", "tick, 1,000 DAG files, nothing due", "ms", small, 30, measure="value")
    yield row("tick_memory", "its peak memory", "MB", [peak_mb(times[1_000])], 30, measure="value")
    yield row("tick_10000", "tick, 10,000 DAG files", "ms", large, 10, "1,000 files", small)


def history(bench):
    dags = {f"d{i}": 'schedule = "0 0 1 1 *"\n' + "".join(task(f"t{k}") for k in range(10)) for i in range(100)}
    homes = [bench.home(dags), bench.home(dags)]
    for home in homes:
        run([CRONDAG, "--home", home, "tick"])
        run([CRONDAG, "--home", home, "backfill", "-s", "2024-01-01", "-e", "2024-01-01", "d0"])
    print("writing 5,000,000 task instances ...", file=sys.stderr)
    fill(homes[1] / ".crondag/crondag.db", 100, 5_000, 10)
    for name, words in (("tick", ["tick"]), ("runs", ["runs", "d7"]), ("runs_all", ["runs"]), ("status", ["status"])):
        empty, full = bench.in_turn(*(lambda h=h: many([CRONDAG, "--home", h, *words], 20) for h in homes))
        what = f"{' '.join(words)}, 5 million task instances"
        yield row(f"history_{name}", what, "ms", full, 1.5, "a new database", empty)
    shutil.rmtree(homes[1])


def fill(path, dags, runs, tasks):
    """Runs long ended, in every table, as the driver would have written them."""
    base = sqlite3.connect(path)
    base.executescript("PRAGMA synchronous = OFF; PRAGMA cache_size = -400000; PRAGMA foreign_keys = OFF;")
    day = 86_400_000_000
    base.execute("BEGIN")
    base.execute(
        f"""WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {dags * runs - 1})
        INSERT INTO runs (dag_id, run_id, run_type, logical_date, data_interval_end, state, version_id, queued_at,
                          start_date, end_date)
        SELECT 'd' || (i % {dags}), 'scheduled__' || i, 'scheduled', (i / {dags}) * {day}, (i / {dags} + 1) * {day},
               CASE WHEN i % 50 = 0 THEN 'failed' ELSE 'success' END, 1, (i / {dags} + 1) * {day},
               (i / {dags} + 1) * {day}, (i / {dags} + 1) * {day} + 60000000 FROM n"""
    )
    first = base.execute("SELECT min(id) FROM runs WHERE run_id LIKE 'scheduled__%'").fetchone()[0]
    base.execute(
        f"""INSERT INTO task_instances (run, task_id, state, try_number, max_tries, start_date, end_date)
        SELECT runs.id, 't' || j.value, 'success', 1, 1, runs.end_date - 1000000, runs.end_date
        FROM runs JOIN json_each('{json.dumps(list(range(tasks)))}') AS j WHERE runs.id >= {first}"""
    )
    base.execute(
        f"""INSERT INTO attempts (run, task_id, try_number, token, log_file, started_at, ended_at, ending, cpu_seconds,
                                  max_rss_bytes)
        SELECT run, task_id, 1, run || '.' || task_id, '.crondag/logs/' || run || '/' || task_id || '.1.log',
               start_date, end_date, '{{"how":"exited","code":0}}', 0.1, 4000000 FROM task_instances WHERE run >= {first}"""
    )
    for word in ("task_started", "task_ended"):
        base.execute(
            f"""INSERT INTO events (at, run, task_id, data)
            SELECT end_date, run, task_id, '{{"what":"{word}","state":"success","try_number":1}}'
            FROM task_instances WHERE run >= {first}"""
        )
    base.commit()
    base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    base.close()


def resident(bench):
    home = bench.home(yearly(1_000))
    run([CRONDAG, "--home", home, "tick"])
    left = subprocess.run(["pgrep", "-f", str(home)], capture_output=True, text=True).stdout.split()
    yield row("idle", "processes between ticks under cron", "", [len(left)], 0, measure="value")
    process = subprocess.Popen([CRONDAG, "--home", home, "scheduler"], stdout=subprocess.DEVNULL)
    ticks = os.sysconf("SC_CLK_TCK")

    def cpu():
        fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / ticks

    time.sleep(65)
    began, before = time.monotonic(), cpu()
    time.sleep(180)
    share = (cpu() - before) / (time.monotonic() - began) * 100
    status = Path(f"/proc/{process.pid}/status").read_text()
    memory = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024
    process.terminate()
    process.wait()
    yield row("resident_memory", "resident scheduler, 1,000 DAGs, peak memory", "MB", [memory], 20, measure="value")
    yield row("resident_cpu", "the same, idle for 3 minutes", "% of a core", [share], 0.1, measure="value")


def start(bench):
    ours, true = bench.in_turn(lambda: many([CRONDAG, "--version"], 100), lambda: many(["/bin/true"], 100))
    over = [a - 2 * b for a, b in zip(ours, true)]
    entry = row("start", "crondag --version", "ms", ours, 2.0, "/bin/true", true, "value", "value - 2 x rival")
    entry["score"] = statistics.median(over)
    yield entry
    yield row("size", "release binary", "MB", [CRONDAG.stat().st_size / 1e6], 15, measure="value")


def rivals(bench):
    """Other schedulers, when they are installed: how long they take for work of the same shape."""
    if shutil.which("airflow"):
        yield from airflow(bench)
    if shutil.which("dagu"):
        yield from dagu(bench)


def airflow(bench):
    folder = bench.folder / "airflow"
    (folder / "dags").mkdir(parents=True)
    environment = os.environ | {
        "AIRFLOW_HOME": str(folder), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
    }
    text = """import pendulum
from airflow import DAG
from airflow.operators.bash import BashOperator
with DAG("chain", schedule=None, start_date=pendulum.datetime(2024, 1, 1)) as dag:
    last = None
    for i in range(10):
        task = BashOperator(task_id=f"t{i}", bash_command="true")
        if last is not None:
            last >> task
        last = task
"""
    (folder / "dags/chain.py").write_text(text)
    subprocess.run(["airflow", "db", "migrate"], env=environment, check=True, capture_output=True)
    began = time.perf_counter()
    subprocess.run(["airflow", "dags", "test", "chain", "2024-01-01"], env=environment, check=True, capture_output=True)
    theirs = (time.perf_counter() - began) / 10
    dag = {"chain": "".join(task(f"t{i}", [f"t{i - 1}"] if i else []) for i in range(10))}
    ours = bench.backfill(dag, "chain") / 10
    yield row("airflow", "a link of a chain of 10, beside `airflow dags test`", "s", [ours], 1.0, "Airflow", [theirs])


def dagu(bench):
    path = bench.folder / "chain.yaml"
    path.write_text("steps:\n" + "".join(f"  - name: t{i}\n    command: 'true'\n" + (f"    depends: [t{i - 1}]\n" if i else "") for i in range(100)))
    dag = {"chain": "".join(task(f"t{i}", [f"t{i - 1}"] if i else []) for i in range(100))}
    ours, theirs = bench.in_turn(lambda: bench.backfill(dag, "chain"), lambda: run(["dagu", "start", path]))
    yield row("dagu", "a chain of 100, beside `dagu start`", "s", ours, 1.0, "Dagu", theirs)


GROUPS = {
    "wide": wide, "chain": chain, "backfill": backfill, "big": big, "tick": tick, "start": start, "resident": resident,
    "history": history, "rivals": rivals,
}


def number(value, unit):
    text = f"{value:,.0f}" if value >= 100 or unit == "" else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"
    return f"{text} {unit}".strip()


def verdict(entry):
    return "ok" if entry["score"] <= entry["target"] else "MISSED"


def bound(entry):
    if entry["measure"] == "ratio":
        return f"{entry['ratio']:.2f} x (<= {entry['target']:g} x)"
    if entry["note"]:
        return f"2 x {entry['rival']} + {entry['score']:.2f} (<= {entry['target']:g})"
    return f"<= {number(entry['target'], entry['unit'])}"


def table(entries, last):
    lines = []
    for entry in entries:
        spread = f"{entry['min']:.3g}..{entry['max']:.3g}" if entry["min"] != entry["max"] else ""
        rival = f"{entry['rival']} {number(entry['rival_value'], entry['unit'])}" if "rival" in entry else ""
        before = last.get(entry["name"])
        change = f"{entry['score'] / before['score'] - 1:+.0%}" if before and before["score"] > 0 else ""
        lines.append((entry["what"], number(entry["value"], entry["unit"]), spread, rival, bound(entry), verdict(entry), change))
    head = ("work", "median", "spread", "beside", "against the target", "", "since")
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]
    for line in [head, *lines]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def picture(entries):
    """Bars: how much of what the target allows is used."""
    shown = [entry for entry in entries if entry["target"] > 0]
    left, scale, high = 330, 300, 22
    height = 48 + high * len(shown)
    font = 'font-family="system-ui, sans-serif" font-size="12"'
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 {height}" width="960" height="{height}" role="img">',
        "<title>What crondag uses of each target</title>",
        f'<rect width="960" height="{height}" fill="#ffffff"/>',
        f'<text x="{left + scale}" y="18" text-anchor="middle" {font} fill="#555">target</text>',
    ]
    for i, entry in enumerate(shown):
        y = 30 + i * high
        share = max(entry["score"], 0) / entry["target"]
        width = max(2, min(share, 1.25) * scale)
        colour = "#2f7d4f" if share <= 1 else "#b3412c"
        text = number(entry["value"], entry["unit"])
        if "rival" in entry:
            text += f"  ({entry['rival']}: {number(entry['rival_value'], entry['unit'])})"
        out.append(f'<text x="{left - 8}" y="{y + 12}" text-anchor="end" {font} fill="#222">{entry["what"]}</text>')
        out.append(f'<rect x="{left}" y="{y}" width="{width:.0f}" height="16" rx="2" fill="{colour}"/>')
        out.append(f'<text x="{left + scale + 90}" y="{y + 12}" {font} fill="#222">{text}</text>')
    out.append(f'<line x1="{left + scale}" y1="24" x2="{left + scale}" y2="{height - 12}" stroke="#555" stroke-dasharray="3 3"/>')
    out.append("</svg>")
    return "\n".join(out) + "\n"


def markdown(kept):
    """The table of results, as the documents show it."""
    lines = ["| work | median | beside | ratio or target | |", "|---|---:|---|---|---|"]
    for entry in kept["rows"]:
        value = number(entry["value"], entry["unit"])
        if entry["min"] != entry["max"]:
            value += f" ({entry['min']:.3g} to {entry['max']:.3g})"
        rival = f"{entry['rival']} {number(entry['rival_value'], entry['unit'])}" if "rival" in entry else ""
        mark = "" if verdict(entry) == "ok" else "**missed**"
        lines.append(f"| {entry['what']} | {value} | {rival} | {bound(entry).replace('<=', '≤').replace(' x', '×')} | {mark} |")
    return "\n".join([f"{kept['date']}, {kept['cores']} cores, medians (smallest to largest):", "", *lines])


def write_into(document, text):
    """Puts the table between the two marks of a document."""
    begin, end = "<!-- written by benches/compare.py --keep -->\n", "\n<!-- until here -->"
    head, _, rest = document.read_text().partition(begin)
    _, _, tail = rest.partition(end)
    document.write_text(head + begin + text + end + tail)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=GROUPS, action="append", help="only this group of rows")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--keep", action="store_true", help="write docs/performance/ and the table of README.md")
    args = parser.parse_args()
    last = {entry["name"]: entry for entry in json.loads(RESULTS.read_text())["rows"]} if RESULTS.exists() else {}
    entries = []
    # On the disk of the checkout: /tmp may be in memory, where syncing costs nothing.
    with tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / "target") as folder:
        bench = Bench(Path(folder), args.rounds)
        for name in args.only or GROUPS:
            print(f"measuring {name} ...", file=sys.stderr)
            entries.extend(GROUPS[name](bench))
    print(f"{time.strftime('%Y-%m-%d', time.gmtime())}, {os.cpu_count()} cores, {args.rounds} rounds in turn\n")
    table(entries, last)
    if args.keep:
        rows = list({entry["name"]: entry for entry in [*last.values(), *entries]}.values())
        kept = {"date": time.strftime("%Y-%m-%d", time.gmtime()), "cores": os.cpu_count(), "rows": rows}
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
        PICTURE.write_text(picture(rows))
        for document in DOCUMENTS:
            write_into(document, markdown(kept))


if __name__ == "__main__":
    main()
