//! What the engine is told of a run: its state in the store, the version of its DAG file, its backfill and its past.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use crate::dag::schedule::DataInterval;
use crate::dag::{Dag, DagId, RunNumber, RunState, RunType, TaskId, TaskState};

/// A version of a DAG file that runs can use.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub struct Plan {
    pub dag: Arc<Dag>,
    /// The version's number in the store.
    pub version: i64,
    indexes: Arc<HashMap<TaskId, usize>>,
}

impl Plan {
    /// The version of a DAG with its number in the store.
    pub fn new(dag: Arc<Dag>, version: i64) -> Plan {
        let indexes = dag.tasks.iter().enumerate().map(|(index, task)| (task.id.clone(), index)).collect();
        Plan { dag, version, indexes: Arc::new(indexes) }
    }

    /// The index of a task in the DAG.
    pub fn index(&self, task: &TaskId) -> Option<usize> {
        self.indexes.get(task).copied()
    }
}

/// What a backfill says about the runs it owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub struct BackfillLimits {
    pub backfill: i64,
    /// Its own limit of running runs; without one its runs share the DAG's.
    pub max_active_runs: Option<u32>,
    /// Newest first.
    pub is_reverse: bool,
}

/// A run as the store has it.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub struct RunInput {
    pub number: RunNumber,
    pub dag_id: DagId,
    /// Who asked for it.
    pub run_type: RunType,
    /// The data that it is about; its start is the logical date.
    pub interval: DataInterval,
    /// Its state in the store.
    pub state: RunState,
    /// When it started; a queued run that has started gave way.
    pub started_at: Option<Timestamp>,
    /// The backfill that owns it.
    pub backfill: Option<BackfillLimits>,
    /// Only these tasks; `None` means all.
    pub selection: Option<Vec<TaskId>>,
    /// The version that it is bound to.
    pub plan: Binding,
    /// Its task instances so far.
    pub tasks: Vec<PriorTask>,
    /// How the previous run of the DAG stands.
    pub past: Past,
    /// Keep the run although it has ended: an event about it follows.
    pub is_awaited: bool,
    /// Somebody has cleared it: it does not take turns with the scheduled runs of its DAG.
    pub is_reopened: bool,
}

/// Which version of its DAG file a run uses.
#[derive(Debug, Clone)]
pub enum Binding {
    /// The run has not begun, and takes the newest version when it does.
    Newest,
    /// The run began with this version. Of a queued run that has not begun: its live attempts were started by this version.
    To(Plan),
    /// The run began with a version that cannot be read any more, and ends. Reads after "failed: ".
    Unreadable(String),
}

/// A task instance as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub struct PriorTask {
    pub task: TaskId,
    pub state: TaskState,
    /// Attempts begun.
    pub tries: u32,
    /// Attempts it may take in all.
    pub max_tries: u32,
    /// When the next attempt may start.
    pub next_try_at: Option<Timestamp>,
    /// Why it failed or was skipped.
    pub reason: Option<String>,
    /// When its newest attempt started: `for_at_most` of a wait counts from then.
    pub started_at: Option<Timestamp>,
    /// The attempt that may still have live processes.
    pub live: Option<u32>,
}

/// The newest earlier run of the same DAG, for `depends_on_past`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Past {
    /// Its data interval; `None` when there is no earlier run.
    pub interval: Option<DataInterval>,
    /// The states of its tasks.
    pub states: BTreeMap<TaskId, TaskState>,
}
