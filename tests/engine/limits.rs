//! Who may start.

use std::collections::BTreeMap;

use crondag::dag::{RunNumber, RunState, Task};
use crondag::runner::engine::{BackfillLimits, Engine, Event, Limits, Outcome, Plan, RerunRequest};

use super::world::*;

#[test]
fn parallelism_pools_and_priorities_decide_who_starts() {
    let tasks = vec![
        Task { pool: Some("p".to_owned()), ..task("low") },
        Task { pool: Some("p".to_owned()), priority: 5, pool_slots: 2, ..task("big") },
        Task { pool: Some("p".to_owned()), priority: 9, ..task("high") },
        task("free"),
    ];
    let mut world = World::with_pools(dag(tasks, &[]), 3, &[("p", 2)]);
    let run = world.run(day(0));
    // `big` needs both slots: `low` must not overtake it.
    assert_eq!(world.names(), ["1:high", "1:free"]);
    world.end(run, "high", Outcome::Success);
    assert_eq!(world.names(), ["1:free", "1:big"]);
    world.end(run, "big", Outcome::Success);
    assert_eq!(world.names(), ["1:free", "1:low"]);
}

#[test]
fn max_active_runs_and_max_active_tasks_hold_and_the_oldest_goes_first() {
    let mut limited = dag(vec![task("a"), task("b")], &[]);
    limited.max_active_runs = 1;
    limited.max_active_tasks = 1;
    let mut world = World::new(limited, 8);
    let late = world.run(day(2));
    let early = world.run(day(0));
    let middle = world.run(day(1));
    assert_eq!(world.names(), ["1:a"]);
    world.end(late, "a", Outcome::Success);
    world.end(late, "b", Outcome::Success);
    assert_eq!(world.names(), ["2:a"], "the oldest date goes first");
    world.end(early, "a", Outcome::Success);
    world.end(early, "b", Outcome::Success);
    assert_eq!(world.runs.get(&middle.0).map(|run| run.0), Some(RunState::Running));
}

#[test]
fn a_run_of_a_held_backfill_or_of_an_unknown_dag_waits_in_its_queue() {
    let limits = BackfillLimits { backfill: 7, max_active_runs: Some(2), is_reverse: false };
    let mut world = World::new(dag(vec![task("a")], &[]), 8);
    world.event(Event::HoldBackfill { backfill: 7, hold: true });
    let mut input = world.input(day(0));
    input.backfill = Some(limits);
    world.event(Event::Runs(vec![input.clone()]));
    assert!(world.runs.is_empty() && world.running.is_empty());
    world.event(Event::HoldBackfill { backfill: 7, hold: false });
    assert_eq!(world.names(), ["1:a"]);

    // Its plan comes later: until then the DAG's file did not fit crondag.toml.
    let mut world = World::new(dag(vec![task("a")], &[]), 8);
    world.engine = Engine::new();
    world.event(Event::Limits(Limits { parallelism: 8, pools: BTreeMap::new() }));
    world.event(Event::Runs(vec![input]));
    assert!(world.runs.is_empty() && world.running.is_empty());
    world.event(Event::Plan(Plan::new(world.dag.clone(), 1)));
    assert_eq!(world.names(), ["1:a"]);
}

#[test]
fn a_run_that_a_backfill_takes_over_leaves_the_limit_of_its_dag() {
    let mut limited = dag(vec![task("a")], &[]);
    limited.max_active_runs = 1;
    let mut world = World::new(limited, 8);
    let first = world.run(day(0));
    let second = world.run(day(1));
    world.run(day(2));
    let take_over = |run| {
        let backfill = Some(BackfillLimits { backfill: 7, max_active_runs: Some(1), is_reverse: false });
        Event::Rerun(Box::new(RerunRequest { run, clear: Vec::new(), clear_all: false, backfill, selection: None }))
    };
    world.event(take_over(second));
    assert_eq!(world.names(), ["1:a", "2:a"], "it no longer waits for the DAG's limit, the third run does");
    world.event(take_over(first));
    assert_eq!(world.names(), ["1:a", "2:a", "3:a"]);
    for run in 1..=3 {
        world.end(RunNumber(run), "a", Outcome::Success);
    }
    assert!(world.running.is_empty() && world.engine.is_idle());
}

#[test]
fn a_place_that_is_given_back_is_one_place() {
    let mut limited = dag(["a", "b", "c", "d"].map(task).into(), &[]);
    limited.max_active_tasks = 2;
    let mut world = World::new(limited, 8);
    let run = world.run(day(0));
    assert_eq!(world.names(), ["1:a", "1:b"]);
    world.end(run, "a", Outcome::Success);
    assert_eq!(world.names(), ["1:b", "1:c"]);
}

#[test]
fn a_task_that_wants_more_than_its_pool_has_runs_alone_and_never_in_an_empty_pool() {
    let wide = |id| Task { pool: Some("p".to_owned()), pool_slots: 3, ..task(id) };
    let mut world = World::with_pools(dag(vec![wide("a"), wide("b")], &[]), 8, &[("p", 2)]);
    let run = world.run(day(0));
    assert_eq!(world.names(), ["1:a"]);
    world.end(run, "a", Outcome::Success);
    assert_eq!(world.names(), ["1:b"]);
    let mut closed = World::with_pools(dag(vec![wide("a")], &[]), 8, &[("p", 0)]);
    closed.run(day(0));
    assert!(closed.running.is_empty());
}
