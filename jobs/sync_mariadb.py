"""The tag map to MariaDB: one JSON object per user, the date replaced in one transaction."""

import json

from userprofile import mariadb
from userprofile.database import DatabaseError
from userprofile.job import Job, fail

job = Job("sync_mariadb", "the tag map to MariaDB", mariadb=mariadb.OPTION)
job.require("userprofile_tagsmap")
users = job.warehouse.read("userprofile_tagsmap", job.ds, job.ds).orderBy("userid").select("userid", "tagsmap")
# Keys sorted and no spaces: the same map gives the same text, so that a re-run is equal to the byte.
rows = ((u["userid"], json.dumps(u["tagsmap"], sort_keys=True, separators=(",", ":"))) for u in users.toLocalIterator(prefetchPartitions=True))
try:
    with mariadb.database(job.args.mariadb).transaction() as transaction:
        count = transaction.replace("userprofile_tagsmap", {"data_date": job.ds}, ["userid", "tagsmap"], rows)
except DatabaseError as error:
    fail(str(error))
job.done(f"{count} rows")
