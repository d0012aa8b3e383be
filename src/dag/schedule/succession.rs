//! What may run after what has run: a schedule that is edited must not run the same data twice.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::timetable::{DataInterval, Timetable};

/// How an interval of a schedule stands to the intervals that have run, perhaps by another schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Nothing of it has run.
    Free,
    /// It has its run.
    Taken,
    /// A part of it has run, and it is longer than any of what has: the first interval of a coarser schedule. It runs whole.
    Coarser {
        /// The last one of them.
        ran: DataInterval,
    },
    /// The beginning of it has run, for an earlier date: only the rest runs.
    Rest {
        /// What has run.
        ran: DataInterval,
        /// What runs.
        rest: DataInterval,
    },
    /// A part of it has run, by an interval that is as long and of the same date, or a later one; or what is left of it is of the
    /// date of the interval that follows. It does not run.
    LeftOut {
        /// What has run.
        ran: DataInterval,
    },
}

/// An interval of a schedule with its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upcoming {
    /// As the schedule has it.
    pub interval: DataInterval,
    /// How it stands to what has run.
    pub place: Place,
}

impl Upcoming {
    /// The interval whose run is yet to be made, if one is.
    pub fn to_run(&self) -> Option<DataInterval> {
        match self.place {
            Place::Free | Place::Coarser { .. } => Some(self.interval),
            Place::Rest { rest, .. } => Some(rest),
            Place::Taken | Place::LeftOut { .. } => None,
        }
    }
}

impl Place {
    /// The place of `interval` among the intervals that `ran`, which are ordered by their ends.
    ///
    /// The ends of what ran may be ahead of those of the schedule: a clock may have been.
    pub fn of(interval: DataInterval, ran: &[DataInterval], zone: &TimeZone) -> Place {
        let overlapping = || ran.iter().rev().filter(|other| other.overlaps(&interval)).copied();
        let Some(last) = overlapping().next() else { return Place::Free };
        // What is left of an interval ends with it.
        if last.end == interval.end && last.start >= interval.start || ran.contains(&interval) {
            return Place::Taken;
        }
        // The last one of those that are as long: the date of an interval has run if any of them has it.
        let longest = overlapping().rev().max_by_key(|other| length(*other, zone)).unwrap_or(last);
        if length(interval, zone) > length(longest, zone) {
            return Place::Coarser { ran: last };
        }
        let date = |at: Timestamp| zone.to_datetime(at).date();
        // Where each date has one run, a rest within the date on which the next interval begins would give it a second one.
        let has_date = length(interval, zone) < DAY || date(last.end) < date(interval.end);
        if last.end < interval.end && has_date && date(longest.start) < date(interval.start) {
            return Place::Rest { ran: last, rest: DataInterval { start: last.end, end: interval.end } };
        }
        Place::LeftOut { ran: longest }
    }
}

/// The least length of an interval whose dates are not those of others.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// By the clock on the wall: a day is no longer than another because clocks went back in it.
fn length(interval: DataInterval, zone: &TimeZone) -> SignedDuration {
    zone.to_datetime(interval.start).duration_until(zone.to_datetime(interval.end))
}

impl<'a> Timetable<'a> {
    /// The intervals that the schedule closes after `after`, within `start_date` and `end_date`, each with its place among
    /// those that `ran`, which are ordered by their ends and reach back to the start of the first one.
    pub fn upcoming<'r>(
        &self,
        after: Timestamp,
        ran: &'r [DataInterval],
    ) -> impl Iterator<Item = Upcoming> + use<'a, 'r> {
        let timetable = *self;
        let all = std::iter::successors(timetable.next_interval(after), move |last| timetable.next_interval(last.end));
        all.map(move |interval| Upcoming { interval, place: Place::of(interval, ran, timetable.zone) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2024-06-{text}:00+08:00").parse().unwrap()
    }

    /// `03T09:00..04T09:00`
    fn interval(text: &str) -> DataInterval {
        let (start, end) = text.split_once("..").unwrap();
        DataInterval { start: at(start), end: at(end) }
    }

    fn place(of: &str, ran: &[&str]) -> Place {
        let ran: Vec<DataInterval> = ran.iter().map(|text| interval(text)).collect();
        Place::of(interval(of), &ran, &TimeZone::get("Asia/Shanghai").unwrap())
    }

    #[test]
    fn a_schedule_that_goes_on_has_nothing_to_fear() {
        assert_eq!(place("04T09:00..05T09:00", &["03T09:00..04T09:00"]), Place::Free);
        assert_eq!(place("03T09:00..04T09:00", &["03T09:00..04T09:00"]), Place::Taken);
    }

    #[test]
    fn a_later_time_of_the_day_leaves_out_the_day_that_has_run() {
        let ran = "03T09:00..04T09:00";
        assert_eq!(place("03T10:00..04T10:00", &[ran]), Place::LeftOut { ran: interval(ran) });
        assert_eq!(place("04T10:00..05T10:00", &[ran]), Place::Free);
    }

    #[test]
    fn an_earlier_time_of_the_day_runs_what_is_left_of_the_day() {
        let ran = "03T10:00..04T10:00";
        let rest = interval("04T10:00..05T09:00");
        assert_eq!(place("04T09:00..05T09:00", &[ran]), Place::Rest { ran: interval(ran), rest });
        assert_eq!(place("04T09:00..05T09:00", &[ran, "04T10:00..05T09:00"]), Place::Taken);
    }

    #[test]
    fn what_is_left_of_an_interval_takes_no_date_of_the_next_one() {
        let ran = "05T09:00..12T09:00";
        assert_eq!(place("11T10:00..12T10:00", &[ran]), Place::LeftOut { ran: interval(ran) });
        assert_eq!(place("12T10:00..13T10:00", &[ran]), Place::Free);
        let rest = interval("12T09:00..13T09:00");
        assert_eq!(place("06T09:00..13T09:00", &[ran]), Place::Rest { ran: interval(ran), rest });
    }

    #[test]
    fn a_date_that_has_run_is_left_out_whatever_else_has_run_of_its_interval() {
        let (before, same) = ("02T03:30..03T03:30", "03T01:59..04T01:59");
        assert_eq!(place("03T03:00..04T03:00", &[before, same]), Place::LeftOut { ran: interval(same) });
    }

    #[test]
    fn the_first_interval_of_a_coarser_schedule_runs_whole() {
        let (first, second) = ("04T00:00..04T06:00", "04T06:00..04T12:00");
        assert_eq!(place("04T00:00..05T00:00", &[first, second]), Place::Coarser { ran: interval(second) });
        let ran = interval("04T07:00..04T08:00");
        assert_eq!(place("04T00:00..05T00:00", &["04T07:00..04T08:00"]), Place::Coarser { ran });
        let ran = interval("04T00:00..05T00:00");
        assert_eq!(place("02T00:00..09T00:00", &["04T00:00..05T00:00"]), Place::Coarser { ran });
    }

    #[test]
    fn what_ran_while_the_clock_was_ahead_is_not_run_again() {
        let (before, ahead) = ("03T09:00..04T09:00", "20T09:00..21T09:00");
        assert_eq!(place("20T09:00..21T09:00", &[before, ahead]), Place::Taken);
        assert_eq!(place("19T09:00..20T09:00", &[before, ahead]), Place::Free);
        assert_eq!(place("19T10:00..20T10:00", &[before, ahead]), Place::LeftOut { ran: interval(ahead) });
    }
}
