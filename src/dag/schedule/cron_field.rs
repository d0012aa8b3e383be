//! Reads the five fields of a crontab line as Vixie cron 3.0pl1 (Debian's `entry.c`) reads them.
//!
//! Where Vixie cron accepts what can never be meant (a reversed range that never fires, trailing characters that it
//! drops), this is a fault with a help text.

use std::ops::Range;

/// Why a text is not a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleFault {
    /// Of which kind it is.
    pub kind: ScheduleFaultKind,
    /// The bytes of the schedule that are wrong.
    pub span: Range<usize>,
    /// What is wrong, naming the field.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// What kind of fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleFaultKind {
    /// There are not five fields.
    Fields,
    /// It begins with `@` and is none of the shorthands.
    Shorthand,
    /// What belongs into another key.
    NotAField,
    /// A field does not take this value.
    Value,
    /// It is well formed, and there is no such time.
    NeverMatches,
}

/// What a well-formed schedule means that may not be what its author means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Doubt {
    /// The bytes of the schedule that say it.
    pub(crate) span: Range<usize>,
    /// What it means.
    pub(crate) message: String,
    /// What to write instead.
    pub(crate) help: String,
}

/// The five fields as bit sets: bit n is set when value n matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) minute: u64,
    pub(super) hour: u64,
    pub(super) day_of_month: u64,
    pub(super) month: u64,
    /// Sunday is bit 0; 7 has been folded into it.
    pub(super) day_of_week: u64,
    /// Day-of-month or day-of-week begins with `*` (also `*/2`): a day must match both, otherwise either.
    pub(super) both_days: bool,
    /// Minute or hour begins with `*`: follows elapsed time through clock changes.
    pub(super) is_wildcard: bool,
}

struct Kind {
    name: &'static str,
    low: u32,
    high: u32,
    names: &'static [&'static str],
}

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const KINDS: [Kind; 5] = [
    Kind { name: "minute", low: 0, high: 59, names: &[] },
    Kind { name: "hour", low: 0, high: 23, names: &[] },
    Kind { name: "day-of-month", low: 1, high: 31, names: &[] },
    Kind { name: "month", low: 1, high: 12, names: MONTHS },
    Kind { name: "day-of-week", low: 0, high: 7, names: DAYS },
];

const SHORTHANDS: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// Reads a whole schedule.
pub(super) fn parse(text: &str) -> Result<Fields, ScheduleFault> {
    let whole = 0..text.len();
    let fault = |kind, span, message: String, help: String| ScheduleFault { kind, span, message, help };
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(fault(
            ScheduleFaultKind::Fields,
            whole,
            "an empty schedule".to_owned(),
            "write five crontab fields, such as \"0 7 * * *\" (every day at 07:00), or leave `schedule` out".to_owned(),
        ));
    }
    if trimmed.starts_with('@') {
        let lower = trimmed.to_lowercase();
        if let Some((_, fields)) = SHORTHANDS.iter().find(|(name, _)| *name == lower) {
            return parse(fields);
        }
        let known = SHORTHANDS.map(|(name, _)| name).join(", ");
        let help = if let Some(period) = lower.strip_prefix("@every") {
            every(period.trim(), &known)
        } else if lower == "@reboot" {
            format!("a reboot closes no data interval; the shorthands are {known}")
        } else {
            format!("the shorthands are {known}")
        };
        return Err(fault(ScheduleFaultKind::Shorthand, whole, format!("`{trimmed}` is not a schedule"), help));
    }
    let fields = split(text);
    if let Some((variable, zone)) = fields.first().and_then(|first| text[first.clone()].split_once('='))
        && matches!(variable, "CRON_TZ" | "TZ")
    {
        let rest = text[fields[0].end..].trim();
        let help = format!("write the zone as a key of its own: timezone = \"{zone}\", and schedule = \"{rest}\"");
        let message = format!("`{variable}` does not belong into a schedule");
        return Err(fault(ScheduleFaultKind::NotAField, fields[0].clone(), message, help));
    }
    if fields.len() != 5 {
        let names = "minute hour day-of-month month day-of-week";
        let help = match fields.len() {
            6 | 7 => format!("a crontab line has no seconds and no year; the fields are: {names}"),
            _ => format!("the fields are: {names}; for example \"0 7 * * *\" is every day at 07:00"),
        };
        let message = format!("a schedule has five fields, this one has {}", fields.len());
        return Err(fault(ScheduleFaultKind::Fields, whole, message, help));
    }
    let mut sets = [0_u64; 5];
    for ((set, kind), span) in sets.iter_mut().zip(&KINDS).zip(&fields) {
        *set = field(text, span.clone(), kind)?;
    }
    let [minute, hour, day_of_month, month, day_of_week] = sets;
    let starts_with_star = |field: usize| text[fields[field].clone()].starts_with('*');
    Ok(Fields {
        minute,
        hour,
        day_of_month,
        month,
        day_of_week: (day_of_week | (day_of_week >> 7)) & 0x7f,
        both_days: starts_with_star(2) || starts_with_star(4),
        is_wildcard: starts_with_star(0) || starts_with_star(1),
    })
}

/// What to write instead of `@every 5m`.
fn every(period: &str, known: &str) -> String {
    let number: String = period.chars().take_while(char::is_ascii_digit).collect();
    let fields = match (number.parse::<u32>(), &period[number.len()..]) {
        (Ok(minutes @ 1..60), "m") if 60 % minutes == 0 => format!("*/{minutes} * * * *"),
        (Ok(60), "m") | (Ok(1), "h") => "0 * * * *".to_owned(),
        (Ok(hours @ 2..24), "h") if 24 % hours == 0 => format!("0 */{hours} * * *"),
        (Ok(24), "h") | (Ok(1), "d") => "0 0 * * *".to_owned(),
        _ => {
            return format!(
                "write the times at which it fires, such as `*/5 * * * *` for every five minutes; the shorthands are {known}"
            );
        }
    };
    format!("write `{fields}`: it fires at those times of the clock, not so long after the last one")
}

/// What a schedule means that may not be what its author means, with the bytes that say it.
pub(super) fn doubts(text: &str) -> Vec<Doubt> {
    let fields = split(text);
    if fields.len() != 5 || parse(text).is_err() {
        return Vec::new();
    }
    let mut found = Vec::new();
    let field = |index: usize| &text[fields[index].clone()];
    if !field(2).starts_with('*') && !field(4).starts_with('*') {
        found.push(Doubt {
            span: fields[2].start..fields[4].end,
            message: "day-of-month and day-of-week together: it fires on days that match either of them".to_owned(),
            help: format!(
                "for days that match both, begin one with `*`: `{} {} */1 {} {}` fires on those weekdays only; let the first \
                 task skip the other days (`exit 99`)",
                field(0),
                field(1),
                field(3),
                field(4)
            ),
        });
    }
    let both = both_days(text, &fields);
    // A list in place of the step would make it "either".
    let is_told = |index| both.is_some() && (index == 2 || index == 4);
    for (index, kind) in KINDS.iter().enumerate().filter(|(index, _)| !is_told(*index)) {
        let mut start = fields[index].start;
        for part in field(index).split(',') {
            let at = start..start + part.len();
            start = at.end + 1;
            found.extend(uneven_step(part, at, kind));
        }
    }
    found.extend(both);
    found
}

/// A day-of-month or day-of-week that begins with `*` and is still narrower than every day narrows the other one.
fn both_days(text: &str, fields: &[Range<usize>]) -> Option<Doubt> {
    let (day_of_month, day_of_week) = (&text[fields[2].clone()], &text[fields[4].clone()]);
    let is_narrow = |field: &str| field.starts_with("*/") && field != "*/1";
    let is_doubtful =
        (is_narrow(day_of_month) && day_of_week != "*") || (is_narrow(day_of_week) && day_of_month != "*");
    is_doubtful.then(|| Doubt {
        span: fields[2].start..fields[4].end,
        message:
            "day-of-month and day-of-week together, one of which begins with `*`: it fires only on days that match both"
                .to_owned(),
        help: format!(
            "leave one of them `*`: `{} {} {day_of_month} {} *` or `{} {} * {} {day_of_week}`",
            &text[fields[0].clone()],
            &text[fields[1].clone()],
            &text[fields[3].clone()],
            &text[fields[0].clone()],
            &text[fields[1].clone()],
            &text[fields[3].clone()],
        ),
    })
}

/// A step whose times lie at uneven distances, or do not reach the end of their range.
fn uneven_step(part: &str, at: Range<usize>, kind: &Kind) -> Option<Doubt> {
    let (low, high, step) = bounds(part, at.clone(), kind).ok().filter(|(.., step)| *step > 1)?;
    let (around, unit) = match kind.name {
        "minute" => (Some(60), "hour"),
        "hour" => (Some(24), "day"),
        "month" => (Some(12), "year"),
        "day-of-week" => (Some(7), "week"),
        // Months differ in length.
        _ => (None, "month"),
    };
    let mut values: Vec<u32> = (low..=high).step_by(step as usize).collect();
    if kind.name == "day-of-week" && values.first() == Some(&0) {
        values.retain(|day| *day != 7);
    }
    let (first, last) = (*values.first()?, *values.last()?);
    if around.is_some_and(|around| (u64::from(last) + u64::from(step)) % around == u64::from(first) % around) {
        return None;
    }
    let is_whole = (low, high) == (kind.low, kind.high);
    let length = high - low;
    if !is_whole && (length.is_multiple_of(step) || (length + 1).is_multiple_of(step)) {
        return None;
    }
    let listed = values.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let name = kind.name;
    let message = match (values.as_slice(), is_whole) {
        ([only], _) => format!("`{part}` in the {name} field is only {only}: once in every {unit}"),
        (_, true) => {
            format!("`{part}` in the {name} field is {listed}, and then from the start again in the next {unit}")
        }
        (_, false) => format!("`{part}` in the {name} field is {listed}: {high} is not among them"),
    };
    let help = match (around, is_whole) {
        (_, false) => {
            format!("end the range where a step does (`{low}-{last}/{step}`), or write `{listed}` if that is meant")
        }
        (Some(7), true) => {
            format!("a week has seven days, so no step keeps an even distance; write `{listed}` if that is meant")
        }
        (Some(around), true) => {
            format!("steps that divide {around} keep an even distance; or write `{listed}` if that is meant")
        }
        (None, true) => format!(
            "months differ in length, so no step keeps an even distance; write `{listed}` if that is meant, or `*`, and let the first \
             task skip the other days (`exit 99`)"
        ),
    };
    Some(Doubt { span: at, message, help })
}

fn split(text: &str) -> Vec<Range<usize>> {
    text.split_ascii_whitespace()
        .map(|word| {
            let start = word.as_ptr() as usize - text.as_ptr() as usize;
            start..start + word.len()
        })
        .collect()
}

/// `list = range {"," range}`
fn field(text: &str, span: Range<usize>, kind: &Kind) -> Result<u64, ScheduleFault> {
    let mut set = 0;
    let mut start = span.start;
    for part in text[span].split(',') {
        let at = start..start + part.len();
        set |= range(part, at, kind)?;
        start += part.len() + 1;
    }
    Ok(set)
}

fn range(part: &str, at: Range<usize>, kind: &Kind) -> Result<u64, ScheduleFault> {
    let (low, high, step) = bounds(part, at, kind)?;
    Ok((low..=high).step_by(step as usize).fold(0, |set, value| set | 1 << value))
}

/// First, last and step of `range = "*" ["/" step] | value | value "-" value ["/" step]`
fn bounds(part: &str, at: Range<usize>, kind: &Kind) -> Result<(u32, u32, u32), ScheduleFault> {
    let fault = |span: Range<usize>, message: String, help: String| ScheduleFault {
        kind: ScheduleFaultKind::Value,
        span,
        message,
        help,
    };
    let allowed = allowed(kind);
    let (values, step) = match part.split_once('/') {
        Some((values, step)) => (values, Some((step, at.end - step.len()..at.end))),
        None => (part, None),
    };
    let values_at = at.start..at.start + values.len();
    let step = match step {
        None => 1,
        Some((text, span)) => match text.parse::<u32>() {
            Ok(step) if step > 0 && text.bytes().all(|byte| byte.is_ascii_digit()) => step,
            _ => {
                let message = format!("the step `{text}` of the {} field is not a number above 0", kind.name);
                return Err(fault(span, message, format!("write for example `*/15`; {allowed}")));
            }
        },
    };
    let (low, high) = if values == "*" {
        (kind.low, kind.high)
    } else if let Some((from, to)) = values.split_once('-') {
        let from_at = values_at.start..values_at.start + from.len();
        let to_at = values_at.end - to.len()..values_at.end;
        let (low, high) = (value(from, from_at, kind)?, value(to, to_at, kind)?);
        if low > high {
            let help = if kind.name == "day-of-week" && high == 0 {
                format!("Sunday is also 7: write `{from}-7`")
            } else {
                format!("write it as two ranges: `{from}-{},{}-{to}`", kind.high, kind.low)
            };
            let message =
                format!("the range `{values}` of the {} field runs backwards, so it never matches", kind.name);
            return Err(ScheduleFault { kind: ScheduleFaultKind::NeverMatches, span: values_at, message, help });
        }
        (low, high)
    } else {
        let single = value(values, values_at, kind)?;
        if part.contains('/') {
            let message = format!("`{part}` in the {} field has a step but no range", kind.name);
            return Err(fault(at, message, format!("write `{values}-{}/{step}` or `*/{step}`", kind.high)));
        }
        (single, single)
    };
    Ok((low, high, step))
}

fn value(text: &str, at: Range<usize>, kind: &Kind) -> Result<u32, ScheduleFault> {
    let fault = |message: String, help: String| ScheduleFault {
        kind: ScheduleFaultKind::Value,
        span: at.clone(),
        message,
        help,
    };
    let lower = text.to_ascii_lowercase();
    if let Some(position) = kind.names.iter().position(|name| *name == lower) {
        return Ok(u32::try_from(position).unwrap_or(0) + kind.low);
    }
    if text.is_empty() {
        let message = format!("a value of the {} field is missing", kind.name);
        return Err(fault(message, allowed(kind)));
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.parse::<u32>() {
            Ok(value) if (kind.low..=kind.high).contains(&value) => Ok(value),
            _ => Err(fault(format!("{text} is out of range for the {} field", kind.name), allowed(kind))),
        };
    }
    let help = match text.chars().find(|c| !c.is_alphanumeric()) {
        Some('~') => {
            format!("crontab has no random times: write one, and jitter = \"10m\" spreads DAGs; {}", allowed(kind))
        }
        Some('#') => format!(
            "crontab has no nth weekday: run on each such day (`0 7 * * 5`), and let the first task skip the others: \
             `[ $(date -d {{{{ ds }}}} +%d) -le 7 ] || exit 99` for the first one of a month; {}",
            allowed(kind)
        ),
        Some('?') => format!("write `*` where any day is meant; {}", allowed(kind)),
        _ if lower == "h" || lower.starts_with("h(") => {
            format!("crontab has no hashed times: write one, and jitter = \"10m\" spreads DAGs; {}", allowed(kind))
        }
        _ if lower.strip_suffix('l').is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit())) => format!(
            "crontab has no last day: the first day of the next month (`0 7 1 * *`) closes the same data; {}",
            allowed(kind)
        ),
        _ if lower.ends_with('w') => format!("crontab has no nearest weekday; {}", allowed(kind)),
        _ => match kind.names.iter().find(|name| lower.starts_with(**name)) {
            Some(name) => format!("write `{name}`; {}", allowed(kind)),
            None => allowed(kind),
        },
    };
    Err(fault(format!("`{text}` is not a value of the {} field", kind.name), help))
}

fn allowed(kind: &Kind) -> String {
    let numbers = format!("the {} field takes {} to {}", kind.name, kind.low, kind.high);
    match kind.names {
        [] => numbers,
        [first, .., last] if kind.name == "day-of-week" => {
            format!("{numbers} (0 and 7 are Sunday) or {first} to {last}")
        }
        [first, .., last] => format!("{numbers} or {first} to {last}"),
        [_] => numbers,
    }
}

#[cfg(test)]
mod tests {
    use super::{doubts, parse};

    /// The text that is marked, and the help.
    fn fault(text: &str) -> (&str, String) {
        let fault = parse(text).unwrap_err();
        (&text[fault.span], fault.help)
    }

    #[test]
    fn faults_point_at_the_part_that_is_wrong() {
        for (text, marked) in [
            ("1,2,61 * * * *", "61"),
            ("1,22,61,3 * * * *", "61"),
            ("10-15,70-80 * * * *", "70"),
            ("10-75 * * * *", "75"),
            ("0 5-2 * * *", "5-2"),
            ("0 0 */0 * *", "0"),
            ("0 0 * 1-6/+2 *", "+2"),
            ("0 0 * 1-6/x *", "x"),
            ("5/2 * * * *", "5/2"),
            ("1,,2 * * * *", ""),
            ("0 0 32 * *", "32"),
        ] {
            assert_eq!(fault(text).0, marked, "{text}");
        }
        assert_eq!(parse("1,,2 * * * *").unwrap_err().span, 2..2);
        assert_eq!(parse("5-5 * * * *").unwrap().minute, 1 << 5);
    }

    #[test]
    fn what_other_crons_know_is_told_apart() {
        let days = "the day-of-week field takes 0 to 7 (0 and 7 are Sunday) or sun to sat";
        let months = "the month field takes 1 to 12 or jan to dec";
        for (text, help) in [
            (
                "0 0 * * L",
                format!("crontab has no last day: the first day of the next month (`0 7 1 * *`) closes the same data; {days}"),
            ),
            ("0 0 15W * *", "crontab has no nearest weekday; the day-of-month field takes 1 to 31".to_owned()),
            (
                "H 0 * * *",
                "crontab has no hashed times: write one, and jitter = \"10m\" spreads DAGs; the minute field takes 0 to 59"
                    .to_owned(),
            ),
            (
                "0~9 0 * * *",
                "crontab has no random times: write one, and jitter = \"10m\" spreads DAGs; the minute field takes 0 to 59"
                    .to_owned(),
            ),
            ("0 0 * * monday", format!("write `mon`; {days}")),
            ("0 0 * nil *", months.to_owned()),
            ("0 0 * * fri-sun", "Sunday is also 7: write `fri-7`".to_owned()),
            ("0 0 * * 5-2", "write it as two ranges: `5-7,0-2`".to_owned()),
            ("0 0 * 11-2 *", "write it as two ranges: `11-12,1-2`".to_owned()),
        ] {
            assert_eq!(fault(text).1, help, "{text}");
        }
    }

    #[test]
    fn steps_that_mean_another_thing_than_they_say_are_told_and_even_ones_are_not() {
        let told = |text| {
            doubts(text)
                .into_iter()
                .map(|doubt| format!("{}: {}", &text[doubt.span], doubt.message))
                .collect::<Vec<_>>()
        };
        for (text, message) in [
            (
                "*/7 * * * *",
                "*/7: `*/7` in the minute field is 0,7,14,21,28,35,42,49,56, and then from the start again in the next hour",
            ),
            (
                "*/7,30 * * * *",
                "*/7: `*/7` in the minute field is 0,7,14,21,28,35,42,49,56, and then from the start again in the next hour",
            ),
            (
                "30,0-59/25 * * * *",
                "0-59/25: `0-59/25` in the minute field is 0,25,50, and then from the start again in the next hour",
            ),
            ("10-50/7 * * * *", "10-50/7: `10-50/7` in the minute field is 10,17,24,31,38,45: 50 is not among them"),
            ("0 9-17/10 * * *", "9-17/10: `9-17/10` in the hour field is only 9: once in every day"),
            (
                "0 */5 * * *",
                "*/5: `*/5` in the hour field is 0,5,10,15,20, and then from the start again in the next day",
            ),
            (
                "0 0 */10 * *",
                "*/10: `*/10` in the day-of-month field is 1,11,21,31, and then from the start again in the next month",
            ),
            ("0 0 1 */5 *", "*/5: `*/5` in the month field is 1,6,11, and then from the start again in the next year"),
            (
                "0 0 * * */2",
                "*/2: `*/2` in the day-of-week field is 0,2,4,6, and then from the start again in the next week",
            ),
        ] {
            assert_eq!(told(text), [message]);
        }
        let both = "day-of-month and day-of-week together, one of which begins with `*`: it fires only on days that match both";
        assert_eq!(told("0 0 */2 * 1")[0], format!("*/2 * 1: {both}"));
        assert_eq!(told("0 0 1 * */3")[0], format!("1 * */3: {both}"));
        for even in [
            "*/15 */6 * */3 *",
            "5-59/10 1-23/2 * 2-12/2 1-5/2",
            "0-30/10 9-17/3 1-7/2 * *",
            "0-29/10,30-59/15 8-18/2 * * *",
            "*/1 */1 */1 */1 */1",
            "0 7 */1 * 5",
            "0 0 * * */7",
            "0 0 * * mon-fri",
        ] {
            assert_eq!(told(even), Vec::<String>::new(), "{even}");
        }
    }

    #[test]
    fn a_star_in_minute_or_hour_makes_a_wildcard() {
        let kinds = |text| {
            let fields = parse(text).unwrap();
            (fields.is_wildcard, fields.both_days)
        };
        assert_eq!(kinds("0 * 1 1 1"), (true, false));
        assert_eq!(kinds("*/5 0 1 1 1"), (true, false));
        assert_eq!(kinds("0 0 1 * 1"), (false, false));
        assert_eq!([kinds("0 0 */2 1 1"), kinds("0 0 1 1 *")], [(false, true); 2]);
    }
}
