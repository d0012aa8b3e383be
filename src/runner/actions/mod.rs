//! What each kind of task runs: from a task and its dates to one program with its arguments.

pub mod check;
pub mod look;
pub mod report;
pub mod spark;
pub mod sql;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::dag::schedule::DataInterval;
use crate::dag::template::{RenderError, Renderer};
use crate::dag::{Action, Condition, Config, Dag, Task};

use self::check::CheckJob;
use self::look::LookJob;
use self::report::ReportJob;

use super::environment::{self, Environment, EnvironmentError};

/// Exactly what an attempt runs; what `crondag render` prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The command for people.
    pub display: String,
    /// What the program reads on its standard input.
    pub stdin: Option<String>,
    /// The complete environment, and which values are secret.
    pub environment: Environment,
    /// Where it runs; absolute.
    pub working_dir: PathBuf,
}

/// Why a task cannot be prepared. Reads after "error: ".
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A template.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The environment.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// A file that the task names.
    #[error("cannot read {path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nobody gets the report.
    #[error("nobody gets the report: give it `to`, or the task `email`")]
    NoRecipient,
    /// A command is no look of crondag's own.
    #[error("a command is run by bash; this is a bug of crondag")]
    NoLook,
    /// The job of an inner program.
    #[error("the job cannot be written down: {0}")]
    Job(serde_json::Error),
    /// A connection that crondag.toml no longer has.
    #[error("there is no connection `{0}` in crondag.toml")]
    Connection(String),
}

/// For which run a task is prepared.
#[derive(Debug, Clone, Copy)]
pub struct Occasion<'a> {
    /// The data interval.
    pub interval: DataInterval,
    /// The run's id.
    pub run_id: &'a str,
    /// Whether nothing may be recorded: `crondag test`.
    pub is_rehearsal: bool,
}

/// Renders everything that an attempt needs. Reads files, changes nothing.
///
/// # Errors
/// A template does not render, or a file is missing.
pub fn prepare(
    home: &Path,
    config: &Config,
    dag: &Dag,
    task: &Task,
    renderer: &Renderer,
    occasion: &Occasion<'_>,
) -> Result<Prepared, PrepareError> {
    let mut environment = environment::build(home, config, dag, task, renderer)?;
    let working_dir = match &task.working_dir {
        Some(folder) => home.join(renderer.render(folder)?),
        None => home.to_path_buf(),
    };
    let (argv, display, stdin) = match &task.action {
        Action::Shell(shell) => bash(renderer.render(&shell.script)?),
        Action::Spark(spark) => {
            if let Some(spark_home) = &config.spark.spark_home {
                environment.variables.insert("SPARK_HOME".to_owned(), spark_home.clone());
            }
            let default_name =
                format!("{}.{} {}", dag.id, task.id, renderer.variables().get("ds").map_or("", String::as_str));
            let spark_home = environment.variables.get("SPARK_HOME").map(String::as_str);
            let argv = spark::argv(config.spark.spark_submit.as_deref(), spark_home, spark, &default_name, renderer)?;
            let display = spark::display(&argv);
            (argv, display, None)
        }
        Action::Sql(sql) => {
            let job = sql::job(home, config, sql, renderer)?;
            own_program("__sql", job.describe(), &job)?
        }
        Action::Wait(wait) => match &wait.condition {
            Condition::Command(script) => bash(renderer.render(script)?),
            condition => {
                let job = LookJob::of(condition, home, config, dag, occasion.interval, renderer)?;
                own_program("__look", job.describe(), &job)?
            }
        },
        Action::Check(check) => {
            let job = CheckJob::of(check, home, config, (dag, task), renderer, occasion)?;
            own_program("__check", job.describe(), &job)?
        }
        Action::Report(report) => {
            let job = ReportJob::of(report, home, (dag, task), renderer, occasion)?;
            own_program("__report", job.describe(), &job)?
        }
    };
    Ok(Prepared { argv, display, stdin, environment, working_dir })
}

type Command = (Vec<String>, String, Option<String>);

fn bash(script: String) -> Command {
    (vec!["/bin/bash".to_owned(), "-c".to_owned(), script.clone()], script, None)
}

/// An inner program of crondag's own, which reads its job from standard input: it may hold secrets.
fn own_program(name: &str, display: String, job: &impl Serialize) -> Result<Command, PrepareError> {
    let program =
        std::env::current_exe().map_or_else(|_| "/proc/self/exe".to_owned(), |path| path.display().to_string());
    let stdin = serde_json::to_string(job).map_err(PrepareError::Job)?;
    Ok((vec![program, name.to_owned()], display, Some(stdin)))
}
