//! The same question answered by brute force: crontab(5) read as simply as can be, every minute looked at.

use crate::dag::schedule::Schedule;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, civil};

/// How many minutes are looked at: all of two days, from minutes that the text chooses.
const MINUTES: i64 = 2 * 1_440;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Asks for the next fire time in UTC and compares.
pub fn check(schedule: &Schedule, after: Timestamp) {
    // The words count in capitals too, as the names of months do.
    let text = match schedule.text().to_lowercase().as_str() {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        _ => schedule.text(),
    };
    let fields: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    let [minute, hour, day, month, weekday] = &fields[..] else { panic!("not five fields: {text}") };
    let fits = |time: civil::DateTime| {
        let on_day = matches(day, i64::from(time.day()), 1, 31, &[]);
        let sunday_based = i64::from(time.weekday().to_sunday_zero_offset());
        let on_weekday = matches(weekday, sunday_based, 0, 7, &WEEKDAYS)
            || (sunday_based == 0 && matches(weekday, 7, 0, 7, &WEEKDAYS));
        let is_day = if day.starts_with('*') || weekday.starts_with('*') { on_day && on_weekday } else { on_day || on_weekday };
        matches(minute, i64::from(time.minute()), 0, 59, &[])
            && matches(hour, i64::from(time.hour()), 0, 23, &[])
            && matches(month, i64::from(time.month()), 1, 12, &MONTHS)
            && is_day
    };
    let at = |minute: i64| after + SignedDuration::from_mins(minute);
    let expected = (1..=MINUTES).map(at).find(|time| fits(TimeZone::UTC.to_datetime(*time)));
    let found = schedule.next_fire(after, &TimeZone::UTC);
    match expected {
        Some(_) => assert_eq!(found, expected, "{text} after {after}"),
        None => assert!(found.is_none_or(|found| found > at(MINUTES)), "{text} after {after}: {found:?}"),
    }
}

/// Whether a field, a list of `*`, `a`, `a-b`, each with `/step`, holds a value.
fn matches(field: &str, value: i64, low: i64, high: i64, names: &[&str]) -> bool {
    let number = |text: &str| {
        let base = if names.len() == 12 { 1 } else { 0 };
        let named = names.iter().position(|name| *name == text).and_then(|place| i64::try_from(place).ok());
        named.map(|place| place + base).or_else(|| text.parse().ok()).unwrap_or_else(|| panic!("not a value: {text}"))
    };
    field.split(',').any(|part| {
        let (range, step) = part.split_once('/').map_or((part, 1), |(range, step)| (range, step.parse().expect("a step")));
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (low, high),
            Some((from, to)) => (number(from), number(to)),
            None => (number(range), number(range)),
        };
        (from..=to).contains(&value) && (value - from) % step == 0
    })
}
