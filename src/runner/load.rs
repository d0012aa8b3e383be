//! From what the store has to what the engine takes in.
//!
//! The driver loads what is new into its engine; whoever wants to know why something does not start loads everything into an
//! engine of his own and asks that. It is not part of the engine, which knows nothing of a store.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use super::catalog;
use super::engine::{BackfillLimits, Binding, Engine, Event, Limits, Past, Plan, PriorTask, RunInput};
use crate::dag::{Config, DagId, RunNumber, RunState, RunType, TaskId, TaskState};
use crate::store::{Attempt, RunRow, Store, StoreError, TaskInstance, UnfinishedRun};

/// Reads runs for an engine, and remembers which DAG versions it has read and handed over.
#[derive(Debug, Default)]
pub struct Loader {
    plans: HashMap<i64, Plan>,
    /// The newest version of each DAG that the engine has.
    newest: HashMap<DagId, i64>,
}

/// What was loaded. Nothing of it counts before the events are given to the engine, in their order.
#[derive(Debug, Default)]
pub struct Loaded {
    /// For the engine.
    pub events: Vec<Event>,
    /// The rows of the runs among them.
    pub rows: Vec<RunRow>,
    /// What could not be read.
    pub faults: Vec<LoadFault>,
}

/// A stored DAG file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadFault {
    /// The newest version of a DAG: its new runs wait.
    Dag {
        dag_id: DagId,
        /// What is wrong, with file and line.
        reason: String,
    },
    /// The version with which a run began.
    Run {
        dag_id: DagId,
        run_id: String,
        /// What is wrong, with file and line.
        reason: String,
    },
}

impl Loader {
    /// Settings have changed: every version is read again, since it is read with them.
    pub fn forget_plans(&mut self) {
        *self = Loader::default();
    }

    /// A version of a DAG file, or what is wrong with it.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn plan(&mut self, store: &Store, config: &Config, version: i64) -> Result<Result<Plan, String>, StoreError> {
        if let Some(plan) = self.plans.get(&version) {
            return Ok(Ok(plan.clone()));
        }
        let Some(stored) = store.version(version)? else {
            return Ok(Err(format!("version {version} of its DAG file is missing from the database")));
        };
        Ok(match catalog::load_version(stored.dag_id.as_str(), &stored.text, config) {
            Ok(dag) => {
                let plan = Plan::new(dag, version);
                self.plans.insert(version, plan.clone());
                Ok(plan)
            }
            Err(file) => Err(file.summary()),
        })
    }

    /// The newest good version of each of these DAGs, as far as the engine does not have it.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn newest_plans<'a>(
        &mut self,
        store: &Store,
        config: &Config,
        dags: impl IntoIterator<Item = &'a DagId>,
    ) -> Result<Loaded, StoreError> {
        let mut loaded = Loaded::default();
        let mut newest = Vec::new();
        for dag_id in dags {
            let Some(version) = store.dag(dag_id)?.and_then(|row| row.version_id) else { continue };
            match self.plan(store, config, version)? {
                Ok(_) if self.newest.get(dag_id) == Some(&version) => {}
                Ok(plan) => {
                    newest.push((dag_id.clone(), version));
                    loaded.events.push(Event::Plan(plan));
                }
                Err(reason) => loaded.faults.push(LoadFault::Dag { dag_id: dag_id.clone(), reason }),
            }
        }
        // Only now: a failure half-way must not lose what was read before it.
        self.newest.extend(newest);
        Ok(loaded)
    }

    /// Makes runs known to an engine: their DAGs' newest versions, the interrupted ones among their backfills, and the runs
    /// with the attempts that may live. `is_known` says which runs the engine knows; all that has ended there must be committed.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn runs(
        &mut self,
        store: &Store,
        config: &Config,
        unfinished: Vec<UnfinishedRun>,
        attempts: &[Attempt],
        is_known: impl Fn(RunNumber) -> bool,
    ) -> Result<Loaded, StoreError> {
        self.load(store, config, unfinished, attempts, is_known, false)
    }

    /// Makes a run known although it may have ended: an event about it follows.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn awaited_run(
        &mut self,
        store: &Store,
        config: &Config,
        number: RunNumber,
        is_known: impl Fn(RunNumber) -> bool,
    ) -> Result<Loaded, StoreError> {
        let Some(run) = store.run(number)? else { return Ok(Loaded::default()) };
        let tasks = store.task_instances(number)?;
        self.load(store, config, vec![UnfinishedRun { run, tasks }], &[], is_known, true)
    }

    fn load(
        &mut self,
        store: &Store,
        config: &Config,
        unfinished: Vec<UnfinishedRun>,
        attempts: &[Attempt],
        is_known: impl Fn(RunNumber) -> bool,
        is_awaited: bool,
    ) -> Result<Loaded, StoreError> {
        let mut live: HashMap<RunNumber, Vec<&Attempt>> = HashMap::new();
        for attempt in attempts {
            live.entry(attempt.run).or_default().push(attempt);
        }
        let here: HashSet<RunNumber> = unfinished.iter().map(|unfinished| unfinished.run.number).collect();
        let tells_its_end = |number: RunNumber| here.contains(&number) || is_known(number);
        let mut inputs = Vec::with_capacity(unfinished.len());
        let mut held = Vec::new();
        let mut rows = Vec::with_capacity(unfinished.len());
        let mut faults = Vec::new();
        for UnfinishedRun { run, tasks } in unfinished {
            let attempts = live.get(&run.number).map_or(&[][..], Vec::as_slice);
            let plan = match self.binding(store, config, &run, !attempts.is_empty())? {
                Binding::Unreadable(reason) => {
                    let (dag_id, run_id) = (run.dag_id.clone(), run.run_id.clone());
                    faults.push(LoadFault::Run { dag_id, run_id, reason: reason.clone() });
                    if run.state.is_final() {
                        continue;
                    }
                    Binding::Unreadable(format!("its stored DAG file does not fit crondag.toml any more: {reason}"))
                }
                binding @ (Binding::Newest | Binding::To(_)) => binding,
            };
            let backfill = backfill_limits(store, run.backfill_id)?;
            if let Some((limits, true)) = backfill {
                held.push(Event::HoldBackfill { backfill: limits.backfill, hold: true });
            }
            inputs.push(RunInput {
                number: run.number,
                dag_id: run.dag_id.clone(),
                run_type: run.run_type,
                interval: run.interval(),
                state: run.state,
                started_at: run.start_date,
                backfill: backfill.map(|(limits, _)| limits),
                selection: run.selection.clone(),
                plan,
                tasks: tasks.into_iter().map(|task| prior_task(task, attempts)).collect(),
                past: past(store, &run, &tells_its_end)?,
                is_awaited,
                is_reopened: run.is_reopened,
            });
            rows.push(run);
        }
        let mut dags: Vec<&DagId> = rows.iter().map(|run| &run.dag_id).collect();
        dags.sort_unstable();
        dags.dedup();
        let mut loaded = self.newest_plans(store, config, dags)?;
        loaded.faults.extend(faults);
        loaded.events.extend(held);
        if !inputs.is_empty() {
            loaded.events.push(Event::Runs(inputs));
        }
        loaded.rows = rows;
        Ok(loaded)
    }

    fn binding(
        &mut self,
        store: &Store,
        config: &Config,
        run: &RunRow,
        has_attempts: bool,
    ) -> Result<Binding, StoreError> {
        // One that was cleared and waits to begin again will use the newest, but its old attempts may live. One that gave way
        // has begun, and stays bound to its version.
        let is_bound = run.state != RunState::Queued || run.start_date.is_some() || has_attempts;
        let Some(version) = run.version_id.filter(|_| is_bound) else { return Ok(Binding::Newest) };
        Ok(match self.plan(store, config, version)? {
            Ok(plan) => Binding::To(plan),
            // It has not begun, or begins again: any version will do that can be read.
            Err(_) if run.state == RunState::Queued => Binding::Newest,
            Err(reason) => Binding::Unreadable(reason),
        })
    }
}

/// Everything that has not ended, with the attempts that may live. A run may have ended while an attempt of it is still being
/// stopped.
///
/// # Errors
/// The database cannot be read.
pub fn unfinished(store: &Store) -> Result<(Vec<UnfinishedRun>, Vec<Attempt>), StoreError> {
    let attempts = store.open_attempts()?;
    let mut runs = store.unfinished_runs()?;
    let mut known: HashSet<RunNumber> = runs.iter().map(|unfinished| unfinished.run.number).collect();
    for attempt in &attempts {
        if known.insert(attempt.run)
            && let Some(run) = store.run(attempt.run)?
        {
            let tasks = store.task_instances(attempt.run)?;
            runs.push(UnfinishedRun { run, tasks });
        }
    }
    Ok((runs, attempts))
}

/// The engine as a driver that takes everything up at `now` would have it after its first step. Nothing of what that step
/// decided is recorded or done: it is there to be asked ([`Engine::why`]).
///
/// # Errors
/// The database cannot be read.
pub fn engine(store: &Store, config: &Config, now: Timestamp) -> Result<Engine, StoreError> {
    let (runs, attempts) = unfinished(store)?;
    let loaded = Loader::default().runs(store, config, runs, &attempts, |_| false)?;
    let mut engine = Engine::new();
    for event in loaded.events {
        engine.step(event, now);
    }
    engine.step(Event::Limits(Limits { parallelism: config.parallelism, pools: config.pools.clone() }), now);
    Ok(engine)
}

/// What a backfill says about its runs, and whether it is interrupted.
///
/// # Errors
/// The database cannot be read.
pub fn backfill_limits(store: &Store, backfill: Option<i64>) -> Result<Option<(BackfillLimits, bool)>, StoreError> {
    let Some(id) = backfill else { return Ok(None) };
    Ok(store.backfill(id)?.map(|row| {
        let limits = BackfillLimits { backfill: id, max_active_runs: row.max_active_runs, is_reverse: row.is_reverse };
        (limits, row.is_held)
    }))
}

fn prior_task(task: TaskInstance, attempts: &[&Attempt]) -> PriorTask {
    let of_task = attempts.iter().filter(|attempt| attempt.task_id == task.task_id);
    PriorTask {
        live: of_task.map(|attempt| attempt.try_number).max(),
        task: task.task_id,
        state: task.state,
        tries: task.try_number,
        max_tries: task.max_tries,
        next_try_at: task.next_try_at,
        reason: task.reason,
        started_at: task.start_date,
    }
}

/// How the run before this one stands. Whatever its file says now: the run may be bound to another version, or its file be
/// edited before it starts.
fn past(store: &Store, run: &RunRow, tells_its_end: &dyn Fn(RunNumber) -> bool) -> Result<Past, StoreError> {
    if run.run_type == RunType::Manual {
        return Ok(Past::default());
    }
    let Some(before) = store.run_before(&run.dag_id, run.interval())? else { return Ok(Past::default()) };
    let has_ended = before.state.is_final();
    // The engine hears of its end, unless it has ended and is known only for an attempt that still lives.
    if !has_ended && tells_its_end(before.number) {
        return Ok(Past::default());
    }
    // What an ended run has not begun, its version does not have any more.
    let states: std::collections::BTreeMap<TaskId, TaskState> = store
        .task_instances(before.number)?
        .into_iter()
        .filter(|task| !(has_ended && task.state == TaskState::None))
        .map(|task| (task.task_id, task.state))
        .collect();
    Ok(Past { interval: Some(before.interval()), states })
}
