//! The engine as a pure function: whole runs against the oracle, and the rules of retries, pools, limits and the past.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may fail

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crondag::dag::{
    Action, Condition, Dag, DagId, Graph, RunNumber, RunState, RunType, Shell, Task, TaskId, TaskState, Transition,
    TriggerRule, Wait,
};
use crondag::runner::engine::{
    AlertKind, BackfillLimits, Effect, Engine, Event, Limits, Look, Outcome, Past, Plan, PriorTask, RerunRequest,
    RunInput,
};
use jiff::{Timestamp, ToSpan, tz::TimeZone};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000_000 + seconds).unwrap()
}

fn day(number: i64) -> Timestamp {
    at(0) + (24 * number).hours()
}

fn task(id: &str) -> Task {
    Task {
        id: TaskId::new(id).unwrap(),
        description: None,
        action: Action::Shell(Shell { script: "true".to_owned() }),
        retries: 0,
        retry_delay: Duration::from_secs(60),
        retry_backoff: 1.0,
        retry_max_delay: Duration::from_secs(86_400),
        timeout: None,
        kill_grace: None,
        trigger_rule: TriggerRule::AllSuccess,
        depends_on_past: false,
        run_as: None,
        pool: None,
        pool_slots: 1,
        priority: 0,
        env: BTreeMap::new(),
        working_dir: None,
        email: Vec::new(),
        email_on_failure: true,
        email_on_retry: false,
        email_on_success: false,
    }
}

fn dag(tasks: Vec<Task>, edges: &[(usize, usize)]) -> Dag {
    Dag {
        id: DagId::new("d").unwrap(),
        description: None,
        owner: None,
        tags: Vec::new(),
        schedule: None,
        timezone: TimeZone::UTC,
        start_date: None,
        end_date: None,
        catchup: false,
        max_active_runs: 16,
        max_active_tasks: 1_000,
        run_timeout: None,
        params: BTreeMap::new(),
        env: BTreeMap::new(),
        graph: Graph::new(tasks.len(), edges.iter().copied()).unwrap(),
        tasks,
    }
}

/// The engine with a world around it that records what it says, as the store would.
struct World {
    engine: Engine,
    dag: Arc<Dag>,
    now: Timestamp,
    running: Vec<(RunNumber, TaskId, u32)>,
    stopped: Vec<(RunNumber, TaskId, u32)>,
    /// Looks that the engine has asked for.
    looks: Vec<(RunNumber, TaskId, u32)>,
    states: BTreeMap<(i64, String), TaskState>,
    runs: BTreeMap<i64, (RunState, Option<String>)>,
    alerts: Vec<String>,
    next_run: i64,
}

impl World {
    fn new(dag: Dag, parallelism: u32) -> World {
        World::with_pools(dag, parallelism, &[])
    }

    fn with_pools(dag: Dag, parallelism: u32, pools: &[(&str, u32)]) -> World {
        let dag = Arc::new(dag);
        let mut world = World {
            engine: Engine::new(),
            dag: dag.clone(),
            now: at(0),
            running: Vec::new(),
            stopped: Vec::new(),
            looks: Vec::new(),
            states: BTreeMap::new(),
            runs: BTreeMap::new(),
            alerts: Vec::new(),
            next_run: 1,
        };
        let pools = pools.iter().map(|(name, slots)| ((*name).to_owned(), *slots)).collect();
        world.event(Event::Limits(Limits { parallelism, pools }));
        world.event(Event::Plan(Plan::new(dag, 1)));
        world
    }

    fn event(&mut self, event: Event) {
        for effect in self.engine.step(event, self.now) {
            match effect {
                Effect::Record(transition) => self.record(&transition),
                Effect::Start(start) => {
                    let task = self.dag.tasks[start.task].id.clone();
                    self.states.insert((start.run.0, task.to_string()), TaskState::Running);
                    assert!(
                        !self.running.iter().any(|(run, id, _)| *run == start.run && *id == task),
                        "{task} of run {} starts while an attempt lives",
                        start.run.0
                    );
                    self.running.push((start.run, task, start.try_number));
                }
                Effect::Look(start) => {
                    self.looks.push((start.run, self.dag.tasks[start.task].id.clone(), start.try_number));
                }
                Effect::StopAttempt { run, task, try_number } => self.stopped.push((run, task, try_number)),
                Effect::Alert(alert) => self.alerts.push(match alert.kind {
                    AlertKind::TaskFailed(report) => format!("{} failed", self.dag.tasks[report.task].id),
                    AlertKind::TaskRetry(report, _) => {
                        format!("{} retry {}", self.dag.tasks[report.task].id, report.try_number)
                    }
                    AlertKind::TaskSucceeded(_) => String::new(),
                    AlertKind::RunFailed { tasks, .. } => format!("run failed with {} tasks", tasks.len()),
                }),
            }
        }
        self.alerts.retain(|alert| !alert.is_empty());
    }

    fn record(&mut self, transition: &Transition) {
        let run = transition.run().0;
        match transition {
            Transition::RunStarted { tasks, .. } => {
                self.runs.insert(run, (RunState::Running, None));
                for (task, _) in tasks {
                    self.states.insert((run, task.to_string()), TaskState::None);
                }
            }
            Transition::RunEnded { state, reason, .. } => {
                self.runs.insert(run, (*state, reason.clone()));
            }
            Transition::RunReopened { .. } => {
                self.runs.insert(run, (RunState::Queued, None));
            }
            Transition::TaskStarted { .. } => unreachable!("the driver makes this one"),
            Transition::TaskRetry { task, .. } => {
                self.states.insert((run, task.to_string()), TaskState::UpForRetry);
            }
            Transition::TaskWaiting { task, .. } | Transition::TaskRescheduled { task, .. } => {
                self.states.insert((run, task.to_string()), TaskState::UpForReschedule);
            }
            Transition::TaskEnded { task, state, .. } => {
                self.states.insert((run, task.to_string()), *state);
            }
            Transition::TaskCleared { task, .. } => {
                self.states.insert((run, task.to_string()), TaskState::None);
            }
        }
    }

    fn input(&mut self, date: Timestamp) -> RunInput {
        let number = RunNumber(self.next_run);
        self.next_run += 1;
        RunInput {
            number,
            dag_id: self.dag.id.clone(),
            run_type: RunType::Scheduled,
            logical_date: date,
            state: RunState::Queued,
            started_at: None,
            backfill: None,
            selection: None,
            plan: None,
            tasks: Vec::new(),
            past: Past::default(),
            is_awaited: false,
        }
    }

    fn run(&mut self, date: Timestamp) -> RunNumber {
        let input = self.input(date);
        let number = input.number;
        self.event(Event::Run(Box::new(input)));
        number
    }

    fn end(&mut self, run: RunNumber, task: &str, outcome: Outcome) {
        let position = self
            .running
            .iter()
            .position(|(number, id, _)| *number == run && id.as_str() == task)
            .unwrap_or_else(|| panic!("{task} of run {} does not run; running: {:?}", run.0, self.running));
        let (run, task, try_number) = self.running.remove(position);
        self.event(Event::AttemptEnded { run, task, try_number, outcome });
    }

    fn looked(&mut self, look: Look) {
        let (run, task, try_number) = self.looks.remove(0);
        self.event(Event::Looked { run, task, try_number, look });
    }

    fn pass(&mut self, seconds: i64) {
        self.now += seconds.seconds();
        self.event(Event::TimePassed);
    }

    fn names(&self) -> Vec<String> {
        self.running.iter().map(|(run, task, _)| format!("{}:{task}", run.0)).collect()
    }

    fn state(&self, run: RunNumber, task: &str) -> TaskState {
        self.states[&(run.0, task.to_owned())]
    }
}

fn failed() -> Outcome {
    Outcome::Failed { reason: "exit status 1".to_owned(), exit_status: Some(1) }
}

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
    let cases: Vec<OracleRun> = serde_json::from_str(include_str!("oracle/run_states.json")).unwrap();
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
    // Waiting for the slot, it is looked at again at a time before its own.
    world.now -= 7_200.seconds();
    let selection = None;
    let request = RerunRequest { run, clear: Vec::new(), clear_all: false, backfill: None, selection };
    world.event(Event::Rerun(Box::new(request)));
    world.end(run, "c", Outcome::Success);
    assert_eq!(world.running, [(run, TaskId::new("b").unwrap(), 2)]);
}

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
    world.event(Event::Run(Box::new(input)));
    world.event(Event::Rerun(Box::new(RerunRequest {
        run: first,
        clear: vec![TaskId::new("a").unwrap()],
        clear_all: false,
        backfill: None,
        selection: None,
    })));
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
    world.event(Event::Mark {
        run: first,
        task: Some(TaskId::new("a").unwrap()),
        state: TaskState::Success,
        by: "me".to_owned(),
    });
    assert_eq!(world.names(), ["1:a", "1:b"], "no slot is free for the second run's `a`");
    world.event(Event::Rerun(Box::new(RerunRequest {
        run: first,
        clear: vec![TaskId::new("a").unwrap()],
        clear_all: false,
        backfill: None,
        selection: None,
    })));
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

/// The run after the failed one.
fn run_after_failed(world: &mut World) -> RunNumber {
    let mut input = world.input(day(1));
    let number = input.number;
    input.past = Past {
        logical_date: Some(day(0)),
        states: [("a", TaskState::Failed), ("b", TaskState::Success)]
            .map(|(task, state)| (TaskId::new(task).unwrap(), state))
            .into(),
    };
    world.event(Event::Run(Box::new(input)));
    number
}

/// Somebody clears `a` of a run that has ended with this state.
fn clear_ended(world: &mut World, run: RunNumber, date: Timestamp, backfill: Option<BackfillLimits>) {
    let mut input = world.input(date);
    input.number = run;
    input.state = RunState::Failed;
    input.is_awaited = true;
    input.plan = Some(Plan::new(world.dag.clone(), 1));
    input.tasks = vec![prior("a", TaskState::Failed, 1), prior("b", TaskState::Success, 1)];
    input.backfill = backfill;
    world.event(Event::Run(Box::new(input)));
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
fn the_patience_of_a_run_begins_anew_when_it_has_its_place_again() {
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
    let mut input = world.input(day(0));
    input.number = first;
    input.state = RunState::Failed;
    input.plan = Some(Plan::new(world.dag.clone(), 1));
    input.tasks = vec![PriorTask {
        task: TaskId::new("a").unwrap(),
        state: TaskState::Failed,
        tries: 1,
        max_tries: 1,
        next_try_at: None,
        reason: None,
        started_at: None,
        live: None,
    }];
    input.is_awaited = true;
    world.event(Event::Run(Box::new(input)));
    let task = Some(TaskId::new("a").unwrap());
    world.event(Event::Mark { run: first, task, state: TaskState::Success, by: "me".to_owned() });
    assert_eq!(world.running, [(second, TaskId::new("a").unwrap(), 1)]);
}

#[test]
fn marks_and_stops_reach_the_tasks_of_a_cleared_run_that_waits_to_start_again() {
    let mut limited = dag(vec![task("a"), task("b")], &[]);
    limited.max_active_runs = 1;
    let mut world = World::new(limited, 8);
    let first = world.run(day(0));
    world.end(first, "a", failed());
    world.end(first, "b", Outcome::Success);
    world.run(day(1));
    let prior = |id: &str, state| PriorTask {
        task: TaskId::new(id).unwrap(),
        state,
        tries: 1,
        max_tries: 1,
        next_try_at: None,
        reason: None,
        started_at: None,
        live: None,
    };
    let mut input = world.input(day(0));
    input.number = first;
    input.state = RunState::Failed;
    input.plan = Some(Plan::new(world.dag.clone(), 1));
    input.tasks = vec![prior("a", TaskState::Failed), prior("b", TaskState::Success)];
    input.is_awaited = true;
    world.event(Event::Run(Box::new(input)));
    let request = RerunRequest { run: first, clear: Vec::new(), clear_all: true, backfill: None, selection: None };
    world.event(Event::Rerun(Box::new(request)));
    assert_eq!(world.runs[&first.0].0, RunState::Queued);
    let task = Some(TaskId::new("a").unwrap());
    world.event(Event::Mark { run: first, task, state: TaskState::Success, by: "me".to_owned() });
    assert_eq!((world.state(first, "a"), world.state(first, "b")), (TaskState::Success, TaskState::None));
    world.event(Event::Stop { run: first, by: "me".to_owned() });
    assert_eq!((world.state(first, "a"), world.state(first, "b")), (TaskState::Success, TaskState::Skipped));
    assert_eq!(world.runs[&first.0].0, RunState::Failed);
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
fn a_task_cleared_while_it_runs_starts_again_only_when_its_processes_are_gone() {
    let mut world = World::new(dag(vec![task("a"), task("b")], &[(0, 1)]), 8);
    let run = world.run(day(0));
    world.event(Event::Rerun(Box::new(RerunRequest {
        run,
        clear: vec![TaskId::new("a").unwrap()],
        clear_all: false,
        backfill: None,
        selection: None,
    })));
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
        world.event(Event::Run(Box::new(input)));
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
    world.event(Event::Mark {
        run,
        task: Some(TaskId::new("a").unwrap()),
        state: TaskState::Success,
        by: "ann".to_owned(),
    });
    assert!(world.names().contains(&"1:b".to_owned()));
    world.end(run, "b", Outcome::Success);
    world.end(run, "c", Outcome::Success);
    assert_eq!(world.runs[&1].0, RunState::Success);
}

fn wait(id: &str, condition: Condition, soft_fail: bool) -> Task {
    let (every, for_at_most) = (Duration::from_secs(60), Duration::from_secs(150));
    Task { action: Action::Wait(Wait { condition, every, for_at_most, soft_fail }), ..task(id) }
}

fn file() -> Condition {
    Condition::File("_SUCCESS".to_owned())
}

fn not_yet() -> Look {
    Look::NotYet("file _SUCCESS".to_owned())
}

#[test]
fn a_sensor_looks_again_and_again_and_takes_no_slot() {
    let mut world = World::new(dag(vec![wait("w", file(), false), task("b"), task("other")], &[(0, 1)]), 1);
    let run = world.run(day(0));
    assert_eq!(world.names(), ["1:other"], "the only slot is not the sensor's");
    assert_eq!(world.state(run, "w"), TaskState::UpForReschedule);
    assert!(!world.engine.is_idle(), "a look is being taken");
    world.looked(not_yet());
    assert_eq!(world.engine.next_timer(), Some(world.now + 60.seconds()));
    world.pass(60);
    assert_eq!(world.looks.len(), 1);
    world.pass(60);
    assert_eq!(world.looks.len(), 1, "no second look while the first is being taken");
    world.end(run, "other", Outcome::Success);
    world.looked(Look::Found);
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
    assert!(world.looks.is_empty());
    world.event(Event::Limits(Limits { parallelism: 8, pools: BTreeMap::new() }));
    assert_eq!(world.looks, [(early, TaskId::new("a").unwrap(), 1)]);
    world.looked(Look::Found);
    assert_eq!(world.looks, [(late, TaskId::new("a").unwrap(), 1)]);
}

#[test]
fn the_patience_of_a_sensor_ends_with_a_last_look() {
    for (soft_fail, state, alerts) in [
        (false, TaskState::Failed, vec!["w failed", "run failed with 2 tasks"]),
        (true, TaskState::Skipped, Vec::new()),
    ] {
        let patient = Task { retries: 3, ..wait("w", file(), soft_fail) };
        let mut world = World::new(dag(vec![patient, task("b")], &[(0, 1)]), 1);
        let run = world.run(day(0));
        for seconds in [60, 60, 30] {
            world.looked(not_yet());
            assert_eq!(world.engine.next_timer(), Some(world.now + seconds.seconds()));
            world.pass(seconds);
        }
        world.looked(not_yet());
        assert_eq!(world.state(run, "w"), state, "there are no retries when the patience is over");
        assert_eq!(world.alerts, alerts);
        assert!(world.engine.is_idle() && !world.engine.knows(run));
    }
}

#[test]
fn a_look_that_fails_is_retried_and_the_patience_counts_anew() {
    let retried = Task { retries: 1, ..wait("w", file(), false) };
    let mut world = World::new(dag(vec![retried], &[]), 1);
    let run = world.run(day(0));
    world.looked(Look::Failed("permission denied".to_owned()));
    assert_eq!(world.state(run, "w"), TaskState::UpForRetry);
    world.pass(60);
    assert_eq!(world.looks[0].2, 2, "a new attempt");
    world.pass(140);
    world.looked(not_yet());
    assert_eq!(world.state(run, "w"), TaskState::UpForReschedule);
    world.pass(60);
    world.looked(Look::Failed("permission denied".to_owned()));
    assert_eq!(world.state(run, "w"), TaskState::Failed);
    assert_eq!(world.alerts, ["w retry 1", "w failed", "run failed with 1 tasks"]);
}

#[test]
fn a_look_that_needs_a_process_is_an_attempt_that_holds_its_slot_only_while_it_looks() {
    let command = Condition::Command("test -e x".to_owned());
    let mut world = World::new(dag(vec![wait("w", command, false), task("b"), task("other")], &[(0, 1)]), 1);
    let run = world.run(day(0));
    assert_eq!(world.names(), ["1:w"]);
    world.end(run, "w", failed());
    assert_eq!(world.state(run, "w"), TaskState::UpForReschedule);
    assert_eq!(world.names(), ["1:other"]);
    world.pass(60);
    assert_eq!(world.names(), ["1:other"], "the next look needs the slot too");
    world.end(run, "other", Outcome::Success);
    assert_eq!(world.running, [(run, TaskId::new("w").unwrap(), 1)], "still the first attempt");
    world.end(run, "w", Outcome::Success);
    assert_eq!(world.names(), ["1:b"]);
    assert!(world.alerts.is_empty());
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
fn a_sensor_that_is_stopped_cleared_or_marked_takes_no_notice_of_its_old_look() {
    let mut world = World::new(dag(vec![wait("w", file(), false), task("b")], &[(0, 1)]), 1);
    let run = world.run(day(0));
    let request =
        RerunRequest { run, clear: vec![TaskId::new("w").unwrap()], clear_all: false, backfill: None, selection: None };
    world.event(Event::Rerun(Box::new(request)));
    assert_eq!(world.looks.len(), 2, "the wait begins anew");
    world.looked(Look::Found);
    assert_eq!(world.state(run, "w"), TaskState::UpForReschedule, "that was the old look");
    world.looked(not_yet());
    world.event(Event::Stop { run, by: "ann".to_owned() });
    assert_eq!((world.state(run, "w"), world.state(run, "b")), (TaskState::Failed, TaskState::Skipped));
    world.pass(600);
    assert!(world.looks.is_empty() && world.engine.is_idle());
}

#[test]
fn a_new_driver_goes_on_waiting_with_the_patience_that_is_left() {
    for (condition, due) in [(file(), false), (Condition::Command("false".to_owned()), true)] {
        let waiting = wait("w", condition, false);
        let mut world = World::new(dag(vec![waiting], &[]), 1);
        let mut input = world.input(day(0));
        let run = input.number;
        input.state = RunState::Running;
        input.plan = Some(Plan::new(world.dag.clone(), 1));
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
        world.event(Event::Run(Box::new(input)));
        if due {
            world.end(run, "w", failed());
        } else {
            world.looked(not_yet());
        }
        assert_eq!(world.engine.next_timer(), Some(at(10)));
    }
}

fn clear(run: RunNumber, task: &str) -> Event {
    let clear = vec![TaskId::new(task).unwrap()];
    Event::Rerun(Box::new(RerunRequest { run, clear, clear_all: false, backfill: None, selection: None }))
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
fn a_run_of_a_held_backfill_or_of_an_unknown_dag_waits_in_its_queue() {
    let limits = BackfillLimits { backfill: 7, max_active_runs: Some(2), is_reverse: false };
    let mut world = World::new(dag(vec![task("a")], &[]), 8);
    world.event(Event::HoldBackfill { backfill: 7, hold: true });
    let mut input = world.input(day(0));
    input.backfill = Some(limits);
    world.event(Event::Run(Box::new(input.clone())));
    assert!(world.runs.is_empty() && world.running.is_empty());
    world.event(Event::HoldBackfill { backfill: 7, hold: false });
    assert_eq!(world.names(), ["1:a"]);

    // Its plan comes later: until then the DAG's file did not fit crondag.toml.
    let mut world = World::new(dag(vec![task("a")], &[]), 8);
    world.engine = Engine::new();
    world.event(Event::Limits(Limits { parallelism: 8, pools: BTreeMap::new() }));
    world.event(Event::Run(Box::new(input)));
    assert!(world.runs.is_empty() && world.running.is_empty());
    world.event(Event::Plan(Plan::new(world.dag.clone(), 1)));
    assert_eq!(world.names(), ["1:a"]);
}

#[test]
fn an_ended_run_that_is_forgotten_is_no_longer_anybodys_past() {
    let tasks = vec![Task { depends_on_past: true, ..task("a") }];
    let mut world = World::new(dag(tasks, &[]), 8);
    let mut input = world.input(day(1));
    let forgotten = input.number;
    input.state = RunState::Failed;
    input.is_awaited = true;
    world.event(Event::Run(Box::new(input)));
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
    world.event(Event::Run(Box::new(input)));
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
    world.event(Event::Run(Box::new(input)));
    assert_eq!(world.names(), ["1:a", "2:a"]);
    world.run(day(2));
    world.end(manual, "a", failed());
    assert_eq!(world.names(), ["1:a"]);
    world.end(first, "a", Outcome::Success);
    assert_eq!(world.names(), ["3:a"]);
}

fn prior(id: &str, state: TaskState, tries: u32) -> PriorTask {
    PriorTask {
        task: TaskId::new(id).unwrap(),
        state,
        tries,
        max_tries: tries,
        next_try_at: None,
        reason: None,
        started_at: None,
        live: None,
    }
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
    let mut input = world.input(day(0));
    let first = input.number;
    input.state = RunState::Failed;
    input.plan = Some(Plan::new(world.dag.clone(), 1));
    input.tasks = vec![PriorTask { live: Some(2), ..prior("a", TaskState::Failed, 2) }];
    input.is_awaited = true;
    world.event(Event::Run(Box::new(input)));
    let request = RerunRequest { run: first, clear: Vec::new(), clear_all: true, backfill: None, selection: None };
    world.event(Event::Rerun(Box::new(request)));
    world.event(Event::AttemptEnded { run: first, task: TaskId::new("a").unwrap(), try_number: 2, outcome: failed() });
    world.end(second, "a", Outcome::Success);
    assert_eq!(world.running, [(first, TaskId::new("a").unwrap(), 3)]);
    world.end(first, "a", failed());
    assert_eq!(world.state(first, "a"), TaskState::UpForRetry, "the third attempt of four");
}

#[test]
fn an_old_attempt_keeps_its_slot_while_its_cleared_run_waits_to_begin_again() {
    let mut limited = dag(vec![task("a"), task("b")], &[]);
    limited.max_active_runs = 1;
    let mut world = World::new(limited, 2);
    let mut input = world.input(day(0));
    let first = input.number;
    input.state = RunState::Failed;
    input.plan = Some(Plan::new(world.dag.clone(), 1));
    input.tasks = vec![PriorTask { live: Some(1), ..prior("a", TaskState::Failed, 1) }];
    input.is_awaited = true;
    world.event(Event::Run(Box::new(input)));
    world.run(day(1));
    assert_eq!(world.names(), ["2:a"]);
    let request = RerunRequest { run: first, clear: Vec::new(), clear_all: true, backfill: None, selection: None };
    world.event(Event::Rerun(Box::new(request)));
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
        input.plan = is_known.then(|| Plan::new(world.dag.clone(), 1));
        input.tasks = vec![PriorTask { live: Some(1), ..prior(old, TaskState::None, 1) }];
        world.event(Event::Run(Box::new(input)));
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
    world.event(Event::Run(Box::new(input)));
    assert_eq!((world.runs[&1].0, world.names()), (RunState::Running, Vec::new()));
    world.event(Event::AttemptEnded { run, task: TaskId::new("gone").unwrap(), try_number: 1, outcome: failed() });
    world.end(run, "a", Outcome::Success);
    assert!(world.engine.is_idle() && !world.engine.knows(run), "nothing is left over");
}

#[test]
fn a_cleared_run_has_the_retries_of_the_version_with_which_it_begins_again() {
    let mut limited = dag(vec![task("a")], &[]);
    limited.max_active_runs = 1;
    let mut world = World::new(limited.clone(), 8);
    let second = world.run(day(1));
    let mut input = world.input(day(0));
    let first = input.number;
    input.state = RunState::Failed;
    input.plan = Some(Plan::new(world.dag.clone(), 1));
    input.tasks = vec![prior("a", TaskState::Failed, 3)];
    input.is_awaited = true;
    world.event(Event::Run(Box::new(input)));
    let request = RerunRequest { run: first, clear: Vec::new(), clear_all: true, backfill: None, selection: None };
    world.event(Event::Rerun(Box::new(request)));
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
    world.event(Event::Run(Box::new(input.clone())));
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
    input.plan = Some(Plan::new(world.dag.clone(), 1));
    input.tasks = vec![prior("a", TaskState::Success, 1)];
    input.is_awaited = true;
    world.event(Event::Run(Box::new(input)));
    let clear = vec![TaskId::new("a").unwrap()];
    let request = RerunRequest { run, clear, clear_all: false, backfill: None, selection: None };
    world.event(Event::Rerun(Box::new(request)));
    assert_eq!(world.states.get(&(run.0, "b".to_owned())), Some(&TaskState::None), "it is recorded");
    world.end(run, "a", Outcome::Success);
    world.end(run, "b", Outcome::Success);
    assert_eq!(world.runs[&run.0].0, RunState::Success);
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
fn a_run_that_a_new_driver_takes_up_counts_and_its_retry_keeps_its_time() {
    let mut limited = dag(vec![Task { retries: 1, ..task("a") }], &[]);
    limited.max_active_runs = 1;
    let mut world = World::new(limited, 8);
    let mut input = world.input(day(0));
    input.state = RunState::Running;
    input.plan = Some(Plan::new(world.dag.clone(), 1));
    let waiting = prior("a", TaskState::UpForRetry, 1);
    input.tasks = vec![PriorTask { max_tries: 2, next_try_at: Some(at(30)), ..waiting }];
    world.event(Event::Run(Box::new(input)));
    world.run(day(1));
    assert!(world.running.is_empty());
    assert_eq!(world.engine.next_timer(), Some(at(30)));
    world.pass(30);
    assert_eq!(world.names(), ["1:a"]);
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
    world.event(Event::Run(Box::new(input)));
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
