"""Computes once more all that the retail jobs write, from the raw files and the definitions in jobs/README.md, in plain
Python, and compares. Shares no code with the jobs.

    expected.py --raw FOLDER --since DATE --dump FOLDER --rules FILE [--csv FOLDER] [--self-test] DATE...

--since is the first date that was staged; --dump is what dump.py wrote; --rules has the audience rules, one JSON array
[audience_id, title, rule] a line; --csv has the exports call_centre_DATE.csv. --self-test then changes one definition after
another and wants each change to be noticed on the first and the last date.
"""

import argparse
import collections
import csv
import datetime
import io
import json
import pathlib
import re
import sys
import zlib
from decimal import ROUND_HALF_UP, Decimal

DEFINITIONS = {
    "recent_days": 7,
    "repeat_orders": 2,
    "windows": (1, 7, 30, 90),
    "habit_window": 90,
    "basket_window": 30,
    "large_basket": 20,
    "cancellations_reduce": True,
    "country_of": max,
    "hour_tie": min,
    "category_order": 1,
    "only_products": True,
    "distinct_pairs": True,
    "minus": lambda first, others: first and not any(others),
    "highest_included": True,
}
CHANGES = {
    "recent_days": 6, "repeat_orders": 3, "windows": (1, 7, 29, 90), "habit_window": 89, "basket_window": 29, "large_basket": 21,
    "cancellations_reduce": False, "country_of": min, "hour_tie": max, "category_order": -1,
    "only_products": False, "distinct_pairs": False, "minus": lambda first, others: first, "highest_included": False,
}  # fmt: skip
CATEGORY_WORDS = [
    ("christmas", {"CHRISTMAS", "XMAS", "SANTA", "REINDEER", "SNOWMAN", "ADVENT"}),
    ("bags", {"BAG", "BAGS", "SHOPPER", "PURSE", "SUITCASE"}),
    ("lights", {"LIGHT", "LIGHTS", "CANDLE", "CANDLES", "LANTERN", "LAMP", "HOLDER"}),
    ("kitchen", {"CAKE", "CAKESTAND", "MUG", "MUGS", "CUP", "CUPS", "PLATE", "PLATES", "BOWL", "BOWLS", "TEA", "TEAPOT", "JAR",
                 "JARS", "SPOON", "SPOONS", "KITCHEN", "LUNCH", "BAKING", "APRON"}),
    ("stationery", {"CARD", "CARDS", "WRAP", "PAPER", "NOTEBOOK", "PENCIL", "PENCILS", "TISSUES", "STICKERS", "CHALKBOARD"}),
    ("toys", {"TOY", "TOYS", "DOLL", "GAME", "PLAYHOUSE", "SKITTLES", "JIGSAW", "PUZZLE", "BLOCK", "BUILDING"}),
    ("jewellery", {"NECKLACE", "BRACELET", "EARRINGS", "RING", "BROOCH", "HAIRCLIP"}),
    ("decoration", {"DECORATION", "SIGN", "FRAME", "CLOCK", "HEART", "HEARTS", "ORNAMENT", "BUNTING", "MIRROR", "WICKER",
                    "DOORMAT", "CUSHION"}),
]  # fmt: skip
WORD_TAGS = {"country", "activity_level", "buy_category"}
TYPE_OF = {
    "country": "country", "last_behavior": "last_behavior", "orders_": "purchase_count", "activity_level": "activity_level",
    "high_active_period": "active_period", "buy_category": "buy_category", "category_": "buy_category", "paid_": "paid_amount",
    "large_baskets": "basket",
}  # fmt: skip
EXPORTED = ["country", "activity_level", "last_behavior_days", "orders_90d", "paid_total", "buy_category", "high_active_period"]

Line = collections.namedtuple("Line", "date invoice code description quantity moment price user country kind")


def read_day(raw: pathlib.Path, date: datetime.date) -> tuple[list[Line], dict] | None:
    """The lines of a date that parse, and the counts of what was staged; None without trade."""
    single = raw / f"{date}.csv"
    files = [single] if single.exists() else sorted((raw / str(date)).glob("*.csv"))
    if not files:
        return None
    rows = []
    for file in files:
        rows += list(csv.reader(io.StringIO(file.read_text(encoding="utf-8"))))[1:]
    lines = [line for line in (parse(row, date) for row in rows) if line]
    seen = collections.Counter(map(tuple, rows))
    return lines, {
        "files": len(files), "lines": len(rows), "staged": len(lines), "parse_failed": len(rows) - len(lines),
        "no_customer": sum(1 for row in rows if len(row) > 6 and not row[6]), "duplicates": len(rows) - len(seen),
    }  # fmt: skip


def parse(row: list[str], date: datetime.date) -> Line | None:
    if len(row) != 8:
        return None
    invoice, code, description, quantity, moment, price, user, country = row
    forms = [
        (invoice, "[A-Z]?[0-9]{6}"), (code, "[0-9]{5}[A-Za-z]{0,2}|[A-Za-z][A-Za-z0-9_ ]*"), (quantity, "-?[0-9]{1,9}"),
        (moment, "[0-9]{4}(-[0-9]{2}){2} [0-9]{2}(:[0-9]{2}){2}"), (price, r"-?[0-9]{1,9}(\.[0-9]{1,3})?"),
        (user, r"([0-9]{5}(\.0)?)?"), (country, ".+"),
    ]  # fmt: skip
    if not all(re.fullmatch(form, text) for text, form in forms):
        return None
    try:
        when = datetime.datetime.fromisoformat(moment)
    except ValueError:
        return None
    if when.date() != date:
        return None
    kind = "cancel" if invoice[0] == "C" else "sale" if invoice[0].isdigit() and int(quantity) > 0 and Decimal(price) >= 0 else "other"
    return Line(date, invoice, code, description, int(quantity), when, Decimal(price), user[:5], country, kind)


def category(description: str, order: int) -> str:
    words = set(re.split("[^A-Z]+", description.upper()))
    return next((name for name, members in CATEGORY_WORDS[::order] if words & members), "other")


def money(amount: Decimal, places: str = "0.01") -> str:
    rounded = amount.quantize(Decimal(places), ROUND_HALF_UP)
    return str(abs(rounded) if rounded == 0 else rounded)


def compute(lines: list[Line], date: datetime.date, rule: dict) -> dict:
    """Every table of one date: {table: {key: value}}."""
    known = [line for line in lines if line.user and line.date <= date and line.kind in ("sale", "cancel")]
    by_user = collections.defaultdict(list)
    for line in known:
        by_user[line.user].append(line)
    tags, cookies, joined = {}, {}, collections.Counter()
    baskets = collections.defaultdict(list)
    for user, acted in by_user.items():
        mine = tags[user] = {}
        sales = [line for line in acted if line.kind == "sale"]

        def last(days, of):
            return [line for line in of if (date - line.date).days < days]

        mine["last_behavior_days"] = (date - max(line.date for line in acted)).days
        if sales:
            mine["country"] = rule["country_of"]((line.moment, line.country) for line in sales)[1]
        names = ("orders_1d", "orders_7d", "orders_30d", "orders_90d")
        for name, days in zip(names, rule["windows"]):
            if orders := len({line.invoice for line in last(days, sales)}):
                mine[name] = orders
        recent = mine["last_behavior_days"] <= rule["recent_days"]
        repeat = mine.get("orders_30d", 0) >= rule["repeat_orders"]
        level = "high" if recent and repeat else "mid" if recent or repeat else "low" if "orders_30d" in mine else "silent"
        mine["activity_level"] = level

        started = collections.defaultdict(list)
        for line in last(rule["habit_window"], sales):
            started[line.invoice].append(line.moment)
        hours = collections.Counter(min(moments).hour for moments in started.values())
        if hours:
            mine["high_active_period"] = rule["hour_tie"](hour for hour in hours if hours[hour] == max(hours.values()))

        invoices, amounts = collections.defaultdict(set), collections.Counter()
        for line in last(rule["habit_window"], sales):
            if not rule["only_products"] or re.fullmatch("[0-9]{5}[A-Za-z]{0,2}", line.code):
                name = category(line.description, rule["category_order"])
                invoices[name].add(line.invoice)
                amounts[name] += line.quantity * line.price
        for name, them in invoices.items():
            mine[f"category_{name}"] = len(them)
        if invoices:
            mine["buy_category"] = min(invoices, key=lambda name: (-amounts[name], name))

        paid = acted if rule["cancellations_reduce"] else sales
        mine["paid_total"] = money(sum((line.quantity * line.price for line in paid), Decimal(0)))
        if month := last(30, paid):
            mine["paid_30d"] = money(sum(line.quantity * line.price for line in month))
        for line in last(rule["basket_window"], sales):
            baskets[line.invoice].append((user, line.code))
    pairs = set()
    for invoice, bought in baskets.items():
        products = len({code for _, code in bought})
        cookies[invoice] = "large" if products >= rule["large_basket"] else "medium" if products >= 5 else "small"
        pairs |= {(invoice, user) for user, _ in bought}
        if cookies[invoice] == "large":
            for user in {user for user, _ in bought} if rule["distinct_pairs"] else [user for user, _ in bought]:
                joined[user] += 1
    for user, count in joined.items():
        tags[user]["large_baskets_30d"] = count
    tags = {user: {name: str(weight) for name, weight in mine.items()} for user, mine in tags.items()}
    return {"tags": tags, "cookies": cookies, "pairs": pairs, "counts": tag_counts(tags, known, date)}


def tag_counts(tags: dict, known: list[Line], date: datetime.date) -> dict:
    daily = {line.user for line in known if line.date == date}
    users = collections.defaultdict(set)
    for user, mine in tags.items():
        for name, weight in mine.items():
            users[name].add(user)
            if name in ("activity_level", "buy_category"):
                users[f"{name}_{weight}"].add(user)

    def share(part, whole):
        return money(Decimal(part) / whole if whole else Decimal(0), "0.0001")

    return {
        name: [tag_type(name), len(them), len(them), share(len(them), len(tags)), share(len(them & daily), len(daily))]
        for name, them in users.items()
    }


def tag_type(name: str) -> str:
    return next(tagtype for prefix, tagtype in TYPE_OF.items() if name.startswith(prefix))


def sums(tags: dict) -> dict:
    """How many users have each tag, and the checksum of their weights."""
    found = collections.defaultdict(lambda: [0, 0])
    for user, mine in tags.items():
        for name, weight in mine.items():
            found[name][0] += 1
            found[name][1] += zlib.crc32(f"{user}={name}={weight}".encode())
    return found


def fulfils(rule: dict, mine: dict, all_rules: dict, definitions: dict) -> bool:
    def again(part):
        return fulfils(part, mine, all_rules, definitions)

    if "audience" in rule:
        return again(all_rules[rule["audience"]])
    if "all" in rule:
        return all(map(again, rule["all"]))
    if "any" in rule:
        return any(map(again, rule["any"]))
    if "minus" in rule:
        return definitions["minus"](again(rule["minus"][0]), map(again, rule["minus"][1:]))
    if rule["tag"] not in mine:
        return False
    weight = mine[rule["tag"]]
    if "in" in rule:
        same = str if rule["tag"] in WORD_TAGS else lambda value: Decimal(str(value))
        return same(weight) in [same(value) for value in rule["in"]]
    lowest, highest = (None if bound is None else Decimal(str(bound)) for bound in rule["range"])
    number = Decimal(weight)
    return (lowest is None or number >= lowest) and (
        highest is None or number < highest or (definitions["highest_included"] and number == highest)
    )


def expect(days: dict, dates: list[str], rules: list, definitions: dict) -> dict:
    """What each dumped table must hold: {table: {key: value}}."""
    tables = collections.defaultdict(dict)
    lines = [line for day in days.values() if day for line in day[0]]
    all_rules = {audience_id: rule for audience_id, _, rule in rules}
    for text in dates:
        date = datetime.datetime.strptime(text, "%Y%m%d").date()
        staged, counts = days[date]
        tables["figures.upstream_counts"][text] = list(counts.values())
        tables["order_line"] |= {(text, *key): n for key, n in collections.Counter(map(order_line, staged)).items()}
        found = compute(lines, date, definitions)
        tables["id_map"] |= {(text, *pair): 1 for pair in found["pairs"]}
        tables["profile_tag_cookie"] |= {(text, cookie, "basket_size"): size for cookie, size in found["cookies"].items()}
        tables["figures.tag_counts"] |= {(text, name): values for name, values in found["counts"].items()}
        tables["figures.tagsmap_sums"] |= {(text, name): values for name, values in sums(found["tags"]).items()}
        audiences = {audience_id: [] for audience_id in all_rules}
        for user, mine in found["tags"].items():
            tables["profile_tag_user"] |= {(text, user, name): weight for name, weight in mine.items()}
            tables["userprofile_tagsmap"][text, user] = tables["mariadb.userprofile_tagsmap"][text, user] = mine
            for audience_id, rule in all_rules.items():
                if fulfils(rule, mine, all_rules, definitions):
                    audiences[audience_id].append(user)
        for audience_id, title, _ in rules:
            tables["mariadb.audience_count"][text, audience_id] = [title, len(audiences[audience_id])]
            for user in audiences[audience_id]:
                tables["audience"][text, audience_id, user] = tables["mariadb.audience_user"][text, audience_id, user] = 1
        for user in audiences.get("call_centre", []):
            tables["csv"][text, user] = [found["tags"][user].get(name, "") for name in EXPORTED]
    return tables


def order_line(line: Line) -> tuple:
    return (line.invoice, line.code, line.description, line.quantity, str(line.moment), str(line.price.quantize(Decimal("0.001"))),
            line.user, line.country, line.kind)  # fmt: skip


def read_dump(folder: pathlib.Path, exports: pathlib.Path | None, dates: list[str]) -> dict:
    """What the jobs wrote, in the same form. A key that stands twice becomes a value that nothing equals."""
    tables = collections.defaultdict(dict)

    def put(table, key, value):
        tables[table][key] = ("twice", key) if key in tables[table] else value

    def rows(name):
        with open(folder / f"{name}.jsonl", encoding="utf-8") as lines:
            for row in (json.loads(line, parse_float=Decimal) for line in lines):
                if (row["data_date"] if isinstance(row, dict) else row[0]) in dates:
                    yield row

    lines = collections.Counter(
        (r["data_date"], r["invoice"], r["stock_code"], r.get("description", ""), r["quantity"],
         r["ordered_at"][:19].replace("T", " "), str(Decimal(r["price"]).quantize(Decimal("0.001"))), r.get("userid", ""), r["country"], r["kind"])
        for r in rows("order_line")
    )  # fmt: skip
    tables["order_line"] = dict(lines)
    for r in rows("id_map"):
        put("id_map", (r["data_date"], r["cookieid"], r["userid"]), 1)
    for r in rows("profile_tag_cookie"):
        put("profile_tag_cookie", (r["data_date"], r["cookieid"], r["tagid"]), r["tagweight"])
    for r in rows("profile_tag_user"):
        put("profile_tag_user", (r["data_date"], r["userid"], r["tagid"]), r["tagweight"])
    for r in rows("userprofile_tagsmap"):
        put("userprofile_tagsmap", (r["data_date"], r["userid"]), r["tagsmap"])
    for r in rows("audience"):
        put("audience", (r["data_date"], r["audience_id"], r["userid"]), 1)
    for date, *values in rows("figures.upstream_counts"):
        put("figures.upstream_counts", date, values)
    for date, tagtype, name, *values in rows("figures.tag_counts"):
        put("figures.tag_counts", (date, name), [tagtype, *values])
    for date, name, *values in rows("figures.tagsmap_sums"):
        put("figures.tagsmap_sums", (date, name), values)
    for date, user, mine in rows("mariadb.userprofile_tagsmap"):
        put("mariadb.userprofile_tagsmap", (date, user), json.loads(mine))
    for date, audience_id, user in rows("mariadb.audience_user"):
        put("mariadb.audience_user", (date, audience_id, user), 1)
    for date, audience_id, *values in rows("mariadb.audience_count"):
        put("mariadb.audience_count", (date, audience_id), values)
    for date in dates if exports else []:
        with open(exports / f"call_centre_{date}.csv", encoding="utf-8", newline="") as file:
            for user, *values in list(csv.reader(file))[1:]:
                put("csv", (date, user), values)
    return tables


def differences(expected: dict, found: dict, tables: list[str]) -> list[str]:
    wrong = []
    for table in tables:
        for key in sorted(expected[table].keys() | found[table].keys(), key=str):
            if expected[table].get(key) != found[table].get(key):
                wrong.append(f"{table} {key}: expected {expected[table].get(key)}, found {found[table].get(key)}")
    return wrong


parser = argparse.ArgumentParser()
parser.add_argument("--raw", type=pathlib.Path, required=True)
parser.add_argument("--since", type=lambda text: datetime.datetime.strptime(text, "%Y%m%d").date(), required=True)
parser.add_argument("--dump", type=pathlib.Path, required=True)
parser.add_argument("--rules", type=pathlib.Path, required=True)
parser.add_argument("--csv", type=pathlib.Path)
parser.add_argument("--self-test", action="store_true")
parser.add_argument("dates", nargs="+")
args = parser.parse_args()

until = datetime.datetime.strptime(max(args.dates), "%Y%m%d").date()
days = {date: read_day(args.raw, date) for date in (args.since + datetime.timedelta(n) for n in range((until - args.since).days + 1))}
rules = [json.loads(line) for line in args.rules.read_text(encoding="utf-8").splitlines()]
rules = [(audience_id, title, rule if isinstance(rule, dict) else json.loads(rule)) for audience_id, title, rule in rules]
found = read_dump(args.dump, args.csv, args.dates)
expected = expect(days, args.dates, rules, DEFINITIONS)
tables = [table for table in expected if table != "csv" or args.csv]
wrong = differences(expected, found, tables)
for line in wrong[:20]:
    print(line)
if wrong:
    sys.exit(f"error: {len(wrong)} differences")
for table in tables:
    print(f"{len(expected[table]):>8} in {table} are right")
if min(len(expected[table]) for table in tables) == 0:
    sys.exit("error: a table had nothing to compare")
if args.self_test:
    # Two dates are enough to notice each, and all would take minutes.
    dates = [args.dates[0], args.dates[-1]]
    found = read_dump(args.dump, args.csv, dates)
    for name, change in CHANGES.items():
        noticed = differences(expect(days, dates, rules, DEFINITIONS | {name: change}), found, tables)
        print(f"{len(noticed):>8} differences when {name} is changed on purpose")
        if not noticed:
            sys.exit(f"error: a change of {name} goes unnoticed")
