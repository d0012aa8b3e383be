#!/usr/bin/env bash
# Fuzzes what reads texts, each target for SECONDS_EACH seconds (60), seeded from tests/ and examples/. A text that breaks a
# rule is kept in fuzz/artifacts, and the command that repeats it is printed.
set -euo pipefail
cd "$(dirname "$0")/../.."
# A template may take a million steps, which is slow when each is counted. Safe code needs no sanitizer, and without one the build takes half the time.
CARGO_TERM_QUIET=true cargo +nightly fuzz build -s none
[ "${1:-}" != --build ] || exit 0
seconds=${SECONDS_EACH:-60}
seeds=$PWD/target/fuzz-seeds
rm -rf "$seeds"
mkdir -p "$seeds"/{dag_file,schedule,template,date,duration}
number=0
for file in tests/files/*.toml tests/faults/*.toml examples/*/crondag.toml examples/*/dags/*.toml src/app/request/init/*.toml; do
  number=$((number + 1))
  cp "$file" "$seeds/dag_file/$number"
done
python3 - "$seeds" << 'PYTHON'
import glob, json, re, sys
seeds = sys.argv[1]
def put(target, texts):
    for number, text in enumerate(sorted(set(texts))):
        with open(f"{seeds}/{target}/{number}", "w") as file:
            file.write(text)
with open("tests/oracle/cron_next.json") as file:
    put("schedule", [f"{index * 4321}|{case['expr']}" for index, case in enumerate(json.load(file)[::6])]
        + [f"0|@{word}" for word in ("hourly", "daily", "weekly", "monthly", "yearly")])
texts = ""
for pattern in ("examples/*/dags/*.toml", "examples/*/sql/*.sql", "tests/f*/*.toml", "docs/reference/*.md", "src/dag/template/tests.rs"):
    for name in glob.glob(pattern):
        with open(name) as file:
            texts += file.read()
put("template", re.findall(r"[^\n\"']*\{[{%][^\n]*?[}%]\}[^\n\"']*", texts) + ["{{ secret.DB | sh }}", "{{ params.city[:1] }}"])
put("duration", re.findall(r"\b\d+(?:ms|[smhdw]|KB|MB|GB)\b", texts) + ["1h30m", "2w3d", "850ms", "0s"])
put("date", re.findall(r"\d{4}-?\d\d-?\d\d(?:T[\d:+.Z-]+)?", texts) + ["20180701", "2018-07-01T07:00", "2018-07-01T07:00:00+08:00"])
PYTHON
failed=
for target in dag_file schedule template date duration; do
  mkdir -p "fuzz/corpus/$target"
  echo "=== fuzz $target for ${seconds}s, $(find "$seeds/$target" -type f | wc -l) seeds"
  log=$(mktemp)
  if cargo +nightly fuzz run -s none "$target" "fuzz/corpus/$target" "$seeds/$target" -- \
    -max_total_time="$seconds" -timeout=120 -rss_limit_mb=4096 -verbosity=1 -print_final_stats=1 > "$log" 2>&1; then
    grep -E "stat::number_of_executed_units|DONE" "$log" || true
  else
    tail -n 40 "$log"
    failed+=" $target"
  fi
  rm -f "$log"
done
[ -z "$failed" ] || { echo "error: these targets found something:$failed"; exit 1; }
