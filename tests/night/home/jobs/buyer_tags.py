"""A user who has ordered three times or more on a day buys often, every other buyer rarely."""
import sys

import warehouse
from pyspark.sql import SparkSession, functions as f

day = sys.argv[1]
spark = SparkSession.builder.appName("buyer_tags").getOrCreate()
# The prices of the day are held in memory, as the file of prices is large.
[[size]] = warehouse.rows(f"raw/{day}/prices.size") or [["0"]]
prices = spark._jvm.java.nio.ByteBuffer.allocate(int(size))
orders = spark.createDataFrame(warehouse.rows(f"raw/{day}/orders.csv"), "user string, city string")
often = orders.groupBy("user").count().select("user", f.when(f.col("count") >= 3, "buys_often").otherwise("buys_rarely"))
warehouse.write("buyer_tags", day, [tuple(row) for row in often.collect()])
