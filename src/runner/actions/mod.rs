//! What each kind of task runs: from a task and its dates to one program with its arguments.

pub mod check;
pub mod look;
pub mod report;
pub mod spark;
pub mod sql;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::dag::config::Connection;
use crate::dag::template::{RenderError, Renderer, Scope};
use crate::dag::{Action, Condition, Config, ProcessAttributes, Sql};

use self::check::CheckJob;
use self::look::LookJob;
use self::report::ReportJob;
use self::sql::SqlJob;

use super::attempt::environment::{self, User};
use super::attempt::secrets::Keyring;

/// Exactly what an attempt runs; what `crondag render` prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The command for people.
    pub display: String,
    /// What the program reads on its standard input.
    pub stdin: Option<String>,
    /// The complete environment.
    pub env: BTreeMap<String, String>,
    /// What its process begins with beside.
    pub process: ProcessAttributes,
    /// The user to become; `None` for crondag's own.
    pub run_as: Option<String>,
    /// Values that must not be seen.
    pub secrets: Vec<String>,
    /// Where it runs; absolute.
    pub working_dir: PathBuf,
}

/// Why a task cannot be prepared; may hold secrets.
#[derive(Debug, thiserror::Error)]
enum PrepareError {
    /// A template.
    #[error(transparent)]
    Render(#[from] RenderError),
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
    /// The user of `run_as`.
    #[error("there is no user `{0}` on this machine: correct run_as, or make one with `useradd {0}`")]
    User(String),
    /// A value that has been put into a path.
    #[error("the path {0} climbs by `..` where its template does not: which value does that?")]
    Climbs(String),
    /// A value that has been put where the application of `spark-submit` stands.
    #[error("the application {0} begins with `-`: spark-submit would take it for an option")]
    Option(String),
    /// A password.
    #[error("{0}")]
    Secret(String),
    /// A connection that crondag.toml no longer has.
    #[error("there is no connection `{0}` in crondag.toml")]
    Connection(String),
}

/// The variable by which a script with secrets reaches its shell: arguments can be seen by everybody on the machine, a
/// process' environment only by its user.
const SCRIPT_VARIABLE: &str = "CRONDAG_SCRIPT";

/// Runs that script. The name is gone before the first line runs; the line numbers are those of the script.
const RUN_SCRIPT: &str = r#"eval "unset CRONDAG_SCRIPT; $CRONDAG_SCRIPT""#;

/// Renders everything that an attempt needs. Reads files and runs the commands of secrets, changes nothing. In a rehearsal the
/// attempt records nothing.
///
/// # Errors
/// Why a template does not render, or which file or secret is missing; without secrets. Reads after "error: ".
pub fn prepare(home: &Path, config: &Config, scope: &Scope<'_>, is_rehearsal: bool) -> Result<Prepared, String> {
    let keyring = Keyring::open(home, config)?;
    let renderer = Renderer::new(scope, keyring.secrets());
    let prepared = render(home, config, scope, &keyring, Some(&renderer), is_rehearsal);
    let prepared = prepared.map_err(|error| keyring.mask().text(&error.to_string()))?;
    Ok(Prepared { secrets: keyring.values(), ..prepared })
}

/// The same for people: every secret is masked, no command of a secret is run.
///
/// # Errors
/// As [`prepare`].
pub fn rehearse(home: &Path, config: &Config, scope: &Scope<'_>) -> Result<Prepared, String> {
    let keyring = Keyring::open(home, config)?;
    let prepared = render(home, config, scope, &keyring, None, true);
    let mask = keyring.mask();
    let prepared = prepared.map_err(|error| mask.text(&error.to_string()))?;
    Ok(Prepared {
        argv: prepared.argv.iter().map(|argument| mask.text(argument)).collect(),
        display: mask.text(&prepared.display),
        stdin: prepared.stdin.map(|text| mask.text(&text)),
        env: prepared.env.into_iter().map(|(name, value)| (name, mask.text(&value))).collect(),
        ..prepared
    })
}

/// A path, in which no value may lead out of the folder that its template names.
fn path(renderer: &Renderer, template: &str) -> Result<String, PrepareError> {
    let path = renderer.render(template)?;
    let climbs = |path: &str| path.split('/').filter(|part| *part == "..").count();
    if climbs(&path) > climbs(template) { Err(PrepareError::Climbs(path)) } else { Ok(path) }
}

/// What the jobs of inner programs are made from.
struct Materials<'a> {
    home: &'a Path,
    config: &'a Config,
    scope: &'a Scope<'a>,
    renderer: &'a Renderer,
    env: &'a BTreeMap<String, String>,
    /// Where passwords are; `None` when the job is only shown.
    keyring: Option<&'a Keyring>,
    /// What Spark's own pages show of the task.
    default_name: &'a str,
    /// Whether nothing may be recorded.
    is_rehearsal: bool,
}

impl Materials<'_> {
    fn sql(&self, sql: &Sql) -> Result<SqlJob, PrepareError> {
        let source = self.config.connections.get(&sql.connection).and_then(Connection::password);
        let password = match (self.keyring, source) {
            (Some(keyring), Some(source)) => {
                Some(keyring.password(&sql.connection, source, self.env).map_err(PrepareError::Secret)?)
            }
            _ => None,
        };
        let mut job = sql::job(self.home, self.config, sql, self.renderer, self.default_name, password)?;
        if let Some(keyring) = self.keyring {
            job.hide(keyring.values());
        }
        Ok(job)
    }

    fn variable(&self, name: &str) -> String {
        self.renderer.variables().get(name).cloned().unwrap_or_default()
    }
}

/// Without a renderer of secrets, all of it is for people.
fn render(
    home: &Path,
    config: &Config,
    scope: &Scope<'_>,
    keyring: &Arc<Keyring>,
    real: Option<&Renderer>,
    is_rehearsal: bool,
) -> Result<Prepared, PrepareError> {
    let shown = &Renderer::new(scope, keyring.hidden());
    let renderer = real.unwrap_or(shown);
    let (dag, task) = (scope.dag, scope.task);
    let user = match &task.run_as {
        Some(name) => User::named(name).ok_or_else(|| PrepareError::User(name.clone()))?,
        None => User::current().clone(),
    };
    let run_as = task.run_as.clone().filter(|_| user.uid != User::current().uid);
    let mut env = environment::build(home, config, dag, task, renderer, &user, keyring.env_file())?;
    let working_dir = match &task.working_dir {
        Some(folder) => home.join(path(renderer, folder)?),
        None => home.to_path_buf(),
    };
    if let (Some(spark_home), Action::Spark(_) | Action::Sql(_) | Action::Wait(_) | Action::Check(_)) =
        (&config.spark.spark_home, &task.action)
    {
        env.insert("SPARK_HOME".to_owned(), spark_home.clone());
    }
    let default_name = format!("{}.{} {}", dag.id, task.id, renderer.variables().get("ds").map_or("", String::as_str));
    let script = |template: &str, env: &mut BTreeMap<String, String>| -> Result<Command, PrepareError> {
        let (script, display) = (renderer.render(template)?, shown.render(template)?);
        let argument = if script == display {
            script
        } else {
            env.insert(SCRIPT_VARIABLE.to_owned(), script);
            RUN_SCRIPT.to_owned()
        };
        let options = task.shell_options.as_ref().unwrap_or(&config.shell_options);
        let mut argv = vec!["/bin/bash".to_owned()];
        argv.extend(options.iter().flat_map(|option| ["-o".to_owned(), option.clone()]));
        argv.extend(["-c".to_owned(), argument]);
        let display =
            if options.is_empty() { display } else { format!("# bash -o {}\n{display}", options.join(" -o ")) };
        Ok((argv, display, None))
    };
    let known = env.clone();
    let for_people = Materials {
        home,
        config,
        scope,
        renderer: shown,
        env: &known,
        keyring: None,
        default_name: &default_name,
        is_rehearsal,
    };
    let materials = Materials { renderer, keyring: real.map(|_| &**keyring), ..for_people };
    let (argv, display, stdin) = match &task.action {
        Action::Shell(shell) => script(&shell.script, &mut env)?,
        Action::Spark(spark) => {
            let spark_home = env.get("SPARK_HOME").map(String::as_str);
            let argv = spark::argv(config.spark.spark_submit.as_deref(), spark_home, spark, &default_name, shown)?;
            let display = spark::display(&argv);
            (argv, display, None)
        }
        Action::Sql(sql) => own_program("__sql", for_people.sql(sql)?.describe(), &materials.sql(sql)?)?,
        Action::Wait(wait) => match &wait.condition {
            Condition::Command(command) => script(command, &mut env)?,
            condition => {
                let shown = LookJob::of(condition, &for_people)?.describe();
                own_program("__look", shown, &LookJob::of(condition, &materials)?)?
            }
        },
        Action::Check(check) => {
            let shown = CheckJob::of(check, &for_people)?.describe();
            own_program("__check", shown, &CheckJob::of(check, &materials)?)?
        }
        Action::Report(report) => {
            let shown = ReportJob::of(report, &for_people)?.describe();
            own_program("__report", shown, &ReportJob::of(report, &materials)?)?
        }
    };
    let process = task.process.or(config.process).attributes();
    Ok(Prepared { argv, display, stdin, env, process, run_as, secrets: Vec::new(), working_dir })
}

/// Arguments, the command for people, and what the program reads.
type Command = (Vec<String>, String, Option<String>);

/// An inner program of crondag's own, which reads its job from standard input: it may hold secrets.
fn own_program(name: &str, display: String, job: &impl Serialize) -> Result<Command, PrepareError> {
    let program =
        std::env::current_exe().map_or_else(|_| "/proc/self/exe".to_owned(), |path| path.display().to_string());
    let stdin = serde_json::to_string(job).map_err(PrepareError::Job)?;
    Ok((vec![program, name.to_owned()], display, Some(stdin)))
}
