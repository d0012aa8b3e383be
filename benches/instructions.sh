#!/usr/bin/env bash
# Counts the instructions of a `crondag tick` that finds nothing due among 1,000 DAG files, and compares with the number
# in benches/instructions.txt: more than a tenth more is a failure. Instructions do not depend on how busy a machine is.
#   ./benches/instructions.sh           compares
#   ./benches/instructions.sh --keep    writes the number down
set -euo pipefail
cd "$(dirname "$0")/.."
. install/require.sh
require_packages valgrind:valgrind
cargo build --release --quiet
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
mkdir "$home/dags"
echo 'timezone = "UTC"' > "$home/crondag.toml"
for number in $(seq 1000); do
  printf 'schedule = "0 0 1 1 *"\n[tasks.a]\nshell = "true"\n[tasks.b]\nafter = "a"\nshell = "true"\n' > "$home/dags/d$number.toml"
done
target/release/crondag --home "$home" tick
said=$(valgrind --tool=callgrind --callgrind-out-file="$home/callgrind" target/release/crondag --home "$home" tick 2>&1)
now=$(sed -n 's/^.*Collected : \([0-9]*\).*$/\1/p' <<< "$said")
[ -n "$now" ] || { echo "error: valgrind did not count: $said" >&2; exit 3; }
if [ "${1:-}" = --keep ]; then
  echo "$now" > benches/instructions.txt
  echo "a tick is $now instructions"
  exit
fi
kept=$(cat benches/instructions.txt)
echo "a tick is $now instructions; $kept were written down"
if [ $((now * 10)) -gt $((kept * 11)) ]; then
  echo "error: that is more than a tenth more" >&2
  echo "next: find out why (callgrind_annotate), or write the new number down: ./benches/instructions.sh --keep" >&2
  exit 1
fi
