#!/usr/bin/env bash
# Brings the CDNOW purchases (69,659 purchases of 23,570 customers, 1997-01 to 1998-06) into a home, one partition a day,
# as an upstream system would leave them: fetch-cdnow.sh HOME
#
# Source: the file lifetimes/datasets/CDNOW_master.txt of the PyPI package lifetimes 0.11.3 (MIT), about 0.6 MB.
set -euo pipefail
home=${1:?"usage: fetch-cdnow.sh HOME"}
here=$(cd "$(dirname "$0")/.." && pwd)
cache=${CRONDAG_CACHE:-$here/target/cdnow}
raw=$cache/CDNOW_master.txt
sum=eff6889ed364c5199d6eacbbeb7a6d559971df4406ac876f322c373f00a072ef

if ! [ -f "$raw" ]; then
  mkdir -p "$cache"
  if ! python3 -m pip --version > /dev/null 2>&1; then
    echo "error: pip is missing, the data comes from PyPI" >&2
    echo "next: apt-get install python3-pip" >&2
    exit 3
  fi
  # Another of this may do the same at the same time; what has the name is whole.
  fresh=$(mktemp -d "$cache/new.XXXXXX")
  python3 -m pip download --quiet --no-deps --dest "$fresh" lifetimes==0.11.3
  python3 -m zipfile -e "$fresh"/[Ll]ifetimes-0.11.3*.whl "$fresh/wheel"
  mv "$fresh/wheel/lifetimes/datasets/CDNOW_master.txt" "$raw"
  rm -r "$fresh"
fi
echo "$sum  $raw" | sha256sum --check --quiet || { echo "error: $raw is damaged; remove it and try again" >&2; exit 3; }

incoming=$home/data/incoming
mkdir -p "$incoming"
# Every day of the period has a partition, also one without purchases.
days() {
  local day=1997-01-01
  while [[ $day < 1998-07-01 ]]; do
    echo "$day"
    day=$(date -d "$day + 1 day" +%F)
  done
}
awk -v folder="$incoming" '
  FNR == NR { day[$1] = folder "/" $1 ".csv"; printf "" > day[$1]; close(day[$1]); next }
  FNR > 1 {
    sub(/\r$/, "")
    date = substr($2, 1, 4) "-" substr($2, 5, 2) "-" substr($2, 7, 2)
    rows[date] = rows[date] $1 + 0 "," $3 "," $4 "\n"; count[date]++
  }
  END {
    for (date in day) {
      printf "%s", rows[date] > day[date]; close(day[date])
      file = folder "/" date ".count"; print count[date] + 0 > file; close(file)
    }
  }' <(days) "$raw"
echo "$(ls "$incoming" | grep -c csv) partitions in $incoming"
