# MariaDB, started in /tmp/job on a loopback port of its own.
M=$JOB/mariadb
MP=13306
rm -rf "$M"; mkdir -p "$M"
chown mysql "$M"
mariadb-install-db --no-defaults --user=mysql --datadir="$M/data" --auth-root-authentication-method=normal >"$M.log" 2>&1
mariadbd --no-defaults --user=mysql --datadir="$M/data" --socket="$M/s" --port=$MP --bind-address=127.0.0.1 --max-connections=10 --innodb-lock-wait-timeout=1 >>"$M.log" 2>&1 &
MARIADB=$!
my() { mariadb --no-defaults -h 127.0.0.1 -P $MP -u root "$@"; }
for _ in $(seq 100); do my -e 'SELECT 1' >/dev/null 2>&1 && break; sleep 0.2; done
my -e "CREATE DATABASE profile; CREATE USER etl@'127.0.0.1' IDENTIFIED BY 'right'; GRANT ALL ON profile.* TO etl@'127.0.0.1' WITH MAX_USER_CONNECTIONS 2;
       CREATE TABLE profile.tags (userid INT PRIMARY KEY, tags TEXT, n TINYINT) ENGINE=InnoDB; INSERT INTO profile.tags VALUES (1, 'a', 1)"
db() { mariadb --no-defaults -h 127.0.0.1 -P $MP -u etl -pright profile "$@"; }
export MP M; export -f my db
fails 140-mariadb-down connection-refused -- mariadb --no-defaults -h 127.0.0.1 -P 13399 -u etl -e 'SELECT 1'
fails 141-mariadb-socket connection-refused holdout -- mariadb --no-defaults -S /tmp/job/nothing.sock -u etl -e 'SELECT 1'
fails 142-mariadb-access-denied authentication -- mariadb --no-defaults -h 127.0.0.1 -P $MP -u etl -pwrong profile -e 'SELECT 1'
fails 143-mariadb-database-denied authorization -- bash -c 'mariadb --no-defaults -h 127.0.0.1 -P $MP -u etl -pright mysql -e "SELECT 1"'
fails 144-mariadb-unknown-database missing-database -- bash -c 'my nothere -e "SELECT 1"'
fails 145-mariadb-missing-table missing-table -- bash -c 'db -e "SELECT count(*) FROM user_tags"'
fails 146-mariadb-missing-column missing-column holdout -- bash -c 'db -e "SELECT tag_count FROM tags"'
fails 147-mariadb-duplicate duplicate-key -- bash -c 'db -e "INSERT INTO tags VALUES (2, NULL, 1), (1, NULL, 1)"'
my profile -e 'BEGIN; SELECT * FROM tags WHERE userid = 1 FOR UPDATE; SELECT SLEEP(8)' >/dev/null 2>&1 &
sleep 1
fails 148-mariadb-lock-wait lock-wait -- bash -c 'db -e "UPDATE tags SET n = 2 WHERE userid = 1"'
fails 149-mariadb-syntax sql-syntax -- bash -c 'db -e "SELEC count(*) FROM tags"'
for _ in 1 2; do db -e 'SELECT SLEEP(6)' >/dev/null 2>&1 & done; sleep 0.5
fails 150-mariadb-user-connections too-many-connections holdout -- bash -c 'db -e "SELECT 1"'
for _ in $(seq 12); do my -e 'SELECT SLEEP(5)' >/dev/null 2>&1 & done; sleep 1
fails 151-mariadb-connections too-many-connections -- bash -c 'my -e "SELECT 1"'
sleep 6
fails 152-mariadb-value bad-value -- bash -c 'db -e "INSERT INTO tags VALUES (7, NULL, 4000)"'
fails 153-mariadb-infile missing-file holdout -- bash -c 'db --local-infile=1 -e "LOAD DATA LOCAL INFILE \"/tmp/job/export/none.csv\" INTO TABLE tags"'
mkdir -p "$M/small"; mount -t tmpfs -o size=3m tmpfs "$M/small"; chown mysql "$M/small"
fails 154-mariadb-disk-full disk-full -- bash -c 'my -e "SELECT repeat(\"x\", 1000000) FROM mysql.help_topic INTO OUTFILE \"/tmp/job/mariadb/small/export.csv\""'
fails 155-mariadb-gone server-gone -- bash -c 'my -e "SELECT 1; KILL CONNECTION_ID(); SELECT 2"'
my -e 'SET GLOBAL max_connections = 100' 2>/dev/null
kill $MARIADB; wait $MARIADB 2>/dev/null; umount "$M/small"

