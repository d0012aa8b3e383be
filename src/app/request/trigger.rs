//! A run by hand.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::range::{self, LeftOut, Outside};
use crate::app::params;
use crate::app::times::{Moment, minute};
use crate::app::{App, AppError, select};
use crate::dag::schedule::DataInterval;
use crate::dag::{Dag, DagId, RunNumber, RunState, RunType};
use crate::runner::planner;
use crate::store::NewRun;

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct TriggerRequest {
    /// The DAG, as somebody typed it.
    pub dag: String,
    /// The logical date; without one, that of the latest complete interval.
    pub date: Option<String>,
    /// Overrides of its params, `name=value`.
    pub params: Vec<String>,
    /// Also beyond `start_date` and `end_date`.
    pub ignore_bounds: bool,
}

/// What will be recorded.
#[derive(Debug, Clone, Serialize)]
pub struct TriggerPlan {
    pub dag_id: DagId,
    /// The start of the run's data interval.
    pub logical_date: Moment,
    pub data_interval_end: Moment,
    /// Whether the interval has begun: nobody means a run of the future without a second thought.
    pub has_begun: bool,
    /// Whether its data are complete.
    pub has_ended: bool,
    /// Overrides of the DAG's params.
    pub params: BTreeMap<String, Value>,
    #[serde(skip)]
    dag: Dag,
}

/// What was recorded.
#[derive(Debug, Clone, Serialize)]
pub struct TriggerReceipt {
    pub dag_id: DagId,
    pub run_id: String,
    /// Always manual.
    pub run_type: RunType,
    /// The start of its data interval.
    pub logical_date: Moment,
    pub state: RunState,
    #[serde(skip)]
    pub number: RunNumber,
    /// Whether the driver was told.
    #[serde(skip)]
    pub driver: Result<(), AppError>,
}

/// Works out what would be recorded.
///
/// # Errors
/// No such DAG, interval or param; the interval lies beyond `start_date` or `end_date`.
pub fn plan(app: &App, request: &TriggerRequest) -> Result<TriggerPlan, AppError> {
    let dag = app.dag(&request.dag)?;
    let params = params::parse(&dag, &request.params)?;
    let interval = match &request.date {
        Some(date) => select::interval(&dag, date)?,
        None => dag.timetable().latest_interval(app.now).ok_or_else(|| {
            AppError::usage(
                format!("{} has no complete data interval yet: its start_date is not over", dag.id),
                format!("crondag next {}, or name a date with --date", dag.id),
            )
        })?,
    };
    match range::outside(&dag, &interval, app.now) {
        Some(why @ (Outside::BeforeStartDate | Outside::AfterEndDate)) if !request.ignore_bounds => {
            let left_out = LeftOut::new(&dag, &interval, why);
            let side = if why == Outside::BeforeStartDate { "before the start_date" } else { "after the end_date" };
            return Err(AppError::usage(
                format!(
                    "the data interval from {} lies {side} of {} ({})",
                    left_out.logical_date.minute(),
                    dag.id,
                    left_out.bound.minute()
                ),
                "give --ignore-bounds to run it all the same",
            ));
        }
        Some(Outside::BeforeStartDate | Outside::AfterEndDate | Outside::NotEnded) | None => {}
    }
    Ok(TriggerPlan {
        dag_id: dag.id.clone(),
        logical_date: Moment::new(interval.start, &dag.timezone),
        data_interval_end: Moment::new(interval.end, &dag.timezone),
        has_begun: interval.start <= app.now,
        has_ended: interval.end <= app.now,
        params,
        dag,
    })
}

/// Records the run and wakes the driver.
///
/// # Errors
/// The database.
pub fn apply(app: &App, plan: TriggerPlan) -> Result<TriggerReceipt, AppError> {
    let mut store = app.store_for_writing()?;
    let write = store.write()?;
    app.keep_version(&write, &plan.dag)?;
    let interval = DataInterval { start: plan.logical_date.at, end: plan.data_interval_end.at };
    let run = manual_run(app, &plan.dag, interval, &plan.params);
    let created = planner::create_run(&write, run.clone(), &plan.dag.timezone, app.now)?;
    let (number, run_id) = created.ok_or_else(|| has_got_a_run(&plan.dag, interval))?;
    write.commit()?;
    Ok(TriggerReceipt {
        dag_id: run.dag_id,
        run_id,
        run_type: run.run_type,
        logical_date: plan.logical_date,
        state: RunState::Queued,
        number,
        driver: app.wake_driver(),
    })
}

/// Somebody was faster.
pub(super) fn has_got_a_run(dag: &Dag, interval: DataInterval) -> AppError {
    let date = minute(interval.start, &dag.timezone);
    AppError::usage(format!("{} has got a run for {date} meanwhile", dag.id), format!("crondag runs {}", dag.id))
}

/// A run that takes no other's place.
pub(super) fn manual_run(app: &App, dag: &Dag, interval: DataInterval, params: &BTreeMap<String, Value>) -> NewRun {
    NewRun {
        dag_id: dag.id.clone(),
        run_id: planner::manual_run_id(interval.start, &dag.timezone, app.now),
        run_type: RunType::Manual,
        logical_date: interval.start,
        data_interval_end: interval.end,
        params: params.clone(),
        selection: None,
        backfill_id: None,
    }
}
