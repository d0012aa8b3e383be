//! Every attempt that a DAG has made: what it cost, and how it ended.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::Serialize;

use crate::app::select::Excerpt;
use crate::app::times::{Moment, elapsed};
use crate::app::{App, AppError};
use crate::dag::{DagId, TaskId};
use crate::runner::attempt::Ending;
use crate::store::{Attempt, AttemptFilter, RunRow};

/// Which attempts are asked for.
#[derive(Debug, Clone)]
pub struct HistoryQuestion {
    /// Of this DAG.
    pub dag_id: DagId,
    /// Of this task; it may be one that the DAG no longer has.
    pub task: Option<String>,
    /// Which part of the history, in the zone of the DAG.
    pub excerpt: Excerpt,
}

/// One execution of a task.
#[derive(Debug, Clone, Serialize)]
pub struct PastAttempt {
    pub dag_id: DagId,
    pub run_id: String,
    /// The start of the run's data interval.
    pub logical_date: Moment,
    pub task_id: TaskId,
    /// Which attempt of the task it is; the first is 1.
    pub try_number: u32,
    pub start_date: Moment,
    /// When its end was recorded; `None` while it lives.
    pub end_date: Option<Moment>,
    /// From start to end, or until now, in seconds.
    pub duration: f64,
    /// How long it had waited for a slot alone before it started, in seconds; `None` where that is not known.
    pub queue_time: Option<f64>,
    /// The machine that it ran on; `None` where that is not known.
    pub host: Option<String>,
    /// Of all its processes, in seconds; known once it has ended.
    pub cpu_seconds: Option<f64>,
    /// Of its largest process, in bytes; known once it has ended.
    pub max_rss_bytes: Option<u64>,
    /// How it ended, in words; `None` while it lives.
    pub outcome: Option<String>,
    /// Whether it failed: it ended, neither with exit status 0 nor with the one that skips its task.
    pub has_failed: bool,
    /// Its log, below the home.
    pub log_file: String,
}

/// The attempts that a question means, in the order in which they started, or the slowest first.
///
/// # Errors
/// The database.
pub fn history(app: &App, question: &HistoryQuestion) -> Result<Vec<PastAttempt>, AppError> {
    let Some(store) = app.store()? else { return Ok(Vec::new()) };
    let (since, until) = question.excerpt.span(&app.zone_of(&question.dag_id), app.now)?;
    let filter = AttemptFilter {
        dag_id: question.dag_id.clone(),
        task: question.task.clone(),
        going_since: since,
        going_until: until,
        limit: question.excerpt.newest(),
    };
    let mut attempts = store.attempts_of_dag(&filter)?;
    if let Some(count) = question.excerpt.slowest {
        attempts.sort_by_key(|attempt| Reverse(attempt.ended_at.unwrap_or(app.now).duration_since(attempt.started_at)));
        attempts.truncate(count);
    }
    let mut runs = BTreeMap::new();
    for attempt in &attempts {
        if let Entry::Vacant(vacant) = runs.entry(attempt.run) {
            vacant.insert(store.run(attempt.run)?);
        }
    }
    // A run that is deleted in this moment takes its attempts with it.
    let of_run = |attempt: Attempt| Some(answer(app, runs.get(&attempt.run)?.as_ref()?, attempt));
    Ok(attempts.into_iter().filter_map(of_run).collect())
}

fn answer(app: &App, run: &RunRow, attempt: Attempt) -> PastAttempt {
    let zone = app.zone_of(&run.dag_id);
    let end = attempt.ended_at.unwrap_or(app.now);
    let ending = attempt.ending.as_deref().map(Ending::read);
    let outcome = match (&ending, attempt.ended_at) {
        (Some(Some(ending)), _) => Some(ending.to_string()),
        (Some(None) | None, Some(_)) => Some("how it ended is not known".to_owned()),
        (Some(None) | None, None) => None,
    };
    PastAttempt {
        dag_id: run.dag_id.clone(),
        run_id: run.run_id.clone(),
        logical_date: Moment::new(run.logical_date, &zone),
        task_id: attempt.task_id,
        try_number: attempt.try_number,
        start_date: Moment::new(attempt.started_at, &zone),
        end_date: attempt.ended_at.map(|at| Moment::new(at, &zone)),
        duration: elapsed(attempt.started_at, end).as_secs_f64(),
        queue_time: attempt.ready_at.map(|at| elapsed(at, attempt.started_at).as_secs_f64()),
        host: attempt.host,
        cpu_seconds: attempt.cpu_seconds,
        max_rss_bytes: attempt.max_rss_bytes,
        outcome,
        has_failed: ending.flatten().is_some_and(|ending| ending.has_failed()),
        log_file: attempt.log_file,
    }
}
