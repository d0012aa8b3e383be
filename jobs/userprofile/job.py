"""How each job begins and ends: its arguments, its Spark session, its one line of summary."""

import argparse
import atexit
import datetime
import functools
import os
import re
import sys
import time

from pyspark.sql import SparkSession

from userprofile.warehouse import Warehouse


def day(text: str) -> datetime.date:
    """A date as crondag's `ds_nodash` gives it."""
    if not re.fullmatch("[0-9]{8}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a date such as 20101207")
    try:
        return datetime.date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error


def nodash(date: datetime.date) -> str:
    return date.strftime("%Y%m%d")


def fail(message: str):
    """Ends the job: a message for a person, exit code 1, no stack trace of the JVM."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)


class Job:
    """One job on one date. `args` has what the script added to the parser."""

    def __init__(self, name: str, describe: str, **options: dict):
        parser = argparse.ArgumentParser(description=describe)
        parser.add_argument("date", type=day, help="the date of the data, as in 20101207")
        parser.add_argument("--warehouse", default=os.environ.get("RETAIL_WAREHOUSE", "warehouse"), help="$RETAIL_WAREHOUSE")
        for option, settings in options.items():
            parser.add_argument(f"--{option.replace('_', '-')}", **settings)
        self.name, self.began = name, time.monotonic()
        self.args = parser.parse_args()
        self.date: datetime.date = self.args.date
        self.ds = nodash(self.date)

    @functools.cached_property
    def spark(self) -> SparkSession:
        """Started when it is first needed: what is wrong with arguments and rules is said at once."""
        # UTC, so that the hour of an order is the one that stands in the file, whatever the zone of the machine.
        builder = SparkSession.builder.appName(f"{self.name} {self.ds}").config("spark.sql.session.timeZone", "UTC")
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("WARN")
        # Not in `done`: together.py runs several jobs in one session.
        atexit.register(session.stop)
        return session

    @functools.cached_property
    def warehouse(self) -> Warehouse:
        return Warehouse(self.spark, self.args.warehouse)

    def days_back(self, days: int) -> str:
        """The first date of a window of so many days that ends with this date, this date included."""
        return nodash(self.date - datetime.timedelta(days=days - 1))

    def require(self, table: str, **partition: str) -> None:
        """Ends the job when what it reads was not written."""
        if not self.warehouse.has(table, data_date=self.ds, **partition):
            path = "/".join([table, f"data_date={self.ds}", *(f"{key}={value}" for key, value in partition.items())])
            fail(f"{path} is not in {self.warehouse.root}: the job that writes it has not run for {self.ds}")

    def done(self, summary: str) -> None:
        print(f"{self.name} {self.ds}: {summary}, {time.monotonic() - self.began:.1f} s")
