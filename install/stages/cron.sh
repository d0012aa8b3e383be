#!/usr/bin/env bash
# Debian's real cron runs `crondag tick` each minute; a DAG that is due each minute for three minutes has three runs.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ "${CRONDAG_OWN_MOUNTS:-}" != 1 ]; then
  # A cron of our own: the machine's may be running or not, and its crontab starts the machine's daily jobs.
  exec env CRONDAG_OWN_MOUNTS=1 unshare --mount "$0"
fi
mount -t tmpfs run /run
mount -t tmpfs cron.d /etc/cron.d
mount -t tmpfs crontabs /var/spool/cron
mkdir /var/spool/cron/crontabs
touch /run/crontab
mount --bind /run/crontab /etc/crontab
crondag=$PWD/target/release/crondag
home=$(mktemp -d /tmp/crondag-cron.XXXXXX)
line=/etc/cron.d/crondag-test
daemon=
tidy() {
  [ -z "$daemon" ] || kill "$daemon" 2> /dev/null || true
  rm -rf "$home"
}
trap tidy EXIT
rmdir "$home"
"$crondag" init "$home" > /dev/null
rm "$home/dags/hello.toml"
cat > "$home/dags/minutely.toml" << 'DAG'
schedule = "* * * * *"
timezone = "UTC"
[tasks.note]
shell = 'echo "{{ ts }}" >> ticks.txt'
DAG
"$crondag" --home "$home" tick    # from now on it is scheduled
printf '* * * * * root %s --home %s tick >> %s/cron.log 2>&1\n' "$crondag" "$home" "$home" > "$line"
chmod 600 "$line"
cron -f &
daemon=$!
runs() { "$crondag" --home "$home" runs minutely --json | grep -c '"run_id"' || true; }
deadline=$((SECONDS + 260))
while [ "$(runs)" -lt 3 ]; do
  [ $SECONDS -lt $deadline ] || { echo "error: only $(runs) runs after $SECONDS seconds"; cat "$home/cron.log" || true; exit 1; }
  sleep 1
done
rm "$line"
"$crondag" --home "$home" pause minutely > /dev/null
deadline=$((SECONDS + 180))
until [ "$("$crondag" --home "$home" runs minutely --json | grep -c '"state": "success"')" -eq 3 ]; do
  [ $SECONDS -lt $deadline ] || { echo "error: the runs do not end"; "$crondag" --home "$home" status; exit 1; }
  sleep 0.2
done
"$crondag" --home "$home" runs minutely
[ "$(runs)" -eq 3 ] || { echo "error: $(runs) runs instead of 3"; exit 1; }
[ "$(sort -u "$home/ticks.txt" | wc -l)" -eq 3 ] && [ "$(wc -l < "$home/ticks.txt")" -eq 3 ]
[ ! -s "$home/cron.log" ] || { echo "error: tick was not quiet"; cat "$home/cron.log"; exit 1; }
seconds() { date -d "$1" +%s; }
first=$(seconds "$(sed -n 1p "$home/ticks.txt")")
last=$(seconds "$(sed -n 3p "$home/ticks.txt")")
[ $((last - first)) -eq 120 ] || { echo "error: the minutes are not consecutive"; cat "$home/ticks.txt"; exit 1; }
echo "three minutes, three runs"
