#!/usr/bin/env bash
# The Spark example through real spark-submit on two dates, compared with an independent computation.
set -euo pipefail
cd "$(dirname "$0")/../.."
crondag=$PWD/target/release/crondag
venv=${CRONDAG_VENV:-$PWD/target/test-venv}
home=$PWD/target/stage/spark
rm -rf "$home"
mkdir -p "$(dirname "$home")"
cp -r examples/spark "$home"
./install/fetch-cdnow.sh "$home"
SPARK_HOME=$("$venv/bin/python" -c 'import os, pyspark; print(os.path.dirname(pyspark.__file__))')
export SPARK_HOME PYSPARK_PYTHON=$venv/bin/python
"$crondag" --home "$home" validate
"$crondag" --home "$home" render spark_profile activity_level 1997-02-14
for date in 1997-02-14 1997-03-31; do
  if ! "$crondag" --home "$home" backfill -s $date -e $date spark_profile; then
    "$crondag" --home "$home" tasks spark_profile $date
    tail -40 "$home"/.crondag/logs/spark_profile/*/*.log
    exit 1
  fi
done
python3 tests/userprofile/check_spark.py "${CRONDAG_CACHE:-target/cdnow}/CDNOW_master.txt" "$home" 1997-02-14 1997-03-31
