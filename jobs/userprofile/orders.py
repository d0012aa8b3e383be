"""The order lines of known customers, in the windows that the tags look back."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from userprofile.job import Job

BEGINNING = None


def lines(job: Job, days: int | None) -> DataFrame:
    """Lines with a customer, of the window of so many days that ends with the job's date, or of all time up to it."""
    job.require("order_line")
    first = "" if days is BEGINNING else job.days_back(days)
    return job.warehouse.read("order_line", first, job.ds).where(F.col("userid").isNotNull())


def acts(job: Job, days: int | None) -> DataFrame:
    """Sales and cancellations: what shows that a customer is there."""
    return lines(job, days).where(F.col("kind").isin("sale", "cancel"))


def sales(job: Job, days: int | None) -> DataFrame:
    return lines(job, days).where(F.col("kind") == "sale")


def within(job: Job, days: int):
    """Whether a line is in the window of so many days."""
    return F.col("data_date") >= job.days_back(days)
