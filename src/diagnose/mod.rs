//! From the evidence of a failed attempt to its most probable causes.
//!
//! Pure: the log, the end, the times and the recorded values come as values, the causes from a catalogue that is data
//! (`diagnosis.toml` in this folder, and the home's). It must not read a file, a clock or the store, and never claims more
//! than the evidence shows: without any it says that the cause is unknown.

mod catalogue;
mod history;
mod log;
mod rank;

use jiff::Timestamp;

use crate::dag::{CauseClass, CauseEnding};

pub use catalogue::Catalogue;
pub use history::{Measure, Owner, Recorded, Series};
pub use log::{Line, LineNumber, Log};

/// How sure a diagnosis is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Nothing tells.
    Unknown,
    /// The evidence fits, and something else might fit too.
    Likely,
    /// The evidence leaves no room.
    Certain,
}

impl Confidence {
    /// As people and `--json` read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Confidence::Unknown => "unknown",
            Confidence::Likely => "likely",
            Confidence::Certain => "certain",
        }
    }
}

/// How the attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With this exit status.
    Exited(u8),
    /// By this signal.
    Signaled(u8),
    /// Otherwise.
    Other(CauseEnding),
    /// It never began, for this reason.
    NotStarted(String),
    /// It is not known how.
    Unknown,
}

/// When a task that this one waits for ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub struct Upstream {
    pub task: String,
    /// When its newest attempt ended; `None` while it runs or when it never ran.
    pub ended: Option<Timestamp>,
    /// Whether it runs or has still to run.
    pub is_unfinished: bool,
}

/// A file that the log names as missing, and that is there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTime {
    /// As the log names it.
    pub path: String,
    /// When it was last written.
    pub modified: Timestamp,
}

/// What a cause's advice speaks of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub struct Subject {
    pub dag: String,
    pub task: String,
    /// The run's date or id, as commands take it.
    pub run: String,
    /// The settings that can be raised and what they are now: `executor_memory` and `8g`.
    pub settings: Vec<(String, String)>,
    /// The table that options of Spark are in: `[tasks.merge.spark]`; `None` for what starts no Spark of its own.
    pub spark_table: Option<String>,
    /// From which tasks on to run again so that the repair is whole; the task itself where this names none. Of a check, whatever
    /// may have made what it found wrong.
    pub again: Vec<String>,
}

impl Subject {
    /// `crondag clear userprofile 2018-07-01 --task orders,visits`
    pub(crate) fn clear_from(&self, tasks: &[String]) -> String {
        let tasks = if tasks.is_empty() { self.task.clone() } else { tasks.join(",") };
        format!("crondag clear {} {} --task {tasks}", self.dag, self.run)
    }
}

/// All that is known of a failed attempt.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub struct Evidence {
    /// Whose it is.
    pub subject: Subject,
    /// How it ended.
    pub end: End,
    pub started: Option<Timestamp>,
    /// What it printed.
    pub log: Log,
    /// The tasks that it waits for.
    pub upstreams: Vec<Upstream>,
    /// Files that were missing.
    pub files: Vec<FileTime>,
    /// Values that checks have recorded.
    pub history: Vec<Series>,
    /// What could not be read, a clause each.
    pub gaps: Vec<String>,
    /// What the task does, as DAG files name it: `shell`.
    pub action: &'static str,
}

/// One cause that the evidence speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The cause's id in the catalogue; `upstream-late` and the like for those that are not of the log.
    pub id: String,
    /// For people.
    pub name: String,
    /// Which kind it is.
    pub class: CauseClass,
    /// How sure.
    pub confidence: Confidence,
    /// What speaks for it, a line each: `line 12: ...`.
    pub evidence: Vec<String>,
    /// What to do.
    pub advice: String,
    /// What to type.
    pub command: String,
}

/// The causes, the most probable first; none when nothing fits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// The causes.
    pub findings: Vec<Finding>,
    /// When nothing is certain: the last lines that look like errors.
    pub error_lines: Vec<String>,
    /// What to type when there is no cause.
    pub command: String,
    /// What repairs the whole of it, once its cause is mended.
    pub repair: String,
    /// What could not be read, a clause each: `the log cannot be read: Permission denied`.
    pub gaps: Vec<String>,
}

impl Diagnosis {
    /// Of a task that waited for `what` as long as it may; `reason` says how long.
    pub fn of_vain_wait(subject: &Subject, what: &str, reason: &str) -> Diagnosis {
        let command = subject.clear_from(&subject.again);
        let finding = Finding {
            id: "waited-in-vain".to_owned(),
            name: "what the task waits for did not come in time".to_owned(),
            class: CauseClass::UpstreamLate,
            confidence: Confidence::Certain,
            evidence: vec![format!("{} {reason}", subject.task)],
            advice: format!("ask who answers for {what}; once it is there, let the task wait again"),
            command: command.clone(),
        };
        let repair = command.clone();
        Diagnosis { findings: vec![finding], error_lines: Vec::new(), command, repair, gaps: Vec::new() }
    }

    /// How sure the first cause is.
    pub fn confidence(&self) -> Confidence {
        self.findings.first().map_or(Confidence::Unknown, |finding| finding.confidence)
    }

    /// One line: `certain: the disk is full (environment)`.
    pub fn headline(&self) -> String {
        match self.findings.first() {
            Some(first) => format!("{}: {} ({})", first.confidence.as_str(), first.name, first.class.as_str()),
            None if !self.gaps.is_empty() => format!("unknown: {}", self.gaps.join("; ")),
            None => "unknown: nothing in the log or the end fits a known cause".to_owned(),
        }
    }
}
