//! What each kind of task runs: from a task and its dates to one program with its arguments.

pub mod spark;
pub mod sql;

use std::path::{Path, PathBuf};

use crate::dag::template::{RenderError, Renderer};
use crate::dag::{Action, Config, Dag, Task};

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
    /// A connection that crondag.toml no longer has.
    #[error("there is no connection `{0}` in crondag.toml")]
    Connection(String),
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
) -> Result<Prepared, PrepareError> {
    let mut environment = environment::build(home, config, dag, task, renderer)?;
    let working_dir = match &task.working_dir {
        Some(folder) => home.join(renderer.render(folder)?),
        None => home.to_path_buf(),
    };
    let (argv, display, stdin) = match &task.action {
        Action::Shell(shell) => {
            let script = renderer.render(&shell.script)?;
            (vec!["/bin/bash".to_owned(), "-c".to_owned(), script.clone()], script, None)
        }
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
            let program =
                std::env::current_exe().map_or_else(|_| "/proc/self/exe".to_owned(), |path| path.display().to_string());
            let stdin = serde_json::to_string(&job).map_err(|error| PrepareError::File {
                path: sql.connection.clone(),
                source: std::io::Error::other(error),
            })?;
            (vec![program, "__sql".to_owned()], job.describe(), Some(stdin))
        }
    };
    Ok(Prepared { argv, display, stdin, environment, working_dir })
}
