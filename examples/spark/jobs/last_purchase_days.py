from pyspark.sql import functions as F
from warehouse import begin, purchases, write

spark, ds = begin("last_purchase_days")
tags = purchases(spark, ds).groupBy("userid").agg(F.datediff(F.lit(ds), F.max("data_date")).alias("tagweight"))
write(tags, ds, "act_last_purchase_days")
