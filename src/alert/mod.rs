//! From an incident to a delivered mail. Composing is pure; delivery is one function. The outbox belongs to the store,
//! the retries to the driver.

pub mod chart;
mod compose;
mod deliver;
mod line;
pub mod report;
mod sendmail;
mod smtp;
mod warning;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::diagnose::Diagnosis;

pub use compose::{compose, run_selector};
pub use deliver::{DeliveryError, deliver};
pub use report::compose_report;
pub use warning::{CheckWarning, compose_warning};

/// Something that people want to hear of.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// What happened.
    pub kind: IncidentKind,
    /// The DAG.
    pub dag_id: String,
    /// The run.
    pub run_id: String,
    /// The logical date as a local date, `2018-07-01`.
    pub ds: String,
    /// The data interval, both ends in RFC 3339 with the DAG's offset.
    pub data_interval: (String, String),
    /// Who gets the mail.
    pub to: Vec<String>,
    /// The machine.
    pub host: String,
    /// The home.
    pub home: PathBuf,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum IncidentKind {
    /// The last attempt of a task failed.
    TaskFailed(TaskIncident),
    /// An attempt failed and another one follows at this time (RFC 3339).
    TaskRetry(TaskIncident, String),
    /// A task succeeded.
    TaskSucceeded(TaskIncident),
    /// A run failed.
    RunFailed {
        /// Why.
        reason: String,
        /// Failed tasks with their reasons.
        failed: Vec<(String, String)>,
        /// Tasks that could not run because of them.
        blocked: Vec<String>,
    },
}

/// A task in an incident.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskIncident {
    /// The task.
    pub task_id: String,
    /// The attempt.
    pub try_number: u32,
    /// Attempts it may take.
    pub max_tries: u32,
    /// Why, in words: exit status, signal, timeout.
    pub reason: String,
    /// When the attempt started, RFC 3339.
    pub started: String,
    /// How long it took.
    pub duration: Duration,
    /// The log, relative to the home.
    pub log_file: String,
    /// Its last lines.
    pub log_tail: Vec<String>,
    /// What the failure was caused by; `None` for a task that succeeded.
    pub diagnosis: Option<Diagnosis>,
    /// Tasks downstream that now cannot run or have to wait.
    pub blocks: Vec<String>,
}

/// A mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// Addresses.
    pub to: Vec<String>,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// The same as HTML.
    pub html: String,
    /// What the HTML shows inline.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pictures: Vec<Picture>,
}

/// A picture within a mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// The name by which the HTML refers to it: `cid:...`.
    pub cid: String,
    /// The file; Base64 where it is stored.
    #[serde(with = "base64_text")]
    pub png: Vec<u8>,
}

mod base64_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
