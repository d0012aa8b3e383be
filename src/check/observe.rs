//! The rows of a check by key and metric.

use std::collections::{BTreeMap, BTreeSet};

use super::show::short;
use super::{Cell, Name, Rows};
use crate::dag::check::{Rule, Rules};
use crate::dag::pattern::matches;

/// So much of a text is shown.
pub(super) const SHOWN: usize = 60;

/// Why rows cannot be judged. Reads after "error: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckFault {
    /// A column that the check names is not there.
    #[error("the query gives no column `{column}`; it gives {given}")]
    Column {
        /// The column.
        column: String,
        /// Those that are there.
        given: String,
    },
    /// There is no column left to record.
    #[error("the query gives only `{0}`: a check needs a key and at least one number beside it")]
    NoMetrics(String),
}

/// Rows by key and metric.
pub(super) struct Observed<'r> {
    pub(super) values: BTreeMap<Name, Option<f64>>,
    /// How many rows each key has.
    pub(super) rows_of: BTreeMap<String, usize>,
    pub(super) metrics: Vec<String>,
    /// Metrics with a number in any row.
    numeric: BTreeSet<&'r str>,
    /// Rows with NULL, by metric.
    pub(super) nulls: BTreeMap<&'r str, usize>,
    /// What is no number, by key and metric: times, where a rule says so, and nothing else that may stand.
    pub(super) texts: BTreeMap<Name, &'r str>,
    pub(super) total: usize,
}

impl Observed<'_> {
    /// Whether any row has a number there.
    pub(super) fn is_numeric(&self, metric: &str) -> bool {
        self.numeric.contains(metric)
    }

    /// What stands in a value's place that is neither a number nor, for a rule, a time.
    pub(super) fn no_number(&self, rules: &Rules, name: &Name) -> Option<String> {
        let text = self.texts.get(name)?;
        let is_time =
            |rule: &Rule| rule.max_age.is_some() && is_for(&rule.metrics, &name.1) && is_for(&rule.keys, &name.0);
        (!rules.rules.iter().any(is_time)).then(|| no_number(text))
    }
}

fn no_number(text: &str) -> String {
    if text.is_empty() {
        "an empty text is no number".to_owned()
    } else if text.trim().is_empty() {
        "a text of blanks is no number".to_owned()
    } else if text.trim().parse::<f64>().is_ok() {
        format!("`{}` is no finite number", short(text, SHOWN))
    } else {
        format!("`{}` is no number", short(text, SHOWN))
    }
}

/// Whether a rule with these patterns is for that metric or key.
pub(super) fn is_for(patterns: &[String], name: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern, name))
}

/// Sorts rows by key and metric.
pub(super) fn observe<'r>(rules: &Rules, rows: &'r Rows) -> Result<Observed<'r>, CheckFault> {
    let place = |column: &String| {
        rows.columns.iter().position(|name| name == column).ok_or_else(|| CheckFault::Column {
            column: column.clone(),
            given: if rows.columns.is_empty() { "no columns".to_owned() } else { rows.columns.join(", ") },
        })
    };
    let nothing = Observed {
        values: BTreeMap::new(),
        rows_of: BTreeMap::new(),
        metrics: Vec::new(),
        numeric: BTreeSet::new(),
        nulls: BTreeMap::new(),
        texts: BTreeMap::new(),
        total: 0,
    };
    // A program that prints no header for no rows has not broken the check.
    if rows.columns.is_empty() && rows.rows.is_empty() {
        return Ok(nothing);
    }
    let keys: Vec<usize> =
        if rules.key.is_empty() { vec![0] } else { rules.key.iter().map(place).collect::<Result<_, _>>()? };
    let metrics: Vec<usize> = if rules.metrics.is_empty() {
        (0..rows.columns.len()).filter(|column| !keys.contains(column)).collect()
    } else {
        rules.metrics.iter().map(place).collect::<Result<_, _>>()?
    };
    if metrics.is_empty() {
        return Err(CheckFault::NoMetrics(rows.columns.join(", ")));
    }
    let mut observed = Observed {
        metrics: metrics.iter().map(|&column| rows.columns[column].clone()).collect(),
        total: rows.rows.len(),
        ..nothing
    };
    for row in &rows.rows {
        let key = keys.iter().map(|&column| written(&row[column])).collect::<Vec<_>>().join("/");
        *observed.rows_of.entry(key.clone()).or_default() += 1;
        for &column in &metrics {
            let metric = &rows.columns[column];
            let name = (key.clone(), metric.clone());
            let value = observed.values.entry(name.clone()).or_default();
            match &row[column] {
                // Several rows of a key are added up: counts of a key that was split are its count.
                Cell::Number(number) => {
                    observed.numeric.insert(metric);
                    *value = Some(value.unwrap_or(0.0) + number);
                }
                Cell::Null => *observed.nulls.entry(metric.as_str()).or_default() += 1,
                Cell::Text(text) => {
                    observed.texts.insert(name, text);
                }
            }
        }
    }
    let infinite = observed.values.iter().filter(|(_, value)| value.is_some_and(|value| !value.is_finite()));
    let word = |value: &Option<f64>| if value.is_some_and(f64::is_nan) { "NaN" } else { "inf" };
    observed.texts.extend(infinite.map(|(name, value)| (name.clone(), word(value))).collect::<Vec<_>>());
    // The sum of what is left is not the value.
    for name in observed.texts.keys() {
        observed.values.insert(name.clone(), None);
    }
    Ok(observed)
}

fn written(cell: &Cell) -> String {
    match cell {
        Cell::Null => "NULL".to_owned(),
        Cell::Number(number) => number.to_string(),
        Cell::Text(text) => text.clone(),
    }
}
