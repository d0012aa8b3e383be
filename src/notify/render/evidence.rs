//! What is found out about a notice when it is rendered.

use jiff::Timestamp;

use crate::diagnose::Diagnosis;
use crate::notify::notice::Notice;

/// The last lines of an attempt's log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LogTail {
    /// There was no attempt, or its log does not matter.
    #[default]
    None,
    /// The lines; none when the log is empty.
    Lines(Vec<String>),
    /// It has been removed since.
    Removed,
    /// It is there and cannot be read, for this reason.
    Unreadable(String),
}

/// What is found out about a notice when it is rendered, and may have changed since it was written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// Of a task: what it printed last.
    pub log: LogTail,
    /// Of a task that failed: what the failure was caused by.
    pub diagnosis: Option<Diagnosis>,
    /// Of a task that failed: why there is no diagnosis, in words.
    pub undiagnosed: Option<String>,
    /// Of a digest: what was held back, oldest first.
    pub held_back: Vec<(Timestamp, Notice)>,
}
