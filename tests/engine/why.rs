//! Why something does not start.

use std::collections::{BTreeMap, BTreeSet};

use crondag::dag::{
    Action, Condition, Dag, Overlap, RunNumber, RunState, RunType, Task, TaskId, TaskState, TriggerRule, Wait,
};
use crondag::runner::engine::{
    BackfillLimits, Blocker, Event, Holder, Limits, Outcome, PollResult, RunInput, Standstill,
};
use proptest::prelude::*;

use super::world::*;

fn id(task: &str) -> TaskId {
    TaskId::new(task).unwrap()
}

fn holder(run: RunNumber, task: &str, slots: u32) -> Holder {
    Holder { run, task: id(task), slots }
}

impl World {
    fn why(&self, run: RunNumber, task: &str) -> Vec<Blocker> {
        self.engine.why(run, Some(&id(task)), self.now)
    }

    fn why_run(&self, run: RunNumber) -> Vec<Blocker> {
        self.engine.why(run, None, self.now)
    }

    fn backfilled(&mut self, number: i64, max_active_runs: Option<u32>) -> RunNumber {
        let backfill = Some(BackfillLimits { backfill: 7, max_active_runs, is_reverse: false });
        let input = RunInput { backfill, ..self.input(day(number)) };
        let number = input.number;
        self.event(Event::Runs(vec![input]));
        number
    }
}

#[test]
fn a_begun_run_whose_backfill_is_held_says_so_itself_and_by_each_open_task() {
    let mut world = World::new(dag(vec![task("a"), task("b"), task("c")], &[(0, 1), (1, 2)]), 8);
    let run = world.backfilled(0, None);
    world.event(Event::HoldBackfill { backfill: 7, hold: true });
    world.end(run, "a", Outcome::Success);
    assert_eq!(world.why_run(run), [Blocker::BackfillHeld { backfill: 7 }]);
    assert_eq!(world.why(run, "b"), [Blocker::BackfillHeld { backfill: 7 }]);
    let upstream = Blocker::Upstream { rule: TriggerRule::AllSuccess, open: vec![(id("b"), TaskState::None)] };
    assert_eq!(world.why(run, "c"), [Blocker::BackfillHeld { backfill: 7 }, upstream]);
    assert_eq!(world.why(run, "a"), []);
}

#[test]
fn a_small_task_waits_behind_a_larger_one_of_its_pool_although_a_slot_is_free() {
    let pool = |id: &str, pool_slots| Task { pool: Some("p".to_owned()), pool_slots, ..task(id) };
    let tasks = vec![pool("first", 1), pool("large", 2), pool("small", 1)];
    let mut world = World::with_pools(dag(tasks, &[]), 8, &[("p", 2)]);
    let run = world.run(day(0));
    assert_eq!(world.names(), ["1:first"]);
    let holders = vec![holder(run, "first", 1)];
    let full = Blocker::Pool { pool: "p".to_owned(), slots: 2, used: 1, wanted: 2, holders };
    assert_eq!(world.why(run, "large"), [full]);
    let behind = Blocker::PoolQueue { pool: "p".to_owned(), run, task: id("large"), wanted: 2 };
    assert_eq!(world.why(run, "small"), [behind]);
}

#[test]
fn a_scheduled_run_is_not_held_up_by_a_backfill_with_a_limit_of_its_own() {
    let mut limited = dag(vec![task("a")], &[]);
    limited.max_active_runs = 1;
    let mut world = World::new(limited, 8);
    let [first, second] = [0, 1].map(|number| world.backfilled(number, Some(1)));
    let scheduled = world.run(day(5));
    let waiting = world.run(day(6));
    assert_eq!(world.why_run(first), []);
    let own = Blocker::MaxActiveRuns { limit: 1, backfill: Some(7), running: vec![first] };
    assert_eq!(world.why_run(second), [own]);
    assert_eq!(world.why_run(scheduled), []);
    let of_dag = Blocker::MaxActiveRuns { limit: 1, backfill: None, running: vec![scheduled] };
    assert_eq!(world.why_run(waiting), std::slice::from_ref(&of_dag));
    assert_eq!(world.why(waiting, "a"), std::slice::from_ref(&of_dag));
    let last = world.run(day(7));
    assert_eq!(world.why_run(last), [of_dag, Blocker::QueuedBehind { first: waiting, ahead: 1 }]);
}

#[test]
fn a_cleared_task_waits_until_its_old_attempt_is_gone() {
    let mut world = World::new(dag(vec![task("a")], &[]), 8);
    let run = world.run(day(0));
    world.event(clear(run, "a"));
    assert_eq!(world.why(run, "a"), [Blocker::OldAttempt { try_number: 1 }]);
    world.end(run, "a", failed());
    assert_eq!(world.why(run, "a"), []);
    assert_eq!(world.names(), ["1:a"]);
}

#[test]
fn each_limit_names_those_that_run() {
    let mut limited = dag(vec![task("a"), task("b"), task("c")], &[]);
    limited.max_active_tasks = 2;
    let mut world = World::new(limited, 2);
    let run = world.run(day(0));
    let holders = vec![holder(run, "a", 1), holder(run, "b", 1)];
    let home = Blocker::Parallelism { limit: 2, holders: holders.clone() };
    assert_eq!(world.why(run, "c"), [home, Blocker::MaxActiveTasks { limit: 2, holders }]);
}

#[test]
fn retries_polls_and_the_past_are_named_with_their_times() {
    let sensor = Wait {
        condition: Condition::File("x".to_owned()),
        every: std::time::Duration::from_secs(60),
        for_at_most: std::time::Duration::from_secs(600),
        soft_fail: false,
    };
    let tasks = vec![
        Task { retries: 1, depends_on_past: true, ..task("a") },
        Task { action: Action::Wait(sensor), ..task("w") },
    ];
    let mut world = World::new(dag(tasks, &[]), 8);
    let [first, second] = [0, 1].map(|number| world.run(day(number)));
    let poll = |next_at| Blocker::Poll { since: at(0), next_at, until: at(600) };
    assert_eq!(world.why(first, "w"), [poll(None)]);
    world.polled(PollResult::NotYet("file x".to_owned()));
    assert_eq!(world.why(first, "w"), [poll(Some(at(60)))]);
    let past = |state| Blocker::Past { logical_date: day(0), run: Some(first), state: Some(state) };
    assert_eq!(world.why(second, "a"), [past(TaskState::Running)]);
    world.end(first, "a", failed());
    assert_eq!(world.why(first, "a"), [Blocker::Retry { at: at(60) }]);
    assert_eq!(world.why(second, "a"), [past(TaskState::UpForRetry)]);
    world.pass(60);
    world.end(first, "a", failed());
    assert_eq!(world.why(second, "a"), [past(TaskState::Failed)]);
    world.event(mark(first, "a", TaskState::Success));
    assert_eq!(world.why(second, "a"), []);
}

#[test]
fn runs_that_depend_on_a_failed_past_stand_still_and_only_the_first_is_named() {
    let mut limited = dag(vec![Task { depends_on_past: true, ..task("a") }, task("b")], &[]);
    limited.max_active_runs = 3;
    let mut world = World::new(limited, 8);
    let runs: Vec<RunNumber> = (0..5).map(|number| world.backfilled(number, None)).collect();
    let stands = |world: &World| world.engine.standstill(&runs, world.now);
    for run in &runs[..3] {
        world.end(*run, "b", Outcome::Success);
    }
    assert_eq!(stands(&world), None, "the first one runs");
    world.end(runs[0], "a", failed());
    // The fourth begins in its place and waits for the past as well, the fifth waits for `max_active_runs`.
    world.end(runs[3], "b", Outcome::Success);
    assert!(!world.why_run(runs[4]).is_empty());
    let blocker = Blocker::Past { logical_date: day(0), run: None, state: Some(TaskState::Failed) };
    let cause = Standstill { run: runs[1], task: Some(id("a")), blocker };
    assert_eq!(stands(&world), Some(vec![cause]));
    // Another DAG's, or a manual, run moves; these do not.
    let manual = RunInput { run_type: RunType::Manual, ..world.input(day(9)) };
    let number = manual.number;
    world.event(Event::Runs(vec![manual]));
    assert!(world.engine.standstill(&[number], world.now).is_some(), "it waits for the others to end");
    world.take_up(
        runs[0],
        day(0),
        RunState::Failed,
        vec![prior("a", TaskState::Failed, 1), prior("b", TaskState::Success, 1)],
    );
    world.event(mark(runs[0], "a", TaskState::Success));
    assert_eq!(stands(&world), None);
}

#[test]
fn a_held_backfill_stands_still_until_it_goes_on_and_a_timer_moves() {
    let mut world = World::new(dag(vec![Task { retries: 1, ..task("a") }], &[]), 8);
    let run = world.backfilled(0, None);
    world.end(run, "a", failed());
    assert_eq!(world.engine.standstill(&[run], world.now), None, "its retry comes");
    world.event(Event::HoldBackfill { backfill: 7, hold: true });
    let cause = Standstill { run, task: Some(id("a")), blocker: Blocker::BackfillHeld { backfill: 7 } };
    assert_eq!(world.engine.standstill(&[run], world.now), Some(vec![cause]));
    world.event(Event::HoldBackfill { backfill: 7, hold: false });
    assert_eq!(world.engine.standstill(&[run], world.now), None);
    world.pass(60);
    world.end(run, "a", failed());
    assert_eq!(world.engine.standstill(&[run], world.now), None, "it has ended");
}

/// One step of a random history.
#[derive(Debug, Clone, Copy)]
enum Act {
    Run { date: i64, kind: u8 },
    End { nth: usize, ending: u8 },
    PollResult { found: bool },
    Clear { nth: usize, task: usize },
    Mark { nth: usize, task: usize, success: bool },
    Hold(bool),
    Pass(i64),
    Limits { parallelism: u32, pool: u32 },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..8i64, 0..4u8).prop_map(|(date, kind)| Act::Run { date, kind }),
        8 => (0..9usize, 0..4u8).prop_map(|(nth, ending)| Act::End { nth, ending }),
        2 => any::<bool>().prop_map(|found| Act::PollResult { found }),
        2 => (0..9usize, 0..5usize).prop_map(|(nth, task)| Act::Clear { nth, task }),
        1 => (0..9usize, 0..5usize, any::<bool>()).prop_map(|(nth, task, success)| Act::Mark { nth, task, success }),
        2 => any::<bool>().prop_map(Act::Hold),
        2 => (1..200i64).prop_map(Act::Pass),
        1 => (0..6u32, 0..4u32).prop_map(|(parallelism, pool)| Act::Limits { parallelism, pool }),
    ]
}

fn random_dag() -> impl Strategy<Value = Dag> {
    let one = (any::<bool>(), 0..3u32, 1..4u32, 0..3i32, 0..3u32, 0..6u8);
    (prop::collection::vec(one, 5), any::<[bool; 10]>(), 1..4u32, 1..5u32, 0..8usize).prop_map(
        |(tasks, edges, max_active_runs, max_active_tasks, overlap)| {
            let tasks = tasks.into_iter().enumerate().map(
                |(index, (depends_on_past, pool, pool_slots, priority, retries, kind))| {
                    let mut task = task(&format!("t{index}"));
                    task.depends_on_past = depends_on_past;
                    task.pool = (pool > 0).then(|| format!("p{pool}"));
                    task.pool_slots = pool_slots;
                    task.priority = priority;
                    task.retries = retries;
                    task.trigger_rule = if kind == 1 { TriggerRule::AllDone } else { TriggerRule::AllSuccess };
                    if kind == 0 || kind == 2 {
                        task.action = Action::Wait(Wait {
                            condition: if kind == 0 {
                                Condition::File("x".to_owned())
                            } else {
                                Condition::Command("x".to_owned())
                            },
                            every: std::time::Duration::from_secs(60),
                            for_at_most: std::time::Duration::from_secs(150),
                            soft_fail: false,
                        });
                    }
                    task
                },
            );
            let pairs = (0..5).flat_map(|to| (0..to).map(move |from| (from, to)));
            let edges: Vec<_> = pairs.zip(edges).filter(|(_, there)| *there).map(|(pair, _)| pair).collect();
            let mut dag = dag(tasks.collect(), &edges);
            dag.max_active_runs = max_active_runs;
            dag.max_active_tasks = max_active_tasks;
            dag.overlap = Overlap::ALL[overlap % 4];
            dag.catchup = overlap >= 4 && matches!(dag.overlap, Overlap::Wait | Overlap::Allow);
            dag
        },
    )
}

struct History {
    world: World,
    inputs: BTreeMap<i64, RunInput>,
    limits: Limits,
    is_held: bool,
}

impl History {
    fn act(&mut self, act: Act) {
        let world = &mut self.world;
        let known: Vec<RunNumber> = self.inputs.keys().map(|number| RunNumber(*number)).collect();
        let pick = |nth: usize| (!known.is_empty()).then(|| known[nth % known.len()]);
        match act {
            Act::Run { date, kind } => {
                let is_taken = self.inputs.values().any(|input| input.interval.start == day(date));
                let mut input = world.input(day(date));
                let limits = |max_active_runs| BackfillLimits { backfill: 7, max_active_runs, is_reverse: false };
                match kind {
                    0 => input.run_type = RunType::Manual,
                    1 => input.backfill = Some(limits(None)),
                    2 => input.backfill = Some(limits(Some(1))),
                    _ => {}
                }
                if is_taken && input.run_type != RunType::Manual {
                    return;
                }
                self.inputs.insert(input.number.0, input.clone());
                world.event(Event::Runs(vec![input]));
            }
            Act::End { nth, ending } if !world.running.is_empty() => {
                let (run, task, _) = world.running[nth % world.running.len()].clone();
                let outcome = match ending {
                    0 => failed(),
                    1 => Outcome::Skipped,
                    2 => Outcome::Failed { reason: "not yet".to_owned(), exit_status: Some(75) },
                    _ => Outcome::Success,
                };
                world.end(run, task.as_str(), outcome);
            }
            Act::PollResult { found } if !world.polls.is_empty() => {
                world.polled(if found { PollResult::Found } else { PollResult::NotYet("file x".to_owned()) });
            }
            Act::Clear { nth, task } => {
                if let Some(run) = pick(nth).filter(|run| world.engine.knows(*run)) {
                    world.event(clear(run, &format!("t{task}")));
                }
            }
            Act::Mark { nth, task, success } => {
                if let Some(run) = pick(nth).filter(|run| world.engine.knows(*run)) {
                    let state = if success { TaskState::Success } else { TaskState::Failed };
                    world.event(mark(run, &format!("t{task}"), state));
                }
            }
            Act::Hold(hold) => {
                self.is_held = hold;
                world.event(Event::HoldBackfill { backfill: 7, hold });
            }
            Act::Pass(seconds) => world.pass(seconds),
            Act::Limits { parallelism, pool } => {
                self.limits = limits(parallelism, pool);
                world.event(Event::Limits(self.limits.clone()));
            }
            Act::End { .. } | Act::PollResult { .. } => {}
        }
    }

    /// Whatever has not started has a reason, and nothing that has started has one.
    fn check(&self) {
        let world = &self.world;
        for (number, input) in &self.inputs {
            let run = RunNumber(*number);
            if !world.engine.knows(run) {
                continue;
            }
            let state = world.runs.get(number).map_or(RunState::Queued, |(state, _)| *state);
            match state {
                RunState::Queued => assert_ne!(world.why_run(run), [], "run {number} is queued"),
                RunState::Running => {
                    let is_held = self.is_held && input.backfill.is_some();
                    assert_eq!(!world.why_run(run).is_empty(), is_held, "run {number} runs");
                }
                RunState::Success | RunState::Failed | RunState::Skipped => {
                    assert_eq!(world.why_run(run), [], "run {number} has ended");
                }
            }
            for task in &world.dag.tasks {
                let blockers = world.why(run, task.id.as_str());
                let task_state = world.states.get(&(*number, task.id.to_string())).copied();
                let waits = match (state, task_state) {
                    (RunState::Success | RunState::Failed | RunState::Skipped, _) => false,
                    (RunState::Queued, _) => true,
                    (RunState::Running, state) => state.is_some_and(|state| {
                        matches!(state, TaskState::None | TaskState::UpForRetry | TaskState::UpForReschedule)
                    }),
                };
                assert_eq!(!blockers.is_empty(), waits, "{} of run {number}: {blockers:?}", task.id);
                for blocker in blockers {
                    self.check_blocker(run, task, &blocker);
                }
            }
        }
    }

    /// What a blocker says is so.
    fn check_blocker(&self, run: RunNumber, task: &Task, blocker: &Blocker) {
        let world = &self.world;
        let state = |run: RunNumber, task: &TaskId| world.states.get(&(run.0, task.to_string())).copied();
        let live: BTreeSet<(RunNumber, TaskId)> =
            world.running.iter().map(|(run, task, _)| (*run, task.clone())).collect();
        let are_live =
            |holders: &[Holder]| holders.iter().all(|holder| live.contains(&(holder.run, holder.task.clone())));
        let so = match blocker {
            Blocker::NoPlan => false,
            Blocker::BackfillHeld { .. } => self.is_held,
            Blocker::MaxActiveRuns { limit, running, .. } => running.len() >= *limit as usize,
            Blocker::Overlap { going } => !going.is_empty() && !going.contains(&run),
            Blocker::QueuedBehind { first, .. } => {
                world.runs.get(&first.0).is_none_or(|(state, _)| *state == RunState::Queued)
            }
            Blocker::Upstream { open, .. } => {
                !open.is_empty() && open.iter().all(|(task, is)| state(run, task) == Some(*is) && !is.is_final())
            }
            Blocker::Past { run: before, state: is, .. } => before.is_none_or(|before| state(before, &task.id) == *is),
            Blocker::OldAttempt { .. } => live.contains(&(run, task.id.clone())),
            Blocker::Retry { at } => *at > world.now,
            Blocker::Poll { next_at, .. } => next_at.is_none_or(|at| at > world.now),
            Blocker::Pool { pool, slots, used, wanted, holders } => {
                self.limits.pools.get(pool) == Some(slots)
                    && used + wanted > *slots
                    && are_live(holders)
                    && holders.iter().map(|holder| holder.slots).sum::<u32>() == *used
            }
            Blocker::PoolQueue { run: first, task: name, .. } => {
                let is = state(*first, name);
                (*first, name) != (run, &task.id)
                    && matches!(is, Some(TaskState::None | TaskState::UpForRetry | TaskState::UpForReschedule))
            }
            Blocker::MaxActiveTasks { limit, holders } | Blocker::Parallelism { limit, holders } => {
                holders.len() >= *limit as usize && are_live(holders)
            }
        };
        assert!(so, "{} of run {}: {blocker:?}", task.id, run.0);
    }
}

fn limits(parallelism: u32, pool: u32) -> Limits {
    let pools = [("p1".to_owned(), pool), ("p2".to_owned(), 2)].into_iter().collect();
    Limits { parallelism, pools }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn whatever_does_not_start_has_a_true_reason_and_nothing_else_has_one(
        dag in random_dag(),
        acts in prop::collection::vec(act(), 1..60),
    ) {
        let limits = limits(3, 2);
        let pools: Vec<(&str, u32)> = limits.pools.iter().map(|(name, slots)| (name.as_str(), *slots)).collect();
        let world = World::with_pools(dag, limits.parallelism, &pools);
        let mut history = History { world, inputs: BTreeMap::new(), limits: limits.clone(), is_held: false };
        for act in acts {
            history.act(act);
            history.check();
        }
    }
}
