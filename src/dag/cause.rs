//! A cause of failure as data: what tells of it, and what to do about it. `diagnosis.toml` holds such causes.

use regex::Regex;

/// Which kind of cause it is: the five usual ones of ETL, and the surroundings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CauseClass {
    /// Memory, queue, processes: the job asked for more than it got.
    Resources,
    /// The input came after the task had started.
    UpstreamLate,
    /// The input is there, and is not as it always was.
    UpstreamAbnormal,
    /// The job itself is wrong.
    Logic,
    /// What the input means has changed.
    BusinessChange,
    /// Files, programs, permissions, connections.
    Environment,
}

impl CauseClass {
    /// All of them, in the order of [`CauseClass::NAMES`].
    pub const ALL: [CauseClass; 6] = [
        CauseClass::Resources,
        CauseClass::UpstreamLate,
        CauseClass::UpstreamAbnormal,
        CauseClass::Logic,
        CauseClass::BusinessChange,
        CauseClass::Environment,
    ];

    /// As files and `--json` write them.
    pub const NAMES: [&'static str; 6] =
        ["resources", "upstream_late", "upstream_abnormal", "logic", "business_change", "environment"];

    /// As files and `--json` write it.
    pub fn as_str(self) -> &'static str {
        match self {
            CauseClass::Resources => "resources",
            CauseClass::UpstreamLate => "upstream_late",
            CauseClass::UpstreamAbnormal => "upstream_abnormal",
            CauseClass::Logic => "logic",
            CauseClass::BusinessChange => "business_change",
            CauseClass::Environment => "environment",
        }
    }

    /// The class of that name.
    pub fn parse(name: &str) -> Option<CauseClass> {
        CauseClass::ALL.into_iter().find(|class| class.as_str() == name)
    }
}

/// How an attempt ended without an exit status or a signal of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CauseEnding {
    /// It took longer than its `timeout`.
    TimedOut,
    /// Somebody stopped it.
    Stopped,
    /// Its watcher was killed, or the machine went down.
    Lost,
}

impl CauseEnding {
    /// As files write them.
    pub const NAMES: [&'static str; 3] = ["timed_out", "stopped", "lost"];

    /// In words.
    pub fn describe(self) -> &'static str {
        match self {
            CauseEnding::TimedOut => "timed out",
            CauseEnding::Stopped => "stopped by request",
            CauseEnding::Lost => "its watcher was killed, or the machine went down",
        }
    }

    /// The ending of that name.
    pub fn parse(name: &str) -> Option<CauseEnding> {
        match name {
            "timed_out" => Some(CauseEnding::TimedOut),
            "stopped" => Some(CauseEnding::Stopped),
            "lost" => Some(CauseEnding::Lost),
            _ => None,
        }
    }
}

/// One cause of `diagnosis.toml`.
#[derive(Debug, Clone)]
pub struct Cause {
    /// Its name in the file, unique.
    pub id: String,
    /// For people; reads after "because ".
    pub name: String,
    /// Which kind it is.
    pub class: CauseClass,
    /// Whether a match alone proves it.
    pub is_certain: bool,
    /// From 1 to 9: of two causes that match, the more specific one is the root and the other one a consequence.
    pub specificity: u8,
    /// The actions of tasks that can have it, as DAG files name them; all of them when it names none.
    pub actions: Vec<String>,
    /// Any of them in a line of the log tells of it. A group named `path` catches a file that is missing.
    pub patterns: Vec<Regex>,
    /// Exit statuses that tell of it; by themselves they only make it likely.
    pub exit_codes: Vec<u8>,
    /// Signals that tell of it, likewise.
    pub signals: Vec<u8>,
    /// An ending that tells of it.
    pub ending: Option<CauseEnding>,
    /// Whether what is missing is what an upstream makes, so that a late upstream explains it.
    pub is_of_upstream: bool,
    /// Options of Spark, or `timeout`, to raise.
    pub raise: Vec<String>,
    /// What to do.
    pub advice: String,
    /// What to do beside, when it is a spark task.
    pub spark_advice: Option<String>,
    /// What to do beside, when it is a script.
    pub shell_advice: Option<String>,
    /// What to do beside, when it is SQL.
    pub sql_advice: Option<String>,
    /// What to type; `{dag}`, `{task}` and `{run}` are filled in.
    pub command: String,
}

impl Cause {
    /// Whether a task with this action can have it.
    pub fn is_of(&self, action: &str) -> bool {
        self.actions.is_empty() || self.actions.iter().any(|own| own == action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_as_what_it_names() {
        assert_eq!(CauseClass::ALL.map(CauseClass::as_str), CauseClass::NAMES);
        assert_eq!(CauseClass::NAMES.map(CauseClass::parse), CauseClass::ALL.map(Some));
        assert_eq!(CauseClass::parse("bad_luck"), None);
        let endings = [CauseEnding::TimedOut, CauseEnding::Stopped, CauseEnding::Lost];
        assert_eq!(CauseEnding::NAMES.map(CauseEnding::parse), endings.map(Some));
        assert_eq!(CauseEnding::parse("killed"), None);
        assert_eq!(
            endings.map(CauseEnding::describe),
            ["timed out", "stopped by request", "its watcher was killed, or the machine went down"]
        );
    }
}
