"""Whether the day's raw file is there and whole: check_upstream.py 20101207 [--raw FOLDER]. Plain Python, no Spark.

A day is `YYYY-MM-DD.csv` or a folder `YYYY-MM-DD/` of parts. Where upstream also writes `YYYY-MM-DD.count` (the number of
order lines), it must be right.
"""

import argparse
import csv
import datetime
import os
import pathlib
import sys

COLUMNS = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"]


def day(text: str) -> datetime.date:
    try:
        return datetime.datetime.strptime(text, "%Y%m%d").date()
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date such as 20101207") from error


parser = argparse.ArgumentParser(description="is the raw file of the day there and whole?")
parser.add_argument("date", type=day)
parser.add_argument("--raw", type=pathlib.Path, default=os.environ.get("RETAIL_RAW", "raw"), help="$RETAIL_RAW")
args = parser.parse_args()

single, folder = args.raw / f"{args.date}.csv", args.raw / str(args.date)
files = [single] if single.is_file() else sorted(folder.glob("*.csv"))
if not files:
    sys.exit(f"error: no raw data for {args.date}: neither {single} nor {folder}/*.csv is there")
lines = 0
for file in files:
    with open(file, encoding="utf-8", errors="replace", newline="") as text:
        reader = csv.reader(text)
        if (header := next(reader, [])) != COLUMNS:
            sys.exit(f"error: {file}: the columns are {','.join(header) or '(none)'}; expected {','.join(COLUMNS)}")
        lines += sum(1 for _ in reader)
count = args.raw / f"{args.date}.count"
if count.is_file() and (expected := count.read_text(encoding="utf-8").strip()) != str(lines):
    sys.exit(f"error: {args.date} is incomplete: {lines} order lines in {len(files)} files, {count} says {expected}")
if lines == 0:
    sys.exit(f"error: {files[0]} has no order line")
print(f"check_upstream {args.date:%Y%m%d}: {lines} order lines, {len(files)} file{'s' * (len(files) > 1)}")
