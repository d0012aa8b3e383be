#!/usr/bin/env bash
# A MariaDB server of its own on a free loopback port, for tests.
#
#     mariadb.sh start FOLDER [DATABASE]     mariadb.sh stop FOLDER
#
# start makes the data folder in FOLDER, the database (default: retail) and the user etl with a random password, waits until
# it answers, and prints the port. FOLDER/client.cnf is the option file of the client. start again takes up the same data.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
action=$1 folder=$2 database=${3:-retail}
PATH=$PATH:/usr/sbin

case $action in
  start)
    mkdir -p "$folder"
    folder=$(cd "$folder" && pwd)
    me=$(id -un)
    if [ ! -d "$folder/data" ]; then
      mariadb-install-db --no-defaults --user="$me" --datadir="$folder/data" --auth-root-authentication-method=normal \
        --skip-test-db > "$folder/install.log" 2>&1 || { cat "$folder/install.log" >&2; exit 1; }
    fi
    port=$(python3 "$here/free_port.py")
    mariadbd --no-defaults --user="$me" --datadir="$folder/data" --bind-address=127.0.0.1 --port="$port" \
      --socket="$folder/socket" --pid-file="$folder/pid" --character-set-server=utf8mb4 \
      --innodb-buffer-pool-size=64M --innodb-flush-log-at-trx-commit=2 > "$folder/server.log" 2>&1 < /dev/null &
    server=$!
    root=(mariadb --no-defaults --user=root --socket="$folder/socket")
    deadline=$((SECONDS + 180))
    until "${root[@]}" -e 'SELECT 1' > /dev/null 2>&1; do
      kill -0 $server 2> /dev/null && [ $SECONDS -lt $deadline ] || { tail -20 "$folder/server.log" >&2; exit 1; }
      sleep 0.1
    done
    password=$(python3 -c 'import secrets; print(secrets.token_hex(12))')
    "${root[@]}" << SQL
CREATE DATABASE IF NOT EXISTS $database CHARACTER SET utf8mb4;
CREATE OR REPLACE USER etl@'127.0.0.1' IDENTIFIED BY '$password', etl@localhost IDENTIFIED BY '$password';
GRANT ALL ON $database.* TO etl@'127.0.0.1', etl@localhost;
SQL
    (umask 077; printf '[client]\nhost=127.0.0.1\nport=%s\nprotocol=tcp\nuser=etl\npassword=%s\ndatabase=%s\n' \
      "$port" "$password" "$database" > "$folder/client.cnf")
    echo "$port"
    ;;
  stop)
    [ -f "$folder/pid" ] || exit 0
    pid=$(cat "$folder/pid")
    kill "$pid" 2> /dev/null || exit 0
    deadline=$((SECONDS + 180))
    while kill -0 "$pid" 2> /dev/null; do
      [ $SECONDS -lt $deadline ] || { echo "error: MariaDB $pid does not end" >&2; exit 1; }
      sleep 0.1
    done
    ;;
  *) echo "usage: mariadb.sh start|stop FOLDER" >&2; exit 2 ;;
esac
