//! `spark` tables: of a task, of `[defaults]` and of crondag.toml.

use super::dag::values;
use super::fault::Fault;
use super::reader::{Entry, Open, Reader};
use super::task::{Surroundings, check_file};
use super::value::any_name;
use crate::dag::model::{Spark, SparkOptions};

/// Reads the `spark` action of a task.
pub(super) fn read<'f>(
    reader: &mut Reader<'f>,
    entry: &Entry<'_, 'f>,
    surroundings: &Surroundings<'_>,
) -> Option<Spark> {
    let open = reader.table(entry)?;
    reader.is_command_line = true;
    let application = reader.template(&open, "application");
    if let Some(application) = &application {
        check_file(reader, application, "application", surroundings);
    } else if open.lacks("application") {
        reader.push(
            Fault::error(
                "missing-key",
                open.at.clone(),
                "a spark action needs an `application`",
                "expected `application` in this table",
            )
            .help("write for example application = \"jobs/load.py\""),
        );
    }
    let args = values(reader.texts(&open, "args"));
    reader.is_command_line = false;
    let own = options(reader, &open);
    let options = surroundings.config.spark.options.clone().with(&surroundings.defaults.spark).with(&own);
    Some(Spark { application: application?.value, args, options })
}

/// Reads the options that every `spark` table takes.
pub(super) fn options<'f>(reader: &mut Reader<'f>, open: &Open<'_, 'f>) -> SparkOptions {
    reader.is_command_line = true;
    let mut text = |key| reader.template(open, key).map(|text| text.value);
    let (master, name, class, queue) = (text("master"), text("name"), text("class"), text("queue"));
    let (principal, keytab, proxy_user) = (text("principal"), text("keytab"), text("proxy_user"));
    let mut list = |key| values(reader.texts(open, key));
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
