//! Dates as people type them, and the bounds that DAG files give.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan, civil};

/// A `start_date` or `end_date`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DateBound {
    /// A whole day in the DAG's zone.
    Date(civil::Date),
    /// A wall-clock time in the DAG's zone.
    DateTime(civil::DateTime),
    /// An instant, written with its offset.
    Instant(Timestamp),
}

/// A date or an instant on a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// A whole day.
    Date(civil::Date),
    /// A point in time.
    Instant(Timestamp),
}

/// Why a text is no date. Reads after "error: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a date\nnext: write it as 2018-07-01, 20180701, 2018-07-01T07:00 or 2018-07-01T07:00:00+08:00")]
pub struct WhenFault(pub String);

/// Reads `20180701`, `2018-07-01`, `2018-07-01T07:00[:00]` (in `zone`), or RFC 3339 with an offset.
///
/// # Errors
/// It is none of these, or no such date.
pub fn parse_when(text: &str, zone: &TimeZone) -> Result<When, WhenFault> {
    let fault = || WhenFault(text.to_owned());
    match read_date(text).ok_or_else(fault)? {
        DateBound::Date(date) => Ok(When::Date(date)),
        DateBound::Instant(instant) => Ok(When::Instant(instant)),
        DateBound::DateTime(local) => {
            zone.to_ambiguous_timestamp(local).compatible().map(When::Instant).map_err(|_| fault())
        }
    }
}

/// The date that a text says: eight digits, ISO 8601 with or without a time, RFC 3339 with an offset.
pub fn read_date(text: &str) -> Option<DateBound> {
    // A zone in brackets would be read and ignored.
    if text.contains('[') {
        return None;
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(DateBound::Instant(instant));
    }
    if text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return civil::Date::strptime("%Y%m%d", text).ok().map(DateBound::Date);
    }
    if text.len() == 10 {
        return text.parse().ok().map(DateBound::Date);
    }
    text.parse().ok().map(DateBound::DateTime)
}

impl When {
    /// The first instant that it covers.
    pub fn first_instant(&self, zone: &TimeZone) -> Timestamp {
        match self {
            When::Date(date) => start_of_day(*date, zone),
            When::Instant(instant) => *instant,
        }
    }

    /// The last instant that it covers: just before the next day, or the instant itself.
    pub fn last_instant(&self, zone: &TimeZone) -> Timestamp {
        match self {
            When::Date(date) => end_of_day(*date, zone),
            When::Instant(instant) => *instant,
        }
    }
}

impl DateBound {
    /// The first instant that it covers.
    pub fn first_instant(&self, zone: &TimeZone) -> Timestamp {
        match self {
            DateBound::Date(date) => start_of_day(*date, zone),
            DateBound::DateTime(local) => at(*local, zone),
            DateBound::Instant(instant) => *instant,
        }
    }

    /// The last instant that it covers.
    pub fn last_instant(&self, zone: &TimeZone) -> Timestamp {
        match self {
            DateBound::Date(date) => end_of_day(*date, zone),
            DateBound::DateTime(local) => at(*local, zone),
            DateBound::Instant(instant) => *instant,
        }
    }
}

fn at(local: civil::DateTime, zone: &TimeZone) -> Timestamp {
    zone.to_ambiguous_timestamp(local).compatible().unwrap_or(Timestamp::MAX)
}

pub(super) fn start_of_day(date: civil::Date, zone: &TimeZone) -> Timestamp {
    date.to_zoned(zone.clone())
        .and_then(|midnight| midnight.start_of_day())
        .map_or_else(|_| at(date.at(0, 0, 0, 0), zone), |start| start.timestamp())
}

fn end_of_day(date: civil::Date, zone: &TimeZone) -> Timestamp {
    let next = date.checked_add(1.day()).map_or(Timestamp::MAX, |next| start_of_day(next, zone));
    next.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_date_alone_is_a_whole_day_and_with_a_time_an_instant() {
        let day = When::Date(civil::date(2018, 7, 1));
        for (text, expected) in [
            ("20180701", day),
            ("2018-07-01", day),
            ("2018-07-01T07:00", When::Instant(at("2018-07-01T07:00:00+08:00"))),
            ("2018-07-01T07:00:30", When::Instant(at("2018-07-01T07:00:30+08:00"))),
            ("2018-07-01T07:00:00Z", When::Instant(at("2018-07-01T07:00:00Z"))),
            ("2018-07-01T07:00:00-04:00", When::Instant(at("2018-07-01T11:00:00Z"))),
        ] {
            assert_eq!(parse_when(text, &zone("Asia/Shanghai")), Ok(expected), "{text}");
        }
        let skipped = parse_when("2024-03-10T02:30", &zone("America/New_York"));
        assert_eq!(skipped, Ok(When::Instant(at("2024-03-10T03:30:00-04:00"))));
    }

    #[test]
    fn what_is_no_date_is_told_with_what_to_write() {
        for text in [
            "",
            "2018070",
            "2018-07-01T07:00[Asia/Shanghai]",
            "2018-07-01T07:00:00+08:00[Asia/Shanghai]",
            "20181301",
            "201807011",
            "18-07-01",
            "2018-7-1",
            "2018 7 1",
            "2018-07-32",
            "2018-07-1",
            "yesterday",
        ] {
            assert_eq!(parse_when(text, &TimeZone::UTC), Err(WhenFault(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn a_day_goes_from_its_first_to_its_last_instant_in_the_zone() {
        for (name, date, first, last) in [
            ("Asia/Shanghai", "2018-07-01", "2018-07-01T00:00:00+08:00", "2018-07-01T23:59:59.999999999+08:00"),
            ("America/New_York", "2024-03-10", "2024-03-10T00:00:00-05:00", "2024-03-10T23:59:59.999999999-04:00"),
            // Clocks went from 24:00 to 01:00, and from 24:00 back to 23:00.
            ("America/Sao_Paulo", "2018-11-04", "2018-11-04T01:00:00-02:00", "2018-11-04T23:59:59.999999999-02:00"),
            ("America/Sao_Paulo", "2018-02-17", "2018-02-17T00:00:00-02:00", "2018-02-17T23:59:59.999999999-03:00"),
        ] {
            let (zone, date, expected) = (zone(name), date.parse().unwrap(), (at(first), at(last)));
            let (when, bound) = (When::Date(date), DateBound::Date(date));
            assert_eq!((when.first_instant(&zone), when.last_instant(&zone)), expected, "{date} in {name}");
            assert_eq!((bound.first_instant(&zone), bound.last_instant(&zone)), expected, "{date} in {name}");
        }
    }

    #[test]
    fn an_instant_is_its_own_first_and_last() {
        let (zone, instant) = (zone("Asia/Shanghai"), at("2018-07-01T07:00:00+08:00"));
        let when = When::Instant(instant);
        assert_eq!((when.first_instant(&zone), when.last_instant(&zone)), (instant, instant));
        for bound in [DateBound::Instant(instant), DateBound::DateTime(civil::date(2018, 7, 1).at(7, 0, 0, 0))] {
            assert_eq!((bound.first_instant(&zone), bound.last_instant(&zone)), (instant, instant), "{bound:?}");
        }
    }
}
