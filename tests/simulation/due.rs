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
    pub runs: BTreeSet<(String, Timestamp, Timestamp)>,
    /// Changes with everything that may have changed here.
    pub changes: u64,
    /// Runs beside the newest that catchup made.
    pub caught_up: u64,
}

/// What is in the database of all DAGs, by id: active, paused, from, until, in microseconds; and the mark of the version:
/// where nothing is due, it alone says that there was a look, and a file may be broken later.
pub type Dags = BTreeMap<String, (bool, bool, i64, Option<i64>, Option<u32>)>;

impl Due {
    /// What a client that uses a file remembers of it.
    pub fn use_file(&mut self, version: &Rc<Version>, now: Timestamp) {
        self.changes += 1;
        self.dags.entry(version.dag.clone()).or_insert(fresh(now)).version = Some(version.clone());
    }

    pub fn pause(&mut self, dag: &str, is_paused: bool, now: Timestamp) {
        self.changes += 1;
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
                changed |= known.mark() != Some(version.mark);
                known.version = Some(version.clone());
            }
            let Some(version) = known.version.clone().filter(|_| !known.is_paused) else { continue };
            self.caught_up += known.due(&version, now).len().saturating_sub(1) as u64;
            for &(start, end) in known.due(&version, now) {
                changed = true;
                self.runs.insert((dag.clone(), start, end));
                known.until = known.until.max(Some(end));
            }
        }
        self.changes += u64::from(changed);
        changed
    }

    /// Whether a look at `now` would change anything.
    pub fn is_behind(&self, files: &BTreeMap<String, File>, now: Timestamp) -> bool {
        self.dags.iter().any(|(dag, known)| known.is_active && !files.contains_key(dag))
            || files.iter().any(|(dag, file)| {
                let Some(known) = self.dags.get(dag).filter(|known| known.is_active) else { return true };
                let version = match file {
                    File::Good(version) if known.mark() != Some(version.mark) => return true,
                    File::Good(version) => Some(version),
                    File::Broken => known.version.as_ref(),
                };
                !known.is_paused && version.is_some_and(|version| !known.due(version, now).is_empty())
            })
    }

    /// When something may be due next.
    pub fn next_after(&self, files: &BTreeMap<String, File>, now: Timestamp) -> Option<Timestamp> {
        let known = self.dags.values().filter_map(|known| known.version.as_ref());
        let good = files.values().filter_map(|file| match file {
            File::Good(version) => Some(version),
            File::Broken => None,
        });
        known.chain(good).filter_map(|version| version.next_after(now)).min()
    }

    pub fn dags(&self) -> Dags {
        let micros = |at: Timestamp| at.as_microsecond();
        let row = |known: &Known| {
            (known.is_active, known.is_paused, micros(known.from), known.until.map(micros), known.mark())
        };
        self.dags.iter().map(|(dag, known)| (dag.clone(), row(known))).collect()
    }
}

impl Known {
    fn mark(&self) -> Option<u32> {
        self.version.as_ref().map(|version| version.mark)
    }

    /// The intervals that must have a run and have not been dealt with.
    fn due<'a>(&self, version: &'a Version, now: Timestamp) -> &'a [(Timestamp, Timestamp)] {
        if version.catchup {
            version.closed_between(self.until.or(version.first).unwrap_or(self.from), now)
        } else {
            let closed = version.closed_between(self.until.map_or(self.from, |until| until.max(self.from)), now);
            &closed[closed.len().saturating_sub(1)..]
        }
    }
}

fn fresh(now: Timestamp) -> Known {
    Known { version: None, is_active: true, is_paused: false, from: now, until: None }
}
