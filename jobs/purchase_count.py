"""Tags `orders_1d`, `orders_7d`, `orders_30d`, `orders_90d`: invoices with a sale in so many days; one scan for all four."""

from pyspark.sql import functions as F

from userprofile.job import Job
from userprofile.orders import sales, within
from userprofile.tags import write_tags

WINDOWS = (1, 7, 30, 90)

job = Job("purchase_count", "tags orders_1d, orders_7d, orders_30d, orders_90d")
# An invoice has one date, so that it is in a window as a whole.
orders = sales(job, max(WINDOWS)).select("userid", "invoice", "data_date").distinct()
counts = orders.groupBy("userid").agg(*(F.sum(within(job, days).cast("int")).alias(f"orders_{days}d") for days in WINDOWS))
names = [f"orders_{days}d" for days in WINDOWS]
tags = counts.unpivot("userid", names, "tagid", "tagweight").where("tagweight > 0")
write_tags(job, tags, "purchase_count")
