"""Table `id_map` (which ids belong together) and the cookie tag `basket_size`. The invoice stands for the cookie here."""

from pyspark.sql import functions as F

from userprofile.job import Job
from userprofile.orders import sales

job = Job("cookie_tags", "table id_map, cookie tag basket_size")
bought = sales(job, 30).cache()
# DISTINCT is the point: order lines repeat the pair, and each repetition would multiply whatever is joined through the map.
pairs = job.warehouse.replace("id_map", bought.select(F.col("invoice").alias("cookieid"), "userid").distinct(), data_date=job.ds)
products = F.countDistinct("stock_code")
size = F.when(products >= 20, "large").when(products >= 5, "medium").otherwise("small")
tags = bought.groupBy(F.col("invoice").alias("cookieid")).agg(size.alias("tagweight"))
rows = tags.select(F.lit("basket_size").alias("tagid"), "cookieid", "tagweight")
counts = job.warehouse.replace("profile_tag_cookie", rows, data_date=job.ds, tagtype="basket")
job.done(f"{counts['rows']} rows, {counts['tags']} tags, {pairs['rows']} pairs of ids")
