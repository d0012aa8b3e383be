//! Dates as people type them, and the bounds that DAG files give.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan, civil};

use crate::dag::model::DateBound;

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
pub fn parse_when(text: &str, zone: &TimeZone) -> Result<When, WhenFault> {
    let fault = || WhenFault(text.to_owned());
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(When::Instant(instant));
    }
    if text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return civil::Date::strptime("%Y%m%d", text).map(When::Date).map_err(|_| fault());
    }
    if text.len() == 10 {
        return text.parse::<civil::Date>().map(When::Date).map_err(|_| fault());
    }
    let local: civil::DateTime = text.parse().map_err(|_| fault())?;
    zone.to_ambiguous_timestamp(local).compatible().map(When::Instant).map_err(|_| fault())
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
