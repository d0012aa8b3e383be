"""All tags of a day: of the jobs that have written any."""
import sys

import warehouse

day = sys.argv[1]
jobs = ["buyer_tags", "region_tags", "visit_tags", "page_tags"]
warehouse.write("merged", day, [tuple(row) for job in jobs for row in warehouse.rows(f"warehouse/{job}/{day}.csv")])
