"""How many users have each tag of the named types, into the figures for the checks: tag_counts.py 20101207 --types country basket

tag_rows above tag_count is the mark of a row explosion; tag_total_per is the share of all users with a tag, tag_dau_per the
share of the users of the day.
"""

from decimal import ROUND_HALF_UP, Decimal

from pyspark.sql import functions as F

from userprofile import figures
from userprofile.database import DatabaseError
from userprofile.job import Job, fail
from userprofile.orders import BEGINNING, acts
from userprofile.tags import COUNTED_BY_VALUE, TAG_TYPES, read_tags

job = Job(
    "tag_counts", "counts and shares of the tags", figures=figures.OPTION,
    types={"nargs": "+", "choices": TAG_TYPES, "default": TAG_TYPES, "help": "the types to count; else all"},
)  # fmt: skip


def share(part: int, whole: int) -> Decimal:
    return (Decimal(part) / Decimal(whole) if whole else Decimal(0)).quantize(Decimal("0.0001"), ROUND_HALF_UP)


tags = read_tags(job, *job.args.types)
by_value = tags.where(F.col("tagid").isin(COUNTED_BY_VALUE)).withColumn("tagid", F.concat_ws("_", "tagid", "tagweight"))
users = acts(job, BEGINNING).groupBy("userid").agg(F.max(F.col("data_date") == job.ds).alias("is_daily")).cache()
total, dau = users.agg(F.count("*"), F.count_if("is_daily")).first()
daily = users.where("is_daily")
all_tags = tags.unionByName(by_value).join(F.broadcast(daily), "userid", "left")
rows = all_tags.groupBy("tagtype", "tagid").agg(
    F.count("*").alias("tag_rows"), F.countDistinct("userid").alias("users"),
    F.countDistinct(F.when(F.col("is_daily"), F.col("userid"))).alias("daily"),
).collect()  # fmt: skip
counts = [(r["tagtype"], r["tagid"], r["tag_rows"], r["users"], share(r["users"], total), share(r["daily"], dau)) for r in sorted(rows)]
columns = ["tagid", "tag_rows", "tag_count", "tag_total_per", "tag_dau_per"]
try:
    with figures.database(job.args.figures).transaction() as transaction:
        for tagtype in job.args.types:
            keys = {"data_date": job.ds, "tagtype": tagtype}
            transaction.replace("tag_counts", keys, columns, [row[1:] for row in counts if row[0] == tagtype])
except DatabaseError as error:
    fail(str(error))
job.done(f"{len(counts)} tags, {total} users, {dau} of the day")
