//! The data intervals that an order is about: those that have ended, within the DAG's `start_date` and `end_date`, and those
//! that are left out.

use jiff::Timestamp;
use serde::Serialize;

use crate::app::times::Moment;
use crate::app::{AppError, select};
use crate::dag::Dag;
use crate::dag::schedule::DataInterval;

/// More intervals than anybody means.
const MOST_INTERVALS: usize = 100_000;

/// Why an interval has no run of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outside {
    /// The data of the interval is not complete: the schedule runs the interval when it ends.
    NotEnded,
    /// It begins before the DAG's `start_date`.
    BeforeStartDate,
    /// It begins after the DAG's `end_date`.
    AfterEndDate,
}

/// Why an interval should have no run of its own; `None` when all is well.
pub fn outside(dag: &Dag, interval: &DataInterval, now: Timestamp) -> Option<Outside> {
    let zone = &dag.timezone;
    let (first, last) = (dag.start_date.as_ref(), dag.end_date.as_ref());
    if first.is_some_and(|first| interval.start < first.first_instant(zone)) {
        Some(Outside::BeforeStartDate)
    } else if last.is_some_and(|last| interval.start > last.last_instant(zone)) {
        Some(Outside::AfterEndDate)
    } else if interval.end > now {
        Some(Outside::NotEnded)
    } else {
        None
    }
}

/// An interval that an order leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    pub logical_date: Moment,
    pub data_interval_end: Moment,
    /// Why.
    pub why: Outside,
    /// The time that it misses: its own end, the DAG's `start_date` or `end_date`.
    pub bound: Moment,
}

impl LeftOut {
    pub(super) fn new(dag: &Dag, interval: &DataInterval, why: Outside) -> LeftOut {
        let zone = &dag.timezone;
        let bound = match why {
            Outside::NotEnded => None,
            Outside::BeforeStartDate => dag.start_date.as_ref().map(|bound| bound.first_instant(zone)),
            Outside::AfterEndDate => dag.end_date.as_ref().map(|bound| bound.last_instant(zone)),
        };
        LeftOut {
            logical_date: Moment::new(interval.start, zone),
            data_interval_end: Moment::new(interval.end, zone),
            why,
            bound: Moment::new(bound.unwrap_or(interval.end), zone),
        }
    }
}

/// All intervals of the schedule whose logical dates lie in the range, both ends included.
///
/// # Errors
/// The range is none, holds no interval, or more of them than anybody means.
pub fn intervals(dag: &Dag, start: &str, end: &str) -> Result<Vec<DataInterval>, AppError> {
    let zone = &dag.timezone;
    let from = select::date(start, zone)?.first_instant(zone);
    let to = select::date(end, zone)?.last_instant(zone);
    if to < from {
        return Err(AppError::usage(
            format!("the range ends ({end}) before it starts ({start})"),
            "swap -s and -e; both ends are included",
        ));
    }
    let found: Vec<DataInterval> = dag.timetable().intervals_from(from, to).take(MOST_INTERVALS + 1).collect();
    match found.len() {
        0 => Err(AppError::usage(
            format!("no data interval of {} starts from {start} to {end}", dag.id),
            format!("crondag next {} shows when intervals start", dag.id),
        )),
        count if count > MOST_INTERVALS => {
            Err(AppError::usage("the range has more than 100,000 intervals", "do it in parts"))
        }
        _ => Ok(found),
    }
}
