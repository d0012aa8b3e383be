//! Durations and sizes as people write them: `90s`, `1h30m`, `100MB`.

use std::ops::Range;
use std::time::Duration;

/// Why a text is not a duration or a size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitFault {
    /// The bytes of the text that are wrong.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

const EXAMPLES: &str = "write a number with a unit, such as \"90s\", \"10m\", \"1h30m\", \"1d\" or \"2w\"";

/// Reads a duration: numbers with the units `ms s m h d w`, largest first or not, without blanks; more than zero or `0s`.
///
/// # Errors
/// The place and what to write instead.
pub fn parse_duration(text: &str) -> Result<Duration, UnitFault> {
    let fault = |span: Range<usize>, message: String, help: &str| UnitFault { span, message, help: help.to_owned() };
    let mut total = Duration::ZERO;
    let mut position = 0;
    if text.is_empty() {
        return Err(fault(0..0, "an empty duration".to_owned(), EXAMPLES));
    }
    while position < text.len() {
        let rest = &text[position..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let unit_len: usize = rest[digits..].chars().take_while(|c| !c.is_ascii_digit()).map(char::len_utf8).sum();
        let unit = &rest[digits..digits + unit_len];
        let span = position..position + digits + unit_len;
        if digits == 0 {
            return Err(fault(span, format!("`{unit}` has no number before it"), EXAMPLES));
        }
        let millis_per_unit: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            "" => {
                let help = format!("write \"{text}s\" for seconds or \"{text}m\" for minutes");
                return Err(fault(span, format!("`{}` has no unit", &rest[..digits]), &help));
            }
            _ => {
                let unit_span = position + digits..span.end;
                return Err(fault(unit_span, format!("`{unit}` is not a unit"), "the units are ms, s, m, h, d and w"));
            }
        };
        let part = rest[..digits].parse::<u64>().ok().and_then(|number| number.checked_mul(millis_per_unit));
        let sum = part.and_then(|part| total.checked_add(Duration::from_millis(part)));
        // A thousand years: beyond it dates overflow, and nobody means it.
        match sum.filter(|sum| sum.as_secs() <= 1_000 * 366 * 86_400) {
            Some(sum) => total = sum,
            None => return Err(fault(span, "the duration is too long".to_owned(), EXAMPLES)),
        }
        position += digits + unit_len;
    }
    Ok(total)
}

/// Writes a duration with at most two units: `850ms`, `2.3s`, `1m05s`, `1h30m`, `2d4h`.
pub fn format_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let seconds = (millis + 500) / 1_000;
    match seconds {
        _ if millis < 1_000 => format!("{millis}ms"),
        _ if millis < 59_950 && !millis.is_multiple_of(1_000) => {
            format!("{}.{}s", (millis + 50) / 1_000, (millis + 50) % 1_000 / 100)
        }
        0..60 => format!("{seconds}s"),
        60..3_600 if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 if seconds % 3_600 < 60 => format!("{}h", seconds / 3_600),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ if seconds % 86_400 < 3_600 => format!("{}d", seconds / 86_400),
        _ => format!("{}d{}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// Reads a size in bytes: a number with `B`, `KB`, `MB` or `GB` (powers of 1024).
///
/// # Errors
/// The place and what to write instead.
pub fn parse_size(text: &str) -> Result<u64, UnitFault> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let factor: Option<u64> = match &text[digits..] {
        "B" => Some(1),
        "KB" => Some(1 << 10),
        "MB" => Some(1 << 20),
        "GB" => Some(1 << 30),
        _ => None,
    };
    factor.and_then(|factor| text[..digits].parse::<u64>().ok()?.checked_mul(factor)).ok_or_else(|| UnitFault {
        span: 0..text.len(),
        message: format!("`{text}` is not a size"),
        help: "write a whole number with a unit, such as \"64KB\", \"100MB\" or \"2GB\"".to_owned(),
    })
}

/// Writes a size with one unit: `512 B`, `1.5 MB`.
pub fn format_size(bytes: u64) -> String {
    #[allow(clippy::cast_precision_loss)] // one digit after the point is shown
    let value = bytes as f64;
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{:.1} KB", value / 1_024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MB", value / 1_048_576.0),
        _ => format!("{:.1} GB", value / 1_073_741_824.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_written() {
        for (text, millis) in [("90s", 90_000), ("1h30m", 5_400_000), ("2w", 1_209_600_000), ("500ms", 500), ("0s", 0)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn faults_point_at_the_wrong_part() {
        assert_eq!(parse_duration("10").unwrap_err().help, "write \"10s\" for seconds or \"10m\" for minutes");
        assert_eq!(parse_duration("1h5x").unwrap_err().span, 3..4);
        assert_eq!(parse_duration("min").unwrap_err().message, "`min` has no number before it");
        assert_eq!(parse_duration("99999999999w").unwrap_err().message, "the duration is too long");
        assert!(parse_duration("").is_err() && parse_duration("十分").is_err());
    }

    #[test]
    fn durations_are_written_short() {
        let written = |millis| format_duration(Duration::from_millis(millis));
        assert_eq!(
            [850, 2_300, 59_999, 65_000, 600_000, 5_400_000, 187_200_000].map(written),
            ["850ms", "2.3s", "1m", "1m05s", "10m", "1h30m", "2d4h"]
        );
        assert_eq!([999, 1_000, 5_000, 59_949, 59_950].map(written), ["999ms", "1s", "5s", "59.9s", "1m"]);
        assert_eq!(
            [3_599, 3_600, 3_659, 3_660, 86_400, 89_999, 90_000].map(|seconds| written(seconds * 1_000)),
            ["59m59s", "1h", "1h", "1h01m", "1d", "1d", "1d1h"]
        );
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("100MB"), Ok(100 << 20));
        assert!(parse_size("100").is_err() && parse_size("MB").is_err() && parse_size("99999999999GB").is_err());
        assert_eq!(["7B", "7KB", "7GB"].map(parse_size), [Ok(7), Ok(7 << 10), Ok(7 << 30)]);
        assert_eq!(format_size(1_572_864), "1.5 MB");
        assert_eq!(
            [0, 1_023, 1_024, 1_048_576, 1_073_741_824].map(format_size),
            ["0 B", "1023 B", "1.0 KB", "1.0 MB", "1.0 GB"]
        );
    }
}
