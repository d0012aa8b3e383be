//! `spark-submit`: every option as an argument of its own, no shell in between.

use super::materials::{Command, Materials, PrepareError, refuse_unfit};
use crate::dag::Spark;
use crate::dag::model::SparkOptions;
use crate::dag::template::{RenderError, Renderer, quote};

/// The command of a `spark` action. Nothing secret can be in it: `validate` refuses that.
pub(super) fn command(spark: &Spark, materials: &Materials<'_>) -> Result<Command, PrepareError> {
    let Materials { config, env, default_name, shown, .. } = *materials;
    let spark_home = env.get("SPARK_HOME").map(String::as_str);
    let argv = argv(config.spark.spark_submit.as_deref(), spark_home, spark, default_name, shown)?;
    Ok(Command { display: display(&argv), argv, stdin: None, variable: None })
}

/// The argument vector: the program of crondag.toml, else the one of the task's `SPARK_HOME`, else the one on its `PATH`;
/// options in the order of `spark-submit --help`.
fn argv(
    spark_submit: Option<&str>,
    spark_home: Option<&str>,
    spark: &Spark,
    default_name: &str,
    renderer: &Renderer,
) -> Result<Vec<String>, PrepareError> {
    let program = match (spark_submit, spark_home) {
        (Some(program), _) => program.to_owned(),
        (None, Some(home)) => format!("{}/bin/spark-submit", home.trim_end_matches('/')),
        (None, None) => "spark-submit".to_owned(),
    };
    let mut options = spark.options.clone();
    options.name.get_or_insert_with(|| default_name.to_owned());
    let mut argv = vec![program];
    argv.extend(arguments(&rendered(&options, renderer)?));
    let application = renderer.render(&spark.application)?;
    refuse_unfit(application.len(), &application, || "`application`".to_owned())?;
    if application.starts_with('-') {
        return Err(PrepareError::Option(application));
    }
    argv.push(application);
    for argument in &spark.args {
        let argument = renderer.render(argument)?;
        refuse_unfit(argument.len(), &argument, || "an argument in `args`".to_owned())?;
        argv.push(argument);
    }
    Ok(argv)
}

/// The options with their templates filled in, each fit to be an argument.
pub(super) fn rendered(options: &SparkOptions, renderer: &Renderer) -> Result<SparkOptions, PrepareError> {
    let options = filled(options, renderer)?;
    for option in arguments(&options).chunks_exact(2) {
        let (flag, value) = (&option[0], &option[1]);
        refuse_unfit(value.len(), value, || match value.split_once('=') {
            Some((name, _)) if flag == "--conf" => format!("`conf.{name}`"),
            _ => format!("`{flag}`"),
        })?;
    }
    Ok(options)
}

fn filled(options: &SparkOptions, renderer: &Renderer) -> Result<SparkOptions, RenderError> {
    let one = |text: &Option<String>| text.as_ref().map(|text| renderer.render(text)).transpose();
    let list = |texts: &[String]| texts.iter().map(|text| renderer.render(text)).collect::<Result<Vec<_>, _>>();
    let conf = options.conf.iter().map(|(key, value)| Ok((key.clone(), renderer.render(value)?)));
    Ok(SparkOptions {
        master: one(&options.master)?,
        deploy_mode: one(&options.deploy_mode)?,
        name: one(&options.name)?,
        class: one(&options.class)?,
        jars: list(&options.jars)?,
        packages: list(&options.packages)?,
        py_files: list(&options.py_files)?,
        files: list(&options.files)?,
        archives: list(&options.archives)?,
        conf: conf.collect::<Result<_, _>>()?,
        queue: one(&options.queue)?,
        driver_memory: one(&options.driver_memory)?,
        driver_cores: options.driver_cores,
        executor_memory: one(&options.executor_memory)?,
        executor_cores: options.executor_cores,
        num_executors: options.num_executors,
        principal: one(&options.principal)?,
        keytab: one(&options.keytab)?,
        proxy_user: one(&options.proxy_user)?,
    })
}

/// The arguments for rendered options.
pub(super) fn arguments(options: &SparkOptions) -> Vec<String> {
    let mut argv = Vec::new();
    let mut one = |flag: &str, value: Option<String>| {
        if let Some(value) = value {
            argv.extend([flag.to_owned(), value]);
        }
    };
    let list = |values: &[String]| (!values.is_empty()).then(|| values.join(","));
    one("--master", options.master.clone());
    one("--deploy-mode", options.deploy_mode.clone());
    one("--class", options.class.clone());
    one("--name", options.name.clone());
    one("--jars", list(&options.jars));
    one("--packages", list(&options.packages));
    one("--py-files", list(&options.py_files));
    one("--files", list(&options.files));
    one("--archives", list(&options.archives));
    for (key, value) in &options.conf {
        one("--conf", Some(format!("{key}={value}")));
    }
    one("--queue", options.queue.clone());
    one("--driver-memory", options.driver_memory.clone());
    one("--driver-cores", options.driver_cores.map(|cores| cores.to_string()));
    one("--executor-memory", options.executor_memory.clone());
    one("--executor-cores", options.executor_cores.map(|cores| cores.to_string()));
    one("--num-executors", options.num_executors.map(|number| number.to_string()));
    one("--principal", options.principal.clone());
    one("--keytab", options.keytab.clone());
    one("--proxy-user", options.proxy_user.clone());
    argv
}

/// The command as it could be typed: one option a line.
fn display(argv: &[String]) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dag::file::{read_config, read_dag};

    use crate::dag::template::{Scope, Secrets};
    use crate::dag::{Action, Dag, RunType};

    fn rendered(dag: &Dag, spark_submit: Option<&str>, spark_home: Option<&str>) -> Vec<String> {
        let Action::Spark(spark) = &dag.tasks[0].action else { panic!("not spark") };
        let interval = dag.timetable().on_date("2018-07-01".parse().unwrap())[0];
        let (params, vars) = (dag.params.clone(), std::collections::BTreeMap::new());
        let scope = Scope {
            dag,
            task: &dag.tasks[0],
            interval,
            run_type: RunType::Manual,
            run_id: "r",
            try_number: 1,
            params: &params,
            vars: &vars,
        };
        argv(spark_submit, spark_home, spark, "d.t 2018-07-01", &Renderer::new(&scope, Secrets::none())).unwrap()
    }

    #[test]
    fn every_option_becomes_an_argument_of_its_own_and_tables_are_merged() {
        let config = "[spark]\nmaster = 'yarn'\nconf = { a = '1', b = '1' }\n";
        let file = "schedule = '0 7 * * *'\ntimezone = 'UTC'\n\
                    [defaults.spark]\ndeploy_mode = 'client'\nconf = { b = '2' }\ndriver_memory = '4g'\n\
                    [tasks.t.spark]\napplication = 'jobs/x y.py'\nargs = ['{{ ds_nodash }}', '$(rm -rf /)', '']\n\
                    name = 'n {{ ds }}'\nclass = 'C'\njars = ['a.jar', 'b.jar']\npackages = ['g:a:1']\npy_files = ['p.py']\n\
                    files = ['f']\narchives = ['z']\nqueue = 'etl'\ndriver_cores = 1\nexecutor_memory = '8g'\n\
                    executor_cores = 2\nnum_executors = 100\nprincipal = 'p@R'\nkeytab = 'k'\nproxy_user = 'u'\n";
        let config = read_config(config).0.unwrap();
        let (dag, faults) = read_dag("d", file, &config, &|_| true);
        let dag = dag.unwrap_or_else(|| panic!("{faults:?}"));
        let expected = [
            "spark-submit",
            "--master",
            "yarn",
            "--deploy-mode",
            "client",
            "--class",
            "C",
            "--name",
            "n 2018-07-01",
            "--jars",
            "a.jar,b.jar",
            "--packages",
            "g:a:1",
            "--py-files",
            "p.py",
            "--files",
            "f",
            "--archives",
            "z",
            "--conf",
            "a=1",
            "--conf",
            "b=2",
            "--queue",
            "etl",
            "--driver-memory",
            "4g",
            "--driver-cores",
            "1",
            "--executor-memory",
            "8g",
            "--executor-cores",
            "2",
            "--num-executors",
            "100",
            "--principal",
            "p@R",
            "--keytab",
            "k",
            "--proxy-user",
            "u",
            "jobs/x y.py",
            "20180701",
            "$(rm -rf /)",
            "",
        ];
        assert_eq!(rendered(&dag, None, None), expected);
        assert_eq!(rendered(&dag, None, Some("/opt/spark/"))[0], "/opt/spark/bin/spark-submit");
        assert_eq!(rendered(&dag, Some("spark3-submit"), Some("/opt/spark"))[0], "spark3-submit");
    }
}
