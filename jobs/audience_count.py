"""How many users a rule would reach, before it is kept: audience_count.py 20101207 --rule '{"tag": "orders_30d", "range": [3, null]}'

The rule may name audiences of the table `audience_rule`, which is read only then. Writes nothing.
"""

from userprofile import mariadb
from userprofile.audiences import load, tagsmap
from userprofile.database import DatabaseError
from userprofile.job import Job, fail
from userprofile.rules import RuleError, condition, parse, resolve

job = Job("audience_count", "count of one rule", mariadb=mariadb.OPTION, rule={"required": True, "help": "the rule as JSON"})
try:
    rule = parse("rule", job.args.rule)
    others = load(job.args.mariadb)[0] if '"audience"' in job.args.rule else {}
    tree = resolve(rule, others)
except (DatabaseError, RuleError) as error:
    fail(str(error))
job.done(f"{tagsmap(job).where(condition(tree)).count()} users")
