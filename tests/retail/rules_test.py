"""What a rule may be, and what is said of one that may not. Needs pyspark to import, no Java."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "jobs"))
from userprofile import rules

GOOD = [
    '{"tag": "orders_30d", "range": [2, null]}',
    '{"tag": "orders_30d", "in": [1, 2]}',
    '{"tag": "country", "in": ["France"]}',
    '{"minus": [{"audience": "a"}, {"any": [{"audience": "b"}, {"all": [{"audience": "c"}]}]}]}',
]
BAD = {
    '{"tag": "orders_30d", "range": [2': "r: not JSON: Expecting ',' delimiter at line 1, column 34",
    "[]": "r: [] is not a rule: an object is expected, one of: tag with range, tag with in, all, any, minus, audience",
    "{}": "r: the keys (none) do not make a rule; one of: tag with range, tag with in, all, any, minus, audience",
    '{"tag": "country", "range": [1, 2]}': 'r.range: country is a word, not a number: use "in"',
    '{"tag": "orders_30d", "range": [3, 2]}': "r.range: the lowest, 3, is above the highest, 2",
    '{"tag": "orders_30d", "range": [null, null]}': "r.range: one of the two bounds must be a number",
    '{"tag": "orders_30d", "range": [true, 2]}': "r.range: [true, 2] is not [LOWEST, HIGHEST]: numbers below 10^15 with at most three places after the point, null where there is no bound",
    '{"tag": "orders_30d", "range": [NaN, 2]}': "r: NaN is not a number",
    '{"tag": "orders_30d", "in": [0.0001]}': "r.in: [0.0001] is not a list of one or more texts or numbers below 10^15 with at most three places after the point",
    '{"tag": "orders_30d", "in": ["2"]}': "r.in: orders_30d is a number, so only numbers may stand here",
    '{"tag": "country", "in": []}': "r.in: [] is not a list of one or more texts or numbers below 10^15 with at most three places after the point",
    '{"minus": [{"audience": "a"}]}': "r.minus: a list of at least 2 rules is expected",
    '{"any": []}': "r.any: a list of at least 1 rule is expected",
    '{"all": [{"audience": "a"}, {"audience": 1}]}': "r.all[1].audience: the id of an audience is expected",
}


class Rules(unittest.TestCase):
    def test_good_rules_parse(self):
        for text in GOOD:
            self.assertEqual(rules.parse("r", text).name, "r")

    def test_faults_say_where_and_what(self):
        for text, message in BAD.items():
            with self.subTest(text), self.assertRaises(rules.RuleError) as caught:
                rules.parse("r", text)
            self.assertEqual(str(caught.exception), message)

    def test_names_of_audiences_are_replaced_by_their_rules(self):
        parsed = {name: rules.parse(name, text) for name, text in {"a": GOOD[2], "b": '{"any": [{"audience": "a"}]}'}.items()}
        self.assertEqual(rules.resolve(parsed["b"], parsed), {"any": [{"tag": "country", "in": ["France"]}]})

    def test_circles_and_unknown_audiences_are_refused(self):
        texts = {"a": '{"audience": "b"}', "b": '{"minus": [{"audience": "a"}, {"audience": "c"}]}'}
        parsed = {name: rules.parse(name, text) for name, text in texts.items()}
        with self.assertRaises(rules.RuleError) as caught:
            rules.resolve(parsed["a"], parsed)
        self.assertEqual(str(caught.exception), "b.minus[0]: the audiences a -> b -> a refer to each other in a circle")
        with self.assertRaises(rules.RuleError) as caught:
            rules.resolve(rules.parse("r", '{"audience": "z"}'), parsed)
        self.assertEqual(str(caught.exception), "r: there is no audience 'z'; there are a, b")

    def test_an_unknown_tag_is_answered_with_those_there_are(self):
        for tag in ('"orders_30"', "[]", "null"):
            with self.assertRaises(rules.RuleError) as caught:
                rules.parse("r", f'{{"tag": {tag}, "in": [1]}}')
            self.assertTrue(str(caught.exception).startswith(f"r.tag: there is no tag {tag}; the tags are country, "))


unittest.main()
