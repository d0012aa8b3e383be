//! Every data interval of a range.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::range::{self, LeftOut, Outside};
use super::trigger::{has_got_a_run, manual_run};
use super::{lacking_above, repair_of};
use crate::app::params;
use crate::app::times::Moment;
use crate::app::{App, AppError, select};
use crate::dag::repair::RepairScope;
use crate::dag::schedule::DataInterval;
use crate::dag::{Dag, DagId, RunNumber, RunState, RunType, TaskId};
use crate::runner::planner;
use crate::store::{Intent, NewRun, Rerun as RerunIntent, RunRow, Store, TaskInstance, Write};

/// Which intervals that have a run already are done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rerun {
    /// None of them: they are left alone.
    #[default]
    None,
    /// Those in which a task failed, whatever their state: of them what [`RepairScope`] says.
    Repair(RepairScope),
    /// All of them, from the beginning.
    All,
}

/// Tasks that somebody named.
#[derive(Debug, Clone, Default)]
pub struct TaskChoice {
    /// Their names; none means all.
    pub only: Vec<String>,
    /// Also everything that they wait for.
    pub upstream: bool,
    /// Also everything that waits for them.
    pub downstream: bool,
}

impl TaskChoice {
    /// The tasks in the order of the file; `None` means all.
    ///
    /// # Errors
    /// The DAG has no task of a name.
    pub(super) fn tasks(&self, dag: &Dag) -> Result<Option<Vec<TaskId>>, AppError> {
        if self.only.is_empty() {
            return Ok(None);
        }
        let mut wanted = BTreeSet::new();
        for name in &self.only {
            let index = select::task(dag, name)?;
            wanted.insert(index);
            if self.upstream {
                wanted.extend(dag.graph.ancestors(index));
            }
            if self.downstream {
                wanted.extend(dag.graph.descendants(index));
            }
        }
        Ok(Some(wanted.into_iter().map(|index| dag.tasks[index].id.clone()).collect()))
    }
}

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct BackfillRequest {
    /// The DAG, as somebody typed it.
    pub dag: String,
    /// The first logical date.
    pub start: String,
    /// The last one, included.
    pub end: String,
    /// Which intervals are done again.
    pub rerun: Rerun,
    /// Only these tasks.
    pub tasks: TaskChoice,
    /// How many runs may go on at once; `None` means as many as the DAG says.
    pub max_active_runs: Option<u32>,
    /// Newest first.
    pub reverse: bool,
    /// Overrides of its params, `name=value`.
    pub params: Vec<String>,
    /// Run intervals that have not ended as manual runs.
    pub unfinished: bool,
    /// Also beyond `start_date` and `end_date`.
    pub ignore_bounds: bool,
}

/// What will be done about an interval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// It has no run yet.
    Create {
        /// `backfill`; `manual` of an interval that has not ended, whose scheduled run is still to come.
        run_type: RunType,
    },
    /// Its run has not ended: it goes on as part of this backfill.
    TakeUp {
        run_id: String,
        state: RunState,
        /// Tasks that it gets in addition.
        add: Vec<TaskId>,
    },
    /// Its run has ended, and starts again.
    Again {
        run_id: String,
        /// How it ended.
        state: RunState,
        /// Tasks that start as if they had never run.
        clear: Vec<TaskId>,
        /// Tasks that it gets in addition.
        add: Vec<TaskId>,
    },
    /// Its run has ended, and stays as it is.
    LeftAlone {
        run_id: String,
        /// How it ended.
        state: RunState,
    },
}

/// An interval of a backfill.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedRun {
    /// The interval's start.
    pub logical_date: Moment,
    /// The interval's end.
    pub data_interval_end: Moment,
    /// What will be done about it.
    #[serde(flatten)]
    pub action: Action,
    /// Tasks of its repair that the DAG no longer has: they cannot start again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<TaskId>,
    /// Tasks that it does not have, since they are new in the DAG, although tasks of its repair now wait for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lacking: Vec<TaskId>,
    #[serde(skip)]
    interval: DataInterval,
    #[serde(skip)]
    rerun: Option<RerunIntent>,
}

/// What a backfill will do.
#[derive(Debug, Clone, Serialize)]
pub struct BackfillPlan {
    pub dag_id: DagId,
    /// The tasks of a run that is created, in the order in which they may start.
    pub tasks: Vec<TaskId>,
    /// The intervals, in the order in which they run.
    pub runs: Vec<PlannedRun>,
    /// Intervals of the range that are left out.
    pub left_out: Vec<LeftOut>,
    #[serde(skip)]
    dag: Dag,
    #[serde(skip)]
    order: Order,
}

/// The parts of the request that outlive the planning.
#[derive(Debug, Clone)]
struct Order {
    rerun: Rerun,
    selection: Option<Vec<TaskId>>,
    /// What waits for a task that a run gets runs again in it.
    downstream: bool,
    max_active_runs: Option<u32>,
    reverse: bool,
    params: BTreeMap<String, Value>,
}

impl BackfillPlan {
    /// How many runs would do something.
    pub fn working(&self) -> usize {
        self.runs.iter().filter(|run| !matches!(run.action, Action::LeftAlone { .. })).count()
    }
}

/// What was recorded.
#[derive(Debug, Clone, Serialize)]
pub struct BackfillReceipt {
    pub backfill: i64,
    /// Runs that it waits for.
    pub runs: Vec<RunNumber>,
    /// The newest request to the driver: until it is carried out, states are those of before.
    pub request: Option<i64>,
    /// Runs that had ended and stay as they are.
    pub left_alone: Vec<RunNumber>,
    /// Intervals about which something else was done than the plan had said, because the world had changed.
    pub changed: Vec<PlannedRun>,
    /// Whether the driver was told.
    #[serde(skip)]
    pub driver: Result<(), AppError>,
}

/// Works out what would be done.
///
/// # Errors
/// No such DAG, task, param; a range without an interval that may run.
pub fn plan(app: &App, request: &BackfillRequest) -> Result<BackfillPlan, AppError> {
    let dag = app.dag(&request.dag)?;
    let intervals = range::intervals(&dag, &request.start, &request.end)?;
    let selection = request.tasks.tasks(&dag)?;
    let params = params::parse(&dag, &request.params)?;
    if request.reverse && dag.tasks.iter().any(|task| task.depends_on_past) {
        return Err(AppError::usage(
            format!("{} cannot run newest first: it has tasks with depends_on_past", dag.id),
            "leave --reverse out",
        ));
    }
    let (mut wanted, mut left_out) = (Vec::new(), Vec::new());
    for interval in intervals {
        match range::outside(&dag, &interval, app.now) {
            Some(why @ Outside::NotEnded) if !request.unfinished => left_out.push(LeftOut::new(&dag, &interval, why)),
            Some(why @ (Outside::BeforeStartDate | Outside::AfterEndDate)) if !request.ignore_bounds => {
                left_out.push(LeftOut::new(&dag, &interval, why));
            }
            // Beyond the bounds an interval may be unfinished as well.
            Some(Outside::BeforeStartDate | Outside::AfterEndDate) if interval.end > app.now && !request.unfinished => {
                left_out.push(LeftOut::new(&dag, &interval, Outside::NotEnded));
            }
            Some(_) | None => wanted.push(interval),
        }
    }
    if request.reverse {
        wanted.reverse();
    }
    let order = Order {
        rerun: request.rerun,
        selection,
        downstream: request.tasks.downstream,
        max_active_runs: request.max_active_runs,
        reverse: request.reverse,
        params,
    };
    let in_order = dag.graph.order().iter().map(|&index| dag.tasks[index].id.clone());
    let tasks = in_order.filter(|id| order.selection.as_ref().is_none_or(|only| only.contains(id))).collect();
    let store = app.store()?;
    let runs = wanted.into_iter().map(|interval| planned(app, store.as_ref(), &dag, &order, interval));
    let runs = runs.collect::<Result<_, _>>()?;
    Ok(BackfillPlan { dag_id: dag.id.clone(), tasks, runs, left_out, dag, order })
}

fn planned(
    app: &App,
    store: Option<&Store>,
    dag: &Dag,
    order: &Order,
    interval: DataInterval,
) -> Result<PlannedRun, AppError> {
    let known = match store {
        Some(store) => {
            let run = match store.interval_run(&dag.id, interval)? {
                None if interval.end > app.now => store.manual_run(&dag.id, interval)?,
                run => run,
            };
            run.map(|run| (store, run))
        }
        None => None,
    };
    let (mut removed, mut lacking) = (Vec::new(), Vec::new());
    let (action, rerun) = match known {
        None => {
            let run_type = if interval.end > app.now { RunType::Manual } else { RunType::Backfill };
            (Action::Create { run_type }, None)
        }
        // A running run keeps its version: it gets no task that this lacks.
        Some((store, run)) => {
            let instances = store.task_instances(run.number)?;
            let bound = if run.state == RunState::Running { app.dag_of_run(store, &run)? } else { None };
            let dag = bound.as_ref().unwrap_or(dag);
            let repair = match order.rerun {
                Rerun::Repair(scope) => repair_of(app, store, &run, &instances, dag, scope)?.into_keys().collect(),
                Rerun::None | Rerun::All => BTreeSet::new(),
            };
            let decided = decide(dag, order, &run, &instances, &repair);
            let is_whole = order.selection.is_none() && run.state.is_final() && run.state != RunState::Skipped;
            if is_whole && !repair.is_empty() {
                let is_gone = |task: &&TaskId| dag.task_index(task.as_str()).is_none();
                removed = repair.iter().filter(is_gone).cloned().collect();
                lacking = lacking_above(dag, &run, &instances, |task| repair.contains(task));
            }
            decided
        }
    };
    Ok(PlannedRun {
        logical_date: Moment::new(interval.start, &dag.timezone),
        data_interval_end: Moment::new(interval.end, &dag.timezone),
        action,
        removed,
        lacking,
        interval,
        rerun,
    })
}

/// What a backfill does about a run that is there.
fn decide(
    dag: &Dag,
    order: &Order,
    run: &RunRow,
    instances: &[TaskInstance],
    repair: &BTreeSet<TaskId>,
) -> (Action, Option<RerunIntent>) {
    let all = || dag.tasks.iter().map(|task| &task.id);
    let is_asked = |task: &&TaskId| order.selection.as_ref().is_none_or(|only| only.contains(task));
    let has = |task: &TaskId| instances.iter().any(|instance| instance.task_id == *task);
    let asked: Vec<TaskId> = all().filter(is_asked).cloned().collect();
    let (run_id, state) = (run.run_id.clone(), run.state);
    let mut params = run.params.clone();
    params.extend(order.params.clone());
    let intent = |clear: Vec<TaskId>, clear_all: bool, selection: Option<Vec<TaskId>>| {
        Some(RerunIntent { run: run.number, clear, clear_all, backfill: None, selection, params })
    };
    if !run.state.is_final() {
        // It runs what it was to run, and what is asked now.
        let (add, selection) = match &run.selection {
            None => (Vec::new(), None),
            Some(before) => {
                let add: Vec<TaskId> = asked.into_iter().filter(|task| !before.contains(task)).collect();
                let widened = before.iter().chain(&add).cloned().collect();
                (add, order.selection.as_ref().map(|_| widened))
            }
        };
        return (Action::TakeUp { run_id, state, add }, intent(Vec::new(), false, selection));
    }
    // A run that was ended before it began has no tasks, and begins like one that has just been created.
    let has_begun = !instances.is_empty();
    let lacking: Vec<TaskId> = asked.iter().filter(|task| !has(task)).cloned().collect();
    let selection = |add: &[TaskId]| {
        if has_begun { narrowed(dag, instances, add) } else { order.selection.clone() }
    };
    let is_named = order.selection.is_some();
    // Tasks that it has, and that are to work on what the added ones make.
    let built_on = |add: &[TaskId]| -> BTreeSet<&TaskId> {
        let added = add.iter().filter(|_| order.downstream).filter_map(|task| dag.task_index(task.as_str()));
        added.flat_map(|index| dag.graph.descendants(index)).map(|index| &dag.tasks[index].id).collect()
    };
    let again = |add: &[TaskId], repair: &BTreeSet<TaskId>| -> Vec<TaskId> {
        let below = built_on(add);
        let starts = |task: &&TaskId| repair.contains(*task) || (has(task) && below.contains(*task));
        asked.iter().filter(starts).cloned().collect()
    };
    match order.rerun {
        Rerun::All => {
            let clear: Vec<TaskId> = asked.iter().filter(|task| has(task)).cloned().collect();
            let request = if is_named {
                intent(clear.clone(), false, selection(&lacking))
            } else {
                intent(Vec::new(), true, None)
            };
            (Action::Again { run_id, state, clear, add: lacking }, request)
        }
        // One that was stopped before it began has no tasks: it begins now. One that gave its place to a newer one did not fail.
        Rerun::Repair(_)
            if state != RunState::Skipped
                && (asked.iter().any(|task| repair.contains(task)) || (state == RunState::Failed && !has_begun)) =>
        {
            let add = if has_begun && !is_named { Vec::new() } else { lacking };
            let clear = again(&add, repair);
            let request = intent(clear.clone(), false, selection(&add));
            (Action::Again { run_id, state, clear, add }, request)
        }
        // A run of a few tasks becomes whole, or gets the ones that are named now. A repair makes nothing whole that was right.
        Rerun::None | Rerun::Repair(_)
            if has_begun
                && !lacking.is_empty()
                && (is_named || (run.selection.is_some() && order.rerun == Rerun::None)) =>
        {
            let clear = again(&lacking, &BTreeSet::new());
            let request = intent(clear.clone(), false, selection(&lacking));
            (Action::Again { run_id, state, clear, add: lacking }, request)
        }
        Rerun::None | Rerun::Repair(_) => (Action::LeftAlone { run_id, state }, None),
    }
}

/// Records runs and requests in one transaction, and wakes the driver.
///
/// # Errors
/// The database.
pub fn apply(app: &App, mut plan: BackfillPlan) -> Result<BackfillReceipt, AppError> {
    let mut store = app.store_for_writing()?;
    let mut changed = BTreeMap::new();
    loop {
        let write = store.write()?;
        let stale = stale(app, &write, &plan)?;
        if stale.is_empty() {
            let changed = changed.into_values().collect();
            return record(app, write, &plan, changed);
        }
        // Somebody was faster. What is decided needs more than the transaction reads, so it is decided outside.
        drop(write);
        for index in stale {
            let interval = plan.runs[index].interval;
            let fresh = planned(app, Some(&store), &plan.dag, &plan.order, interval)?;
            if fresh != plan.runs[index] {
                changed.insert(index, fresh.clone());
            }
            plan.runs[index] = fresh;
        }
    }
}

/// The run that an interval has: of one that has not ended a manual one, which `--unfinished` made.
fn known(app: &App, write: &Write<'_>, dag_id: &DagId, interval: DataInterval) -> Result<Option<RunRow>, AppError> {
    Ok(match write.interval_run(dag_id, interval)? {
        None if interval.end > app.now => write.manual_run(dag_id, interval)?,
        run => run,
    })
}

/// The intervals whose run is not as it was when the plan was made.
fn stale(app: &App, write: &Write<'_>, plan: &BackfillPlan) -> Result<Vec<usize>, AppError> {
    let mut stale = Vec::new();
    for (index, run) in plan.runs.iter().enumerate() {
        let known = known(app, write, &plan.dag_id, run.interval)?;
        let known = known.as_ref().map(|known| (known.run_id.as_str(), known.state));
        let planned = match &run.action {
            Action::Create { .. } => None,
            Action::TakeUp { run_id, state, .. }
            | Action::Again { run_id, state, .. }
            | Action::LeftAlone { run_id, state } => Some((run_id.as_str(), *state)),
        };
        if known != planned {
            stale.push(index);
        }
    }
    Ok(stale)
}

fn record(
    app: &App,
    write: Write<'_>,
    plan: &BackfillPlan,
    changed: Vec<PlannedRun>,
) -> Result<BackfillReceipt, AppError> {
    let (dag, order, now) = (&plan.dag, &plan.order, app.now);
    app.keep_version(&write, dag)?;
    let backfill = write.create_backfill(&dag.id, order.max_active_runs, order.reverse, now)?;
    let mut receipt =
        BackfillReceipt { backfill, runs: Vec::new(), request: None, left_alone: Vec::new(), changed, driver: Ok(()) };
    // Runs get their numbers by their dates.
    let mut runs: Vec<&PlannedRun> = plan.runs.iter().collect();
    runs.sort_by_key(|run| run.interval.succession());
    for run in runs {
        match &run.action {
            Action::Create { run_type } => {
                let mut new = match run_type {
                    RunType::Manual => manual_run(app, dag, run.interval, &order.params),
                    RunType::Scheduled | RunType::Backfill => interval_run(dag, run.interval, &order.params),
                };
                new.selection.clone_from(&order.selection);
                new.backfill_id = Some(backfill);
                let Some((number, _)) = planner::create_run(&write, new, &dag.timezone, now)? else {
                    return Err(has_got_a_run(dag, run.interval));
                };
                receipt.runs.push(number);
            }
            Action::TakeUp { .. } | Action::Again { .. } => {
                let Some(mut rerun) = run.rerun.clone() else { continue };
                let Some(known) = known(app, &write, &dag.id, run.interval)? else { continue };
                // Counted by the backfill from now on, not only when the driver gets to it.
                write.assign_run(known.number, Some(backfill), known.selection.as_deref(), &known.params)?;
                rerun.backfill = Some(backfill);
                receipt.request = Some(write.ask(&Intent::Rerun(rerun), now)?);
                receipt.runs.push(known.number);
            }
            Action::LeftAlone { .. } => {
                let known = known(app, &write, &dag.id, run.interval)?;
                receipt.left_alone.extend(known.map(|known| known.number));
            }
        }
    }
    write.commit()?;
    if !receipt.runs.is_empty() {
        receipt.driver = app.wake_driver();
    }
    Ok(receipt)
}

/// The run of an interval, which takes the place of the scheduled one.
pub(super) fn interval_run(dag: &Dag, interval: DataInterval, params: &BTreeMap<String, Value>) -> NewRun {
    NewRun {
        dag_id: dag.id.clone(),
        run_id: planner::run_id(RunType::Backfill, interval.start, &dag.timezone),
        run_type: RunType::Backfill,
        logical_date: interval.start,
        data_interval_end: interval.end,
        params: params.clone(),
        selection: None,
        backfill_id: None,
    }
}

/// The tasks of a run that begins again: those that it has, and those that are added. `None` means all of its DAG, where that
/// is the same: of the tasks that the file has and the run has not, no other starts.
pub(super) fn narrowed(dag: &Dag, instances: &[TaskInstance], add: &[TaskId]) -> Option<Vec<TaskId>> {
    let keeps = |task: &TaskId| add.contains(task) || instances.iter().any(|instance| instance.task_id == *task);
    let kept: Vec<TaskId> = dag.tasks.iter().map(|task| task.id.clone()).filter(keeps).collect();
    (kept.len() < dag.tasks.len()).then_some(kept)
}
