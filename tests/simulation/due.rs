//! The first promise, computed from outside: which intervals have a run, given when the planner made its passes, what
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
    /// A mark that was ahead of the clock.
    pub set_aside: Option<Timestamp>,
}

impl PartialEq for Known {
    fn eq(&self, other: &Known) -> bool {
        (self.mark(), self.is_active, self.is_paused, self.from, self.until, self.set_aside)
            == (other.mark(), other.is_active, other.is_paused, other.from, other.until, other.set_aside)
    }
}

/// All DAGs and the intervals that must have a run.
#[derive(Debug, Clone, Default)]
pub struct Due {
    pub dags: BTreeMap<String, Known>,
    pub runs: BTreeSet<(String, Timestamp, Timestamp)>,
    /// The ends of those of them that passes have made.
    pub scheduled: BTreeMap<String, BTreeSet<Timestamp>>,
    /// Changes with everything that may have changed here.
    pub changes: u64,
    /// Runs beside the newest that catchup made.
    pub caught_up: u64,
}

/// What is in the database of all DAGs, by id: active, paused, from, until, in microseconds; and the mark of the version:
/// where nothing is due, it alone says that there was a pass, and a file may be broken later.
pub type Dags = BTreeMap<String, Row>;

pub type Row = (bool, bool, i64, Option<i64>, Option<u32>);

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

    /// A pass by the files and the clock, or with `None` by the clock alone; whether it has changed anything. `room` says how
    /// many runs a DAG that catches up may get.
    pub fn pass(
        &mut self,
        files: Option<&BTreeMap<String, File>>,
        now: Timestamp,
        room: &dyn Fn(&str, &Known) -> Room,
    ) -> bool {
        let mut changed = false;
        if let Some(files) = files {
            changed |= self.take_note(files, now);
        }
        for (dag, known) in &mut self.dags {
            let Some(version) = known.version.clone().filter(|_| known.is_active && !known.is_paused) else { continue };
            let mut ran: Vec<(Timestamp, Timestamp)> = intervals_of(&self.runs, dag);
            if !known.is_due(&version, now) {
                continue;
            }
            let allowed = room(dag, known);
            if matches!(allowed, Room::Unseen) {
                continue;
            }
            let before = known.clone();
            known.heed(&version, self.scheduled.get(dag), now);
            let mut made = 0;
            for (start, end) in known.due(&version, now).to_vec() {
                if let Some(run) = place(&version, (start, end), &ran) {
                    if !allowed.has(made, end) {
                        break;
                    }
                    made += 1;
                    self.runs.insert((dag.clone(), run.0, run.1));
                    self.scheduled.entry(dag.clone()).or_default().insert(run.1);
                    ran.push(run);
                }
                known.until = known.until.max(Some(end));
            }
            self.caught_up += made.saturating_sub(1);
            changed |= made > 0 || *known != before;
        }
        self.changes += u64::from(changed);
        changed
    }

    fn take_note(&mut self, files: &BTreeMap<String, File>, now: Timestamp) -> bool {
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
        }
        changed
    }

    /// Whether a pass at `now`, which is some time ago, should have changed anything.
    pub fn is_behind(
        &self,
        files: &BTreeMap<String, File>,
        now: Timestamp,
        room: &dyn Fn(&str, &Known) -> Room,
    ) -> bool {
        let mut due = self.clone();
        due.take_note(files, now) || {
            due.pass(None, now, room);
            due.runs != self.runs
        }
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
        self.dags.iter().map(|(dag, known)| (dag.clone(), known.row())).collect()
    }
}

/// How many runs a DAG may get in a pass.
#[derive(Debug, Clone, Copy)]
pub enum Room {
    /// So many.
    Runs(u64),
    /// Those that end until then.
    Until(Option<Timestamp>),
    /// It is not planned.
    Unseen,
}

impl Room {
    fn has(self, made: u64, end: Timestamp) -> bool {
        match self {
            Room::Runs(runs) => made < runs,
            Room::Until(until) => until.is_some_and(|until| end <= until),
            Room::Unseen => false,
        }
    }
}

impl Known {
    /// As the database has it.
    pub fn row(&self) -> Row {
        let micros = |at: Timestamp| at.as_microsecond();
        (self.is_active, self.is_paused, micros(self.from), self.until.map(micros), self.mark())
    }

    fn mark(&self) -> Option<u32> {
        self.version.as_ref().map(|version| version.mark)
    }

    /// Where the search for due intervals begins.
    fn begins(&self, version: &Version) -> Timestamp {
        if version.catchup {
            self.until.or(version.first).unwrap_or(self.from)
        } else {
            self.until.map_or(self.from, |until| until.max(self.from))
        }
    }

    fn is_due(&self, version: &Version, now: Timestamp) -> bool {
        let is_ahead = self.from > now || self.until.is_some_and(|until| until > now);
        is_ahead || !version.closed_between(self.begins(version), now).is_empty()
    }

    /// Believes the clock.
    fn heed(&mut self, version: &Version, scheduled: Option<&BTreeSet<Timestamp>>, now: Timestamp) {
        if self.set_aside.is_some_and(|mark| mark <= now) {
            self.until = self.until.max(self.set_aside.take());
        }
        if let Some(mark) = self.until.filter(|mark| *mark > now) {
            self.set_aside = if version.catchup { self.set_aside.max(Some(mark)) } else { None };
            let before = scheduled.and_then(|ends| ends.range(..=now).next_back().copied());
            self.until = before.or(version.catchup.then_some(now));
        }
        self.from = self.from.min(now);
    }

    /// The intervals that have not been dealt with; of a DAG that does not catch up, the newest.
    fn due<'a>(&self, version: &'a Version, now: Timestamp) -> &'a [(Timestamp, Timestamp)] {
        let closed = version.closed_between(self.begins(version), now);
        if version.catchup { closed } else { &closed[closed.len().saturating_sub(1)..] }
    }
}

/// What runs of an interval, given what ran: all of it, what is left of it, or nothing.
fn place(
    version: &Version,
    (start, end): (Timestamp, Timestamp),
    ran: &[(Timestamp, Timestamp)],
) -> Option<(Timestamp, Timestamp)> {
    let zone = version.time_zone();
    let length = |(start, end): (Timestamp, Timestamp)| zone.to_datetime(start).duration_until(zone.to_datetime(end));
    let overlapping: Vec<(Timestamp, Timestamp)> =
        ran.iter().copied().filter(|(from, to)| *from < end && start < *to).collect();
    let last = overlapping.iter().map(|(_, to)| *to).max();
    let Some(last) = last else { return Some((start, end)) };
    if overlapping.contains(&(start, end))
        || overlapping.iter().any(|(from, to)| *to == end && *from >= start) && last == end
    {
        return None;
    }
    let longest = overlapping.iter().copied().map(length).max().unwrap();
    if length((start, end)) > longest {
        return Some((start, end));
    }
    let is_later = overlapping
        .iter()
        .filter(|it| length(**it) == longest)
        .all(|(from, _)| zone.to_datetime(*from).date() < zone.to_datetime(start).date());
    // A day or more has a date of its own: what is left of it takes none of the interval that follows.
    let is_short = length((start, end)) < jiff::SignedDuration::from_hours(24);
    let has_date = is_short || zone.to_datetime(last).date() < zone.to_datetime(end).date();
    (is_later && has_date && last < end).then_some((last, end))
}

fn intervals_of(runs: &BTreeSet<(String, Timestamp, Timestamp)>, dag: &str) -> Vec<(Timestamp, Timestamp)> {
    let of = |at| (dag.to_owned(), at, at);
    runs.range(of(Timestamp::MIN)..=of(Timestamp::MAX)).map(|(_, start, end)| (*start, *end)).collect()
}

fn fresh(now: Timestamp) -> Known {
    Known { version: None, is_active: true, is_paused: false, from: now, until: None, set_aside: None }
}
