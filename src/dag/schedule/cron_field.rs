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
    for ((index, kind), whole) in KINDS.iter().enumerate().zip([Some(60), Some(24), None, Some(12), None]) {
        let Some(whole) = whole else { continue };
        let Some(step) = field(index).strip_prefix("*/").and_then(|step| step.parse::<u32>().ok()) else { continue };
        if whole % step == 0 {
            continue;
        }
        let values: Vec<String> =
            (kind.low..=kind.high).step_by(step as usize).map(|value| value.to_string()).collect();
        let unit = if kind.name == "minute" {
            "hour"
        } else if kind.name == "hour" {
            "day"
        } else {
            "year"
        };
        let message = match values.as_slice() {
            [only] => format!("`*/{step}` in the {} field is only {only}: once in every {unit}", kind.name),
            all => format!(
                "`*/{step}` in the {} field is {}, and then from the start again in the next {unit}",
                kind.name,
                all.join(",")
            ),
        };
        let help = format!(
            "steps that divide {whole} keep an even distance; or write `{}` if that is meant",
            values.join(",")
        );
        found.push(Doubt { span: fields[index].clone(), message, help });
    }
    found
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

/// `range = "*" ["/" step] | value | value "-" value ["/" step]`
fn range(part: &str, at: Range<usize>, kind: &Kind) -> Result<u64, ScheduleFault> {
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
    Ok((low..=high).step_by(step as usize).fold(0, |set, value| set | 1 << value))
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
    use super::parse;

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
