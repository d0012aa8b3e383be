//! What checks have recorded: values with their verdicts and histories.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::app::times::Moment;
use crate::app::{App, AppError, select};
use crate::dag::pattern::matches;
use crate::dag::{DagId, TaskId, Verdict};
use crate::store::{CheckFilter, CheckRow, CheckValue, Store};

/// How many earlier values of a metric are told.
const HISTORY: u32 = 14;

/// Which checks are asked for.
#[derive(Debug, Clone, Default)]
pub struct ChecksQuestion {
    /// Only this check.
    pub task: Option<String>,
    /// Only keys that match; `*` and `?` stand for any characters.
    pub key: Option<String>,
    /// All dates from this one on; without it only each check's newest date.
    pub since: Option<String>,
    /// Whether each value is to come with its earlier ones: a query for each date.
    pub with_history: bool,
}

/// A value of a check.
#[derive(Debug, Clone, Serialize)]
pub struct ValueAnswer {
    pub dag_id: DagId,
    pub task_id: TaskId,
    /// The date that it is about.
    pub ds: String,
    /// The start of the run's data interval.
    pub logical_date: Moment,
    /// What was measured.
    pub key: String,
    /// Which figure of it.
    pub metric: String,
    pub value: Option<f64>,
    /// What it was compared with.
    pub baseline: Option<f64>,
    /// What the check says of it.
    pub verdict: Verdict,
    /// Why.
    pub reason: Option<String>,
    /// Its earlier values, oldest first, and it.
    #[serde(skip)]
    pub history: Vec<f64>,
}

/// A check of a date.
#[derive(Debug, Clone)]
pub struct CheckAnswer {
    pub task_id: TaskId,
    pub ds: String,
    /// What it says of the whole.
    pub verdict: Verdict,
    /// What it found, in words.
    pub findings: Vec<String>,
    /// The values that were asked for.
    pub values: Vec<ValueAnswer>,
}

/// The checks that are asked for, oldest first.
///
/// # Errors
/// The task's name or the date makes no sense, or the database.
pub fn checks(app: &App, dag_id: &DagId, question: &ChecksQuestion) -> Result<Vec<CheckAnswer>, AppError> {
    let zone = app.zone_of(dag_id);
    let task_id = match &question.task {
        None => None,
        Some(name) => Some(TaskId::new(name).map_err(|error| {
            AppError::usage(format!("`{name}` is no task: {error}"), format!("crondag checks {dag_id}"))
        })?),
    };
    let since = question.since.as_deref().map(|text| select::date(text, &zone)).transpose()?;
    let Some(store) = app.store()? else { return Ok(Vec::new()) };
    let filter = CheckFilter { task_id, since: since.map(|when| when.first_instant(&zone)), ..CheckFilter::default() };
    let mut found = store.checks(dag_id, &filter)?;
    if question.since.is_none() {
        let mut seen = BTreeSet::new();
        found.retain(|check| seen.insert(check.task_id.clone()));
    }
    found.reverse();
    found.iter().map(|check| answer(app, &store, check, question)).collect()
}

fn answer(app: &App, store: &Store, check: &CheckRow, question: &ChecksQuestion) -> Result<CheckAnswer, AppError> {
    let zone = app.zone_of(&check.dag_id);
    let mut values = store.check_values(&check.dag_id, &check.task_id, check.logical_date)?;
    values.retain(|value| question.key.as_deref().is_none_or(|pattern| matches(pattern, &value.key)));
    let mut history = if question.with_history { earlier_values(store, check)? } else { BTreeMap::new() };
    let values = values.into_iter().map(|value| {
        // A value without earlier ones begins its line.
        let mut line = history.remove(&(value.key.clone(), value.metric.clone())).unwrap_or_default();
        line.extend(value.value);
        let CheckValue { key, metric, value, baseline, verdict, reason } = value;
        ValueAnswer {
            dag_id: check.dag_id.clone(),
            task_id: check.task_id.clone(),
            ds: check.ds.clone(),
            logical_date: Moment::new(check.logical_date, &zone),
            key,
            metric,
            value,
            baseline,
            verdict,
            reason,
            history: line,
        }
    });
    Ok(CheckAnswer {
        values: values.collect(),
        task_id: check.task_id.clone(),
        ds: check.ds.clone(),
        verdict: check.verdict,
        findings: check.findings.clone(),
    })
}

/// By key and metric, oldest first.
fn earlier_values(store: &Store, check: &CheckRow) -> Result<BTreeMap<(String, String), Vec<f64>>, AppError> {
    let filter = CheckFilter::before(&check.task_id, check.logical_date, HISTORY);
    let mut history: BTreeMap<(String, String), Vec<f64>> = BTreeMap::new();
    for earlier in store.checks(&check.dag_id, &filter)?.iter().rev() {
        for value in store.check_values(&check.dag_id, &check.task_id, earlier.logical_date)? {
            if let Some(number) = value.value {
                history.entry((value.key, value.metric)).or_default().push(number);
            }
        }
    }
    Ok(history)
}
