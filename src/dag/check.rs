//! What a `check` task queries, and what its values must keep.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::sql::SqlSource;

/// The judgement on a value, a check or a gate. The worse one is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// People are told; the run goes on.
    Warn,
    /// The task fails; a gate stays shut.
    Fail,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Verdict; 3] = [Verdict::Ok, Verdict::Warn, Verdict::Fail];

    /// The word in files, in the store and in `--json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        }
    }

    /// The verdict of that name.
    pub fn parse(text: &str) -> Option<Verdict> {
        Verdict::ALL.into_iter().find(|verdict| verdict.as_str() == text)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where the values of a check come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// The rows of a query.
    Query(Query),
    /// The CSV that a script for `bash -c` prints, its first line the names of the columns. A template.
    Command(String),
}

/// A query, where it stands and on which connection it runs.
#[derive(Debug, Clone)]
pub struct Query {
    /// The connection's name in crondag.toml.
    pub connection: String,
    /// The query.
    pub query: SqlSource,
    /// Values bound to `:name`; templates.
    pub params: BTreeMap<String, String>,
}

/// One `check`.
#[derive(Debug, Clone)]
pub struct Check {
    /// Where its rows come from.
    pub source: Source,
    /// How they are judged.
    pub rules: Rules,
    /// The gate that gets the verdict.
    pub gate: Option<String>,
    /// A second query that must agree.
    pub reconcile: Option<Reconcile>,
}

/// How the rows of a check are judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// The columns that make up the key; the first column when empty.
    pub key: Vec<String>,
    /// The columns that are recorded; all others when empty.
    pub metrics: Vec<String>,
    /// When there are no rows at all.
    pub no_rows: Verdict,
    /// When a key has several rows.
    pub duplicate_keys: Verdict,
    /// When a key of the newest good date has no row.
    pub missing_keys: Verdict,
    /// When a key was never there before.
    pub new_keys: Verdict,
    /// The rules, in the order of the file.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// The metrics that it is for; all when empty.
    pub metrics: Vec<String>,
    /// Patterns of the keys that it is for; all when empty.
    pub keys: Vec<String>,
    /// The value must not be below.
    pub min: Option<f64>,
    /// The value must not be above.
    pub max: Option<f64>,
    /// As a share of the baseline.
    pub max_change: Option<f64>,
    /// In robust standard deviations.
    pub max_deviations: Option<f64>,
    /// The baseline of `max_change`.
    pub against: Baseline,
    /// From which size of the value or its baseline on changes and deviations are judged.
    #[serde(default)]
    pub min_base: Option<f64>,
    /// How many earlier dates make a median.
    pub last: u32,
    /// A median of fewer judges nothing.
    pub at_least: u32,
    /// Share of rows without a number.
    pub max_null_share: Option<f64>,
    /// Age of a time at the end of the data interval.
    pub max_age: Option<Duration>,
    /// The verdict when it is broken.
    pub verdict: Verdict,
}

/// What a value is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// The median of the last dates.
    Median,
    /// The newest date before.
    Previous,
    /// The newest date before that is a multiple of seven days away.
    SameWeekday,
}

impl Baseline {
    /// The word in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Baseline::Median => "median",
            Baseline::Previous => "previous",
            Baseline::SameWeekday => "same_weekday",
        }
    }

    /// The baseline of that name.
    pub fn parse(text: &str) -> Option<Baseline> {
        [Baseline::Median, Baseline::Previous, Baseline::SameWeekday].into_iter().find(|word| word.as_str() == text)
    }
}

/// A second query that must agree with the first.
#[derive(Debug, Clone)]
pub struct Reconcile {
    /// Where its rows come from.
    pub source: Source,
    /// By which share of the larger value they may differ.
    pub tolerance: f64,
    /// The verdict when they do not agree.
    pub verdict: Verdict,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_as_what_it_names() {
        assert_eq!(Verdict::ALL.map(Verdict::as_str), ["ok", "warn", "fail"]);
        assert_eq!(Verdict::ALL.map(|verdict| Verdict::parse(verdict.as_str())), Verdict::ALL.map(Some));
        assert_eq!(Verdict::parse("OK"), None);
        let baselines = [Baseline::Median, Baseline::Previous, Baseline::SameWeekday];
        assert_eq!(baselines.map(Baseline::as_str), ["median", "previous", "same_weekday"]);
        assert_eq!(baselines.map(|baseline| Baseline::parse(baseline.as_str())), baselines.map(Some));
        assert_eq!(Baseline::parse("mean"), None);
    }
}
