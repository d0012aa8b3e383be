//! Which runs there are, and how they stand.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use serde::Serialize;
use serde_json::Value;

use crate::app::select::Excerpt;
use crate::app::times::{Moment, elapsed};
use crate::app::{App, AppError};
use crate::dag::{DagId, Failures, RunNumber, RunState, RunType};
use crate::store::{RunFilter, RunRow, Store};

/// Which runs are asked for.
#[derive(Debug, Clone, Default)]
pub struct RunsQuestion {
    /// Of this DAG.
    pub dag_id: Option<DagId>,
    /// In this state.
    pub state: Option<RunState>,
    /// In which a task failed, whatever the run's state.
    pub failed_tasks: bool,
    /// Which part of the history, in the zone of the DAG, or of the home.
    pub excerpt: Excerpt,
}

/// A run.
#[derive(Debug, Clone, Serialize)]
pub struct RunAnswer {
    #[serde(skip)]
    pub number: RunNumber,
    pub dag_id: DagId,
    /// Unique within the DAG.
    pub run_id: String,
    /// Who asked for it.
    pub run_type: RunType,
    /// The data interval's start.
    pub logical_date: Moment,
    pub state: RunState,
    /// When it was created, or reopened.
    pub queued_at: Moment,
    pub start_date: Option<Moment>,
    pub end_date: Option<Moment>,
    /// When it began and ended before somebody first took it up again; `start_date` and `end_date` are those of the last time.
    pub first_start_date: Option<Moment>,
    pub first_end_date: Option<Moment>,
    pub data_interval_end: Moment,
    /// Tasks that are `failed`: a run may succeed in spite of them.
    pub failed_tasks: u32,
    /// Tasks that are `upstream_failed`: they did not run because of those.
    pub upstream_failed_tasks: u32,
    /// Why it failed or was skipped.
    pub reason: Option<String>,
    /// The params that it was given in place of the DAG's.
    pub params: BTreeMap<String, Value>,
}

impl RunAnswer {
    /// A row of the database, and what its tasks say.
    pub(crate) fn new(app: &App, store: &Store, run: &RunRow) -> Result<RunAnswer, AppError> {
        let zone = app.zone_of(&run.dag_id);
        let has_begun = run.start_date.is_some();
        let failures = if has_begun { store.state_counts(run.number)?.failures } else { Failures::default() };
        Ok(RunAnswer {
            number: run.number,
            dag_id: run.dag_id.clone(),
            run_id: run.run_id.clone(),
            run_type: run.run_type,
            logical_date: Moment::new(run.logical_date, &zone),
            state: run.state,
            queued_at: Moment::new(run.queued_at, &zone),
            start_date: run.start_date.map(|at| Moment::new(at, &zone)),
            end_date: run.end_date.map(|at| Moment::new(at, &zone)),
            first_start_date: run.first.map(|(start, _)| Moment::new(start, &zone)),
            first_end_date: run.first.map(|(_, end)| Moment::new(end, &zone)),
            data_interval_end: Moment::new(run.data_interval_end, &zone),
            failed_tasks: failures.failed,
            upstream_failed_tasks: failures.upstream_failed,
            reason: run.reason.clone(),
            params: run.params.clone(),
        })
    }

    /// The same to the microsecond, to compare by.
    fn exact_duration(&self, app: &App) -> Option<SignedDuration> {
        let start = self.start_date.as_ref()?;
        Some(self.end_date.as_ref().map_or(app.now, |end| end.at).duration_since(start.at))
    }

    /// How long it has taken so far; `None` before it started.
    pub fn duration(&self, app: &App) -> Option<Duration> {
        let start = self.start_date.as_ref()?;
        Some(elapsed(start.at, self.end_date.as_ref().map_or(app.now, |end| end.at)))
    }

    /// How long it took before somebody first took it up again.
    pub fn first_duration(&self) -> Option<Duration> {
        Some(elapsed(self.first_start_date.as_ref()?.at, self.first_end_date.as_ref()?.at))
    }

    /// Its tasks that failed, or did not run because of that.
    pub fn failures(&self) -> Failures {
        Failures { failed: self.failed_tasks, upstream_failed: self.upstream_failed_tasks }
    }

    /// Whether there is a failure to be seen. One that was stopped before it began has nothing to show.
    pub fn needs_attention(&self) -> bool {
        (self.state == RunState::Failed && self.start_date.is_some()) || self.failures().any()
    }

    /// The same where the state does not say so by itself: the run succeeded, or goes on, in spite of them.
    pub fn failures_despite_state(&self) -> Option<Failures> {
        let hides = match self.state {
            RunState::Success | RunState::Running | RunState::Queued => true,
            RunState::Failed | RunState::Skipped => false,
        };
        Some(self.failures()).filter(|failures| hides && failures.any())
    }
}

/// The runs that are asked for, oldest first.
///
/// # Errors
/// The database.
pub fn runs(app: &App, question: &RunsQuestion) -> Result<Vec<RunAnswer>, AppError> {
    let Some(store) = app.store()? else { return Ok(Vec::new()) };
    let zone = question.dag_id.as_ref().map_or_else(|| app.default_zone(), |dag_id| app.zone_of(dag_id));
    let (since, until) = question.excerpt.span(&zone, app.now)?;
    let filter = RunFilter {
        dag_id: question.dag_id.clone(),
        state: question.state,
        going_since: since,
        going_until: until,
        failed_tasks: question.failed_tasks,
        limit: question.excerpt.newest(),
        ..RunFilter::default()
    };
    let runs = store.runs(&filter)?;
    let mut answers: Vec<RunAnswer> =
        runs.iter().map(|run| RunAnswer::new(app, &store, run)).collect::<Result<_, _>>()?;
    if let Some(count) = question.excerpt.slowest {
        answers.retain(|run| run.start_date.is_some());
        answers.sort_by_key(|run| Reverse(run.exact_duration(app)));
        answers.truncate(count);
    }
    Ok(answers)
}

/// The runs with these numbers; one that is gone is left out.
///
/// # Errors
/// The database.
pub fn by_number(app: &App, numbers: &[RunNumber]) -> Result<Vec<RunAnswer>, AppError> {
    let Some(store) = app.store()? else { return Ok(Vec::new()) };
    let rows = numbers.iter().map(|number| store.run(*number));
    let rows: Vec<RunRow> = rows.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    rows.iter().map(|run| RunAnswer::new(app, &store, run)).collect()
}
