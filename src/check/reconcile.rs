//! Two results that must agree.

use jiff::tz::TimeZone;

use super::observe::{CheckFault, Observed, SHOWN, observe};
use super::show::short;
use super::time::time;
use super::{Judged, Name, Rows, number};
use crate::dag::Verdict;
use crate::dag::check::Rules;

/// A second result that must agree.
#[derive(Debug, Clone, Copy)]
pub struct Reconciliation<'a> {
    /// Its rows.
    pub rows: &'a Rows,
    /// By which share of the larger value they may differ.
    pub tolerance: f64,
    /// The verdict when they do not agree.
    pub verdict: Verdict,
}

/// Compares each value with the other side's.
pub(super) fn reconcile(
    rules: &Rules,
    observed: &Observed<'_>,
    values: &mut Vec<Judged>,
    (reconciliation, zone): (&Reconciliation<'_>, &TimeZone),
    findings: &mut Vec<(Verdict, String)>,
) -> Result<(), CheckFault> {
    let other = observe(rules, reconciliation.rows)?;
    let say = |judged: &mut Judged, verdict: Verdict, reason: String| {
        judged.verdict = judged.verdict.max(verdict);
        judged.reason = Some(match judged.reason.take() {
            Some(before) => format!("{before}; {reason}"),
            None => reason,
        });
    };
    let blame = |judged: &mut Judged, reason| say(judged, reconciliation.verdict, reason);
    let no_number = |judged: &mut Judged, name: &Name| {
        if let Some(wrong) = other.no_number(rules, name) {
            say(judged, Verdict::Fail, format!("reconcile: on the other side {wrong}"));
        }
    };
    let mut different = 0;
    for judged in values.iter_mut() {
        let name = (judged.key.clone(), judged.metric.clone());
        let theirs = other.values.get(&name);
        // The other side is what the value is compared with, whatever the history says.
        judged.baseline = theirs.copied().flatten();
        no_number(judged, &name);
        match (judged.value, theirs) {
            (_, None) => {
                let has_key = other.values.keys().any(|(key, _)| *key == judged.key);
                let what = if has_key { "metric" } else { "key" };
                blame(judged, format!("reconcile: the other side has no such {what}"));
                different += 1;
            }
            (Some(ours), Some(Some(theirs))) => {
                let allowed = reconciliation.tolerance * ours.abs().max(theirs.abs());
                if (ours - theirs).abs() > allowed {
                    blame(judged, format!("reconcile: the other side has {}", number(*theirs)));
                    different += 1;
                }
            }
            // Times, or no value on both sides.
            (None, Some(None)) => match (observed.texts.get(&name), other.texts.get(&name)) {
                (None, None) => {}
                (Some(ours), Some(theirs)) if is_same(ours, theirs, zone) => {}
                (Some(_), Some(theirs)) => {
                    blame(judged, format!("reconcile: the other side has `{}`", short(theirs, SHOWN)));
                    different += 1;
                }
                (Some(_), None) | (None, Some(_)) => {
                    blame(judged, "reconcile: only one side has a value".to_owned());
                    different += 1;
                }
            },
            _ => {
                blame(judged, "reconcile: only one side has a number".to_owned());
                different += 1;
            }
        }
    }
    for (name, value) in &other.values {
        if !observed.values.contains_key(name) {
            let mut judged = Judged {
                key: name.0.clone(),
                metric: name.1.clone(),
                value: None,
                baseline: *value,
                verdict: Verdict::Ok,
                reason: None,
                history: Vec::new(),
            };
            no_number(&mut judged, name);
            blame(&mut judged, "reconcile: only the other side has this key".to_owned());
            values.push(judged);
            different += 1;
        }
    }
    values.sort_by(|a, b| (&a.key, &a.metric).cmp(&(&b.key, &b.metric)));
    if different > 0 {
        findings.push((
            reconciliation.verdict,
            format!("{different} of {} values do not agree with the other side", values.len()),
        ));
    }
    if other.rows_of.values().any(|count| *count > 1) {
        findings.push((rules.duplicate_keys, "the other side has keys with several rows".to_owned()));
    }
    Ok(())
}

/// Databases write one time in several ways.
fn is_same(ours: &str, theirs: &str, zone: &TimeZone) -> bool {
    ours == theirs || time(ours, zone).is_some_and(|time_of_ours| time(theirs, zone) == Some(time_of_ours))
}
