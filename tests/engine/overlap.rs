//! Scheduled runs that meet.

use crondag::dag::{Dag, Overlap, RunNumber, RunState, RunType, Task, TaskState};
use crondag::runner::engine::{BackfillLimits, Binding, Blocker, Event, Outcome, RunInput};

use super::world::*;

fn meeting(overlap: Overlap) -> Dag {
    Dag { overlap, catchup: false, ..dag(vec![task("a")], &[]) }
}

fn state(world: &World, run: RunNumber) -> (RunState, String) {
    world
        .runs
        .get(&run.0)
        .map_or((RunState::Queued, String::new()), |(state, reason)| (*state, reason.clone().unwrap_or_default()))
}

fn skipped(reason: &str) -> (RunState, String) {
    (RunState::Skipped, reason.to_owned())
}

#[test]
fn a_run_that_is_due_while_another_is_going_on_waits_and_only_the_newest_stays() {
    let mut world = World::new(meeting(Overlap::Wait), 8);
    let [first, second, third] = [0, 1, 2].map(|number| world.run(day(number)));
    assert_eq!(world.names(), ["1:a"]);
    let reason = "the run of 2001-09-11 01:46 was due before this one could begin, and catchup is off";
    assert_eq!(state(&world, second), skipped(reason));
    assert_eq!(world.engine.why(third, None, world.now), [Blocker::Overlap { going: vec![first] }]);
    world.end(first, "a", Outcome::Success);
    assert_eq!(world.names(), ["3:a"]);
    assert_eq!(world.alerts, Vec::<String>::new());
}

#[test]
fn with_catchup_each_waits_for_its_turn_and_none_is_skipped() {
    let mut world = World::new(Dag { catchup: true, ..meeting(Overlap::Wait) }, 8);
    let runs = [0, 1, 2].map(|number| world.run(day(number)));
    for run in runs {
        assert_eq!(world.names(), [format!("{}:a", run.0)]);
        world.end(run, "a", Outcome::Success);
    }
}

#[test]
fn a_run_that_is_due_while_another_is_going_on_is_skipped() {
    let mut world = World::new(meeting(Overlap::Skip), 8);
    let [first, second] = [0, 1].map(|number| world.run(day(number)));
    let reason = "overlap = \"skip\": the run of 2001-09-09 01:46 was still going on";
    assert_eq!(state(&world, second), skipped(reason));
    world.end(first, "a", Outcome::Success);
    let third = world.run(day(2));
    assert_eq!(world.names(), [format!("{}:a", third.0)]);
}

#[test]
fn a_run_that_takes_the_place_of_another_begins_when_the_processes_of_that_are_gone() {
    let mut world = World::new(Dag { max_active_runs: 1, ..meeting(Overlap::Replace) }, 8);
    let [first, second] = [0, 1].map(|number| world.run(day(number)));
    let reason = "overlap = \"replace\": the run of 2001-09-10 01:46 has taken its place";
    assert_eq!(state(&world, first), skipped(reason));
    assert_eq!(world.state(first, "a"), TaskState::Skipped);
    assert_eq!(world.stopped.len(), 1);
    assert_eq!(state(&world, second).0, RunState::Queued);
    assert_eq!(world.engine.why(second, None, world.now), [Blocker::Overlap { going: vec![first] }]);
    world.end(first, "a", failed());
    assert_eq!(world.names(), [format!("{}:a", second.0)]);
    assert_eq!(world.alerts, Vec::<String>::new(), "nobody has failed");
}

#[test]
fn runs_that_may_overlap_do_and_of_those_that_wait_for_max_active_runs_the_newest_stays() {
    let mut world = World::new(Dag { max_active_runs: 2, ..meeting(Overlap::Allow) }, 8);
    let runs = [0, 1, 2, 3].map(|number| world.run(day(number)));
    assert_eq!(world.names(), ["1:a", "2:a"]);
    assert_eq!(state(&world, runs[2]).0, RunState::Skipped);
    world.end(runs[0], "a", Outcome::Success);
    assert_eq!(world.names(), ["2:a", "4:a"]);
}

#[test]
fn what_people_ask_for_takes_no_turns_and_is_never_skipped() {
    let mut world = World::new(meeting(Overlap::Skip), 8);
    let first = world.run(day(0));
    let manual = RunInput { run_type: RunType::Manual, ..world.input(day(1)) };
    let limits = BackfillLimits { backfill: 7, max_active_runs: None, is_reverse: false };
    let backfilled = RunInput { run_type: RunType::Backfill, backfill: Some(limits), ..world.input(day(2)) };
    world.event(Event::Runs(vec![manual, backfilled]));
    assert_eq!(world.names(), ["1:a", "2:a", "3:a"]);
    // A run that was skipped is cleared: it runs beside the other, also when a new driver takes it up.
    let skipped = world.run(day(3));
    assert_eq!(state(&world, skipped).0, RunState::Skipped);
    let cleared = RunInput { is_reopened: true, plan: Binding::Newest, ..world.input(day(3)) };
    world.event(Event::Runs(vec![cleared]));
    assert_eq!(world.names(), ["1:a", "2:a", "3:a", "5:a"]);
    world.end(first, "a", Outcome::Success);
}

#[test]
fn a_run_that_was_skipped_is_nobodys_past() {
    let tasks = vec![Task { depends_on_past: true, ..task("a") }];
    let mut world = World::new(Dag { overlap: Overlap::Wait, catchup: false, ..dag(tasks, &[]) }, 8);
    let first = world.run(day(0));
    let second = world.run(day(1));
    let third = world.run(day(2));
    assert_eq!(state(&world, second).0, RunState::Skipped);
    world.end(first, "a", failed());
    assert_eq!(state(&world, third).0, RunState::Running);
    let past = Blocker::Past { logical_date: day(0), run: None, state: Some(TaskState::Failed) };
    assert_eq!(world.engine.why(third, Some(&world.dag.tasks[0].id), world.now), [past]);
}

/// The older run became known after the newer one had begun: the newer waits for its past, and must not hold it up.
#[test]
fn a_run_that_waits_for_an_older_one_gives_its_turn_to_that() {
    let tasks = vec![Task { depends_on_past: true, ..task("a") }];
    let mut world = World::new(Dag { overlap: Overlap::Wait, catchup: true, ..dag(tasks, &[]) }, 8);
    let first = world.run(day(0));
    let third = world.run(day(2));
    world.end(first, "a", failed());
    assert_eq!(state(&world, third).0, RunState::Running);
    let second = world.run(day(1));
    world.take_up(first, day(0), RunState::Failed, vec![prior("a", TaskState::Failed, 1)]);
    world.event(mark(first, "a", TaskState::Success));
    assert_eq!(world.names(), [format!("{}:a", second.0)]);
    world.end(second, "a", Outcome::Success);
    assert_eq!(world.names(), [format!("{}:a", third.0)]);
}
