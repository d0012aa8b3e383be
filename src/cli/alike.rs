//! Runs of one date that a list would show alike.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::dag::DagId;

/// The ids of those runs of a list that share their DAG, their logical date and what else is shown of them with another run of it.
pub(super) fn alike<'a>(runs: impl Iterator<Item = (&'a DagId, Timestamp, &'a str, &'a str)>) -> BTreeSet<&'a str> {
    let mut of_date: BTreeMap<(&DagId, Timestamp, &str), BTreeSet<&str>> = BTreeMap::new();
    for (dag_id, logical_date, shown, run_id) in runs {
        of_date.entry((dag_id, logical_date, shown)).or_default().insert(run_id);
    }
    of_date.into_values().filter(|ids| ids.len() > 1).flatten().collect()
}
