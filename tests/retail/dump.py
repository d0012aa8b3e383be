"""Writes what the jobs left, as sorted lines of JSON, for expected.py and for comparing a date with its re-run.

    spark-submit dump.py WAREHOUSE MARIADB_OPTION_FILE FIGURES_SERVICE_FILE OUTPUT_FOLDER DATE...
"""

import json
import os
import pathlib
import subprocess
import sys

from pyspark.sql import SparkSession

warehouse, option_file, service_file, output, *dates = sys.argv[1:]
SERVED = {
    "userprofile_tagsmap": "data_date, userid, CONCAT(tagsmap, '')",
    "audience_user": "data_date, audience_id, userid",
    "audience_count": "data_date, audience_id, title, users",
}
FIGURES = {
    "upstream_counts": "data_date, files, lines, staged, parse_failed, no_customer, duplicates",
    "tag_counts": "data_date, tagtype, tagid, tag_rows, tag_count, tag_total_per::text, tag_dau_per::text",
    "tagsmap_sums": "data_date, tagid, users, checksum",
}
builder = SparkSession.builder.config("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
spark = builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
spark.sparkContext.setLogLevel("WARN")
folder = pathlib.Path(output)
folder.mkdir(parents=True, exist_ok=True)


def write(name: str, lines: list[str]) -> None:
    (folder / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in sorted(lines)), encoding="utf-8")


for table in sorted(pathlib.Path(warehouse).iterdir()):
    # Partitions are named one by one: what is not asked for is not listed either.
    parts = [str(table / f"data_date={date}") for date in dates]
    rows = spark.read.option("basePath", str(table)).parquet(*parts)
    write(table.name, [json.dumps(json.loads(line), sort_keys=True) for line in rows.toJSON().collect()])
wanted = ", ".join(f"'{date}'" for date in dates)
for table, columns in SERVED.items():
    query = f"SELECT JSON_ARRAY({columns}) FROM {table} WHERE data_date IN ({wanted})"
    command = ["mariadb", f"--defaults-file={option_file}", "--default-character-set=utf8mb4", "--batch", "--raw", "-N", "-e", query]
    write(f"mariadb.{table}", subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines())
for table, columns in FIGURES.items():
    query = f"SELECT json_build_array({columns}) FROM {table} WHERE data_date IN ({wanted})"
    command = ["psql", "--no-psqlrc", "-At", "--dbname=service=figures", "--command", query]
    environment = os.environ | {"PGSERVICEFILE": service_file}
    write(f"figures.{table}", subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.splitlines())
spark.stop()
