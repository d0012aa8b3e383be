//! What a `wait` task waits for, how often that is evaluated, and for how long.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::schedule::{DateBound, read_date};
use super::units::format_duration;
use super::words::words;

/// How an evaluation says "not yet" where exit statuses other than 0 may mean more than that: `EX_TEMPFAIL` of sysexits(3).
pub const NOT_YET: i32 = 75;

/// Waits until a condition holds. Every text in it is a template.
#[derive(Debug, Clone)]
pub struct Wait {
    /// What is waited for.
    pub condition: Condition,
    /// How long after an evaluation the next one follows.
    pub every: Duration,
    /// How long after the beginning of the first evaluation the wait is over.
    pub for_at_most: Duration,
    /// Whether the task is then skipped; else it has failed.
    pub soft_fail: bool,
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// A file, or at least one file that a glob matches.
    File(String),
    /// The first cell of a query is true.
    Query {
        /// The connection's name in crondag.toml.
        connection: String,
        /// The query; its last result set counts.
        query: String,
        /// Values bound to `:name`.
        params: BTreeMap<String, String>,
    },
    /// Another DAG's runs, or a task of them, have succeeded.
    Dag(AwaitedDag),
    /// A web server answers as expected.
    Url {
        /// `http://` or `https://`.
        url: String,
        /// The status that is expected; any from 200 to 299 when `None`.
        status: Option<u16>,
        /// What the body must contain.
        contains: Option<String>,
    },
    /// A script exits with 0.
    Command(String),
    /// A gate is open for the date.
    Gate(String),
}

/// Another DAG that is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitedDag {
    /// Its id.
    pub dag: String,
    /// The task of it; the whole run when `None`.
    pub task: Option<String>,
    /// Which of its runs.
    pub dates: AwaitedDates,
}

/// Which runs of another DAG are waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AwaitedDates {
    /// Those that match the waiting run.
    Matching {
        /// The waiting run's date is shifted by so many intervals of its own DAG.
        offset: i32,
        /// Which ones match it.
        over: Over,
    },
    /// Those of the dates that a template says, see [`named_dates`].
    Named(String),
}

/// The dates in a text, which are separated by spaces or commas: a day means every run whose logical date lies on it.
///
/// # Errors
/// The word that is no date; an empty one where there is none.
pub fn named_dates(text: &str) -> Result<Vec<DateBound>, String> {
    let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
    let dates: Vec<DateBound> =
        words.map(|word| read_date(word).ok_or_else(|| word.to_owned())).collect::<Result<_, _>>()?;
    if dates.is_empty() { Err(String::new()) } else { Ok(dates) }
}

words! {
    /// Which runs of another DAG match a waiting run.
    #[derive(Serialize, Deserialize)]
    pub enum Over {
        /// The run of the same logical date if its schedule has one, else all of the same local date.
        Date = "date",
        /// All that lie at least by half within the data interval of the waiting run.
        Interval = "interval",
    }
}

words! {
    /// What can be waited for, by the key that the DAG file uses for it.
    pub enum ConditionKind {
        /// [`Condition::File`]
        File = "file",
        /// [`Condition::Query`]
        Query = "query",
        /// [`Condition::Dag`]
        Dag = "dag",
        /// [`Condition::Url`]
        Url = "url",
        /// [`Condition::Command`]
        Command = "command",
        /// [`Condition::Gate`]
        Gate = "gate",
    }
}

impl Wait {
    /// Why the task ended that waited for `what` as long as it may.
    pub fn in_vain(&self, what: &str) -> String {
        format!("waited {} in vain for {what}", format_duration(self.for_at_most))
    }
}

impl Condition {
    /// What people are told of it: its templates rendered. A script and a query stay as they are written.
    ///
    /// # Errors
    /// A template does not render.
    pub fn rendered<E>(&self, render: impl Fn(&str) -> Result<String, E>) -> Result<Condition, E> {
        Ok(match self {
            Condition::File(path) => Condition::File(render(path)?),
            Condition::Gate(gate) => Condition::Gate(render(gate)?),
            Condition::Dag(awaited) => Condition::Dag(awaited.rendered(render)?),
            Condition::Query { .. } | Condition::Url { .. } | Condition::Command(_) => self.clone(),
        })
    }

    /// Whether an evaluation needs a process of its own. Otherwise it is a poll of the driver, which costs no slot.
    pub fn needs_process(&self) -> bool {
        match self {
            Condition::Query { .. } | Condition::Url { .. } | Condition::Command(_) => true,
            Condition::File(_) | Condition::Dag(_) | Condition::Gate(_) => false,
        }
    }

    /// Whether an evaluation that ended with this exit status only means that it is too early. A shell's 126 and 127 mean that
    /// there is no such program: waiting does not help.
    pub fn is_not_yet(&self, exit_status: i32) -> bool {
        match self {
            Condition::Command(_) => !matches!(exit_status, 0 | 126 | 127),
            Condition::File(_)
            | Condition::Query { .. }
            | Condition::Dag(_)
            | Condition::Gate(_)
            | Condition::Url { .. } => exit_status == NOT_YET,
        }
    }
}

impl AwaitedDag {
    /// The same with its template rendered.
    ///
    /// # Errors
    /// It does not render.
    pub fn rendered<E>(&self, render: impl Fn(&str) -> Result<String, E>) -> Result<AwaitedDag, E> {
        let dates = match &self.dates {
            AwaitedDates::Named(template) => AwaitedDates::Named(render(template)?),
            matching @ AwaitedDates::Matching { .. } => matching.clone(),
        };
        Ok(AwaitedDag { dates, ..self.clone() })
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Condition::File(path) => write!(f, "file {path}"),
            Condition::Query { connection, .. } => write!(f, "a query on {connection}"),
            Condition::Dag(awaited) => write!(f, "{awaited}"),
            Condition::Url { url, .. } => write!(f, "{url}"),
            Condition::Command(script) => write!(f, "the command {}", script.trim().lines().next().unwrap_or_default()),
            Condition::Gate(gate) => write!(f, "gate {gate}"),
        }
    }
}

impl std::fmt::Display for AwaitedDag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.task {
            Some(task) => write!(f, "task {task} of DAG {}", self.dag),
            None => write!(f, "DAG {}", self.dag),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_may_say_not_yet_with_any_failure_but_a_missing_program() {
        let not_yet = |condition: &Condition| [0, 1, 75, 126, 127].map(|status| condition.is_not_yet(status));
        assert_eq!(not_yet(&Condition::Command("false".to_owned())), [false, true, true, false, false]);
        let others = [0, NOT_YET - 1, NOT_YET].map(|status| Condition::File("f".to_owned()).is_not_yet(status));
        assert_eq!(others, [false, false, true]);
    }

    #[test]
    fn dates_are_separated_by_spaces_and_commas() {
        let count = |text| named_dates(text).map(|dates| dates.len());
        assert_eq!(count("2018-07-01"), Ok(1));
        assert_eq!(count(" 20180701, 2018-07-02T07:00\n2018-07-03T07:00+08:00 "), Ok(3));
        assert_eq!(count("2018-07-01 yesterday"), Err("yesterday".to_owned()));
        assert_eq!(count(" ,"), Err(String::new()));
    }

    #[test]
    fn a_wait_in_vain_says_how_long_it_was() {
        let wait = Wait {
            condition: Condition::File("in/_SUCCESS".to_owned()),
            every: Duration::from_secs(60),
            for_at_most: Duration::from_secs(5_400),
            soft_fail: false,
        };
        assert_eq!(wait.in_vain("file in/_SUCCESS"), "waited 1h30m in vain for file in/_SUCCESS");
    }

    #[test]
    fn conditions_are_said_in_words() {
        let words = [
            Condition::File("in/_SUCCESS".to_owned()),
            Condition::Command("\ntest -e a\ntest -e b".to_owned()),
            Condition::Gate("fresh".to_owned()),
        ];
        assert_eq!(words.map(|word| word.to_string()), ["file in/_SUCCESS", "the command test -e a", "gate fresh"]);
    }
}
