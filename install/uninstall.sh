#!/usr/bin/env bash
# Says what belongs to crondag on this machine and how to remove it. Deletes nothing.
set -euo pipefail
echo "the crontab line:   crontab -l | grep -v crondag | crontab -"
for unit in crondag.service crondag-tick.timer crondag-tick.service; do
  [ ! -e "/etc/systemd/system/$unit" ] || echo "systemd:            systemctl disable --now $unit && rm /etc/systemd/system/$unit"
done
program=$(command -v crondag || true)
[ -z "$program" ] || echo "the program:        rm $program"
echo "a home's history:   rm -r HOME/.crondag      (runs, logs, mail that waits; your DAG files stay)"
