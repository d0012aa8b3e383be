"""The tables: Parquet below one folder, partitioned by `data_date` (and tags by `tagtype`), read with fixed schemas.

Fixed, so that no job opens files to learn what is in them, and `data_date` stays the text that it is.
"""

from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

SCHEMAS = {
    "order_line": (
        "invoice STRING, stock_code STRING, description STRING, quantity INT, ordered_at TIMESTAMP, price DECIMAL(12,3), "
        "userid STRING, country STRING, kind STRING, data_date STRING"
    ),
    "id_map": "cookieid STRING, userid STRING, data_date STRING",
    "profile_tag_user": "tagid STRING, userid STRING, tagweight STRING, data_date STRING, tagtype STRING",
    "profile_tag_cookie": "tagid STRING, cookieid STRING, tagweight STRING, data_date STRING, tagtype STRING",
    "userprofile_tagsmap": "userid STRING, tagsmap MAP<STRING,STRING>, data_date STRING",
    "audience": "audience_id STRING, userid STRING, data_date STRING",
}


class Warehouse:
    def __init__(self, spark: SparkSession, root: str):
        self.spark, self.root = spark, root.rstrip("/")

    def path(self, table: str, **partition: str) -> str:
        return "/".join([self.root, table, *(f"{key}={value}" for key, value in partition.items())])

    def has(self, table: str, **partition: str) -> bool:
        """Whether a table, or one partition of it, was ever written; on any file system that Spark can read."""
        path = self.spark._jvm.org.apache.hadoop.fs.Path(self.path(table, **partition))
        return path.getFileSystem(self.spark._jsc.hadoopConfiguration()).exists(path)

    def read(self, table: str, first: str, last: str) -> DataFrame:
        """The partitions of the dates from `first` to `last`, both included."""
        if not self.has(table):
            return self.spark.createDataFrame([], SCHEMAS[table])
        rows = self.spark.read.schema(SCHEMAS[table]).parquet(self.path(table))
        return rows.where(F.col("data_date").between(first, last))

    def replace(self, table: str, rows: DataFrame, **partition: str) -> dict:
        """Replaces one partition, with `partition` naming its keys, and nothing else; returns the number of rows and of tags."""
        for key, value in partition.items():
            rows = rows.withColumn(key, F.lit(value))
        seen = Observation()
        tags = F.size(F.collect_set("tagid")) if "tagid" in rows.columns else F.lit(0)
        self.write(table, rows.coalesce(1).observe(seen, F.count(F.lit(1)).alias("rows"), tags.alias("tags")), list(partition))
        counts = seen.get
        if counts["rows"] == 0:
            self.clear(table, rows.drop(*partition), **partition)
        return counts

    def replace_dates(self, table: str, rows: DataFrame, dates: list[str]) -> None:
        """Replaces the partitions of these dates by `rows`, which has the column `data_date`."""
        self.write(table, rows, ["data_date"])
        written = {row["data_date"] for row in self.read(table, min(dates), max(dates)).select("data_date").distinct().collect()}
        for date in dates:
            if date not in written:
                self.clear(table, rows.drop("data_date"), data_date=date)

    def write(self, table: str, rows: DataFrame, keys: list[str]) -> None:
        writer = rows.write.mode("overwrite").option("partitionOverwriteMode", "dynamic")
        writer.partitionBy(*keys).parquet(self.path(table))

    def clear(self, table: str, rows: DataFrame, **partition: str) -> None:
        """Writes the partition empty: dynamic overwrite leaves the old one where there are no rows, and readers ask for it."""
        self.spark.createDataFrame([], rows.schema).write.mode("overwrite").parquet(self.path(table, **partition))
