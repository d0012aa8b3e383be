//! Options of `spark` tables: of a task, of `[defaults]` and of crondag.toml.

use super::reader::{Open, Reader};
use super::section::{Field, Kind, MANY, field};
use super::value::any_name;
use crate::dag::model::SparkOptions;

/// Options of `spark-submit`, in every table that has some.
pub(super) static OPTIONS: [Field; 19] = [
    field("master", Kind::Template, "\"yarn\"", "`--master`"),
    field("deploy_mode", Kind::Choice(&["client", "cluster"]), "\"client\"", "`--deploy-mode`"),
    field("name", Kind::Template, "\"load {{ ds }}\"", "`--name`"),
    field("class", Kind::Template, "\"com.example.Load\"", "`--class`"),
    field("jars", Kind::Templates, "[\"lib/a.jar\"]", "`--jars`"),
    field("packages", Kind::Templates, "[\"org.apache.spark:spark-avro_2.12:3.5.6\"]", "`--packages`"),
    field("py_files", Kind::Templates, "[\"lib.zip\"]", "`--py-files`"),
    field("files", Kind::Templates, "[\"conf/hive-site.xml\"]", "`--files`"),
    field("archives", Kind::Templates, "[\"env.tar.gz#env\"]", "`--archives`"),
    field("conf", Kind::Properties, "{ \"spark.sql.shuffle.partitions\" = 200 }", "`--conf`, one for each key"),
    field("queue", Kind::Template, "\"etl\"", "`--queue`"),
    field("driver_memory", Kind::Memory, "\"4g\"", "`--driver-memory`"),
    field("driver_cores", Kind::Whole(1, MANY), "2", "`--driver-cores`"),
    field("executor_memory", Kind::Memory, "\"8g\"", "`--executor-memory`"),
    field("executor_cores", Kind::Whole(1, MANY), "2", "`--executor-cores`"),
    field("num_executors", Kind::Whole(1, 1_000_000), "100", "`--num-executors`"),
    field("principal", Kind::Template, "\"etl@EXAMPLE.COM\"", "`--principal`"),
    field("keytab", Kind::Template, "\"/etc/security/etl.keytab\"", "`--keytab`"),
    field("proxy_user", Kind::Template, "\"etl\"", "`--proxy-user`"),
];

/// Reads the options that every `spark` table takes.
pub(super) fn options<'f>(reader: &mut Reader<'f>, open: &Open<'_, 'f>) -> SparkOptions {
    reader.is_command_line = true;
    let mut text = |key| reader.template(open, key).map(|text| text.value);
    let (master, name, class, queue) = (text("master"), text("name"), text("class"), text("queue"));
    let (principal, keytab, proxy_user) = (text("principal"), text("keytab"), text("proxy_user"));
    let mut list = |key| reader.list(open, key);
    let (jars, packages, py_files) = (list("jars"), list("packages"), list("py_files"));
    let (files, archives) = (list("files"), list("archives"));
    let options = SparkOptions {
        master,
        deploy_mode: reader.choice(open, "deploy_mode").map(|word| word.value.to_owned()),
        name,
        class,
        jars,
        packages,
        py_files,
        files,
        archives,
        conf: reader.text_map(open, "conf", any_name).unwrap_or_default(),
        queue,
        driver_memory: reader.memory(open, "driver_memory"),
        driver_cores: reader.count(open, "driver_cores"),
        executor_memory: reader.memory(open, "executor_memory"),
        executor_cores: reader.count(open, "executor_cores"),
        num_executors: reader.count(open, "num_executors"),
        principal,
        keytab,
        proxy_user,
    };
    reader.is_command_line = false;
    options
}
