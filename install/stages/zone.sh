#!/usr/bin/env bash
# A machine in another zone: its crontab, terminals and tasks agree on the day, though nobody sets TZ.
set -euo pipefail
cd "$(dirname "$0")/../.."
crondag=$PWD/target/release/crondag
zones=$(mktemp -d)
trap 'rm -rf "$zones"' EXIT
cp -a /etc "$zones/etc"
ln -sfn /usr/share/zoneinfo/Asia/Shanghai "$zones/etc/localtime"
"$crondag" init "$zones/home" > /dev/null
sed -i '/^timezone/d' "$zones/home/crondag.toml"
said=$(env -u TZ unshare --mount bash -c '
  mount --bind "$1/etc" /etc
  "$2" --home "$1/home" next hello --after 2018-07-01 -n 1
  sed -i "s/^shell = .echo.*/shell = \"date +%z\"/" "$1/home/dags/hello.toml"
  "$2" --home "$1/home" test hello greet 20180701 2> /dev/null
' _ "$zones" "$crondag")
wanted='starts at                ds          data of
2018-07-02 07:00 +08:00  2018-07-01  2018-07-01 07:00 +08:00 .. 2018-07-02 07:00 +08:00
zone: Asia/Shanghai (/etc/localtime)
+0800'
[ "$said" = "$wanted" ] || { printf 'error: another /etc/localtime: expected\n%s\nfound\n%s\n' "$wanted" "$said"; exit 1; }
echo "the zone is the machine's"
