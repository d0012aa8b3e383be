//! What the database asks for: runs to take up, attempts to adopt, intents to carry out.

use jiff::Timestamp;

use super::mailer::LONGEST_PAUSE;
use super::{Driver, Host, Item};
use crate::dag::{RunNumber, RunState, TaskState};
use crate::runner::driver_log::line::{Happening, Line};
use crate::runner::engine::{Event, Plan, RerunRequest};
use crate::runner::load::{self, LoadFault, Loaded};
use crate::store::{Intent, IntentRow, Rerun, StoreError};

impl<H: Host> Driver<H> {
    /// Takes up everything that has not ended, and adopts the attempts that may still live.
    pub(super) fn read_all(&mut self) -> Result<(), StoreError> {
        self.loaded_until = self.store.last_run()?;
        let (runs, attempts) = load::unfinished(&self.store)?;
        let tokens: Vec<&str> = attempts.iter().map(|attempt| attempt.token.as_str()).collect();
        self.host.take_over(&tokens);
        let loaded = self.loader.runs(&self.store, &self.config, runs, &attempts, |_| false)?;
        self.take(loaded);
        for attempt in attempts {
            let key = (attempt.run, attempt.task_id, attempt.try_number);
            self.adopt(&key, attempt.token, attempt.log_file, attempt.started_at);
        }
        self.find_mail()?;
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

    /// Reads what clients have committed since the last time.
    pub(super) fn read_requests(&mut self) -> Result<(), StoreError> {
        // The database says how the runs before the new ones stand: it must know all that has happened.
        self.settle();
        let dags = self.engine.dags();
        let plans = self.loader.newest_plans(&self.store, &self.config, &dags)?;
        self.take(plans);
        let newest = self.store.last_run()?;
        if newest > self.loaded_until {
            let runs = self.store.unfinished_runs_after(self.loaded_until)?;
            let engine = &self.engine;
            let loaded = self.loader.runs(&self.store, &self.config, runs, &[], |run| engine.knows(run))?;
            self.take(loaded);
            self.loaded_until = newest;
        }
        self.find_mail()?;
        self.read_intents()
    }

    /// Finds mail that is to be sent; none waits longer than mail ever does, whatever the clock said when it was written.
    pub(super) fn bring_mail_forward(&mut self) -> Result<(), StoreError> {
        let now = self.host.now();
        let latest = now.checked_add(LONGEST_PAUSE).unwrap_or(Timestamp::MAX);
        if self.store.has_notices_after(latest)? {
            let write = self.store.write()?;
            write.bring_notices_forward(latest, now)?;
            write.commit()?;
        }
        self.find_mail()
    }

    /// Checks and reports write mail themselves.
    pub(super) fn find_mail(&mut self) -> Result<(), StoreError> {
        if !self.is_mailing {
            self.next_mail_at = self.store.next_notice_at()?;
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
        }
        self.settle();
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
            Intent::Stop { run, by, at_once } => {
                self.make_known(run)?;
                if at_once {
                    self.kills.push(run);
                }
                self.events.push_back(Event::Stop { run, by });
                Ok(())
            }
            Intent::HoldBackfill { backfill, hold } => {
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
        let backfill = load::backfill_limits(&self.store, rerun.backfill)?.map(|(limits, is_held)| {
            if is_held {
                self.events.push_back(Event::HoldBackfill { backfill: limits.backfill, hold: true });
            }
            limits
        });
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
        if self.engine.knows(number) {
            return Ok(());
        }
        let engine = &self.engine;
        let loaded = self.loader.awaited_run(&self.store, &self.config, number, |run| engine.knows(run))?;
        self.take(loaded);
        Ok(())
    }

    /// Takes in what was loaded; the engine hears of it with what else has happened.
    fn take(&mut self, loaded: Loaded) {
        let Loaded { events, rows, faults } = loaded;
        for fault in faults {
            self.host.report(&match fault {
                LoadFault::Dag { dag_id, reason } => {
                    Line::new(Happening::Faulty).with("dag", dag_id).with("error", reason)
                }
                LoadFault::Run { dag_id, run_id, reason } => {
                    Line::trouble("a run cannot go on", reason).with("dag", dag_id).with("run", run_id)
                }
            });
        }
        for run in rows {
            if run.state == RunState::Queued {
                let created = Line::new(Happening::RunCreated).with("dag", &run.dag_id).with("run", &run.run_id);
                self.host.report(&created.with("type", run.run_type).with("created", run.queued_at));
            }
            self.runs.insert(run.number, run);
        }
        self.events.extend(events);
    }

    /// A version of a DAG file, or what is wrong with it.
    pub(super) fn plan(&mut self, version: i64) -> Result<Result<Plan, String>, StoreError> {
        self.loader.plan(&self.store, &self.config, version)
    }
}
