//! What each kind of task runs: from a task and its dates to one program with its arguments.

mod check;
mod csv;
mod job;
mod materials;
mod report;
mod sensor;
mod shell;
mod spark;
mod sql;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use crate::dag::template::{Renderer, Scope};
use crate::dag::{Action, Config};

use self::check::CheckJob;
use self::job::InnerProgram;
use self::materials::{Command, Materials, PrepareError, path, refuse_nul, refuse_unfit_variables};
use self::report::ReportJob;
use self::sensor::Poll;
use self::sql::SqlJob;

use super::attempt::Prepared;
use super::attempt::environment::{self, User};
use super::attempt::secrets::Keyring;

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

/// Whether what the action runs may start Spark, which `SPARK_HOME` then names. A script of its own says where Spark is.
fn may_use_spark(action: &Action) -> bool {
    match action {
        Action::Spark(_) | Action::Sql(_) | Action::Wait(_) | Action::Check(_) => true,
        Action::Shell(_) | Action::Report(_) => false,
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
    refuse_unfit_variables(&env)?;
    let working_dir = match &task.working_dir {
        Some(folder) => {
            let folder = path(renderer, folder)?;
            refuse_nul(&folder, || "`working_dir`".to_owned())?;
            home.join(folder)
        }
        None => home.to_path_buf(),
    };
    if let Some(spark_home) = config.spark.spark_home.as_ref().filter(|_| may_use_spark(&task.action)) {
        env.insert("SPARK_HOME".to_owned(), spark_home.clone());
    }
    let default_name = format!("{}.{} {}", dag.id, task.id, renderer.variables().get("ds").map_or("", String::as_str));
    let materials = Materials {
        home,
        config,
        scope,
        renderer,
        shown,
        env: &env,
        keyring: real.map(|_| &**keyring),
        default_name: &default_name,
        is_rehearsal,
    };
    let Command { argv, display, stdin, variable } = match &task.action {
        Action::Shell(shell) => shell::command(&shell.script, &materials)?,
        Action::Spark(spark) => spark::command(spark, &materials)?,
        Action::Sql(sql) => materials.job(|materials| SqlJob::of(sql, materials))?,
        Action::Wait(wait) => sensor::command(&wait.condition, &materials)?,
        Action::Check(check) => materials.job(|materials| CheckJob::of(check, materials))?,
        Action::Report(report) => materials.job(|materials| ReportJob::of(report, materials))?,
    };
    env.extend(variable);
    let process = task.process.or(config.process).attributes();
    Ok(Prepared { argv, display, stdin, env, process, run_as, secrets: Vec::new(), working_dir })
}

/// Runs the inner program of this name on its job; `None` when there is none.
pub fn inner_program(name: &str) -> Option<ExitCode> {
    InnerProgram::parse(name).map(|program| match program {
        InnerProgram::Sql => job::main::<SqlJob>(),
        InnerProgram::Sensor => job::main::<Poll>(),
        InnerProgram::Check => job::main::<CheckJob>(),
        InnerProgram::Report => job::main::<ReportJob>(),
    })
}
