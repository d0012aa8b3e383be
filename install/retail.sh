#!/usr/bin/env bash
# examples/retail for real: a copy of it as a home, the order lines of the repository, and a MariaDB, a PostgreSQL and a vsftpd of
# its own on loopback.
#
#     ./install/retail.sh start FOLDER     ./install/retail.sh stop FOLDER
#
# start installs missing Debian packages and pyspark (below target/), and writes below FOLDER only. FOLDER/env has what a shell
# needs: `. FOLDER/env`. The orders of 2010-12-01 to 2011-03-02 are staged in one go, as a history; those of 2011-03-03 to
# 2011-03-14 lie as upstream would deliver them. start again takes up what is there; stop ends the servers.
set -euo pipefail
cd "$(dirname "$0")/.."
. install/require.sh
action=${1:-} folder=${2:-}
case $action in start | stop) ;; *) folder= ;; esac
[ -n "$folder" ] || { echo "usage: install/retail.sh start|stop FOLDER" >&2; exit 2; }

if [ "$action" = stop ]; then
  for server in vsftpd postgres mariadb; do "tests/servers/$server.sh" stop "$folder/$server"; done
  exit
fi

venv=${CRONDAG_VENV:-$PWD/target/test-venv}
require_packages java:openjdk-17-jre-headless mariadbd:mariadb-server mariadb:mariadb-client vsftpd:vsftpd curl:curl \
  psql:postgresql setpriv:util-linux python3:python3 xz:xz-utils
require_postgres_server
require_python "$venv" pyspark:pyspark==3.5.6

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
# The servers run as users of their own, who must be able to reach their folders.
chmod 755 "$folder"
mariadb_port=$(tests/servers/mariadb.sh start "$folder/mariadb")
postgres_port=$(tests/servers/postgres.sh start "$folder/postgres")
ftp_port=$(tests/servers/vsftpd.sh start "$folder/vsftpd")

home=$folder/home days=$folder/days
if [ ! -d "$home" ]; then
  cp -rL examples/retail "$home"
  mkdir -m 700 "$home/secrets"
fi
cp "$folder/mariadb/client.cnf" "$home/secrets/mariadb.cnf"
cp "$folder/postgres/service.conf" "$home/secrets/pg_service.conf"
cp "$folder/vsftpd/netrc" "$home/secrets/netrc"
(
  umask 077
  sed -n 's/^password=//p' "$home/secrets/mariadb.cnf" > "$home/secrets/mariadb"
  sed -n 's/^password=//p' "$home/secrets/pg_service.conf" > "$home/secrets/figures"
)
sed -i -e "/^\[connections.figures\]/,/^\[/ s/^port .*/port          = $postgres_port/" \
  -e "/^\[connections.serving\]/,/^\[/ s/^port .*/port          = $mariadb_port/" "$home/crondag.toml"

SPARK_HOME=$("$venv/bin/python" -c 'import os, pyspark; print(os.path.dirname(pyspark.__file__))')
cat > "$folder/env" << ENV
export PATH=$PWD/target/release:\$PATH CRONDAG_HOME=$home
export SPARK_HOME=$SPARK_HOME PYSPARK_PYTHON=$venv/bin/python SPARK_LOCAL_IP=127.0.0.1 PYTHONDONTWRITEBYTECODE=1
export RETAIL_FTP=ftp://127.0.0.1:$ftp_port/upload/ RETAIL_RAW=$home/raw RETAIL_WAREHOUSE=$home/warehouse
export RETAIL_MARIADB=$home/secrets/mariadb.cnf RETAIL_FIGURES=$home/secrets/pg_service.conf
ENV
. "$folder/env"

if [ ! -f "$folder/is_ready" ]; then
  mariadb --defaults-file="$RETAIL_MARIADB" < jobs/serving.sql
  mariadb --defaults-file="$RETAIL_MARIADB" < jobs/audience_rules.sql
  PGSERVICEFILE=$RETAIL_FIGURES psql -Xq service=figures -f jobs/figures.sql
  mkdir -p "$days" "$home/raw"
  tar -xJf "$home"/data/orders-*.tar.xz -C "$days"
  for file in "$days"/*.csv; do
    day=$(basename "$file" .csv)
    if [[ $day > 2011-03-02 ]]; then
      python3 tests/retail/bad_days.py whole --raw "$days" --to "$home/raw" "$day"
    else
      ln -sf "$file" "$home/raw"
    fi
  done
  # Starting a JVM is most of the work here: what Spark's classes look like once loaded is kept in an archive of the JVM.
  archive=$folder/spark.jsa
  settings=(--conf spark.ui.enabled=false --conf spark.driver.bindAddress=127.0.0.1 --conf spark.sql.adaptive.enabled=false
    --conf spark.sql.shuffle.partitions=2 --conf spark.sql.codegen.wholeStage=false
    --conf spark.sql.sources.parallelPartitionDiscovery.threshold=10000)
  "$SPARK_HOME/bin/spark-submit" --master 'local[2]' --driver-memory 1g \
    --driver-java-options "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xlog:disable -XX:ArchiveClassesAtExit=$archive" \
    "${settings[@]}" \
    jobs/stage_orders.py 20110302 --since 20101201 \
    > "$folder/spark.log" 2>&1 || { grep -v ' INFO ' "$folder/spark.log" | tail -30 >&2; exit 1; }
  sed -i "s|-XX:+UseSerialGC|& -Xlog:disable -XX:SharedArchiveFile=$archive|" "$home/crondag.toml"
  touch "$folder/is_ready"
fi
echo "the home: $home; what a shell needs: . $folder/env"
