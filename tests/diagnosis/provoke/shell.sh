# bash: what scripts die of.
B=$JOB/scripts
mkdir -p "$B"
as_nobody="setpriv --reuid nobody --regid nogroup --clear-groups"
fails 70-bash-command-not-found missing-program -- bash -c 'set -e; echo "loading 20180701"; hive -e "SELECT 1"'
fails 71-bash-syntax syntax-error -- bash -c 'for day in 1 2 3; do echo $day
if [ -f x ]; then echo yes'
fails 72-bash-permission permission -- $as_nobody bash -ec 'echo 1 >/opt/tags.csv'
touch "$B/job.sh"; chmod 644 "$B/job.sh"
fails 73-bash-not-executable permission holdout -- bash -c /tmp/job/scripts/job.sh
fails 74-bash-unbound unbound-variable -- bash -uc 'echo "day: $data_date"'
mkdir -p "$JOB/tiny"; mount -t tmpfs -o size=64k tmpfs "$JOB/tiny"
fails 75-bash-disk-full disk-full -- bash -ec 'for i in $(seq 100000); do echo "userid $i" ; done >/tmp/job/tiny/export.csv'
fails 76-cp-disk-full disk-full holdout -- bash -ec 'head -c 300000 /dev/urandom >/tmp/job/export.bin; cp /tmp/job/export.bin /tmp/job/tiny/'
umount "$JOB/tiny"
mkdir -p "$JOB/readonly"; mount -t tmpfs -o ro tmpfs "$JOB/readonly"
fails 77-bash-read-only read-only -- bash -ec 'mkdir /tmp/job/readonly/20180701'
umount "$JOB/readonly"
fails 78-bash-memory out-of-memory -- bash -c 'ulimit -v 400000; sort -S 2G --parallel=1 /dev/zero'
printf '#!/usr/bin/python2.7x\nprint 1\n' >"$B/old.py"; chmod 755 "$B/old.py"
fails 79-bash-bad-interpreter bad-interpreter -- bash -c /tmp/job/scripts/old.py
printf '#!/bin/bash\r\nset -e\r\necho start\r\n' >"$B/windows.sh"; chmod 755 "$B/windows.sh"
fails 80-bash-crlf-interpreter bad-interpreter -- bash -c /tmp/job/scripts/windows.sh
printf 'set -e\r\ncd /tmp\r\nif true; then\r\necho x\r\nfi\r\n' >"$B/windows2.sh"
fails 81-bash-crlf crlf holdout -- bash /tmp/job/scripts/windows2.sh
fails 82-bash-missing-file missing-file -- bash -ec 'wc -l /tmp/job/data/orders-20180701.csv; cat /tmp/job/data/orders-20180701.csv'
fails 83-bash-missing-script missing-file holdout -- bash -c 'bash jobs/check_table.sh 20180701'
fails 84-python-missing-script missing-file -- bash -c 'python3 jobs/check_table_finish.py 20180701'
KILLED=yes fails 85-killed killed -- bash -c 'echo "computing tags of 20180701"; kill -9 $$'
fails 86-child-killed killed holdout -- bash -c 'echo "computing"; bash -c "kill -9 \$\$"; exit $?'
fails 87-timeout command-timeout -- bash -c 'echo "waiting for the table"; timeout 1 sleep 60'
fails 88-bash-arguments argument-list -- bash -ec 'rm -f $(seq -f "/tmp/job/data/part-%.0f" 1 300000)'
fails 89-bash-quiet unknown -- bash -c 'echo "rows: 100"; grep -q nothing /dev/null'
fails 90-bash-own-check unknown holdout -- bash -c 'echo "ERROR: check_table failed: count 18 below 1000" >&2; exit 4'
printf '#include <stddef.h>\nint main(void) { volatile int *p = NULL; return *p; }\n' >"$B/crash.c"
gcc -o "$B/crash" "$B/crash.c"
fails 91-segfault crash -- bash -c 'ulimit -c 0; /tmp/job/scripts/crash; exit $?'
printf '#include <stdio.h>\n' | gcc -shared -fPIC -x c - -o "$B/libtags.so"; printf 'int main(void) { return 0; }\n' | gcc -x c - -o "$B/linked" -Wl,--no-as-needed -L"$B" -ltags
fails 92-shared-library missing-library -- /tmp/job/scripts/linked
fails 93-bash-processes process-limit -- setpriv --reuid nobody --regid nogroup --clear-groups bash -c 'ulimit -u 1; set -e; sleep 0.1 & sleep 0.1 & wait; ls | cat'
fails 94-handled-then-missing missing-program -- bash -c 'curl -sS http://127.0.0.1:1/ || echo "no proxy, going on"; cat /nope 2>&1 || true; set -e; beeline -e "SELECT 1"'
