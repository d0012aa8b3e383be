//! The one formatter of times and lengths of time: every front end shows them in these forms.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, Serializer};

use crate::dag::schedule::zone_text;
use crate::dag::units::format_duration;

/// A zone's name, or its rule where it has no name (`CST-8`).
pub fn zone_name(zone: &TimeZone) -> String {
    zone_text(zone).filter(|text| !text.starts_with(':')).unwrap_or_else(|| "local time".to_owned())
}

/// An instant and the zone in which it is shown. For programs it is RFC 3339 with the zone's offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// The instant.
    pub at: Timestamp,
    /// The zone.
    pub zone: TimeZone,
}

impl Moment {
    /// An instant in a zone.
    pub fn new(at: Timestamp, zone: &TimeZone) -> Moment {
        Moment { at, zone: zone.clone() }
    }

    /// As [`rfc3339`].
    pub fn rfc3339(&self) -> String {
        rfc3339(self.at, &self.zone)
    }

    /// As [`minute`].
    pub fn minute(&self) -> String {
        minute(self.at, &self.zone)
    }

    /// As [`clock`].
    pub fn clock(&self) -> String {
        clock(self.at, &self.zone)
    }

    /// As [`time`].
    pub fn time(&self) -> String {
        time(self.at, &self.zone)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.rfc3339())
    }
}

/// RFC 3339 with the zone's offset, for programs.
pub fn rfc3339(at: Timestamp, zone: &TimeZone) -> String {
    at.display_with_offset(zone.to_offset(at)).to_string()
}

/// `2018-07-02 07:00:00 +08:00`, for people.
pub fn time(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

/// As [`time`], without the offset, where another column of the same row has one.
pub fn clock(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// As [`time`], with the seconds only when there are any.
pub fn minute(at: Timestamp, zone: &TimeZone) -> String {
    let zoned = at.to_zoned(zone.clone());
    let format = if zoned.second() == 0 { "%Y-%m-%d %H:%M %:z" } else { "%Y-%m-%d %H:%M:%S %:z" };
    zoned.strftime(format).to_string()
}

/// The time from `start` to `end` in words; nothing when `end` lies before.
pub fn elapsed(start: Timestamp, end: Timestamp) -> Duration {
    let exact = Duration::try_from(end.duration_since(start)).unwrap_or_default();
    if exact < Duration::from_secs(1) {
        Duration::from_millis(u64::try_from(exact.as_millis()).unwrap_or(0))
    } else if exact < Duration::from_secs(10) {
        // Nobody reads more than tenths.
        Duration::from_millis(u64::try_from(exact.as_millis() / 100 * 100).unwrap_or(0))
    } else {
        Duration::from_secs(exact.as_secs())
    }
}

/// `12m`: how long ago or from now, in words.
pub fn span(length: SignedDuration) -> String {
    let seconds = length.unsigned_abs().as_secs();
    let coarse = match seconds {
        0..120 => seconds,
        120..7200 => seconds / 60 * 60,
        7200..172_800 => seconds / 3600 * 3600,
        _ => seconds / 86_400 * 86_400,
    };
    format_duration(Duration::from_secs(coarse))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_carry_the_offset_of_the_zone() {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let at: Timestamp = "2018-07-01T16:00:00Z".parse().unwrap();
        assert_eq!(rfc3339(at, &zone), "2018-07-02T00:00:00+08:00");
        assert_eq!(minute(at, &zone), "2018-07-02 00:00 +08:00");
    }
}
