//! One attempt: what the driver and the shim tell one another about it, what its program finds, and how it is run.
//!
//! The driver takes an attempt file, locks it (`flock`, exclusive) and has it handed to the shim together with the
//! specification; from then on the shim alone holds the lock. At the end the shim writes the [`ExitRecord`] into that
//! same file, syncs it and lets go of the lock. So at any instant: lock held means alive; lock free and a record of
//! this attempt means ended; lock free and no such record means that the shim itself was killed and its processes must
//! be found by their marker ([`ATTEMPT_VARIABLE`]).

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::dag::units::format_duration;
use crate::dag::{DagId, SKIP_EXIT_STATUS, TaskId};

pub(crate) mod environment;
pub(crate) mod local;
pub(crate) mod log;
pub(crate) mod printed;
pub(crate) mod secrets;
mod spec;

pub use printed::Printed;
pub(crate) use spec::Launch;
pub use spec::{AttemptSpec, Prepared};

/// The variable in every task process's environment whose value is the attempt's token: it finds an attempt's
/// processes wherever they hide.
pub const ATTEMPT_VARIABLE: &str = "CRONDAG_ATTEMPT";

/// Which attempt.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub struct AttemptKey {
    pub dag_id: DagId,
    pub run_id: String,
    pub task_id: TaskId,
    /// 1 for the first attempt.
    pub try_number: u32,
}

/// How long an attempt may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeLimit {
    /// From its start.
    pub after: Duration,
    /// What gives it so long.
    pub by: LimitedBy,
}

impl TimeLimit {
    /// How an attempt ends that takes longer.
    pub fn ending(self) -> Ending {
        Ending::TimedOut { limit: Some(self.after), by: self.by }
    }
}

/// What limits the time of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitedBy {
    /// The task's `timeout`.
    #[default]
    Timeout,
    /// What is left of `for_at_most` of the wait that the attempt evaluates.
    ForAtMost,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Ending {
    /// The program ended by itself.
    Exited {
        /// Its exit status, 0 to 255.
        code: i32,
    },
    /// A signal ended the program.
    Signaled {
        /// The signal's number.
        signal: i32,
    },
    /// It took longer than its timeout and was ended.
    TimedOut {
        /// How long it was given; `None` in a record of an earlier version.
        #[serde(default)]
        limit: Option<Duration>,
        /// What gave it so long.
        #[serde(default)]
        by: LimitedBy,
    },
    /// Somebody asked for it to be stopped (the shim received TERM), and it was ended.
    Stopped,
    /// The program could not be started.
    NotStarted {
        /// Why, naming the thing; reads after "error: ".
        reason: String,
    },
    /// The shim itself was killed, or the machine went down: how the program ended is unknown. Never written by a
    /// shim; concluded by the driver.
    Lost {
        /// What was found.
        reason: String,
    },
}

impl Ending {
    /// What the database has of an attempt that ended; `None` of what another version of crondag wrote in another form.
    pub fn read(recorded: &str) -> Option<Ending> {
        serde_json::from_str(recorded).ok()
    }

    /// Whether the attempt failed: neither exit status 0 nor the one that skips its task.
    pub fn has_failed(&self) -> bool {
        match self {
            Ending::Exited { code } => !matches!(*code, 0 | SKIP_EXIT_STATUS),
            Ending::Signaled { .. }
            | Ending::TimedOut { .. }
            | Ending::Stopped
            | Ending::NotStarted { .. }
            | Ending::Lost { .. } => true,
        }
    }
}

impl fmt::Display for Ending {
    /// In words, as logs, mails and `tasks` show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Exited { code: 127 } => {
                f.write_str("exit status 127: the shell did not find a program (see the log)")
            }
            // What a shell answers when a program that it ran was killed.
            Ending::Exited { code } if KILLING.contains(&(code - 128)) => {
                write!(f, "exit status {code}: a program of it was {}", killed_by(code - 128))
            }
            Ending::Exited { code } => write!(f, "exit status {code}"),
            Ending::Signaled { signal } => f.write_str(&killed_by(*signal)),
            Ending::TimedOut { by: LimitedBy::ForAtMost, .. } => {
                f.write_str("timed out: the time of the wait (`for_at_most`) is over")
            }
            Ending::TimedOut { limit: None, .. } => f.write_str("timed out"),
            Ending::TimedOut { limit: Some(limit), by: LimitedBy::Timeout } => {
                write!(f, "timed out (its timeout is {})", format_duration(*limit))
            }
            Ending::Stopped => f.write_str("stopped"),
            Ending::NotStarted { reason } | Ending::Lost { reason } => f.write_str(reason),
        }
    }
}

/// Signals that end a program from outside or at a crash. Of other exit statuses beyond 128 it is not known that they mean a signal.
pub(super) const KILLING: [i32; 9] = [
    libc::SIGINT,
    libc::SIGILL,
    libc::SIGABRT,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGKILL,
    libc::SIGSEGV,
    libc::SIGPIPE,
    libc::SIGTERM,
];

/// "killed by signal 15 SIGTERM".
pub(crate) fn killed_by(signal: i32) -> String {
    let name = signal_hook::low_level::signal_name(signal).unwrap_or("unknown");
    let hint = if signal == libc::SIGKILL { " (out of memory? see `dmesg`)" } else { "" };
    format!("killed by signal {signal} {name}{hint}")
}

/// "1 process", "2 processes".
pub(crate) fn counted_processes(count: u32) -> String {
    format!("{count} {}", if count == 1 { "process" } else { "processes" })
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What the shim leaves behind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// The attempt's token: a record of another attempt is refused.
    pub token: String,
    /// When the program was started.
    pub started_at: Timestamp,
    /// When the last of its processes was gone.
    pub ended_at: Timestamp,
    /// How it ended.
    pub ending: Ending,
    /// CPU time of the process tree, user and system, in seconds.
    pub cpu_seconds: f64,
    /// Peak memory of the largest process of the tree, in bytes.
    pub max_rss_bytes: u64,
    /// Processes that were still alive when the program had ended, and were ended too.
    pub left_behind: u32,
    /// Processes that were still alive when the program had succeeded, and were left so (`leave_processes`).
    #[serde(default)]
    pub left_running: u32,
    /// Why the log is not whole, if the disk did not take it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_failure: Option<String>,
    /// Bytes of the output that the log has no room for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub log_left_out: u64,
    /// Where in the log the output lies; `None` where there is no log, or nobody who could say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub printed: Option<Printed>,
}
