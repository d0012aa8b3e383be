//! What a DAG is. Pure: no clock, no processes, no database; it imports nothing else of this crate.

pub(crate) mod argument;
pub mod cause;
pub mod check;
pub mod config;
pub mod file;
pub mod graph;
pub mod id;
pub mod model;
pub mod nearest;
pub mod pattern;
pub mod process;
pub mod repair;
pub mod schedule;
pub mod sql;
pub mod state;
pub mod template;
pub mod transition;
pub mod trigger_rule;
pub mod units;
pub mod wait;
pub(crate) mod words;

pub use cause::{Cause, CauseClass, CauseEnding};
pub use check::{Check, Verdict};
pub use config::Config;
pub use graph::Graph;
pub use id::{DagId, InvalidId, TaskId};
pub use model::{Action, ActionKind, Dag, Overlap, Report, Shell, Spark, SparkOptions, Task};
pub use process::{ProcessAttributes, ProcessSettings, ResourceLimits};
pub use repair::{Because, RepairScope, Stands, repair};
pub use schedule::DateBound;
pub use sql::{Sql, SqlSource};
pub use state::{Failures, RunState, RunType, SKIP_EXIT_STATUS, TaskState};
pub use transition::{RunNumber, Transition};
pub use trigger_rule::{Decision, TriggerRule, UpstreamCounts};
pub use wait::{AwaitedDag, AwaitedDates, Condition, ConditionKind, Over, Wait};
