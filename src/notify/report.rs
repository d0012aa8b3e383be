//! What the report of a run tells.

use serde::{Deserialize, Serialize};

use crate::dag::{TaskState, Verdict};

/// All that a report tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub dag_id: String,
    /// The run, as commands take it.
    pub selector: String,
    pub ds: String,
    /// Instead of the DAG's name and date in the subject.
    pub title: Option<String>,
    /// The checks, in the order of the file.
    pub checks: Vec<CheckReport>,
    /// The gates with what holds for the date, in words.
    pub gates: Vec<(String, Verdict, String)>,
    /// The tasks, in the order of the file.
    pub tasks: Vec<TaskLine>,
    /// How many charts at most.
    pub charts: usize,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckReport {
    pub task_id: String,
    /// Its verdict; `None` when it recorded nothing for the date.
    pub verdict: Option<Verdict>,
    /// What is said of it as a whole.
    pub findings: Vec<String>,
    pub values: Vec<ValueReport>,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ValueReport {
    /// Which thing.
    pub key: String,
    /// Which number of it.
    pub metric: String,
    pub value: Option<f64>,
    /// What it was compared with.
    pub baseline: Option<f64>,
    pub verdict: Verdict,
    /// Why it is not ok.
    pub reason: Option<String>,
    /// The values so far, oldest first, this one included.
    pub history: Vec<Point>,
}

/// One task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskLine {
    pub task_id: String,
    pub state: TaskState,
    /// Why it failed or was skipped.
    pub reason: Option<String>,
    /// How long its newest attempt took, in seconds.
    pub seconds: Option<f64>,
    /// How long it usually takes: the median of earlier runs.
    pub usual_seconds: Option<f64>,
    /// By how many seconds it ended later after the fire time than it usually does, if that is notable.
    pub late_seconds: Option<f64>,
}

/// One value of a chart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    pub value: f64,
    /// Whether its check failed or warned: it is drawn in red.
    pub is_bad: bool,
}
