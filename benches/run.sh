#!/usr/bin/env bash
# Measures crondag beside its rivals in one run, and compares with the last committed result.
#   ./benches/run.sh                 all of it (about 15 minutes, 6 GB of disk for a while)
#   ./benches/run.sh --only wide     one row; names as in the table
#   ./benches/run.sh --keep          also write docs/performance/results.json and results.svg
#   ./benches/run.sh --micro         the parts instead: engine, schedules, templates, files, store
set -euo pipefail
cd "$(dirname "$0")/.."
. install/require.sh
require_packages cc:build-essential make:make python3:python3 /usr/bin/time:time xargs:findutils
require_rust
if [ "${1:-}" = --micro ]; then
    shift
    exec cargo bench --quiet --bench parts -- "$@"
fi
cargo build --release --quiet
exec python3 benches/compare.py "$@"
