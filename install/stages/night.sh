#!/usr/bin/env bash
# Seven nights of a pipeline of tags on Spark and MariaDB under Debian's cron, in six of which something goes wrong: what the mail or
# the screen says to type repairs the whole of it, and nothing is pushed meanwhile. Needs root.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=${CRONDAG_VENV:-$PWD/target/test-venv}
python3 tests/night/night.py target/release/crondag "$venv" "$@"
