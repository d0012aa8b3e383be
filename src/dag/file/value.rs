//! What a single name, text or value must look like.

use std::ops::Range;

use jiff::civil;
use jiff::tz::Offset;
use toml::de::{DeInteger, DeValue};
use toml::value::{Datetime, Offset as TomlOffset};

use super::fault::Fault;
use crate::dag::schedule::DateBound;

/// A key as TOML writes it.
pub(super) fn quoted_key(name: &str) -> String {
    let is_bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if is_bare { name.to_owned() } else { format!("{name:?}") }
}

/// Keys for people: "`a`, `b` and `c`".
pub(super) fn listed(keys: &[&str]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    match keys.as_slice() {
        [] => String::new(),
        [key] => key.clone(),
        [keys @ .., last] => format!("{} and {last}", keys.join(", ")),
    }
}

/// A whole number; `None` when it does not fit.
pub(super) fn integer(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// The text of a number or flag.
pub(super) fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::Integer(number) => Some(integer(number)?.to_string()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        DeValue::Datetime(date) => Some(date.to_string()),
        DeValue::String(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// Whether something is put into the text.
pub(super) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// A number with a unit of the JVM's.
pub(super) fn is_memory(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit = text[digits..].to_ascii_lowercase();
    digits > 0 && matches!(unit.as_str(), "k" | "kb" | "m" | "mb" | "g" | "gb" | "t" | "tb" | "")
}

/// `name@host`, bare or as `Name <name@host>`.
pub(super) fn is_address(text: &str) -> bool {
    let bare = match text.rsplit_once('<') {
        Some((_, rest)) => match rest.strip_suffix('>') {
            Some(bare) => bare,
            None => return false,
        },
        None => text,
    };
    let is_plain = |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c.is_control());
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '[' | ']' | ':');
    !text.contains(char::is_control)
        && bare.split_once('@').is_some_and(|(name, host)| is_plain(name) && is_plain(host) && host.chars().all(fits))
}

/// The fault of a text that is no address.
pub(super) fn bad_address(text: &str, span: Range<usize>) -> Fault {
    let fault = Fault::error("bad-address", span, format!("`{text}` is not a mail address"), "expected name@host");
    if text.contains(',') || text.contains(';') {
        fault.help("write a list: [\"a@example.com\", \"b@example.com\"]")
    } else {
        fault
    }
}

/// How the names of the variables begin by which crondag tells a task what it is, and tells tasks apart.
pub(crate) const OWN_VARIABLES: &str = "CRONDAG_";

/// What is wrong with a name that templates and the environment must be able to say.
pub(super) fn bad_identifier(name: &str) -> Option<&'static str> {
    let mut characters = name.chars();
    let starts = characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let goes_on = characters.all(|c| c.is_ascii_alphanumeric() || c == '_');
    (!(starts && goes_on)).then_some("expected letters, digits and `_`, no digit first")
}

/// What is wrong with the name of a variable for tasks.
pub(super) fn bad_variable(name: &str) -> Option<&'static str> {
    bad_identifier(name)
        .or_else(|| name.starts_with(OWN_VARIABLES).then_some("what begins with CRONDAG_ is crondag's own"))
}

/// Any name will do.
pub(super) fn any_name(_: &str) -> Option<&'static str> {
    None
}

/// A date as TOML writes it, without quotes.
pub(super) fn date_of_toml(date: &Datetime) -> Option<DateBound> {
    let day = date.date?;
    let day =
        civil::Date::new(i16::try_from(day.year).ok()?, i8::try_from(day.month).ok()?, i8::try_from(day.day).ok()?)
            .ok()?;
    let Some(time) = date.time else { return Some(DateBound::Date(day)) };
    let time = civil::Time::new(
        i8::try_from(time.hour).ok()?,
        i8::try_from(time.minute).ok()?,
        i8::try_from(time.second.unwrap_or(0)).ok()?,
        i32::try_from(time.nanosecond.unwrap_or(0)).ok()?,
    )
    .ok()?;
    let local = day.to_datetime(time);
    let minutes = match date.offset {
        None => return Some(DateBound::DateTime(local)),
        Some(TomlOffset::Z) => 0,
        Some(TomlOffset::Custom { minutes }) => i32::from(minutes),
    };
    let offset = Offset::from_seconds(minutes * 60).ok()?;
    offset.to_timestamp(local).ok().map(DateBound::Instant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_name_and_a_host() {
        for good in ["a@b", "a.b+c@mail.example.com", "Data Team <etl@example.com>", "root@[::1]", "用户@例子.com"]
        {
            assert!(is_address(good), "{good}");
        }
        for bad in
            ["", "a", "@b", "a@", "a b@c", "a@b c", "a@b/c", "a@b,c@d", "A <a@b", "A <a@b> c", "a\u{7}@b", "A\n<a@b>"]
        {
            assert!(!is_address(bad), "{bad:?}");
        }
    }

    #[test]
    fn memory_is_a_number_with_a_unit_of_the_jvm() {
        assert_eq!(["8g", "512M", "1024", "16tb", "7kb"].map(is_memory), [true; 5]);
        assert_eq!(["", "g", "8 g", "8x", "-8g"].map(is_memory), [false; 5]);
        assert_eq!(["{{ x }}", "{% if x %}", "x"].map(is_template), [true, true, false]);
    }

    #[test]
    fn keys_are_quoted_when_toml_wants_it() {
        assert_eq!(["a_B-9", "", "a.b", "ü"].map(quoted_key), ["a_B-9", "\"\"", "\"a.b\"", "\"ü\""]);
    }
}
