# The sqlite3 shell.
fails 180-sqlite-no-table missing-table -- sqlite3 /tmp/job/x.db 'SELECT * FROM user_tags'
fails 181-sqlite-syntax sql-syntax -- sqlite3 /tmp/job/x.db 'SELEC 1'
fails 182-sqlite-corrupt database-corrupt -- bash -c 'head -c 5000 /dev/urandom >/tmp/job/random.db; sqlite3 /tmp/job/random.db "SELECT * FROM t"'
fails 183-sqlite-unopenable missing-file holdout -- sqlite3 /tmp/job/none/x.db 'CREATE TABLE t (x)'
