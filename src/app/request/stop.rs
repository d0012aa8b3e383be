//! Ending runs.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::app::query::ending::{EndingAttempt, ending};
use crate::app::times::Moment;
use crate::app::{App, AppError, select};
use crate::dag::{DagId, RunNumber, RunState};
use crate::runner::client::{self, Driver};
use crate::store::{Intent, RunRow};

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct StopRequest {
    /// The DAG, as somebody typed it.
    pub dag: String,
    /// The run's logical date, or its id; `None` means all that have not ended.
    pub run: Option<String>,
    /// Without grace, also what was told to end before.
    pub at_once: bool,
}

/// A run that will be ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoppedRun {
    pub run_id: String,
    /// The start of its data interval.
    pub logical_date: Moment,
    /// How it stands: a queued one ends without having begun, and is no failure.
    pub state: RunState,
    #[serde(skip)]
    number: RunNumber,
}

/// What will be ended.
#[derive(Debug, Clone, Serialize)]
pub struct StopPlan {
    pub dag_id: DagId,
    /// The runs, oldest first.
    pub runs: Vec<StoppedRun>,
    /// Attempts that were told to end before and are killed now.
    pub killed: Vec<EndingAttempt>,
    #[serde(skip)]
    at_once: bool,
}

impl StopPlan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.killed.is_empty()
    }
}

/// What was recorded.
#[derive(Debug, Clone, Serialize)]
pub struct StopReceipt {
    pub dag_id: DagId,
    /// Runs that the driver was asked to end.
    pub runs: Vec<StoppedRun>,
    /// Runs that ended by themselves meanwhile, or are gone.
    pub ended_before: Vec<StoppedRun>,
    /// Whether the driver was told.
    #[serde(skip)]
    pub driver: Result<(), AppError>,
}

/// Works out which runs would be ended.
///
/// # Errors
/// No such DAG or run.
pub fn plan(app: &App, request: &StopRequest) -> Result<StopPlan, AppError> {
    let dag_id = app.dag_id(&request.dag)?;
    let store = app.store()?;
    let candidates: Vec<RunRow> = match (&request.run, &store) {
        (Some(text), store) => vec![select::run(app, store.as_ref(), &dag_id, Some(text))?],
        (None, Some(store)) => {
            let runs = store.unfinished_runs()?.into_iter().map(|unfinished| unfinished.run);
            runs.filter(|run| run.dag_id == dag_id).collect()
        }
        (None, None) => Vec::new(),
    };
    let asked: Vec<RunNumber> = candidates.iter().map(|run| run.number).collect();
    let zone = app.zone_of(&dag_id);
    let runs = candidates.into_iter().filter(|run| !run.state.is_final()).map(|run| StoppedRun {
        logical_date: Moment::new(run.logical_date, &zone),
        run_id: run.run_id,
        state: run.state,
        number: run.number,
    });
    let runs = runs.collect();
    let mut killed = match &store {
        Some(store) if request.at_once => ending(app, store)?,
        Some(_) | None => Vec::new(),
    };
    killed.retain(|attempt| request.run.is_none() || asked.contains(&attempt.run));
    killed.retain(|attempt| attempt.dag_id == dag_id);
    Ok(StopPlan { dag_id, runs, killed, at_once: request.at_once })
}

/// What is left of stopped runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StopProgress {
    /// Runs that the driver has not ended yet.
    pub runs: usize,
    /// Attempts whose processes still live.
    pub ending: Vec<EndingAttempt>,
    /// Whether a driver is there to end them.
    pub has_driver: bool,
}

impl StopProgress {
    /// Whether nothing of the runs lives any more.
    pub fn is_over(&self) -> bool {
        self.runs == 0 && self.ending.is_empty()
    }
}

/// How far a stop has come: of these runs, and of what else of the DAG was told to end before.
///
/// # Errors
/// The database.
pub fn progress(app: &App, dag_id: &DagId, runs: &[StoppedRun]) -> Result<StopProgress, AppError> {
    // Asked first: what a driver has written that has ended since is found below.
    let has_driver = matches!(client::driver(&app.home), Driver::Running { .. });
    let Some(store) = app.store()? else { return Ok(StopProgress { runs: 0, ending: Vec::new(), has_driver }) };
    let mut open = 0;
    for run in runs {
        open += usize::from(store.run(run.number)?.is_some_and(|known| !known.state.is_final()));
    }
    let mut ending = ending(app, &store)?;
    ending.retain(|attempt| attempt.dag_id == *dag_id);
    Ok(StopProgress { runs: open, ending, has_driver })
}

/// Asks the driver to end these runs, and wakes it.
///
/// # Errors
/// The database.
pub fn apply(app: &App, plan: StopPlan, by: &str) -> Result<StopReceipt, AppError> {
    let mut store = app.store_for_writing()?;
    let write = store.write()?;
    let (mut runs, mut ended_before) = (Vec::new(), Vec::new());
    for run in plan.runs {
        let is_over = write.run(run.number)?.is_none_or(|known| known.state.is_final());
        if is_over { ended_before.push(run) } else { runs.push(run) }
    }
    let numbers: BTreeSet<RunNumber> =
        runs.iter().map(|run| run.number).chain(plan.killed.iter().map(|attempt| attempt.run)).collect();
    for run in numbers {
        write.ask(&Intent::Stop { run, by: by.to_owned(), at_once: plan.at_once }, app.now)?;
    }
    write.commit()?;
    Ok(StopReceipt { dag_id: plan.dag_id, runs, ended_before, driver: app.wake_driver() })
}
