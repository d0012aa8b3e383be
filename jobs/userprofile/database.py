"""A database through its own command-line client: no Python package and no JDBC jar on any gateway.

Passwords stand in option files, never in the process list. Everything that one `Transaction` does is one transaction: the
client ends at the first error, and the server then rolls back.
"""

import os
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass

ROWS_A_STATEMENT = 500


class DatabaseError(Exception):
    """What the client said."""


@dataclass(frozen=True)
class Database:
    """How to start a client, what it must be told first, and how a text is written in its SQL."""

    command: list[str]
    environment: dict[str, str]
    opening: str
    quote_text: Callable[[str], str]
    package: str

    def start(self, *options: str, **settings) -> subprocess.Popen:
        try:
            return subprocess.Popen(
                [*self.command, *options], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
                env=os.environ | self.environment, **settings,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise DatabaseError(f"there is no program {self.command[0]}: install the package {self.package}") from error

    def quote(self, value: object) -> str:
        return "NULL" if value is None else self.quote_text(str(value))

    def transaction(self) -> "Transaction":
        return Transaction(self)


def option_file(path: str, option: str) -> str:
    if not os.path.isfile(path):
        raise DatabaseError(f"the option file {path} is missing: name one with --{option} or RETAIL_{option.upper()}")
    return path


class Transaction:
    """`with database.transaction() as transaction: transaction.replace(...)`: all of it or nothing."""

    def __init__(self, database: Database):
        self.database = database

    def __enter__(self) -> "Transaction":
        self.process = self.database.start(stdout=subprocess.DEVNULL)
        self.send(self.database.opening)
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is None:
            self.send("COMMIT;\n")
        else:
            # Not only closed: without a word more the client could still send what it has read.
            self.process.kill()
        _, problem = self.process.communicate()
        if kind is None and self.process.returncode != 0:
            raise DatabaseError(problem.strip())

    def send(self, statement: str) -> None:
        try:
            self.process.stdin.write(statement)
            self.process.stdin.flush()
        except BrokenPipeError:
            _, problem = self.process.communicate()
            raise DatabaseError(problem.strip()) from None

    def replace(self, table: str, keys: dict[str, str], columns: list[str], rows: Iterable[tuple]) -> int:
        """Deletes the rows that have these values in the key columns, inserts `rows` with them; returns how many."""
        quote = self.database.quote
        condition = " AND ".join(f"{column} = {quote(value)}" for column, value in keys.items())
        self.send(f"DELETE FROM {table} WHERE {condition};\n")
        head = f"INSERT INTO {table} ({', '.join([*keys, *columns])}) VALUES\n"
        count, values = 0, []
        for row in rows:
            values.append(f"({', '.join(map(quote, (*keys.values(), *row)))})")
            count += 1
            if len(values) == ROWS_A_STATEMENT:
                self.send(head + ",\n".join(values) + ";\n")
                values = []
        if values:
            self.send(head + ",\n".join(values) + ";\n")
        return count
