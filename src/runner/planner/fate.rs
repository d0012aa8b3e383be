//! What becomes of one data interval of a DAG.

use jiff::Timestamp;

use super::schedule::{History, fires_until, heed_clock, next_run, searched_until, starts_at};
use crate::dag::Dag;
use crate::dag::schedule::{DataInterval, OutOfBounds, Place};
use crate::store::{DagRow, StoreError};

/// What becomes of an interval, as things stand.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub enum Fate {
    /// The interval has its run, or what an edit of the schedule has left of the interval has one.
    Made,
    /// The interval has its run although it has not ended: the run was made while the clock was ahead.
    MadeAhead,
    /// The next tick makes its run.
    Due,
    /// Its run is made when those before it leave room.
    Behind,
    /// Its run starts at a time that is yet to come.
    Comes {
        at: Timestamp,
        /// Its place among what has run: it may be more than is left, or what is left.
        place: Place,
    },
    /// The schedule is paused: whether the run will be made depends on when the schedule goes on.
    Paused,
    /// No tick will ever make its run.
    Never(Never),
}

/// Why no tick makes the run of an interval. A person still can: `crondag backfill`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub enum Never {
    /// The DAG has no schedule.
    NoSchedule,
    /// The schedule has no such interval.
    NotOnSchedule,
    /// `start_date` or `end_date` leaves it out.
    OutOfBounds(OutOfBounds),
    /// The scheduler had come further when it would have been due: `start_date` was moved back, or `catchup` came later.
    Passed {
        /// How far it had come.
        until: Timestamp,
    },
    /// The DAG was first seen, came back or was unpaused later, and does not catch up.
    BeforeSeen { since: Timestamp },
    /// A newer interval was due as well, and the DAG does not catch up.
    Superseded {
        /// The newest that is due.
        by: DataInterval,
    },
    /// A part of it has run by the schedule as it was before an edit.
    LeftOut {
        /// What ran.
        ran: DataInterval,
    },
}

/// What becomes of an interval. `row` is what the scheduler remembers of the DAG; without one no tick has seen it yet.
///
/// # Errors
/// The database.
pub fn fate_of(
    history: &impl History,
    dag: &Dag,
    row: Option<&DagRow>,
    interval: DataInterval,
    now: Timestamp,
) -> Result<Fate, StoreError> {
    let ran = history.intervals_from(&dag.id, interval.start)?;
    let place = Place::of(interval, &ran, &dag.timezone);
    match place {
        Place::Taken if interval.has_ended(now) => return Ok(Fate::Made),
        Place::Taken => return Ok(Fate::MadeAhead),
        Place::Free | Place::Coarser { .. } | Place::Rest { .. } | Place::LeftOut { .. } => {}
    }
    let timetable = dag.timetable();
    if dag.schedule.is_none() {
        return Ok(Fate::Never(Never::NoSchedule));
    }
    if !timetable.has(&interval) {
        return Ok(Fate::Never(Never::NotOnSchedule));
    }
    if let Err(bound) = timetable.check_bounds(&interval) {
        return Ok(Fate::Never(Never::OutOfBounds(bound)));
    }
    if let Place::LeftOut { ran } = place {
        return Ok(Fate::Never(Never::LeftOut { ran }));
    }
    let is_known = row.is_some();
    let mut row = row.cloned().unwrap_or_else(|| DagRow::new(dag.id.clone(), now));
    heed_clock(history, dag, &mut row, now)?;
    let before_seen = Fate::Never(Never::BeforeSeen { since: row.schedule_from });
    let at = starts_at(dag, &interval);
    if is_known && !dag.catchup && interval.end <= row.schedule_from {
        return Ok(before_seen);
    }
    if at <= now && !dag.catchup {
        let newest = timetable.latest_interval(fires_until(dag, now));
        if let Some(by) = newest.filter(|newest| *newest != interval) {
            return Ok(Fate::Never(Never::Superseded { by }));
        }
    }
    if interval.end <= searched_until(dag, &row) {
        return Ok(match row.scheduled_until {
            Some(until) if interval.end <= until => Fate::Never(Never::Passed { until }),
            _ => before_seen,
        });
    }
    if row.is_paused {
        return Ok(Fate::Paused);
    }
    if at > now {
        return Ok(Fate::Comes { at, place });
    }
    if !dag.catchup {
        return Ok(Fate::Due);
    }
    let first = next_run(history, dag, searched_until(dag, &row))?;
    let has_room = super::schedule::room(history, dag)? > 0;
    Ok(if has_room && first.is_some_and(|first| first.end == interval.end) { Fate::Due } else { Fate::Behind })
}
