//! Values, changes and histories for people.

use std::fmt::Write as _;

use super::Judgement;
use crate::dag::Verdict;

/// How many earlier values a sparkline shows.
const SPARKS: usize = 14;
/// Rows of a table; of more, those that are not ok and the first ones.
const SHOWN: usize = 200;

/// A number for people: `12,345`, `0.0421`.
pub fn number(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 1e15 {
        return format!("{value:e}");
    }
    let decimals = if value.fract() == 0.0 || magnitude >= 1000.0 {
        0
    } else if magnitude >= 1.0 {
        2
    } else {
        4
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { format!("{sign}{grouped}") } else { format!("{sign}{grouped}.{fraction}") }
}

/// How a value differs from another: `+31 %`.
pub fn change(value: f64, baseline: f64) -> String {
    if baseline == 0.0 {
        return if value == 0.0 { "0 %".to_owned() } else { "from 0".to_owned() };
    }
    let percent = (value - baseline) / baseline.abs() * 100.0;
    if percent.abs() >= 10.0 { format!("{percent:+.0} %") } else { format!("{percent:+.1} %") }
}

/// Values as a line of bars, the newest on the right.
pub fn sparkline(values: &[f64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    values
        .iter()
        .map(|value| {
            if high <= low {
                return BARS[3];
            }
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // from 0 to 7
            let bar = ((value - low) / (high - low) * 7.0).round() as usize;
            BARS[bar.min(7)]
        })
        .collect()
}

/// The whole judgement as text: what is said of the check, then a table of its values.
pub fn table(judgement: &Judgement) -> String {
    // Writing to a String cannot fail, here and below.
    let mut text = String::new();
    for (verdict, finding) in &judgement.findings {
        let _ = writeln!(text, "{verdict}: {finding}");
    }
    let head = ["key", "metric", "value", "baseline", "change", "verdict", "history"].map(str::to_owned);
    let mut order: Vec<usize> = (0..judgement.values.len()).collect();
    if order.len() > SHOWN {
        // Stable: within a verdict the order of the keys stays.
        order.sort_by_key(|&index| std::cmp::Reverse(judgement.values[index].verdict));
        order.truncate(SHOWN);
    }
    let rows: Vec<[String; 7]> = order
        .iter()
        .map(|&index| {
            let value = &judgement.values[index];
            let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
            let moved = value.value.zip(value.baseline).map_or_else(String::new, |(value, base)| change(value, base));
            let mut history = value.history[value.history.len().saturating_sub(SPARKS)..].to_vec();
            history.extend(value.value);
            let verdict = value.verdict.to_string();
            [
                short(&value.key, 30),
                short(&value.metric, 20),
                shown(value.value),
                shown(value.baseline),
                moved,
                verdict,
                sparkline(&history),
            ]
        })
        .collect();
    if !rows.is_empty() {
        let widths: Vec<usize> = (0..7)
            .map(|column| {
                std::iter::once(&head).chain(&rows).map(|row| row[column].chars().count()).max().unwrap_or_default()
            })
            .collect();
        for row in std::iter::once(&head).chain(&rows) {
            let cells: Vec<String> = row
                .iter()
                .enumerate()
                .map(|(column, cell)| {
                    let pad = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
                    if (2..5).contains(&column) { format!("{pad}{cell}") } else { format!("{cell}{pad}") }
                })
                .collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        let more = judgement.values.len() - rows.len();
        if more > 0 {
            let _ = writeln!(text, "... and {more} more values that are ok");
        }
    }
    for value in judgement.values.iter().filter(|value| value.verdict != Verdict::Ok) {
        let reason = value.reason.as_deref().unwrap_or_default();
        let _ = writeln!(text, "{}: {} {}: {reason}", value.verdict, value.key, value.metric);
    }
    text
}

/// A text cut to that many characters.
pub(super) fn short(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 3).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Judged;
    use super::*;

    #[test]
    fn numbers_and_changes_for_people() {
        let shown: Vec<String> =
            [0.0, 1.0, 1234.0, -1_234_567.0, 0.5, 0.04213, 12.345, 1234.5, 1e16].into_iter().map(number).collect();
        assert_eq!(shown, ["0", "1", "1,234", "-1,234,567", "0.5", "0.0421", "12.35", "1,234", "1e16"]);
        assert_eq!(change(131.0, 100.0), "+31 %");
        assert_eq!(change(99.0, 100.0), "-1.0 %");
        assert_eq!(change(-50.0, -100.0), "+50 %");
        assert_eq!(change(1.0, 0.0), "from 0");
        assert_eq!(sparkline(&[1.0, 2.0, 3.0]), "▁▅█");
        assert_eq!(sparkline(&[2.0, 2.0]), "▄▄");
        assert_eq!(sparkline(&[]), "");
    }

    #[test]
    fn a_table_shows_everything_at_a_glance() {
        let value = |key: &str, value, verdict, reason: Option<&str>| Judged {
            key: key.to_owned(),
            metric: "tag_count".to_owned(),
            value: Some(value),
            baseline: Some(100.0),
            verdict,
            reason: reason.map(str::to_owned),
            history: vec![98.0, 101.0, 100.0],
        };
        let judgement = Judgement {
            values: vec![
                value("A111", 12_000.0, Verdict::Fail, Some("jump: too much")),
                value("B", 101.0, Verdict::Ok, None),
            ],
            findings: vec![(Verdict::Warn, "keys of the date before are missing: C".to_owned())],
            verdict: Verdict::Fail,
        };
        let expected = "warn: keys of the date before are missing: C
key   metric      value  baseline    change  verdict  history
A111  tag_count  12,000       100  +11900 %  fail     ▁▁▁█
B     tag_count     101       100    +1.0 %  ok       ▁█▆█
fail: A111 tag_count: jump: too much
";
        assert_eq!(table(&judgement), expected);
    }
}
