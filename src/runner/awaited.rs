//! Whether another DAG has succeeded for the date of a waiting run.

use crate::dag::schedule::{DataInterval, Timetable};
use crate::dag::{Dag, DagId, RunState, TaskState};
use crate::runner::engine::Look;
use crate::store::{Store, StoreError};

/// The run of another DAG that is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Awaited<'a> {
    /// The other DAG.
    pub dag: &'a str,
    /// One of its tasks; the whole run when `None`.
    pub task: Option<&'a str>,
    /// The date is shifted by so many intervals of the waiting DAG.
    pub offset: i32,
}

/// Looks at the runs of the other DAG that match the interval of the waiting one: the run of the same logical date where its
/// schedule has one, else all whose logical date lies on the same local date. `load` gives a version of a DAG, or why not.
///
/// # Errors
/// The database cannot be read.
pub fn look<D: AsRef<Dag>>(
    store: &Store,
    own: &Dag,
    interval: DataInterval,
    awaited: &Awaited<'_>,
    load: impl FnOnce(i64) -> Result<Result<D, String>, StoreError>,
) -> Result<Look, StoreError> {
    let timetable = Timetable::of(own);
    let mut interval = interval;
    for _ in 0..awaited.offset.unsigned_abs() {
        let shifted = if awaited.offset < 0 { timetable.before(&interval) } else { timetable.after(&interval) };
        match shifted {
            Some(shifted) => interval = shifted,
            None => return Ok(Look::Failed(format!("there is no date {} intervals away", awaited.offset))),
        }
    }
    let unknown = || Look::Failed(format!("there is no DAG `{}`: see `crondag list_dags`", awaited.dag));
    let Ok(dag_id) = DagId::new(awaited.dag) else { return Ok(unknown()) };
    let Some(version) = store.dag(&dag_id)?.and_then(|row| row.version_id) else { return Ok(unknown()) };
    let other = match load(version)? {
        Ok(other) => other,
        Err(reason) => return Ok(Look::Failed(format!("DAG {dag_id}: {reason}"))),
    };
    let other = other.as_ref();
    if let Some(task) = awaited.task
        && other.task_index(task).is_none()
    {
        return Ok(Look::Failed(format!("DAG {dag_id} has no task `{task}`: see `crondag list_tasks {dag_id}`")));
    }
    let ds = interval.start.to_zoned(own.timezone.clone()).date();
    let theirs = Timetable::of(other);
    let mut matching: Vec<DataInterval> = theirs.intervals_from(interval.start, interval.start).collect();
    if matching.is_empty() {
        matching = theirs.on_date(ds);
    }
    if matching.is_empty() {
        return Ok(Look::Failed(format!("DAG {dag_id} has no run for {ds}: no interval of its schedule begins then")));
    }
    for interval in matching {
        if !has_succeeded(store, &dag_id, awaited.task, &interval)? {
            let what =
                awaited.task.map_or_else(|| format!("DAG {dag_id}"), |task| format!("task {task} of DAG {dag_id}"));
            let date = interval.start.to_zoned(other.timezone.clone()).strftime("%Y-%m-%d %H:%M").to_string();
            return Ok(Look::NotYet(format!("{what} of {date}")));
        }
    }
    Ok(Look::Found)
}

fn has_succeeded(
    store: &Store,
    dag_id: &DagId,
    task: Option<&str>,
    interval: &DataInterval,
) -> Result<bool, StoreError> {
    let Some(run) = store.interval_run(dag_id, *interval)? else { return Ok(false) };
    let Some(task) = task else { return Ok(run.state == RunState::Success) };
    let is_done = |instance: &crate::store::TaskInstance| {
        instance.task_id.as_str() == task && instance.state == TaskState::Success
    };
    Ok(store.task_instances(run.number)?.iter().any(is_done))
}

/// Looks at a gate on a date.
///
/// # Errors
/// The database cannot be read.
pub fn look_at_gate(store: &Store, gate: &str, ds: &str) -> Result<Look, StoreError> {
    Ok(match store.gate(gate, ds)? {
        Some(found) if found.verdict() != crate::dag::Verdict::Fail => Look::Found,
        _ => Look::NotYet(format!("gate {gate} of {ds}")),
    })
}
