//! The way in: files of other schedulers become DAG files, and what does not carry over is said.
//!
//! Nothing here reads a file, starts a program or asks the clock: texts go in, texts and notes come out.

pub mod crontab;
mod toml_text;

use serde::Serialize;

/// How much a note matters to whoever moves over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// It works in another way than before, and as well.
    Changed,
    /// A change that is offered and was not made.
    Proposed,
    /// It does not carry over; somebody has to act.
    Lost,
}

/// Something that whoever moves over should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The line of the file that it is about, from 1.
    pub line: usize,
    /// How much it matters.
    pub weight: Weight,
    /// What it is, as a sentence without its end.
    pub text: String,
}

/// A DAG file that is to be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportedDag {
    /// The DAG's id: the file is `dags/ID.toml`.
    pub dag_id: String,
    /// The line of the source file, from 1.
    pub line: usize,
    /// The text of the DAG file.
    pub text: String,
    /// The job was switched off where it comes from.
    pub is_paused: bool,
}
