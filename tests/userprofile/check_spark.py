"""Compares the activity tags that the Spark example wrote with a plain computation from the raw CDNOW file.

    check_spark.py RAW_FILE HOME DATE...
"""

import csv
import datetime
import glob
import sys

raw, home, *dates = sys.argv[1:]
dates_of = {}
with open(raw, encoding="ascii") as lines:
    next(lines)
    for line in lines:
        user, date, *_ = line.split()
        dates_of.setdefault(int(user), []).append(datetime.date(int(date[:4]), int(date[4:6]), int(date[6:])))

checked = 0
for text in dates:
    day = datetime.date.fromisoformat(text)
    expected = {"act_last_purchase_days": {}, "act_orders_30d": {}, "act_level": {}}
    for user, all_dates in dates_of.items():
        past = [date for date in all_dates if date <= day]
        if not past:
            continue
        since, month = (day - max(past)).days, sum((day - date).days < 30 for date in past)
        expected["act_last_purchase_days"][user] = str(since)
        if month:
            expected["act_orders_30d"][user] = str(month)
        level = {(True, True): "high", (True, False): "mid", (False, True): "mid"}.get((month >= 2, since <= 7))
        expected["act_level"][user] = level or ("low" if month else "churned")
    for tag, values in expected.items():
        found = {}
        for path in glob.glob(f"{home}/warehouse/profile_tag_userid/data_date={text}/tagid={tag}/*.csv"):
            with open(path, encoding="utf-8", newline="") as file:
                found.update((int(user), weight) for user, weight in csv.reader(file))
        if found != values:
            sys.exit(f"{tag} {text}: {len(found)} users found, {len(values)} expected, or other values")
        checked += len(values)
print(f"{checked} tag values on {len(dates)} dates are right")
sys.exit(0 if checked > 0 and len(dates) == 2 else "too little was checked")
