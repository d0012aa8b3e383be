#!/usr/bin/env bash
# The tests of the built binary once more, with random delays where processes and threads meet (src/runner/rattle.rs), and then 100
# random kill -9s: what two of them may do in either order must come out right in either order. ROUNDS repeats the tests (3).
set -euo pipefail
cd "$(dirname "$0")/../.."
rattled=(--quiet --profile simulation --features rattle)
for test in attempts checks cli killing outages resident security; do rattled+=(--test "$test"); done
cargo test "${rattled[@]}" --no-run
[ "${1:-}" != --build ] || exit 0
for ((round = 1; round <= ${ROUNDS:-3}; round++)); do
  # They mostly wait.
  cargo test "${rattled[@]}" -- --test-threads 6
done
python3 tests/attack/kill.py target/simulation/crondag --kills 100
