//! Data intervals: a fire time T closes the interval `[previous T, T)`, whose start is the logical date.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan, civil};
use serde::{Deserialize, Serialize};

use super::fire::Schedule;
use super::when::start_of_day;
use crate::dag::model::Dag;

/// A data interval, start included, end excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DataInterval {
    /// The logical date.
    pub start: Timestamp,
    /// The fire time.
    pub end: Timestamp,
}

/// The intervals of a DAG. Without a schedule each local day is an interval.
#[derive(Debug, Clone, Copy)]
pub struct Timetable<'a> {
    schedule: Option<&'a Schedule>,
    zone: &'a TimeZone,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl<'a> Timetable<'a> {
    /// The timetable of a DAG.
    pub fn of(dag: &'a Dag) -> Timetable<'a> {
        Timetable {
            schedule: dag.schedule.as_ref(),
            zone: &dag.timezone,
            first: dag.start_date.as_ref().map(|bound| bound.first_instant(&dag.timezone)),
            last: dag.end_date.as_ref().map(|bound| bound.last_instant(&dag.timezone)),
        }
    }

    fn fire_after(&self, after: Timestamp) -> Option<Timestamp> {
        if let Some(schedule) = self.schedule {
            schedule.next_fire(after, self.zone)
        } else {
            let mut date = self.zone.to_datetime(after).date();
            // Where clocks went back over midnight tomorrow has begun already.
            loop {
                date = date.checked_add(1.day()).ok()?;
                let midnight = start_of_day(date, self.zone);
                if midnight > after {
                    return Some(midnight);
                }
            }
        }
    }

    fn fire_before(&self, before: Timestamp) -> Option<Timestamp> {
        if let Some(schedule) = self.schedule {
            schedule.prev_fire(before, self.zone)
        } else {
            let today = self.zone.to_datetime(before).date();
            let mut date = today.checked_add(1.day()).unwrap_or(today);
            // A zone that skipped a whole day has no midnight of its own on that date.
            loop {
                let midnight = start_of_day(date, self.zone);
                if midnight < before {
                    return Some(midnight);
                }
                date = date.checked_sub(1.day()).ok()?;
            }
        }
    }

    /// The interval that the fire time `fire` closes.
    pub fn interval_closed_by(&self, fire: Timestamp) -> Option<DataInterval> {
        Some(DataInterval { start: self.fire_before(fire)?, end: fire })
    }

    /// The first interval that the schedule closes after `after`, within `start_date` and `end_date`; `None` without a
    /// schedule.
    pub fn next_interval(&self, after: Timestamp) -> Option<DataInterval> {
        self.schedule?;
        let mut interval = self.interval_closed_by(self.fire_after(after)?)?;
        if let Some(first) = self.first.filter(|first| interval.start < *first) {
            let start = self.fire_after(just_before(first))?;
            interval = DataInterval { start, end: self.fire_after(start)? };
        }
        self.last.is_none_or(|last| interval.start <= last).then_some(interval)
    }

    /// The last interval that was closed at or before `now`, within `start_date` and `end_date`. Without a schedule:
    /// the newest complete local day.
    pub fn latest_interval(&self, now: Timestamp) -> Option<DataInterval> {
        let mut interval = self.interval_closed_by(self.fire_before(just_after(now))?)?;
        if let Some(last) = self.last.filter(|last| interval.start > *last) {
            let start = self.fire_before(just_after(last))?;
            interval = DataInterval { start, end: self.fire_after(start)? };
        }
        self.first.is_none_or(|first| interval.start >= first).then_some(interval)
    }

    /// Intervals whose logical date lies from `from` to `to`, both included, whatever `start_date` and `end_date` say.
    pub fn intervals_from(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = DataInterval> + use<'a> {
        let timetable = *self;
        let first = self.fire_after(just_before(from));
        std::iter::successors(first, move |start| timetable.fire_after(*start))
            .take_while(move |start| *start <= to)
            .map_while(move |start| Some(DataInterval { start, end: timetable.fire_after(start)? }))
    }

    /// Intervals whose logical date falls on a local date.
    pub fn on_date(&self, date: civil::Date) -> Vec<DataInterval> {
        let from = start_of_day(date, self.zone);
        let to = date.checked_add(1.day()).map_or(Timestamp::MAX, |next| just_before(start_of_day(next, self.zone)));
        // A skipped day has no instants at all.
        if to < from { Vec::new() } else { self.intervals_from(from, to).collect() }
    }

    /// The interval that `interval` follows.
    pub fn before(&self, interval: &DataInterval) -> Option<DataInterval> {
        self.interval_closed_by(interval.start)
    }

    /// The interval that follows `interval`.
    pub fn after(&self, interval: &DataInterval) -> Option<DataInterval> {
        Some(DataInterval { start: interval.end, end: self.fire_after(interval.end)? })
    }
}

fn just_before(at: Timestamp) -> Timestamp {
    at.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(Timestamp::MIN)
}

fn just_after(at: Timestamp) -> Timestamp {
    at.checked_add(SignedDuration::from_nanos(1)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dag::file::{read_config, read_dag};

    fn dag(keys: &str) -> Dag {
        let config = read_config("").0.unwrap();
        let (dag, faults) = read_dag("d", &format!("{keys}\n[tasks.a]\nshell = 'true'\n"), &config, &|_| true);
        dag.unwrap_or_else(|| panic!("{faults:?}"))
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Intervals in the timetable's zone, `start..end`.
    fn said(timetable: &Timetable<'_>, intervals: impl IntoIterator<Item = DataInterval>) -> Vec<String> {
        let said = |at: Timestamp| at.to_zoned(timetable.zone.clone()).strftime("%Y-%m-%dT%H:%M%:z").to_string();
        intervals.into_iter().map(|interval| format!("{}..{}", said(interval.start), said(interval.end))).collect()
    }

    #[test]
    fn a_day_whose_first_minute_comes_twice_begins_once() {
        // One minute after midnight clocks went back to the day before.
        let dag = dag("timezone = 'America/St_Johns'");
        let timetable = Timetable::of(&dag);
        let midnight = at("2006-10-29T00:00-02:30");
        let days = ["2006-10-28T00:00-02:30..2006-10-29T00:00-02:30", "2006-10-29T00:00-02:30..2006-10-30T00:00-03:30"];
        for (date, day) in ["2006-10-28", "2006-10-29"].into_iter().zip(days) {
            assert_eq!(said(&timetable, timetable.on_date(date.parse().unwrap())), [day]);
        }
        for minutes in [0, 1, 30, 60, 61, 90] {
            let now = midnight + SignedDuration::from_mins(minutes);
            assert_eq!(said(&timetable, timetable.latest_interval(now)), [days[0]], "{minutes} minutes later");
            assert_eq!(timetable.fire_after(now), Some(at("2006-10-30T00:00-03:30")), "{minutes} minutes later");
        }
    }
}
