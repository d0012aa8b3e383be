"""Tags `paid_total`, `paid_30d`: what sales brought less what cancellations gave back, in pounds with two places."""

from pyspark.sql import functions as F

from userprofile.job import Job
from userprofile.orders import BEGINNING, acts, within
from userprofile.tags import write_tags

job = Job("paid_amount", "tags paid_total, paid_30d")
paid = acts(job, BEGINNING)
amount = F.col("quantity") * F.col("price")
# Decimals throughout: sums are exact, and the one rounding is at the end.
users = paid.groupBy("userid").agg(
    F.round(F.sum(amount), 2).alias("paid_total"), F.round(F.sum(F.when(within(job, 30), amount)), 2).alias("paid_30d")
)
tags = users.select("userid", F.col("paid_total").cast("string"), F.col("paid_30d").cast("string"))
write_tags(job, tags.unpivot("userid", ["paid_total", "paid_30d"], "tagid", "tagweight").where("tagweight IS NOT NULL"), "paid_amount")
