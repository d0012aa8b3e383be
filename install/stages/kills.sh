#!/usr/bin/env bash
# 300 random kill -9s of driver, spawner, shims, ticks and clients under a mixed load; then what the tasks wrote is compared
# with the database. KILLS and SEED override the number and the seed.
set -euo pipefail
cd "$(dirname "$0")/../.."
seed=()
[ -z "${SEED:-}" ] || seed=(--seed "$SEED")
python3 tests/attack/kill.py target/release/crondag --kills "${KILLS:-300}" "${seed[@]}"
