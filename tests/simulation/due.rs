//! The first promise, computed from outside: which intervals have a run, given when the planner looked at the clock, what
//! the files said then, and who paused what.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use jiff::Timestamp;

use super::version::Version;

/// A DAG file as it lies in the folder.
#[derive(Debug, Clone)]
pub enum File {
    Good(Rc<Version>),
    Broken,
}

/// What is remembered of a DAG.
#[derive(Debug, Clone)]
pub struct Known {
    pub version: Option<Rc<Version>>,
    pub is_active: bool,
    pub is_paused: bool,
    /// First seen, come back, or last unpaused.
    pub from: Timestamp,
    /// The newest fire time that was dealt with.
    pub until: Option<Timestamp>,
}

/// All DAGs and the intervals that must have a run.
#[derive(Debug, Clone, Default)]
pub struct Due {
    pub dags: BTreeMap<String, Known>,
    pub runs: BTreeSet<(String, Timestamp)>,
}

/// As [`Due`] is in the database.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// By id: active, paused, from, until; in microseconds.
    pub dags: BTreeMap<String, (bool, bool, i64, Option<i64>)>,
    pub runs: BTreeSet<(String, i64)>,
}

impl Due {
    /// What a client that uses a file remembers of it.
    pub fn use_file(&mut self, version: &Rc<Version>, now: Timestamp) {
        self.dags.entry(version.dag.clone()).or_insert(fresh(now)).version = Some(version.clone());
    }

    pub fn pause(&mut self, dag: &str, is_paused: bool, now: Timestamp) {
        let known = self.dags.entry(dag.to_owned()).or_insert(fresh(now));
        if known.is_paused && !is_paused {
            known.from = now;
        }
        known.is_paused = is_paused;
    }

    /// A look at the files and the clock; whether it has changed anything.
    pub fn look(&mut self, files: &BTreeMap<String, File>, now: Timestamp) -> bool {
        let mut changed = false;
        for (dag, known) in &mut self.dags {
            changed |= known.is_active && !files.contains_key(dag);
            known.is_active &= files.contains_key(dag);
        }
        for (dag, file) in files {
            changed |= !self.dags.contains_key(dag);
            let known = self.dags.entry(dag.clone()).or_insert(fresh(now));
            if !known.is_active {
                changed = true;
                known.is_active = true;
                known.from = now;
            }
            if let File::Good(version) = file {
                known.version = Some(version.clone());
            }
            let Some(version) = known.version.clone().filter(|_| !known.is_paused) else { continue };
            let due: Vec<(Timestamp, Timestamp)> = if version.catchup {
                let from = known.until.or(version.first).unwrap_or(known.from);
                version.closed_between(from, now).to_vec()
            } else {
                let from = known.until.map_or(known.from, |until| until.max(known.from));
                version.closed_between(from, now).last().copied().into_iter().collect()
            };
            changed |= !due.is_empty();
            for (start, end) in due {
                self.runs.insert((dag.clone(), start));
                known.until = known.until.max(Some(end));
            }
        }
        changed
    }

    pub fn found(&self) -> Found {
        let micros = |at: Timestamp| at.as_microsecond();
        Found {
            dags: self
                .dags
                .iter()
                .map(|(dag, known)| {
                    (dag.clone(), (known.is_active, known.is_paused, micros(known.from), known.until.map(micros)))
                })
                .collect(),
            runs: self.runs.iter().map(|(dag, start)| (dag.clone(), micros(*start))).collect(),
        }
    }
}

fn fresh(now: Timestamp) -> Known {
    Known { version: None, is_active: true, is_paused: false, from: now, until: None }
}
