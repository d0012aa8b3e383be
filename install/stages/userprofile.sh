#!/usr/bin/env bash
# The user-profile example on real data: 90 days, every number compared with an independent computation.
set -euo pipefail
cd "$(dirname "$0")/../.."
crondag=$PWD/target/release/crondag
home=$PWD/target/stage/userprofile
rm -rf "$home"
mkdir -p "$(dirname "$home")"
cp -r examples/userprofile "$home"
./install/fetch-cdnow.sh "$home"
"$crondag" --home "$home" validate
"$crondag" --home "$home" backfill -s 1997-01-01 -e 1997-03-31 userprofile 2> "$home/backfill.log" || { tail -20 "$home/backfill.log"; exit 1; }
raw=${CRONDAG_CACHE:-target/cdnow}/CDNOW_master.txt
python3 tests/userprofile/check.py "$raw" "$home" 1997-01-01 1997-03-31

# Idempotent for its date: doing a day again changes nothing.
"$crondag" --home "$home" backfill -s 1997-03-15 -e 1997-03-16 userprofile --rerun all 2>> "$home/backfill.log"
python3 tests/userprofile/check.py "$raw" "$home" 1997-01-01 1997-03-31

# The check can fail: with another rule it must.
sed -i 's/>= 2 AND recency/>= 3 AND recency/' "$home/jobs/activity_level.sql"
"$crondag" --home "$home" backfill -s 1997-03-31 -e 1997-03-31 userprofile --rerun all 2>> "$home/backfill.log"
if python3 tests/userprofile/check.py "$raw" "$home" 1997-01-01 1997-03-31 > "$home/changed.log" 2>&1; then
  echo "error: a changed tag rule was not noticed"
  exit 1
fi
grep -c FAIL "$home/changed.log" | sed 's/$/ differences found after a rule was changed on purpose/'
"$crondag" --home "$home" db check
