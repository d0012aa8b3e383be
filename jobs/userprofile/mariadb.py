"""The serving store, through the client `mariadb` and an option file with `[client]`: host, port, user, password, database.

INSERT is used rather than LOAD DATA LOCAL, which turns errors into warnings and leaves rows out in silence.
"""

import os
import subprocess

from userprofile.database import Database, DatabaseError, option_file

OPTION = {"default": os.environ.get("RETAIL_MARIADB", "mariadb.cnf"), "help": "the client's option file; $RETAIL_MARIADB"}
ESCAPES = str.maketrans({"\\": "\\\\", "'": "\\'", "\0": "\\0", "\n": "\\n"})


def database(path: str) -> Database:
    return Database(
        ["mariadb", f"--defaults-file={option_file(path, 'mariadb')}", "--default-character-set=utf8mb4", "--batch"],
        environment={},
        opening="SET SESSION sql_mode = 'STRICT_ALL_TABLES'; START TRANSACTION;\n",
        quote_text=lambda text: f"'{text.translate(ESCAPES)}'",
        package="mariadb-client",
    )


def query(path: str, statement: str) -> list[list[str]]:
    """The rows of one SELECT."""
    with database(path).start("--skip-column-names", stdout=subprocess.PIPE) as process:
        out, problem = process.communicate(statement)
    if process.returncode != 0:
        raise DatabaseError(problem.strip())
    return [[unescape(field) for field in line.split("\t")] for line in out.split("\n") if line]


def unescape(field: str) -> str:
    plain, letters = [], iter(field)
    for letter in letters:
        if letter == "\\":
            letter = {"n": "\n", "t": "\t", "0": "\0"}.get(following := next(letters, ""), following)
        plain.append(letter)
    return "".join(plain)
