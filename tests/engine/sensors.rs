//! Tasks that wait.

use std::collections::BTreeMap;
use std::time::Duration;

use crondag::dag::{Action, Condition, Dag, RunState, Task, TaskId, TaskState, Wait};
use crondag::runner::engine::{Binding, Engine, Event, Limits, Outcome, Plan, PollResult, PriorTask, RerunRequest};
use jiff::ToSpan;

use super::world::*;

fn wait(id: &str, condition: Condition, soft_fail: bool) -> Task {
    let (every, for_at_most) = (Duration::from_secs(60), Duration::from_secs(150));
    Task { action: Action::Wait(Wait { condition, every, for_at_most, soft_fail }), ..task(id) }
}

fn file() -> Condition {
    Condition::File("_SUCCESS".to_owned())
}

fn not_yet() -> PollResult {
    PollResult::NotYet("file _SUCCESS".to_owned())
}

#[test]
fn a_sensor_polls_again_and_again_and_takes_no_slot() {
    let mut world = World::new(dag(vec![wait("w", file(), false), task("b"), task("other")], &[(0, 1)]), 1);
    let run = world.run(day(0));
    assert_eq!(world.names(), ["1:other"], "the only slot is not the sensor's");
    assert_eq!(world.state(run, "w"), TaskState::UpForReschedule);
    assert!(!world.engine.is_idle(), "a poll is under way");
    world.polled(not_yet());
    assert_eq!(world.engine.next_timer(), Some(world.now + 60.seconds()));
    world.pass(60);
    assert_eq!(world.polls.len(), 1);
    world.pass(60);
    assert_eq!(world.polls.len(), 1, "no second poll while the first is under way");
    world.end(run, "other", Outcome::Success);
    world.polled(PollResult::Found);
    assert_eq!(world.state(run, "w"), TaskState::Success);
    assert_eq!(world.names(), ["1:b"]);
}

#[test]
fn a_sensor_does_not_begin_before_the_past_is_known() {
    let mut world = World::new(dag(vec![Task { depends_on_past: true, ..wait("a", file(), false) }], &[]), 8);
    // As at a driver's start, where the limits come last.
    world.engine = Engine::new();
    world.event(Event::Plan(Plan::new(world.dag.clone(), 1)));
    let late = world.run(day(1));
    let early = world.run(day(0));
    assert!(world.polls.is_empty());
    world.event(Event::Limits(Limits { parallelism: 8, pools: BTreeMap::new() }));
    assert_eq!(world.polls, [(early, TaskId::new("a").unwrap(), 1)]);
    world.polled(PollResult::Found);
    assert_eq!(world.polls, [(late, TaskId::new("a").unwrap(), 1)]);
}

#[test]
fn a_wait_ends_with_a_last_evaluation() {
    for (soft_fail, state, alerts) in [
        (false, TaskState::Failed, vec!["w failed", "run failed with 2 tasks"]),
        (true, TaskState::Skipped, Vec::new()),
    ] {
        let waiting = Task { retries: 3, ..wait("w", file(), soft_fail) };
        let mut world = World::new(dag(vec![waiting, task("b")], &[(0, 1)]), 1);
        let run = world.run(day(0));
        for seconds in [60, 60, 30] {
            world.polled(not_yet());
            assert_eq!(world.engine.next_timer(), Some(world.now + seconds.seconds()));
            world.pass(seconds);
        }
        world.polled(not_yet());
        assert_eq!(world.state(run, "w"), state, "there are no retries when for_at_most is over");
        assert_eq!(world.alerts, alerts);
        assert!(world.engine.is_idle() && !world.engine.knows(run));
    }
}

#[test]
fn an_evaluation_that_fails_is_retried_and_for_at_most_counts_anew() {
    let retried = Task { retries: 1, ..wait("w", file(), false) };
    let mut world = World::new(dag(vec![retried], &[]), 1);
    let run = world.run(day(0));
    world.polled(PollResult::Failed("permission denied".to_owned()));
    assert_eq!(world.state(run, "w"), TaskState::UpForRetry);
    world.pass(60);
    assert_eq!(world.polls[0].2, 2, "a new attempt");
    world.pass(140);
    world.polled(not_yet());
    assert_eq!(world.state(run, "w"), TaskState::UpForReschedule);
    world.pass(60);
    world.polled(PollResult::Failed("permission denied".to_owned()));
    assert_eq!(world.state(run, "w"), TaskState::Failed);
    assert_eq!(world.alerts, ["w retry 1", "w failed", "run failed with 1 tasks"]);
}

#[test]
fn the_status_that_skips_other_tasks_says_not_yet_of_a_wait() {
    let waiting = wait("w", Condition::Command("exit 99".to_owned()), false);
    let mut world = World::new(dag(vec![waiting, task("b")], &[(0, 1)]), 1);
    let run = world.run(day(0));
    world.end(run, "w", Outcome::Skipped);
    assert_eq!(world.state(run, "w"), TaskState::UpForReschedule);
    world.pass(60);
    world.end(run, "w", Outcome::Success);
    assert_eq!((world.state(run, "w"), world.names()), (TaskState::Success, vec!["1:b".to_owned()]));
}

#[test]
fn an_evaluation_that_needs_a_process_is_an_attempt_that_holds_its_slot_only_while_it_lasts() {
    let command = Condition::Command("test -e x".to_owned());
    let mut world = World::new(dag(vec![wait("w", command, false), task("b"), task("other")], &[(0, 1)]), 1);
    let run = world.run(day(0));
    assert_eq!(world.names(), ["1:w"]);
    world.end(run, "w", failed());
    assert_eq!(world.state(run, "w"), TaskState::UpForReschedule);
    assert_eq!(world.names(), ["1:other"]);
    world.pass(60);
    assert_eq!(world.names(), ["1:other"], "the next evaluation needs the slot too");
    world.end(run, "other", Outcome::Success);
    assert_eq!(world.running, [(run, TaskId::new("w").unwrap(), 1)], "still the first attempt");
    world.end(run, "w", Outcome::Success);
    assert_eq!(world.names(), ["1:b"]);
    assert!(world.alerts.is_empty());
}

#[test]
fn an_evaluation_that_hangs_has_what_is_left_of_the_wait_and_then_the_wait_was_in_vain() {
    let command = Condition::Command("sleep 600".to_owned());
    let waiting = Task { retries: 3, ..wait("w", command, false) };
    let mut world = World::new(dag(vec![waiting], &[]), 1);
    let run = world.run(day(0));
    assert_eq!(world.ends_by, [Some(at(150))]);
    world.end(run, "w", failed());
    world.pass(145);
    assert_eq!(world.ends_by, [Some(at(150)), Some(at(175))], "the last one has half a minute, however late it begins");
    world.pass(30);
    world.end(run, "w", Outcome::WaitTimedOut);
    assert_eq!(world.state(run, "w"), TaskState::Failed, "there are no retries");
    assert_eq!(world.reason(run, "w"), "waited 2m30s in vain for the command sleep 600");
}

#[test]
fn an_evaluation_that_is_cut_off_before_the_wait_is_over_by_the_clock_is_followed_by_another() {
    let mut world = World::new(dag(vec![wait("w", Condition::Command("sleep 600".to_owned()), false)], &[]), 1);
    let run = world.run(day(0));
    world.pass(10); // the clock was set back meanwhile
    world.end(run, "w", Outcome::WaitTimedOut);
    assert_eq!(world.state(run, "w"), TaskState::UpForReschedule);
    world.pass(60);
    assert_eq!(world.names(), ["1:w"]);
}

#[test]
fn a_missing_program_is_no_reason_to_wait() {
    let command = Condition::Command("no-such-program".to_owned());
    let mut world = World::new(dag(vec![wait("w", command, false)], &[]), 1);
    let run = world.run(day(0));
    world.end(run, "w", Outcome::Failed { reason: "exit status 127".to_owned(), exit_status: Some(127) });
    assert_eq!(world.state(run, "w"), TaskState::Failed);
}

#[test]
fn a_sensor_that_is_stopped_cleared_or_marked_takes_no_notice_of_its_old_poll() {
    let mut world = World::new(dag(vec![wait("w", file(), false), task("b")], &[(0, 1)]), 1);
    let run = world.run(day(0));
    let request =
        RerunRequest { run, clear: vec![TaskId::new("w").unwrap()], clear_all: false, backfill: None, selection: None };
    world.event(Event::Rerun(Box::new(request)));
    assert_eq!(world.polls.len(), 2, "the wait begins anew");
    world.polled(PollResult::Found);
    assert_eq!(world.state(run, "w"), TaskState::UpForReschedule, "that was the old poll");
    world.polled(not_yet());
    world.event(Event::Stop { run, by: "ann".to_owned() });
    assert_eq!((world.state(run, "w"), world.state(run, "b")), (TaskState::Failed, TaskState::Skipped));
    world.pass(600);
    assert!(world.polls.is_empty() && world.engine.is_idle());
}

#[test]
fn a_new_driver_goes_on_waiting_for_what_is_left_of_for_at_most() {
    for (condition, due) in [(file(), false), (Condition::Command("false".to_owned()), true)] {
        let waiting = wait("w", condition, false);
        let mut world = World::new(dag(vec![waiting], &[]), 1);
        let mut input = world.input(day(0));
        let run = input.number;
        input.state = RunState::Running;
        input.plan = Binding::To(Plan::new(world.dag.clone(), 1));
        input.started_at = Some(at(-140));
        input.tasks = vec![PriorTask {
            task: TaskId::new("w").unwrap(),
            state: TaskState::UpForReschedule,
            tries: 1,
            max_tries: 1,
            next_try_at: due.then(|| at(-1)),
            reason: None,
            started_at: Some(at(-140)),
            live: None,
        }];
        world.event(Event::Runs(vec![input]));
        if due {
            world.end(run, "w", failed());
        } else {
            world.polled(not_yet());
        }
        assert_eq!(world.engine.next_timer(), Some(at(10)));
    }
}

#[test]
fn an_evaluation_that_needs_a_process_waits_for_its_time_whatever_else_happens_in_its_run() {
    let command = Condition::Command("test -e done".to_owned());
    let mut world = World::new(dag(vec![wait("w", command, false), task("b")], &[]), 8);
    let run = world.run(day(0));
    world.end(run, "w", failed());
    assert_eq!(world.state(run, "w"), TaskState::UpForReschedule);
    world.end(run, "b", Outcome::Success);
    world.event(clear(run, "b"));
    assert_eq!(world.names(), ["1:b"]);
    world.pass(60);
    assert_eq!(world.names(), ["1:b", "1:w"]);
}

/// Whatever was recorded while the clock was a year ahead: nothing waits longer than if it began to wait when it was set right.
#[test]
fn a_clock_that_is_set_back_makes_nothing_wait_for_the_wrong_time() {
    let file = wait("w", file(), false);
    let retried = Task { retries: 1, ..task("b") };
    let timed = Dag { run_timeout: Some(Duration::from_secs(1_000)), ..dag(vec![file, retried], &[]) };
    let mut world = World::new(timed, 8);
    world.pass(365 * 86_400);
    let run = world.run(day(0));
    world.polled(not_yet());
    world.end(run, "b", failed());
    world.pass(-365 * 86_400);
    let right = world.now;
    world.pass(60);
    assert_eq!(world.names(), ["1:b"], "the retry");
    assert_eq!(world.polls.len(), 1, "the next poll");
    world.polled(not_yet());
    world.pass(90);
    world.polled(not_yet());
    assert_eq!(world.state(run, "w"), TaskState::Failed, "for_at_most counts from when the clock was set right");
    assert_eq!(world.engine.next_timer(), Some(right + 1_000.seconds()), "so does run_timeout");
}

/// The same where a driver that began meanwhile has only what the earlier one has recorded.
#[test]
fn a_new_driver_does_not_wait_for_times_that_a_wrong_clock_has_recorded() {
    let retried = Task { retries: 1, ..task("b") };
    let mut world = World::new(dag(vec![retried], &[]), 1);
    let mut input = world.input(day(0));
    input.state = RunState::Running;
    input.plan = Binding::To(Plan::new(world.dag.clone(), 1));
    input.started_at = Some(at(365 * 86_400));
    input.tasks =
        vec![PriorTask { max_tries: 2, next_try_at: Some(at(365 * 86_400)), ..prior("b", TaskState::UpForRetry, 1) }];
    world.event(Event::Runs(vec![input]));
    assert_eq!(world.engine.next_timer(), Some(at(60)));
}
