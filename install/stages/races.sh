#!/usr/bin/env bash
# The tests of the built binary once more, with random delays where processes and threads meet (src/runner/race_delay.rs), and then 100
# random kill -9s: what two of them may do in either order must come out right in either order. ROUNDS repeats the tests (3).
# `--build` only builds, the simulation as well: one build serves both, and one program stands in target/simulation.
set -euo pipefail
cd "$(dirname "$0")/../.."
delayed=(--quiet --profile simulation --features race-delays)
for test in attempts checks cli killing outages resident security; do delayed+=(--test "$test"); done
if [ "${1:-}" = --build ]; then exec cargo test "${delayed[@]}" --test simulation --no-run; fi
cargo test "${delayed[@]}" --no-run
for ((round = 1; round <= ${ROUNDS:-3}; round++)); do
  # They mostly wait.
  cargo test "${delayed[@]}" -- --test-threads 6
done
python3 tests/attack/kill.py target/simulation/crondag --kills 100
