//! Tasks of a run, done again.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::backfill::narrowed;
use super::{lacking_above, must_be_there, repair_of};
use crate::app::query::tasks::tasks_of;
use crate::app::times::Moment;
use crate::app::{App, AppError, params, select};
use crate::dag::repair::{Because, RepairScope};
use crate::dag::{Dag, DagId, RunState, TaskId, TaskState};
use crate::store::{Intent, Rerun, RunRow};

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct ClearRequest {
    /// The DAG, as somebody typed it.
    pub dag: String,
    /// The run's logical date, or its id.
    pub run: String,
    /// These tasks; none means all.
    pub tasks: Vec<String>,
    /// Also everything that they wait for.
    pub upstream: bool,
    /// Not what waits for them.
    pub only: bool,
    /// Of these, only tasks of the repair of the run; `None` means that it does not matter how they stand.
    pub repair: Option<RepairScope>,
    /// Overrides of the run's params from now on, `name=value`.
    pub params: Vec<String>,
    /// The run loses the params that it was given, before it gets these.
    pub reset_params: bool,
}

/// A task that will start again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClearedTask {
    pub task_id: TaskId,
    /// How it stands; `none` of one that the run does not have yet.
    pub state: TaskState,
    /// Why it is part of the repair, if that was asked for.
    #[serde(flatten)]
    pub because: Option<Because>,
}

/// What will be done again.
#[derive(Debug, Clone, Serialize)]
pub struct ClearPlan {
    pub dag_id: DagId,
    pub run_id: String,
    /// The start of its data interval.
    pub logical_date: Moment,
    /// The tasks that start again, in the order of the DAG. Nothing else starts.
    pub tasks: Vec<ClearedTask>,
    /// Tasks of the repair that the DAG no longer has: they cannot start again.
    pub removed: Vec<TaskId>,
    /// Tasks that the run does not have, since they are new in the DAG, although tasks of the repair now wait for them. They start
    /// only where somebody names them.
    pub lacking: Vec<TaskId>,
    /// How many tasks the run has.
    pub of: usize,
    /// The params that the run has from now on in place of the DAG's.
    pub params: BTreeMap<String, Value>,
    #[serde(skip)]
    run: RunRow,
    #[serde(skip)]
    file: Dag,
    #[serde(skip)]
    rerun: Rerun,
}

/// What was recorded.
#[derive(Debug, Clone, Serialize)]
pub struct ClearReceipt {
    pub dag_id: DagId,
    pub run_id: String,
    /// The tasks that start again.
    pub tasks: Vec<TaskId>,
    /// Those whose state was another one by then.
    pub changed: Vec<ClearedTask>,
    /// Whether the driver was told.
    #[serde(skip)]
    pub driver: Result<(), AppError>,
}

/// Works out what would start again.
///
/// # Errors
/// No such DAG, run or task; a faulty file.
pub fn plan(app: &App, request: &ClearRequest) -> Result<ClearPlan, AppError> {
    let dag_id = app.dag_id(&request.dag)?;
    let store = app.store()?;
    let run = select::run(app, store.as_ref(), &dag_id, Some(&request.run))?;
    let file = app.dag(&request.dag)?;
    let (mut dag, mut instances, mut has_begun) = (file.clone(), Vec::new(), false);
    if let Some(store) = &store {
        instances = tasks_of(app, store, &run)?;
        has_begun = !store.task_instances(run.number)?.is_empty();
        // A running run keeps its version. Any other begins again as the file stands now, so that decides who waits for whom.
        if run.state == RunState::Running {
            dag = app.dag_of_run(store, &run)?.unwrap_or(dag);
        }
    }
    let chosen = chosen(&dag, request)?;
    let mut run_params = if request.reset_params { BTreeMap::new() } else { run.params.clone() };
    run_params.extend(params::parse(&dag, &request.params)?);
    let is_whole = chosen.is_none() && request.repair.is_none();
    let repair: Option<BTreeMap<TaskId, Because>> = match (request.repair, &store) {
        (Some(scope), Some(store)) => Some(repair_of(app, store, &run, &instances, &dag, scope)?),
        (Some(_), None) => Some(BTreeMap::new()),
        (None, _) => None,
    };
    let because = |task: &TaskId| repair.as_ref().and_then(|repair| repair.get(task)).cloned();
    let is_meant = |task: &TaskId| {
        chosen.as_ref().is_none_or(|chosen| chosen.contains(task))
            && repair.as_ref().is_none_or(|repair| repair.contains_key(task))
    };
    let meant = instances.iter().filter(|task| is_meant(&task.task_id));
    let (here, removed): (Vec<_>, Vec<_>) = meant.partition(|task| dag.task_index(task.task_id.as_str()).is_some());
    let mut tasks: Vec<ClearedTask> = here
        .into_iter()
        .map(|task| ClearedTask { task_id: task.task_id.clone(), state: task.state, because: because(&task.task_id) })
        .collect();
    let removed = removed.into_iter().map(|task| task.task_id.clone()).collect();
    // A task that is new in the file starts where somebody has named it, or the whole run.
    let lacking = dag.tasks.iter().map(|task| &task.id).filter(|id| {
        let is_meant = match &chosen {
            Some(chosen) => chosen.contains(*id),
            None => run.selection.as_ref().is_none_or(|selection| selection.contains(id)),
        };
        is_meant && repair.is_none() && !instances.iter().any(|instance| instance.task_id == **id)
    });
    let add: Vec<TaskId> = lacking.cloned().collect();
    tasks.extend(add.iter().map(|id| ClearedTask { task_id: id.clone(), state: TaskState::None, because: None }));
    let tasks = select::in_dag_order(Some(&dag), tasks, |task| &task.task_id);
    let starts = |id: &TaskId| repair.is_some() && tasks.iter().any(|task| task.task_id == *id);
    let above = lacking_above(&dag, &run, &instances, starts);
    let rerun = Rerun {
        run: run.number,
        clear: if is_whole { Vec::new() } else { tasks.iter().map(|task| task.task_id.clone()).collect() },
        clear_all: is_whole,
        backfill: None,
        selection: if is_whole || !has_begun {
            run.selection.clone()
        } else {
            // A running run may have ended, and begin again as the file stands, before the driver reads this.
            let is_known = |id: &TaskId| add.contains(id) || instances.iter().any(|instance| instance.task_id == *id);
            let all_of_run = || instances.iter().map(|instance| &instance.task_id).chain(&add).cloned().collect();
            let has_grown = file.tasks.iter().any(|task| !is_known(&task.id));
            narrowed(&dag, &instances, &add).or_else(|| has_grown.then(all_of_run))
        },
        params: run_params.clone(),
    };
    Ok(ClearPlan {
        logical_date: Moment::new(run.logical_date, &app.zone_of(&dag_id)),
        dag_id,
        run_id: run.run_id.clone(),
        of: instances.len() + add.len(),
        params: run_params,
        tasks,
        removed,
        lacking: above,
        run,
        file,
        rerun,
    })
}

/// The tasks that were named, with what hangs on them; `None` means all.
fn chosen(dag: &Dag, request: &ClearRequest) -> Result<Option<BTreeSet<TaskId>>, AppError> {
    if request.tasks.is_empty() {
        return Ok(None);
    }
    let mut indexes = BTreeSet::new();
    for name in &request.tasks {
        let task = select::task(dag, name)?;
        indexes.insert(task);
        if !request.only {
            indexes.extend(dag.graph.descendants(task));
        }
        if request.upstream {
            indexes.extend(dag.graph.ancestors(task));
        }
    }
    Ok(Some(indexes.into_iter().map(|task| dag.tasks[task].id.clone()).collect()))
}

/// Asks the driver to start these tasks again, and wakes it.
///
/// # Errors
/// The database; the run is gone.
pub fn apply(app: &App, plan: ClearPlan) -> Result<ClearReceipt, AppError> {
    let mut store = app.store_for_writing()?;
    let write = store.write()?;
    must_be_there(&write, plan.run.number, (&plan.dag_id, &plan.run_id))?;
    let now = write.task_instances(plan.run.number)?;
    let differs = |task: &&ClearedTask| {
        let instance = now.iter().find(|instance| instance.task_id == task.task_id);
        instance.map_or(TaskState::None, |instance| instance.state) != task.state
    };
    let changed: Vec<ClearedTask> = plan.tasks.iter().filter(differs).cloned().collect();
    // Whoever clears a task has just corrected the file.
    app.keep_version(&write, &plan.file)?;
    write.ask(&Intent::Rerun(plan.rerun), app.now)?;
    write.commit()?;
    Ok(ClearReceipt {
        dag_id: plan.dag_id,
        run_id: plan.run_id,
        tasks: plan.tasks.into_iter().map(|task| task.task_id).collect(),
        changed,
        driver: app.wake_driver(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use jiff::SignedDuration;

    use super::*;
    use crate::dag::RunType;
    use crate::store::NewRun;

    #[test]
    fn a_run_that_was_removed_after_it_was_shown_is_not_cleared() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("dags")).unwrap();
        fs::write(home.path().join("crondag.toml"), "").unwrap();
        fs::write(home.path().join("dags/d.toml"), "[tasks.a]\nshell = 'true'\n").unwrap();
        let app = App::open(Some(home.path())).unwrap();
        let mut store = app.store_for_writing().unwrap();
        let write = store.write().unwrap();
        let dag_id = DagId::new("d").unwrap();
        let run = NewRun {
            dag_id: dag_id.clone(),
            run_id: "manual__1".to_owned(),
            run_type: RunType::Manual,
            logical_date: app.now,
            data_interval_end: app.now + SignedDuration::from_hours(1),
            params: BTreeMap::new(),
            selection: None,
            backfill_id: None,
        };
        write.create_run(&run, app.now).unwrap();
        write.commit().unwrap();
        let request = ClearRequest { dag: "d".to_owned(), run: "manual__1".to_owned(), ..ClearRequest::default() };
        let plan = plan(&app, &request).unwrap();
        let write = store.write().unwrap();
        write.forget_dag(&dag_id, true, "ana", app.now).unwrap();
        write.commit().unwrap();
        let error = apply(&app, plan).unwrap_err().to_string();
        assert!(
            error.starts_with("error: the run manual__1 of d is gone: somebody has removed it meanwhile"),
            "{error}"
        );
        assert!(store.intents().unwrap().is_empty());
    }
}
