//! `spark-submit`: every option as an argument of its own, no shell in between.

use crate::dag::Spark;
use crate::dag::config::SparkSettings;
use crate::dag::template::{RenderError, Renderer, quote};

/// The argument vector, in the order of `spark-submit --help`.
pub(super) fn argv(
    settings: &SparkSettings,
    spark: &Spark,
    default_name: &str,
    renderer: &Renderer,
) -> Result<Vec<String>, RenderError> {
    let program = match (&settings.spark_submit, &settings.spark_home) {
        (Some(program), _) => program.clone(),
        (None, Some(home)) => format!("{}/bin/spark-submit", home.trim_end_matches('/')),
        (None, None) => "spark-submit".to_owned(),
    };
    let options = &spark.options;
    let mut argv = vec![program];
    let mut one = |flag: &str, value: &Option<String>| -> Result<(), RenderError> {
        if let Some(value) = value {
            argv.push(flag.to_owned());
            argv.push(renderer.render(value)?);
        }
        Ok(())
    };
    let list = |values: &[String]| (!values.is_empty()).then(|| values.join(","));
    one("--master", &options.master)?;
    one("--deploy-mode", &options.deploy_mode)?;
    one("--class", &options.class)?;
    one("--name", &options.name.clone().or_else(|| Some(default_name.to_owned())))?;
    one("--jars", &list(&options.jars))?;
    one("--packages", &list(&options.packages))?;
    one("--py-files", &list(&options.py_files))?;
    one("--files", &list(&options.files))?;
    one("--archives", &list(&options.archives))?;
    for (key, value) in &options.conf {
        one("--conf", &Some(format!("{key}={value}")))?;
    }
    one("--queue", &options.queue)?;
    one("--driver-memory", &options.driver_memory)?;
    one("--driver-cores", &options.driver_cores.map(|cores| cores.to_string()))?;
    one("--executor-memory", &options.executor_memory)?;
    one("--executor-cores", &options.executor_cores.map(|cores| cores.to_string()))?;
    one("--num-executors", &options.num_executors.map(|number| number.to_string()))?;
    one("--principal", &options.principal)?;
    one("--keytab", &options.keytab)?;
    one("--proxy-user", &options.proxy_user)?;
    argv.push(renderer.render(&spark.application)?);
    for argument in &spark.args {
        argv.push(renderer.render(argument)?);
    }
    Ok(argv)
}

/// The command as it could be typed: one option a line.
pub(super) fn display(argv: &[String]) -> String {
    let mut text = String::new();
    let mut after_flag = false;
    for (position, argument) in argv.iter().enumerate() {
        if position > 0 {
            text.push_str(if after_flag { " " } else { " \\\n  " });
        }
        text.push_str(&quote(argument));
        after_flag = argument.starts_with("--") && !after_flag;
    }
    text
}
