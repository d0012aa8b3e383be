//! Why a run in which nothing runs does not go on: one line for those who look at many runs.

use jiff::Timestamp;
use serde::Serialize;

use super::View;
use crate::app::times::Moment;
use crate::app::{App, AppError, NextStep};
use crate::dag::{DagId, RunNumber, TaskId};
use crate::runner::engine::{Blocker, Engine, Standstill};
use crate::runner::load;
use crate::store::{RunRow, Store, UnfinishedRun};

/// What keeps a run from going on. Where that is another run, the one is named at which it begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct HoldUp {
    /// The DAG of the run that is held up, or of the one for which it waits.
    pub dag_id: DagId,
    /// That run.
    pub run_id: String,
    /// The start of its data interval.
    pub logical_date: Moment,
    /// The task that waits; `None` when the run has not begun.
    pub task_id: Option<TaskId>,
    /// What it waits for.
    pub reason: String,
    /// What to type.
    pub next: Option<NextStep>,
    /// How many more tasks and runs wait.
    pub more: usize,
}

impl HoldUp {
    /// `d 2018-07-01 00:00 +00:00 load waits until ...`
    pub fn in_words(&self) -> String {
        let task = self.task_id.as_ref().map(|task| format!(" {task}")).unwrap_or_default();
        let more = match self.more {
            0 => String::new(),
            1 => "; 1 more waits".to_owned(),
            more => format!("; {more} more wait"),
        };
        format!("{} {}{task}: {}{more}", self.dag_id, self.logical_date.minute(), self.reason)
    }
}

/// Says of runs what holds them up: the engine is asked, with all that has not ended.
pub(crate) struct HoldUps<'a> {
    app: &'a App,
    store: &'a Store,
    engine: Engine,
    unfinished: &'a [UnfinishedRun],
    now: Timestamp,
}

impl<'a> HoldUps<'a> {
    /// As things stand at `now`.
    ///
    /// # Errors
    /// The database.
    pub fn at(
        app: &'a App,
        store: &'a Store,
        unfinished: &'a [UnfinishedRun],
        now: Timestamp,
    ) -> Result<HoldUps<'a>, AppError> {
        Ok(HoldUps { app, store, engine: load::engine(store, &app.config, now)?, unfinished, now })
    }

    /// `None` where nothing keeps the run: it goes on, or will in a moment.
    ///
    /// # Errors
    /// The database.
    pub fn of(&self, run: RunNumber) -> Result<Option<HoldUp>, AppError> {
        let mut causes = self.engine.held_up(run, self.now);
        // What a person must do comes first, and what only waits for its turn last.
        causes.sort_by_key(|cause| urgency(&cause.blocker));
        causes.dedup_by(|a, b| a.run == b.run && a.task.is_none() && b.task.is_none());
        let more = causes.len().saturating_sub(1);
        let first = causes.into_iter().next();
        // All that it waits for is running: then that is said.
        let direct = || self.engine.why(run, None, self.now).into_iter().next();
        let first = first.or_else(|| Some(Standstill { run, task: None, blocker: direct()? }));
        let Some(Standstill { run, task, blocker }) = first else { return Ok(None) };
        let Some(row) = self.store.run(run)? else { return Ok(None) };
        let (reason, next) = self.words(&row, task.as_ref(), &blocker)?;
        let logical_date = Moment::new(row.logical_date, &self.app.zone_of(&row.dag_id));
        Ok(Some(HoldUp { dag_id: row.dag_id, run_id: row.run_id, logical_date, task_id: task, reason, next, more }))
    }

    fn words(
        &self,
        run: &RunRow,
        task: Option<&TaskId>,
        blocker: &Blocker,
    ) -> Result<(String, Option<NextStep>), AppError> {
        let view = View::new(self.app, Some(self.store), &run.dag_id, (&self.engine, self.unfinished), self.now);
        let dag = self.app.dag_of_run(self.store, run)?;
        let instances = self.store.task_instances(run.number)?;
        let instance = task.and_then(|task| instances.iter().find(|instance| instance.task_id == *task));
        let (words, next) = view.words(run, dag.as_ref().zip(instance), blocker)?;
        let why = match (blocker, instance.and_then(|instance| instance.reason.as_ref())) {
            (Blocker::Retry { .. }, Some(reason)) => format!(": {reason}"),
            _ => String::new(),
        };
        let all = || Some(NextStep::crondag(format_args!("explain {} {}", run.dag_id, run.run_id)));
        Ok((format!("{words}{why}"), next.or_else(all)))
    }
}

fn urgency(blocker: &Blocker) -> u8 {
    match blocker {
        Blocker::NoPlan | Blocker::BackfillHeld { .. } | Blocker::Past { .. } => 0,
        Blocker::Poll { .. } | Blocker::Retry { .. } | Blocker::OldAttempt { .. } => 1,
        Blocker::Overlap { .. }
        | Blocker::MaxActiveRuns { .. }
        | Blocker::QueuedBehind { .. }
        | Blocker::Upstream { .. }
        | Blocker::Pool { .. }
        | Blocker::PoolQueue { .. }
        | Blocker::MaxActiveTasks { .. }
        | Blocker::Parallelism { .. } => 2,
    }
}
