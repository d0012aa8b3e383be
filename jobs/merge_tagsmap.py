"""One row per user: all tags of the date as one map; and per tag, for comparing, how many users have it and a checksum."""

from pyspark.sql import functions as F

from userprofile import figures
from userprofile.database import DatabaseError
from userprofile.job import Job, fail
from userprofile.tags import TAG_TYPES, read_tags

job = Job("merge_tagsmap", "tags to one map per user", figures=figures.OPTION)
tags = read_tags(job, *TAG_TYPES)
# A tag that stands twice for a user makes map_from_entries fail: nothing is picked in silence.
entries = F.sort_array(F.collect_list(F.struct("tagid", "tagweight")))
users = tags.groupBy("userid").agg(F.map_from_entries(entries).alias("tagsmap"))
counts = job.warehouse.replace("userprofile_tagsmap", users, data_date=job.ds)
written = job.warehouse.read("userprofile_tagsmap", job.ds, job.ds).select("userid", F.explode("tagsmap").alias("tagid", "tagweight"))
# MariaDB has the same function: the sum tells of any weight that differs, in any order of rows.
checksum = F.sum(F.crc32(F.concat_ws("=", "userid", "tagid", "tagweight")))
sums = written.groupBy("tagid").agg(F.count("*").alias("users"), checksum.alias("checksum")).orderBy("tagid").collect()
try:
    with figures.database(job.args.figures).transaction() as transaction:
        transaction.replace("tagsmap_sums", {"data_date": job.ds}, ["tagid", "users", "checksum"], sums)
except DatabaseError as error:
    fail(str(error))
job.done(f"{counts['rows']} rows, {len(sums)} tags")
