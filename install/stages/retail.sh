#!/usr/bin/env bash
# examples/retail through real spark-submit, MariaDB, PostgreSQL and vsftpd: ten dates after 89 days of history, every value
# compared with an independent computation; a date once more, which must change nothing; and bad days.
set -euo pipefail
cd "$(dirname "$0")/../.."
repo=$PWD
raw=${RETAIL_RAW:-}
if [ ! -f "$raw/2011-03-14.csv" ]; then
  echo "skipped: the retail data set is not here; RETAIL_RAW names the folder of its files by day"
  exit 0
fi
crondag=${CRONDAG:-$repo/target/release/crondag}
venv=${CRONDAG_VENV:-$repo/target/test-venv}
SPARK_HOME=$("$venv/bin/python" -c 'import os, pyspark; print(os.path.dirname(pyspark.__file__))')
export SPARK_HOME PYSPARK_PYTHON=$venv/bin/python SPARK_LOCAL_IP=127.0.0.1 PYTHONDONTWRITEBYTECODE=1

say() { printf '\n%4ss  %s\n' $SECONDS "$1"; }
fail() { echo "error: $1" >&2; exit 1; }

# Not below target/: the servers' own users must be able to reach their folders.
work=$(mktemp -d "${TMPDIR:-/tmp}/retail.XXXXXX")
chmod 755 "$work"
home=$work/home
finish() {
  tests/servers/vsftpd.sh stop "$work/ftp"
  tests/servers/postgres.sh stop "$work/postgres"
  tests/servers/mariadb.sh stop "$work/mariadb"
  [ -n "${KEEP:-}" ] || rm -rf "$work"
}
trap finish EXIT
say "servers"
tests/servers/mariadb.sh start "$work/mariadb" > /dev/null
tests/servers/postgres.sh start "$work/postgres" > /dev/null
ftp_port=$(tests/servers/vsftpd.sh start "$work/ftp")
export RETAIL_RAW=$work/raw RETAIL_MARIADB=$work/mariadb/client.cnf RETAIL_FIGURES=$work/postgres/service.conf
export RETAIL_FTP=ftp://127.0.0.1:$ftp_port/upload/ FTP_NETRC=$work/ftp/netrc
served() { mariadb --defaults-file="$RETAIL_MARIADB" -BNr -e "$1"; }
mariadb --defaults-file="$RETAIL_MARIADB" < jobs/serving.sql
mariadb --defaults-file="$RETAIL_MARIADB" < jobs/audience_rules.sql
PGSERVICEFILE=$RETAIL_FIGURES psql -Xq service=figures -f jobs/figures.sql
cp -rL examples/retail "$home"

dates=(2011-03-02 2011-03-03 2011-03-04 2011-03-06 2011-03-07 2011-03-08 2011-03-09 2011-03-10 2011-03-11 2011-03-13)
mkdir "$RETAIL_RAW"
ln -s "$raw"/2010-12-*.csv "$raw"/2011-0[12]-*.csv "$raw/2011-03-01.csv" "$RETAIL_RAW"
python3 tests/retail/bad_days.py whole --raw "$raw" --to "$RETAIL_RAW" "${dates[@]}"

# Starting a JVM is most of the work here: what Spark's classes look like when loaded is kept in an archive of the JVM.
java="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
submit() {
  RETAIL_WAREHOUSE=$home/warehouse "$SPARK_HOME/bin/spark-submit" --master 'local[2]' --driver-memory 1g \
    --driver-java-options "$java -Xlog:disable ${archive:-}" --conf spark.ui.enabled=false --conf spark.driver.bindAddress=127.0.0.1 \
    --conf spark.sql.shuffle.partitions=2 --conf spark.sql.codegen.wholeStage=false --conf spark.sql.adaptive.enabled=false \
    --conf spark.sql.sources.parallelPartitionDiscovery.threshold=10000 "$@" 2> "$work/spark.log" \
    || { grep -v ' INFO ' "$work/spark.log" | tail -30 >&2; return 1; }
}
say "history"
archive=-XX:ArchiveClassesAtExit=$work/spark.jsa submit jobs/stage_orders.py 20110301 --since 20101201
archive=-XX:SharedArchiveFile=$work/spark.jsa
sed -i "s|-XX:+UseSerialGC|& $archive|" "$home/crondag.toml"

crondag() { "$crondag" --home "$home" "$@"; }
# Runs a date to its end; prints what its tasks came to when the outcome is not the wanted one.
backfill() {
  local wanted=$1 outcome=succeeded
  shift
  crondag backfill "$@" retail > "$work/backfill.log" 2>&1 || outcome=failed
  [ $outcome = "$wanted" ] && return
  cat "$work/backfill.log"
  tail -n 20 "$home"/.crondag/logs/retail/*/*.log
  fail "the backfill $outcome, expected is that it $wanted"
}
compact() { tr -d - <<< "$*"; }
# The Parquet tables, the figures and MariaDB's tables of these dates as sorted text.
dump() { submit tests/retail/dump.py "$home/warehouse" "$RETAIL_MARIADB" "$RETAIL_FIGURES" "$@"; }
served 'SELECT JSON_ARRAY(audience_id, title, rule) FROM audience_rule' > "$work/rules.jsonl"
verify() {
  python3 tests/retail/expected.py --raw "$RETAIL_RAW" --since 20101201 --rules "$work/rules.jsonl" --csv "$home/export" --dump "$@"
}
"$venv/bin/python" tests/retail/rules_test.py 2>&1 | tail -1

say "ten dates"
crondag validate
backfill succeeded -s "${dates[0]}" -e "${dates[-1]}"
# shellcheck disable=SC2046 # one argument a date
dump "$work/first" $(compact "${dates[@]}")
say "every value against the independent computation"
# shellcheck disable=SC2046
verify "$work/first" --self-test $(compact "${dates[@]}")
for date in "${dates[@]}"; do
  cmp "$home/export/call_centre_$(compact "$date").csv" "$work/ftp/root/upload/call_centre_$(compact "$date").csv"
done
echo "${#dates[@]} files arrived by FTP as they were written"
