"""Where the tables are: purchases come as one CSV a day, tags are partitions by data_date and tagid."""

import datetime
import sys
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

HOME = Path.cwd()


def begin(app: str) -> tuple[SparkSession, str]:
    """The session and the date of this job."""
    return SparkSession.builder.appName(app).getOrCreate(), sys.argv[1]


def purchases(spark: SparkSession, ds: str, days: int | None = None) -> DataFrame:
    """Purchases up to a date, of the last so many days, or of all time: userid, quantity, amount, data_date."""
    last = datetime.date.fromisoformat(ds)
    first = datetime.date(1997, 1, 1) if days is None else last - datetime.timedelta(days=days - 1)
    dates = [last - datetime.timedelta(days=n) for n in range((last - first).days + 1)]
    files = [HOME / "data" / "incoming" / f"{date}.csv" for date in dates]
    rows = spark.read.csv([str(file) for file in files if file.exists()], schema="userid INT, quantity INT, amount DECIMAL(10,2)")
    return rows.withColumn("data_date", F.to_date(F.regexp_extract(F.input_file_name(), r"(\d{4}-\d{2}-\d{2})\.csv", 1)))


def partition(ds: str, tagid: str) -> str:
    return str(HOME / "warehouse" / "profile_tag_userid" / f"data_date={ds}" / f"tagid={tagid}")


def write(tags: DataFrame, ds: str, tagid: str) -> None:
    """Replaces one partition: userid, tagweight."""
    tags.select("userid", F.col("tagweight").cast("string")).coalesce(1).write.mode("overwrite").csv(partition(ds, tagid))
    print(f"{tagid} {ds}: {read(tags.sparkSession, ds, tagid).count()} users")


def read(spark: SparkSession, ds: str, tagid: str) -> DataFrame:
    return spark.read.csv(partition(ds, tagid), schema="userid INT, tagweight STRING")
