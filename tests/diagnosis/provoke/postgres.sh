# PostgreSQL, started in /tmp/job on a loopback port of its own.
G=$JOB/postgres
PG=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
PP=15432
rm -rf "$G" "$JOB/pgsmall"; mkdir -p "$G" "$JOB/pgsmall"
echo secret >"$JOB/pgpassword"
chown postgres "$G" "$JOB/pgpassword"
export PP G PG
pg_do() { setpriv --reuid postgres --regid postgres --clear-groups "$@"; }
(cd "$G" && pg_do "$PG/initdb" -D "$G/data" -A scram-sha-256 -U postgres --pwfile="$JOB/pgpassword" >"$JOB/postgres.log" 2>&1)
cat >>"$G/data/postgresql.conf" <<S
port = $PP
listen_addresses = '127.0.0.1'
unix_socket_directories = '$G'
max_connections = 8
superuser_reserved_connections = 3
S
(cd "$G" && pg_do "$PG/pg_ctl" -D "$G/data" -l "$G/log" -w start >/dev/null)
pq() { PGPASSWORD=secret psql -X -h 127.0.0.1 -p $PP -U postgres -v ON_ERROR_STOP=1 "$@"; }
pe() { PGPASSWORD=right psql -X -h 127.0.0.1 -p $PP -U etl -d profile -v ON_ERROR_STOP=1 "$@"; }
export -f pq pe
pq -qc "CREATE ROLE etl LOGIN PASSWORD 'right'" -c "CREATE DATABASE profile OWNER etl"
pq -qd profile -c "CREATE TABLE private (x int)"
pe -qc "CREATE TABLE tags (userid int PRIMARY KEY, n int); INSERT INTO tags VALUES (1, 1)"
fails 160-postgres-down connection-refused -- psql -X -h 127.0.0.1 -p 15499 -U etl profile -c 'SELECT 1'
fails 161-postgres-password authentication -- env PGPASSWORD=wrong psql -X -h 127.0.0.1 -p $PP -U etl profile -c 'SELECT 1'
fails 162-postgres-no-password authentication holdout -- psql -X -w -h 127.0.0.1 -p $PP -U etl profile -c 'SELECT 1'
fails 163-postgres-unknown-database missing-database -- bash -c 'pq -d nothere -c "SELECT 1"'
fails 164-postgres-missing-table missing-table holdout -- bash -c 'pe -c "SELECT count(*) FROM user_tags"'
fails 165-postgres-missing-column missing-column -- bash -c 'pe -c "SELECT tag_count FROM tags"'
fails 166-postgres-duplicate duplicate-key -- bash -c 'pe -c "INSERT INTO tags VALUES (1, 1)"'
fails 167-postgres-syntax sql-syntax holdout -- bash -c 'pe -c "SELEC 1"'
fails 168-postgres-table-permission authorization holdout -- bash -c 'pe -c "SELECT * FROM private"'
pe -c 'BEGIN; LOCK TABLE tags; SELECT pg_sleep(6); COMMIT' >/dev/null 2>&1 &
sleep 0.5
fails 169-postgres-lock lock-wait holdout -- bash -c 'pe -c "SET lock_timeout = 500; UPDATE tags SET n = 3"'
fails 170-postgres-statement-timeout statement-timeout -- bash -c 'pe -c "SET statement_timeout = 300; SELECT pg_sleep(5)"'
fails 171-postgres-value bad-value -- bash -c 'pe -c "SELECT CAST(\$\$n/a\$\$ AS int)"'
sleep 6
for _ in $(seq 5); do pe -c 'SELECT pg_sleep(4)' >/dev/null 2>&1 & done; sleep 1
fails 172-postgres-connections too-many-connections -- bash -c 'pe -c "SELECT 1"'
sleep 4
mount -t tmpfs -o size=2m tmpfs "$JOB/pgsmall"; chown postgres "$JOB/pgsmall"; chmod 700 "$JOB/pgsmall"
pq -qc "CREATE TABLESPACE small LOCATION '$JOB/pgsmall'"
fails 173-postgres-disk-full disk-full -- bash -c 'pq -c "CREATE TABLE big TABLESPACE small AS SELECT repeat(md5(i::text), 50) AS t FROM generate_series(1, 100000) i"'
fails 174-postgres-copy-file missing-file -- bash -c 'pe -c "\\copy tags FROM /tmp/job/export/tags.csv"'
fails 175-postgres-gone server-gone -- bash -c 'pq -c "SELECT pg_terminate_backend(pg_backend_pid())" -c "SELECT 1"'
(cd "$G" && pg_do "$PG/pg_ctl" -D "$G/data" -m immediate stop >/dev/null); umount "$JOB/pgsmall"

