#!/usr/bin/env bash
# `sql` on real servers, all on free loopback ports: PostgreSQL (also by TLS), MariaDB, and Spark's Hive server.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=${CRONDAG_VENV:-$PWD/target/test-venv}
folder=$(mktemp -d)
# The user that PostgreSQL runs as must come through.
chmod 711 "$folder"
hive=
finish() {
  [ -z "$hive" ] || kill "$hive" 2> /dev/null || true
  ./tests/servers/postgres.sh stop "$folder/postgres" || true
  ./tests/servers/mariadb.sh stop "$folder/mariadb" || true
  rm -rf "$folder"
}
trap finish EXIT

port=$(./tests/servers/postgres.sh start "$folder/postgres" warehouse)
./tests/servers/mariadb.sh start "$folder/mariadb" warehouse > /dev/null

# A certificate of an authority of our own, and an authority that signed nothing.
(
  cd "$folder/postgres"
  for ca in ca other; do
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$ca" -keyout $ca.key -out $ca.pem
  done
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout server.key -out server.csr
  printf 'subjectAltName=IP:127.0.0.1,DNS:localhost' > server.ext
  openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext -out server.pem
) 2> "$folder/openssl.log" || { cat "$folder/openssl.log"; exit 1; }
cp "$folder/postgres/server.pem" "$folder/postgres/server/data/server.crt"
cp "$folder/postgres/server.key" "$folder/postgres/server/data/server.key"
chmod 600 "$folder/postgres/server/data/server.key"
if [ "$(id -u)" -eq 0 ]; then chown postgres "$folder"/postgres/server/data/server.*; fi
psql -Xq -h "$folder/postgres/server" -p "$port" -U postgres -c 'ALTER SYSTEM SET ssl = on' -c 'SELECT pg_reload_conf()' > /dev/null

SPARK_HOME=$("$venv/bin/python" -c 'import os, pyspark; print(os.path.dirname(pyspark.__file__))')
hive_port=$(python3 tests/servers/free_port.py)
mkdir -m 1777 "$folder/hive" "$folder/java"
# Hive keeps a folder of each session there.
export SPARK_SUBMIT_OPTS=-Djava.io.tmpdir=$folder/java
(cd "$folder/hive" && SPARK_HOME=$SPARK_HOME exec "$SPARK_HOME/bin/spark-submit" --master 'local[1]' \
  --conf spark.ui.enabled=false --class org.apache.spark.sql.hive.thriftserver.HiveThriftServer2 spark-internal \
  --hiveconf hive.server2.thrift.port="$hive_port" --hiveconf hive.server2.thrift.bind.host=127.0.0.1) \
  > "$folder/hive.log" 2>&1 < /dev/null &
hive=$!
deadline=$((SECONDS + 300))
until (exec 3<> "/dev/tcp/127.0.0.1/$hive_port") 2> /dev/null; do
  kill -0 $hive 2> /dev/null && [ $SECONDS -lt $deadline ] || { tail -20 "$folder/hive.log"; exit 1; }
  sleep 0.5
done

CRONDAG_TEST_POSTGRES=$folder/postgres CRONDAG_TEST_MARIADB=$folder/mariadb \
  CRONDAG_TEST_SPARK_HOME=$SPARK_HOME CRONDAG_TEST_HIVE_PORT=$hive_port \
  cargo test --quiet --test databases -- --include-ignored "$@"
