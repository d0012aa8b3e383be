# Spark: real spark-submit, in local mode and on a standalone master with one worker.
export SPARK_HOME=${SPARK_HOME:-$JOB/spark} SPARK_LOCAL_IP=127.0.0.1 SPARK_LOCAL_HOSTNAME=localhost
export PYSPARK_PYTHON=/usr/bin/python3 SPARK_LOG_DIR=$JOB/spark-logs
S=$JOB/spark-jobs
mkdir -p "$S" "$JOB/spark-work"
submit() { "$SPARK_HOME/bin/spark-submit" --conf spark.ui.enabled=false --conf spark.sql.warehouse.dir=$JOB/warehouse "$@"; }
export -f submit
job() { { echo 'from pyspark.sql import SparkSession, functions as F'; echo 'spark = SparkSession.builder.appName("job").getOrCreate()'; cat; } >"$S/$1.py"; }
local_job() { # NAME CAUSE [holdout] JOB [options]
    local name=$1 cause=$2 holdout=()
    shift 2
    if [ "$1" = holdout ]; then holdout=(holdout); shift; fi
    local file=$1; shift
    fails "$name" "$cause" "${holdout[@]}" -- bash -c 'submit "$@"' bash --master 'local[1]' "$@" "$S/$file.py"
}

job driver_oom <<'P'
rows = spark.range(0, 6000000).selectExpr("id", "repeat(cast(id as string), 12) AS text").collect()
print(len(rows))
P
job task_oom <<'P'
df = spark.range(0, 3000000, 1, 1).selectExpr("'k' AS k", "repeat(cast(id as string), 20) AS text")
print(df.groupBy("k").agg(F.collect_list("text").alias("all")).select(F.length(F.concat_ws(",", "all"))).collect())
P
job broadcast <<'P'
spark.conf.set("spark.sql.autoBroadcastJoinThreshold", "-1")
big = spark.range(0, 40000000).selectExpr("id", "repeat('x', 100) AS t")
print(spark.range(100).join(F.broadcast(big), "id").count())
P
job missing_table <<'P'
spark.sql("SELECT userid, count(1) FROM dw.user_consume_label WHERE data_date = '20180701' GROUP BY userid").show()
P
job missing_table2 <<'P'
spark.table("profile_tag_active").count()
P
job missing_column <<'P'
spark.range(3).createOrReplaceTempView("orders")
spark.sql("SELECT id, order_total FROM orders").show()
P
job missing_input <<'P'
spark.read.option("header", True).csv("/tmp/job/data/data_date=20180701").count()
P
job missing_input2 <<'P'
print(spark.sparkContext.textFile("file:/tmp/job/logs/access-20180701.log").count())
P
job missing_module <<'P'
import etl_commons
P
job udf_error <<'P'
first = F.udf(lambda v: v.split("|")[5], "string")
spark.createDataFrame([("a|b",)], ["url"]).select(first("url")).write.mode("overwrite").csv("/tmp/job/out")
P
job udf_none <<'P'
total = F.udf(lambda v: v + 1, "int")
spark.createDataFrame([(1,), (None,)], "v int").select(total("v")).show()
P
job worker_crash <<'P'
import os
crash = F.udf(lambda v: os.kill(os.getpid(), 11), "long")
spark.range(3).select(crash("id")).show()
P
job worker_module <<'P'
def use(v):
    import user_agents
    return user_agents.parse(v)
spark.createDataFrame([("Mozilla",)], ["ua"]).select(F.udf(use, "string")("ua")).show()
P
job ansi_cast <<'P'
spark.conf.set("spark.sql.ansi.enabled", "true")
spark.createDataFrame([("12.5",), ("n/a",)], ["paid"]).selectExpr("CAST(paid AS DOUBLE) AS paid").agg(F.sum("paid")).show()
P
job ansi_div <<'P'
spark.conf.set("spark.sql.ansi.enabled", "true")
spark.sql("SELECT 10 / (id - id) FROM range(3)").show()
P
job duplicate_column <<'P'
a = spark.range(3).withColumn("name", F.lit("a"))
a.join(a.withColumn("x", F.lit(1)), a["id"] == a["id"]).select("name").write.mode("overwrite").parquet("/tmp/job/out_dup")
P
job ambiguous <<'P'
spark.range(3).createOrReplaceTempView("a")
spark.range(3).createOrReplaceTempView("b")
spark.sql("SELECT id FROM a JOIN b ON a.id = b.id").show()
P
job max_result <<'P'
print(len(spark.range(0, 2000000, 1, 4).selectExpr("id", "repeat('x', 20) AS t").collect()))
P
job sql_syntax <<'P'
spark.sql("SELECT userid, FROM orders WHERE data_date = '20180701' GROUP userid").show()
P
job disk_full <<'P'
df = spark.range(0, 4000000, 1, 4).selectExpr("id", "uuid() AS t")
print(df.repartition(4, "t").sortWithinPartitions("t").agg(F.max("t")).collect())
P
job path_exists <<'P'
spark.range(3).write.mode("overwrite").parquet("/tmp/job/exists")
spark.range(3).write.parquet("/tmp/job/exists")
P
job schema_mismatch <<'P'
import shutil
shutil.rmtree("/tmp/job/mixed", ignore_errors=True)
spark.range(3).selectExpr("cast(id as int) AS amount").write.parquet("/tmp/job/mixed/data_date=1")
spark.range(3).selectExpr("concat('x', id) AS amount").write.parquet("/tmp/job/mixed/data_date=2")
spark.read.schema("amount int, data_date int").parquet("/tmp/job/mixed").agg(F.sum("amount")).show()
P
job bad_parquet <<'P'
import os
os.makedirs("/tmp/job/bad_parquet", exist_ok=True)
open("/tmp/job/bad_parquet/part-0.parquet", "w").write("userid,name\n1,a\n" * 10)
spark.read.parquet("/tmp/job/bad_parquet").count()
P
job merge_types <<'P'
spark.range(3).union(spark.range(3).selectExpr("id", "id AS x")).show()
P
job jdbc <<'P'
spark.read.format("jdbc").option("url", "jdbc:mysql://127.0.0.1:3306/profile").option("dbtable", "t").load().show()
P
job kafka <<'P'
spark.readStream.format("kafka").option("subscribe", "events").load()
P
job count <<'P'
print(spark.range(0, 1000).count())
P
job executor_oom <<'P'
def hold(rows):
    yield sum(1 for row in rows)
df = spark.range(0, 8000000, 1, 1).selectExpr("'k' AS k", "repeat(cast(id as string), 20) AS text")
print(df.groupBy("k").agg(F.collect_list("text").alias("all")).select(F.size("all")).collect())
P
job executor_killed <<'P'
import os
def die(rows):
    # The parent of the Python worker is its daemon, whose parent is the executor.
    with open("/proc/%d/stat" % os.getppid()) as stat:
        os.kill(int(stat.read().rsplit(")", 1)[1].split()[1]), 9)
    return iter(())
print(spark.sparkContext.parallelize([1], 1).mapPartitions(die).count())
P

local_job 01-spark-driver-oom spark-oom driver_oom --driver-memory 512m --conf spark.driver.maxResultSize=0
local_job 02-spark-task-oom spark-oom task_oom --driver-memory 512m
local_job 03-spark-broadcast spark-oom broadcast --driver-memory 600m
local_job 04-spark-missing-table missing-table missing_table
local_job 05-spark-missing-table-api missing-table holdout missing_table2
local_job 06-spark-missing-column missing-column missing_column
local_job 07-spark-missing-input missing-file missing_input
local_job 08-spark-missing-input-rdd missing-file holdout missing_input2
local_job 09-spark-missing-module missing-module missing_module
local_job 10-spark-udf-error script-bug udf_error
local_job 11-spark-udf-none script-bug holdout udf_none
local_job 12-spark-python-worker-crash spark-python-worker worker_crash
local_job 13-spark-worker-module missing-module holdout worker_module
local_job 14-spark-ansi-cast bad-value ansi_cast
local_job 15-spark-ansi-division bad-value holdout ansi_div
local_job 16-spark-ambiguous-frame ambiguous-column holdout duplicate_column
local_job 17-spark-ambiguous-sql ambiguous-column ambiguous
local_job 18-spark-max-result spark-max-result max_result --conf spark.driver.maxResultSize=1m
local_job 19-spark-sql-syntax sql-syntax sql_syntax
mkdir -p "$JOB/small" && mount -t tmpfs -o size=24m tmpfs "$JOB/small"
local_job 20-spark-disk-full disk-full disk_full --conf spark.local.dir=$JOB/small
umount "$JOB/small"
local_job 21-spark-path-exists output-exists path_exists
local_job 22-spark-schema-mismatch schema-mismatch schema_mismatch
local_job 23-spark-not-parquet bad-input bad_parquet
local_job 24-spark-union-columns schema-mismatch holdout merge_types
local_job 25-spark-jdbc-driver missing-class jdbc
local_job 26-spark-missing-format missing-class holdout kafka
fails 27-spark-missing-application missing-file -- bash -c 'submit --master "local[1]" /tmp/job/jobs/high_active_period.py'
fails 28-spark-bad-jar missing-class -- bash -c 'echo "not a jar" >/tmp/job/profile.jar; submit --master "local[1]" --class com.example.Profile /tmp/job/profile.jar'
fails 29-spark-missing-class missing-class holdout -- bash -c 'cd /tmp/job && python3 -c "import zipfile; zipfile.ZipFile(\"empty.jar\", \"w\").writestr(\"a.txt\", \"\")"; submit --master "local[1]" --class com.example.Profile /tmp/job/empty.jar'
fails 30-spark-master-unreachable connection-refused -- bash -c 'submit --master spark://127.0.0.1:7999 --conf spark.cores.max=1 /tmp/job/spark-jobs/count.py'
fails 31-spark-driver-bind address-bind -- bash -c 'unset SPARK_LOCAL_IP SPARK_LOCAL_HOSTNAME; submit --master "local[1]" --conf spark.driver.bindAddress=192.0.2.7 /tmp/job/spark-jobs/count.py'
fails 32-spark-driver-port address-bind holdout -- bash -c 'python3 -c "
import socket, subprocess, sys
s = socket.socket(); s.bind((\"127.0.0.1\", 0)); s.listen()
sys.exit(subprocess.call([\"bash\", \"-c\", \"submit --master local[1] --conf spark.port.maxRetries=0 --conf spark.driver.port=%d /tmp/job/spark-jobs/count.py\" % s.getsockname()[1]]))"'
local_job 33-spark-jvm-memory-too-small memory-setting count --driver-memory 100m
local_job 34-spark-bad-memory-size memory-setting holdout count --driver-memory 4gigs

# A standalone master and a worker with little memory.
"$SPARK_HOME/bin/spark-class" org.apache.spark.deploy.master.Master --host 127.0.0.1 --port 7177 --webui-port 0 >"$JOB/master.out" 2>&1 &
MASTER=$!
for _ in $(seq 60); do (exec 3<>/dev/tcp/127.0.0.1/7177) 2>/dev/null && break; sleep 0.5; done
"$SPARK_HOME/bin/spark-class" org.apache.spark.deploy.worker.Worker --host 127.0.0.1 --webui-port 0 -c 1 -m 1g -d "$JOB/spark-work" spark://127.0.0.1:7177 >"$JOB/worker.out" 2>&1 &
WORKER=$!
for _ in $(seq 60); do grep -q 'Successfully registered' "$JOB/worker.out" && break; sleep 0.5; done
on_master() { "$SPARK_HOME/bin/spark-submit" --master spark://127.0.0.1:7177 --conf spark.ui.enabled=false --conf spark.driver.host=127.0.0.1 --conf spark.cores.max=1 "$@"; }
export -f on_master
fails 36-spark-executor-oom spark-executor-oom -- bash -c 'on_master --executor-memory 480m /tmp/job/spark-jobs/executor_oom.py'
fails 37-spark-executor-killed spark-executor-lost -- bash -c 'on_master --executor-memory 500m --conf spark.task.maxFailures=1 /tmp/job/spark-jobs/executor_killed.py'
fails 38-spark-no-resources spark-no-resources holdout -- timeout 60 bash -c 'on_master --executor-memory 4g /tmp/job/spark-jobs/count.py'
kill $WORKER $MASTER
wait $WORKER $MASTER 2>/dev/null
