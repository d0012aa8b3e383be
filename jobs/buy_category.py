"""Tags `category_NAME`: orders with a product of the category in 90 days; `buy_category`: the one most was paid for."""

from pyspark.sql import functions as F

from userprofile.categories import PRODUCT_CODE, category
from userprofile.job import Job
from userprofile.orders import sales
from userprofile.tags import write_tags

job = Job("buy_category", "tags buy_category, category_NAME")
products = sales(job, 90).where(F.col("stock_code").rlike(PRODUCT_CODE)).withColumn("category", category(F.col("description")))
bought = products.groupBy("userid", "category").agg(
    F.countDistinct("invoice").alias("orders"), F.sum(F.col("quantity") * F.col("price")).alias("amount")
)
each = bought.select("userid", F.concat(F.lit("category_"), "category").alias("tagid"), F.col("orders").cast("string").alias("tagweight"))
# min over (-amount, name): the highest amount, and of equal ones the name that comes first.
top = bought.groupBy("userid").agg(F.min(F.struct((-F.col("amount")).alias("amount"), "category"))["category"].alias("tagweight"))
write_tags(job, each.unionByName(top.withColumn("tagid", F.lit("buy_category"))), "buy_category")
