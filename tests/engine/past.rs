//! What `depends_on_past` waits for, and what it must not hold up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crondag::dag::schedule::DataInterval;
use crondag::dag::{Dag, RunNumber, RunState, RunType, Task, TaskId, TaskState, Transition};
use crondag::runner::engine::{
    BackfillLimits, Binding, Effect, Engine, Event, Limits, Outcome, Past, Plan, PriorTask, RunInput,
};
use jiff::{Timestamp, ToSpan};

use super::world::*;

#[test]
fn depends_on_past_waits_for_the_same_task_of_the_previous_run() {
    let tasks = vec![Task { depends_on_past: true, ..task("a") }, task("b")];
    let mut world = World::new(dag(tasks, &[]), 8);
    let first = world.run(day(0));
    let second = world.run(day(1));
    assert_eq!(world.names(), ["1:a", "1:b", "2:b"]);
    world.end(first, "a", failed());
    world.end(first, "b", Outcome::Success);
    world.end(second, "b", Outcome::Success);
    assert!(world.running.is_empty() && world.engine.is_idle(), "blocked by the past, nothing to wait for");
    // The failed task is cleared: its success lets the second run go on, and it need not be known beforehand.
    let mut input = world.input(day(0));
    input.number = first;
    input.state = RunState::Failed;
    input.is_awaited = true;
    world.event(Event::Runs(vec![input]));
    world.event(clear(first, "a"));
    world.end(first, "a", Outcome::Success);
    assert!(world.names().contains(&"2:a".to_owned()), "{:?}", world.names());
}

#[test]
fn a_task_that_could_start_waits_after_all_when_an_earlier_run_turns_up() {
    let tasks = vec![Task { depends_on_past: true, ..task("a") }];
    // As at a driver's start: nothing starts before all runs are known.
    let mut world = World::new(dag(tasks, &[]), 0);
    let late = world.run(day(1));
    let early = world.run(day(0));
    world.event(Event::Limits(Limits { parallelism: 8, pools: BTreeMap::new() }));
    assert_eq!(world.names(), ["2:a"]);
    world.end(early, "a", Outcome::Success);
    assert_eq!(world.running, [(late, TaskId::new("a").unwrap(), 1)]);
}

#[test]
fn a_task_that_could_start_waits_after_all_when_its_past_is_cleared() {
    let tasks = vec![Task { depends_on_past: true, ..task("a") }, task("b")];
    let mut world = World::new(dag(tasks, &[]), 2);
    let first = world.run(day(0));
    let second = world.run(day(1));
    assert_eq!(world.names(), ["1:a", "1:b"]);
    // The attempt of `a` that is cleared below holds its slot, the new run's `b` takes the other one.
    world.event(mark(first, "a", TaskState::Success));
    assert_eq!(world.names(), ["1:a", "1:b"], "no slot is free for the second run's `a`");
    world.event(clear(first, "a"));
    world.end(first, "b", Outcome::Success);
    assert_eq!(world.names(), ["1:a", "2:b"]);
    world.end(first, "a", failed());
    assert_eq!(world.running[1..], [(first, TaskId::new("a").unwrap(), 2)], "{second:?} still waits");
}

#[test]
fn a_task_waits_no_longer_for_a_run_that_starts_without_it() {
    let mut limited = dag(vec![Task { depends_on_past: true, ..task("a") }, task("c")], &[]);
    limited.max_active_runs = 1;
    let mut world = World::new(limited, 0);
    let late = world.run(day(1));
    let early = world.run(day(0));
    // The file was edited before the earlier run starts.
    let mut edited = dag(vec![task("b")], &[]);
    edited.max_active_runs = 2;
    world.dag = Arc::new(edited);
    world.event(Event::Plan(Plan::new(world.dag.clone(), 2)));
    assert_eq!(world.runs[&early.0].0, RunState::Running);
    let effects = world.engine.step(Event::Limits(Limits { parallelism: 8, pools: BTreeMap::new() }), world.now);
    let starts = effects.iter().filter_map(|effect| match effect {
        Effect::Start(start) => Some((start.run, start.plan.dag.tasks[start.task].id.as_str())),
        _ => None,
    });
    assert_eq!(starts.collect::<Vec<_>>(), [(early, "b"), (late, "a"), (late, "c")]);
}

/// At most this many runs at once of a DAG whose `a` depends on its past and whose `b` does not; the first one has failed.
fn after_a_failed_run(max_active_runs: u32, retries: u32) -> (World, RunNumber) {
    let tasks = vec![Task { depends_on_past: true, ..task("a") }, Task { retries, ..task("b") }];
    let mut world = World::new(Dag { max_active_runs, ..dag(tasks, &[]) }, 8);
    let first = world.run(day(0));
    world.end(first, "a", failed());
    world.end(first, "b", Outcome::Success);
    assert!(!world.engine.knows(first));
    (world, first)
}

#[test]
fn after_an_edit_of_the_schedule_the_run_before_is_the_one_that_ends_before() {
    let mut world = World::new(dag(vec![Task { depends_on_past: true, ..task("a") }], &[]), 8);
    let hours = |from: i64, to: i64| DataInterval { start: day(0) + from.hours(), end: day(0) + to.hours() };
    let mut run = |interval| {
        let input = RunInput { interval, ..world.input(day(0)) };
        let number = input.number;
        world.event(Event::Runs(vec![input]));
        number
    };
    // Every six hours until noon, then daily: the day begins with the first of them and ends after the second.
    let [first, second, day, next] = [hours(0, 6), hours(6, 12), hours(0, 24), hours(24, 48)].map(&mut run);
    for run in [first, second, day, next] {
        assert_eq!(world.names(), [format!("{}:a", run.0)]);
        world.end(run, "a", Outcome::Success);
    }
}

/// The run after the failed one.
fn run_after_failed(world: &mut World) -> RunNumber {
    let mut input = world.input(day(1));
    let number = input.number;
    input.past = Past {
        interval: Some(DataInterval { start: day(0), end: day(1) }),
        states: [("a", TaskState::Failed), ("b", TaskState::Success)]
            .map(|(task, state)| (TaskId::new(task).unwrap(), state))
            .into(),
    };
    world.event(Event::Runs(vec![input]));
    number
}

/// Somebody clears `a` of a run that has ended with this state.
fn clear_ended(world: &mut World, run: RunNumber, date: Timestamp, backfill: Option<BackfillLimits>) {
    let mut input = world.input(date);
    input.number = run;
    input.state = RunState::Failed;
    input.is_awaited = true;
    input.plan = Binding::To(Plan::new(world.dag.clone(), 1));
    input.tasks = vec![prior("a", TaskState::Failed, 1), prior("b", TaskState::Success, 1)];
    input.backfill = backfill;
    world.event(Event::Runs(vec![input]));
    world.event(clear(run, "a"));
}

#[test]
fn a_run_that_waits_for_a_cleared_one_gives_it_its_place() {
    let (mut world, first) = after_a_failed_run(1, 0);
    let second = run_after_failed(&mut world);
    let third = world.run(day(2));
    assert_eq!(world.names(), ["2:b"]);
    clear_ended(&mut world, first, day(0), None);
    assert_eq!(world.names(), ["2:b"], "the second run still has something to do");
    world.end(second, "b", Outcome::Success);
    assert_eq!(world.names(), ["1:a"]);
    assert_eq!(world.runs[&second.0].0, RunState::Queued);
    world.end(first, "a", Outcome::Success);
    assert_eq!(world.runs[&first.0].0, RunState::Success);
    assert_eq!(world.names(), ["2:a"], "its `b` is not done again");
    assert!(!world.runs.contains_key(&third.0));
    world.end(second, "a", Outcome::Success);
    assert_eq!(world.runs[&second.0].0, RunState::Success);
    assert_eq!(world.names(), ["3:a", "3:b"]);
}

#[test]
fn a_run_that_waits_for_its_retry_gives_no_place_away() {
    let (mut world, first) = after_a_failed_run(1, 1);
    let second = run_after_failed(&mut world);
    world.end(second, "b", failed());
    clear_ended(&mut world, first, day(0), None);
    assert!(world.running.is_empty());
    assert_eq!(world.runs[&second.0].0, RunState::Running);
    world.pass(60);
    assert_eq!(world.names(), ["2:b"]);
    world.end(second, "b", Outcome::Success);
    assert_eq!(world.names(), ["1:a"]);
}

#[test]
fn the_place_goes_to_an_earlier_run_over_one_that_waits_itself() {
    let (mut world, first) = after_a_failed_run(2, 0);
    let (second, third) = (run_after_failed(&mut world), world.run(day(2)));
    world.end(second, "b", Outcome::Success);
    assert_eq!(world.names(), ["3:b"]);
    clear_ended(&mut world, first, day(0), None);
    assert_eq!(world.names(), ["3:b", "1:a"]);
    assert_eq!(world.runs[&second.0].0, RunState::Queued);
    world.end(third, "b", Outcome::Success);
    assert_eq!(world.names(), ["1:a"], "the second run has no more to do before the first one");
    world.end(first, "a", Outcome::Success);
    assert_eq!(world.names(), ["2:a"]);
    world.end(second, "a", Outcome::Success);
    assert_eq!(world.names(), ["3:a"]);
}

#[test]
fn no_place_is_given_to_an_interrupted_backfill() {
    let (mut world, first) = after_a_failed_run(1, 0);
    let second = run_after_failed(&mut world);
    world.end(second, "b", Outcome::Success);
    world.event(Event::HoldBackfill { backfill: 7, hold: true });
    let limits = BackfillLimits { backfill: 7, max_active_runs: None, is_reverse: false };
    clear_ended(&mut world, first, day(0), Some(limits));
    assert_eq!((world.names(), world.runs[&second.0].0), (vec![], RunState::Running));
    world.event(Event::HoldBackfill { backfill: 7, hold: false });
    assert_eq!((world.names(), world.runs[&second.0].0), (vec!["1:a".to_owned()], RunState::Queued));
}

#[test]
fn the_timeout_of_a_run_begins_anew_when_it_has_its_place_again() {
    let (mut world, first) = after_a_failed_run(1, 0);
    world.dag = Arc::new(Dag { run_timeout: Some(Duration::from_secs(100)), ..(*world.dag).clone() });
    world.event(Event::Plan(Plan::new(world.dag.clone(), 2)));
    let second = run_after_failed(&mut world);
    world.end(second, "b", Outcome::Success);
    world.pass(90);
    clear_ended(&mut world, first, day(0), None);
    world.pass(90);
    world.end(first, "a", Outcome::Success);
    assert_eq!(world.names(), ["2:a"]);
    world.pass(90);
    assert_eq!(world.runs[&second.0].0, RunState::Running);
    world.pass(10);
    assert_eq!(world.runs[&second.0].0, RunState::Failed);
}

#[test]
fn a_mark_on_an_ended_run_lets_the_next_one_go_on() {
    let tasks = vec![Task { depends_on_past: true, ..task("a") }];
    let mut world = World::new(dag(tasks, &[]), 8);
    let first = world.run(day(0));
    let second = world.run(day(1));
    world.end(first, "a", failed());
    assert!(world.running.is_empty() && !world.engine.knows(first), "{:?}", world.names());
    world.take_up(
        first,
        day(0),
        RunState::Failed,
        vec![PriorTask {
            task: TaskId::new("a").unwrap(),
            state: TaskState::Failed,
            tries: 1,
            max_tries: 1,
            next_try_at: None,
            reason: None,
            started_at: None,
            live: None,
        }],
    );
    let task = Some(TaskId::new("a").unwrap());
    world.event(Event::Mark { run: first, task, state: TaskState::Success, by: "me".to_owned() });
    assert_eq!(world.running, [(second, TaskId::new("a").unwrap(), 1)]);
}

#[test]
fn an_ended_run_that_is_forgotten_is_no_longer_anybodys_past() {
    let tasks = vec![Task { depends_on_past: true, ..task("a") }];
    let mut world = World::new(dag(tasks, &[]), 8);
    let mut input = world.input(day(1));
    let forgotten = input.number;
    input.state = RunState::Failed;
    input.is_awaited = true;
    world.event(Event::Runs(vec![input]));
    assert!(world.engine.knows(forgotten));
    world.event(Event::Stop { run: forgotten, by: "me".to_owned() });
    assert!(!world.engine.knows(forgotten));
    let first = world.run(day(0));
    world.run(day(2));
    assert_eq!(world.names(), ["2:a"]);
    world.end(first, "a", Outcome::Success);
    assert_eq!(world.names(), ["3:a"]);
}

#[test]
fn a_run_that_was_ended_before_it_began_holds_nobody_up_when_it_is_marked_again() {
    let mut limited = dag(vec![Task { depends_on_past: true, ..task("a") }], &[]);
    limited.max_active_runs = 1;
    let mut world = World::new(limited, 8);
    let first = world.run(day(0));
    let second = world.run(day(1));
    world.run(day(2));
    let mark = Event::Mark { run: second, task: None, state: TaskState::Success, by: "me".to_owned() };
    world.event(mark.clone());
    assert!(!world.engine.knows(second));
    let mut input = world.input(day(1));
    input.number = second;
    input.state = RunState::Success;
    input.is_awaited = true;
    world.event(Event::Runs(vec![input]));
    world.event(mark);
    assert!(!world.engine.knows(second));
    world.end(first, "a", failed());
    assert_eq!(world.names(), ["3:a"]);
}

#[test]
fn a_run_that_a_person_triggered_has_no_past_and_is_nobodys_past() {
    let tasks = vec![Task { depends_on_past: true, ..task("a") }];
    let mut world = World::new(dag(tasks, &[]), 8);
    let first = world.run(day(0));
    let mut input = world.input(day(1));
    input.run_type = RunType::Manual;
    let manual = input.number;
    world.event(Event::Runs(vec![input]));
    assert_eq!(world.names(), ["1:a", "2:a"]);
    world.run(day(2));
    world.end(manual, "a", failed());
    assert_eq!(world.names(), ["1:a"]);
    world.end(first, "a", Outcome::Success);
    assert_eq!(world.names(), ["3:a"]);
}

#[test]
fn a_task_goes_on_as_soon_as_its_own_past_has_succeeded() {
    let tasks = vec![Task { depends_on_past: true, ..task("a") }, task("b")];
    let mut world = World::new(dag(tasks, &[]), 8);
    let first = world.run(day(0));
    world.run(day(1));
    assert_eq!(world.names(), ["1:a", "1:b", "2:b"]);
    world.end(first, "a", Outcome::Success);
    assert_eq!(world.names(), ["1:b", "2:b", "2:a"], "its run goes on");
}

#[test]
fn the_past_of_a_run_that_was_ended_before_it_began_forbids_nothing_that_of_a_queued_one_all() {
    let tasks = vec![Task { depends_on_past: true, ..task("a") }];
    let mut world = World::new(dag(tasks.clone(), &[]), 8);
    let ended = RunInput { state: RunState::Failed, is_awaited: true, ..world.input(day(0)) };
    world.event(Event::Runs(vec![ended]));
    world.run(day(1));
    assert_eq!(world.names(), ["2:a"]);
    let mut world = World::new(dag(tasks, &[]), 8);
    world.event(Event::HoldBackfill { backfill: 7, hold: true });
    let limits = BackfillLimits { backfill: 7, max_active_runs: None, is_reverse: false };
    let queued = RunInput { backfill: Some(limits), ..world.input(day(0)) };
    world.event(Event::Runs(vec![queued]));
    world.run(day(1));
    assert!(world.running.is_empty(), "{:?}", world.names());
}

#[test]
fn a_run_that_gave_way_keeps_its_version_unless_it_is_cleared() {
    for (is_new_driver, is_cleared, version) in [(false, false, 1), (true, false, 1), (false, true, 2), (true, true, 2)]
    {
        let (mut world, first) = after_a_failed_run(1, 0);
        let second = run_after_failed(&mut world);
        world.end(second, "b", Outcome::Success);
        clear_ended(&mut world, first, day(0), None);
        assert_eq!(world.journal.iter().filter(|it| matches!(it, Transition::RunGaveWay { .. })).count(), 1);
        assert!(world.journal.contains(&Transition::RunGaveWay { run: second, to: first }));
        if is_new_driver {
            world.engine = Engine::new();
            let plan = Plan::new(world.dag.clone(), 1);
            world.event(Event::Plan(plan.clone()));
            let running = RunInput {
                number: first,
                state: RunState::Running,
                plan: Binding::To(plan.clone()),
                tasks: vec![
                    PriorTask { live: Some(2), ..prior("a", TaskState::Running, 2) },
                    prior("b", TaskState::Success, 1),
                ],
                ..world.input(day(0))
            };
            let queued = RunInput {
                number: second,
                started_at: Some(at(0)),
                plan: Binding::To(plan),
                tasks: vec![prior("a", TaskState::None, 0), prior("b", TaskState::Success, 1)],
                ..world.input(day(1))
            };
            for input in [running, queued] {
                world.event(Event::Runs(vec![input]));
            }
            world.event(Event::Limits(Limits { parallelism: 8, pools: BTreeMap::new() }));
        }
        world.event(Event::Plan(Plan::new(world.dag.clone(), 2)));
        if is_cleared {
            world.event(clear(second, "b"));
        }
        world.journal.clear();
        world.end(first, "a", Outcome::Success);
        let begun = world.journal.iter().find_map(|transition| match transition {
            Transition::RunStarted { run, version, .. } if *run == second => Some(*version),
            _ => None,
        });
        assert_eq!(begun, Some(version), "new driver: {is_new_driver}, cleared: {is_cleared}");
    }
}
