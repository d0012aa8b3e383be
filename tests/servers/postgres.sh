#!/usr/bin/env bash
# A PostgreSQL server of its own on a free loopback port, for tests.
#
#     postgres.sh start FOLDER [DATABASE]     postgres.sh stop FOLDER
#
# start makes the data folder in FOLDER, the database (default: figures) and the user etl with a random password, and prints the
# port. FOLDER/service.conf is the service file of libpq: PGSERVICEFILE=FOLDER/service.conf psql service=figures.
# The server refuses root: root's is run by the user postgres of Debian's package, who must be able to reach FOLDER.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
action=$1 folder=$2 database=${3:-figures}
bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2> /dev/null | sort -V | tail -1)
[ -n "$bin" ] || { echo "error: there is no PostgreSQL server below /usr/lib/postgresql" >&2; exit 3; }

as_server() {
  if [ "$(id -u)" -eq 0 ]; then setpriv --reuid=postgres --regid=postgres --init-groups "$@"; else "$@"; fi
}

case $action in
  start)
    mkdir -p "$folder/server"
    folder=$(cd "$folder" && pwd)
    password=$(python3 -c 'import secrets; print(secrets.token_hex(12))')
    if [ "$(id -u)" -eq 0 ]; then chown postgres "$folder/server"; fi
    cd "$folder/server"
    [ -d data ] || as_server "$bin/initdb" -D data -A trust -U postgres --no-sync > "$folder/install.log" 2>&1 \
      || { cat "$folder/install.log" >&2; exit 1; }
    port=$(python3 "$here/free_port.py")
    # Nobody but who may enter the folder of the socket comes in without a password.
    printf 'local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n' | as_server tee data/pg_hba.conf > /dev/null
    as_server chmod 700 .
    as_server "$bin/pg_ctl" -D data -w -t 60 -l server.log -s start \
      -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories='$folder/server' -c synchronous_commit=off" \
      || { as_server tail -20 server.log >&2; exit 1; }
    as_server psql -Xq -h "$folder/server" -p "$port" -U postgres -v ON_ERROR_STOP=1 << SQL
SELECT 'CREATE ROLE etl LOGIN' WHERE NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'etl') \gexec
ALTER ROLE etl PASSWORD '$password';
SELECT 'CREATE DATABASE $database OWNER etl' WHERE NOT EXISTS (SELECT 1 FROM pg_database WHERE datname = '$database') \gexec
SQL
    (umask 077; printf '[%s]\nhost=127.0.0.1\nport=%s\nuser=etl\npassword=%s\ndbname=%s\n' \
      "$database" "$port" "$password" "$database" > "$folder/service.conf")
    echo "$port"
    ;;
  stop)
    [ -d "$folder/server/data" ] || exit 0
    cd "$folder/server"
    as_server "$bin/pg_ctl" -D data -w -t 60 -m fast -s stop
    ;;
  *) echo "usage: postgres.sh start|stop FOLDER" >&2; exit 2 ;;
esac
