"""Tag `activity_level`, from two other tags: high, mid, low, silent."""

from pyspark.sql import functions as F

from userprofile.job import Job
from userprofile.tags import read_tags, write_tags

RECENT_DAYS = 7
REPEAT_ORDERS = 2


def weight(tagid: str):
    return F.max(F.when(F.col("tagid") == tagid, F.col("tagweight").cast("int")))


job = Job("activity_level", "tag activity_level")
users = read_tags(job, "last_behavior", "purchase_count").groupBy("userid").agg(
    weight("last_behavior_days").alias("days"), F.coalesce(weight("orders_30d"), F.lit(0)).alias("orders")
)
recent, repeat = F.col("days") <= RECENT_DAYS, F.col("orders") >= REPEAT_ORDERS
level = F.when(recent & repeat, "high").when(recent | repeat, "mid").when(F.col("orders") >= 1, "low").otherwise("silent")
write_tags(job, users.select("userid", F.lit("activity_level").alias("tagid"), level.alias("tagweight")), "activity_level")
