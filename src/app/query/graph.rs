//! The tasks of a DAG and what they wait for; with a run, how it stands.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::app::times::Moment;
use crate::app::{App, AppError, select};
use crate::dag::{Dag, DagId, RunState, TaskId, TaskState};

/// A task as the file has it.
#[derive(Debug, Clone, Serialize)]
pub struct TaskDefinition {
    /// The task.
    pub task_id: TaskId,
    /// For people.
    pub description: Option<String>,
    /// `shell`, `spark`, ...
    pub action: &'static str,
    /// When it may start, given how those before it ended.
    pub trigger_rule: &'static str,
    /// Those that it waits for.
    pub upstream: Vec<TaskId>,
    /// Those that wait for it.
    pub downstream: Vec<TaskId>,
    /// Attempts after the first.
    pub retries: u32,
    /// Whose slots it takes.
    pub pool: Option<String>,
}

/// The tasks of a DAG, none before one that it waits for.
pub fn tasks_of_dag(dag: &Dag) -> Vec<TaskDefinition> {
    let names = |tasks: &[usize]| tasks.iter().map(|&task| dag.tasks[task].id.clone()).collect();
    dag.graph
        .order()
        .iter()
        .map(|&index| {
            let task = &dag.tasks[index];
            TaskDefinition {
                task_id: task.id.clone(),
                description: task.description.clone(),
                action: task.action.kind().as_str(),
                trigger_rule: task.trigger_rule.as_str(),
                upstream: names(dag.graph.upstream(index)),
                downstream: names(dag.graph.downstream(index)),
                retries: task.retries,
                pool: task.pool.clone(),
            }
        })
        .collect()
}

/// A DAG as a run has it.
#[derive(Debug, Clone)]
pub struct RunGraph {
    /// The version that the run is bound to, else the file as it stands.
    pub dag: Dag,
    /// The start of the run's data interval.
    pub logical_date: Moment,
    /// The run's state.
    pub state: RunState,
    /// The states of its tasks.
    pub states: BTreeMap<TaskId, TaskState>,
}

/// The graph of a DAG with the states of one run.
///
/// # Errors
/// No run, or several, are meant; neither the version of the run nor the file can be read.
pub fn of_run(app: &App, dag_id: &DagId, run: &str) -> Result<RunGraph, AppError> {
    let store = app.store()?;
    let run = select::run(app, store.as_ref(), dag_id, Some(run))?;
    let (dag, tasks) = match &store {
        Some(store) => (app.dag_of_run(store, &run)?, store.task_instances(run.number)?),
        None => (None, Vec::new()),
    };
    Ok(RunGraph {
        dag: match dag {
            Some(dag) => dag,
            None => app.dag(dag_id.as_str())?,
        },
        logical_date: Moment::new(run.logical_date, &app.zone_of(dag_id)),
        state: run.state,
        states: tasks.into_iter().map(|task| (task.task_id, task.state)).collect(),
    })
}
