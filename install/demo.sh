#!/usr/bin/env bash
# crondag on real input: builds it, fetches the CDNOW purchases (0.6 MB, from PyPI), backfills 90 days of user-profile
# tags, provokes one failure, and shows what came of it. Runs again without harm.
set -euo pipefail
cd "$(dirname "$0")/.."
. install/require.sh

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || step() { printf '\n%s\n' "$*"; }

echo "This needs: a C compiler, Rust 1.89 or newer, Python 3 with pip (for the data only)."
echo "It writes only below $PWD/target, and installs missing Debian packages."
require_packages cc:build-essential python3:python3 curl:curl
require_pip
require_rust

step "1. Build (a few minutes the first time)"
cargo build --release --quiet
crondag=$PWD/target/release/crondag
"$crondag" --version

began=$SECONDS
home=$PWD/target/demo/userprofile
step "2. A home with real data: $home"
mkdir -p target/demo
rm -rf "$home"
cp -r examples/userprofile "$home"
./install/fetch-cdnow.sh "$home"
"$crondag" --home "$home" validate
"$crondag" --home "$home" show userprofile

step "3. Backfill of 1997-01-01 to 1997-03-31: 90 runs of 13 tasks"
if [ -t 2 ]; then
  "$crondag" --home "$home" backfill -s 1997-01-01 -e 1997-03-31 userprofile
else
  "$crondag" --home "$home" backfill -s 1997-01-01 -e 1997-03-31 userprofile 2> "$home/backfill.log"
fi

step "4. Users per tag and day"
"$crondag" --home "$home" trigger report --wait > /dev/null
awk -F, '
  NR > 1 { if (!($2 in seen)) { seen[$2] = 1; tags[++n] = $2 } users[$2, $1] = $3; if (!($1 in days)) { days[$1] = 1; day[++d] = $1 } }
  END {
    split("▁ ▂ ▃ ▄ ▅ ▆ ▇ █", bar, " ")
    printf "%-24s %10s %10s %10s  %s\n", "tag", day[1], day[int(d / 2)], day[d], "every third day"
    for (i = 1; i <= n; i++) {
      tag = tags[i]; high = 1; line = ""
      for (j = 1; j <= d; j++) if (users[tag, day[j]] > high) high = users[tag, day[j]]
      for (j = 1; j <= d; j += 3) line = line bar[1 + int(7 * users[tag, day[j]] / high)]
      printf "%-24s %10d %10d %10d  %s\n", tag, users[tag, day[1]], users[tag, day[int(d / 2)]], users[tag, day[d]], line
    }
  }' "$home/export/tag_counts.csv"
awk -F, 'NR > 1 { n++; sum += $3; last = $3; day = $1 } END { printf "\naudience repeat_high_active: %d users on %s, %d contacts in %d days\n", last, day, sum, n }' \
  "$home/export/audiences.csv"

step "5. A bad day: upstream delivers half of the partition of 1997-04-01"
head -n 20 "$home/data/incoming/1997-04-01.csv" > "$home/half" && mv "$home/half" "$home/data/incoming/1997-04-01.csv"
"$crondag" --home "$home" backfill -s 1997-04-01 -e 1997-04-01 userprofile || echo "(exit status $?, as it should be)"
"$crondag" --home "$home" tasks userprofile 1997-04-01 | head -8

step "6. The mail about it"
# It is written once the failure is recorded, beside the work that goes on.
mail=
for _ in $(seq 300); do
  mail=$(grep -l 'Subject: .*check_table_finish failed' "$home"/mail/*.eml | head -1 || true)
  [ -z "$mail" ] || break
  sleep 0.1
done
[ -n "$mail" ] || { echo "error: the mail has not come within 30 seconds; see $home/.crondag/driver.log"; exit 1; }
python3 - "$mail" << 'PYTHON'
import email, email.policy, sys
mail = email.message_from_binary_file(open(sys.argv[1], "rb"), policy=email.policy.default)
print("To:     ", mail["To"])
print("Subject:", mail["Subject"])
print()
print(mail.get_body(("plain",)).get_content())
PYTHON

step "Done in $((SECONDS - began)) seconds after the build. Try next:"
cat << NEXT
  cd $home
  export PATH=$PWD/target/release:\$PATH
  crondag runs userprofile                              what ran
  crondag tasks userprofile 1997-03-31                  its tasks
  crondag logs userprofile summary 1997-03-31           what one printed
  crondag render userprofile activity_level 1997-03-31  what would run, exactly
  crondag explain userprofile audience 1997-04-01       why a task does not run
  crondag backfill -s 1997-05-01 -e 1997-05-31 userprofile
NEXT
