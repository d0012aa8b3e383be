//! The engine with a world around it that records what it says, as the store would.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crondag::dag::schedule::DataInterval;
use crondag::dag::{
    Action, Dag, DagId, Graph, Overlap, ProcessSettings, RunNumber, RunState, RunType, Shell, Task, TaskId, TaskState,
    Transition, TriggerRule,
};
use crondag::runner::engine::{
    AlertKind, Binding, Effect, Engine, Event, Limits, Outcome, Past, Plan, PollResult, PriorTask, RerunRequest,
    RunInput,
};
use jiff::{Timestamp, ToSpan, tz::TimeZone};

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000_000 + seconds).unwrap()
}

pub fn day(number: i64) -> Timestamp {
    at(0) + (24 * number).hours()
}

pub fn task(id: &str) -> Task {
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
        leave_processes: false,
        process: ProcessSettings::default(),
        pool: None,
        pool_slots: 1,
        priority: 0,
        env: BTreeMap::new(),
        shell_options: None,
        working_dir: None,
        email: Vec::new(),
        email_on_failure: true,
        email_on_retry: false,
        email_on_success: false,
    }
}

pub fn dag(tasks: Vec<Task>, edges: &[(usize, usize)]) -> Dag {
    Dag {
        id: DagId::new("d").unwrap(),
        description: None,
        owner: None,
        tags: Vec::new(),
        schedule: None,
        timezone: TimeZone::UTC,
        start_date: None,
        end_date: None,
        catchup: true,
        jitter: None,
        max_active_runs: 16,
        overlap: Overlap::Allow,
        max_active_tasks: 1_000,
        run_timeout: None,
        params: BTreeMap::new(),
        env: BTreeMap::new(),
        graph: Graph::new(tasks.len(), edges.iter().copied()).unwrap(),
        tasks,
    }
}

/// The engine with a world around it that records what it says, as the store would.
pub struct World {
    pub engine: Engine,
    pub dag: Arc<Dag>,
    pub now: Timestamp,
    pub running: Vec<(RunNumber, TaskId, u32)>,
    pub stopped: Vec<(RunNumber, TaskId, u32)>,
    /// Polls that the engine has asked for.
    pub polls: Vec<(RunNumber, TaskId, u32)>,
    pub states: BTreeMap<(i64, String), TaskState>,
    pub runs: BTreeMap<i64, (RunState, Option<String>)>,
    pub alerts: Vec<String>,
    /// All that the engine has recorded.
    pub journal: Vec<Transition>,
    /// When each attempt has to end, in the order in which they started.
    pub ends_by: Vec<Option<Timestamp>>,
    pub next_run: i64,
}

impl World {
    pub fn new(dag: Dag, parallelism: u32) -> World {
        World::with_pools(dag, parallelism, &[])
    }

    pub fn with_pools(dag: Dag, parallelism: u32, pools: &[(&str, u32)]) -> World {
        let dag = Arc::new(dag);
        let mut world = World {
            engine: Engine::new(),
            dag: dag.clone(),
            now: at(0),
            running: Vec::new(),
            stopped: Vec::new(),
            polls: Vec::new(),
            ends_by: Vec::new(),
            states: BTreeMap::new(),
            runs: BTreeMap::new(),
            alerts: Vec::new(),
            journal: Vec::new(),
            next_run: 1,
        };
        let pools = pools.iter().map(|(name, slots)| ((*name).to_owned(), *slots)).collect();
        world.event(Event::Limits(Limits { parallelism, pools }));
        world.event(Event::Plan(Plan::new(dag, 1)));
        world
    }

    pub fn event(&mut self, event: Event) {
        for effect in self.engine.step(event, self.now) {
            match effect {
                Effect::Record(transition) => self.record(&transition),
                Effect::Start(start) => {
                    let task = self.dag.tasks[start.task].id.clone();
                    assert!(
                        !self.running.iter().any(|(run, id, _)| *run == start.run && *id == task),
                        "{task} of run {} starts while an attempt lives",
                        start.run.0
                    );
                    self.running.push((start.run, task, start.try_number));
                    self.ends_by.push(start.ends_by);
                }
                Effect::Poll(start) => {
                    self.polls.push((start.run, self.dag.tasks[start.task].id.clone(), start.try_number));
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
        self.journal.push(transition.clone());
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
            Transition::RunCancelled { reason, .. } => {
                self.runs.insert(run, (RunState::Failed, Some(reason.clone())));
            }
            Transition::RunReopened { .. } | Transition::RunGaveWay { .. } => {
                self.runs.insert(run, (RunState::Queued, None));
            }
            Transition::TaskStarted { task, .. } => {
                self.states.insert((run, task.to_string()), TaskState::Running);
            }
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

    pub fn input(&mut self, date: Timestamp) -> RunInput {
        let number = RunNumber(self.next_run);
        self.next_run += 1;
        RunInput {
            number,
            dag_id: self.dag.id.clone(),
            run_type: RunType::Scheduled,
            interval: DataInterval { start: date, end: date + 24.hours() },
            state: RunState::Queued,
            started_at: None,
            backfill: None,
            selection: None,
            plan: Binding::Newest,
            tasks: Vec::new(),
            past: Past::default(),
            is_awaited: false,
            is_reopened: false,
        }
    }

    pub fn run(&mut self, date: Timestamp) -> RunNumber {
        let input = self.input(date);
        let number = input.number;
        self.event(Event::Runs(vec![input]));
        number
    }

    pub fn end(&mut self, run: RunNumber, task: &str, outcome: Outcome) {
        let position = self
            .running
            .iter()
            .position(|(number, id, _)| *number == run && id.as_str() == task)
            .unwrap_or_else(|| panic!("{task} of run {} does not run; running: {:?}", run.0, self.running));
        let (run, task, try_number) = self.running.remove(position);
        self.event(Event::AttemptEnded { run, task, try_number, outcome });
    }

    pub fn polled(&mut self, result: PollResult) {
        let (run, task, try_number) = self.polls.remove(0);
        self.event(Event::Polled { run, task, try_number, result });
    }

    pub fn pass(&mut self, seconds: i64) {
        self.now += seconds.seconds();
        self.event(Event::TimePassed);
    }

    pub fn names(&self) -> Vec<String> {
        self.running.iter().map(|(run, task, _)| format!("{}:{task}", run.0)).collect()
    }

    /// The run as it stands in the store after it has failed or succeeded: somebody is about to ask something of it.
    pub fn take_up(&mut self, run: RunNumber, date: Timestamp, state: RunState, tasks: Vec<PriorTask>) {
        let plan = Binding::To(Plan::new(self.dag.clone(), 1));
        let input = RunInput { number: run, state, plan, tasks, is_awaited: true, ..self.input(date) };
        self.next_run -= 1;
        self.event(Event::Runs(vec![input]));
    }

    pub fn reason(&self, run: RunNumber, task: &str) -> String {
        let said = self.journal.iter().rev().find_map(|transition| match transition {
            Transition::TaskEnded { run: of, task: id, reason, .. } if *of == run && id.as_str() == task => {
                Some(reason)
            }
            _ => None,
        });
        said.unwrap().clone().unwrap_or_default()
    }

    pub fn state(&self, run: RunNumber, task: &str) -> TaskState {
        self.states[&(run.0, task.to_owned())]
    }
}

pub fn failed() -> Outcome {
    Outcome::Failed { reason: "exit status 1".to_owned(), exit_status: Some(1) }
}

pub fn clear(run: RunNumber, task: &str) -> Event {
    let clear = vec![TaskId::new(task).unwrap()];
    Event::Rerun(Box::new(RerunRequest { run, clear, clear_all: false, backfill: None, selection: None }))
}

pub fn prior(id: &str, state: TaskState, tries: u32) -> PriorTask {
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

pub fn clear_all(run: RunNumber) -> Event {
    let clear = Vec::new();
    Event::Rerun(Box::new(RerunRequest { run, clear, clear_all: true, backfill: None, selection: None }))
}

pub fn mark(run: RunNumber, task: &str, state: TaskState) -> Event {
    Event::Mark { run, task: Some(TaskId::new(task).unwrap()), state, by: "ann".to_owned() }
}
