//! The rules.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::observe::{CheckFault, Observed, is_for, observe};
use super::reconcile::{Reconciliation, reconcile};
use super::time::time;
use super::{EarlierDate, Judged, Judgement, Rows, number};
use crate::dag::Verdict;
use crate::dag::check::{Baseline, Rule, Rules};
use crate::dag::schedule::DataInterval;
use crate::dag::units::format_duration;

/// The median absolute deviation times this estimates the standard deviation of normal values.
const ROBUST: f64 = 1.4826;
/// Where earlier values hardly differ, a deviation is counted in this share of their median at least: else the first value
/// that differs at all would be infinitely far away.
const LEAST_DEVIATION: f64 = 0.01;
/// So many names are listed.
const NAMED: usize = 5;
/// The median shown beside values for which no rule names a baseline.
const USUAL: usize = 7;

/// Judges the rows of a date. `history` is of earlier dates whose check did not fail, newest first.
///
/// # Errors
/// The rows lack a column that the check names.
pub fn judge(
    rules: &Rules,
    rows: &Rows,
    history: &[EarlierDate],
    (interval, zone): (&DataInterval, &TimeZone),
    reconciliation: Option<Reconciliation<'_>>,
) -> Result<Judgement, CheckFault> {
    let observed = observe(rules, rows)?;
    let mut findings = Vec::new();
    if observed.total == 0 {
        findings.push((rules.no_rows, "there are no rows".to_owned()));
    }
    let doubled: Vec<String> = observed
        .rows_of
        .iter()
        .filter(|(_, count)| **count > 1)
        .map(|(key, count)| format!("{key} has {count} rows"))
        .collect();
    if !doubled.is_empty() {
        findings.push((rules.duplicate_keys, format!("keys have several rows: {}", listed(&doubled))));
    }
    find_keys(rules, &observed, history, &mut findings);
    find_nulls(rules, &observed, &mut findings);
    let mut values: Vec<Judged> = observed
        .values
        .iter()
        .map(|((key, metric), value)| judge_value(rules, (key, metric), *value, &observed, history, (interval, zone)))
        .collect();
    if let Some(reconciliation) = reconciliation {
        reconcile(rules, &observed, &mut values, (&reconciliation, zone), &mut findings)?;
    }
    find_no_numbers(&values, &observed, rules, &mut findings);
    findings.retain(|(verdict, _)| *verdict != Verdict::Ok);
    let worst = values.iter().map(|value| value.verdict).chain(findings.iter().map(|(verdict, _)| *verdict)).max();
    Ok(Judgement { values, findings, verdict: worst.unwrap_or(Verdict::Ok) })
}

fn find_keys(rules: &Rules, observed: &Observed<'_>, history: &[EarlierDate], findings: &mut Vec<(Verdict, String)>) {
    fn keys(date: &EarlierDate) -> BTreeSet<&String> {
        date.values.keys().map(|(key, _)| key).collect()
    }
    let Some(newest) = history.first() else { return };
    let missing: Vec<String> =
        keys(newest).into_iter().filter(|key| !observed.rows_of.contains_key(*key)).cloned().collect();
    // No rows at all have been told of.
    if !missing.is_empty() && observed.total > 0 {
        findings.push((rules.missing_keys, format!("keys of the date before are missing: {}", listed(&missing))));
    }
    let known: BTreeSet<&String> = history.iter().flat_map(keys).collect();
    let new: Vec<String> = observed.rows_of.keys().filter(|key| !known.contains(*key)).cloned().collect();
    if !new.is_empty() {
        findings.push((rules.new_keys, format!("keys are new: {}", listed(&new))));
    }
}

fn find_nulls(rules: &Rules, observed: &Observed<'_>, findings: &mut Vec<(Verdict, String)>) {
    for rule in &rules.rules {
        let Some(most) = rule.max_null_share else { continue };
        for metric in observed.metrics.iter().filter(|metric| is_for(&rule.metrics, metric)) {
            let nulls = observed.nulls.get(metric.as_str()).copied().unwrap_or(0);
            #[allow(clippy::cast_precision_loss)] // no query gives 2^52 rows
            let share = nulls as f64 / (observed.total.max(1)) as f64;
            if share > most {
                let text = format!(
                    "{nulls} of {} rows have no number in {metric} ({} allows {})",
                    observed.total,
                    rule.name,
                    percent(most)
                );
                findings.push((rule.verdict, text));
            }
        }
    }
}

fn find_no_numbers(values: &[Judged], observed: &Observed<'_>, rules: &Rules, findings: &mut Vec<(Verdict, String)>) {
    let is_none = |value: &&Judged| observed.no_number(rules, &(value.key.clone(), value.metric.clone())).is_some();
    let count = values.iter().filter(is_none).count();
    if count > 0 {
        let text = format!(
            "{count} of {} values are no numbers, and no NULL (in CSV an empty cell) either: correct the source; where a column is a \
             time, name it in a rule with max_age; where it is another text, name the columns with numbers in `metrics`",
            values.len()
        );
        findings.push((Verdict::Fail, text));
    }
}

fn judge_value(
    rules: &Rules,
    (key, metric): (&str, &str),
    value: Option<f64>,
    observed: &Observed<'_>,
    history: &[EarlierDate],
    (interval, zone): (&DataInterval, &TimeZone),
) -> Judged {
    let name = (key.to_owned(), metric.to_owned());
    let earlier: Vec<(Timestamp, f64)> =
        history.iter().filter_map(|date| Some((date.date, *date.values.get(&name)?))).collect();
    let mut judged = Judged {
        key: key.to_owned(),
        metric: metric.to_owned(),
        value,
        baseline: None,
        verdict: Verdict::Ok,
        reason: None,
        history: earlier.iter().rev().map(|(_, value)| *value).collect(),
    };
    let mut reasons = Vec::new();
    if let Some(reason) = observed.no_number(rules, &name) {
        judged.verdict = Verdict::Fail;
        reasons.push(reason);
    }
    for rule in rules.rules.iter().filter(|rule| is_for(&rule.metrics, metric) && is_for(&rule.keys, key)) {
        let mut broken = Vec::new();
        if let Some(value) = value {
            broken.extend(outside(rule, value));
            if rule.max_change.is_some() || rule.max_deviations.is_some() {
                let baseline = baseline(rule, &earlier, interval.start, zone);
                judged.baseline = judged.baseline.or(baseline);
                broken.extend(moved(rule, value, baseline, &earlier));
            }
        }
        if let Some(most) = rule.max_age {
            broken.extend(match (observed.texts.get(&name), value) {
                (Some(text), _) => too_old(text, most, interval.end, zone),
                // A rule for all columns is for those that are times.
                (None, Some(value)) => (!rule.metrics.is_empty()).then(|| format!("{} is no time", number(value))),
                (None, None) => {
                    (!rule.metrics.is_empty() || !observed.is_numeric(metric)).then(|| "there is no time".to_owned())
                }
            });
        }
        if !broken.is_empty() {
            judged.verdict = judged.verdict.max(rule.verdict);
            reasons.push(format!("{}: {}", rule.name, broken.join(", ")));
        }
    }
    if judged.baseline.is_none() && !earlier.is_empty() {
        judged.baseline = Some(median(&newest(&earlier, USUAL)));
    }
    judged.reason = (!reasons.is_empty()).then(|| reasons.join("; "));
    judged
}

fn outside(rule: &Rule, value: f64) -> Option<String> {
    match (rule.min, rule.max) {
        (Some(min), _) if value < min => Some(format!("below {}", number(min))),
        (_, Some(max)) if value > max => Some(format!("above {}", number(max))),
        _ => None,
    }
}

fn newest(earlier: &[(Timestamp, f64)], count: usize) -> Vec<f64> {
    earlier.iter().take(count).map(|(_, value)| *value).collect()
}

fn baseline(rule: &Rule, earlier: &[(Timestamp, f64)], date: Timestamp, zone: &TimeZone) -> Option<f64> {
    match rule.against {
        Baseline::Previous => earlier.first().map(|(_, value)| *value),
        Baseline::SameWeekday => {
            let today = date.to_zoned(zone.clone()).date();
            let is_same = |then: &Timestamp| then.to_zoned(zone.clone()).date().weekday() == today.weekday();
            earlier.iter().find(|(then, _)| is_same(then)).map(|(_, value)| *value)
        }
        Baseline::Median => usual(rule, earlier),
    }
}

fn usual(rule: &Rule, earlier: &[(Timestamp, f64)]) -> Option<f64> {
    let values = newest(earlier, rule.last as usize);
    (values.len() >= rule.at_least as usize).then(|| median(&values))
}

fn moved(rule: &Rule, value: f64, baseline: Option<f64>, earlier: &[(Timestamp, f64)]) -> Vec<String> {
    let mut broken = Vec::new();
    let least = rule.min_base.unwrap_or(0.0);
    let counts = |base: f64| value.abs().max(base.abs()) >= least;
    if let (Some(most), Some(baseline)) = (rule.max_change, baseline.filter(|baseline| counts(*baseline))) {
        let change = (value - baseline).abs();
        if change > most * baseline.abs().max(least) {
            let of = match rule.against {
                Baseline::Median => format!("the median of {} dates", earlier.len().min(rule.last as usize)),
                Baseline::Previous => "the date before".to_owned(),
                Baseline::SameWeekday => "the same weekday before".to_owned(),
            };
            let by = super::change(value, baseline);
            // Of a small baseline the share alone would not say what is allowed.
            let from = if baseline.abs() < least { format!(" of {}", number(least)) } else { String::new() };
            broken.push(format!("{by} against {of}, at most {}{from} allowed", percent(most)));
        }
    }
    if let (Some(most), Some(middle)) = (rule.max_deviations, usual(rule, earlier).filter(|middle| counts(*middle))) {
        let deviations: Vec<f64> =
            newest(earlier, rule.last as usize).iter().map(|value| (value - middle).abs()).collect();
        let spread = (ROBUST * median(&deviations)).max(LEAST_DEVIATION * middle.abs().max(least));
        let away = (value - middle).abs() / spread;
        // A median of zero with no spread at all: any other value is infinitely far away.
        if away > most || (spread == 0.0 && (value - middle).abs() > 0.0) {
            broken.push(format!("{away:.1} deviations from the median {}, at most {most} allowed", number(middle)));
        }
    }
    broken
}

fn too_old(text: &str, most: Duration, end: Timestamp, zone: &TimeZone) -> Option<String> {
    let Some(time) = time(text, zone) else { return Some(format!("`{text}` is no time")) };
    let age = Duration::try_from(end.duration_since(time)).unwrap_or_default();
    (age > most).then(|| {
        format!(
            "{text} is {} before the end of the data interval, at most {} allowed",
            format_duration(age),
            format_duration(most)
        )
    })
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        length if length % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

fn percent(share: f64) -> String {
    format!("{} %", number(share * 100.0))
}

fn listed(names: &[String]) -> String {
    let shown = names[..names.len().min(NAMED)].join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Cell;

    fn rows(columns: &[&str], rows: &[(&str, &[Cell])]) -> Rows {
        Rows {
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            rows: rows
                .iter()
                .map(|(key, cells)| {
                    std::iter::once(Cell::Text((*key).to_owned())).chain(cells.iter().cloned()).collect()
                })
                .collect(),
        }
    }

    fn counts(counts: &[(&str, f64)]) -> Rows {
        let cells: Vec<(&str, [Cell; 1])> = counts.iter().map(|(key, count)| (*key, [Cell::Number(*count)])).collect();
        rows(&["tagid", "tag_count"], &cells.iter().map(|(key, cells)| (*key, cells.as_slice())).collect::<Vec<_>>())
    }

    fn day(day: i64) -> Timestamp {
        Timestamp::from_second(1_530_403_200 + day * 86_400).unwrap() // 2018-07-01, a Sunday
    }

    /// Values of A111 on the days before day 10, newest first.
    fn history(values: &[f64]) -> Vec<EarlierDate> {
        values
            .iter()
            .zip(1..)
            .map(|(value, back)| EarlierDate {
                date: day(10 - back),
                values: [(("A111".to_owned(), "tag_count".to_owned()), *value)].into(),
            })
            .collect()
    }

    fn rule() -> Rule {
        Rule {
            name: "r".to_owned(),
            metrics: Vec::new(),
            keys: Vec::new(),
            min: None,
            max: None,
            max_change: None,
            max_deviations: None,
            against: Baseline::Median,
            min_base: None,
            last: 7,
            at_least: 3,
            max_null_share: None,
            max_age: None,
            verdict: Verdict::Fail,
        }
    }

    fn rules(rule: Option<Rule>) -> Rules {
        Rules {
            key: Vec::new(),
            metrics: Vec::new(),
            no_rows: Verdict::Fail,
            duplicate_keys: Verdict::Fail,
            missing_keys: Verdict::Warn,
            new_keys: Verdict::Ok,
            rules: rule.into_iter().collect(),
        }
    }

    fn judged(rules: &Rules, rows: &Rows, history: &[EarlierDate]) -> Judgement {
        let interval = DataInterval { start: day(10), end: day(11) };
        judge(rules, rows, history, (&interval, &TimeZone::UTC), None).unwrap()
    }

    /// The verdict on A111 and its reason.
    fn verdict(rule: Rule, value: f64, before: &[f64]) -> (Verdict, String) {
        let judgement = judged(&rules(Some(rule)), &counts(&[("A111", value)]), &history(before));
        (judgement.verdict, judgement.values[0].reason.clone().unwrap_or_default())
    }

    #[test]
    fn bounds() {
        let bounds = || Rule { min: Some(10.0), max: Some(20.0), ..rule() };
        assert_eq!(verdict(bounds(), 10.0, &[]), (Verdict::Ok, String::new()));
        assert_eq!(verdict(bounds(), 20.0, &[]), (Verdict::Ok, String::new()));
        assert_eq!(verdict(bounds(), 9.0, &[]), (Verdict::Fail, "r: below 10".to_owned()));
        assert_eq!(verdict(bounds(), 20.5, &[]), (Verdict::Fail, "r: above 20".to_owned()));
        assert_eq!(verdict(Rule { verdict: Verdict::Warn, ..bounds() }, 9.0, &[]).0, Verdict::Warn);
    }

    #[test]
    fn change_against_the_median_needs_enough_dates_and_counts_up_and_down() {
        let jump = || Rule { max_change: Some(0.3), last: 3, ..rule() };
        assert_eq!(verdict(jump(), 130.0, &[100.0, 90.0, 110.0, 999.0]).0, Verdict::Ok);
        let (found, reason) = verdict(jump(), 131.0, &[100.0, 90.0, 110.0, 999.0]);
        assert_eq!(
            (found, reason.as_str()),
            (Verdict::Fail, "r: +31 % against the median of 3 dates, at most 30 % allowed")
        );
        assert_eq!(verdict(jump(), 69.0, &[100.0, 90.0, 110.0]).0, Verdict::Fail);
        assert_eq!(verdict(jump(), 999.0, &[100.0, 100.0]).0, Verdict::Ok, "two dates are no median");
        assert_eq!(verdict(jump(), 1.0, &[0.0, 0.0, 0.0]).0, Verdict::Fail, "anything is far from nothing");
        assert_eq!(verdict(jump(), 0.0, &[0.0, 0.0, 0.0]).0, Verdict::Ok);
    }

    #[test]
    fn change_against_the_date_before_and_the_same_weekday() {
        let against = |against| Rule { max_change: Some(0.1), against, ..rule() };
        assert_eq!(verdict(against(Baseline::Previous), 105.0, &[100.0, 500.0]).0, Verdict::Ok);
        let reason = verdict(against(Baseline::Previous), 250.0, &[500.0, 250.0]).1;
        assert_eq!(reason, "r: -50 % against the date before, at most 10 % allowed");
        let week = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 100.0];
        assert_eq!(verdict(against(Baseline::SameWeekday), 105.0, &week).0, Verdict::Ok);
        assert_eq!(verdict(against(Baseline::SameWeekday), 1.0, &week).0, Verdict::Fail);
        assert_eq!(verdict(against(Baseline::SameWeekday), 1.0, &week[..6]).0, Verdict::Ok, "no such weekday yet");
    }

    #[test]
    fn small_counts_neither_shout_nor_hide() {
        let jump = || Rule { max_change: Some(0.3), min_base: Some(100.0), against: Baseline::Previous, ..rule() };
        assert_eq!(verdict(jump(), 2.0, &[1.0]).0, Verdict::Ok, "one user more");
        assert_eq!(verdict(jump(), 99.0, &[1.0]).0, Verdict::Ok);
        assert_eq!(verdict(jump(), 0.0, &[0.0]).0, Verdict::Ok);
        assert_eq!(verdict(jump(), 110.0, &[95.0]).0, Verdict::Ok, "15 of 100");
        let (found, reason) = verdict(jump(), 4000.0, &[2.0]);
        let expected = "r: +199900 % against the date before, at most 30 % of 100 allowed";
        assert_eq!((found, reason.as_str()), (Verdict::Fail, expected));
        assert_eq!(verdict(jump(), 1.0, &[4000.0]).0, Verdict::Fail, "what was large and is small");
        assert_eq!(verdict(jump(), 131.0, &[100.0]).0, Verdict::Fail);
        let spread = || Rule { max_deviations: Some(5.0), min_base: Some(100.0), ..rule() };
        assert_eq!(verdict(spread(), 9.0, &[1.0; 7]).0, Verdict::Ok);
        assert_eq!(verdict(spread(), 900.0, &[1.0; 7]).0, Verdict::Fail);
        assert_eq!(verdict(spread(), 0.0, &[900.0; 7]).0, Verdict::Fail);
    }

    #[test]
    fn robust_deviations_ignore_one_wild_date() {
        let rule = || Rule { max_deviations: Some(5.0), last: 7, ..rule() };
        let before = [100.0, 102.0, 98.0, 5000.0, 101.0, 99.0, 100.0];
        assert_eq!(verdict(rule(), 104.0, &before).0, Verdict::Ok);
        let (found, reason) = verdict(rule(), 120.0, &before);
        assert_eq!(found, Verdict::Fail);
        assert_eq!(reason, "r: 13.5 deviations from the median 100, at most 5 allowed");
        assert_eq!(verdict(rule(), 104.0, &[100.0; 7]).0, Verdict::Ok, "one percent is the least deviation");
        assert_eq!(verdict(rule(), 106.0, &[100.0; 7]).0, Verdict::Fail);
    }

    #[test]
    fn keys_that_are_missing_new_or_doubled() {
        let before = history(&[1.0]);
        let judgement = judged(&rules(None), &counts(&[("B", 1.0)]), &before);
        let missing = (Verdict::Warn, "keys of the date before are missing: A111".to_owned());
        assert_eq!(judgement.findings, [missing]);
        let strict = Rules { new_keys: Verdict::Fail, ..rules(None) };
        let judgement = judged(&strict, &counts(&[("A111", 1.0), ("B", 1.0)]), &before);
        assert_eq!(judgement.findings, [(Verdict::Fail, "keys are new: B".to_owned())]);
        assert_eq!(judged(&strict, &counts(&[("B", 1.0)]), &[]).verdict, Verdict::Ok, "the first date has no new keys");
        let judgement = judged(&rules(None), &counts(&[("A111", 1.0), ("A111", 2.0)]), &[]);
        assert_eq!(judgement.findings, [(Verdict::Fail, "keys have several rows: A111 has 2 rows".to_owned())]);
        assert_eq!(judgement.values[0].value, Some(3.0));
    }

    #[test]
    fn no_rows_and_rows_without_numbers() {
        let judgement = judged(&rules(None), &counts(&[]), &history(&[1.0]));
        assert_eq!(judgement.findings, [(Verdict::Fail, "there are no rows".to_owned())]);
        let empty = Rows::default();
        assert_eq!(judged(&rules(None), &empty, &[]).verdict, Verdict::Fail);
        let half = rows(&["k", "n"], &[("a", &[Cell::Null]), ("b", &[Cell::Number(1.0)])]);
        let rule = |share| rules(Some(Rule { max_null_share: Some(share), ..rule() }));
        let found = judged(&rule(0.4), &half, &[]).findings;
        assert_eq!(found, [(Verdict::Fail, "1 of 2 rows have no number in n (r allows 40 %)".to_owned())]);
        assert_eq!(judged(&rule(0.5), &half, &[]).verdict, Verdict::Ok);
    }

    #[test]
    fn freshness() {
        let fresh = |text: &str| {
            let rules = rules(Some(Rule { max_age: Some(Duration::from_secs(26 * 3600)), ..rule() }));
            let rows = rows(&["t", "newest"], &[("orders", &[Cell::Text(text.to_owned())])]);
            judged(&rules, &rows, &[]).values[0].reason.clone()
        };
        assert_eq!(fresh("2018-07-11"), None);
        assert_eq!(fresh("2018-07-11 00:00:01"), None);
        assert_eq!(fresh("2018-07-10T23:00:00Z"), None);
        let old = "r: 2018-07-10 is 48h before the end of the data interval, at most 26h allowed";
        assert_eq!(fresh("2018-07-10").unwrap().replace("2d", "48h").replace("1d2h", "26h"), old);
        assert_eq!(fresh("soon").unwrap(), "r: `soon` is no time");
    }

    #[test]
    fn a_freshness_that_no_time_tells_is_no_freshness() {
        let reason = |metrics: &[&str], rows: &Rows| {
            let metrics = metrics.iter().map(|name| (*name).to_owned()).collect();
            let rules = rules(Some(Rule { max_age: Some(Duration::from_secs(3600)), metrics, ..rule() }));
            judged(&rules, rows, &[]).values[0].reason.clone()
        };
        let empty = rows(&["t", "newest"], &[("orders", &[Cell::Null])]);
        assert_eq!(reason(&[], &empty).as_deref(), Some("r: there is no time"), "of an empty table");
        assert_eq!(reason(&["newest"], &empty).as_deref(), Some("r: there is no time"));
        let seconds = rows(&["t", "newest"], &[("orders", &[Cell::Number(20_180_711.0)])]);
        assert_eq!(reason(&["newest"], &seconds).as_deref(), Some("r: 20,180,711 is no time"));
        let counts = rows(&["t", "n"], &[("a", &[Cell::Null]), ("b", &[Cell::Number(1.0)])]);
        assert_eq!(reason(&[], &counts), None, "a rule for all columns is for those that are times");
    }

    #[test]
    fn a_text_that_is_no_number_fails_whatever_the_rules_say() {
        let texts = ["12,345", "n/a", "", "  ", "NaN", "inf", "1e999", "0x10", "NULL"];
        let keys: Vec<String> = (0..texts.len()).map(|key| key.to_string()).collect();
        let cells: Vec<[Cell; 1]> = texts.iter().map(|text| [Cell::Text((*text).to_owned())]).collect();
        let given: Vec<(&str, &[Cell])> =
            keys.iter().map(String::as_str).zip(cells.iter().map(<[Cell; 1]>::as_slice)).collect();
        let lenient = Rule { min: Some(0.0), max_null_share: Some(1.0), verdict: Verdict::Warn, ..rule() };
        let judgement = judged(&rules(Some(lenient)), &rows(&["k", "n"], &given), &[]);
        let reasons: Vec<String> =
            judgement.values.iter().map(|value| value.reason.clone().unwrap_or_default()).collect();
        let expected = [
            "`12,345` is no number",
            "`n/a` is no number",
            "an empty text is no number",
            "a text of blanks is no number",
            "`NaN` is no finite number",
            "`inf` is no finite number",
            "`1e999` is no finite number",
            "`0x10` is no number",
            "`NULL` is no number",
        ];
        assert_eq!(reasons, expected);
        assert!(judgement.values.iter().all(|value| value.verdict == Verdict::Fail && value.value.is_none()));
        assert!(judgement.findings[0].1.starts_with("9 of 9 values are no numbers"), "{:?}", judgement.findings);
        assert_eq!(judgement.findings.len(), 1, "a text is no NULL");
    }

    #[test]
    fn a_sum_of_which_a_part_is_no_number_is_none() {
        let given: [(&str, &[Cell]); 2] = [("a", &[Cell::Number(5.0)]), ("a", &[Cell::Text("x".into())])];
        let rules = Rules { duplicate_keys: Verdict::Ok, ..rules(None) };
        let judgement = judged(&rules, &rows(&["k", "n"], &given), &[]);
        assert_eq!((judgement.verdict, judgement.values[0].value), (Verdict::Fail, None));
        let given: [(&str, &[Cell]); 2] = [("a", &[Cell::Number(1e308)]), ("a", &[Cell::Number(1e308)])];
        let judgement = judged(&rules, &rows(&["k", "n"], &given), &[]);
        assert_eq!(judgement.values[0].reason.as_deref(), Some("`inf` is no finite number"));
    }

    #[test]
    fn what_the_other_side_has_instead_of_a_number_fails_too_and_times_are_compared() {
        let interval = DataInterval { start: day(10), end: day(11) };
        let one = |cell: Cell| rows(&["t", "n"], &[("a", &[cell])]);
        let text = |text: &str| one(Cell::Text(text.to_owned()));
        let compare = |rule: Option<Rule>, ours: &Rows, theirs: &Rows| {
            let second = Reconciliation { rows: theirs, tolerance: 0.0, verdict: Verdict::Warn };
            let judgement = judge(&rules(rule), ours, &[], (&interval, &TimeZone::UTC), Some(second)).unwrap();
            (judgement.verdict, judgement.values[0].reason.clone().unwrap_or_default())
        };
        let (verdict, reason) = compare(None, &one(Cell::Number(5.0)), &text("n/a"));
        assert_eq!(verdict, Verdict::Fail);
        assert_eq!(reason, "reconcile: on the other side `n/a` is no number; reconcile: only one side has a number");
        assert_eq!(compare(None, &text("n/a"), &text("n/a")).0, Verdict::Fail, "the same text is no number either");
        let fresh = || Some(Rule { max_age: Some(Duration::from_secs(86_400)), ..rule() });
        let (verdict, reason) = compare(fresh(), &text("2018-07-11"), &text("2018-07-10T12:00:00Z"));
        assert_eq!((verdict, reason.as_str()), (Verdict::Warn, "reconcile: the other side has `2018-07-10T12:00:00Z`"));
        let same = compare(fresh(), &text("2018-07-11"), &text("2018-07-11T00:00:00Z"));
        assert_eq!(same, (Verdict::Ok, String::new()));
    }

    #[test]
    fn rules_are_for_the_metrics_and_keys_that_they_name() {
        let rows = rows(
            &["tagid", "n", "share"],
            &[("A1", &[Cell::Number(5.0), Cell::Number(5.0)]), ("B1", &[Cell::Number(5.0), Cell::Number(5.0)])],
        );
        let rule = Rule { max: Some(1.0), keys: vec!["A*".into()], metrics: vec!["share".into()], ..rule() };
        let judgement = judged(&rules(Some(rule)), &rows, &[]);
        let failed: Vec<_> = judgement
            .values
            .iter()
            .filter(|value| value.verdict == Verdict::Fail)
            .map(|value| (value.key.as_str(), value.metric.as_str()))
            .collect();
        assert_eq!(failed, [("A1", "share")]);
    }

    #[test]
    fn columns_that_are_not_there_are_named() {
        let wrong = Rules { key: vec!["tag".into()], ..rules(None) };
        let interval = DataInterval { start: day(10), end: day(11) };
        let fault = judge(&wrong, &counts(&[]), &[], (&interval, &TimeZone::UTC), None).unwrap_err();
        assert_eq!(fault.to_string(), "the query gives no column `tag`; it gives tagid, tag_count");
    }

    #[test]
    fn both_sides_must_agree_key_by_key() {
        let interval = DataInterval { start: day(10), end: day(11) };
        let compare = |theirs: &Rows, tolerance| {
            let second = Reconciliation { rows: theirs, tolerance, verdict: Verdict::Fail };
            let ours = counts(&[("A", 100.0), ("B", 1.0)]);
            judge(&rules(None), &ours, &[], (&interval, &TimeZone::UTC), Some(second)).unwrap()
        };
        assert_eq!(compare(&counts(&[("A", 100.0), ("B", 1.0)]), 0.0).verdict, Verdict::Ok);
        let judgement = compare(&counts(&[("A", 101.0), ("C", 7.0)]), 0.0);
        let reasons: Vec<_> = judgement.values.iter().map(|value| value.reason.clone().unwrap_or_default()).collect();
        assert_eq!(
            reasons,
            [
                "reconcile: the other side has 101",
                "reconcile: the other side has no such key",
                "reconcile: only the other side has this key",
            ]
        );
        assert_eq!(judgement.findings, [(Verdict::Fail, "3 of 3 values do not agree with the other side".to_owned())]);
        let both = rows(&["tagid", "tag_count", "users"], &[("A", &[Cell::Number(100.0), Cell::Number(7.0)])]);
        let second = Reconciliation { rows: &counts(&[("A", 100.0)]), tolerance: 0.0, verdict: Verdict::Fail };
        let judgement = judge(&rules(None), &both, &[], (&interval, &TimeZone::UTC), Some(second)).unwrap();
        let reasons: Vec<_> = judgement.values.iter().filter_map(|value| value.reason.clone()).collect();
        assert_eq!(reasons, ["reconcile: the other side has no such metric"]);
        assert_eq!(compare(&counts(&[("A", 101.0), ("B", 1.0)]), 0.01).verdict, Verdict::Ok);
    }

    #[test]
    fn both_sides_must_have_numbers_and_one_row_for_each_key() {
        let interval = DataInterval { start: day(10), end: day(11) };
        let compare = |ours: &Rows, theirs: &Rows| {
            let second = Reconciliation { rows: theirs, tolerance: 0.0, verdict: Verdict::Warn };
            let judgement = judge(&rules(None), ours, &[], (&interval, &TimeZone::UTC), Some(second)).unwrap();
            (judgement.values[0].reason.clone(), judgement.findings)
        };
        let nothing = rows(&["tagid", "tag_count"], &[("A", &[Cell::Null])]);
        let doubled = counts(&[("A", 1.0), ("A", 1.0)]);
        assert_eq!(compare(&nothing, &nothing), (None, Vec::new()), "no number on both sides is the same");
        let (reason, findings) = compare(&counts(&[("A", 1.0)]), &nothing);
        assert_eq!(reason.as_deref(), Some("reconcile: only one side has a number"));
        assert_eq!(findings, [(Verdict::Warn, "1 of 1 values do not agree with the other side".to_owned())]);
        let (reason, findings) = compare(&counts(&[("A", 2.0)]), &doubled);
        assert_eq!(reason, None, "rows of one key are added up");
        assert_eq!(findings, [(Verdict::Fail, "the other side has keys with several rows".to_owned())]);
    }

    #[test]
    fn a_value_is_shown_beside_what_it_was_compared_with_or_else_the_median() {
        let beside =
            |rule, before: &[f64]| judged(&rules(rule), &counts(&[("A111", 5.0)]), &history(before)).values[0].baseline;
        let previous = Rule { max_change: Some(9.0), against: Baseline::Previous, ..rule() };
        assert_eq!(beside(Some(previous), &[1.0, 2.0, 9.0]), Some(1.0));
        assert_eq!(beside(None, &[1.0, 2.0, 9.0]), Some(2.0));
        assert_eq!(beside(None, &[]), None);
    }

    #[test]
    fn what_a_rule_allows_is_allowed_to_the_last_bit() {
        let deviations = || Rule { max_deviations: Some(5.0), ..rule() };
        assert_eq!(verdict(deviations(), 105.0, &[100.0; 3]).0, Verdict::Ok, "one percent five times");
        assert_eq!(verdict(deviations(), 0.0, &[0.0; 3]).0, Verdict::Ok, "nothing, as ever");
        assert_eq!(verdict(deviations(), 0.1, &[0.0; 3]).0, Verdict::Fail);
        let most = Duration::from_secs(26 * 3600);
        assert_eq!(too_old("2018-07-10T22:00:00Z", most, day(11), &TimeZone::UTC), None);
        assert!(too_old("2018-07-10T21:59:59Z", most, day(11), &TimeZone::UTC).is_some());
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        let values = [median(&[]), median(&[7.0]), median(&[9.0, 1.0]), median(&[9.0, 1.0, 2.0, 4.0])];
        assert_eq!(values.map(number), ["0", "7", "5", "3"]);
    }
}
