# Python: tracebacks of every kind that ETL scripts end with. Scripts run as nobody, so that permissions count.
P=$JOB/scripts
mkdir -p "$P" "$JOB/data"
printf 'userid,name\n1,\xff\xfe\n' >"$JOB/data/latin.csv"
printf '<html>502 Bad Gateway</html>\n' >"$JOB/data/answer.json"
touch "$JOB/data/secret.csv"; chmod 600 "$JOB/data/secret.csv"
python_job() { # NAME CAUSE [holdout], the script on standard input
    cat >"$P/$1.py"
    local name=$1 cause=$2
    shift 2
    fails "$name" "$cause" "$@" -- setpriv --reuid nobody --regid nogroup --clear-groups python3 "$P/$name.py"
}
python_job 40-python-file-not-found missing-file <<'S'
import csv
def load(day):
    with open("/tmp/job/data/orders-%s.csv" % day) as file:
        return list(csv.reader(file))
print("loading orders")
load("20180701")
S
python_job 41-python-module missing-module <<'S'
import sys
print("python", sys.version_info[:2])
import pymysql
S
python_job 42-python-import-name missing-module holdout <<'S'
from json import no_such_function
S
python_job 43-python-memory python-memory <<'S'
import resource
resource.setrlimit(resource.RLIMIT_AS, (200 << 20, 200 << 20))
rows = []
while True:
    rows.append(bytearray(1 << 20))
S
python_job 44-python-permission permission <<'S'
print(sum(1 for _ in open("/tmp/job/data/secret.csv")))
S
python_job 45-python-permission-directory permission holdout <<'S'
import os
os.makedirs("/opt/profile/output/20180701")
S
python_job 46-python-key-error script-bug <<'S'
row = {"userid": 1, "tagid": "A111"}
weights = {"A111": 1}
print(weights[row["tag_type"]])
S
python_job 47-python-type-error script-bug holdout <<'S'
def share(count, total):
    return count / total
print(share(3, None))
S
python_job 48-python-decode bad-input <<'S'
for line in open("/tmp/job/data/latin.csv", encoding="utf-8"):
    print(line)
S
python_job 49-python-json bad-input <<'S'
import json
print(json.load(open("/tmp/job/data/answer.json")))
S
python_job 50-python-syntax syntax-error <<'S'
def tags(day)
    return day
S
python_job 51-python-indentation syntax-error holdout <<'S'
def tags(day):
    total = 1
      return total
S
python_job 52-python-refused connection-refused <<'S'
import socket
socket.create_connection(("127.0.0.1", 9083), 5)
S
python_job 53-python-url-refused connection-refused holdout <<'S'
import urllib.request
urllib.request.urlopen("http://127.0.0.1:8088/ws/v1/cluster/apps", timeout=5)
S
python_job 54-python-unknown-host unknown-host <<'S'
import socket
socket.create_connection(("warehouse.invalid", 10000), 5)
S
python_job 55-python-timeout network-timeout <<'S'
import socket
server = socket.socket(); server.bind(("127.0.0.1", 0)); server.listen()
client = socket.create_connection(server.getsockname(), 1)
client.recv(10)
S
python_job 56-python-http-404 http-not-found <<'S'
import http.server, threading, urllib.request
class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Quiet)
threading.Thread(target=server.serve_forever, daemon=True).start()
urllib.request.urlopen("http://127.0.0.1:%d/export/20180701.csv" % server.server_port)
S
python_job 57-python-assertion unknown <<'S'
orders, expected = 1800, 4200
print("orders of 20180701:", orders)
assert orders > expected, "only 1800 orders for 20180701, expected 4200"
S
python_job 58-python-own-error unknown holdout <<'S'
class Incomplete(Exception):
    pass
raise Incomplete("the partition of 20180701 is not complete")
S
python_job 59-python-handled-refusal script-bug <<'S'
import socket, traceback
try:
    socket.create_connection(("127.0.0.1", 9083), 5)
except ConnectionRefusedError:
    traceback.print_exc()
    print("metastore not reached, using the file", flush=True)
rows = [1, 2, 3]
print("rows:", len(rows), flush=True)
print(rows[7])
S
python_job 60-python-exit-silent unknown <<'S'
import sys
print("processed 1200 rows, 0 errors")
print("no space was left for doubt: permission checks passed")
sys.exit(3)
S
python_job 61-python-value-error bad-value <<'S'
print(sum(float(text) for text in ["12.50", "3.99", "n/a"]))
S
python_job 62-python-date bad-value holdout <<'S'
import datetime
print(datetime.datetime.strptime("2018-07-01", "%Y%m%d"))
S
python_job 63-python-sqlite-locked database-locked <<'S'
import os, sqlite3, tempfile
path = os.path.join(tempfile.mkdtemp(), "tags.db")
a = sqlite3.connect(path); a.execute("CREATE TABLE t (x)"); a.execute("BEGIN EXCLUSIVE")
sqlite3.connect(path, timeout=0.2).execute("INSERT INTO t VALUES (1)")
S
python_job 64-python-sqlite-corrupt database-corrupt holdout <<'S'
import os, sqlite3, tempfile
path = os.path.join(tempfile.mkdtemp(), "tags.db")
open(path, "w").write("this is not a database, " * 100)
print(sqlite3.connect(path).execute("SELECT count(*) FROM tags").fetchall())
S
python_job 65-python-sqlite-table missing-table <<'S'
import sqlite3
sqlite3.connect(":memory:").execute("SELECT count(*) FROM user_tags")
S
python_job 66-python-sqlite-unique duplicate-key <<'S'
import sqlite3
c = sqlite3.connect(":memory:"); c.execute("CREATE TABLE t (userid INTEGER PRIMARY KEY)")
c.executemany("INSERT INTO t VALUES (?)", [(1,), (2,), (1,)])
S
python_job 67-python-recursion script-bug holdout <<'S'
def parent(tag):
    return parent(tag)
parent("A111")
S
python_job 68-python-open-files open-files <<'S'
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
files = [open("/dev/null") for _ in range(100)]
S
python_job 69-python-disk-quota disk-full holdout <<'S'
with open("/dev/full", "w") as file:
    file.write("userid,tagid\n" * 100000)
S
