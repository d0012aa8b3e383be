//! The answer: what is known of a home.

use serde::Serialize;

use crate::app::query::ending::EndingAttempt;
use crate::app::query::explain::HoldUp;
use crate::app::query::finding::Finding;
use crate::app::query::lag::Lag;
use crate::app::query::runs::RunAnswer;
use crate::app::times::Moment;
use crate::dag::DagId;

/// How a home stands.
#[derive(Debug, Serialize)]
pub struct StatusAnswer {
    /// What is to be known of all this, in the order in which it is shown. Without any all is well, and nothing runs.
    pub findings: Vec<Finding>,
    /// Whether a driver lives.
    pub driver_running: bool,
    /// Its process id, as far as its lock file says.
    pub driver_pid: Option<u32>,
    /// When the last tick was.
    pub last_tick: Option<Moment>,
    /// How many DAG files there are.
    pub dags: usize,
    /// Those that cannot be used.
    pub faulty: Vec<FaultyDag>,
    /// The DAGs whose schedule is paused.
    pub paused: Vec<DagId>,
    /// Runs that go on.
    pub running: Vec<RunningRun>,
    /// Attempts that were told to end and whose processes still live.
    pub ending: Vec<EndingAttempt>,
    /// Runs that wait to start.
    pub queued: usize,
    /// Why the first of them waits.
    pub queued_held_up: Option<HoldUp>,
    /// Requests that no driver has carried out yet.
    pub waiting_requests: usize,
    /// Runs that failed within a day, the newest first.
    pub failed_last_24h: Vec<RunAnswer>,
    /// Runs that succeeded within a day although tasks of them failed, the newest first.
    pub failed_tasks_last_24h: Vec<RunAnswer>,
    /// Mail that is to be sent.
    pub mail_pending: u32,
    /// Notices of the last 24 hours that reached nobody, because the home had no `[email]`.
    pub mail_undeliverable: u32,
    /// Whether crondag.toml says how mail is sent.
    pub has_email: bool,
    /// Mail that nobody tries to send any more.
    pub mail_given_up: u32,
    /// Why the newest mail was not sent.
    pub mail_last_error: Option<String>,
    /// Logs that are not whole, found within a day.
    pub logs: Vec<BadLog>,
    /// Free bytes for the state folder; `None` where the disk does not tell.
    pub disk_free_bytes: Option<u64>,
    /// What is to be known of the next runs of DAGs, one sentence each.
    pub notes: Vec<String>,
    /// The DAGs that are behind their schedules.
    pub lags: Vec<Lag>,
    /// The zone of DAGs that name none, and who says so.
    pub timezone: String,
    /// What cannot be understood of the machine's zone.
    pub timezone_warning: Option<String>,
    /// The first run that waits to start.
    #[serde(skip)]
    pub first_queued: Option<(DagId, String)>,
    /// Which DAG starts next, and when.
    #[serde(skip)]
    pub next: Option<(DagId, Moment)>,
    /// There is something for a driver to do: requests, attempts whose end is not recorded, mail, runs that may go on.
    pub needs_driver: bool,
}

/// A DAG file that cannot be used.
#[derive(Debug, Serialize)]
pub struct FaultyDag {
    /// Its name without `.toml`.
    pub dag_id: String,
    /// The first fault.
    pub message: String,
}

/// A log that is not whole.
#[derive(Debug, Serialize)]
pub struct BadLog {
    pub dag_id: String,
    pub task_id: String,
    /// What is missing of it.
    pub missing: Missing,
    /// When the first such log was written.
    pub since: Moment,
    /// How many there have been since.
    pub count: u32,
}

/// What a log lacks.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// So many bytes of the newest one, since it had reached its `max_size`.
    LeftOut(u64),
    /// What the disk did not take, with what the system said.
    NotTaken(String),
}

/// A run that goes on.
#[derive(Debug, Serialize)]
pub struct RunningRun {
    pub dag_id: DagId,
    pub run_id: String,
    /// The start of its data interval.
    pub logical_date: Moment,
    pub start_date: Option<Moment>,
    /// The tasks with a live attempt.
    pub running_tasks: Vec<String>,
    /// Tasks that have failed so far.
    pub failed_tasks: u32,
    /// Tasks that do not run because of that.
    pub upstream_failed_tasks: u32,
    /// Why it does not go on, where nothing of it runs.
    pub held_up: Option<HoldUp>,
    /// One line about it.
    #[serde(skip)]
    pub summary: String,
}
