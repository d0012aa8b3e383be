#!/usr/bin/env bash
# The tests of the built binary once more, with random delays where processes and threads meet (src/runner/race_delay.rs), and then 100
# random kill -9s: what two of them may do in either order must come out right in either order. ROUNDS repeats the tests (3).
set -euo pipefail
cd "$(dirname "$0")/../.."
delayed=(--quiet --profile simulation --features race-delays)
for test in attempts checks cli killing outages resident security; do delayed+=(--test "$test"); done
cargo test "${delayed[@]}" --no-run
[ "${1:-}" != --build ] || exit 0
for ((round = 1; round <= ${ROUNDS:-3}; round++)); do
  # They mostly wait.
  cargo test "${delayed[@]}" -- --test-threads 6
done
python3 tests/attack/kill.py target/simulation/crondag --kills 100
