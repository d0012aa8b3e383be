from pyspark.sql import functions as F
from warehouse import begin, read, write

HIGH_ACTIVE_DAYS = 7

spark, ds = begin("activity_level")
recency = read(spark, ds, "act_last_purchase_days").withColumn("days", F.col("tagweight").cast("int"))
orders = read(spark, ds, "act_orders_30d").select("userid", F.col("tagweight").cast("int").alias("orders"))
joined = recency.join(orders, "userid", "left").fillna(0, ["orders"])
is_recent = F.col("days") <= HIGH_ACTIVE_DAYS
level = (
    F.when((F.col("orders") >= 2) & is_recent, "high")
    .when((F.col("orders") >= 2) | is_recent, "mid")
    .when(F.col("orders") >= 1, "low")
    .otherwise("churned")
)
write(joined.select("userid", level.alias("tagweight")), ds, "act_level")
