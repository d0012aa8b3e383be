#!/usr/bin/env bash
# Sets up all that the tests need and runs them. `./install/test.sh --help` says how to call it, `--list` shows the stages.
set -euo pipefail
cd "$(dirname "$0")/.."
. install/require.sh

usage() {
  cat << 'HELP'
Sets up all that the tests need and runs them.

  ./install/test.sh                  all stages, in lanes side by side
  ./install/test.sh STAGE...         these, one after another, with their output as it comes
  ./install/test.sh --since COMMIT   all but the heavy ones of which no file has changed since that commit (--files)
  ./install/test.sh --list           the stages
  ./install/test.sh --files          the heavy stages, and the files on which each depends
  REPEAT=10 ./install/test.sh ...    ten times, and counts

A stage begins once what it needs itself is built and installed; each build and each installation is said, with how long it
took, and once a minute what is still going on. Logs are kept in target/test-logs.

Installs, if missing: the Debian packages build-essential, cron, curl, faketime, mariadb-client, mariadb-server,
openjdk-17-jre-headless, openssl, postgresql, procps, python3-venv, sudo, valgrind, vsftpd and xz-utils; the nightly compiler
and cargo-fuzz; and below target/ a Python environment with aiosmtpd, cryptography and pyspark. Runs again without harm.
`cargo test` alone needs none of these.
HELP
}

# ---- the stages --------------------------------------------------------------------------------------------------------
# stage NAME "NEEDS" "WHAT": a need is a function need_NAME below; the needs of a stage are met in the order in which they stand.

names=()
declare -A needs about
stage() { names+=("$1"); needs[$1]=$2; about[$1]=$3; }
stage core "tests faketime" "engine, schedules, files, command line, driver and shim with real processes"
stage simulation "checked" "2,000 simulated worlds: weeks of schedules under crashes, clock jumps, edits and faults keep the promises"
stage instructions "valgrind release" "a tick needs no more instructions than was written down (valgrind)"
stage kills "release" "300 random kill -9s of driver, spawner, shims, ticks and clients; nothing lost, nothing twice"
stage races "checked" "the tests of the built binary and 100 kills, with random delays where processes and threads meet"
stage outage "release" "full and read-only disks, limits of processes, files and memory (needs root)"
stage time "faketime release" "both DST switches of two zones minute by minute, a clock set back, three days asleep, 200 failures in 200 minutes (libfaketime)"
stage resident "cron release" "reboot and restart of cron under live attempts, the systemd units (needs root)"
stage mail "mail_server tests" "a real SMTP server on loopback, with TLS and login"
stage databases "database_servers java pyspark tests" "sql on real PostgreSQL, MariaDB, Spark SQL and a Hive server, with TLS and bad days"
stage userprofile "release" "examples/userprofile on real data, every number compared"
stage spark "java pyspark release" "examples/spark through real spark-submit"
stage retail "database_servers ftp java pyspark mail_server release" "examples/retail on Spark, MariaDB, PostgreSQL, FTP and SMTP, compared; and bad days"
stage night "database_servers java pyspark cron release" "six nights that go wrong, on Spark and MariaDB under cron; what the mail says to type makes them whole (needs root)"
stage security "sudo release" "run_as with real users and a real sudo (needs root)"
stage fuzz "nightly cargo_fuzz fuzzers" "five fuzz targets, a minute each (needs the nightly compiler and cargo-fuzz)"
stage cron "cron release" "Debian's cron ticks for three minutes (needs root)"

# Four lanes run side by side: two that compute, and two that mostly wait; all that need the machine's cron, mounts and users are
# in the last one. What needs the build that is ready last stands behind the others.
together=(
  "userprofile instructions core simulation"
  "retail databases spark"
  "kills races fuzz"
  "outage time resident mail cron security night"
)

# What the heavy stages depend on, as git's pathspecs: `--since` leaves one out when nothing of it has changed.
every="Cargo.toml Cargo.lock build.rs install/test.sh install/require.sh install/fetch-cdnow.sh tests/servers"
declare -A files=(
  [spark]="$every examples/spark tests/userprofile install/stages/spark.sh src/runner/actions src/runner/attempt src/dag/file src/dag/config.rs src/dag/model.rs src/dag/template src/text_file.rs"
  [databases]="$every tests/databases.rs tests/common install/stages/databases.sh src/runner/actions src/runner/attempt src/dag/file src/dag/check.rs src/dag/config.rs src/dag/model.rs src/dag/sql.rs src/dag/template src/check src/mask.rs src/access.rs src/text_file.rs"
  [night]="$every tests/night install/stages/night.sh src"
  [retail]="$every examples/retail jobs tests/retail install/retail.sh install/stages/retail.sh src/runner src/dag src/check src/notify src/store src/mask.rs src/access.rs src/text_file.rs"
)

# ---- what they need ----------------------------------------------------------------------------------------------------
# what NAME WORDS: what stands on the screen while it is built or installed.

venv=$PWD/target/test-venv
declare -A words=(
  [release]="builds the release, target/release/crondag"
  [tests]="builds the tests of cargo test"
  [checked]="builds the simulation and the tests of the binary with delays, optimised and with overflow checks"
  [fuzzers]="builds the fuzz targets with the nightly compiler"
  [nightly]="installs the nightly compiler"
  [cargo_fuzz]="builds and installs cargo-fuzz"
  [java]="installs Java 17"
  [pyspark]="installs Spark 3.5.6 from PyPI, 300 MB, in target/test-venv"
  [mail_server]="installs aiosmtpd and cryptography in target/test-venv"
  [database_servers]="installs MariaDB and PostgreSQL"
  [ftp]="installs vsftpd"
  [cron]="installs cron"
  [faketime]="installs libfaketime"
  [valgrind]="installs valgrind"
  [sudo]="installs sudo"
)
# Each of these works by itself, in this order: builds take the processors, installations the network. Most stages need the
# release, whose last minutes are the work of one processor.
first_builds=(release)
builds=(tests checked cargo_fuzz fuzzers)
installs=(faketime cron valgrind sudo mail_server nightly database_servers ftp java pyspark)
declare -A behind=([fuzzers]=nightly)

need_release() { cargo build --release --quiet; }
need_tests() { cargo test --quiet --no-run; }
need_checked() { ./install/stages/races.sh --build; }
need_fuzzers() { ./install/stages/fuzz.sh --build; }
need_nightly() {
  rustup toolchain list | grep -q ^nightly || rustup toolchain install nightly --profile minimal \
    || missing "the nightly compiler could not be installed" "rustup toolchain install nightly --profile minimal"
}
need_cargo_fuzz() {
  cargo fuzz --version > /dev/null 2>&1 || cargo install --quiet --locked cargo-fuzz \
    || missing "cargo-fuzz could not be installed" "cargo install --locked cargo-fuzz"
}
need_java() { require_packages java:openjdk-17-jre-headless; }
need_pyspark() { require_python "$venv" pyspark:pyspark==3.5.6; }
need_mail_server() { require_python "$venv" aiosmtpd cryptography; }
need_database_servers() {
  # Debian's packages start servers of their own, which are not used.
  require_packages mariadbd:mariadb-server mariadb:mariadb-client psql:postgresql openssl:openssl
  require_postgres_server
}
need_ftp() { require_packages vsftpd:vsftpd curl:curl xz:xz-utils; }
need_cron() { require_packages cron:cron; }
need_faketime() { require_packages faketime:faketime; }
need_valgrind() { require_packages valgrind:valgrind; }
need_sudo() { require_packages sudo:sudo useradd:passwd; }

# ---- what they run -----------------------------------------------------------------------------------------------------

root() { [ "$(id -u)" -eq 0 ] || missing "the stage $1 needs root" "sudo ./install/test.sh $1, or name the other stages"; }

run_core() { cargo test --quiet; }
# The features of the stage races, whose build it shares; no delay is where the simulation is.
run_simulation() { cargo test --quiet --profile simulation --features race-delays --test simulation -- --seeds 2000; }
run_instructions() { ./benches/instructions.sh; }
run_kills() { ./install/stages/kills.sh; }
run_races() { ./install/stages/races.sh; }
run_outage() { root outage && ./install/stages/outage.sh; }
run_time() { ./install/stages/time.sh; }
run_resident() { root resident && ./install/stages/resident.sh; }
run_mail() { CRONDAG_TEST_PYTHON=$venv/bin/python cargo test --quiet --test mail -- --include-ignored; }
run_databases() { CRONDAG_VENV=$venv ./install/stages/databases.sh; }
run_userprofile() { ./install/stages/userprofile.sh; }
run_spark() { CRONDAG_VENV=$venv ./install/stages/spark.sh; }
run_retail() { CRONDAG_VENV=$venv ./install/stages/retail.sh; }
run_security() { root security && ./install/stages/security.sh; }
run_night() { root night && CRONDAG_VENV=$venv ./install/stages/night.sh; }
run_fuzz() { ./install/stages/fuzz.sh; }
run_cron() { root cron && ./install/stages/cron.sh; }

# ---- how it is called --------------------------------------------------------------------------------------------------

since= asked=()
case ${1:-} in
  # In a process of its own: `set -e` does not hold inside a condition.
  --need) "need_$2"; exit ;;
  --run) "run_$2"; exit ;;
  -h | --help) usage; exit ;;
  --list) for name in "${names[@]}"; do printf '%-12s %s\n' "$name" "${about[$name]}"; done; exit ;;
  --files) for name in "${!files[@]}"; do printf '%-12s %s\n' "$name" "${files[$name]}"; done; exit ;;
  --since) since=${2:?a commit}; [ $# -eq 2 ] || missing "--since takes a commit and no stages" "./install/test.sh --help" ;;
  -*) missing "there is no option $1" "./install/test.sh --help" ;;
  *) asked=("$@") ;;
esac
for name in "${asked[@]}"; do
  [ -n "${needs[$name]:-}" ] || missing "there is no stage $name" "./install/test.sh --list"
done
lanes=("${together[@]}")
[ ${#asked[@]} -eq 0 ] || lanes=("${asked[*]}")

# is_unchanged STAGE: it is a heavy one, and what it depends on is as it was, in commits and in the folder.
is_unchanged() {
  [ -n "${files[$1]:-}" ] || return 1
  # shellcheck disable=SC2086 # one argument a path
  git diff --quiet "$since" -- ${files[$1]} && [ -z "$(git ls-files --others --exclude-standard -- ${files[$1]})" ]
}
if [ -n "$since" ]; then
  git rev-parse --quiet --verify "$since^{commit}" > /dev/null || missing "there is no commit $since" "git log --oneline"
  for nth in "${!lanes[@]}"; do
    kept=
    for name in ${lanes[nth]}; do
      if is_unchanged "$name"; then echo "left out: $name, nothing of it has changed since $since"; else kept+=" $name"; fi
    done
    lanes[nth]=$kept
  done
fi

# ---- the work ----------------------------------------------------------------------------------------------------------

logs=$PWD/target/test-logs
mkdir -p "$logs"
work=$(mktemp -d)
mkdir "$work/met" "$work/doing"
trap 'rm -rf "$work"' EXIT
# What runs in the background does not hear the keyboard.
trap 'trap - INT TERM; kill 0' INT TERM

clock() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }
say() { (flock 9; printf '%6s  %s\n' "$(clock $SECONDS)" "$1") 9> "$work/lock"; }
# end_of WHAT LOG: once at once, and once more at the end, where whoever reads looks first.
end_of() {
  { printf '\n=== the end of %s\n' "$1"; tail -n 40 "$2"; } >> "$work/failures"
  (flock 9; cat "$2") 9> "$work/lock"
}

require_packages cc:build-essential python3:python3 pgrep:procps flock:util-linux setpriv:util-linux prlimit:util-linux \
  unshare:util-linux mount:mount
require_pip
require_rust

# meet NICE NEED...: builds or installs, one after another; $work/met has the outcomes.
meet() {
  local nice=$1 need began outcome doing
  shift
  for need; do
    [ -z "${behind[$need]:-}" ] || await "${behind[$need]}" || true
    began=$SECONDS outcome=failed doing="$work/doing/need $need"
    say "${words[$need]}"
    echo "$began" > "$doing"
    nice -n "$nice" ./install/test.sh --need "$need" > "$logs/need-$need.log" 2>&1 && outcome=met
    rm -f "$doing"
    if [ $outcome = met ]; then
      say "${words[$need]}: done in $((SECONDS - began)) s"
    else
      say "${words[$need]}: FAILED after $((SECONDS - began)) s"
      end_of "--need $need" "$logs/need-$need.log"
    fi
    echo $outcome > "$work/met/$need"
  done
}
# await NEED: whether it could be met.
await() {
  until [ -e "$work/met/$1" ]; do
    # Once nobody is left who could see to it.
    kill -0 "${workers[@]}" 2> /dev/null || [ -e "$work/met/$1" ] || return 1
    sleep 0.2
  done
  [ "$(cat "$work/met/$1")" = met ]
}
# have STAGE: waits for what it needs; $lack names what cannot be had.
have() {
  for lack in ${needs[$1]}; do
    await "$lack" || return 1
  done
}
# wanted NEED...: those that a stage of today needs.
wanted() {
  local need stage
  for need; do
    for stage in ${lanes[*]}; do
      case " ${needs[$stage]} " in *" $need "*) echo "$need"; break ;; esac
    done
  done
}
# Once a minute, what goes on.
heartbeat() {
  local file going pause
  trap 'kill $pause; exit' TERM
  while true; do
    sleep 60 &
    pause=$!
    wait $pause
    going=
    for file in "$work"/doing/*; do
      [ -e "$file" ] && going+="; ${file##*/} ($(clock $((SECONDS - $(cat "$file" 2> /dev/null || echo $SECONDS)))))"
    done
    [ -z "$going" ] || say "going on: ${going:2}"
  done
}

note() { printf '%-12s %s in %ss\n' "$@" >> "$work/outcomes"; }
lacks() {
  note "$1" FAILED 0
  say "$1 FAILED: it needs $lack, which could not be had"
}
# show STAGE: its output as it comes.
show() {
  local stage=$1 began outcome=FAILED
  have "$stage" || { lacks "$stage"; return; }
  began=$SECONDS
  echo "=== $stage"
  ./install/test.sh --run "$stage" && outcome=passed
  note "$stage" $outcome $((SECONDS - began))
}
# keep STAGE: its output in target/test-logs, and shown as a whole if it has failed.
keep() {
  local stage=$1 began outcome=FAILED log=$logs/$1.log
  have "$stage" || { lacks "$stage"; return; }
  began=$SECONDS
  say "$stage begins"
  echo "$began" > "$work/doing/$stage"
  # A shell ignores the keyboard in its background, and all that it starts there does.
  env --default-signal=INT,QUIT ./install/test.sh --run "$stage" > "$log" 2>&1 && outcome=passed
  rm -f "$work/doing/$stage"
  note "$stage" $outcome $((SECONDS - began))
  say "$stage $outcome in $((SECONDS - began)) s"
  [ $outcome = passed ] || end_of "$stage" "$log"
}
# lane HOW STAGE...: as often as asked for; one lane does not wait for another between its rounds.
lane() {
  local how=$1 round stage
  shift
  for ((round = 1; round <= ${REPEAT:-1}; round++)); do
    for stage; do "$how" "$stage"; done
  done
}

touch "$work/outcomes"
workers=()
# worker NICE NEED...: meets those of them that a stage of today needs.
worker() {
  local nice=$1
  shift
  # shellcheck disable=SC2046 # one argument a need
  (trap - EXIT; meet "$nice" $(wanted "$@")) &
  workers+=($!)
}
worker 0 "${installs[@]}"
worker 0 "${first_builds[@]}"
# Gives way to the release.
worker 5 "${builds[@]}"
(trap - EXIT; heartbeat) &
heart=$!
lane_pids=()
if [ ${#asked[@]} -gt 0 ]; then
  # shellcheck disable=SC2086 # one argument a stage
  lane show ${lanes[0]}
else
  for stages in "${lanes[@]}"; do
    # shellcheck disable=SC2086
    (trap - EXIT; lane keep $stages) &
    lane_pids+=($!)
  done
fi
wait "${workers[@]}" "${lane_pids[@]}" || true
kill $heart
# Once more, where whoever reads the end looks first.
if [ -f "$work/failures" ]; then cat "$work/failures"; fi
printf '\n%s\n\n' "$(cat "$work/outcomes")"
if [ "${REPEAT:-1}" -gt 1 ]; then
  awk '{ runs[$1]++; passed[$1] += $2 == "passed" }
    END { for (stage in runs) printf "%-12s %d of %d passed\n", stage, passed[stage], runs[stage] }' "$work/outcomes" | sort
fi
passed=$(grep -c ' passed in ' "$work/outcomes") || true
failed=$(grep -c ' FAILED in ' "$work/outcomes") || true
count=$(wc -w <<< "${lanes[*]}")
silent=$((count * ${REPEAT:-1} - passed - failed))
[ "$silent" -eq 0 ] || echo "error: $silent stages were asked for and said nothing"
echo "stages: $passed passed, $failed failed; $SECONDS s in all"
[ "$failed" -eq 0 ] && [ "$silent" -eq 0 ]
