#!/bin/bash
# Writes the corpus: really provokes each failure and keeps the last lines of what it printed.
#
#   tests/diagnosis/provoke/provoke.sh python shell net java mariadb postgres sqlite spark
#
# Needs root (failures of permission are provoked as the user nobody, full disks with small tmpfs) and these programs:
# python3, a JDK, curl, lftp, gcc, openssl, sqlite3, mariadbd, PostgreSQL's server, and Spark's folder in SPARK_HOME (a copy
# of pip's `pyspark` folder below /tmp, so that paths in the logs are neutral). Everything happens in /tmp/job.
set -u

HERE=$(cd "$(dirname "$0")" && pwd)
CORPUS=${CORPUS:-$HERE/../corpus}
JOB=/tmp/job
LINES_KEPT=80
export JOB PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin LANG=C.UTF-8 HOME=$JOB
unset PYTHONPATH PYTHONHOME http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy no_proxy NO_PROXY
mkdir -p "$JOB" "$CORPUS"
chmod 755 "$JOB"

# ONLY, a regular expression, limits it to some cases.
#
# fails NN-name CAUSE [holdout] -- COMMAND...: runs the command in $JOB and keeps its log and its end.
fails() {
    local name=$1 cause=$2 holdout=false
    [[ $name =~ ${ONLY:-.} ]] || return 0
    shift 2
    if [ "$1" = holdout ]; then holdout=true; shift; fi
    shift
    local folder=$CORPUS/$name code=0 end
    mkdir -p "$folder"
    (cd "$JOB" && exec "$@") >"$JOB/$name.out" 2>&1 </dev/null
    code=$?
    tail -n "$LINES_KEPT" "$JOB/$name.out" >"$folder/log.txt"
    if [ "$code" -gt 128 ] && [ "${KILLED:-}" = yes ]; then end="signal = $((code - 128))"; else end="exit_code = $code"; fi
    printf 'cause = "%s"\n%s\nholdout = %s\n' "$cause" "$end" "$holdout" >"$folder/expect.toml"
    echo "$name: exit $code, $(wc -l <"$folder/log.txt") lines"
    [ "$code" -ne 0 ] || echo "$name DID NOT FAIL" >&2
}

for group in "$@"; do
    . "$HERE/$group.sh"
done
