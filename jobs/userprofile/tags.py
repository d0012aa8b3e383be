"""Which tags there are: the type (the partition) that each belongs to, and whether its weight is a number or a word.

jobs/README.md says what each of them means.
"""

from pyspark.sql import DataFrame

from userprofile.categories import CATEGORIES
from userprofile.job import Job

NUMBER, WORD = "number", "word"
TAGS = {
    "country": ("country", WORD),
    "last_behavior_days": ("last_behavior", NUMBER),
    "orders_1d": ("purchase_count", NUMBER),
    "orders_7d": ("purchase_count", NUMBER),
    "orders_30d": ("purchase_count", NUMBER),
    "orders_90d": ("purchase_count", NUMBER),
    "activity_level": ("activity_level", WORD),
    "high_active_period": ("active_period", NUMBER),
    "buy_category": ("buy_category", WORD),
    **{f"category_{name}": ("buy_category", NUMBER) for name in CATEGORIES},
    "paid_total": ("paid_amount", NUMBER),
    "paid_30d": ("paid_amount", NUMBER),
    "large_baskets_30d": ("basket", NUMBER),
}
TAG_TYPES = sorted({tagtype for tagtype, _ in TAGS.values()})
# Words with few values, counted value by value as well: `activity_level_high`.
COUNTED_BY_VALUE = ["activity_level", "buy_category"]


def write_tags(job: Job, tags: DataFrame, tagtype: str) -> None:
    """Replaces the tags of one type and date by `tags(tagid, userid, tagweight)` and ends the job."""
    rows = tags.select("tagid", "userid", tags["tagweight"].cast("string").alias("tagweight"))
    counts = job.warehouse.replace("profile_tag_user", rows, data_date=job.ds, tagtype=tagtype)
    job.done(f"{counts['rows']} rows, {counts['tags']} tags")


def read_tags(job: Job, *tagtypes: str) -> DataFrame:
    """The tags of this date and these types; ends the job when one of the types was not written."""
    for tagtype in tagtypes:
        job.require("profile_tag_user", tagtype=tagtype)
    rows = job.warehouse.read("profile_tag_user", job.ds, job.ds)
    return rows.where(rows["tagtype"].isin(*tagtypes)).select("tagtype", "tagid", "userid", "tagweight")
