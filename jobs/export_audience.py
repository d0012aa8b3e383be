"""One audience as CSV for the call centre, whole or not at all: export_audience.py 20101207 --audience call_centre --to FILE"""

import csv
import os
import pathlib

from pyspark.sql import functions as F

from userprofile.job import Job

COLUMNS = ["country", "activity_level", "last_behavior_days", "orders_90d", "paid_total", "buy_category", "high_active_period"]

job = Job(
    "export_audience", "one audience as CSV", audience={"required": True}, to={"required": True, "type": pathlib.Path, "help": "the CSV file"}
)
job.require("audience")
job.require("userprofile_tagsmap")
members = job.warehouse.read("audience", job.ds, job.ds).where(F.col("audience_id") == job.args.audience).select("userid")
users = job.warehouse.read("userprofile_tagsmap", job.ds, job.ds).join(members, "userid")
rows = users.select("userid", *(F.col("tagsmap")[tag].alias(tag) for tag in COLUMNS)).orderBy("userid").collect()
job.args.to.parent.mkdir(parents=True, exist_ok=True)
half = job.args.to.with_name(job.args.to.name + ".new")
with open(half, "w", encoding="utf-8", newline="") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["userid", *COLUMNS])
    writer.writerows(["" if value is None else value for value in row] for row in rows)
os.replace(half, job.args.to)
job.done(f"{len(rows)} rows to {job.args.to}")
