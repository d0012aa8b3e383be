//! What happened, as data. It is kept in the outbox in the transaction that made it happen, and rendered when it is
//! delivered.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::mail::Mail;
use super::report::Report;
use crate::dag::{RunNumber, RunType};
use crate::store::Trouble;

/// The version of what [`Notice::to_json`] writes.
const VERSION: u32 = 1;

/// Something that people want to hear of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    version: u32,
    /// Who is told.
    pub to: Vec<String>,
    /// What happened.
    pub event: NoticeEvent,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub enum NoticeEvent {
    /// The last attempt of a task failed.
    TaskFailed {
        run: RunFacts,
        task: TaskFacts,
        /// Tasks downstream that now cannot run.
        blocks: Vec<String>,
        /// Tasks downstream that run all the same, as their trigger rules say.
        #[serde(default)]
        runs_on: Vec<String>,
        /// How long this has been going on.
        standing: Standing,
    },
    /// An attempt failed and another one follows.
    TaskRetry {
        run: RunFacts,
        task: TaskFacts,
        /// Tasks downstream that have to wait.
        blocks: Vec<String>,
        /// When, in RFC 3339.
        next_try_at: String,
    },
    /// A task succeeded.
    TaskSucceeded { run: RunFacts, task: TaskFacts },
    /// A run failed.
    RunFailed {
        run: RunFacts,
        /// Why.
        reason: String,
        /// Failed tasks with their reasons.
        failed: Vec<(String, String)>,
        /// Tasks that could not run because of them.
        blocked: Vec<String>,
        /// How long this has been going on.
        standing: Standing,
    },
    /// A DAG that failed has had a good run.
    Recovered {
        dag_id: String,
        /// The good run, as its id.
        run_id: String,
        /// What it was before.
        standing: Standing,
    },
    /// A check's verdict is warn.
    CheckWarned {
        dag_id: String,
        task_id: String,
        /// The run, as commands take it.
        selector: String,
        ds: String,
        /// What was found, as text.
        table: String,
    },
    /// A `report` task's.
    Report(Box<Report>),
    /// Something is wrong with the home itself.
    Trouble {
        /// What.
        trouble: Trouble,
    },
    /// It is good again.
    TroubleOver {
        /// What it was.
        trouble: Trouble,
        /// Since when.
        since: Timestamp,
        /// How often it was found.
        count: u32,
    },
    /// More notices were to go out than the home allows: it lists those that were held back, which name it in the outbox.
    Digest {
        /// How many notices may go out in an hour.
        max_per_hour: u32,
    },
    /// A mail that an older program had rendered.
    Rendered {
        /// The mail.
        mail: Mail,
    },
}

/// A run, as notices name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub struct RunFacts {
    /// Its number in the database.
    pub number: RunNumber,
    pub dag_id: String,
    /// Who asked for it.
    pub run_type: RunType,
    pub run_id: String,
    /// The logical date as a local date, `2018-07-01`.
    pub ds: String,
    /// The data interval, both ends in RFC 3339 with the DAG's offset.
    pub data_interval: (String, String),
}

/// An attempt of a task, as notices name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub struct TaskFacts {
    pub task_id: String,
    /// The attempt; 0 when there was none.
    pub try_number: u32,
    /// Attempts it may take.
    pub max_tries: u32,
    /// Why it failed, in words: exit status, signal, timeout.
    pub reason: String,
    /// When the attempt started, in RFC 3339.
    pub started: String,
    /// How long it took.
    pub milliseconds: u64,
    /// The log, relative to the home; empty when there is none.
    pub log_file: String,
    /// Where in it the output lies, in bytes, as far as that is known.
    #[serde(default)]
    pub printed: Option<(u64, u64)>,
}

/// How a failure stands among those before it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// When the first failure was; `None` when this is the first.
    pub since: Option<Timestamp>,
    /// Failures so far, this one included.
    pub failures: u32,
    /// The runs that these were in.
    pub failed_runs: u32,
    /// Whether it fails and recovers in turn, so that people are told of it more rarely.
    pub is_unsteady: bool,
}

impl Notice {
    /// A notice for these people.
    pub fn new(to: Vec<String>, event: NoticeEvent) -> Notice {
        Notice { version: VERSION, to, event }
    }

    /// As the outbox keeps it.
    ///
    /// # Errors
    /// Never: it has no map whose keys are not texts.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// # Errors
    /// It was not written by [`Notice::to_json`], or by a newer program; reads after "error: ".
    pub fn from_json(text: &str) -> Result<Notice, String> {
        let notice: Notice =
            serde_json::from_str(text).map_err(|error| format!("the stored notice is unreadable: {error}"))?;
        if notice.version > VERSION {
            return Err(format!(
                "the stored notice was written by a newer crondag (version {}; this one knows {VERSION})",
                notice.version
            ));
        }
        Ok(notice)
    }
}

impl NoticeEvent {
    /// Its name, as the database has it.
    pub fn kind(&self) -> &'static str {
        match self {
            NoticeEvent::TaskFailed { .. } => "task_failed",
            NoticeEvent::TaskRetry { .. } => "task_retry",
            NoticeEvent::TaskSucceeded { .. } => "task_succeeded",
            NoticeEvent::RunFailed { .. } => "run_failed",
            NoticeEvent::Recovered { .. } => "recovered",
            NoticeEvent::CheckWarned { .. } => "check_warned",
            NoticeEvent::Report(_) => "report",
            NoticeEvent::Trouble { .. } => "trouble",
            NoticeEvent::TroubleOver { .. } => "trouble_over",
            NoticeEvent::Digest { .. } => "digest",
            NoticeEvent::Rendered { .. } => "rendered",
        }
    }

    /// Whether it is held back when a home has told too much: what somebody asked for by a task of its own is not.
    pub(super) fn may_be_held_back(&self) -> bool {
        match self {
            NoticeEvent::TaskFailed { .. }
            | NoticeEvent::TaskRetry { .. }
            | NoticeEvent::TaskSucceeded { .. }
            | NoticeEvent::RunFailed { .. }
            | NoticeEvent::Recovered { .. }
            | NoticeEvent::CheckWarned { .. }
            | NoticeEvent::Trouble { .. }
            | NoticeEvent::TroubleOver { .. } => true,
            NoticeEvent::Report(_) | NoticeEvent::Digest { .. } | NoticeEvent::Rendered { .. } => false,
        }
    }

    /// The same, with how it stands among the failures before it.
    pub(super) fn with_standing(mut self, now: Standing) -> NoticeEvent {
        if let NoticeEvent::TaskFailed { standing, .. } | NoticeEvent::RunFailed { standing, .. } = &mut self {
            *standing = now;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_of_a_newer_program_is_not_guessed_at() {
        let notice = Notice::new(vec!["a@example.com".to_owned()], NoticeEvent::Digest { max_per_hour: 30 });
        let text = notice.to_json().unwrap();
        assert_eq!(text, r#"{"version":1,"to":["a@example.com"],"event":{"kind":"digest","max_per_hour":30}}"#);
        assert_eq!(Notice::from_json(&text), Ok(notice));
        let newer = text.replace("\"version\":1", "\"version\":2");
        let expected = "the stored notice was written by a newer crondag (version 2; this one knows 1)";
        assert_eq!(Notice::from_json(&newer), Err(expected.to_owned()));
    }
}
