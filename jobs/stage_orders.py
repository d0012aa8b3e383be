"""Turns the raw files of one date (or, with --since, of a history) into partitions of `order_line`, and counts.

A line that does not parse is counted in `upstream_counts` and left out; it does not fail the job: how many are too many is
for the check on these counts to judge.
"""

import datetime
import os
import pathlib

from pyspark.sql import Column
from pyspark.sql import functions as F

from userprofile import figures
from userprofile.database import DatabaseError
from userprofile.job import Job, day, fail, nodash

RAW = "InvoiceNo STRING, StockCode STRING, Description STRING, Quantity STRING, InvoiceDate STRING, UnitPrice STRING, CustomerID STRING, Country STRING, malformed STRING"
FORMS = {
    "InvoiceNo": "^[A-Z]?[0-9]{6}$",
    "StockCode": "^([0-9]{5}[A-Za-z]{0,2}|[A-Za-z][A-Za-z0-9_ ]*)$",
    "Quantity": "^-?[0-9]{1,9}$",
    "InvoiceDate": "^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}$",
    "UnitPrice": "^-?[0-9]{1,9}([.][0-9]{1,3})?$",
    "Country": "^.+$",
}

job = Job(
    "stage_orders",
    "raw files to partitions",
    raw={"default": os.environ.get("RETAIL_RAW", "raw"), "type": pathlib.Path, "help": "$RETAIL_RAW"},
    figures=figures.OPTION,
    since={"type": day, "help": "also all dates from this one on that have a file"},
)


def files_of(date: datetime.date) -> list[str]:
    single = job.args.raw / f"{date}.csv"
    return [str(single)] if single.is_file() else [str(file) for file in sorted((job.args.raw / str(date)).glob("*.csv"))]


def parses() -> Column:
    good = F.col("malformed").isNull() & F.col("ordered_at").isNotNull()
    for column, form in FORMS.items():
        good = good & F.coalesce(F.col(column).rlike(form), F.lit(False))
    good = good & (F.col("CustomerID").isNull() | F.col("CustomerID").rlike("^[0-9]{5}([.]0)?$"))
    # A line in the file of another date is in the wrong partition.
    return good & (F.date_format("ordered_at", "yyyyMMdd") == F.col("data_date"))


first = job.args.since or job.date
dates = [first + datetime.timedelta(days=n) for n in range((job.date - first).days + 1)]
found = {date: files_of(date) for date in dates}
if not found.get(job.date):
    fail(f"no raw data for {job.ds} in {job.args.raw}")
raw = job.spark.read.csv(
    [file for files in found.values() for file in files],
    schema=RAW, header=True, escape='"', columnNameOfCorruptRecord="malformed",
)  # fmt: skip
name_of_day = F.regexp_extract(F.input_file_name(), "/([0-9]{4}-[0-9]{2}-[0-9]{2})([.]csv|/[^/]*)$", 1)
raw = raw.withColumn("data_date", F.regexp_replace(name_of_day, "-", ""))
raw = raw.withColumn("ordered_at", F.to_timestamp("InvoiceDate", "yyyy-MM-dd HH:mm:ss"))
raw = raw.withColumn("parses", parses()).cache()

columns = [name.split()[0] for name in RAW.split(", ")[:-1]]
lines = (
    raw.groupBy("data_date", *columns)
    .agg(F.count("*").alias("n"), F.sum(F.col("parses").cast("int")).alias("good"))
    .groupBy("data_date")
    .agg(
        F.sum("n").alias("lines"),
        F.sum("good").alias("staged"),
        (F.sum("n") - F.sum("good")).alias("parse_failed"),
        F.coalesce(F.sum(F.when(F.col("CustomerID").isNull(), F.col("n"))), F.lit(0)).alias("no_customer"),
        (F.sum("n") - F.count("*")).alias("duplicates"),
    )
)
counts = lines.collect()
sale = F.col("InvoiceNo").rlike("^[0-9]") & (F.col("quantity") > 0) & (F.col("price") >= 0)
staged = (
    raw.where("parses")
    .withColumn("quantity", F.col("Quantity").cast("int"))
    .withColumn("price", F.col("UnitPrice").cast("decimal(12,3)"))
    .withColumn("userid", F.substring("CustomerID", 1, 5))
    .withColumn("kind", F.when(sale, "sale").when(F.col("InvoiceNo").startswith("C"), "cancel").otherwise("other"))
    .select(
        F.col("InvoiceNo").alias("invoice"), F.col("StockCode").alias("stock_code"), F.col("Description").alias("description"),
        "quantity", "ordered_at", "price", "userid", F.col("Country").alias("country"), "kind", "data_date",
    )
)  # fmt: skip
job.warehouse.replace_dates("order_line", staged, [nodash(date) for date, files in found.items() if files])
files_on = {nodash(date): len(files) for date, files in found.items()}
names = ["lines", "staged", "parse_failed", "no_customer", "duplicates"]
try:
    with figures.database(job.args.figures).transaction() as transaction:
        for row in counts:
            values = (files_on[row["data_date"]], *(row[name] for name in names))
            transaction.replace("upstream_counts", {"data_date": row["data_date"]}, ["files", *names], [values])
except DatabaseError as error:
    fail(str(error))
total = {name: sum(row[name] for row in counts) for name in names}
job.done(f"{total['staged']} of {total['lines']} lines, {total['parse_failed']} not parsed, {len(counts)} dates")
