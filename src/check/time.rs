//! Times in rows.

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};

/// A time as databases write it: with an offset, or local in the DAG's zone; a date is its midnight.
pub(super) fn time(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let local =
        text.parse::<civil::DateTime>().ok().or_else(|| Some(text.parse::<civil::Date>().ok()?.at(0, 0, 0, 0)))?;
    local.to_zoned(zone.clone()).ok().map(|zoned| zoned.timestamp())
}
