//! Watching what was ordered until it ends, cannot go on, or is interrupted.

use std::process::Child;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::app::query::explain::{self, HoldUp, HoldUps};
use crate::app::times::Moment;
use crate::app::{App, AppError, NextStep};
use crate::dag::{DagId, RunNumber, RunType, TaskId, TaskState};
use crate::runner::client::{self, Driver};
use crate::runner::driver_log as log;
use crate::runner::engine::{Blocker, Standstill};
use crate::runner::load;
use crate::store::{Intent, Progress, RunFilter, RunRow, Store};

/// How often it is made sure that a driver lives, and that what does not move can move.
const DRIVER_CHECK: Duration = Duration::from_secs(2);
/// What has not moved for so long does not only take its time.
const STILL: Duration = Duration::from_secs(4);
/// The shortest pause between two polls.
const POLL_INTERVAL: Duration = Duration::from_millis(40);
/// The longest one.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// A pause is so many times as long as the poll before it: what is watched needs the machine.
const SHARE: u32 = 20;
/// A driver that fails so often without having done anything is not going to.
const FAILED_STARTS: u32 = 3;

/// How it goes.
#[derive(Debug)]
pub struct Snapshot {
    /// The runs, oldest first. Empty until the driver has read what it was asked to do: until then states are those of before.
    pub runs: Vec<Progress>,
    /// What follows from it.
    pub outlook: Outlook,
}

/// Whether it is worth while to go on watching.
#[derive(Debug)]
pub enum Outlook {
    /// It goes on.
    Going,
    /// All runs have ended.
    Over,
    /// Nothing has moved for some seconds, and nothing runs; it may go on by itself.
    Still(HoldUp),
    /// None of the runs that are left will ever start by itself.
    Stuck(Stuck),
}

/// Runs that stand still until a person does something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// How many of those that are watched have not ended.
    pub waiting: usize,
    /// The runs at which it begins: the others wait for these.
    pub causes: Vec<StuckRun>,
}

/// A run that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StuckRun {
    pub dag_id: DagId,
    pub run_id: String,
    /// The start of its data interval.
    pub logical_date: Moment,
    /// What it waits for.
    pub cause: StuckCause,
}

/// What a run waits for that will not come by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StuckCause {
    /// `depends_on_past`: the task of an earlier run has not succeeded, and that run has ended.
    Past {
        task: TaskId,
        /// The earlier run.
        run_id: Option<String>,
        /// The start of its data interval.
        logical_date: Moment,
        /// How the task stands there.
        state: Option<TaskState>,
    },
    /// The backfill that the run belongs to was interrupted.
    BackfillHeld,
    /// No version of its DAG file can be read.
    NoVersion,
    /// It waits for other runs that wait.
    OtherRuns,
}

/// Polls the database.
pub struct Watch<'a> {
    app: &'a App,
    store: Store,
    /// What is watched. They are followed wherever they go: another backfill may take them up.
    watched: Vec<RunNumber>,
    /// The request that the driver has to carry out first.
    request: Option<i64>,
    checked: Instant,
    /// What was seen last, and since when it is so.
    seen: Vec<Progress>,
    seen_since: Instant,
    last_event: i64,
    driver: Option<Child>,
    failed_starts: u32,
    pause: Duration,
}

fn pause_after(poll: Duration) -> Duration {
    poll.saturating_mul(SHARE).clamp(POLL_INTERVAL, LONGEST_PAUSE)
}

impl<'a> Watch<'a> {
    /// Begins to watch. Until the request with this number is carried out, nothing is seen.
    ///
    /// # Errors
    /// The database.
    pub fn new(app: &'a App, watched: Vec<RunNumber>, request: Option<i64>) -> Result<Watch<'a>, AppError> {
        let store = app.store_for_writing()?;
        let last_event = store.last_event()?;
        let checked = Instant::now();
        Ok(Watch {
            app,
            store,
            watched,
            request,
            checked,
            seen: Vec::new(),
            seen_since: checked,
            last_event,
            driver: None,
            failed_starts: 0,
            pause: POLL_INTERVAL,
        })
    }

    /// Asks how it goes.
    ///
    /// # Errors
    /// The database; a driver that cannot be started.
    pub fn poll(&mut self) -> Result<Snapshot, AppError> {
        let began = Instant::now();
        let snapshot = self.snapshot();
        self.pause = pause_after(began.elapsed());
        snapshot
    }

    /// How long to wait before the next poll.
    pub fn pause(&self) -> Duration {
        self.pause
    }

    fn snapshot(&mut self) -> Result<Snapshot, AppError> {
        // Asked first: between the two the driver may carry out what was asked.
        let is_read = self.is_read()?;
        let runs = if is_read { self.progress()? } else { Vec::new() };
        if is_read && runs.iter().all(|run| run.state.is_final()) {
            return Ok(Snapshot { runs, outlook: Outlook::Over });
        }
        if self.seen != runs {
            (self.seen, self.seen_since) = (runs.clone(), Instant::now());
        }
        let mut outlook = Outlook::Going;
        if self.checked.elapsed() > DRIVER_CHECK {
            let event = self.store.last_event()?;
            let has_moved = std::mem::replace(&mut self.last_event, event) != event;
            self.look_after_driver(has_moved)?;
            if is_read && runs.iter().all(|run| run.tasks.running == 0) {
                let open: Vec<RunNumber> =
                    runs.iter().filter(|run| !run.state.is_final()).map(|run| run.number).collect();
                if !has_moved && let Some(stuck) = stuck(self.app, &self.store, &open)? {
                    outlook = Outlook::Stuck(stuck);
                } else if self.seen_since.elapsed() >= STILL
                    && let Some(held_up) = self.held_up(&open)?
                {
                    outlook = Outlook::Still(held_up);
                }
            }
            self.checked = Instant::now();
        }
        Ok(Snapshot { runs, outlook })
    }

    /// Why the first of these runs that is kept back does not go on.
    fn held_up(&self, open: &[RunNumber]) -> Result<Option<HoldUp>, AppError> {
        let unfinished = self.store.unfinished_runs()?;
        let hold_ups = HoldUps::at(self.app, &self.store, &unfinished, Timestamp::now())?;
        for run in open {
            if let Some(held_up) = hold_ups.of(*run)? {
                return Ok(Some(held_up));
            }
        }
        Ok(None)
    }

    fn progress(&self) -> Result<Vec<Progress>, AppError> {
        let runs = self.store.progress(&self.watched)?;
        if !runs.is_empty() {
            return Ok(runs);
        }
        let what =
            if self.watched.len() == 1 { "the run that was watched has" } else { "the runs that were watched have" };
        Err(AppError::usage(format!("{what} been deleted"), "crondag runs shows those that are left"))
    }

    /// The driver may have been killed; with cron the next tick would start another one.
    fn look_after_driver(&mut self, has_moved: bool) -> Result<(), AppError> {
        let has_failed = match &mut self.driver {
            // One of which nothing is known is judged by the driver's lock, below.
            Some(child) => child.try_wait().ok().flatten().is_some_and(|status| !status.success()),
            None => false,
        };
        let is_running = matches!(client::driver(&self.app.home), Driver::Running { .. });
        self.failed_starts = match (is_running || has_moved, has_failed) {
            (true, _) => 0,
            (false, true) => self.failed_starts + 1,
            (false, false) => self.failed_starts,
        };
        if self.failed_starts >= FAILED_STARTS {
            return Err(self.no_driver());
        }
        if client::needs_driver(&self.store)?
            && let Some(child) = client::wake_watched(&self.app.home)?
        {
            self.driver = Some(child);
        }
        Ok(())
    }

    fn no_driver(&self) -> AppError {
        let path = self.app.home.driver_log_path();
        let said = log::last_words(&self.app.home, self.app.now)
            .map_or_else(|| "it says nothing".to_owned(), |line| format!("it says: {line}"));
        AppError::environment(
            format!("the driver ends as soon as it is started; {said}"),
            format!(
                "what you asked for is recorded; correct what {} names, and `crondag tick` carries it out",
                path.display()
            ),
        )
    }

    /// Whether the driver has carried out the request, if there was one.
    fn is_read(&self) -> Result<bool, AppError> {
        Ok(match self.request {
            Some(request) => !self.store.has_intents_until(request)?,
            None => true,
        })
    }

    /// Whether nothing of what is watched has a live attempt, and the driver has carried out all that it was asked to do.
    ///
    /// # Errors
    /// The database.
    pub fn is_at_rest(&self, snapshot: &Snapshot) -> Result<bool, AppError> {
        Ok(snapshot.runs.iter().all(|run| run.tasks.running == 0) && !self.store.has_intents_until(i64::MAX)?)
    }

    /// Whether a run of these that has not ended belongs to another backfill by now.
    ///
    /// # Errors
    /// The database.
    pub fn is_taken_up(&self, backfill: i64, snapshot: &Snapshot) -> Result<bool, AppError> {
        for run in snapshot.runs.iter().filter(|run| !run.state.is_final()) {
            if self.store.run(run.number)?.is_some_and(|run| run.backfill_id.is_some_and(|now| now != backfill)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What a person types of a run in which a check alone failed: to run that again repairs nothing.
    ///
    /// # Errors
    /// The database.
    pub fn diagnosis(&self, run: RunNumber) -> Result<Option<NextStep>, AppError> {
        let Some(run) = self.store.run(run)? else { return Ok(None) };
        let dag = self.app.dag_of_run(&self.store, &run)?;
        let instances = self.store.task_instances(run.number)?;
        Ok(dag.and_then(|dag| explain::diagnosis(&run, &dag, &instances)))
    }

    /// Why a run ended as it did.
    ///
    /// # Errors
    /// The database.
    pub fn reason(&self, run: RunNumber) -> Result<Option<String>, AppError> {
        Ok(self.store.run(run)?.and_then(|run| run.reason))
    }

    /// Asks the driver to start nothing new of a backfill.
    ///
    /// # Errors
    /// The database; the driver cannot be told.
    pub fn hold(&mut self, backfill: i64) -> Result<(), AppError> {
        self.ask(&Intent::HoldBackfill { backfill, hold: true })
    }

    /// Asks the driver to stop the running tasks of a backfill.
    ///
    /// # Errors
    /// The database; the driver cannot be told.
    pub fn stop(&mut self, backfill: i64) -> Result<(), AppError> {
        self.ask(&Intent::StopBackfill { backfill })
    }

    fn ask(&mut self, intent: &Intent) -> Result<(), AppError> {
        let write = self.store.write()?;
        write.ask(intent, Timestamp::now())?;
        write.commit()?;
        Ok(client::wake(&self.app.home)?)
    }
}

/// What holds these runs up, when none of them will ever move by itself.
fn stuck(app: &App, store: &Store, watched: &[RunNumber]) -> Result<Option<Stuck>, AppError> {
    let now = Timestamp::now();
    let Some(standstills) = load::engine(store, &app.config, now)?.standstill(watched, now) else { return Ok(None) };
    let mut causes = Vec::new();
    for Standstill { run, task, blocker } in standstills {
        let Some(run) = store.run(run)? else { continue };
        causes.push(StuckRun {
            cause: cause(app, store, &run, task, &blocker)?,
            logical_date: Moment::new(run.logical_date, &app.zone_of(&run.dag_id)),
            dag_id: run.dag_id,
            run_id: run.run_id,
        });
    }
    Ok(Some(Stuck { waiting: watched.len(), causes }))
}

fn cause(
    app: &App,
    store: &Store,
    run: &RunRow,
    task: Option<TaskId>,
    blocker: &Blocker,
) -> Result<StuckCause, AppError> {
    Ok(match (blocker, task) {
        (Blocker::NoPlan, _) => StuckCause::NoVersion,
        (Blocker::BackfillHeld { .. }, _) => StuckCause::BackfillHeld,
        (Blocker::Past { logical_date, state, .. }, Some(task)) => {
            let at = Some(*logical_date);
            let filter = RunFilter { dag_id: Some(run.dag_id.clone()), from: at, to: at, ..RunFilter::default() };
            let mut earlier = store.runs(&filter)?.into_iter().filter(|run| run.run_type != RunType::Manual);
            StuckCause::Past {
                task,
                run_id: earlier.next_back().map(|run| run.run_id),
                logical_date: Moment::new(*logical_date, &app.zone_of(&run.dag_id)),
                state: *state,
            }
        }
        (
            Blocker::Past { .. }
            | Blocker::Overlap { .. }
            | Blocker::MaxActiveRuns { .. }
            | Blocker::QueuedBehind { .. }
            | Blocker::Upstream { .. }
            | Blocker::OldAttempt { .. }
            | Blocker::Retry { .. }
            | Blocker::Poll { .. }
            | Blocker::Pool { .. }
            | Blocker::PoolQueue { .. }
            | Blocker::MaxActiveTasks { .. }
            | Blocker::Parallelism { .. },
            _,
        ) => StuckCause::OtherRuns,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polling_takes_a_small_share_of_the_time_and_never_pauses_long() {
        let pause = |milliseconds| pause_after(Duration::from_millis(milliseconds)).as_millis();
        assert_eq!([0, 1, 3, 20, 10_000].map(pause), [40, 40, 60, 400, 500]);
    }
}
