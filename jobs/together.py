"""Several jobs on one date in one Spark session, in the order given: together.py 20101207 country 'tag_counts --types country'

For small data, where starting Spark takes longer than the work. Each job is a script of this folder with the arguments that
follow the date; the first that fails ends them all with its exit code.
"""

import pathlib
import runpy
import shlex
import sys

from pyspark.sql import SparkSession

if len(sys.argv) < 3:
    sys.exit("usage: together.py DATE 'JOB [ARGUMENT...]'...")
date, *jobs = sys.argv[1:]
for words in map(shlex.split, jobs):
    script = pathlib.Path(__file__).with_name(f"{words[0]}.py")
    if not script.is_file():
        sys.exit(f"error: there is no job {words[0]}: {script} is missing")
    sys.argv = [str(script), date, *words[1:]]
    runpy.run_path(str(script), run_name="__main__")
    if session := SparkSession.getActiveSession():
        session.catalog.clearCache()
