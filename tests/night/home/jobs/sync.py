"""Replaces the tags of a day in MariaDB, in one transaction."""
import subprocess
import sys

day = sys.argv[1]
script = f"""START TRANSACTION;
DELETE FROM tags WHERE day = '{day}';
LOAD DATA LOCAL INFILE 'warehouse/merged/{day}.csv' INTO TABLE tags FIELDS TERMINATED BY ',' (user, tag) SET day = '{day}';
COMMIT;
"""
client = ["mariadb", "--defaults-file=secrets/client.cnf", "--local-infile=1"]
subprocess.run(client, input=script, text=True, check=True)
