#!/usr/bin/env bash
# Full and read-only disks, a locked database, a full process table, the OOM killer, 5 GB of log, a mail server that hangs,
# 10,000 tasks: each with the words of its error, and with what is recorded afterwards. Needs root, for mounts and limits.
# FAULTS names the ones to make.
set -euo pipefail
cd "$(dirname "$0")/../.."
. install/require.sh
[ "$(id -u)" -eq 0 ] || missing "the stage outage needs root" "sudo ./install/test.sh outage, or name the other stages"
# shellcheck disable=SC2086 # words on purpose
python3 tests/attack/outage.py target/release/crondag ${FAULTS:-}
