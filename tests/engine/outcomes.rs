//! How attempts, tasks and runs end.

use std::collections::BTreeMap;
use std::time::Duration;

use crondag::dag::{RunNumber, RunState, Task, TaskId, TaskState, TriggerRule};
use crondag::runner::engine::{Event, Outcome, RerunRequest};
use jiff::ToSpan;

use super::world::*;

#[derive(serde::Deserialize)]
struct OracleTask {
    id: String,
    outcome: String,
    rule: String,
    after: Vec<String>,
}

#[derive(serde::Deserialize)]
struct OracleRun {
    tasks: Vec<OracleTask>,
    run_state: String,
    states: BTreeMap<String, String>,
}

#[test]
fn whole_runs_end_as_airflow_ended_them_in_whatever_order_tasks_end() {
    let cases: Vec<OracleRun> = serde_json::from_str(include_str!("../oracle/run_states.json")).unwrap();
    assert_eq!(cases.len(), 311);
    for (number, case) in cases.iter().enumerate() {
        let position = |id: &str| case.tasks.iter().position(|task| task.id == id).unwrap();
        let edges: Vec<(usize, usize)> = case
            .tasks
            .iter()
            .enumerate()
            .flat_map(|(index, task)| task.after.iter().map(move |up| (up.clone(), index)))
            .map(|(up, index)| (position(&up), index))
            .collect();
        // Three orders of ending: first started first, last started first, and a mixed one.
        for order in 0..3 {
            let tasks = case
                .tasks
                .iter()
                .map(|t| Task { trigger_rule: TriggerRule::parse(&t.rule).unwrap(), ..task(&t.id) })
                .collect();
            let mut world = World::new(dag(tasks, &edges), 1_000);
            let run = world.run(day(0));
            while let Some(position) = match (order, world.running.len()) {
                (_, 0) => None,
                (0, _) => Some(0),
                (1, alive) => Some(alive - 1),
                (_, alive) => Some(alive / 2),
            } {
                let task = world.running[position].1.to_string();
                let outcome = match case.tasks.iter().find(|t| t.id == task).unwrap().outcome.as_str() {
                    "ok" => Outcome::Success,
                    "fail" => failed(),
                    "skip" => Outcome::Skipped,
                    other => panic!("{other}"),
                };
                world.end(run, &task, outcome);
            }
            let states: BTreeMap<String, String> =
                world.states.iter().map(|((_, task), state)| (task.clone(), state.to_string())).collect();
            assert_eq!(states, case.states, "case {number}, order {order}");
            assert_eq!(world.runs[&run.0].0.as_str(), case.run_state, "case {number}, order {order}");
            assert!(world.engine.is_idle() && !world.engine.knows(run), "case {number}: nothing is left over");
        }
    }
}

#[test]
fn a_failed_attempt_is_retried_after_a_growing_delay_and_then_fails() {
    let retried = Task { retries: 2, retry_backoff: 2.0, ..task("a") };
    let mut world = World::new(dag(vec![retried, task("b")], &[(0, 1)]), 8);
    let run = world.run(day(0));
    world.end(run, "a", failed());
    assert_eq!(world.state(run, "a"), TaskState::UpForRetry);
    assert_eq!(world.engine.next_timer(), Some(world.now + 60.seconds()));
    world.pass(59);
    assert!(world.running.is_empty());
    world.pass(1);
    assert_eq!(world.running, [(run, TaskId::new("a").unwrap(), 2)]);
    world.end(run, "a", failed());
    assert_eq!(world.engine.next_timer(), Some(world.now + 120.seconds()));
    world.pass(120);
    world.end(run, "a", failed());
    assert_eq!(world.state(run, "a"), TaskState::Failed);
    assert_eq!(world.state(run, "b"), TaskState::UpstreamFailed);
    let reason = "task b could not run: trigger rule all_success: a failed".to_owned();
    assert_eq!(world.runs[&1], (RunState::Failed, Some(reason)));
    assert_eq!(world.alerts, ["a retry 1", "a retry 2", "a failed", "run failed with 2 tasks"]);
}

#[test]
fn a_retry_that_is_due_is_not_forgotten_when_the_clock_is_set_back_before_it_finds_a_slot() {
    let first = Task { priority: 1, ..task("a") };
    let mut world = World::new(dag(vec![first, Task { retries: 1, ..task("b") }, task("c")], &[]), 1);
    let run = world.run(day(0));
    world.end(run, "a", Outcome::Success);
    world.end(run, "b", failed());
    assert_eq!(world.names(), ["1:c"]);
    world.pass(60);
    // Waiting for the slot, it is evaluated again at a time before its own.
    world.now -= 7_200.seconds();
    let selection = None;
    let request = RerunRequest { run, clear: Vec::new(), clear_all: false, backfill: None, selection };
    world.event(Event::Rerun(Box::new(request)));
    world.end(run, "c", Outcome::Success);
    assert_eq!(world.running, [(run, TaskId::new("b").unwrap(), 2)]);
}

#[test]
fn run_timeout_skips_what_is_open_and_fails_the_run_but_slots_wait_for_the_processes() {
    let mut timed = dag(vec![task("a"), task("b")], &[(0, 1)]);
    timed.run_timeout = Some(Duration::from_secs(100));
    timed.max_active_tasks = 1;
    let mut world = World::new(timed, 1);
    let run = world.run(day(0));
    world.pass(100);
    assert_eq!(world.runs[&run.0].0, RunState::Failed);
    assert_eq!((world.state(run, "a"), world.state(run, "b")), (TaskState::Skipped, TaskState::Skipped));
    assert_eq!(world.stopped, [(run, TaskId::new("a").unwrap(), 1)]);
    let second = world.run(day(1));
    assert_eq!(world.names(), ["1:a"], "the old attempt still holds the only slot");
    world.end(run, "a", failed());
    assert_eq!(world.names(), ["2:a"]);
    assert!(!world.engine.knows(run) && world.engine.knows(second));
}

#[test]
fn the_engine_is_idle_only_when_nothing_lives_and_no_timer_runs() {
    let mut world = World::new(dag(vec![Task { retries: 1, ..task("a") }], &[]), 8);
    let told = |world: &World| (world.engine.is_idle(), world.engine.live_attempts(), world.engine.dags().len());
    assert_eq!(told(&world), (true, 0, 0));
    let run = world.run(day(0));
    assert_eq!(told(&world), (false, 1, 1), "an attempt lives");
    world.end(run, "a", failed());
    assert_eq!(told(&world), (false, 0, 1), "a retry is due later");
    world.pass(60);
    world.run(day(1));
    assert_eq!(told(&world), (false, 2, 1));
    assert_eq!(world.engine.dags().first(), Some(&world.dag.id));
    world.end(run, "a", Outcome::Success);
    world.end(RunNumber(2), "a", Outcome::Success);
    assert_eq!(told(&world), (true, 0, 0));
}

#[test]
fn a_retry_waits_for_its_time_whatever_else_happens_in_its_run() {
    let mut world = World::new(dag(vec![Task { retries: 1, ..task("a") }, task("b")], &[]), 8);
    let run = world.run(day(0));
    world.end(run, "a", failed());
    world.end(run, "b", Outcome::Success);
    world.event(clear(run, "b"));
    assert_eq!(world.names(), ["1:b"]);
    world.pass(60);
    assert_eq!(world.names(), ["1:b", "1:a"]);
}

#[test]
fn a_task_that_does_not_run_names_the_upstream_tasks_that_are_the_reason() {
    let skip = |id: &str, trigger_rule| Task { trigger_rule, ..task(id) };
    let tasks = vec![
        task("good"),
        task("skipped"),
        task("bad"),
        skip("all_success", TriggerRule::AllSuccess),
        skip("all_failed", TriggerRule::AllFailed),
        skip("all_skipped", TriggerRule::AllSkipped),
        skip("none_failed", TriggerRule::NoneFailed),
    ];
    let edges = [(0, 3), (1, 3), (0, 4), (1, 4), (0, 5), (1, 5), (2, 5), (0, 6), (2, 6)];
    let mut world = World::new(dag(tasks, &edges), 8);
    let run = world.run(day(0));
    world.end(run, "bad", failed());
    world.end(run, "skipped", Outcome::Skipped);
    world.end(run, "good", Outcome::Success);
    let said = ["all_success", "all_failed", "all_skipped", "none_failed"].map(|id| world.reason(run, id));
    assert_eq!(
        said,
        [
            "trigger rule all_success: skipped was skipped",
            "trigger rule all_failed: skipped was skipped",
            "trigger rule all_skipped: bad failed",
            "trigger rule none_failed: bad failed",
        ]
    );
}
