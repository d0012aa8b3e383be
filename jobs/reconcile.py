"""Whether MariaDB has what the warehouse has: the tags of the date, counted per tag on both sides. Exit code 1 if not."""

from pyspark.sql import functions as F

from userprofile import mariadb
from userprofile.job import Job, fail

COUNT = """
SELECT keys_of.tagid, count(*)
FROM userprofile_tagsmap AS map, JSON_TABLE(JSON_KEYS(map.tagsmap), '$[*]' COLUMNS (tagid VARCHAR(64) PATH '$')) AS keys_of
WHERE map.data_date = {ds} GROUP BY keys_of.tagid;
"""

job = Job("reconcile", "warehouse against MariaDB", mariadb=mariadb.OPTION)
job.require("profile_tag_user")
tags = job.warehouse.read("profile_tag_user", job.ds, job.ds)
computed = {row["tagid"]: row["count"] for row in tags.groupBy("tagid").agg(F.countDistinct("userid").alias("count")).collect()}
try:
    served = {tagid: int(count) for tagid, count in mariadb.query(job.args.mariadb, COUNT.format(ds=mariadb.quote(job.ds)))}
except mariadb.MariaDbError as error:
    fail(str(error))
wrong = sorted(tagid for tagid in computed.keys() | served.keys() if computed.get(tagid) != served.get(tagid))
for tagid in wrong:
    print(f"{tagid}: {computed.get(tagid, 0)} in the warehouse, {served.get(tagid, 0)} in MariaDB")
if wrong:
    fail(f"MariaDB differs in {len(wrong)} of {len(computed)} tags on {job.ds}: run sync_mariadb.py {job.ds} again")
job.done(f"{len(computed)} tags agree")
