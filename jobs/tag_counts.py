"""How many users have each tag, into MariaDB for the checks: `tag_count`, and `stage_count` of the same date.

tag_rows above tag_count is the mark of a row explosion; tag_total_per is the share of all users with a tag, tag_dau_per the
share of the users of the day.
"""

from decimal import ROUND_HALF_UP, Decimal

from pyspark.sql import functions as F

from userprofile import mariadb
from userprofile.job import Job, fail
from userprofile.orders import lines
from userprofile.tags import COUNTED_BY_VALUE, TAG_TYPES, read_tags

job = Job("tag_counts", "counts and shares of the tags", mariadb=mariadb.OPTION)


def share(part: int, whole: int) -> Decimal:
    return (Decimal(part) / Decimal(whole) if whole else Decimal(0)).quantize(Decimal("0.0001"), ROUND_HALF_UP)


tags = read_tags(job, *TAG_TYPES)
by_value = tags.where(F.col("tagid").isin(COUNTED_BY_VALUE)).withColumn("tagid", F.concat_ws("_", "tagid", "tagweight"))
daily = lines(job, 1).where(F.col("kind").isin("sale", "cancel")).select("userid", F.lit(True).alias("is_daily")).distinct()
all_tags = tags.unionByName(by_value).select("tagid", "userid").join(F.broadcast(daily), "userid", "left")
total = tags.select("userid").distinct().count()
dau = daily.count()
rows = all_tags.groupBy("tagid").agg(
    F.count("*").alias("tag_rows"), F.countDistinct("userid").alias("users"),
    F.countDistinct(F.when(F.col("is_daily"), F.col("userid"))).alias("daily"),
).collect()  # fmt: skip
counts = [(r["tagid"], r["tag_rows"], r["users"], share(r["users"], total), share(r["daily"], dau)) for r in sorted(rows)]
stage_columns = ["`lines`", "staged", "parse_failed", "no_customer", "duplicates"]
staged = job.warehouse.read("stage_count", job.ds, job.ds).select(*stage_columns).collect()
try:
    with mariadb.Transaction(job.args.mariadb) as transaction:
        columns = ["tagid", "tag_rows", "tag_count", "tag_total_per", "tag_dau_per"]
        transaction.replace("tag_count", job.ds, columns, counts)
        transaction.replace("stage_count", job.ds, stage_columns, staged)
except mariadb.MariaDbError as error:
    fail(str(error))
job.done(f"{len(counts)} tags, {total} users, {dau} of the day")
