//! Schedules and trigger rules against facts recorded from Vixie cron and Airflow.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may fail

use crondag::dag::schedule::Schedule;
use crondag::dag::{Decision, TaskState, TriggerRule, UpstreamCounts};
use jiff::{civil::DateTime, tz::TimeZone};

#[derive(serde::Deserialize)]
struct CronCase {
    expr: String,
    after: DateTime,
    next: Vec<DateTime>,
}

#[test]
fn schedules_fire_when_vixie_cron_fires() {
    let cases: Vec<CronCase> = serde_json::from_str(include_str!("oracle/cron_next.json")).unwrap();
    assert_eq!(cases.len(), 300);
    let zone = TimeZone::UTC;
    for case in cases {
        let schedule = Schedule::parse(&case.expr).unwrap_or_else(|fault| panic!("{}: {fault:?}", case.expr));
        let after = zone.to_timestamp(case.after).unwrap();
        let mut fire = after;
        let mut found = Vec::new();
        for _ in 0..case.next.len() {
            fire = schedule.next_fire(fire, &zone).unwrap();
            found.push(zone.to_datetime(fire));
        }
        assert_eq!(found, case.next, "{} after {}", case.expr, case.after);
        // And backwards again.
        for next in case.next.iter().rev().skip(1) {
            fire = schedule.prev_fire(fire, &zone).unwrap();
            assert_eq!(zone.to_datetime(fire), *next, "{} backwards", case.expr);
        }
    }
}

#[derive(serde::Deserialize)]
struct RuleCase {
    rule: String,
    upstream: Vec<String>,
    outcome: String,
}

#[test]
fn trigger_rules_decide_as_airflow_decides() {
    let cases: Vec<RuleCase> = serde_json::from_str(include_str!("oracle/trigger_rules.json")).unwrap();
    assert_eq!(cases.len(), 381);
    for case in cases {
        let rule = TriggerRule::parse(&case.rule).unwrap();
        let counts = UpstreamCounts::of(case.upstream.iter().map(|state| TaskState::parse(state).unwrap()));
        let outcome = match rule.decide(&counts) {
            Decision::Run => "run",
            Decision::Skip => "skipped",
            Decision::UpstreamFailed => "upstream_failed",
            Decision::Wait => "wait",
        };
        assert_eq!(outcome, case.outcome, "{} with {:?}", case.rule, case.upstream);
    }
}

/// Airflow 3's rule, which the recorded version does not have: its table in words, case by case.
#[test]
fn all_done_min_one_success_follows_its_table() {
    use TaskState::{Failed, Skipped, Success, UpstreamFailed};
    let rule = TriggerRule::AllDoneMinOneSuccess;
    let decide = |states: &[TaskState]| rule.decide(&UpstreamCounts::of(states.iter().copied()));
    assert_eq!(decide(&[Success, Failed]), Decision::Run);
    assert_eq!(decide(&[Success, UpstreamFailed]), Decision::Run);
    assert_eq!(decide(&[Failed, Failed]), Decision::UpstreamFailed);
    assert_eq!(decide(&[Success, Skipped]), Decision::Skip);
    assert_eq!(decide(&[Success, TaskState::Running]), Decision::Wait);
}

/// No early decision is ever contradicted: for every rule and every mix of up to four upstream tasks, what is decided
/// while some are open equals what is decided for every way in which these can end.
#[test]
fn early_decisions_hold_however_the_open_tasks_end() {
    let finals = [TaskState::Success, TaskState::Failed, TaskState::UpstreamFailed, TaskState::Skipped];
    let mut checked = 0;
    for rule in TriggerRule::ALL {
        for total in 1..=4_u32 {
            for pattern in 0..5_u32.pow(total) {
                let states: Vec<Option<TaskState>> =
                    (0..total).map(|digit| finals.get((pattern / 5_u32.pow(digit) % 5) as usize).copied()).collect();
                let early = rule.decide(&UpstreamCounts::of(states.iter().map(|s| s.unwrap_or(TaskState::Running))));
                if early == Decision::Wait {
                    assert!(states.contains(&None), "{rule} waits for nothing with {states:?}");
                    continue;
                }
                let open = u32::try_from(states.iter().filter(|state| state.is_none()).count()).unwrap();
                for ending in 0..4_u32.pow(open) {
                    let mut digit = 0;
                    let settled: Vec<TaskState> = states
                        .iter()
                        .map(|state| {
                            state.unwrap_or_else(|| {
                                digit += 1;
                                finals[(ending / 4_u32.pow(digit - 1) % 4) as usize]
                            })
                        })
                        .collect();
                    let late = rule.decide(&UpstreamCounts::of(settled.iter().copied()));
                    assert_eq!(early, late, "{rule}: {states:?} then {settled:?}");
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 10_000, "{checked}");
}
