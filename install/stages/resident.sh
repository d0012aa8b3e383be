#!/usr/bin/env bash
# What started the driver is restarted: the machine (another boot id) and Debian's cron. The systemd units are read by
# systemd itself.
set -euo pipefail
cd "$(dirname "$0")/../.."
python3 tests/attack/restart.py target/release/crondag boot
python3 tests/attack/restart.py target/release/crondag cron
./install/stages/zone.sh
command -v systemd-analyze > /dev/null || { echo "skipped: the units, there is no systemd-analyze"; exit; }
units=$(mktemp -d)
trap 'rm -rf "$units"' EXIT
for unit in install/systemd/*; do
  # The program and the user of the examples are not on this machine.
  sed "s|/usr/local/bin/crondag|$PWD/target/release/crondag|; s|^User=.*|User=root|" "$unit" > "$units/${unit##*/}"
done
found=$(systemd-analyze verify --man=no "$units"/* 2>&1 | grep -F "$units" || true)
[ -z "$found" ] || { echo "error: systemd finds fault with a unit"; echo "$found"; exit 1; }
echo "systemd has nothing against the units"
