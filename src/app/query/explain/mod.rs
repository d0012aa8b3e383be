//! Why a run or a task does not start, and what would change that.
//!
//! The engine answers: the home's runs are loaded into one by the code that the driver uses, and it is asked. Here its answers get
//! words, and what lies before the engine, the file, the schedule and the ticks, is told.

mod blocker;
mod date;
mod holdup;
mod run;
mod task;

pub(crate) use holdup::{HoldUp, HoldUps};

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::lag::Lag;
use crate::app::select;
use crate::app::times::minute;
use crate::app::{App, AppError, NextStep};
use crate::dag::repair::check_to_diagnose;
use crate::dag::schedule::parse_when;
use crate::dag::{Dag, DagId, RunNumber, TaskId};
use crate::runner::engine::Engine;
use crate::runner::load;
use crate::store::{RunFilter, RunRow, Store, TaskInstance, UnfinishedRun};

/// One reason, and what would change it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// `file`, `dag`, `run`, `crontab`, `driver`, or a task's id.
    pub subject: String,
    /// What keeps it, or how it stands.
    pub reason: String,
    /// What to type.
    pub next: Option<NextStep>,
    /// The same as data, where the reason is that the DAG is behind its schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<Lag>,
}

/// Says why a DAG, a run or a task does not run. `task` may be a date where no run is named: `explain D 20180701`.
///
/// # Errors
/// There is no such DAG, run or task; the database.
pub fn explain(app: &App, dag: &str, task: Option<&str>, run: Option<&str>) -> Result<Vec<Reason>, AppError> {
    let dag_id = app.dag_id(dag)?;
    let store = app.store()?;
    let (engine, unfinished) = match &store {
        Some(store) => (load::engine(store, &app.config, app.now)?, store.unfinished_runs()?),
        None => (Engine::new(), Vec::new()),
    };
    let mut view = View::new(app, store.as_ref(), &dag_id, (&engine, &unfinished), app.now);
    let file = view.file();
    let (task, when) = select::task_and_run(app, view.store, &dag_id, file.as_ref(), (task, run))?;
    if let (Some(dag), None, None) = (&file, task, when) {
        view.lag(dag)?;
    }
    let chosen = match when {
        Some(when) => view.run_for(when)?,
        None => view.chosen()?,
    };
    if let Some(run) = chosen {
        view.explain_run(&run, file.as_ref(), task, when.is_none())?;
    } else {
        if let (Some(dag), Some(task)) = (&file, task) {
            select::task(dag, task)?;
        }
        view.explain_missing(file.as_ref(), when)?;
    }
    Ok(view.reasons)
}

/// Everything that is needed to judge a run and its tasks.
struct View<'a> {
    app: &'a App,
    store: Option<&'a Store>,
    dag_id: &'a DagId,
    zone: TimeZone,
    engine: &'a Engine,
    unfinished: &'a [UnfinishedRun],
    now: Timestamp,
    reasons: Vec<Reason>,
}

impl<'a> View<'a> {
    fn new(
        app: &'a App,
        store: Option<&'a Store>,
        dag_id: &'a DagId,
        (engine, unfinished): (&'a Engine, &'a [UnfinishedRun]),
        now: Timestamp,
    ) -> View<'a> {
        View { app, store, dag_id, zone: app.zone_of(dag_id), engine, unfinished, now, reasons: Vec::new() }
    }

    fn say(&mut self, subject: impl Into<String>, reason: impl Into<String>, next: Option<NextStep>) {
        self.reasons.push(Reason { subject: subject.into(), reason: reason.into(), next, lag: None });
    }

    /// The file as it stands, if it is good.
    fn file(&mut self) -> Option<Dag> {
        match self.app.find(self.dag_id) {
            Some(Ok(dag)) => Some(dag),
            Some(Err(file)) => {
                let first = file.first();
                let next = command("validate");
                self.say("file", format!("it is faulty, so nothing new is scheduled: {first}"), next);
                None
            }
            None => {
                let path = self.app.home.dag_path(self.dag_id.as_str());
                self.say("file", format!("{} is gone, so nothing new is scheduled", path.display()), None);
                None
            }
        }
    }

    fn by_id(&self, text: &str) -> Result<Option<RunRow>, AppError> {
        let Some(store) = self.store else { return Ok(None) };
        Ok(store.run_by_id(self.dag_id, text)?)
    }

    /// The run that is meant where none is named, said first: the one that somebody waits for is one that has not ended, and
    /// among those the oldest goes first. Of those that have ended it is the one that somebody has just seen.
    fn chosen(&mut self) -> Result<Option<RunRow>, AppError> {
        let Some(store) = self.store else { return Ok(None) };
        let mut open =
            self.unfinished.iter().map(|unfinished| &unfinished.run).filter(|run| run.dag_id == *self.dag_id);
        let (run, why) = match (open.next(), open.count()) {
            (Some(only), 0) => (only.clone(), "the only one that has not ended".to_owned()),
            (Some(oldest), others) => (oldest.clone(), format!("the oldest of {} that have not ended", others + 1)),
            (None, _) => match store.run_started_last(self.dag_id)? {
                Some(run) => (run, "the one that started last: all have ended".to_owned()),
                None => return select::last_run(self.app, store, self.dag_id),
            },
        };
        let reason = format!("that of {}, {why}", self.named(&run)?);
        self.reasons.insert(0, Reason { subject: "run".to_owned(), reason, next: None, lag: None });
        Ok(Some(run))
    }

    fn run_for(&self, text: &str) -> Result<Option<RunRow>, AppError> {
        let Some(store) = self.store else { return Ok(None) };
        if let Some(run) = self.by_id(text)? {
            return Ok(Some(run));
        }
        let Ok(date) = parse_when(text, &self.zone) else {
            return Ok(Some(select::run(self.app, self.store, self.dag_id, Some(text))?));
        };
        let filter = RunFilter {
            dag_id: Some(self.dag_id.clone()),
            from: Some(date.first_instant(&self.zone)),
            to: Some(date.last_instant(&self.zone)),
            ..RunFilter::default()
        };
        Ok(store.runs(&filter)?.pop())
    }

    /// The date of a run, and its id where another run has the same date.
    fn named(&self, run: &RunRow) -> Result<String, AppError> {
        let date = minute(run.logical_date, &self.zone);
        let at = Some(run.logical_date);
        let of_date =
            RunFilter { dag_id: Some(run.dag_id.clone()), from: at, to: at, limit: Some(2), ..RunFilter::default() };
        let is_alone = self.store.map_or(Ok(Vec::new()), |store| store.runs(&of_date))?.len() < 2;
        Ok(if is_alone { date } else { format!("{date} ({})", run.run_id) })
    }

    fn row(&self, number: RunNumber) -> Result<Option<RunRow>, AppError> {
        let Some(store) = self.store else { return Ok(None) };
        Ok(store.run(number)?)
    }

    fn run_id(&self, number: RunNumber) -> Result<Option<String>, AppError> {
        Ok(self.row(number)?.map(|run| run.run_id))
    }

    fn date_of(&self, number: RunNumber) -> Result<String, AppError> {
        // A run that is deleted in this moment has no date any more.
        Ok(self.row(number)?.map(|run| minute(run.logical_date, &self.app.zone_of(&run.dag_id))).unwrap_or_default())
    }
}

/// What to type.
#[allow(clippy::unnecessary_wraps)] // it goes where there may be nothing to type
fn command(arguments: impl fmt::Display) -> Option<NextStep> {
    Some(NextStep::crondag(arguments))
}

/// What repairs a run in which something failed, or says what does: where a check alone failed, that is for a diagnosis to say.
fn repair(run: &RunRow, dag: Option<&Dag>, instances: &[TaskInstance]) -> Option<NextStep> {
    let diagnosis = dag.and_then(|dag| diagnosis(run, dag, instances));
    diagnosis.or_else(|| command(format_args!("clear {} {} --failed", run.dag_id, run.run_id)))
}

/// What says what repairs a run in which a check alone failed.
pub(crate) fn diagnosis(run: &RunRow, dag: &Dag, instances: &[TaskInstance]) -> Option<NextStep> {
    let state = |id: &TaskId| Some(instances.iter().find(|instance| instance.task_id == *id)?.state);
    let check = check_to_diagnose(dag, state)?;
    command(format_args!("diagnose {} {check} {}", run.dag_id, run.run_id))
}
