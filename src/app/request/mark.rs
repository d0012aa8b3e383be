//! Setting states by hand: of tasks of a run, or of a data interval that has none, which is recorded without being run.

use std::collections::BTreeMap;

use serde::Serialize;

use super::backfill::interval_run;
use super::must_be_there;
use super::range::{self, Outside};
use super::trigger::has_got_a_run;
use crate::app::query::tasks::tasks_of;
use crate::app::times::{Moment, minute};
use crate::app::{App, AppError, select};
use crate::dag::schedule::DataInterval;
use crate::dag::{Dag, DagId, RunNumber, TaskId, TaskState};
use crate::runner::engine::recorded;
use crate::runner::planner;
use crate::store::{Intent, RunFilter, RunRow, Store};

/// A state that somebody may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// As if it had succeeded.
    Success,
    /// As if it had failed.
    Failed,
    /// As if it had nothing to do.
    Skipped,
}

impl Mark {
    /// The state of a task that is marked so.
    pub fn state(self) -> TaskState {
        match self {
            Mark::Success => TaskState::Success,
            Mark::Failed => TaskState::Failed,
            Mark::Skipped => TaskState::Skipped,
        }
    }
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct MarkRequest {
    /// The DAG, as somebody typed it.
    pub dag: String,
    /// The run's logical date, or its id.
    pub run: String,
    pub mark: Mark,
    /// These tasks; none means every task that has not ended.
    pub tasks: Vec<String>,
}

/// What will be set.
#[derive(Debug, Clone, Serialize)]
pub struct MarkPlan {
    pub dag_id: DagId,
    /// The run; `None` where the interval never ran: it will be recorded as if it had.
    pub run_id: Option<String>,
    /// The start of its data interval.
    pub logical_date: Moment,
    pub mark: Mark,
    /// The tasks that get it.
    pub tasks: Vec<TaskId>,
    #[serde(skip)]
    target: Target,
}

#[derive(Debug, Clone)]
enum Target {
    Tasks(RunNumber, String),
    OpenTasks(RunNumber, String),
    Interval(Box<Dag>, DataInterval),
}

/// What was recorded.
#[derive(Debug, Clone, Serialize)]
pub struct MarkReceipt {
    pub dag_id: DagId,
    pub run_id: String,
    /// The start of its data interval.
    pub logical_date: Moment,
    pub mark: Mark,
    /// The tasks that get it; none where all had ended, and none was named.
    pub tasks: Vec<TaskId>,
    /// Whether the run was made for it.
    pub was_created: bool,
    /// Whether the driver was told.
    #[serde(skip)]
    pub driver: Result<(), AppError>,
}

/// Works out what would be set.
///
/// # Errors
/// No such DAG, run, task or interval; an interval that has not ended.
pub fn plan(app: &App, request: &MarkRequest) -> Result<MarkPlan, AppError> {
    let dag_id = app.dag_id(&request.dag)?;
    let store = app.store()?;
    if let Some((dag, interval)) = unrecorded(app, store.as_ref(), &dag_id, request)? {
        return Ok(MarkPlan {
            logical_date: Moment::new(interval.start, &dag.timezone),
            run_id: None,
            mark: request.mark,
            tasks: dag.tasks.iter().map(|task| task.id.clone()).collect(),
            dag_id,
            target: Target::Interval(Box::new(dag), interval),
        });
    }
    let run = select::run(app, store.as_ref(), &dag_id, Some(&request.run))?;
    let known = match &store {
        Some(store) => tasks_of(app, store, &run)?,
        None => Vec::new(),
    };
    let named = request.tasks.iter().map(|name| {
        let task = known.iter().find(|task| task.task_id.as_str() == name);
        task.map(|task| task.task_id.clone()).ok_or_else(|| no_task(&dag_id, &run, name))
    });
    let named: Vec<TaskId> = named.collect::<Result<_, _>>()?;
    let open = known.iter().filter(|task| !task.state.is_final()).map(|task| task.task_id.clone());
    let (tasks, target) = if named.is_empty() {
        (open.collect(), Target::OpenTasks(run.number, run.run_id.clone()))
    } else {
        (named, Target::Tasks(run.number, run.run_id.clone()))
    };
    Ok(MarkPlan {
        logical_date: Moment::new(run.logical_date, &app.zone_of(&dag_id)),
        run_id: Some(run.run_id),
        mark: request.mark,
        tasks,
        dag_id,
        target,
    })
}

fn no_task(dag_id: &DagId, run: &RunRow, name: &str) -> AppError {
    AppError::usage(
        format!("the run {} has no task `{name}`", run.run_id),
        format!("crondag tasks {dag_id} {}", run.run_id),
    )
}

/// The interval that is meant, if it never ran and may be recorded.
fn unrecorded(
    app: &App,
    store: Option<&Store>,
    dag_id: &DagId,
    request: &MarkRequest,
) -> Result<Option<(Dag, DataInterval)>, AppError> {
    let zone = app.zone_of(dag_id);
    let Ok(when) = select::date(&request.run, &zone) else { return Ok(None) };
    let (first, last) = (when.first_instant(&zone), when.last_instant(&zone));
    let in_range =
        RunFilter { dag_id: Some(dag_id.clone()), from: Some(first), to: Some(last), ..RunFilter::default() };
    let runs = match store {
        Some(store) => store.runs(&in_range)?,
        None => Vec::new(),
    };
    // Without a file or an interval there is only the run to ask for, and the answer names those that are near.
    let Some(Ok(dag)) = app.find(dag_id) else { return Ok(None) };
    let intervals: Vec<DataInterval> = dag.timetable().intervals_from(first, last).take(2).collect();
    let Some(interval) = intervals.first().copied() else { return Ok(None) };
    // The whole interval of a schedule that has become coarser is meant where nothing is left to mark of those before.
    let is_behind = |run: &RunRow| run.state.is_final() && run.data_interval_end < interval.end;
    let is_whole = request.mark != Mark::Failed && request.tasks.is_empty() && intervals.len() == 1;
    let is_unrecorded = runs.is_empty() || (is_whole && runs.iter().all(is_behind));
    if !is_unrecorded {
        return Ok(None);
    }
    let date = minute(interval.start, &dag.timezone);
    if let Some(second) = intervals.get(1) {
        return Err(AppError::usage(
            format!("{} means several data intervals of {dag_id} that never ran", request.run),
            format!("name one by its time, such as {} or {}", short(&interval, &dag), short(second, &dag)),
        ));
    }
    if !request.tasks.is_empty() || request.mark == Mark::Failed {
        return Err(AppError::usage(
            format!(
                "{dag_id} has no run for {date}: without one, only the whole interval can be marked, as success or skipped"
            ),
            format!("crondag backfill -s {0} -e {0} {dag_id}, or crondag mark {dag_id} {0} skipped", request.run),
        ));
    }
    if range::outside(&dag, &interval, app.now) == Some(Outside::NotEnded) {
        return Err(AppError::usage(
            format!(
                "the data interval of {dag_id} from {date} ends at {}; only one that has ended can be marked",
                minute(interval.end, &dag.timezone)
            ),
            format!("crondag next {dag_id}"),
        ));
    }
    Ok(Some((dag, interval)))
}

fn short(interval: &DataInterval, dag: &Dag) -> String {
    interval.start.to_zoned(dag.timezone.clone()).strftime("%Y-%m-%dT%H:%M").to_string()
}

/// Asks the driver to set the states, or records the interval, and says who asked.
///
/// # Errors
/// The database; the interval has got a run meanwhile.
pub fn apply(app: &App, plan: MarkPlan, by: &str) -> Result<MarkReceipt, AppError> {
    let state = plan.mark.state();
    let mut store = app.store_for_writing()?;
    let write = store.write()?;
    let ask = |run: RunNumber, task: Option<TaskId>| {
        write.ask(&Intent::Mark { run, task, state, by: by.to_owned() }, app.now)
    };
    let run_id = match plan.target {
        Target::Interval(dag, interval) => {
            let version = app.keep_version(&write, &dag)?;
            let run = interval_run(&dag, interval, &BTreeMap::new());
            let created = planner::create_run(&write, run, &dag.timezone, app.now)?;
            let (number, run_id) = created.ok_or_else(|| has_got_a_run(&dag, interval))?;
            for transition in recorded(number, version, &plan.tasks, state, by) {
                write.apply(&transition, app.now)?;
            }
            // A driver may have runs that come after it and wait for the past.
            ask(number, None)?;
            run_id
        }
        Target::Tasks(run, run_id) => {
            must_be_there(&write, run, (&plan.dag_id, &run_id))?;
            for task in &plan.tasks {
                ask(run, Some(task.clone()))?;
            }
            run_id
        }
        Target::OpenTasks(run, run_id) => {
            must_be_there(&write, run, (&plan.dag_id, &run_id))?;
            ask(run, None)?;
            run_id
        }
    };
    write.commit()?;
    Ok(MarkReceipt {
        dag_id: plan.dag_id,
        run_id,
        logical_date: plan.logical_date,
        mark: plan.mark,
        tasks: plan.tasks,
        was_created: plan.run_id.is_none(),
        driver: app.wake_driver(),
    })
}
