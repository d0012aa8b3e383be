"""Makes raw days as an upstream delivers them, whole or bad in one way, from the files by day of the data set.

    bad_days.py KIND --raw FOLDER --to FOLDER YYYY-MM-DD...

A day becomes the folder TO/YYYY-MM-DD with eight parts and, last, the empty file _SUCCESS. KIND:

    whole      all of it
    half       every other part is missing, and _SUCCESS says that the day is there all the same
    doubled    each line stands twice in its part
    recoded    from the fifth part on, StockCode has another form: SKU-85123A in the place of 85123A
    unfinished all parts, no _SUCCESS
"""

import argparse
import csv
import pathlib
import shutil

PARTS = 8


def recode(row: list[str]) -> list[str]:
    return [row[0], f"SKU-{row[1]}", *row[2:]]


def write_day(kind: str, source: pathlib.Path, folder: pathlib.Path) -> None:
    with open(source, encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for part in range(PARTS):
        if kind == "half" and part % 2:
            continue
        lines = rows[part * len(rows) // PARTS : (part + 1) * len(rows) // PARTS]
        if kind == "doubled":
            lines = [line for line in lines for _ in range(2)]
        if kind == "recoded" and part >= PARTS // 2:
            lines = list(map(recode, lines))
        with open(folder / f"part-{part}.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *lines])
    if kind != "unfinished":
        (folder / "_SUCCESS").touch()


parser = argparse.ArgumentParser()
parser.add_argument("kind", choices=["whole", "half", "doubled", "recoded", "unfinished"])
parser.add_argument("--raw", type=pathlib.Path, required=True)
parser.add_argument("--to", type=pathlib.Path, required=True)
parser.add_argument("days", nargs="+")
args = parser.parse_args()
for day in args.days:
    write_day(args.kind, args.raw / f"{day}.csv", args.to / day)
