"""Audience rules: the JSON form, its validation, and what it means for one row of the tag map.

Knows nothing of databases, and of Spark only the column expressions that `condition` makes: all faults are found without a
session.
"""

import json
from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F

from userprofile.tags import NUMBER, TAGS

NUMBERS = "numbers below 10^15 with at most three places after the point"
FORMS = "one of: tag with range, tag with in, all, any, minus, audience"


class RuleError(Exception):
    """Says where in the rule, what is wrong, and what may stand there."""


@dataclass(frozen=True)
class Rule:
    """A rule known to be sound by itself; that the audiences it names exist is for `resolve` to find."""

    name: str
    tree: dict


def parse(name: str, text: str) -> Rule:
    try:
        tree = json.loads(text, parse_constant=lambda word: refuse(name, f"{word} is not a number"))
    except json.JSONDecodeError as error:
        refuse(name, f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}")
    check(tree, name)
    return Rule(name, tree)


def refuse(where: str, problem: str):
    raise RuleError(f"{where}: {problem}")


def check(tree: object, where: str) -> None:
    if not isinstance(tree, dict):
        refuse(where, f"{json.dumps(tree)} is not a rule: an object is expected, {FORMS}")
    keys = set(tree)
    if keys == {"tag", "range"}:
        known_tag(tree["tag"], where)
        check_range(tree["tag"], tree["range"], f"{where}.range")
    elif keys == {"tag", "in"}:
        known_tag(tree["tag"], where)
        values = tree["in"]
        if not isinstance(values, list) or not values or not all(is_number(v) or isinstance(v, str) for v in values):
            refuse(f"{where}.in", f"{json.dumps(values)} is not a list of one or more texts or {NUMBERS}")
        if TAGS[tree["tag"]][1] == NUMBER and not all(is_number(value) for value in values):
            refuse(f"{where}.in", f"{tree['tag']} is a number, so only numbers may stand here")
    elif len(keys) == 1 and keys <= {"all", "any", "minus"}:
        (form,) = keys
        least = 2 if form == "minus" else 1
        if not isinstance(tree[form], list) or len(tree[form]) < least:
            refuse(f"{where}.{form}", f"a list of at least {least} rule{'s' * (least > 1)} is expected")
        for index, part in enumerate(tree[form]):
            check(part, f"{where}.{form}[{index}]")
    elif keys == {"audience"}:
        if not isinstance(tree["audience"], str):
            refuse(f"{where}.audience", "the id of an audience is expected")
    else:
        refuse(where, f"the keys {', '.join(sorted(keys)) or '(none)'} do not make a rule; {FORMS}")


def known_tag(tag: object, where: str) -> None:
    if not isinstance(tag, str) or tag not in TAGS:
        refuse(f"{where}.tag", f"there is no tag {json.dumps(tag)}; the tags are {', '.join(TAGS)}")


def check_range(tag: str, bounds: object, where: str) -> None:
    if TAGS[tag][1] != NUMBER:
        refuse(where, f"{tag} is a word, not a number: use \"in\"")
    if not isinstance(bounds, list) or len(bounds) != 2 or not all(bound is None or is_number(bound) for bound in bounds):
        refuse(where, f"{json.dumps(bounds)} is not [LOWEST, HIGHEST]: {NUMBERS}, null where there is no bound")
    if bounds == [None, None]:
        refuse(where, "one of the two bounds must be a number")
    if None not in bounds and bounds[0] > bounds[1]:
        refuse(where, f"the lowest, {bounds[0]}, is above the highest, {bounds[1]}")


def is_number(value: object) -> bool:
    """A number that a decimal with 18 digits, three of them after the point, holds exactly; so tag weights are compared."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return abs(value) < 10**15 and round(value, 3) == value


def resolve(rule: Rule, audiences: dict[str, Rule]) -> dict:
    """The rule's tree with the trees of other audiences in the place of their names."""
    return resolve_tree(rule.tree, rule.name, audiences, (rule.name,))


def resolve_tree(tree: dict, where: str, audiences: dict[str, Rule], seen: tuple[str, ...]) -> dict:
    if "tag" in tree:
        return tree
    if "audience" in tree:
        other = tree["audience"]
        if other in seen:
            refuse(where, f"the audiences {' -> '.join((*seen, other))} refer to each other in a circle")
        if other not in audiences:
            refuse(where, f"there is no audience {other!r}; there are {', '.join(sorted(audiences)) or 'none'}")
        return resolve_tree(audiences[other].tree, other, audiences, (*seen, other))
    ((form, parts),) = tree.items()
    return {form: [resolve_tree(part, f"{where}.{form}[{index}]", audiences, seen) for index, part in enumerate(parts)]}


def condition(tree: dict) -> Column:
    """Whether a row of the tag map fulfils a resolved rule; never null: who has no such tag does not fulfil it."""
    if "tag" in tree:
        return F.coalesce(tag_condition(tree), F.lit(False))
    ((form, parts),) = tree.items()
    met, *others = map(condition, parts)
    for other in others:
        met = met & other if form == "all" else met | other if form == "any" else met & ~other
    return met


def tag_condition(tree: dict) -> Column:
    tag = tree["tag"]
    weight = F.col("tagsmap")[tag]
    if TAGS[tag][1] == NUMBER:
        weight = weight.cast("decimal(18,3)")
    if "in" in tree:
        return weight.isin(*(literal(tag, value) for value in tree["in"]))
    lowest, highest = tree["range"]
    met = F.lit(True)
    if lowest is not None:
        met = met & (weight >= literal(tag, lowest))
    if highest is not None:
        met = met & (weight <= literal(tag, highest))
    return met


def literal(tag: str, value: object) -> Column:
    # Through text, so that 0.1 is the decimal 0.1 and not the nearest binary fraction.
    return F.lit(str(value)).cast("decimal(18,3)") if TAGS[tag][1] == NUMBER else F.lit(str(value))
