//! One task for one date, prepared as an attempt would be: what `render` shows and `test` runs.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value as Json;

use crate::app::times::Moment;
use crate::app::{App, AppError, params, select};
use crate::dag::schedule::DataInterval;
use crate::dag::template::{Scope, quote};
use crate::dag::{Action, ActionKind, Dag, DagId, RunType, SKIP_EXIT_STATUS, Task, TaskId};
use crate::runner::actions::{prepare, rehearse};
use crate::runner::attempt::secrets::has_masked;
use crate::runner::attempt::{AttemptSpec, Ending, Launch, LimitedBy, Prepared, TimeLimit};
use crate::runner::planner::run_id;

/// What an attempt of a task would run. Secrets are masked, and their commands not run.
#[derive(Debug, Serialize)]
pub struct RenderAnswer {
    pub(crate) dag_id: DagId,
    pub(crate) task_id: TaskId,
    /// The start of the data interval.
    pub(crate) logical_date: Moment,
    #[serde(serialize_with = "word")]
    pub(crate) action: ActionKind,
    /// The program and its arguments.
    pub(crate) argv: Vec<String>,
    pub(crate) working_dir: String,
    /// The variables that it finds besides those of the home.
    pub(crate) env: BTreeMap<String, String>,
    /// What it reads on its standard input.
    pub(crate) stdin: Option<String>,
    /// What crondag's own programs do, as people read it: their standard input is JSON.
    #[serde(skip)]
    pub(crate) display: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for it so
fn word<S: serde::Serializer>(kind: &ActionKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.as_str())
}

/// Which attempt is rehearsed, as somebody typed it.
#[derive(Debug, Clone, Copy)]
pub enum Rehearsed<'a> {
    /// The first of a task in the scheduled run of this date, recorded or not, with the file as it stands.
    Date(&'a str),
    /// The next of a task in this run, with its params and its version of the file.
    Run(&'a str),
}

impl RenderAnswer {
    /// One line for a shell that does the same: in its directory, with its environment and nothing else. `None` for what crondag
    /// does itself, and where a secret would be in it.
    pub fn command_line(&self) -> Option<String> {
        let texts = self.env.values().chain(&self.argv);
        if self.display.is_some() || self.stdin.is_some() || texts.into_iter().any(|text| has_masked(text)) {
            return None;
        }
        let variables = self.env.iter().map(|(name, value)| format!("{name}={}", quote(value)));
        let words = variables.chain(self.argv.iter().map(|word| quote(word))).collect::<Vec<_>>().join(" ");
        Some(format!("cd {} && env -i {words}", quote(&self.working_dir)))
    }
}

/// Renders a task. `given` are params as `NAME=VALUE`.
///
/// # Errors
/// There is no such DAG, task, interval, run or param; a template does not render.
pub fn render(
    app: &App,
    (dag, task): (&str, &str),
    rehearsed: Rehearsed<'_>,
    given: &[String],
) -> Result<RenderAnswer, AppError> {
    let run = RehearsedRun::new(app, (dag, task), rehearsed, given)?;
    let prepared =
        rehearse(app.home.root(), &app.config, &run.scope(app)).map_err(|error| run.cannot_be_prepared(&error))?;
    let action = &run.task().action;
    let display = match action {
        Action::Sql(_) | Action::Wait(_) | Action::Check(_) | Action::Report(_) => Some(prepared.display),
        Action::Shell(_) | Action::Spark(_) => None,
    };
    Ok(RenderAnswer {
        action: action.kind(),
        task_id: run.task().id.clone(),
        logical_date: run.logical_date(),
        argv: prepared.argv,
        working_dir: prepared.working_dir.display().to_string(),
        env: prepared.env,
        stdin: prepared.stdin,
        display,
        dag_id: run.dag.id,
    })
}

/// How an attempt that was tried counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Succeeded,
    /// The task said that there is nothing to do.
    Skipped,
    Failed,
}

impl Outcome {
    /// That of an attempt of such an action. What waits has no way to say that there is nothing to do.
    pub fn of(action: ActionKind, ending: &Ending) -> Outcome {
        match ending {
            Ending::Exited { code: 0 } => Outcome::Succeeded,
            Ending::Exited { code: SKIP_EXIT_STATUS } if action != ActionKind::Wait => Outcome::Skipped,
            Ending::Exited { .. }
            | Ending::Signaled { .. }
            | Ending::TimedOut { .. }
            | Ending::Stopped
            | Ending::Lost { .. }
            | Ending::NotStarted { .. } => Outcome::Failed,
        }
    }
}

/// A task with everything that it needs to run.
pub struct Rehearsal {
    run: RehearsedRun,
    prepared: Prepared,
}

/// The run of a rehearsal, recorded or not.
struct RehearsedRun {
    dag: Dag,
    /// The task's index.
    index: usize,
    interval: DataInterval,
    run_type: RunType,
    run_id: String,
    try_number: u32,
    params: BTreeMap<String, Json>,
}

impl RehearsedRun {
    fn new(
        app: &App,
        (dag, task): (&str, &str),
        rehearsed: Rehearsed<'_>,
        given: &[String],
    ) -> Result<RehearsedRun, AppError> {
        match rehearsed {
            Rehearsed::Date(date) => {
                let dag = app.dag(dag)?;
                let interval = select::interval(&dag, date)?;
                let run_type = RunType::Scheduled;
                Ok(RehearsedRun {
                    index: select::task(&dag, task)?,
                    params: with_params(&dag, &BTreeMap::new(), given)?,
                    run_id: run_id(run_type, interval.start, &dag.timezone),
                    run_type,
                    try_number: 1,
                    interval,
                    dag,
                })
            }
            Rehearsed::Run(text) => {
                let dag_id = app.dag_id(dag)?;
                let store = app.store()?;
                let run = select::run(app, store.as_ref(), &dag_id, Some(text))?;
                let version = store.as_ref().map(|store| app.dag_of_run(store, &run)).transpose()?.flatten();
                let dag = version.map_or_else(|| app.dag(dag), Ok)?;
                let index = select::task(&dag, task)?;
                let instances = store.map(|store| store.task_instances(run.number)).transpose()?.unwrap_or_default();
                let own = instances.iter().find(|instance| instance.task_id == dag.tasks[index].id);
                Ok(RehearsedRun {
                    params: with_params(&dag, &run.params, given)?,
                    interval: DataInterval { start: run.logical_date, end: run.data_interval_end },
                    run_type: run.run_type,
                    run_id: run.run_id,
                    try_number: own.map_or(0, |instance| instance.try_number) + 1,
                    index,
                    dag,
                })
            }
        }
    }

    fn task(&self) -> &Task {
        &self.dag.tasks[self.index]
    }

    fn scope<'a>(&'a self, app: &'a App) -> Scope<'a> {
        Scope {
            dag: &self.dag,
            task: self.task(),
            interval: self.interval,
            run_type: self.run_type,
            run_id: &self.run_id,
            try_number: self.try_number,
            params: &self.params,
            vars: &app.config.vars,
        }
    }

    fn logical_date(&self) -> Moment {
        Moment::new(self.interval.start, &self.dag.timezone)
    }

    fn cannot_be_prepared(&self, error: &str) -> AppError {
        AppError::usage(
            format!("the task {} of {} cannot be prepared: {error}", self.task().id, self.dag.id),
            "correct it, then type `crondag validate`",
        )
    }
}

/// The params of a DAG, over them those of a run, over them those that somebody gives now.
fn with_params(
    dag: &Dag,
    of_run: &BTreeMap<String, Json>,
    given: &[String],
) -> Result<BTreeMap<String, Json>, AppError> {
    let mut params = dag.params.clone();
    params.extend(of_run.clone());
    params.extend(params::parse(dag, given)?);
    Ok(params)
}

impl Rehearsal {
    /// Prepares a task as a run of the schedule would, with its secrets.
    ///
    /// # Errors
    /// As of [`render`]; a secret is not to be had.
    pub fn new(
        app: &App,
        task: (&str, &str),
        rehearsed: Rehearsed<'_>,
        given: &[String],
    ) -> Result<Rehearsal, AppError> {
        let run = RehearsedRun::new(app, task, rehearsed, given)?;
        let prepared = prepare(app.home.root(), &app.config, &run.scope(app), true)
            .map_err(|error| run.cannot_be_prepared(&error))?;
        Ok(Rehearsal { run, prepared })
    }

    /// The DAG as its file stands.
    pub fn dag_id(&self) -> &DagId {
        &self.run.dag.id
    }

    pub(crate) fn task(&self) -> &Task {
        self.run.task()
    }

    /// The start of the data interval.
    pub fn logical_date(&self) -> Moment {
        self.run.logical_date()
    }

    /// The attempt, which keeps no log of its own.
    pub fn spec(self, app: &App) -> AttemptSpec {
        let limit = self.task().timeout.map(|after| TimeLimit { after, by: LimitedBy::Timeout });
        let launch = Launch {
            token: format!("test-{}-{}", std::process::id(), app.now.as_nanosecond()),
            limit,
            log_file: "/dev/null".into(),
            log_max_size: 0,
        };
        AttemptSpec::new(&self.run.scope(app), &app.config, self.prepared, launch)
    }
}
