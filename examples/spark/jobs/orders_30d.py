from pyspark.sql import functions as F
from warehouse import begin, purchases, write

spark, ds = begin("orders_30d")
write(purchases(spark, ds, days=30).groupBy("userid").agg(F.count("*").alias("tagweight")), ds, "act_orders_30d")
