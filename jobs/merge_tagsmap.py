"""One row per user: all tags of the date as one map."""

from pyspark.sql import functions as F

from userprofile.job import Job
from userprofile.tags import TAG_TYPES, read_tags

job = Job("merge_tagsmap", "tags to one map per user")
# A tag that stands twice for a user makes map_from_entries fail: nothing is picked in silence.
entries = F.sort_array(F.collect_list(F.struct("tagid", "tagweight")))
users = read_tags(job, *TAG_TYPES).groupBy("userid").agg(F.map_from_entries(entries).alias("tagsmap"))
counts = job.warehouse.replace("userprofile_tagsmap", users, data_date=job.ds)
job.done(f"{counts['rows']} rows")
