"""What a user has looked at on a day."""
import sys

import warehouse

day = sys.argv[1]
warehouse.write("page_tags", day, list({(user, f"looks_at_{page}") for user, page in warehouse.rows(f"raw/{day}/visits.csv")}))
