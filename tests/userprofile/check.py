"""Computes the tags, tag maps, audiences and exports of the user-profile example from the raw CDNOW file, in plain
Python and by its own way (day by day, per customer, no SQL), and compares them with what the example's home holds.

    check.py RAW_FILE HOME FIRST_DATE LAST_DATE
"""

import csv
import datetime
import json
import sqlite3
import sys
from collections import Counter, defaultdict, deque
from decimal import ROUND_HALF_UP, Decimal

raw, home, first, last = sys.argv[1:5]
first, last = datetime.date.fromisoformat(first), datetime.date.fromisoformat(last)

purchases = defaultdict(list)  # date -> [(user, cents)]
with open(raw, encoding="ascii") as lines:
    next(lines)
    for line in lines:
        user, date, _, amount = line.split()
        day = datetime.date(int(date[:4]), int(date[4:6]), int(date[6:]))
        purchases[day].append((int(user), int(Decimal(amount) * 100)))

database = sqlite3.connect(f"file:{home}/data/profile.db?mode=ro", uri=True)
checked = Counter()
problems = []


def compare(what, found, expected):
    checked[what.split()[0]] += 1
    if found != expected:
        problems.append(what)
        difference = set(map(repr, expected.items())) ^ set(map(repr, found.items())) if isinstance(found, dict) else (found, expected)
        print(f"FAIL {what}: {str(difference)[:400]}")


users = {}  # user -> [first date, last date, orders, cents, deque of dates within 30 days]
contacted = {}  # user -> last date
day = first
while day <= last:
    for user, cents in purchases[day]:
        state = users.setdefault(user, [day, day, 0, 0, deque()])
        state[1], state[2], state[3] = day, state[2] + 1, state[3] + cents
        state[4].append(day)
    tags = {}
    audience = {}
    for user, (first_date, last_date, orders, cents, recent) in users.items():
        while recent and (day - recent[0]).days >= 30:
            recent.popleft()
        since = (day - last_date).days
        month = len(recent)
        if month >= 2 and since <= 7:
            level = "high"
        elif month >= 2 or since <= 7:
            level = "mid"
        elif month:
            level = "low"
        else:
            level = "churned"
        average = (Decimal(cents) / orders).quantize(Decimal(1), ROUND_HALF_UP)
        tags[user] = {
            "act_last_purchase_days": since,
            "act_level": level,
            "val_orders": orders,
            "val_total": cents / 100,
            "val_average": int(average) / 100,
            "val_first_purchase": first_date.isoformat(),
        }
        if month:
            tags[user]["act_orders_30d"] = month
        if level == "high" and month >= 2 and not (user in contacted and 1 <= (day - contacted[user]).days <= 7):
            audience[user] = (month, cents)
    for user in audience:
        contacted[user] = day
    text = day.isoformat()
    found = dict(database.execute("SELECT userid, 1 FROM audience WHERE data_date = ? AND audience_id = 'repeat_high_active'", [text]))
    compare(f"audience {text}", found, dict.fromkeys(audience, 1))
    with open(f"{home}/export/audience_{day:%Y%m%d}.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    expected = [["userid", "orders_30d", "total"]]
    expected += [[str(user), str(month), f"{Decimal(cents) / 100:.2f}"] for user, (month, cents) in sorted(audience.items())]
    compare(f"export {text}", rows, expected)
    counts = Counter()
    for user_tags in tags.values():
        counts.update(f"act_level_{v}" if k == "act_level" else k for k, v in user_tags.items())
    compare(f"counts {text}", dict(database.execute("SELECT tagid, users FROM tag_count WHERE data_date = ?", [text])), dict(counts))
    if day in (first, last) or day.day in (1, 11, 21):
        rows = database.execute("SELECT userid, tagid, tagweight FROM profile_tag_userid WHERE data_date = ?", [text])
        found = {(user, tag): weight for user, tag, weight in rows}
        expected = {(user, tag): weight for user, all_tags in tags.items() for tag, weight in all_tags.items()}
        compare(f"tags {text}", found, expected)
        checked["tag values"] += len(expected)
        rows = database.execute("SELECT userid, tagsmap FROM userprofile_tagsmap WHERE data_date = ?", [text])
        compare(f"maps {text}", {user: json.loads(tagsmap) for user, tagsmap in rows}, tags)
    day += datetime.timedelta(days=1)

print(", ".join(f"{count} {what}" for what, count in checked.items()))
days = (last - first).days + 1
if checked["audience"] != days or checked["tags"] < min(days, 2):
    problems.append("too little was checked")
sys.exit(f"{len(problems)} differences" if problems else 0)
