"""Tag `last_behavior_days`: days since the customer's last line, sale or cancellation."""

from pyspark.sql import functions as F

from userprofile.job import Job
from userprofile.orders import BEGINNING, acts
from userprofile.tags import write_tags

job = Job("last_behavior_days", "tag last_behavior_days")
acted = acts(job, BEGINNING)
days = F.datediff(F.lit(str(job.date)).cast("date"), F.to_date(F.max("data_date"), "yyyyMMdd"))
write_tags(job, acted.groupBy("userid").agg(days.alias("tagweight")).withColumn("tagid", F.lit("last_behavior_days")), "last_behavior")
