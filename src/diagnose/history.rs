//! What recorded values tell: whether the input of a date, or what the job made of it, is far from what it always was.

use jiff::civil::Date;

use super::{Confidence, Finding, Subject};
use crate::dag::CauseClass;

/// So many dates are shown.
const SHOWN: usize = 7;
/// A baseline of fewer dates proves nothing.
const FEWEST: usize = 3;
/// A count of an upstream below this part of the usual one, or above its inverse, is abnormal.
const ABNORMAL: f64 = 0.6;
/// The task's own rows have exploded beyond this multiple of the usual number.
const EXPLODED: f64 = 1.5;
/// Fewer rows than these, now and usually, neither explode nor shrink: one more is half as many again.
const FEW: f64 = 50.0;
/// A share has jumped when it is this many times the usual one,
const JUMPED: f64 = 2.0;
/// and this much above it.
const JUMPED_BY: f64 = 0.05;

/// How the data that are measured stand to the failed task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// It made them.
    Own,
    /// It is made from them.
    Upstream,
    /// It is a check, and found them wrong.
    Checked,
}

/// What the values measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// A number of rows.
    Rows,
    /// Keys that occur more than once.
    DuplicateKeys,
    /// The share, 0 to 1, of rows that are null or do not parse.
    UnparsedShare,
}

/// A value of one date.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub struct Recorded {
    /// The logical date.
    pub date: Date,
    pub value: f64,
    /// Whether its check failed: then it is shown and is no part of the baseline.
    pub is_failed: bool,
}

/// The values of one key and metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// How they stand to the failed task.
    pub owner: Owner,
    /// The check that recorded them.
    pub check: String,
    /// The tasks that made what it measures; several where it cannot be said which.
    pub made_by: Vec<String>,
    /// All tasks before these.
    pub before: Vec<String>,
    /// From which tasks on to run again so that what is measured is made anew: those of `made_by`, and before them whatever no
    /// check vouches for.
    pub again: Vec<String>,
    /// The check's key and metric, for people: `A111 tag_count`.
    pub name: String,
    /// What it measures.
    pub measure: Measure,
    /// The date that is diagnosed; its value is judged against those before it.
    pub date: Date,
    /// The values, in any order.
    pub values: Vec<Recorded>,
}

/// What was found of a series.
struct Judged<'s> {
    series: &'s Series,
    class: CauseClass,
    told: [String; 2],
}

/// The findings of all series, one of each class. Of several tasks whose data moved, those are to blame that are made from no
/// other one of them: to run these again repairs what follows, too.
pub(super) fn findings(history: &[Series], subject: &Subject) -> Vec<Finding> {
    let judged: Vec<Judged<'_>> = history.iter().filter_map(|series| judge(series, subject)).collect();
    let mut found: Vec<Finding> = Vec::new();
    for Judged { class, .. } in &judged {
        if found.iter().any(|finding| finding.class == *class) {
            continue;
        }
        let of_class = || judged.iter().filter(|other| other.class == *class);
        let follows = |one: &Judged<'_>| {
            let is_before = |task: &String| one.series.before.contains(task) && !one.series.made_by.contains(task);
            of_class().any(|other| other.series.made_by.iter().any(is_before))
        };
        let (mut followers, mut roots): (Vec<_>, Vec<_>) = of_class().partition(|one| follows(one));
        if roots.is_empty() {
            // Two that are made of one another's tasks: each may be to blame.
            std::mem::swap(&mut followers, &mut roots);
        }
        let culprits = each_once(roots.iter().flat_map(|root| &root.series.made_by));
        let again = each_once(roots.iter().flat_map(|root| &root.series.again));
        let told = roots.iter().chain(&followers).flat_map(|judged| judged.told.clone()).collect();
        found.push(finding(*class, &culprits, &again, told, subject));
    }
    found
}

fn each_once<'t>(tasks: impl Iterator<Item = &'t String>) -> Vec<String> {
    let mut once: Vec<String> = Vec::new();
    for task in tasks {
        if !once.contains(task) {
            once.push(task.clone());
        }
    }
    once
}

fn judge<'s>(series: &'s Series, subject: &Subject) -> Option<Judged<'s>> {
    let mut values = series.values.clone();
    values.retain(|recorded| recorded.date <= series.date && recorded.value.is_finite());
    values.sort_by_key(|recorded| recorded.date);
    let today = values.iter().rev().find(|recorded| recorded.date == series.date)?;
    let before: Vec<f64> =
        values.iter().filter(|other| other.date < series.date && !other.is_failed).map(|other| other.value).collect();
    let before = &before[before.len().saturating_sub(SHOWN)..];
    if before.len() < FEWEST {
        return None;
    }
    let usual = median(before);
    let (class, what) = verdict(series, today.value, usual)?;
    let whose = match series.owner {
        Owner::Own => subject.task.clone(),
        Owner::Upstream => series.check.clone(),
        Owner::Checked => series.made_by.join(", "),
    };
    let shown = values[values.len().saturating_sub(SHOWN)..]
        .iter()
        .map(|recorded| {
            let mark = if recorded.is_failed { " (failed)" } else { "" };
            format!("{} {}{mark}", recorded.date.strftime("%m-%d"), number(recorded.value))
        })
        .collect::<Vec<_>>()
        .join(", ");
    let (name, date) = (&series.name, today.date);
    let (now, usually) = (number(today.value), number(usual));
    let told =
        [format!("{name} of {whose} is {now} for {date}, usually {usually}: {what}"), format!("last dates: {shown}")];
    Some(Judged { series, class, told })
}

fn finding(
    class: CauseClass,
    culprits: &[String],
    again: &[String],
    evidence: Vec<String>,
    subject: &Subject,
) -> Finding {
    let them = culprits.join(", ");
    let (id, name, mut advice) = match class {
        CauseClass::UpstreamAbnormal => (
            "upstream-abnormal",
            format!("the input from {them} is not as it always was"),
            format!(
                "ask who answers for {them}; then run {} and what follows again",
                if culprits.len() == 1 { "it" } else { "them" }
            ),
        ),
        CauseClass::Logic => (
            "rows-exploded",
            "rows exploded or keys are duplicated".to_owned(),
            "look for a join on a key that is not unique; `crondag render` shows what the task runs".to_owned(),
        ),
        _ => (
            "business-change",
            "a larger share of rows is null or does not parse: the input means something else now".to_owned(),
            "compare today's input with yesterday's: a changed URL, code or format".to_owned(),
        ),
    };
    if again != culprits {
        // The command then runs more than the one that is to blame.
        let from = again.join(", ");
        advice = format!(
            "{advice}; no check tells which task from {from} on is to blame: once you know it, clear from it on"
        );
    }
    let command = subject.clear_from(again);
    Finding { id: id.to_owned(), name, class, confidence: Confidence::Likely, evidence, advice, command }
}

fn verdict(series: &Series, today: f64, usual: f64) -> Option<(CauseClass, &'static str)> {
    let is_few = today.max(usual) < FEW;
    match (series.measure, series.owner) {
        // That nothing came at all is news of few rows, too.
        (Measure::Rows, Owner::Upstream | Owner::Checked) if today < usual * ABNORMAL && (!is_few || today == 0.0) => {
            Some((CauseClass::UpstreamAbnormal, "far fewer"))
        }
        (Measure::Rows, Owner::Upstream) if today * ABNORMAL > usual && !is_few => {
            Some((CauseClass::UpstreamAbnormal, "far more"))
        }
        // What usually has no rows has nothing to be multiplied.
        (Measure::Rows, Owner::Own | Owner::Checked) if today > usual * EXPLODED && usual > 0.0 && !is_few => {
            Some((CauseClass::Logic, "rows exploded"))
        }
        // Where keys were unique, one that is not says enough. A share of rows is never many, and has a base of its own.
        (Measure::DuplicateKeys, owner)
            if today > usual * EXPLODED
                && (usual == 0.0 || !is_few || (usual < 1.0 && today <= 1.0 && today > usual + JUMPED_BY)) =>
        {
            match owner {
                Owner::Own | Owner::Checked => Some((CauseClass::Logic, "duplicated keys")),
                Owner::Upstream => Some((CauseClass::UpstreamAbnormal, "duplicated keys")),
            }
        }
        (Measure::UnparsedShare, _) if today > usual * JUMPED && today > usual + JUMPED_BY => {
            Some((CauseClass::BusinessChange, "the share jumped"))
        }
        (Measure::Rows | Measure::DuplicateKeys | Measure::UnparsedShare, _) => None,
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn series(owner: Owner, measure: Measure, values: &[f64]) -> Series {
        let values: Vec<Recorded> = values
            .iter()
            .zip(1..)
            .map(|(&value, day)| Recorded { date: date(2018, 7, day), value, is_failed: false })
            .collect();
        let date = values.last().unwrap().date;
        let (check, made_by) = ("counts".to_owned(), vec!["orders".to_owned()]);
        let again = made_by.clone();
        Series {
            owner,
            check,
            made_by,
            before: Vec::new(),
            again,
            name: "orders rows".to_owned(),
            measure,
            date,
            values,
        }
    }

    fn subject() -> Subject {
        Subject { dag: "userprofile".into(), task: "merge".into(), run: "2018-07-08".into(), ..Subject::default() }
    }

    fn class(series: Series) -> Option<CauseClass> {
        findings(&[series], &subject()).first().map(|finding| finding.class)
    }

    const STEADY: [f64; 7] = [100.0, 102.0, 98.0, 101.0, 99.0, 100.0, 103.0];

    fn with(last: f64) -> Vec<f64> {
        STEADY.into_iter().chain([last]).collect()
    }

    #[test]
    fn an_upstream_with_half_its_rows_is_abnormal_and_the_last_seven_dates_are_shown() {
        let found = findings(&[series(Owner::Upstream, Measure::Rows, &with(51.0))], &subject());
        assert_eq!(found[0].class, CauseClass::UpstreamAbnormal);
        assert_eq!(
            found[0].evidence,
            [
                "orders rows of counts is 51 for 2018-07-08, usually 100: far fewer",
                "last dates: 07-02 102, 07-03 98, 07-04 101, 07-05 99, 07-06 100, 07-07 103, 07-08 51",
            ]
        );
        assert_eq!(found[0].command, "crondag clear userprofile 2018-07-08 --task orders");
        assert_eq!(class(series(Owner::Upstream, Measure::Rows, &with(200.0))), Some(CauseClass::UpstreamAbnormal));
        assert_eq!(class(series(Owner::Upstream, Measure::Rows, &with(80.0))), None);
    }

    #[test]
    fn own_rows_that_double_are_a_join_gone_wrong_and_fewer_rows_are_not() {
        assert_eq!(class(series(Owner::Own, Measure::Rows, &with(200.0))), Some(CauseClass::Logic));
        assert_eq!(class(series(Owner::Own, Measure::Rows, &with(20.0))), None);
    }

    #[test]
    fn a_failed_check_tells_of_the_task_before_it_both_ways() {
        let found = |last| findings(&[series(Owner::Checked, Measure::Rows, &with(last))], &subject());
        assert_eq!(found(20.0)[0].class, CauseClass::UpstreamAbnormal);
        assert_eq!(found(20.0)[0].command, "crondag clear userprofile 2018-07-08 --task orders");
        assert_eq!(found(200.0)[0].class, CauseClass::Logic);
        assert_eq!(found(80.0), []);
    }

    #[test]
    fn of_several_upstreams_the_one_is_named_whose_rows_moved_first() {
        let of = |task: &str, before: &[&str], last| Series {
            check: format!("{task}_count"),
            made_by: vec![task.to_owned()],
            again: vec![task.to_owned()],
            before: before.iter().map(|&task| task.to_owned()).collect(),
            ..series(Owner::Upstream, Measure::Rows, &with(last))
        };
        let found = |merge, orders, visits| {
            let series =
                [of("merge", &["orders", "visits"], merge), of("orders", &[], orders), of("visits", &[], visits)];
            findings(&series, &subject()).pop().map(|finding| (finding.name, finding.command))
        };
        let named = |tasks: &str, command: &str| {
            let name = format!("the input from {tasks} is not as it always was");
            Some((name, format!("crondag clear userprofile 2018-07-08 --task {command}")))
        };
        assert_eq!(found(101.0, 99.0, 100.0), None);
        assert_eq!(found(100.0, 100.0, 30.0), named("visits", "visits"));
        assert_eq!(found(40.0, 100.0, 30.0), named("visits", "visits"), "the merge only follows");
        assert_eq!(found(40.0, 100.0, 100.0), named("merge", "merge"));
        assert_eq!(found(40.0, 20.0, 30.0), named("orders, visits", "orders,visits"));
    }

    #[test]
    fn a_check_of_a_task_and_of_what_that_is_made_of_names_both() {
        let both = Series {
            made_by: vec!["orders".to_owned(), "merge".to_owned()],
            before: vec!["orders".to_owned()],
            again: vec!["orders".to_owned()],
            ..series(Owner::Upstream, Measure::Rows, &with(30.0))
        };
        let crossed = |one: &str, other: &str| Series {
            made_by: vec![one.to_owned()],
            before: vec![other.to_owned()],
            again: vec![one.to_owned()],
            ..series(Owner::Upstream, Measure::Rows, &with(30.0))
        };
        let command = |history: &[Series]| findings(history, &subject()).pop().map(|finding| finding.command);
        assert_eq!(command(&[both]).as_deref(), Some("crondag clear userprofile 2018-07-08 --task orders"));
        assert_eq!(
            command(&[crossed("a", "b"), crossed("b", "a")]).as_deref(),
            Some("crondag clear userprofile 2018-07-08 --task a,b")
        );
    }

    #[test]
    fn where_no_check_tells_which_task_is_to_blame_all_that_may_be_run_again() {
        let merged = Series {
            again: vec!["orders".to_owned(), "visits".to_owned()],
            ..series(Owner::Checked, Measure::Rows, &with(210.0))
        };
        let found = findings(&[merged], &subject());
        assert_eq!(found[0].command, "crondag clear userprofile 2018-07-08 --task orders,visits");
        assert_eq!(
            found[0].advice,
            "look for a join on a key that is not unique; `crondag render` shows what the task runs; no check tells which task \
             from orders, visits on is to blame: once you know it, clear from it on"
        );
    }

    #[test]
    fn few_rows_do_not_explode_and_few_that_are_gone_are_missed() {
        let own = |values: &[f64]| class(series(Owner::Own, Measure::Rows, values));
        assert_eq!(own(&[1.0, 1.0, 1.0, 2.0]), None);
        assert_eq!(own(&[3.0, 4.0, 3.0, 40.0]), None);
        assert_eq!(own(&[0.0, 0.0, 0.0, 500.0]), None, "there was nothing to multiply");
        assert_eq!(own(&[3.0, 4.0, 3.0, 4000.0]), Some(CauseClass::Logic));
        let upstream = |values: &[f64]| class(series(Owner::Upstream, Measure::Rows, values));
        assert_eq!(upstream(&[5.0, 6.0, 5.0, 2.0]), None);
        assert_eq!(upstream(&[5.0, 6.0, 5.0, 0.0]), Some(CauseClass::UpstreamAbnormal));
    }

    #[test]
    fn keys_that_were_unique_and_are_not_any_more() {
        assert_eq!(class(series(Owner::Own, Measure::DuplicateKeys, &[0.0, 0.0, 0.0, 12.0])), Some(CauseClass::Logic));
        assert_eq!(class(series(Owner::Own, Measure::DuplicateKeys, &[0.0, 0.0, 0.0, 0.0])), None);
        let upstream = series(Owner::Upstream, Measure::DuplicateKeys, &[0.0, 0.0, 0.0, 12.0]);
        assert_eq!(class(upstream), Some(CauseClass::UpstreamAbnormal));
    }

    #[test]
    fn a_share_of_duplicated_rows_is_no_count_of_few() {
        let share = |last| class(series(Owner::Checked, Measure::DuplicateKeys, &[0.02, 0.03, 0.02, 0.025, last]));
        assert_eq!(share(0.5), Some(CauseClass::Logic));
        assert_eq!(share(0.06), None);
        let count = |last| class(series(Owner::Checked, Measure::DuplicateKeys, &[2.0, 3.0, 2.0, 2.0, last]));
        assert_eq!((count(5.0), count(500.0)), (None, Some(CauseClass::Logic)));
    }

    #[test]
    fn a_share_that_jumps_is_a_business_change_and_one_that_creeps_is_not() {
        let share = |last| series(Owner::Own, Measure::UnparsedShare, &[0.02, 0.03, 0.02, 0.025, last]);
        assert_eq!(class(share(0.4)), Some(CauseClass::BusinessChange));
        assert_eq!(class(share(0.06)), None);
    }

    #[test]
    fn failed_dates_are_no_baseline_and_too_few_dates_prove_nothing() {
        let mut doubled = series(Owner::Own, Measure::Rows, &[100.0, 100.0, 100.0, 300.0, 300.0, 300.0, 300.0, 300.0]);
        assert_eq!(class(doubled.clone()), None);
        for recorded in &mut doubled.values[3..7] {
            recorded.is_failed = true;
        }
        assert_eq!(class(doubled), Some(CauseClass::Logic));
        assert_eq!(class(series(Owner::Own, Measure::Rows, &[100.0, 100.0, 900.0])), None);
    }

    #[test]
    fn no_value_for_the_date_no_finding() {
        let mut without = series(Owner::Own, Measure::Rows, &with(900.0));
        without.date = date(2018, 7, 9);
        assert_eq!(class(without), None);
    }
}
