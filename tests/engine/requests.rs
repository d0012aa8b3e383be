//! What people ask for: clears, marks, stops, backfills that are held.

use std::sync::Arc;
use std::time::Duration;

use crondag::dag::{Dag, RunNumber, RunState, Task, TaskId, TaskState, Transition, TriggerRule};
use crondag::runner::engine::{BackfillLimits, Binding, Event, Outcome, Plan, PriorTask, RerunRequest, RunInput};
use jiff::ToSpan;

use super::world::*;

#[test]
fn marks_and_stops_reach_the_tasks_of_a_cleared_run_that_waits_to_start_again() {
    let mut limited = dag(vec![task("a"), task("b")], &[]);
    limited.max_active_runs = 1;
    let mut world = World::new(limited, 8);
    let first = world.run(day(0));
    world.end(first, "a", failed());
    world.end(first, "b", Outcome::Success);
    world.run(day(1));
    world.take_up(
        first,
        day(0),
        RunState::Failed,
        vec![prior("a", TaskState::Failed, 1), prior("b", TaskState::Success, 1)],
    );
    world.event(clear_all(first));
    assert_eq!(world.runs[&first.0].0, RunState::Queued);
    let task = Some(TaskId::new("a").unwrap());
    world.event(Event::Mark { run: first, task, state: TaskState::Success, by: "me".to_owned() });
    assert_eq!((world.state(first, "a"), world.state(first, "b")), (TaskState::Success, TaskState::None));
    world.event(Event::Stop { run: first, by: "me".to_owned() });
    assert_eq!((world.state(first, "a"), world.state(first, "b")), (TaskState::Success, TaskState::Skipped));
    assert_eq!(world.runs[&first.0].0, RunState::Failed);
}

#[test]
fn a_task_cleared_while_it_runs_starts_again_only_when_its_processes_are_gone() {
    let mut world = World::new(dag(vec![task("a"), task("b")], &[(0, 1)]), 8);
    let run = world.run(day(0));
    world.event(clear(run, "a"));
    assert_eq!(world.state(run, "a"), TaskState::None);
    assert_eq!(world.stopped.len(), 1);
    assert_eq!(world.running.len(), 1, "still the first attempt");
    world.end(run, "a", failed());
    assert_eq!(world.running, [(run, TaskId::new("a").unwrap(), 2)]);
    world.end(run, "a", Outcome::Success);
    world.end(run, "b", Outcome::Success);
    assert_eq!(world.runs[&1].0, RunState::Success);
}

#[test]
fn an_interrupted_backfill_starts_nothing_new_until_it_goes_on() {
    let mut small = dag(vec![task("a"), task("b")], &[(0, 1)]);
    small.max_active_runs = 1;
    let mut world = World::new(small, 8);
    let limits = BackfillLimits { backfill: 7, max_active_runs: Some(2), is_reverse: true };
    for date in 0..4 {
        let mut input = world.input(day(date));
        input.backfill = Some(limits);
        world.event(Event::Runs(vec![input]));
    }
    assert_eq!(world.names(), ["1:a", "2:a"], "its own limit, and each started as it came");
    world.event(Event::HoldBackfill { backfill: 7, hold: true });
    world.end(RunNumber(1), "a", Outcome::Success);
    assert_eq!(world.names(), ["2:a"]);
    world.event(Event::StopBackfill { backfill: 7 });
    world.end(RunNumber(2), "a", failed());
    assert!(world.names().is_empty() && world.engine.is_idle());
    world.event(Event::HoldBackfill { backfill: 7, hold: false });
    assert_eq!(world.names(), ["1:b", "2:a"]);
    world.end(RunNumber(1), "b", Outcome::Success);
    assert!(world.names().contains(&"4:a".to_owned()), "newest first: {:?}", world.names());
}

#[test]
fn marking_a_failed_task_lets_its_downstream_run() {
    let mut world = World::new(dag(vec![task("a"), task("b"), task("c")], &[(0, 1)]), 8);
    let run = world.run(day(0));
    world.end(run, "a", failed());
    assert_eq!(world.state(run, "b"), TaskState::UpstreamFailed);
    world.event(mark(run, "a", TaskState::Success));
    assert!(world.names().contains(&"1:b".to_owned()));
    world.end(run, "b", Outcome::Success);
    world.end(run, "c", Outcome::Success);
    assert_eq!(world.runs[&1].0, RunState::Success);
}

#[test]
fn a_cleared_task_has_all_its_retries_again() {
    let mut world = World::new(dag(vec![Task { retries: 1, ..task("a") }, task("b")], &[]), 8);
    let run = world.run(day(0));
    for _ in 0..2 {
        world.end(run, "a", failed());
        world.pass(60);
    }
    assert_eq!(world.state(run, "a"), TaskState::Failed);
    world.event(clear(run, "a"));
    world.end(run, "a", failed());
    assert_eq!(world.state(run, "a"), TaskState::UpForRetry, "the third attempt of four");
    world.pass(60);
    world.end(run, "a", failed());
    assert_eq!(world.state(run, "a"), TaskState::Failed);
}

#[test]
fn an_ended_run_that_is_cleared_has_all_its_retries_again_and_waits_for_its_old_attempt() {
    let mut limited = dag(vec![Task { retries: 1, ..task("a") }], &[]);
    limited.max_active_runs = 1;
    let mut world = World::new(limited, 8);
    let second = world.run(day(1));
    let first = world.input(day(0)).number;
    world.take_up(
        first,
        day(0),
        RunState::Failed,
        vec![PriorTask { live: Some(2), ..prior("a", TaskState::Failed, 2) }],
    );
    world.event(clear_all(first));
    world.event(Event::AttemptEnded { run: first, task: TaskId::new("a").unwrap(), try_number: 2, outcome: failed() });
    world.end(second, "a", Outcome::Success);
    assert_eq!(world.running, [(first, TaskId::new("a").unwrap(), 3)]);
    world.end(first, "a", failed());
    assert_eq!(world.state(first, "a"), TaskState::UpForRetry, "the third attempt of four");
}

#[test]
fn a_cleared_run_has_the_retries_of_the_version_with_which_it_begins_again() {
    let mut limited = dag(vec![task("a")], &[]);
    limited.max_active_runs = 1;
    let mut world = World::new(limited.clone(), 8);
    let second = world.run(day(1));
    let first = world.input(day(0)).number;
    world.take_up(first, day(0), RunState::Failed, vec![prior("a", TaskState::Failed, 3)]);
    world.event(clear_all(first));
    limited.tasks = vec![Task { retries: 2, retry_backoff: 2.0, ..task("a") }];
    world.event(Event::Plan(Plan::new(Arc::new(limited), 2)));
    world.end(second, "a", Outcome::Success);
    for delay in [60, 120] {
        world.end(first, "a", failed());
        assert_eq!(world.engine.next_timer(), Some(world.now + delay.seconds()));
        world.pass(delay);
    }
    world.end(first, "a", failed());
    assert_eq!(world.state(first, "a"), TaskState::Failed);
}

#[test]
fn a_selection_is_the_whole_run_until_it_is_widened() {
    let mut world = World::new(dag(vec![task("a"), task("b"), task("c")], &[]), 8);
    let mut input = world.input(day(0));
    let run = input.number;
    input.selection = Some(vec![TaskId::new("a").unwrap()]);
    world.event(Event::Runs(vec![input.clone()]));
    assert_eq!((world.names(), world.states.len()), (vec!["1:a".to_owned()], 1));
    let both = Some(vec![TaskId::new("a").unwrap(), TaskId::new("b").unwrap()]);
    let request = RerunRequest { run, clear: Vec::new(), clear_all: false, backfill: None, selection: both };
    world.event(Event::Rerun(Box::new(request)));
    assert_eq!((world.names(), world.states.len()), (vec!["1:a".to_owned(), "1:b".to_owned()], 2));
    world.end(run, "a", Outcome::Success);
    world.end(run, "b", Outcome::Success);
    assert_eq!(world.runs[&run.0].0, RunState::Success);
}

#[test]
fn a_run_that_was_ended_before_its_widened_selection_began_begins_with_all_of_it() {
    let mut world = World::new(dag(vec![task("a"), task("b")], &[(0, 1)]), 8);
    let mut input = world.input(day(0));
    let run = input.number;
    // It had `a` alone; it was widened, and marked while it waited to start again.
    input.state = RunState::Success;
    input.plan = Binding::To(Plan::new(world.dag.clone(), 1));
    input.tasks = vec![prior("a", TaskState::Success, 1)];
    input.is_awaited = true;
    world.event(Event::Runs(vec![input]));
    let clear = vec![TaskId::new("a").unwrap()];
    let request = RerunRequest { run, clear, clear_all: false, backfill: None, selection: None };
    world.event(Event::Rerun(Box::new(request)));
    assert_eq!(world.states.get(&(run.0, "b".to_owned())), Some(&TaskState::None), "it is recorded");
    world.end(run, "a", Outcome::Success);
    world.end(run, "b", Outcome::Success);
    assert_eq!(world.runs[&run.0].0, RunState::Success);
}

#[test]
fn marks_and_stops_of_a_run_leave_what_has_ended() {
    let mark = |run, state| Event::Mark { run, task: None, state, by: "ann".to_owned() };
    let mut world = World::new(dag(vec![task("a"), task("b")], &[]), 8);
    let run = world.run(day(0));
    world.end(run, "a", failed());
    world.event(mark(run, TaskState::Success));
    assert_eq!((world.state(run, "a"), world.state(run, "b")), (TaskState::Failed, TaskState::Success));
    let second = world.run(day(1));
    world.end(second, "a", Outcome::Success);
    world.event(Event::Stop { run: second, by: "ann".to_owned() });
    assert_eq!((world.state(second, "a"), world.state(second, "b")), (TaskState::Success, TaskState::Failed));
    // Runs that have not begun.
    let mut limited = dag(vec![task("a")], &[]);
    limited.max_active_runs = 0;
    let mut world = World::new(limited, 8);
    let (bad, good) = (world.run(day(0)), world.run(day(1)));
    world.event(mark(bad, TaskState::Failed));
    world.event(mark(good, TaskState::Success));
    assert_eq!((world.runs[&bad.0].0, world.runs[&good.0].0), (RunState::Failed, RunState::Success));
}

#[test]
fn holding_a_backfill_stops_its_clocks_and_nobody_elses() {
    let mut world = World::new(dag(vec![Task { retries: 1, ..task("a") }], &[]), 8);
    let mut input = world.input(day(0));
    let (held, other) = (input.number, RunNumber(2));
    input.backfill = Some(BackfillLimits { backfill: 7, max_active_runs: None, is_reverse: false });
    world.event(Event::Runs(vec![input]));
    world.run(day(1));
    world.event(Event::StopBackfill { backfill: 8 });
    assert!(world.stopped.is_empty());
    world.event(Event::StopBackfill { backfill: 7 });
    assert_eq!(world.stopped, [(held, TaskId::new("a").unwrap(), 1)]);
    world.end(held, "a", failed());
    world.end(held, "a", failed());
    world.end(other, "a", failed());
    world.event(Event::HoldBackfill { backfill: 7, hold: true });
    world.pass(10);
    world.event(Event::HoldBackfill { backfill: 7, hold: false });
    world.event(Event::HoldBackfill { backfill: 7, hold: true });
    world.pass(50);
    assert_eq!(world.names(), ["2:a"]);
    world.event(Event::HoldBackfill { backfill: 7, hold: false });
    assert_eq!(world.names(), ["2:a", "1:a"]);
}

#[test]
fn a_clear_and_the_version_with_which_a_run_begins_say_once_how_often_its_tasks_may_be_tried() {
    let tasks = vec![Task { retries: 2, ..task("a") }, task("b")];
    let mut world = World::new(dag(tasks, &[]), 8);
    let run = world.run(day(0));
    let tries = |id: &str, max_tries| (TaskId::new(id).unwrap(), max_tries);
    let begun = Transition::RunStarted { run, version: 1, tasks: vec![tries("a", 3), tries("b", 1)] };
    let starts = |id: &str, try_number| Transition::TaskStarted { run, task: TaskId::new(id).unwrap(), try_number };
    assert_eq!(world.journal, [begun, starts("a", 1), starts("b", 1)]);
    world.event(Event::Stop { run, by: "ann".to_owned() });
    world.end(run, "a", failed());
    world.end(run, "b", failed());
    world.journal.clear();
    // It has more retries in the store than the file gives it now.
    let tasks = vec![prior("a", TaskState::Failed, 1), PriorTask { max_tries: 9, ..prior("b", TaskState::Success, 4) }];
    world.take_up(run, day(0), RunState::Failed, tasks);
    world.event(clear(run, "a"));
    let task = TaskId::new("a").unwrap();
    let cleared = Transition::TaskCleared { run, task, max_tries: 4, reason: None };
    let begun = Transition::RunStarted { run, version: 1, tasks: Vec::new() };
    assert_eq!(world.journal, [Transition::RunReopened { run }, cleared, begun, starts("a", 2)]);
    assert_eq!(world.names(), ["1:a"]);
}

#[test]
fn a_mark_decides_anew_only_what_the_old_state_had_kept_from_running() {
    let after = Task { trigger_rule: TriggerRule::AllDone, ..task("done") };
    let tasks = vec![task("a"), task("b"), after, task("other")];
    let mut world = World::new(dag(tasks, &[(0, 1), (0, 2)]), 8);
    let run = world.run(day(0));
    world.end(run, "a", failed());
    world.end(run, "done", Outcome::Success);
    assert_eq!((world.names(), world.state(run, "b")), (vec!["1:other".to_owned()], TaskState::UpstreamFailed));
    world.event(mark(run, "a", TaskState::Success));
    assert_eq!(
        (world.names(), world.state(run, "done")),
        (vec!["1:other".to_owned(), "1:b".to_owned()], TaskState::Success)
    );
}

#[test]
fn a_mark_that_ends_the_run_decides_what_it_had_kept_from_running_all_the_same() {
    let mut world = World::new(dag(vec![task("a"), task("b"), task("c")], &[(0, 2), (1, 2)]), 8);
    let run = world.run(day(0));
    world.end(run, "a", failed());
    assert_eq!(world.state(run, "c"), TaskState::UpstreamFailed);
    world.event(mark(run, "b", TaskState::Success));
    assert_eq!(
        (world.state(run, "c"), world.reason(run, "c")),
        (TaskState::UpstreamFailed, "trigger rule all_success: a failed".to_owned())
    );
    assert_eq!(world.runs[&run.0].0, RunState::Failed);
    world.end(run, "b", Outcome::Success);
    assert!(!world.engine.knows(run));
}

#[test]
fn a_mark_on_an_ended_run_gives_it_another_end_and_begins_nothing() {
    let mut world = World::new(dag(vec![task("a")], &[]), 8);
    let run = world.run(day(0));
    world.end(run, "a", failed());
    world.alerts.clear();
    for (from, to, ends) in [
        (TaskState::Failed, TaskState::Success, RunState::Success),
        (TaskState::Success, TaskState::Failed, RunState::Failed),
    ] {
        let was = if from == TaskState::Failed { RunState::Failed } else { RunState::Success };
        world.take_up(run, day(0), was, vec![prior("a", from, 1)]);
        world.journal.clear();
        world.event(mark(run, "a", to));
        assert_eq!(world.journal.len(), 2, "{:?}", world.journal);
        assert_eq!((world.runs[&run.0].0, world.engine.knows(run)), (ends, false));
    }
    assert!(world.alerts.is_empty(), "whoever marks it knows: {:?}", world.alerts);
}

#[test]
fn the_time_in_which_a_backfill_is_held_does_not_count_against_the_timeout_of_its_runs() {
    let timed = Dag { run_timeout: Some(Duration::from_secs(100)), ..dag(vec![task("a")], &[]) };
    let mut world = World::new(timed, 8);
    let limits = BackfillLimits { backfill: 7, max_active_runs: None, is_reverse: false };
    let input = RunInput { backfill: Some(limits), ..world.input(day(0)) };
    let run = input.number;
    world.event(Event::Runs(vec![input]));
    world.pass(50);
    world.event(Event::HoldBackfill { backfill: 7, hold: true });
    world.pass(500);
    assert_eq!((world.runs[&run.0].0, world.engine.next_timer()), (RunState::Running, None));
    world.event(Event::HoldBackfill { backfill: 7, hold: false });
    world.pass(99);
    assert_eq!(world.runs[&run.0].0, RunState::Running);
    world.pass(1);
    assert_eq!(world.runs[&run.0].0, RunState::Failed);
}

#[test]
fn a_run_that_another_backfill_takes_over_is_held_or_goes_on_as_that_one() {
    let timed = Dag { run_timeout: Some(Duration::from_secs(100)), ..dag(vec![task("a")], &[]) };
    let mut world = World::new(timed, 8);
    let owned = |backfill| Some(BackfillLimits { backfill, max_active_runs: None, is_reverse: false });
    let input = RunInput { backfill: owned(7), ..world.input(day(0)) };
    let run = input.number;
    world.event(Event::Runs(vec![input]));
    let take_over = |backfill| {
        let backfill = owned(backfill);
        Event::Rerun(Box::new(RerunRequest { run, clear: Vec::new(), clear_all: false, backfill, selection: None }))
    };
    world.event(Event::HoldBackfill { backfill: 7, hold: true });
    assert_eq!(world.engine.next_timer(), None);
    world.event(take_over(8));
    assert_eq!(world.engine.next_timer(), Some(at(100)), "that one is not held");
    world.event(Event::HoldBackfill { backfill: 8, hold: true });
    world.event(take_over(7));
    assert_eq!(world.engine.next_timer(), None, "this one is");
}

#[test]
fn a_cleared_run_that_is_ended_before_it_begins_is_known_until_its_old_attempt_is_gone() {
    let mut world = World::new(Dag { max_active_runs: 0, ..dag(vec![task("a"), task("b")], &[]) }, 8);
    let run = RunNumber(7);
    let tasks = vec![PriorTask { live: Some(1), ..prior("a", TaskState::Failed, 1) }, prior("b", TaskState::Failed, 1)];
    world.take_up(run, day(0), RunState::Failed, tasks);
    world.event(clear_all(run));
    world.event(Event::Stop { run, by: "ann".to_owned() });
    assert!(world.engine.knows(run), "its attempt lives");
    world.event(Event::AttemptEnded { run, task: TaskId::new("a").unwrap(), try_number: 1, outcome: failed() });
    assert!(!world.engine.knows(run));
}
