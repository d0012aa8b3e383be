//! What somebody may do about it.

use std::fmt;

use serde::{Serialize, Serializer};

/// What somebody may do about it. A command is shown so that it can be copied, however narrow the terminal; as JSON it is its
/// text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextStep {
    /// To be typed as it stands.
    Command(String),
    /// In words.
    Advice(String),
    /// A line of a file, which no line break may divide.
    Line {
        /// Where it belongs.
        place: String,
        line: String,
    },
}

impl NextStep {
    /// A command of crondag.
    pub fn crondag(arguments: impl fmt::Display) -> NextStep {
        NextStep::Command(format!("crondag {arguments}"))
    }

    /// What somebody has to do himself.
    pub fn advice(text: impl Into<String>) -> NextStep {
        NextStep::Advice(text.into())
    }
}

impl fmt::Display for NextStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NextStep::Command(text) | NextStep::Advice(text) => f.write_str(text),
            NextStep::Line { place, line } => write!(f, "{place}: {line}"),
        }
    }
}

impl Serialize for NextStep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
