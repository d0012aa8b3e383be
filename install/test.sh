#!/usr/bin/env bash
# Sets up all that the tests need and runs them: ./install/test.sh [STAGE...]   (--list shows the stages)
# REPEAT=10 runs them ten times and counts.
#
# Installs, if missing: the Debian packages build-essential, cron, curl, faketime, mariadb-client, mariadb-server,
# openjdk-17-jre-headless, openssl, postgresql, procps, python3-venv, sudo, valgrind, vsftpd and xz-utils; the nightly compiler
# and cargo-fuzz; and below target/ a Python environment with aiosmtpd, cryptography and pyspark. Runs again without harm.
set -euo pipefail
cd "$(dirname "$0")/.."
. install/require.sh

# Four lanes run side by side: two that compute, and two that mostly wait; all that need the machine's cron, mounts and users are
# in the last one.
together=(
  "simulation core userprofile instructions"
  "retail databases spark"
  "kills races fuzz"
  "outage time resident mail cron security"
)
if [ "${1:-}" = --list ]; then
  cat << 'LIST'
core         engine, schedules, files, command line, driver and shim with real processes
simulation   2,000 simulated worlds: weeks of schedules under crashes, clock jumps, edits and faults keep the promises
instructions a tick needs no more instructions than was written down (valgrind)
kills        300 random kill -9s of driver, spawner, shims, ticks and clients; nothing lost, nothing twice
races        the tests of the built binary and 100 kills, with random delays where processes and threads meet
outage       full and read-only disks, limits of processes, files and memory (needs root)
time         both DST switches of two zones minute by minute, a clock set back, three days asleep (libfaketime)
resident     reboot and restart of cron under live attempts, the systemd units (needs root)
mail         a real SMTP server on loopback, with TLS and login
databases    sql on real PostgreSQL, MariaDB, Spark SQL and a Hive server, with TLS and bad days
userprofile  examples/userprofile on real data, every number compared
spark        examples/spark through real spark-submit
retail       examples/retail on Spark, MariaDB, PostgreSQL, FTP and SMTP, compared; and bad days
security     run_as with real users and a real sudo (needs root)
fuzz         five fuzz targets, a minute each (needs the nightly compiler and cargo-fuzz)
cron         Debian's cron ticks for three minutes (needs root)
LIST
  exit
fi
venv=$PWD/target/test-venv

# What a stage needs is installed and built before any stage runs.
release() { cargo build --release --quiet; }
java() { require_packages java:openjdk-17-jre-headless; }
pyspark() { require_python "$venv" pyspark:pyspark==3.5.6; }
mail_server() { require_python "$venv" aiosmtpd cryptography; }
root() { [ "$(id -u)" -eq 0 ] || missing "the stage $1 needs root" "sudo $0 $1, or name the other stages"; }

needs_core() { cargo test --quiet --no-run; }
stage_core() { cargo test --quiet; }

needs_simulation() { cargo test --quiet --profile simulation --test simulation --no-run; }
stage_simulation() { cargo test --quiet --profile simulation --test simulation -- --seeds 2000; }

needs_instructions() { release; }
stage_instructions() { ./benches/instructions.sh; }

needs_kills() { require_packages flock:util-linux; release; }
stage_kills() { ./install/stages/kills.sh; }

needs_races() { require_packages flock:util-linux; ./install/stages/races.sh --build; }
stage_races() { ./install/stages/races.sh; }

needs_outage() { root outage; require_packages setpriv:util-linux prlimit:util-linux mount:mount; release; }
stage_outage() { ./install/stages/outage.sh; }

needs_time() { require_packages faketime:faketime; release; }
stage_time() { ./install/stages/time.sh; }

needs_resident() { root resident; require_packages cron:cron unshare:util-linux mount:mount; release; }
stage_resident() { ./install/stages/resident.sh; }

needs_mail() { mail_server; cargo test --quiet --test mail --no-run; }
stage_mail() { CRONDAG_TEST_PYTHON=$venv/bin/python cargo test --quiet --test mail -- --include-ignored; }

needs_databases() {
  # Debian's package starts a server of its own, which is not used.
  require_packages mariadbd:mariadb-server mariadb:mariadb-client psql:postgresql openssl:openssl setpriv:util-linux
  require_postgres_server
  java
  pyspark
  cargo test --quiet --test databases --no-run
}
stage_databases() { CRONDAG_VENV=$venv ./install/stages/databases.sh; }

needs_userprofile() { release; }
stage_userprofile() { ./install/stages/userprofile.sh; }

needs_spark() { release; java; pyspark; }
stage_spark() { CRONDAG_VENV=$venv ./install/stages/spark.sh; }

needs_retail() {
  release
  java
  pyspark
  mail_server
  require_packages mariadbd:mariadb-server mariadb:mariadb-client vsftpd:vsftpd curl:curl psql:postgresql \
    setpriv:util-linux xz:xz-utils
  require_postgres_server
}
stage_retail() { CRONDAG_VENV=$venv ./install/stages/retail.sh; }

needs_cron() { root cron; require_packages cron:cron unshare:util-linux mount:mount; release; }
stage_cron() { ./install/stages/cron.sh; }

needs_security() {
  root security
  require_packages sudo:sudo setpriv:util-linux useradd:passwd pgrep:procps
  release
}
stage_security() { ./install/stages/security.sh; }

needs_fuzz() {
  rustup toolchain list | grep -q ^nightly || rustup toolchain install nightly --profile minimal \
    || missing "the nightly compiler could not be installed" "rustup toolchain install nightly --profile minimal"
  cargo fuzz --version > /dev/null 2>&1 || cargo install --quiet --locked cargo-fuzz \
    || missing "cargo-fuzz could not be installed" "cargo install --locked cargo-fuzz"
  ./install/stages/fuzz.sh --build
}
stage_fuzz() { ./install/stages/fuzz.sh; }

# In a process of its own: `set -e` does not hold inside a condition.
if [ "${1:-}" = --needs ]; then "needs_$2"; exit; fi
if [ "${1:-}" = --stage ]; then "stage_$2"; exit; fi

require_packages cc:build-essential python3:python3 pgrep:procps
require_pip
require_rust
logs=$PWD/target/test-logs
mkdir -p "$logs"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

note() { printf '%-12s %s in %ss\n' "$@" >> "$work/outcomes"; }
# show STAGE: its output as it comes.
show() {
  local stage=$1 began=$SECONDS outcome=FAILED
  echo "=== $stage"
  ./install/test.sh --stage "$stage" && outcome=passed
  note "$stage" $outcome $((SECONDS - began))
}
# keep STAGE: its output in target/test-logs, and shown as a whole if it has failed.
keep() {
  local stage=$1 began=$SECONDS outcome=FAILED log=$logs/$1.log
  # A shell ignores the keyboard in its background, and all that it starts there does.
  env --default-signal=INT,QUIT ./install/test.sh --stage "$stage" > "$log" 2>&1 && outcome=passed
  note "$stage" $outcome $((SECONDS - began))
  (
    flock 9
    echo "=== $stage $outcome in $((SECONDS - began))s"
    if [ $outcome = FAILED ]; then
      cat "$log"
      # What the next round writes over.
      { printf '\n=== the end of %s\n' "$stage"; tail -n 40 "$log"; } >> "$work/failures"
    fi
  ) 9> "$work/lock"
}
# lane HOW STAGE...: as often as asked for; one lane does not wait for another between its rounds.
lane() {
  local how=$1 round stage
  shift
  for ((round = 1; round <= ${REPEAT:-1}; round++)); do
    for stage; do "$how" "$stage"; done
  done
}

if [ $# -gt 0 ]; then lanes=("$*"); else lanes=("${together[@]}"); fi
for stage in ${lanes[*]}; do
  declare -F "stage_$stage" > /dev/null || missing "there is no stage $stage" "./install/test.sh --list"
done
ready=()
for lane in "${lanes[@]}"; do
  stages=
  for stage in $lane; do
    if ./install/test.sh --needs "$stage"; then stages+=" $stage"; else note "$stage" FAILED 0; fi
  done
  ready+=("$stages")
done
[ $# -gt 0 ] || trap 'trap - INT TERM; kill 0' INT TERM    # what runs in the background does not hear the keyboard
if [ $# -gt 0 ]; then
  # shellcheck disable=SC2086 # one argument a stage
  lane show ${ready[0]}
else
  for stages in "${ready[@]}"; do
    # shellcheck disable=SC2086
    (trap - EXIT; lane keep $stages) &
  done
  wait
fi
# Once more, where whoever reads the end looks first.
if [ -f "$work/failures" ]; then cat "$work/failures"; fi
printf '\n%s\n\n' "$(cat "$work/outcomes")"
if [ "${REPEAT:-1}" -gt 1 ]; then
  awk '{ runs[$1]++; passed[$1] += $2 == "passed" }
    END { for (stage in runs) printf "%-12s %d of %d passed\n", stage, passed[stage], runs[stage] }' "$work/outcomes" | sort
fi
passed=$(grep -c ' passed in ' "$work/outcomes") || true
failed=$(grep -c ' FAILED in ' "$work/outcomes") || true
asked=$(wc -w <<< "${lanes[*]}")
silent=$((asked * ${REPEAT:-1} - passed - failed))
[ "$silent" -eq 0 ] || echo "error: $silent stages were asked for and said nothing"
echo "stages: $passed passed, $failed failed; $SECONDS s in all"
[ "$failed" -eq 0 ] && [ "$silent" -eq 0 ]
