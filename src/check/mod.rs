//! From the rows of a check and what earlier dates recorded to verdicts.
//!
//! Pure: rows, history and times come as values. It must not read the store, a database or a clock.

mod judge;
mod observe;
mod reconcile;
mod show;
mod time;

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::dag::Verdict;

pub use judge::judge;
pub use observe::CheckFault;
pub use reconcile::Reconciliation;
pub use show::{change, number, sparkline, table};

/// One cell of a row.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub enum Cell {
    /// NULL.
    Null,
    Number(f64),
    /// Anything else.
    Text(String),
}

/// The rows of a query.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows, each as long as the columns.
    pub rows: Vec<Vec<Cell>>,
}

/// A key and a metric.
pub type Name = (String, String);

/// What an earlier date recorded, if its check did not fail.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub struct EarlierDate {
    /// The logical date.
    pub date: Timestamp,
    pub values: BTreeMap<Name, f64>,
}

/// A value with its judgement.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Which thing.
    pub key: String,
    /// Which number of it.
    pub metric: String,
    /// The number; `None` when there is none.
    pub value: Option<f64>,
    /// What it was compared with.
    pub baseline: Option<f64>,
    /// The worst verdict of all rules.
    pub verdict: Verdict,
    /// Why it is not ok; several reasons are joined by `; `.
    pub reason: Option<String>,
    /// Earlier values, oldest first.
    pub history: Vec<f64>,
}

/// The judgement on a check.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The values, by key and metric.
    pub values: Vec<Judged>,
    /// What is said of the check as a whole.
    pub findings: Vec<(Verdict, String)>,
    /// The worst of all.
    pub verdict: Verdict,
}
