//! The engine: decides what happens next. `(state, event) -> (state, effects)`, and nothing else.
//!
//! It reads no clock, no file and no database, starts no process and imports only `dag`, so that a simulated clock and
//! simulated processes can drive it. Readiness is event-driven: an event costs what its edges cost, never a scan of all
//! tasks. The driver commits the transitions of a step before it carries out the step's starts and stops.
//!
//! Two things are kept apart on purpose: a task instance's *state*, and whether an attempt of it still has live
//! processes. A task that was cleared, marked or stopped changes its state at once, but no new attempt starts and no
//! slot is freed before the old attempt is really gone.

mod input;
mod message;
mod overlap;
mod past;
mod recorded;
mod requests;
mod run;
mod runs;
mod slots;
mod standstill;
mod step;
mod tasks;
mod timers;
mod turns;
mod wait;
mod why;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

pub use input::{BackfillLimits, Binding, Past, Plan, PriorTask, RunInput};
pub use message::{Alert, AlertKind, Effect, Event, Outcome, PollResult, RerunRequest, Start, TaskReport};
pub use recorded::recorded;
pub use slots::Limits;
pub use standstill::Standstill;
pub(crate) use timers::due_at;
pub use why::{Blocker, Holder};

use crate::dag::schedule::Succession;
use crate::dag::{DagId, RunNumber, RunState, TaskId, TaskState};
use run::Run;
use slots::{Lanes, Slots};
use step::Step;
use turns::Turns;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Task(usize),
    RunTimeout,
}

/// The state of everything that has not ended.
#[derive(Debug, Default)]
pub struct Engine {
    plans: BTreeMap<DagId, Plan>,
    runs: BTreeMap<RunNumber, Run>,
    /// Interval runs that have not ended, in the order in which `depends_on_past` takes them.
    by_interval: BTreeMap<DagId, BTreeMap<Succession, RunNumber>>,
    held: BTreeSet<i64>,
    /// Runs of which a task could start but for `depends_on_past`. Some may have found their past meanwhile.
    waiting_for_past: BTreeSet<RunNumber>,
    lanes: Lanes,
    slots: Slots,
    turns: Turns,
    timers: BTreeSet<(Timestamp, RunNumber, Timer)>,
    /// Polls that the driver is about: run, task, attempt.
    polls: BTreeSet<(RunNumber, TaskId, u32)>,
    /// The limits are known, and with them all that lives.
    knows_all: bool,
    /// What time it was at the last step.
    stepped_at: Option<Timestamp>,
    /// Tasks that could have begun to wait before that.
    too_early: Vec<(RunNumber, usize)>,
}

impl Engine {
    /// An engine that knows nothing yet. It starts no attempt and no wait before it is given [`Event::Limits`]: first it must
    /// learn of all that live, and of the past of each run.
    pub fn new() -> Engine {
        Engine::default()
    }

    /// Takes one event in and says what follows.
    pub fn step(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        let mut step = Step { now, effects: Vec::new(), touched: VecDeque::new() };
        self.believe_clock(now);
        match event {
            Event::TimePassed => {}
            Event::Limits(limits) => {
                self.slots.set_limits(limits);
                self.knows_all = true;
                step.touched.extend(self.too_early.drain(..));
            }
            Event::Plan(plan) => {
                self.lanes.set_dag_limit(&plan.dag.id, plan.dag.max_active_runs);
                self.turns.changed(&plan.dag.id);
                self.plans.insert(plan.dag.id.clone(), plan);
            }
            Event::Runs(inputs) => self.take_runs(inputs, &mut step),
            Event::AttemptEnded { run, task, try_number, outcome } => {
                self.attempt_ended(run, &task, try_number, outcome, &mut step);
            }
            Event::Polled { run, task, try_number, result } => self.polled(run, &task, try_number, result, &mut step),
            Event::Rerun(request) => self.rerun(*request, &mut step),
            Event::Mark { run, task, state, by } => self.mark(run, task.as_ref(), state, &by, &mut step),
            Event::Stop { run, by } => {
                self.end_early(run, &format!("stopped by {by}"), TaskState::Failed, RunState::Failed, &mut step);
            }
            Event::HoldBackfill { backfill, hold } => self.hold(backfill, hold, &mut step),
            Event::StopBackfill { backfill } => self.stop_backfill(backfill, &mut step),
        }
        self.fire_timers(&mut step);
        self.settle(&mut step);
        self.start_queued_runs(&mut step);
        self.settle(&mut step);
        while self.take_turns(&mut step) {
            self.start_queued_runs(&mut step);
            self.settle(&mut step);
        }
        self.dispatch(&mut step);
        step.effects
    }

    /// When [`Event::TimePassed`] is due next.
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, ..)| *at)
    }

    /// Whether nothing is alive, ready or timed: only a new event can move anything.
    pub fn is_idle(&self) -> bool {
        self.slots.is_free() && self.timers.is_empty() && self.polls.is_empty()
    }

    /// Whether the engine knows this run.
    pub fn knows(&self, run: RunNumber) -> bool {
        self.runs.contains_key(&run)
    }

    /// The DAGs of all runs that have not ended.
    pub fn dags(&self) -> BTreeSet<DagId> {
        self.runs.values().map(|run| run.dag_id.clone()).collect()
    }

    /// Number of attempts with live processes.
    pub fn live_attempts(&self) -> u32 {
        self.slots.running()
    }

    /// Evaluates touched tasks until nothing changes any more.
    fn settle(&mut self, step: &mut Step) {
        while let Some((number, index)) = step.touched.pop_front() {
            self.act_on(number, index, step);
        }
    }
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    jiff::SignedDuration::try_from(by).ok().and_then(|by| at.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}
