"""A user with two visits or more on a day comes often."""
import collections
import sys

import warehouse

day = sys.argv[1]
visits = collections.Counter(user for user, _ in warehouse.rows(f"raw/{day}/visits.csv"))
warehouse.write("visit_tags", day, [(user, "comes_often" if visits[user] >= 2 else "comes_rarely") for user in visits])
