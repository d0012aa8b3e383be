//! What the database asks for: runs to take up, attempts to adopt, intents to carry out.

use std::collections::HashMap;

use super::line::{Happening, Line};
use super::{Driver, Host, Item};
use crate::dag::{DagId, RunNumber, RunState, RunType, TaskId, TaskState, Transition};
use crate::runner::catalog;
use crate::runner::engine::{BackfillLimits, Event, Past, Plan, PriorTask, RerunRequest, RunInput};
use crate::store::{Attempt, Intent, IntentRow, Rerun, RunRow, StoreError, TaskInstance, UnfinishedRun};

impl<H: Host> Driver<H> {
    /// Takes up everything that has not ended, and adopts the attempts that may still live.
    pub(super) fn read_all(&mut self) -> Result<(), StoreError> {
        let attempts = self.store.open_attempts()?;
        let tokens: Vec<&str> = attempts.iter().map(|attempt| attempt.token.as_str()).collect();
        self.host.take_over(&tokens);
        let mut by_run: HashMap<RunNumber, Vec<Attempt>> = HashMap::new();
        for attempt in attempts {
            by_run.entry(attempt.run).or_default().push(attempt);
        }
        self.loaded_until = self.store.last_run()?;
        let mut runs = self.store.unfinished_runs()?;
        // A run may have been ended while an attempt of it is still being stopped.
        for number in by_run.keys() {
            if !runs.iter().any(|unfinished| unfinished.run.number == *number)
                && let Some(run) = self.store.run(*number)?
            {
                let tasks = self.store.task_instances(*number)?;
                runs.push(UnfinishedRun { run, tasks });
            }
        }
        // Those that run first: queued ones must not start before `max_active_runs` counts them.
        runs.sort_by_key(|UnfinishedRun { run, .. }| (run.state == RunState::Queued, run.logical_date, run.number));
        for UnfinishedRun { run, tasks } in runs {
            let attempts = by_run.remove(&run.number).unwrap_or_default();
            self.take_run(run, tasks, &attempts, false)?;
            for attempt in attempts {
                let key = (attempt.run, attempt.task_id, attempt.try_number);
                self.adopt(&key, attempt.token, attempt.log_file, attempt.started_at);
            }
        }
        self.next_mail_at = self.store.next_mail_at()?;
        self.read_intents()?;
        // The engine must know the live attempts before it is asked to stop those that should not live.
        self.settle();
        let mut live: Vec<_> = self.live.keys().cloned().collect();
        live.sort();
        for key in live {
            let is_wanted = self
                .store
                .task_instances(key.0)?
                .iter()
                .any(|task| task.task_id == key.1 && task.state == TaskState::Running && task.try_number == key.2);
            if !is_wanted {
                self.stop(&key);
            }
        }
        Ok(())
    }

    /// Reads what clients have committed since the last look.
    pub(super) fn read_requests(&mut self) -> Result<(), StoreError> {
        self.refresh_plans()?;
        let newest = self.store.last_run()?;
        if newest > self.loaded_until {
            for UnfinishedRun { run, tasks } in self.store.unfinished_runs_after(self.loaded_until)? {
                self.take_run(run, tasks, &[], false)?;
            }
            self.loaded_until = newest;
        }
        self.look_for_mail()?;
        self.read_intents()
    }

    /// Checks and reports write mail themselves.
    pub(super) fn look_for_mail(&mut self) -> Result<(), StoreError> {
        if !self.is_mailing {
            self.next_mail_at = self.store.next_mail_at()?;
        }
        Ok(())
    }

    fn read_intents(&mut self) -> Result<(), StoreError> {
        for IntentRow { id, intent } in self.store.intents()? {
            // Read again after a failure half-way, an intent must not be carried out twice.
            if self.items.iter().any(|item| matches!(item, Item::IntentDone(done) if *done == id)) {
                continue;
            }
            // A run that has just ended is read from the database again, where it must have ended.
            self.settle();
            self.carry_out(intent)?;
            self.items.push(Item::IntentDone(id));
            self.settle();
        }
        Ok(())
    }

    fn carry_out(&mut self, intent: Intent) -> Result<(), StoreError> {
        match intent {
            Intent::Rerun(rerun) => self.rerun(rerun),
            Intent::Mark { run, task, state, by } => {
                self.make_known(run)?;
                self.events.push_back(Event::Mark { run, task, state, by });
                Ok(())
            }
            Intent::Stop { run, by } => {
                self.make_known(run)?;
                self.events.push_back(Event::Stop { run, by });
                Ok(())
            }
            Intent::HoldBackfill { backfill, hold } => {
                if hold {
                    self.held.insert(backfill);
                } else {
                    self.held.remove(&backfill);
                }
                self.items.push(Item::HoldBackfill(backfill, hold));
                self.events.push_back(Event::HoldBackfill { backfill, hold });
                Ok(())
            }
            Intent::StopBackfill { backfill } => {
                self.events.push_back(Event::StopBackfill { backfill });
                Ok(())
            }
        }
    }

    fn rerun(&mut self, rerun: Rerun) -> Result<(), StoreError> {
        self.make_known(rerun.run)?;
        if let Some(row) = self.runs.get_mut(&rerun.run) {
            row.params.clone_from(&rerun.params);
        }
        let backfill = self.limits_of(rerun.backfill)?;
        self.items.push(Item::Assign {
            run: rerun.run,
            backfill: rerun.backfill,
            selection: rerun.selection.clone(),
            params: rerun.params,
        });
        self.events.push_back(Event::Rerun(Box::new(RerunRequest {
            run: rerun.run,
            clear: rerun.clear,
            clear_all: rerun.clear_all,
            backfill,
            selection: rerun.selection,
        })));
        Ok(())
    }

    /// Loads a run that has ended, so that an event about it finds it.
    fn make_known(&mut self, number: RunNumber) -> Result<(), StoreError> {
        if !self.engine.knows(number)
            && let Some(run) = self.store.run(number)?
        {
            let tasks = self.store.task_instances(number)?;
            self.take_run(run, tasks, &[], true)?;
        }
        Ok(())
    }

    fn take_run(
        &mut self,
        run: RunRow,
        tasks: Vec<TaskInstance>,
        attempts: &[Attempt],
        is_awaited: bool,
    ) -> Result<(), StoreError> {
        self.newest_plan(&run.dag_id)?;
        // One that was cleared and waits to begin again will use the newest, but its old attempts may live. One that gave way
        // has begun, and stays bound to its version.
        let is_bound = run.state != RunState::Queued || run.start_date.is_some() || !attempts.is_empty();
        let plan = match run.version_id.filter(|_| is_bound) {
            Some(version) => match self.plan(version)? {
                Ok(plan) => Some(plan),
                Err(_) if run.state == RunState::Queued => None,
                Err(reason) => {
                    let line =
                        Line::trouble("a run cannot go on", &reason).with("dag", &run.dag_id).with("run", &run.run_id);
                    self.host.report(&line);
                    if !run.state.is_final() {
                        let ended = Transition::RunEnded {
                            run: run.number,
                            state: RunState::Failed,
                            reason: Some(format!("its stored DAG file does not fit crondag.toml any more: {reason}")),
                        };
                        self.items.push(Item::Transition(ended));
                    }
                    return Ok(());
                }
            },
            None => None,
        };
        // Whatever its file says now: it may be bound to another version, or be edited before it starts.
        let past = if run.run_type == RunType::Manual { Past::default() } else { self.past(&run)? };
        let live = |task: &TaskId| {
            attempts.iter().filter(|attempt| attempt.task_id == *task).map(|attempt| attempt.try_number).max()
        };
        let input = RunInput {
            number: run.number,
            dag_id: run.dag_id.clone(),
            run_type: run.run_type,
            interval: run.interval(),
            state: run.state,
            started_at: run.start_date,
            backfill: self.limits_of(run.backfill_id)?,
            selection: run.selection.clone(),
            plan,
            tasks: tasks
                .into_iter()
                .map(|task| PriorTask {
                    live: live(&task.task_id),
                    task: task.task_id,
                    state: task.state,
                    tries: task.try_number,
                    max_tries: task.max_tries,
                    next_try_at: task.next_try_at,
                    reason: task.reason,
                    started_at: task.start_date,
                })
                .collect(),
            past,
            is_awaited,
        };
        if run.state == RunState::Queued {
            let created = Line::new(Happening::RunCreated).with("dag", &run.dag_id).with("run", &run.run_id);
            self.host.report(&created.with("type", run.run_type).with("created", run.queued_at));
        }
        self.runs.insert(run.number, run);
        self.events.push_back(Event::Run(Box::new(input)));
        // Later loading asks the engine what it knows.
        self.step_pending();
        Ok(())
    }

    /// Lets the engine take in what has been read so far; nothing is committed or started yet.
    fn step_pending(&mut self) {
        let now = self.host.now();
        while let Some(event) = self.events.pop_front() {
            for effect in self.engine.step(event, now) {
                self.take_effect(effect);
            }
        }
    }

    fn past(&mut self, run: &RunRow) -> Result<Past, StoreError> {
        let Some(mut before) = self.store.run_before(&run.dag_id, run.interval())? else {
            return Ok(Past::default());
        };
        // What waits to be told may end it, or let its time run out.
        self.step_pending();
        // It has told its end before the engine knew of this run; the database must know it to tell it again.
        if self.is_about_to_end(before.number) {
            self.settle();
            before = self.store.run(before.number)?.unwrap_or(before);
        }
        // It tells its end itself, unless it has ended and is known only for an attempt that still lives.
        if self.engine.knows(before.number) && !before.state.is_final() {
            return Ok(Past::default());
        }
        // What an ended run has not begun, its version does not have any more.
        let has_ended = before.state.is_final();
        let tasks = self.store.task_instances(before.number)?.into_iter();
        let states = tasks
            .filter(|task| !(has_ended && task.state == TaskState::None))
            .map(|task| (task.task_id, task.state))
            .collect();
        Ok(Past { interval: Some(before.interval()), states })
    }

    /// Whether the end of a run is still to be committed.
    fn is_about_to_end(&self, number: RunNumber) -> bool {
        let ends = |item: &Item| matches!(item, Item::Transition(Transition::RunEnded { run, .. }) if *run == number);
        self.items.iter().any(ends)
    }

    fn limits_of(&mut self, backfill: Option<i64>) -> Result<Option<BackfillLimits>, StoreError> {
        let Some(id) = backfill else { return Ok(None) };
        let Some(row) = self.store.backfill(id)? else { return Ok(None) };
        if row.is_held && self.held.insert(id) {
            self.events.push_back(Event::HoldBackfill { backfill: id, hold: true });
        }
        Ok(Some(BackfillLimits { backfill: id, max_active_runs: row.max_active_runs, is_reverse: row.is_reverse }))
    }

    // ---- plans -----------------------------------------------------------------------------------------------------

    /// Gives the engine the newest good version of a DAG.
    fn newest_plan(&mut self, dag_id: &DagId) -> Result<(), StoreError> {
        let Some(version) = self.store.dag(dag_id)?.and_then(|row| row.version_id) else { return Ok(()) };
        match self.plan(version)? {
            Ok(plan) => {
                if self.versions.insert(dag_id.clone(), version) != Some(version) {
                    self.events.push_back(Event::Plan(plan));
                }
            }
            Err(reason) => {
                self.host.report(&Line::new(Happening::Faulty).with("dag", dag_id).with("error", reason));
            }
        }
        Ok(())
    }

    /// DAG files may have changed: runs that start from now on use the new text.
    fn refresh_plans(&mut self) -> Result<(), StoreError> {
        for dag_id in self.engine.dags() {
            self.newest_plan(&dag_id)?;
        }
        Ok(())
    }

    pub(super) fn plan(&mut self, version: i64) -> Result<Result<Plan, String>, StoreError> {
        if let Some(plan) = self.plans.get(&version) {
            return Ok(Ok(plan.clone()));
        }
        let Some(stored) = self.store.version(version)? else {
            return Ok(Err(format!("version {version} of its DAG file is missing from the database")));
        };
        Ok(match catalog::load_version(stored.dag_id.as_str(), &stored.text, &self.config) {
            Ok(dag) => {
                let plan = Plan::new(dag, version);
                self.plans.insert(version, plan.clone());
                Ok(plan)
            }
            Err(file) => Err(file.summary()),
        })
    }
}
