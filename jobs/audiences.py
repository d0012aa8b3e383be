"""All audiences of the date, from the rules in MariaDB's table `audience_rule`; one scan of the tag map for all of them.

Writes the table `audience` of the warehouse, and `audience_user` and `audience_count` (what a marketer sees) of MariaDB. One
faulty rule stops them all: the faults are named, and nothing is replaced.
"""

from pyspark.sql import functions as F

from userprofile import mariadb
from userprofile.audiences import load, resolve, tagsmap
from userprofile.database import DatabaseError
from userprofile.job import Job, fail
from userprofile.rules import RuleError, condition

job = Job("audiences", "all audiences of the date", mariadb=mariadb.OPTION)
try:
    rules, titles = load(job.args.mariadb)
    trees = resolve(rules)
except (DatabaseError, RuleError) as error:
    fail(str(error))
users_tags = tagsmap(job)
members = [F.when(condition(tree), F.lit(audience_id)) for audience_id, tree in trees.items()]
matched = users_tags.select(F.explode(F.array_compact(F.array(*members, F.lit(None).cast("string")))).alias("audience_id"), "userid")
job.warehouse.replace("audience", matched, data_date=job.ds)
rows = job.warehouse.read("audience", job.ds, job.ds).orderBy("audience_id", "userid").select("audience_id", "userid").collect()
users = dict.fromkeys(rules, 0)
for row in rows:
    users[row["audience_id"]] += 1
try:
    with mariadb.database(job.args.mariadb).transaction() as transaction:
        transaction.replace("audience_user", {"data_date": job.ds}, ["audience_id", "userid"], rows)
        counts = [(audience_id, titles[audience_id], count) for audience_id, count in users.items()]
        transaction.replace("audience_count", {"data_date": job.ds}, ["audience_id", "title", "users"], counts)
except DatabaseError as error:
    fail(str(error))
for audience_id, count in users.items():
    print(f"{count:>8}  {audience_id:<20} {titles[audience_id]}")
job.done(f"{len(rows)} rows, {len(rules)} audiences")
