"""MariaDB through its own command-line client: needs no Python package, no JDBC jar, and no rights beyond INSERT and DELETE.

The option file (`--mariadb FILE`, `[client]` with host, port, user, password, database) keeps the password out of the
process list. Everything that one `Transaction` does is one transaction: the client ends at the first error, the server then
rolls back. INSERT is used rather than LOAD DATA LOCAL, which turns errors into warnings and leaves rows out in silence.
"""

import os
import subprocess
from collections.abc import Iterable

ROWS_A_STATEMENT = 500
OPTION = {"default": os.environ.get("RETAIL_MARIADB", "mariadb.cnf"), "help": "the client's option file; $RETAIL_MARIADB"}


class MariaDbError(Exception):
    """What the client said."""


def client(option_file: str, *options: str, **settings) -> subprocess.Popen:
    if not os.path.isfile(option_file):
        raise MariaDbError(f"the option file {option_file} is missing: name one with --mariadb or RETAIL_MARIADB")
    command = ["mariadb", f"--defaults-file={option_file}", "--default-character-set=utf8mb4", "--batch", *options]
    try:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", **settings)
    except FileNotFoundError as error:
        raise MariaDbError("there is no mariadb client: install the package mariadb-client") from error


def query(option_file: str, statement: str) -> list[list[str]]:
    """The rows of one SELECT."""
    with client(option_file, "--skip-column-names", stdout=subprocess.PIPE) as process:
        out, problem = process.communicate(statement)
    if process.returncode != 0:
        raise MariaDbError(problem.strip())
    return [[unescape(field) for field in line.split("\t")] for line in out.split("\n") if line]


def unescape(field: str) -> str:
    plain, letters = [], iter(field)
    for letter in letters:
        if letter == "\\":
            letter = {"n": "\n", "t": "\t", "0": "\0"}.get(following := next(letters, ""), following)
        plain.append(letter)
    return "".join(plain)


def quote(value: object) -> str:
    if value is None:
        return "NULL"
    text = str(value).replace("\\", "\\\\").replace("'", "\\'").replace("\0", "\\0").replace("\n", "\\n")
    return f"'{text}'"


class Transaction:
    """`with Transaction(file) as transaction: transaction.replace(...)`: all of it or nothing."""

    def __init__(self, option_file: str):
        self.option_file = option_file

    def __enter__(self) -> "Transaction":
        self.process = client(self.option_file, stdout=subprocess.DEVNULL)
        self.send("SET SESSION sql_mode = 'STRICT_ALL_TABLES'; START TRANSACTION;\n")
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is None:
            self.send("COMMIT;\n")
        else:
            # Not only closed: without a word more the client could still send what it has read.
            self.process.kill()
        _, problem = self.process.communicate()
        if kind is None and self.process.returncode != 0:
            raise MariaDbError(problem.strip())

    def send(self, statement: str) -> None:
        try:
            self.process.stdin.write(statement)
            self.process.stdin.flush()
        except BrokenPipeError:
            _, problem = self.process.communicate()
            raise MariaDbError(problem.strip()) from None

    def replace(self, table: str, ds: str, columns: list[str], rows: Iterable[tuple]) -> int:
        """Deletes the date's rows and inserts these, each `columns` without `data_date`; returns how many."""
        self.send(f"DELETE FROM {table} WHERE data_date = {quote(ds)};\n")
        head = f"INSERT INTO {table} (data_date, {', '.join(columns)}) VALUES\n"
        count, values = 0, []
        for row in rows:
            values.append(f"({', '.join(map(quote, (ds, *row)))})")
            count += 1
            if len(values) == ROWS_A_STATEMENT:
                self.send(head + ",\n".join(values) + ";\n")
                values = []
        if values:
            self.send(head + ",\n".join(values) + ";\n")
        return count
