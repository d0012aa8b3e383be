//! What a new driver takes up.

use crondag::dag::{RunState, Task, TaskId, TaskState};
use crondag::runner::engine::{Binding, Event, Outcome, Plan, PriorTask};

use super::world::*;

#[test]
fn an_old_attempt_keeps_its_slot_while_its_cleared_run_waits_to_begin_again() {
    let mut limited = dag(vec![task("a"), task("b")], &[]);
    limited.max_active_runs = 1;
    let mut world = World::new(limited, 2);
    let first = world.input(day(0)).number;
    world.take_up(
        first,
        day(0),
        RunState::Failed,
        vec![PriorTask { live: Some(1), ..prior("a", TaskState::Failed, 1) }],
    );
    world.run(day(1));
    assert_eq!(world.names(), ["2:a"]);
    world.event(clear_all(first));
    assert_eq!(world.runs[&1].0, RunState::Queued);
    assert_eq!((world.names(), world.engine.live_attempts()), (vec!["2:a".to_owned()], 2));
    world.event(Event::AttemptEnded { run: first, task: TaskId::new("a").unwrap(), try_number: 1, outcome: failed() });
    assert_eq!(world.names(), ["2:a", "2:b"]);
}

#[test]
fn an_old_attempt_of_a_queued_run_that_a_new_driver_takes_up_holds_its_slots() {
    let pooled = Task { pool: Some("p".to_owned()), ..task("b") };
    let mut limited = dag(vec![task("a"), pooled], &[(0, 1)]);
    limited.max_active_runs = 1;
    for (old, is_known) in [("a", true), ("a", false), ("b", true), ("gone", true)] {
        let in_pool = old == "b";
        let mut world = World::with_pools(limited.clone(), if in_pool { 2 } else { 1 }, &[("p", 1)]);
        let second = world.run(day(1));
        let mut input = world.input(day(0));
        let first = input.number;
        input.plan = if is_known { Binding::To(Plan::new(world.dag.clone(), 1)) } else { Binding::Newest };
        input.tasks = vec![PriorTask { live: Some(1), ..prior(old, TaskState::None, 1) }];
        world.event(Event::Runs(vec![input]));
        world.end(second, "a", Outcome::Success);
        assert!(world.names().is_empty(), "{old}");
        let task = TaskId::new(old).unwrap();
        world.event(Event::AttemptEnded { run: first, task, try_number: 1, outcome: failed() });
        assert_eq!((world.names(), world.engine.live_attempts()), (vec!["1:b".to_owned()], 1), "{old}");
    }
}

#[test]
fn an_old_attempt_of_a_task_that_is_no_more_holds_its_slot_until_it_is_gone() {
    let mut world = World::new(dag(vec![task("a")], &[]), 1);
    let mut input = world.input(day(0));
    let run = input.number;
    input.tasks = vec![PriorTask { live: Some(1), ..prior("gone", TaskState::None, 1) }];
    world.event(Event::Runs(vec![input]));
    assert_eq!((world.runs[&1].0, world.names()), (RunState::Running, Vec::new()));
    world.event(Event::AttemptEnded { run, task: TaskId::new("gone").unwrap(), try_number: 1, outcome: failed() });
    world.end(run, "a", Outcome::Success);
    assert!(world.engine.is_idle() && !world.engine.knows(run), "nothing is left over");
}

#[test]
fn a_run_that_a_new_driver_takes_up_counts_and_its_retry_keeps_its_time() {
    let mut limited = dag(vec![Task { retries: 1, ..task("a") }], &[]);
    limited.max_active_runs = 1;
    let mut world = World::new(limited, 8);
    let mut input = world.input(day(0));
    input.state = RunState::Running;
    input.plan = Binding::To(Plan::new(world.dag.clone(), 1));
    let waiting = prior("a", TaskState::UpForRetry, 1);
    input.tasks = vec![PriorTask { max_tries: 2, next_try_at: Some(at(30)), ..waiting }];
    world.event(Event::Runs(vec![input]));
    world.run(day(1));
    assert!(world.running.is_empty());
    assert_eq!(world.engine.next_timer(), Some(at(30)));
    world.pass(30);
    assert_eq!(world.names(), ["1:a"]);
}
