//! The tasks of a DAG and what they wait for, as a list, a graph and a tree; with a run, how they stand.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::app::times::{Moment, zone_name};
use crate::app::{App, AppError, select};
use crate::dag::{Dag, DagId, RunState, TaskId, TaskState, TriggerRule};

/// A task as the file has it.
#[derive(Debug, Clone, Serialize)]
pub struct TaskDefinition {
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

/// A DAG as it is drawn.
#[derive(Debug, Clone, Serialize)]
pub struct GraphAnswer {
    pub dag_id: DagId,
    /// For people.
    pub description: Option<String>,
    /// When it runs, as its file says; `None` for one that only runs when somebody asks.
    pub schedule: Option<String>,
    /// The name of its zone, or its offset.
    pub timezone: String,
    /// The run whose states its tasks have, if one is asked for.
    pub run: Option<GraphRun>,
    /// Its tasks, none before one that it waits for.
    pub tasks: Vec<GraphTask>,
    /// Who waits for whom: first the task that is waited for. In the order of `tasks`.
    pub edges: Vec<GraphEdge>,
}

/// The run that a graph is about.
#[derive(Debug, Clone, Serialize)]
pub struct GraphRun {
    /// The start of its data interval.
    pub logical_date: Moment,
    pub state: RunState,
}

/// A task in a graph.
#[derive(Debug, Clone, Serialize)]
pub struct GraphTask {
    /// The task as the file has it.
    #[serde(flatten)]
    pub definition: TaskDefinition,
    /// Its place in the file, from 0.
    pub number: usize,
    /// How many tasks the longest way to it passes, itself not among them.
    pub layer: usize,
    /// Whether its trigger rule is another than that of a task that names none.
    pub has_own_rule: bool,
    /// Its state in the run, if one is asked for.
    pub state: Option<TaskState>,
}

/// One task waits for another.
#[derive(Debug, Clone, Serialize)]
pub struct GraphEdge {
    /// The [`number`](GraphTask::number) of the task that is waited for.
    pub from: usize,
    /// That of the task that waits.
    pub to: usize,
}

impl GraphAnswer {
    /// The tasks by their layers, each layer in the order of the file.
    pub fn layers(&self) -> Vec<Vec<&GraphTask>> {
        let count = self.tasks.iter().map(|task| task.layer + 1).max().unwrap_or(0);
        let mut layers = vec![Vec::new(); count];
        for task in &self.tasks {
            layers[task.layer].push(task);
        }
        for layer in &mut layers {
            layer.sort_by_key(|task| task.number);
        }
        layers
    }
}

/// The graph of a DAG; with `run`, as that run has it (the version of its file that it is bound to, else the file as it
/// stands) and with the states of its tasks.
///
/// # Errors
/// There is no such DAG or its file is faulty; no run, or several, are meant.
pub fn graph(app: &App, dag: &str, run: Option<&str>) -> Result<GraphAnswer, AppError> {
    let Some(run) = run else { return Ok(answer(&app.dag(dag)?, None)) };
    let dag_id = app.dag_id(dag)?;
    let store = app.store()?;
    let run = select::run(app, store.as_ref(), &dag_id, Some(run))?;
    let (dag, tasks) = match &store {
        Some(store) => (app.dag_of_run(store, &run)?, store.task_instances(run.number)?),
        None => (None, Vec::new()),
    };
    let dag = match dag {
        Some(dag) => dag,
        None => app.dag(dag_id.as_str())?,
    };
    let states: BTreeMap<TaskId, TaskState> = tasks.into_iter().map(|task| (task.task_id, task.state)).collect();
    let logical_date = Moment::new(run.logical_date, &app.zone_of(&dag_id));
    Ok(answer(&dag, Some((GraphRun { logical_date, state: run.state }, &states))))
}

fn answer(dag: &Dag, run: Option<(GraphRun, &BTreeMap<TaskId, TaskState>)>) -> GraphAnswer {
    let (run, states) = run.map_or((None, None), |(run, states)| (Some(run), Some(states)));
    let mut layer = vec![0; dag.tasks.len()];
    for &task in dag.graph.order() {
        layer[task] = dag.graph.upstream(task).iter().map(|&above| layer[above] + 1).max().unwrap_or(0);
    }
    let order = || dag.graph.order().iter().copied();
    let tasks = order().zip(tasks_of_dag(dag)).map(|(number, definition)| GraphTask {
        // A task that the run has not seen has not begun.
        state: states.map(|states| states.get(&definition.task_id).copied().unwrap_or(TaskState::None)),
        has_own_rule: dag.tasks[number].trigger_rule != TriggerRule::default(),
        definition,
        number,
        layer: layer[number],
    });
    let edges = order().flat_map(|from| dag.graph.downstream(from).iter().map(move |&to| GraphEdge { from, to }));
    GraphAnswer {
        dag_id: dag.id.clone(),
        description: dag.description.clone(),
        schedule: dag.schedule.as_ref().map(|schedule| schedule.text().to_owned()),
        timezone: zone_name(&dag.timezone),
        run,
        tasks: tasks.collect(),
        edges: edges.collect(),
    }
}

/// A line of the tree of a DAG.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TreeLine {
    pub task_id: TaskId,
    /// For each task above it in the tree but the root, from there down to itself: whether that is the last one of those that
    /// wait for the same task. Empty for a root.
    pub is_last: Vec<bool>,
    /// Tasks wait for it, and stand below it where it comes first.
    pub is_again: bool,
}

/// Roots first, each task under every task that it waits for. What hangs below a task is given once, because a chain of
/// diamonds has exponentially many paths.
pub fn tree(dag: &Dag) -> Vec<TreeLine> {
    let mut lines = Vec::new();
    let mut was_there = vec![false; dag.tasks.len()];
    let roots = dag.graph.order().iter().rev().filter(|&&task| dag.graph.upstream(task).is_empty());
    let mut stack: Vec<(usize, Vec<bool>)> = roots.map(|&root| (root, Vec::new())).collect();
    while let Some((task, is_last)) = stack.pop() {
        let children = dag.graph.downstream(task);
        let is_again = std::mem::replace(&mut was_there[task], true) && !children.is_empty();
        if !is_again {
            for (nth, &child) in children.iter().enumerate().rev() {
                let below = [is_last.as_slice(), &[nth + 1 == children.len()]].concat();
                stack.push((child, below));
            }
        }
        lines.push(TreeLine { task_id: dag.tasks[task].id.clone(), is_last, is_again });
    }
    lines
}
