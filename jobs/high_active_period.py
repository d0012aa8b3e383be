"""Tag `high_active_period`: the hour of the day with most of the customer's orders in 90 days."""

from pyspark.sql import functions as F

from userprofile.job import Job
from userprofile.orders import sales
from userprofile.tags import write_tags

job = Job("high_active_period", "tag high_active_period")
# A long invoice is typed in over several minutes: its hour is that of its first line.
orders = sales(job, 90).groupBy("userid", "invoice").agg(F.hour(F.min("ordered_at")).alias("hour"))
hours = orders.groupBy("userid", "hour").agg(F.count("*").alias("orders"))
best = F.max(F.struct("orders", -F.col("hour")))
users = hours.groupBy("userid").agg((-best["col2"]).alias("tagweight"))
write_tags(job, users.withColumn("tagid", F.lit("high_active_period")), "active_period")
