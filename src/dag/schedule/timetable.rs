//! Data intervals: a fire time T closes the interval `[previous T, T)`, whose start is the logical date.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan, civil};
use serde::{Deserialize, Serialize};

use super::fire::Schedule;
use super::when::{DateBound, start_of_day};

/// A data interval, start included, end excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DataInterval {
    /// The logical date.
    pub start: Timestamp,
    /// The fire time.
    pub end: Timestamp,
}

impl DataInterval {
    /// Orders the intervals of any schedules as they follow one another: by their ends. After an edit of a schedule an
    /// interval may begin before one that has ended.
    pub fn succession(&self) -> Succession {
        Succession { end: self.end, start: self.start }
    }

    /// Whether the two have a time in common.
    pub fn overlaps(&self, other: &DataInterval) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Whether all of its data can be there.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.end <= now
    }

    /// Those of some intervals that have ended, and those that have not.
    pub fn split_at(intervals: Vec<DataInterval>, now: Timestamp) -> (Vec<DataInterval>, Vec<DataInterval>) {
        intervals.into_iter().partition(|interval| interval.has_ended(now))
    }
}

/// Why an interval is not for the schedule to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutOfBounds {
    /// It begins before the instant at which `start_date` begins.
    BeforeStartDate(Timestamp),
    /// It begins after the instant at which `end_date` ends.
    AfterEndDate(Timestamp),
}

/// The place of a data interval among all those of its DAG.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Succession {
    end: Timestamp,
    start: Timestamp,
}

/// The intervals of a DAG. Without a schedule each local day is an interval.
#[derive(Debug, Clone, Copy)]
pub struct Timetable<'a> {
    schedule: Option<&'a Schedule>,
    pub(super) zone: &'a TimeZone,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl<'a> Timetable<'a> {
    /// The intervals of a schedule in a zone, within `start_date` and `end_date`; without a schedule, the local days.
    pub(in crate::dag) fn new(
        schedule: Option<&'a Schedule>,
        zone: &'a TimeZone,
        start_date: Option<&DateBound>,
        end_date: Option<&DateBound>,
    ) -> Timetable<'a> {
        Timetable {
            schedule,
            zone,
            first: start_date.map(|bound| bound.first_instant(zone)),
            last: end_date.map(|bound| bound.last_instant(zone)),
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

    /// The interval that `interval` follows. What is left of an interval after an edit of the schedule follows the one that
    /// the whole would.
    pub fn before(&self, interval: &DataInterval) -> Option<DataInterval> {
        self.interval_closed_by(self.fire_before(just_after(interval.start))?)
    }

    /// Whether `start_date` and `end_date` allow an interval.
    ///
    /// # Errors
    /// Which of the two does not.
    pub fn check_bounds(&self, interval: &DataInterval) -> Result<(), OutOfBounds> {
        if let Some(first) = self.first.filter(|first| interval.start < *first) {
            return Err(OutOfBounds::BeforeStartDate(first));
        }
        match self.last {
            Some(last) if interval.start > last => Err(OutOfBounds::AfterEndDate(last)),
            _ => Ok(()),
        }
    }

    /// Whether the schedule has exactly this interval, bounds aside.
    pub fn has(&self, interval: &DataInterval) -> bool {
        self.fire_after(just_before(interval.start)) == Some(interval.start)
            && self.fire_after(interval.start) == Some(interval.end)
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
    use crate::dag::Dag;
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
    fn a_fire_time_closes_the_interval_since_the_fire_time_before() {
        let dag = dag("schedule = '0 7 * * *'\ntimezone = 'America/New_York'");
        let timetable = dag.timetable();
        let said = |interval: Option<DataInterval>| said(&timetable, interval);
        let (ninth, tenth) =
            ("2024-03-09T07:00-05:00..2024-03-10T07:00-04:00", "2024-03-10T07:00-04:00..2024-03-11T07:00-04:00");
        let fire = at("2024-03-10T07:00-04:00");
        for now in [fire, at("2024-03-11T06:59:59-04:00")] {
            assert_eq!(said(timetable.latest_interval(now)), [ninth], "the latest at {now}");
            assert_eq!(said(timetable.next_interval(now)), [tenth], "the next after {now}");
        }
        assert_eq!(said(timetable.next_interval(just_before(fire))), [ninth]);
        let closed = timetable.interval_closed_by(fire).unwrap();
        assert_eq!(said(Some(closed)), [ninth]);
        assert_eq!(said(timetable.after(&closed)), [tenth]);
        assert_eq!(said(timetable.before(&closed)), ["2024-03-08T07:00-05:00..2024-03-09T07:00-05:00"]);
    }

    #[test]
    fn without_a_schedule_each_local_day_is_an_interval() {
        let dag = dag("timezone = 'America/New_York'");
        let timetable = dag.timetable();
        let said = |interval: Option<DataInterval>| said(&timetable, interval);
        let (ninth, tenth) =
            ("2024-03-09T00:00-05:00..2024-03-10T00:00-05:00", "2024-03-10T00:00-05:00..2024-03-11T00:00-04:00");
        let midnight = at("2024-03-11T00:00-04:00");
        assert_eq!(said(timetable.latest_interval(midnight)), [tenth]);
        assert_eq!(said(timetable.latest_interval(just_before(midnight))), [ninth]);
        assert_eq!(timetable.next_interval(midnight), None);
        let day = timetable.on_date("2024-03-10".parse().unwrap())[0];
        assert_eq!(said(Some(day)), [tenth]);
        assert_eq!(said(timetable.before(&day)), [ninth]);
        assert_eq!(said(timetable.after(&day)), ["2024-03-11T00:00-04:00..2024-03-12T00:00-04:00"]);
    }

    #[test]
    fn start_date_and_end_date_bound_the_logical_dates() {
        let dag = dag("schedule = '0 7 * * *'\ntimezone = 'America/New_York'\n\
                       start_date = 2024-06-10\nend_date = 2024-06-12\ncatchup = true");
        let timetable = dag.timetable();
        let days = |found: Option<DataInterval>| {
            said(&timetable, found).pop().map(|said| format!("{} to {}", &said[8..13], &said[32..37]))
        };
        let next = |now: &str| days(timetable.next_interval(at(now)));
        let latest = |now: &str| days(timetable.latest_interval(at(now)));
        assert_eq!(next("2024-06-01T00:00-04:00").as_deref(), Some("10T07 to 11T07"));
        assert_eq!(next("2024-06-11T07:00-04:00").as_deref(), Some("11T07 to 12T07"));
        assert_eq!(next("2024-06-13T06:59-04:00").as_deref(), Some("12T07 to 13T07"));
        assert_eq!(next("2024-06-13T07:00-04:00"), None);
        assert_eq!(latest("2024-06-11T06:59-04:00"), None);
        assert_eq!(latest("2024-06-11T07:00-04:00").as_deref(), Some("10T07 to 11T07"));
        assert_eq!(latest("2024-06-12T07:00-04:00").as_deref(), Some("11T07 to 12T07"));
        assert_eq!(latest("2024-06-30T00:00-04:00").as_deref(), Some("12T07 to 13T07"));
    }

    #[test]
    fn a_range_of_logical_dates_includes_both_ends_and_goes_beyond_the_bounds() {
        let dag = dag("schedule = '0 */12 * * *'\ntimezone = 'UTC'\nend_date = 2024-06-01");
        let timetable = dag.timetable();
        let (from, to) = (at("2024-06-10T12:00Z"), at("2024-06-11T12:00Z"));
        assert_eq!(
            said(&timetable, timetable.intervals_from(from, to)),
            [
                "2024-06-10T12:00+00:00..2024-06-11T00:00+00:00",
                "2024-06-11T00:00+00:00..2024-06-11T12:00+00:00",
                "2024-06-11T12:00+00:00..2024-06-12T00:00+00:00",
            ]
        );
        assert_eq!(timetable.intervals_from(just_after(from), just_before(to)).count(), 1);
        assert_eq!(
            said(&timetable, timetable.on_date("2024-06-10".parse().unwrap())),
            ["2024-06-10T00:00+00:00..2024-06-10T12:00+00:00", "2024-06-10T12:00+00:00..2024-06-11T00:00+00:00"]
        );
    }

    #[test]
    fn a_day_that_the_zone_skips_has_no_interval() {
        for keys in ["", "schedule = '@daily'\n"] {
            let dag = dag(&format!("{keys}timezone = 'Pacific/Apia'"));
            let timetable = dag.timetable();
            let on = |date: &str| timetable.on_date(date.parse().unwrap());
            assert_eq!(on("2011-12-30"), []);
            let (before, after) = (on("2011-12-29"), on("2011-12-31"));
            assert_eq!(said(&timetable, before.clone()), ["2011-12-29T00:00-10:00..2011-12-31T00:00+14:00"]);
            assert_eq!(timetable.before(&after[0]), Some(before[0]));
            assert_eq!(timetable.after(&before[0]), Some(after[0]));
        }
    }

    #[test]
    fn a_day_whose_first_minute_comes_twice_begins_once() {
        // One minute after midnight clocks went back to the day before.
        let dag = dag("timezone = 'America/St_Johns'");
        let timetable = dag.timetable();
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
