"""What the warehouse says of itself, in PostgreSQL, where a check can ask for it without starting Spark.

Through the client `psql` and a service file of libpq with `[figures]`: host, port, user, password, dbname. The numbers are
those of the Parquet tables, never of the serving store: a check compares the two.
"""

import os

from userprofile.database import Database, option_file

OPTION = {"default": os.environ.get("RETAIL_FIGURES", "figures.conf"), "help": "the service file of libpq; $RETAIL_FIGURES"}


def database(path: str) -> Database:
    return Database(
        ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname=service=figures"],
        environment={"PGSERVICEFILE": option_file(path, "figures"), "PGCLIENTENCODING": "UTF8"},
        opening="SET standard_conforming_strings = on; BEGIN;\n",
        quote_text=lambda text: "'" + text.replace("'", "''") + "'",
        package="postgresql-client",
    )
