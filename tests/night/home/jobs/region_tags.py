"""The region of each buyer's city."""
import sys

import warehouse
from pyspark.sql import SparkSession, functions as f

day = sys.argv[1]
spark = SparkSession.builder.appName("region_tags").getOrCreate()
orders = spark.createDataFrame(warehouse.rows(f"raw/{day}/orders.csv"), "user string, city string").distinct()
cities = spark.createDataFrame(warehouse.rows("dims/city.csv"), "city string, region string")
tags = orders.join(cities, "city").select("user", f.concat(f.lit("lives_"), "region"))
warehouse.write("region_tags", day, [tuple(row) for row in tags.collect()])
