//! What people should know about the next runs of a DAG, before they wonder.

use std::fmt;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::schedule::{History, MOST_COUNTED, backlog, heed_clock, mark_ahead, room, searched_until, upcoming};
use crate::dag::schedule::{DataInterval, Place, Upcoming};
use crate::dag::{Dag, DagId};
use crate::store::{DagRow, StoreError};

/// Clocks are corrected by seconds all the time; nobody needs to hear of it.
const WORTH_SAYING: SignedDuration = SignedDuration::from_mins(5);

/// Something about the next runs of a DAG that its schedule alone does not say. Reads as a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub struct Note {
    pub dag_id: DagId,
    /// In which its times are said.
    pub zone: TimeZone,
    /// What it is.
    pub kind: NoteKind,
}

/// What a [`Note`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoteKind {
    /// The scheduler has come further than the clock: that was ahead, or is behind now.
    MarkAhead {
        /// How far.
        until: Timestamp,
    },
    /// Runs exist of data that is yet to come: the clock was ahead when they were made.
    MadeAhead {
        /// Their intervals, the earliest end first; never empty.
        intervals: Vec<DataInterval>,
    },
    /// The schedule was edited, and an interval meets one that has run.
    Edited(Upcoming),
    /// More runs are due than are made at once.
    Backlog {
        /// How many are still to be made, at most [`MOST_COUNTED`].
        count: usize,
        /// How many are made at a time.
        at_once: u32,
    },
}

/// All that is to be said of a DAG. `row` is what the scheduler remembers of it, as the last tick left it.
///
/// # Errors
/// The database.
pub fn notes(history: &impl History, dag: &Dag, row: Option<&DagRow>, now: Timestamp) -> Result<Vec<Note>, StoreError> {
    let mut kinds = Vec::new();
    if let Some(row) = row {
        if let Some(until) = mark_ahead(row, now).filter(|mark| mark.duration_since(now) > WORTH_SAYING) {
            kinds.push(NoteKind::MarkAhead { until });
        }
        let mut intervals = history.intervals_from(&dag.id, now)?;
        intervals.retain(|interval| !interval.has_ended(now));
        if !intervals.is_empty() {
            kinds.push(NoteKind::MadeAhead { intervals });
        }
        let mut heeded = row.clone();
        heed_clock(history, dag, &mut heeded, now)?;
        // One that is left out may be followed by one that is not whole.
        for upcoming in upcoming(history, dag, searched_until(dag, &heeded), 2)? {
            match upcoming.place {
                Place::Coarser { .. } | Place::Rest { .. } | Place::LeftOut { .. } => {
                    kinds.push(NoteKind::Edited(upcoming));
                }
                Place::Free | Place::Taken => {}
            }
        }
    }
    let count = backlog(history, dag, row, now)?.map_or(0, |backlog| backlog.count);
    // A tick makes as many as there is room for without a word.
    if dag.catchup && count > room(history, dag)? {
        kinds.push(NoteKind::Backlog { count, at_once: dag.max_active_runs });
    }
    let note = |kind| Note { dag_id: dag.id.clone(), zone: dag.timezone.clone(), kind };
    Ok(kinds.into_iter().map(note).collect())
}

impl Note {
    fn time(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
    }

    fn interval(&self, interval: &DataInterval) -> String {
        format!("{} .. {}", self.time(interval.start), self.time(interval.end))
    }

    /// As a command takes it: no other interval starts then.
    fn instant(&self, interval: &DataInterval) -> String {
        interval.start.to_zoned(self.zone.clone()).strftime("%Y-%m-%dT%H:%M").to_string()
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dag = &self.dag_id;
        match &self.kind {
            NoteKind::MarkAhead { until } => write!(
                f,
                "{dag} was scheduled until {}, which is ahead of the clock: planning goes on from now",
                self.time(*until)
            ),
            NoteKind::MadeAhead { intervals } => {
                let of: Vec<String> = intervals.iter().take(3).map(|interval| self.interval(interval)).collect();
                let more = match intervals.len().saturating_sub(of.len()) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                let first = intervals.first().map(|interval| self.instant(interval)).unwrap_or_default();
                write!(
                    f,
                    "{dag} has runs of data that is yet to come, made while the clock was ahead: {}{more}; they are not \
                     made again: when their time has come, `crondag clear {dag} {first}` runs one again",
                    of.join(", ")
                )
            }
            NoteKind::Edited(Upcoming { interval, place }) => match place {
                Place::Free | Place::Taken => Ok(()),
                Place::Coarser { ran } => write!(
                    f,
                    "after the edit of its schedule {dag} runs {} whole, although {} has run: it is the first interval of \
                     a coarser schedule",
                    self.interval(interval),
                    self.interval(ran)
                ),
                Place::Rest { ran, rest } => write!(
                    f,
                    "after the edit of its schedule {dag} first runs {}: the data before has run with {}",
                    self.interval(rest),
                    self.interval(ran)
                ),
                Place::LeftOut { ran } => write!(
                    f,
                    "after the edit of its schedule {dag} leaves {} out: {} has run; to run it all the same: `crondag \
                     backfill -s {at} -e {at} {dag}`",
                    self.interval(interval),
                    self.interval(ran),
                    at = self.instant(interval)
                ),
            },
            NoteKind::Backlog { count, at_once } => {
                let count =
                    if *count >= MOST_COUNTED { format!("more than {MOST_COUNTED}") } else { count.to_string() };
                write!(
                    f,
                    "{dag} catches up: {count} runs are still to be made, oldest first, {at_once} at a time (max_active_runs)"
                )
            }
        }
    }
}
