//! How a run stands, and what keeps it.

use super::{View, command, repair};
use crate::app::query::tasks::tasks_of;
use crate::app::times::elapsed;
use crate::app::{AppError, select};
use crate::dag::units::format_duration;
use crate::dag::{Dag, RunState, TaskState};
use crate::runner::client::{self, Driver, driver};
use crate::store::{RunRow, TaskInstance};

impl View<'_> {
    pub(super) fn explain_run(
        &mut self,
        run: &RunRow,
        file: Option<&Dag>,
        task: Option<&str>,
        is_newest: bool,
    ) -> Result<(), AppError> {
        let Some(store) = self.store else { return Ok(()) };
        let dag = self.app.dag_of_run(store, run)?;
        let instances = tasks_of(self.app, store, run)?;
        if let (Some(dag), Some(task)) = (&dag, task) {
            select::task(dag, task)?;
        }
        let date = self.named(run)?;
        let wanted = |instance: &&TaskInstance| match task {
            Some(task) => instance.task_id.as_str() == task,
            None => !instance.state.is_final() || instance.state == TaskState::Failed,
        };
        match run.state {
            RunState::Queued => self.explain_queued(run)?,
            RunState::Running => self.explain_begun(run)?,
            RunState::Success => match store.state_counts(run.number)?.failures {
                failures if !failures.any() => self.say("run", format!("{date} has succeeded"), None),
                failures => {
                    let next = repair(run, dag.as_ref(), &instances);
                    self.say("run", format!("{date} has succeeded, although {failures}"), next);
                }
            },
            RunState::Failed => {
                let why = run.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                let next = repair(run, dag.as_ref(), &instances);
                self.say("run", format!("{date} has failed{why}"), next);
            }
            RunState::Skipped => {
                let why = run.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                let next = command(format_args!("clear {} {}", run.dag_id, run.run_id));
                self.say("run", format!("{date} was skipped{why}"), next);
            }
        }
        if run.state != RunState::Queued {
            for instance in instances.iter().filter(wanted) {
                self.explain_task(run, dag.as_ref(), &instances, instance)?;
            }
        }
        if let Some(task) = task
            && !instances.iter().any(|instance| instance.task_id.as_str() == task)
        {
            let next = command(format_args!("backfill -s DATE -e DATE {} --only {task}", run.dag_id));
            self.say(task, "it is not among the tasks of this run", next);
        }
        if !run.state.is_final() {
            self.driving(run)?;
        } else if is_newest
            && task.is_none()
            && let Some(dag) = file
        {
            self.upcoming(dag)?;
        }
        Ok(())
    }

    fn is_held(&self, run: &RunRow) -> Result<bool, AppError> {
        Ok(match (self.store, run.backfill_id) {
            (Some(store), Some(backfill)) => store.backfill(backfill)?.is_some_and(|backfill| backfill.is_held),
            _ => false,
        })
    }

    fn driving(&mut self, run: &RunRow) -> Result<(), AppError> {
        let needs_driver = self.store.map_or(Ok(false), client::needs_driver)?;
        if driver(&self.app.home) == Driver::Absent && needs_driver && !self.is_held(run)? {
            let next = command("tick");
            self.say("driver", "it is not running, so nothing starts", next);
        }
        Ok(())
    }

    /// A run that waits to start.
    fn explain_queued(&mut self, run: &RunRow) -> Result<(), AppError> {
        let date = self.named(run)?;
        let blockers = self.engine.why(run.number, None, self.app.now);
        if blockers.is_empty() {
            self.say("run", format!("{date} is queued and may start at any moment"), None);
        }
        for blocker in &blockers {
            let (words, next) = self.words(run, None, blocker)?;
            self.say("run", format!("{date} is queued: {words}"), next);
        }
        Ok(())
    }

    /// What keeps a run back as a whole once it has begun.
    fn explain_begun(&mut self, run: &RunRow) -> Result<(), AppError> {
        let date = self.named(run)?;
        let since = run.start_date.map(|start| format_duration(elapsed(start, self.app.now))).unwrap_or_default();
        let mut text = format!("{date} is running for {since}");
        let mut next = None;
        for blocker in &self.engine.why(run.number, None, self.app.now) {
            let (words, what_to_type) = self.words(run, None, blocker)?;
            text = format!("{text}, but {words}");
            next = next.or(what_to_type);
        }
        self.say("run", text, next);
        Ok(())
    }
}
