"""Tag `large_baskets_30d`: a tag of cookies becomes one of users, through the many-to-many `id_map`."""

from pyspark.sql import functions as F

from userprofile.job import Job, fail
from userprofile.tags import write_tags

job = Job("user_baskets", "tag large_baskets_30d")
job.require("id_map")
job.require("profile_tag_cookie", tagtype="basket")
pairs = job.warehouse.read("id_map", job.ds, job.ds).select("cookieid", "userid")
cookies = job.warehouse.read("profile_tag_cookie", job.ds, job.ds).where("tagid = 'basket_size' AND tagweight = 'large'")
joined = cookies.select("cookieid").join(pairs, "cookieid")
users = joined.groupBy("userid").agg(F.countDistinct("cookieid").alias("tagweight"), F.count("*").alias("joined")).cache()
# Each pair once, each cookie tag once: then a user has as many joined rows as cookies. More is the explosion.
exploded = users.where("joined > tagweight").count()
if exploded:
    fail(f"id_map or profile_tag_cookie of {job.ds} repeats keys: {exploded} users have more rows after the join than cookies")
write_tags(job, users.withColumn("tagid", F.lit("large_baskets_30d")), "basket")
