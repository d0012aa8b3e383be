#!/usr/bin/env bash
# Sets up all that the tests need and runs them: ./install/test.sh [STAGE...]   (--list shows the stages)
#
# Installs, if missing: the Debian packages build-essential, cron, curl, faketime, mariadb-client, mariadb-server,
# openjdk-17-jre-headless, openssl, postgresql, procps, python3-venv, sudo, valgrind, vsftpd and xz-utils; the nightly compiler
# and cargo-fuzz; and below target/ a Python environment with aiosmtpd, cryptography and pyspark. Runs again without harm.
set -euo pipefail
cd "$(dirname "$0")/.."
. install/require.sh

stages=(core simulation instructions kills outage time resident mail databases userprofile spark retail cron security fuzz)
if [ "${1:-}" = --list ]; then
  cat << 'LIST'
core         engine, schedules, files, command line, driver and shim with real processes
simulation   2,000 simulated worlds: weeks of schedules under crashes, clock jumps, edits and faults keep the promises
instructions a tick needs no more instructions than was written down (valgrind)
kills        300 random kill -9s of driver, spawner, shims, ticks and clients; nothing lost, nothing twice
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
one=
if [ "${1:-}" = --one ]; then one=$2; elif [ $# -gt 0 ]; then stages=("$@"); fi
venv=$PWD/target/test-venv

stage_core() {
  cargo test --quiet
}
stage_simulation() {
  cargo test --quiet --profile simulation --test simulation -- --seeds 2000
}
stage_instructions() {
  ./benches/instructions.sh
}
stage_kills() {
  require_packages flock:util-linux
  cargo build --release --quiet
  ./install/stages/kills.sh
}
stage_outage() {
  require_packages setpriv:util-linux prlimit:util-linux mount:mount
  cargo build --release --quiet
  ./install/stages/outage.sh
}
stage_time() {
  require_packages faketime:faketime
  cargo build --release --quiet
  ./install/stages/time.sh
}
stage_resident() {
  [ "$(id -u)" -eq 0 ] || missing "the stage resident needs root" "sudo $0 resident, or name the other stages"
  require_packages cron:cron unshare:util-linux mount:mount
  cargo build --release --quiet
  ./install/stages/resident.sh
}
stage_mail() {
  require_python "$venv" aiosmtpd cryptography
  CRONDAG_TEST_PYTHON=$venv/bin/python cargo test --quiet --test mail -- --include-ignored
}
stage_databases() {
  # Debian's package starts a server of its own, which is not used.
  require_packages mariadbd:mariadb-server mariadb:mariadb-client psql:postgresql openssl:openssl setpriv:util-linux
  require_postgres_server
  require_packages java:openjdk-17-jre-headless
  require_python "$venv" pyspark:pyspark==3.5.6
  CRONDAG_VENV=$venv ./install/stages/databases.sh
}
stage_userprofile() {
  cargo build --release --quiet
  ./install/stages/userprofile.sh
}
stage_spark() {
  cargo build --release --quiet
  require_packages java:openjdk-17-jre-headless
  require_python "$venv" pyspark:pyspark==3.5.6
  CRONDAG_VENV=$venv ./install/stages/spark.sh
}
stage_retail() {
  cargo build --release --quiet
  require_python "$venv" pyspark:pyspark==3.5.6 aiosmtpd cryptography
  CRONDAG_VENV=$venv ./install/stages/retail.sh
}
stage_security() {
  cargo build --release --quiet
  [ "$(id -u)" -eq 0 ] || missing "the stage security needs root" "sudo $0 security, or name the other stages"
  require_packages sudo:sudo setpriv:util-linux useradd:passwd pgrep:procps
  ./install/stages/security.sh
}
stage_fuzz() {
  rustup toolchain list | grep -q ^nightly || rustup toolchain install nightly --profile minimal \
    || missing "the nightly compiler could not be installed" "rustup toolchain install nightly --profile minimal"
  cargo fuzz --version > /dev/null 2>&1 || cargo install --quiet --locked cargo-fuzz \
    || missing "cargo-fuzz could not be installed" "cargo install --locked cargo-fuzz"
  ./install/stages/fuzz.sh
}
stage_cron() {
  cargo build --release --quiet
  [ "$(id -u)" -eq 0 ] || missing "the stage cron needs root" "sudo $0 cron, or name the other stages"
  require_packages cron:cron
  ./install/stages/cron.sh
}

if [ -n "$one" ]; then
  "stage_$one"
  exit
fi
require_packages cc:build-essential python3:python3 pgrep:procps
require_pip
require_rust
passed=0 failed=0 summary=
for stage in "${stages[@]}"; do
  declare -F "stage_$stage" > /dev/null || missing "there is no stage $stage" "./install/test.sh --list"
  echo "=== $stage"
  began=$SECONDS
  # In a process of its own: `set -e` does not hold inside a condition.
  if ./install/test.sh --one "$stage"; then outcome=passed; else outcome=FAILED; fi
  [ $outcome = passed ] && passed=$((passed + 1)) || failed=$((failed + 1))
  summary+=$(printf '%-12s %s in %ss' "$stage" "$outcome" $((SECONDS - began)))$'\n'
done
printf '\n%s\n' "$summary"
echo "stages: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
