#!/usr/bin/env bash
# examples/retail through real spark-submit, MariaDB, PostgreSQL, vsftpd and an SMTP server: nine dates after 92 days of
# history, every value compared with an independent computation; a date once more, which must change nothing; and a tenth date,
# bad in one way after another, then repaired and compared as well.
set -euo pipefail
cd "$(dirname "$0")/../.."
repo=$PWD
crondag=${CRONDAG:-$repo/target/release/crondag}
venv=${CRONDAG_VENV:-$repo/target/test-venv}
dates=(2011-03-03 2011-03-04 2011-03-06 2011-03-07 2011-03-08 2011-03-09 2011-03-10 2011-03-11 2011-03-13)
bad=2011-03-14

say() { printf '\n%4ss  %s\n' $SECONDS "$1"; }
fail() { echo "error: $1" >&2; exit 1; }
compact() { tr -d - <<< "$*"; }

# Not below target/: the servers' own users must be able to reach their folders.
work=$(mktemp -d "${TMPDIR:-/tmp}/retail.XXXXXX")
home=$work/home data=$work/days
finish() {
  exec 9>&-
  ./install/retail.sh stop "$work"
  [ -n "${KEEP:-}" ] || rm -rf "$work"
}
trap finish EXIT

say "servers, a home, and the history"
CRONDAG_VENV=$venv ./install/retail.sh start "$work"
. "$work/env"
# The mail server ends when its standard input does.
mkdir "$work/mail"
mkfifo "$work/mail.stdin"
"$venv/bin/python" tests/servers/smtp_server.py "$work/mail" < "$work/mail.stdin" > "$work/mail.port" 2> "$work/mail.log" &
exec 9> "$work/mail.stdin"
until [ -s "$work/mail.port" ]; do kill -0 $! && sleep 0.1 || fail "the mail server did not start: $(cat "$work/mail.log")"; done
sed -i -e '/^path *= "mail"/d' \
  -e "s/^transport = \"folder\"/transport = \"smtp\"\nhost = \"127.0.0.1\"\nport = $(cat "$work/mail.port")\ntls = \"none\"/" \
  "$home/crondag.toml"
# What is waited for here comes at once or never.
sed -i -e 's/"1m"/"1s"/' -e 's/for_at_most = "[46]h"/for_at_most = "2s"/' "$home/dags/retail.toml"
# Delivered once it is time.
rm -r "$home/raw/$bad"

served() { mariadb --defaults-file="$RETAIL_MARIADB" -BNr -e "$1"; }
served 'SELECT JSON_ARRAY(audience_id, title, rule) FROM audience_rule' > "$work/rules.jsonl"
"$venv/bin/python" tests/retail/rules_test.py 2>&1 | tail -1
crondag() { "$crondag" --home "$home" "$@"; }
crondag validate
deliver() { python3 tests/retail/bad_days.py "$1" --raw "$data" --to "$home/raw" "${@:2}"; }
submit() {
  "$SPARK_HOME/bin/spark-submit" --master 'local[2]' --driver-memory 1g \
    --driver-java-options "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xlog:disable -XX:SharedArchiveFile=$work/spark.jsa" \
    --conf spark.ui.enabled=false --conf spark.driver.bindAddress=127.0.0.1 --conf spark.sql.adaptive.enabled=false \
    --conf spark.sql.shuffle.partitions=2 --conf spark.sql.codegen.wholeStage=false \
    --conf spark.sql.sources.parallelPartitionDiscovery.threshold=10000 "$@" 2> "$work/spark.log" \
    || { grep -v ' INFO ' "$work/spark.log" | tail -30 >&2; return 1; }
}

# backfill OUTCOME ARGUMENT...: shows what went on when it does not come out as it should.
backfill() {
  local wanted=$1 outcome=succeeded
  shift
  crondag backfill "$@" retail > "$work/backfill.log" 2>&1 || outcome=failed
  [ $outcome = "$wanted" ] && return
  cat "$work/backfill.log"
  tail -n 20 "$home"/.crondag/logs/retail/*/*.log
  fail "the backfill $outcome; it should have $wanted"
}
# dump FOLDER DATE...: the Parquet tables, the figures and MariaDB's tables as sorted text.
dump() {
  local folder=$1
  shift
  # shellcheck disable=SC2046 # one argument a date
  submit tests/retail/dump.py "$RETAIL_WAREHOUSE" "$RETAIL_MARIADB" "$RETAIL_FIGURES" "$folder" $(compact "$@")
}
# verify FOLDER EXPORTS DATE... [--self-test]
verify() {
  local folder=$1 exports=$2
  shift 2
  # shellcheck disable=SC2046
  python3 tests/retail/expected.py --raw "$home/raw" --since 20101201 --rules "$work/rules.jsonl" --csv "$exports" \
    --dump "$folder" $(compact "$@") ${self_test:-}
}
arrived() {
  local date
  for date in "$@"; do
    cmp "$home/export/call_centre_$(compact "$date").csv" "$work/vsftpd/root/upload/call_centre_$(compact "$date").csv"
    cmp "$home/export/$(compact "$date").ready" "$work/vsftpd/root/upload/$(compact "$date").ready"
  done
  echo "$# exports arrived by FTP as they were written"
}

say "nine dates"
backfill succeeded -s "${dates[0]}" -e "${dates[-1]}"
say "every value against the independent computation, which goes on while one date runs again"
dump "$work/first" "${dates[@]}"
cp -r "$home/export" "$work/export"
arrived "${dates[@]}"
self_test=--self-test verify "$work/first" "$work/export" "${dates[@]}" > "$work/verify.log" 2>&1 &
verification=$!

say "one date again, and nothing may change"
backfill succeeded -s 2011-03-09 -e 2011-03-09 --rerun all
dump "$work/second" "${dates[@]}"
diff -r "$work/first" "$work/second"
diff -r "$work/export" "$home/export"
echo "warehouse, figures, MariaDB and exports are equal to the byte"

say "an ad-hoc count is what the marketer sees"
rule='{"minus": [{"audience": "big_spender"}, {"audience": "continent"}, {"tag": "activity_level", "in": ["high"]}]}'
counted=$(submit jobs/audience_count.py 20110313 --rule "$rule" | sed -n 's/^audience_count 20110313: \([0-9]*\) users.*/\1/p')
seen=$(served "SELECT users FROM audience_count WHERE data_date = '20110313' AND audience_id = 'call_centre'")
[ -n "$seen" ] && [ "$counted" = "$seen" ] || fail "ad hoc $counted, in the table $seen"
echo "$counted users"

say "the independent computation"
wait $verification || { cat "$work/verify.log"; fail "it does not agree"; }
cat "$work/verify.log"

state_of() {
  crondag tasks retail "$2" --json | python3 -c 'import json, sys
print(next(task["state"] for task in json.load(sys.stdin) if task["task_id"] == sys.argv[1]))' "$1"
}
# report DATE TEXT...: the newest report of the date arrived by SMTP, and its plain text has all of these.
report() { "$venv/bin/python" tests/retail/read_report.py "$work/mail" "$@"; }
# caught TASK CAUSE TEXT: on the bad day this task failed with this text and the report says so; `diagnose` names the cause
# first; nothing reached anybody.
caught() {
  local task=$1 cause=$2 table named
  shift 2
  [ "$(state_of "$task" $bad)" = failed ] || { crondag tasks retail $bad; fail "$task did not fail"; }
  # A wait has no log, but a reason.
  crondag logs retail "$task" $bad > "$work/said" 2>&1 || true
  grep -F -e "$1" "$work/said" || { cat "$work/said"; fail "$task does not say '$1'"; }
  for table in userprofile_tagsmap audience_user audience_count; do
    [ "$(served "SELECT count(*) FROM $table WHERE data_date = '$(compact $bad)'")" = 0 ] || fail "$table has rows of the bad day"
  done
  if ls "$home"/export/*"$(compact $bad)"* "$work"/vsftpd/root/upload/*"$(compact $bad)"* 2> /dev/null; then
    fail "the bad day was exported"
  fi
  ! crondag gate tags_ok $bad > "$work/said" || fail "the gate of the bad day is open"
  # The gate names the check that keeps it shut, unless no check has seen the day.
  grep -qE "retail ($task at .*: fail|upstream at .*: has yet to speak)|nobody has spoken" "$work/said" \
    || { cat "$work/said"; fail "the gate does not name $task"; }
  report $bad "$task" "$@"
  crondag diagnose retail "$task" $bad > "$work/said" || true
  named=$(grep -oE -m 1 '\((resources|upstream_late|upstream_abnormal|logic|business_change|environment)\)' "$work/said") || true
  [ "$named" = "($cause)" ] || { cat "$work/said"; fail "the cause is not named $cause"; }
  echo "diagnosed as $cause"
}
again() { backfill failed -s $bad -e $bad --rerun all; }

say "a day whose files are not complete"
deliver unfinished $bad
backfill failed -s $bad -e $bad
caught raw_is_there upstream_late "in vain for file raw/$bad/_SUCCESS"
say "half the files are missing"
deliver half $bad
again
caught upstream upstream_abnormal files_missing:
say "every row stands twice"
deliver doubled $bad
again
caught upstream logic doubled:
say "the product code has a new form"
deliver recoded $bad
again
caught upstream business_change unparsed:
say "a job was edited: the country of the last 30 days only"
deliver whole $bad
sed -i 's/BEGINNING)/30)/' "$home/jobs/country.py"
again
caught value_counts upstream_abnormal jump:
say "job and day repaired"
cp jobs/country.py "$home/jobs/country.py"
backfill succeeded -s $bad -e $bad --rerun all
dump "$work/repaired" $bad
verify "$work/repaired" "$home/export" $bad
arrived $bad
crondag gate tags_ok $bad

say "a row is lost on the way to MariaDB"
served "DELETE FROM userprofile_tagsmap WHERE data_date = '20110314' ORDER BY userid LIMIT 1"
# The run's leaves have succeeded before, so the run has as well; that a task failed is said all the same.
backfill failed -s $bad -e $bad --rerun all --only reconcile
[ "$(state_of reconcile $bad)" = failed ] || fail "a lost row was not noticed"
crondag logs retail reconcile $bad > "$work/reconcile.log"
grep -F -m 3 'reconcile: the other side has' "$work/reconcile.log"
! crondag gate tags_ok $bad || fail "the gate is open"
crondag gate set tags_ok $bad ok --reason "one user, served again tomorrow"
crondag gate tags_ok $bad
