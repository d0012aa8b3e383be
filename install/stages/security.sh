#!/usr/bin/env bash
# Real users and a real sudo: `run_as` of tasks, what it shows to others, what it leaves behind, and the words when sudo refuses.
# Needs root; makes two users and removes them.
set -euo pipefail
cd "$(dirname "$0")/../.."
source_binary=${1:-target/release/crondag}
runner=crondag-run-$$ etl=crondag-etl-$$
base=/var/tmp/crondag-security-$$
crondag=$base/bin/crondag
sudoers=/etc/sudoers.d/crondag-test-$$
mark=864$$
tidy() {
  # Everything of the two users is this test's.
  pgrep -u "$runner,$etl" | xargs -r kill -9 2> /dev/null || true
  for _ in $(seq 300); do pgrep -u "$runner,$etl" > /dev/null || break; sleep 0.1; done
  userdel "$runner" 2> /dev/null || true
  userdel "$etl" 2> /dev/null || true
  rm -rf "$base" "$sudoers"
}
trap tidy EXIT
die() { echo "error: $1"; exit 1; }
useradd --no-create-home --home-dir "$base/home" --shell /bin/bash "$runner"
useradd --no-create-home --home-dir /nonexistent --shell /bin/sh "$etl"
mkdir -p "$base/bin" "$base/home/dags"
install -m 755 "$source_binary" "$crondag"
cat > "$base/home/crondag.toml" << 'CONFIG'
timezone = "UTC"
kill_grace = "500ms"
env_file = "secrets.env"
[connections.w]
type = "sqlite"
path = "shared/w.db"
CONFIG
echo 'TOKEN=xyzzy-plugh' > "$base/home/secrets.env"
cat > "$base/home/dags/d.toml" << DAG
[defaults]
run_as = "$etl"
[tasks.who]
shell = '''
id -un; id -Gn; echo "home \$HOME user \$USER shell \$SHELL"; pwd; echo "token \$TOKEN"
ps -eo args | grep -c xyzz[y] || true
exit 3
'''
[tasks.sql.sql]
connection = "w"
statements = "CREATE TABLE IF NOT EXISTS t (x); INSERT INTO t VALUES (:ds); SELECT * FROM t"
[tasks.folder]
shell = "true"
working_dir = "closed"
[tasks.missing]
[tasks.missing.spark]
application = "a.py"
[tasks.forks]
# A child that leaves session, parent and signals behind, and one that stays.
shell = '''
setsid bash -c 'trap "" TERM; env -i setsid sleep ${mark}1 & sleep ${mark}2' < /dev/null &
sleep ${mark}3 & echo begun; sleep ${mark}4
'''
timeout = "2s"
[tasks.long]
shell = "setsid sleep ${mark}5 & echo begun; sleep ${mark}6"
[tasks.other]
run_as = "no-such-user-$$"
shell = "true"
[tasks.own]
run_as = "$runner"
shell = "id -un"
DAG
mkdir "$base/home/shared" "$base/home/closed"
chown -R "$runner:" "$base/home"
chown "$etl:" "$base/home/shared"
chmod 755 "$base" "$base/home"
chmod 700 "$base/home/closed"
chmod 600 "$base/home/secrets.env"
as_runner() { setpriv --reuid "$runner" --regid "$(id -g "$runner")" --clear-groups --reset-env -- "$crondag" --home "$base/home" "$@"; }
as_root() { "$crondag" --home "$base/home" "$@"; }
wait_until() { # WHAT COMMAND...
  local what=$1 deadline=$((SECONDS + 120)); shift
  until "$@"; do
    [ $SECONDS -lt $deadline ] || { pgrep -af "sleep ${mark}" || true; as_root tasks d; die "waited in vain: $what"; }
    sleep 0.1
  done
}
sleepers() { pgrep -f "sleep ${mark}" > /dev/null; }
not() { ! "$@"; }
none_left() { wait_until "$1: no process is left" not sleepers; }
expect() { # WHAT TEXT PATTERN...
  local what=$1 text=$2 pattern; shift 2
  for pattern in "$@"; do
    grep -qF -- "$pattern" <<< "$text" || { echo "$text"; die "$what: expected \"$pattern\""; }
  done
}
# state AS TASK_ID KEY
state() { "$1" tasks d --json | python3 -c 'import json,sys; print([t[sys.argv[2]] for t in json.load(sys.stdin) if t["task_id"] == sys.argv[1]][0])' "$2" "$3"; }
reason() { state "$1" "$2" reason; }
has_state() { [ "$(state "$1" "$2" state)" = "$3" ]; }
run_failed() { "$1" runs d --json | grep -q '"state": "failed"'; }
has() { grep -qs -- "$1" $2; } # a glob, which may match nothing yet
wait_for() { wait_until "$1 in $2" has "$1" "$2"; }

echo "--- without a line in sudoers"
output=$(as_runner test d who 20240101 2>&1) && die "it ran without the right to"
line="$runner ALL=($etl) NOPASSWD: $crondag __exec"
expect "the error" "$output" "cannot become $etl: sudo refused" "visudo -f /etc/sudoers.d/crondag" "$line"
as_runner trigger d --date 2024-01-01 > /dev/null
wait_for 'attempt\|crondag\] cannot become' "$base/home/.crondag/logs/d/*/who.1.log"
wait_until "the run fails" run_failed as_runner
expect "the reason" "$(reason as_runner who)" "$line"
expect "the log" "$(as_runner logs d who)" "sudo:"
expect "an unknown user" "$(reason as_runner other)" "there is no user \`no-such-user-$$\` on this machine"
expect "one's own user needs no sudo" "$(as_runner logs d own)" "
$runner
"
rm -rf "$base/home/.crondag"

attempts() { # AS: the same for both ways
  local as=$1 output pid
  output=$($as test d who 20240101 2>&1) && die "exit status 3 is lost"
  expect "$as who" "$output" "$etl
" "home /nonexistent user $etl shell /bin/sh" "$base/home" "token ***" "exit status 3" "
0
"
  expect "$as sql" "$($as test d sql 20240101 2>&1)" "success"
  [ "$(stat -c %U "$base/home/shared/w.db")" = "$etl" ] || die "$as: the database is not of $etl"
  expect "$as folder" "$($as test d folder 20240101 2>&1 || true)" "as $etl: " "closed"
  expect "$as missing" "$($as test d missing 20240101 2>&1 || true)" "as $etl: spark-submit is not on the task's PATH"
  expect "$as timeout in the foreground" "$($as test d forks 20240101 2>&1 || true)" "timed out"
  none_left "$as test"
  $as trigger d --date 2024-01-01 > /dev/null
  wait_for begun "$base/home/.crondag/logs/d/*/long.1.log"
  wait_until "$as: forks fails" has_state $as forks failed
  expect "$as timeout" "$(reason $as forks)" "timed out"
  pgrep -f "sleep ${mark}[1-4]" > /dev/null && { pgrep -af "sleep ${mark}"; die "$as: processes survive the timeout"; }
  expect "$as who" "$(reason $as who)" "exit status 3"
  $as stop d -y > /dev/null
  none_left "$as stop"
  wait_until "$as: the run fails" run_failed $as
  expect "$as stop" "$(reason $as long)" "stopped"
  # The shim is killed: what it watched is found by its user.
  $as clear d 2024-01-01 --task long -y > /dev/null
  wait_for begun "$base/home/.crondag/logs/d/*/long.2.log"
  pid=$(pgrep -f "crondag __shim d/.*/long/2") || die "$as: no shim"
  kill -9 "$pid"
  none_left "$as kill -9 of the shim"
  wait_until "$as: long fails" has_state $as long failed
  expect "$as lost" "$(reason $as long)" "shim was killed"
  ! grep -rqa xyzzy "$base/home/.crondag" || die "$as: a secret is in the state folder"
}

echo "--- through sudo"
echo "$line" > "$sudoers"
chmod 440 "$sudoers"
visudo -cqf "$sudoers"
attempts as_runner
echo "--- as root, without sudo"
rm -rf "$sudoers" "$base/home/.crondag" "$base/home/shared/w.db"
attempts as_root
echo "run_as works through sudo and as root"
