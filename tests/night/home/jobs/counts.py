"""Rows of each tag of a day, as CSV."""
import collections
import sys

import warehouse

counts = collections.Counter(tag for _, tag in warehouse.rows(f"warehouse/merged/{sys.argv[1]}.csv"))
print("tag,rows")
for tag in sorted(counts):
    print(f"{tag},{counts[tag]}")
