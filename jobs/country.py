"""Tag `country`: the country of the customer's latest sale."""

from pyspark.sql import functions as F

from userprofile.job import Job
from userprofile.orders import BEGINNING, sales
from userprofile.tags import write_tags

job = Job("country", "tag country")
bought = sales(job, BEGINNING)
latest = F.max(F.struct("ordered_at", "country"))["country"]
write_tags(job, bought.groupBy("userid").agg(latest.alias("tagweight")).withColumn("tagid", F.lit("country")), "country")
