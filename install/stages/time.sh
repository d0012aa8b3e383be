#!/usr/bin/env bash
# The clock as an attacker: both DST switches of two zones, minute by minute; set back an hour; three days asleep; who is told of 200
# failures in 200 minutes.
set -euo pipefail
cd "$(dirname "$0")/../.."
python3 tests/attack/clock.py target/release/crondag
