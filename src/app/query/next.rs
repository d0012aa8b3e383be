//! When a DAG starts next, for which data, and what clock changes do to it.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, civil};
use serde::Serialize;

use crate::app::select;

use crate::app::times::{Moment, minute, zone_name};
use crate::app::{App, AppError};
use crate::dag::Dag;
use crate::dag::schedule::{DataInterval, Schedule};
use crate::runner::planner;

/// A start that is to come.
#[derive(Debug, Clone, Serialize)]
pub struct StartAnswer {
    /// When.
    pub fire_time: Moment,
    /// The fire time and the delay of `jitter`, of a DAG that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Moment>,
    /// The data interval's start.
    pub logical_date: Moment,
    /// The same.
    pub data_interval_start: Moment,
    pub data_interval_end: Moment,
    /// The data interval's start as a date.
    #[serde(skip)]
    pub ds: String,
    /// A clock change moves it, or lies within its interval.
    #[serde(skip)]
    pub is_noted: bool,
}

/// The next starts of a DAG.
#[derive(Debug, Clone)]
pub struct NextAnswer {
    /// In the order of time.
    pub starts: Vec<StartAnswer>,
    /// What clocks do meanwhile, in the order of time.
    pub clock_changes: Vec<String>,
    /// Where it differs from the plain schedule, and why.
    pub notes: Vec<String>,
    /// The DAG's zone, and who says so where the DAG does not.
    pub zone: String,
    /// Its schedule is paused: nothing starts by itself.
    pub is_paused: bool,
    /// Why there are no starts.
    pub nothing: Option<String>,
}

/// The next `count` starts of a DAG strictly after a time (a date means its first instant), or after now.
///
/// # Errors
/// The time is none, or the database.
pub fn next(app: &App, dag: &Dag, after: Option<&str>, count: usize) -> Result<NextAnswer, AppError> {
    let zone = &dag.timezone;
    let after = match after {
        Some(text) => select::date(text, zone)?.first_instant(zone),
        None => app.now,
    };
    let store = app.store()?;
    let row = store.as_ref().map(|store| store.dag(&dag.id)).transpose()?.flatten();
    let mut clocks: BTreeMap<Timestamp, String> = BTreeMap::new();
    let mut starts = Vec::new();
    for interval in planner::foretold(&store, dag, after, count)? {
        let changes = clock_changes(&interval, dag);
        let is_noted = !changes.is_empty();
        for (at, note) in changes {
            clocks.entry(at).or_insert(note);
        }
        let moment = |at| Moment::new(at, zone);
        starts.push(StartAnswer {
            fire_time: moment(interval.end),
            starts_at: dag.jitter.map(|_| moment(planner::starts_at(dag, &interval))),
            logical_date: moment(interval.start),
            data_interval_start: moment(interval.start),
            data_interval_end: moment(interval.end),
            ds: interval.start.to_zoned(zone.clone()).strftime("%Y-%m-%d").to_string(),
            is_noted,
        });
    }
    let notes = planner::notes(&store, dag, row.as_ref(), app.now)?;
    Ok(NextAnswer {
        nothing: starts.is_empty().then(|| nothing(dag, after)),
        starts,
        clock_changes: clocks.into_values().collect(),
        notes: notes.iter().map(ToString::to_string).collect(),
        zone: zone_in_words(app, dag),
        is_paused: row.is_some_and(|row| row.is_paused),
    })
}

/// The DAG's zone, and who says so where the DAG does not.
fn zone_in_words(app: &App, dag: &Dag) -> String {
    if dag.timezone == app.default_zone() { app.default_zone_in_words() } else { zone_name(&dag.timezone) }
}

fn nothing(dag: &Dag, after: Timestamp) -> String {
    match &dag.schedule {
        None => format!("{} has no schedule: it runs when it is triggered or backfilled", dag.id),
        Some(schedule) => format!(
            "{} (schedule: {}) has nothing to start after {}: its end_date has passed",
            dag.id,
            schedule.text(),
            minute(after, &dag.timezone)
        ),
    }
}

/// What the clocks do within an interval or soon after its end, and what that does to the start at its end; by the
/// instant of the change.
fn clock_changes(interval: &DataInterval, dag: &Dag) -> Vec<(Timestamp, String)> {
    let (zone, fire) = (&dag.timezone, interval.end);
    let local = zone.to_datetime(fire);
    let shown = |at: civil::DateTime| at.strftime("%H:%M").to_string();
    let just_before = |at: Timestamp| at.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(at);
    let mut found = Vec::new();
    for change in zone.following(interval.start) {
        let at = change.timestamp();
        let (old, new) = (zone.to_offset(just_before(at)), change.offset());
        let moved = SignedDuration::from_secs(i64::from(new.seconds() - old.seconds()));
        let is_after = at > fire;
        // A start that comes twice is the one before the change; beyond that a later change is not this row's.
        let comes_twice = moved.is_negative() && zone.to_ambiguous_timestamp(local).is_ambiguous();
        if is_after && !(comes_twice && fire.duration_until(at) <= moved.abs()) {
            break;
        }
        if moved.is_zero() {
            continue;
        }
        let date = zone.to_datetime(just_before(at)).date();
        let way = if moved.is_positive() { "forward" } else { "back" };
        let (from, to) = (shown(old.to_datetime(at)), shown(new.to_datetime(at)));
        let mut note = format!("on {date} the clocks go {way} from {from} to {to}");
        let second = fire.checked_add(moved.abs()).unwrap_or(fire);
        let fires_at = |at: Timestamp| {
            dag.schedule.as_ref().is_some_and(|schedule| schedule.next_fire(just_before(at), zone) == Some(at))
        };
        if comes_twice && is_after && fires_at(second) {
            note.push_str("; the schedule follows elapsed time");
        } else if comes_twice && is_after {
            note = format!("{note}; {} comes twice, it starts at the first", shown(local));
        } else if moved.is_positive()
            && let Ok(meant) = local.checked_sub(moved)
            && zone.to_ambiguous_timestamp(meant).is_ambiguous()
            && !is_on_schedule(dag.schedule.as_ref(), local)
        {
            note = format!("{note}; there is no {} that day, it starts at {}", shown(meant), shown(local));
        }
        found.push((at, note));
    }
    found
}

/// Whether a wall-clock time is one that the schedule names: in UTC there are no clock changes to shift it.
fn is_on_schedule(schedule: Option<&Schedule>, local: civil::DateTime) -> bool {
    let Some(schedule) = schedule else { return true };
    let Ok(naive) = TimeZone::UTC.to_timestamp(local) else { return true };
    let just_before = naive.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(naive);
    schedule.next_fire(just_before, &TimeZone::UTC) == Some(naive)
}
