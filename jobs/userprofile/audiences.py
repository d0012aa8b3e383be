"""The audience rules that stand in MariaDB, and the tag map that they are asked of."""

from pyspark.sql import DataFrame

from userprofile import mariadb, rules
from userprofile.job import Job


def load(option_file: str) -> tuple[dict[str, rules.Rule], dict[str, str]]:
    """The enabled rules and their titles by audience id; all faults that rules have by themselves in one error."""
    parsed, titles, faults = {}, {}, []
    for audience_id, title, text in mariadb.query(
        option_file, "SELECT audience_id, title, rule FROM audience_rule WHERE is_enabled ORDER BY audience_id;"
    ):
        titles[audience_id] = title
        try:
            parsed[audience_id] = rules.parse(audience_id, text)
        except rules.RuleError as error:
            faults.append(str(error))
    refuse_all(faults, len(titles))
    return parsed, titles


def resolve(parsed: dict[str, rules.Rule]) -> dict[str, dict]:
    """The trees of all rules, without references to each other; all wrong references in one error."""
    trees, faults = {}, []
    for audience_id, rule in parsed.items():
        try:
            trees[audience_id] = rules.resolve(rule, parsed)
        except rules.RuleError as error:
            faults.append(str(error))
    refuse_all(faults, len(parsed))
    return trees


def refuse_all(faults: list[str], count: int) -> None:
    if faults:
        raise rules.RuleError("\n".join([f"{len(faults)} of {count} rules in audience_rule are faulty", *faults]))


def tagsmap(job: Job) -> DataFrame:
    job.require("userprofile_tagsmap")
    return job.warehouse.read("userprofile_tagsmap", job.ds, job.ds)
