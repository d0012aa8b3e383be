#!/usr/bin/env bash
# The job pack through real spark-submit, MariaDB and vsftpd on two dates after 97 days of history, every value compared with an
# independent computation; then one date again, which must change nothing.
set -euo pipefail
cd "$(dirname "$0")/../.."
repo=$PWD
raw=${RETAIL_RAW:-}
if [ ! -f "$raw/2011-03-10.csv" ]; then
  echo "skipped: the retail data set is not here; RETAIL_RAW names the folder of its files by day"
  exit 0
fi
venv=${CRONDAG_VENV:-$repo/target/test-venv}
SPARK_HOME=$("$venv/bin/python" -c 'import os, pyspark; print(os.path.dirname(pyspark.__file__))')
export SPARK_HOME PYSPARK_PYTHON=$venv/bin/python SPARK_LOCAL_IP=127.0.0.1 PYTHONDONTWRITEBYTECODE=1

# Not below target/: the FTP server's own user must be able to reach its folder.
work=$(mktemp -d "${TMPDIR:-/tmp}/retail.XXXXXX")
chmod 755 "$work"
finish() {
  tests/servers/vsftpd.sh stop "$work/ftp"
  tests/servers/mariadb.sh stop "$work/mariadb"
  rm -rf "$work"
}
trap finish EXIT
tests/servers/mariadb.sh start "$work/mariadb" > /dev/null
ftp_port=$(tests/servers/vsftpd.sh start "$work/ftp")
export RETAIL_RAW=$raw RETAIL_WAREHOUSE=$work/warehouse RETAIL_MARIADB=$work/mariadb/client.cnf FTP_NETRC=$work/ftp/netrc
mariadb --defaults-file="$RETAIL_MARIADB" < jobs/serving.sql
mariadb --defaults-file="$RETAIL_MARIADB" < jobs/audience_rules.sql

# Short jobs gain nothing from the optimising compiler of the JVM: without it each needs half the processor time.
submit() {
  "$SPARK_HOME/bin/spark-submit" --master 'local[2]' --driver-memory 1g \
    --driver-java-options "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC" \
    --conf spark.ui.enabled=false --conf spark.driver.bindAddress=127.0.0.1 --conf spark.sql.shuffle.partitions=2 \
    --conf spark.sql.codegen.wholeStage=false --conf spark.sql.adaptive.enabled=false \
    --conf spark.sql.sources.parallelPartitionDiscovery.threshold=10000 "$@" 2> "$work/spark.log" \
    || { grep -v ' INFO ' "$work/spark.log" | tail -30 >&2; return 1; }
}
run_date() {
  local date=$1 job
  python3 jobs/check_upstream.py "$date"
  for job in stage_orders country last_behavior_days purchase_count activity_level high_active_period buy_category paid_amount \
    cookie_tags user_baskets tag_counts merge_tagsmap sync_mariadb reconcile audiences; do
    submit "jobs/$job.py" "$date"
  done
  submit jobs/export_audience.py "$date" --audience call_centre --to "$work/export/call_centre_$date.csv"
  jobs/upload_ftp.sh "$work/export/call_centre_$date.csv" "ftp://127.0.0.1:$ftp_port/upload/"
  cmp "$work/export/call_centre_$date.csv" "$work/ftp/root/upload/call_centre_$date.csv"
}
dump() { submit tests/retail/dump.py "$RETAIL_WAREHOUSE" "$RETAIL_MARIADB" "$1" 20110309 20110310; }
check() {
  mariadb --defaults-file="$RETAIL_MARIADB" -BNr -e 'SELECT JSON_ARRAY(audience_id, title, rule) FROM audience_rule' > "$work/rules.jsonl"
  python3 tests/retail/expected.py --raw "$raw" --since 20101201 --dump "$1" --rules "$work/rules.jsonl" --csv "$work/export" \
    "${@:2}" 20110309 20110310
}

"$venv/bin/python" tests/retail/rules_test.py
submit jobs/stage_orders.py 20110308 --since 20101201
run_date 20110309
run_date 20110310
dump "$work/first"
check "$work/first" --self-test

echo "20110309 once more, and nothing may change"
run_date 20110309
dump "$work/second"
diff -r "$work/first" "$work/second"
echo "both dates are equal to the byte, in the warehouse and in MariaDB"

# What was counted ad hoc is what the marketer saw.
rule='{"minus": [{"audience": "big_spender"}, {"audience": "continent"}, {"tag": "activity_level", "in": ["high"]}]}'
counted=$(submit jobs/audience_count.py 20110310 --rule "$rule" | sed -n 's/^audience_count 20110310: \([0-9]*\) users.*/\1/p')
seen=$(mariadb --defaults-file="$RETAIL_MARIADB" -BN -e "SELECT users FROM audience_count WHERE data_date = '20110310' AND audience_id = 'call_centre'")
[ -n "$seen" ] && [ "$counted" = "$seen" ] || { echo "error: ad hoc $counted, in the table $seen"; exit 1; }

# A row that is lost on the way is seen.
mariadb --defaults-file="$RETAIL_MARIADB" -e "DELETE FROM userprofile_tagsmap WHERE data_date = '20110310' ORDER BY userid LIMIT 1"
if submit jobs/reconcile.py 20110310 > "$work/reconcile.log" 2>&1; then
  echo "error: a lost row was not noticed"
  exit 1
fi
grep '^error:' "$work/reconcile.log"
