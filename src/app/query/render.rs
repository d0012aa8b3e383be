//! One task for one date, prepared as an attempt would be: what `render` shows and `test` runs.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::app::request::params;
use crate::app::times::{Moment, rfc3339};
use crate::app::{App, AppError, select};
use crate::dag::schedule::DataInterval;
use crate::dag::template::Scope;
use crate::dag::{Action, ActionKind, Dag, DagId, RunType, Task, TaskId};
use crate::runner::actions::{Prepared, prepare, rehearse};
use crate::runner::attempt::{ATTEMPT_VARIABLE, AttemptKey, AttemptSpec, LimitedBy, TimeLimit};

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

/// Renders a task. `date` is as somebody typed it, `given` are params as `NAME=VALUE`.
///
/// # Errors
/// There is no such DAG, task, interval or param; a template does not render.
pub fn render(app: &App, (dag, task, date): (&str, &str, &str), given: &[String]) -> Result<RenderAnswer, AppError> {
    let rehearsal = Rehearsal::prepare(app, (dag, task, date), given, true)?;
    let action = &rehearsal.task().action;
    let display = match action {
        Action::Sql(_) | Action::Wait(_) | Action::Check(_) | Action::Report(_) => {
            Some(rehearsal.prepared.display.clone())
        }
        Action::Shell(_) | Action::Spark(_) => None,
    };
    Ok(RenderAnswer {
        action: action.kind(),
        task_id: rehearsal.task().id.clone(),
        logical_date: rehearsal.logical_date(),
        dag_id: rehearsal.dag.id,
        argv: rehearsal.prepared.argv,
        working_dir: rehearsal.prepared.working_dir.display().to_string(),
        env: rehearsal.prepared.env,
        stdin: rehearsal.prepared.stdin,
        display,
    })
}

/// A task with everything that it needs to run.
pub struct Rehearsal {
    dag: Dag,
    index: usize,
    interval: DataInterval,
    /// The id that a scheduled run of this interval has.
    run_id: String,
    prepared: Prepared,
}

impl Rehearsal {
    /// Prepares a task as a run of the schedule would, with its secrets.
    ///
    /// # Errors
    /// As of [`render`]; a secret is not to be had.
    pub fn new(app: &App, task: (&str, &str, &str), given: &[String]) -> Result<Rehearsal, AppError> {
        Rehearsal::prepare(app, task, given, false)
    }

    fn prepare(
        app: &App,
        (dag, task, date): (&str, &str, &str),
        given: &[String],
        for_show: bool,
    ) -> Result<Rehearsal, AppError> {
        let dag = app.dag(dag)?;
        let index = select::task(&dag, task)?;
        let interval = select::interval(&dag, date)?;
        let mut values = dag.params.clone();
        values.extend(params::parse(&dag, given)?);
        let run_id = format!("{}__{}", RunType::Scheduled, rfc3339(interval.start, &dag.timezone));
        let scope = Scope {
            dag: &dag,
            task: &dag.tasks[index],
            interval,
            run_type: RunType::Scheduled,
            run_id: &run_id,
            try_number: 1,
            params: &values,
            vars: &app.config.vars,
        };
        let home = app.home.root();
        let prepared =
            if for_show { rehearse(home, &app.config, &scope) } else { prepare(home, &app.config, &scope, true) };
        let prepared = prepared.map_err(|error| {
            AppError::usage(
                format!("the task {} of {} cannot be prepared: {error}", dag.tasks[index].id, dag.id),
                "correct it, then type `crondag validate`",
            )
        })?;
        Ok(Rehearsal { dag, index, interval, run_id, prepared })
    }

    /// The DAG as its file stands.
    pub fn dag_id(&self) -> &DagId {
        &self.dag.id
    }

    pub(crate) fn task(&self) -> &Task {
        &self.dag.tasks[self.index]
    }

    /// The start of the data interval.
    pub fn logical_date(&self) -> Moment {
        Moment::new(self.interval.start, &self.dag.timezone)
    }

    /// The attempt, which keeps no log of its own.
    pub fn spec(self, app: &App) -> AttemptSpec {
        let token = format!("test-{}-{}", std::process::id(), app.now.as_nanosecond());
        let task = &self.dag.tasks[self.index];
        let key =
            AttemptKey { dag_id: self.dag.id.clone(), run_id: self.run_id, task_id: task.id.clone(), try_number: 1 };
        let limit = task.timeout.map(|after| TimeLimit { after, by: LimitedBy::Timeout });
        let leave_processes = task.leave_processes;
        let kill_grace = task.kill_grace.unwrap_or(app.config.kill_grace);
        let logical_date = rfc3339(self.interval.start, &self.dag.timezone);
        let prepared = self.prepared;
        let mut env = prepared.env;
        env.insert(ATTEMPT_VARIABLE.to_owned(), token.clone());
        AttemptSpec {
            key,
            token,
            logical_date,
            argv: prepared.argv,
            display: prepared.display,
            stdin: prepared.stdin,
            env,
            run_as: prepared.run_as,
            process: prepared.process,
            working_dir: prepared.working_dir,
            leave_processes,
            limit,
            kill_grace,
            log_file: "/dev/null".into(),
            log_max_size: 0,
            secrets: prepared.secrets,
        }
    }
}
