//! Zone names.

use jiff::fmt::temporal::{DateTimeParser, DateTimePrinter};
use jiff::tz::{self, TimeZone};

/// Why a text is not a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneFault {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// Finds a zone of the tz database by name.
///
/// # Errors
/// With the nearest name. Offsets such as `+08:00` are refused: they know nothing of clock changes.
pub fn parse_zone(text: &str) -> Result<TimeZone, ZoneFault> {
    if let Ok(zone) = TimeZone::get(text) {
        return Ok(zone);
    }
    let help = if text.starts_with(['+', '-']) || text.starts_with("UTC") || text.starts_with("GMT") {
        "write a place, such as \"Asia/Shanghai\", or \"UTC\": an offset knows nothing of clock changes".to_owned()
    } else {
        let wanted = text.to_lowercase();
        let nearest = tz::db()
            .available()
            .map(|name| name.as_str().to_owned())
            .map(|name| {
                let lower = name.to_lowercase();
                let city = lower.rsplit('/').next().unwrap_or(&lower);
                let wanted_city = wanted.rsplit('/').next().unwrap_or(&wanted);
                let score = strsim::jaro_winkler(&lower, &wanted).max(strsim::jaro_winkler(city, wanted_city) * 0.99);
                (score, name)
            })
            .max_by(|a, b| a.0.total_cmp(&b.0));
        match nearest {
            Some((score, name)) if score > 0.8 => format!("did you mean \"{name}\"?"),
            _ => "write a name of the tz database, such as \"Asia/Shanghai\" or \"Europe/Berlin\"".to_owned(),
        }
    };
    Err(ZoneFault { message: format!("there is no time zone \"{text}\""), help })
}

/// A zone for the C library's `TZ` and for [`zone_of_text`]: its name in the tz database, or the rule that it was made of
/// (`CST-8`), or the file without a name that it was read from (`:/etc/localtime`).
pub(crate) fn zone_text(zone: &TimeZone) -> Option<String> {
    DateTimePrinter::new().time_zone_to_string(zone).ok()
}

/// The name of a zone in the tz database, if it has one.
pub(crate) fn name_of_zone(zone: &TimeZone) -> Option<&str> {
    zone.iana_name().filter(|name| !name.starts_with(':'))
}

/// The zone that a text of [`zone_text`] says, unless that is a file.
///
/// # Errors
/// There is no such zone.
pub(crate) fn zone_of_text(text: &str) -> Result<TimeZone, jiff::Error> {
    DateTimeParser::new().parse_time_zone(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_said_so_that_it_is_found_again() {
        let rule = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let zones = [TimeZone::get("Asia/Shanghai").unwrap(), TimeZone::posix("CST-8").unwrap(), rule, TimeZone::UTC];
        let texts = zones.clone().map(|zone| zone_text(&zone).unwrap());
        assert_eq!(texts, ["Asia/Shanghai", "CST-8", "CET-1CEST,M3.5.0,M10.5.0/3", "UTC"]);
        for (zone, text) in zones.iter().zip(texts) {
            let found = zone_of_text(&text).unwrap();
            for at in [jiff::Timestamp::UNIX_EPOCH, "2018-07-01T00:00:00Z".parse().unwrap()] {
                assert_eq!(found.to_offset(at), zone.to_offset(at), "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_zone_is_told_with_the_nearest_name() {
        let offset = "write a place, such as \"Asia/Shanghai\", or \"UTC\": an offset knows nothing of clock changes";
        let anything = "write a name of the tz database, such as \"Asia/Shanghai\" or \"Europe/Berlin\"";
        for (text, help) in [
            ("Asia/Shangai", "did you mean \"Asia/Shanghai\"?"),
            ("shanghai", "did you mean \"Asia/Shanghai\"?"),
            // Pacific/Kwajalein has a city that is as near, but this is the whole name.
            ("Kwajalien", "did you mean \"Kwajalein\"?"),
            ("+08:00", offset),
            ("-5", offset),
            ("UTC+8", offset),
            ("GMT-05:00", offset),
            ("Xqq/Zxxq", anything),
            ("", anything),
        ] {
            let expected = ZoneFault { message: format!("there is no time zone \"{text}\""), help: help.to_owned() };
            assert_eq!(parse_zone(text), Err(expected), "{text}");
        }
        assert_eq!(parse_zone("Asia/Shanghai").unwrap().iana_name(), Some("Asia/Shanghai"));
    }
}
