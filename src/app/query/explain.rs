//! Why a run or a task does not start, and what would change that.
//!
//! The engine answers: the home's runs are loaded into one by the code that the driver uses, and it is asked. Here its answers get
//! words, and what lies before the engine, the file, the schedule and the ticks, is told.

use jiff::tz::TimeZone;
use serde::Serialize;

use super::lag::{Lag, lag};
use super::status::TICK_LATE;
use super::tasks::tasks_of;
use crate::app::select;
use crate::app::times::{elapsed, minute, span, time};
use crate::app::{App, AppError, crontab_line};
use crate::dag::schedule::{DataInterval, OutOfBounds, Place, parse_when};
use crate::dag::units::format_duration;
use crate::dag::{Condition, Dag, DagId, RunNumber, RunState, TaskId, TaskState, Wait};
use crate::runner::client::{Driver, driver};
use crate::runner::engine::{Blocker, Engine, Holder, PollResult};
use crate::runner::planner::{Fate, Never, NoteKind};
use crate::runner::{awaited, client, load, planner};
use crate::store::{RunFilter, RunRow, Store, TaskInstance, UnfinishedRun};

/// One reason, and what would change it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// `file`, `dag`, `run`, `crontab`, `driver`, or a task's id.
    pub subject: String,
    /// What keeps it, or how it stands.
    pub reason: String,
    /// What to type.
    pub next: Option<String>,
    /// The same as data, where the reason is that the DAG is behind its schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<Lag>,
}

/// Says why a DAG, a run or a task does not run. `task` may be a date where no run is named: `explain D 20180701`.
///
/// # Errors
/// There is no such DAG, run or task; the database.
pub fn explain(app: &App, dag: &str, task: Option<&str>, run: Option<&str>) -> Result<Vec<Reason>, AppError> {
    let dag_id = app.dag_id(dag)?;
    let store = app.store()?;
    let (engine, unfinished) = match &store {
        Some(store) => (load::engine(store, &app.config, app.now)?, store.unfinished_runs()?),
        None => (Engine::new(), Vec::new()),
    };
    let mut view = View {
        app,
        store: store.as_ref(),
        dag_id: &dag_id,
        zone: app.zone_of(&dag_id),
        engine,
        unfinished,
        reasons: Vec::new(),
    };
    let file = view.file();
    let (task, when) = select::task_and_run(app, view.store, &dag_id, file.as_ref(), (task, run))?;
    if let (Some(dag), None, None) = (&file, task, when) {
        view.lag(dag)?;
    }
    if let Some(run) = view.run_for(when)? {
        view.explain_run(&run, file.as_ref(), task, when.is_none())?;
    } else {
        if let (Some(dag), Some(task)) = (&file, task) {
            select::task(dag, task)?;
        }
        view.explain_missing(file.as_ref(), when)?;
    }
    Ok(view.reasons)
}

/// Everything that is needed to judge a run and its tasks.
struct View<'a> {
    app: &'a App,
    store: Option<&'a Store>,
    dag_id: &'a DagId,
    zone: TimeZone,
    engine: Engine,
    unfinished: Vec<UnfinishedRun>,
    reasons: Vec<Reason>,
}

impl View<'_> {
    fn say(&mut self, subject: impl Into<String>, reason: impl Into<String>, next: Option<String>) {
        self.reasons.push(Reason { subject: subject.into(), reason: reason.into(), next, lag: None });
    }

    /// The file as it stands, if it is good.
    fn file(&mut self) -> Option<Dag> {
        match self.app.find(self.dag_id) {
            Some(Ok(dag)) => Some(dag),
            Some(Err(file)) => {
                let first = file.first();
                let next = command("validate");
                self.say("file", format!("it is faulty, so nothing new is scheduled: {first}"), next);
                None
            }
            None => {
                let path = self.app.home.dag_path(self.dag_id.as_str());
                self.say("file", format!("{} is gone, so nothing new is scheduled", path.display()), None);
                None
            }
        }
    }

    fn by_id(&self, text: &str) -> Result<Option<RunRow>, AppError> {
        let Some(store) = self.store else { return Ok(None) };
        Ok(store.run_by_id(self.dag_id, text)?)
    }

    fn run_for(&self, when: Option<&str>) -> Result<Option<RunRow>, AppError> {
        let Some(store) = self.store else { return Ok(None) };
        let Some(text) = when else {
            // The run that somebody waits for is one that has not ended; among those the oldest goes first.
            let open = self.unfinished.iter().map(|unfinished| &unfinished.run).find(|run| run.dag_id == *self.dag_id);
            return Ok(match open {
                Some(open) => Some(open.clone()),
                None => select::last_run(self.app, store, self.dag_id)?,
            });
        };
        if let Some(run) = self.by_id(text)? {
            return Ok(Some(run));
        }
        let Ok(date) = parse_when(text, &self.zone) else {
            return Ok(Some(select::run(self.app, self.store, self.dag_id, when)?));
        };
        let filter = RunFilter {
            dag_id: Some(self.dag_id.clone()),
            from: Some(date.first_instant(&self.zone)),
            to: Some(date.last_instant(&self.zone)),
            ..RunFilter::default()
        };
        Ok(store.runs(&filter)?.pop())
    }

    // ---- there is no run --------------------------------------------------------------------------------------------

    fn explain_missing(&mut self, file: Option<&Dag>, when: Option<&str>) -> Result<(), AppError> {
        let Some(dag) = file else { return Ok(()) };
        match when {
            None => {
                self.say("dag", format!("{} has no runs yet", dag.id), None);
                self.upcoming(dag)
            }
            Some(text) => {
                let interval = select::interval(dag, text)?;
                self.explain_interval(dag, &interval, text)
            }
        }
    }

    fn is_paused(&self) -> Result<bool, AppError> {
        Ok(match self.store {
            Some(store) => store.dag(self.dag_id)?.is_some_and(|row| row.is_paused),
            None => false,
        })
    }

    /// How far the DAG is behind its schedule.
    fn lag(&mut self, dag: &Dag) -> Result<(), AppError> {
        let row = self.store.map(|store| store.dag(self.dag_id)).transpose()?.flatten();
        if let Some(lag) = lag(self.app, self.store, &self.unfinished, dag, row.as_ref())? {
            let reason = format!("it {}", lag.in_words(self.app.now));
            self.reasons.push(Reason { subject: "dag".to_owned(), reason, next: None, lag: Some(lag) });
        }
        Ok(())
    }

    /// When the schedule makes the next run, and what keeps it from that.
    fn upcoming(&mut self, dag: &Dag) -> Result<(), AppError> {
        let Some(schedule) = &dag.schedule else {
            let next = command(&format!("trigger {}", dag.id));
            self.say("dag", "it has no schedule: it runs when it is triggered or backfilled", next);
            return Ok(());
        };
        if self.is_paused()? {
            let next = command(&format!("unpause {}", dag.id));
            self.say("dag", "it is paused", next);
        }
        let row = self.store.map(|store| store.dag(self.dag_id)).transpose()?.flatten();
        let notes = planner::notes(&self.store, dag, row.as_ref(), self.app.now)?;
        // What is still to be made may have been said with what waits.
        let has_lag = self.reasons.iter().any(|reason| reason.lag.is_some());
        for note in notes.iter().filter(|note| !has_lag || !matches!(note.kind, NoteKind::Backlog { .. })) {
            self.say("dag", note.to_string(), None);
        }
        if let Some(interval) = planner::next_run(&self.store, dag, self.app.now)? {
            let at = planner::starts_at(dag, &interval);
            let away = span(at.duration_since(self.app.now));
            let reason = format!(
                "the next run starts at {} (in {away}), for the data from {}",
                minute(at, &self.zone),
                minute(interval.start, &self.zone)
            );
            self.say("dag", reason, None);
        } else {
            let reason = format!("its schedule ({}) has nothing ahead: end_date has passed", schedule.text());
            let next = command(&format!("trigger {}", dag.id));
            self.say("dag", reason, next);
        }
        self.ticking();
        Ok(())
    }

    fn ticking(&mut self) {
        let last = planner::last_tick(&self.app.home);
        let line = crontab_line(&self.app.home);
        match last {
            None => self.say(
                "crontab",
                "it has never ticked, so nothing starts by itself",
                Some(format!("crontab -e: {line}")),
            ),
            Some(at) if self.app.now.duration_since(at) > TICK_LATE => {
                let ago = span(self.app.now.duration_since(at));
                self.say("crontab", format!("its last tick was {ago} ago"), Some(format!("crontab -e: {line}")));
            }
            Some(_) => {}
        }
    }

    /// Why the run of an interval does not exist.
    fn explain_interval(&mut self, dag: &Dag, interval: &DataInterval, text: &str) -> Result<(), AppError> {
        let backfill = command(&format!("backfill -s {text} -e {text} {}", dag.id));
        let row = self.store.map(|store| store.dag(self.dag_id)).transpose()?.flatten();
        let minute = |at| minute(at, &dag.timezone);
        let both = |interval: &DataInterval| format!("{} .. {}", minute(interval.start), minute(interval.end));
        let now = self.app.now;
        let (reason, next) = match planner::fate_of(&self.store, dag, row.as_ref(), *interval, now)? {
            Fate::Made => (format!("the data of {} has run", both(interval)), command(&format!("runs {}", dag.id))),
            Fate::MadeAhead => {
                let reason = "it was made while the clock was ahead: its data is yet to come, and it is not made again";
                (reason.to_owned(), command(&format!("clear {} {text}", dag.id)))
            }
            Fate::Due => ("it is due; the next tick makes it".to_owned(), command("tick")),
            Fate::Behind => {
                let reason = "it is due; runs are made oldest first, as those before them leave room (max_active_runs)";
                (reason.to_owned(), None)
            }
            Fate::Comes { at, place } => {
                let away = span(at.duration_since(now));
                let how = match place {
                    Place::Rest { rest, .. } => format!(", for what has not run of it: {}", both(&rest)),
                    Place::Coarser { ran } => format!(", whole, although {} has run", both(&ran)),
                    Place::Free | Place::Taken | Place::LeftOut { .. } => String::new(),
                };
                (format!("it starts when its data is complete: at {} (in {away}){how}", minute(at)), None)
            }
            Fate::Paused => ("the DAG is paused".to_owned(), command(&format!("unpause {}", dag.id))),
            Fate::Never(never) => (
                match never {
                    Never::NoSchedule => {
                        let next = command(&format!("trigger {} --date {text}", dag.id));
                        self.say("run", "the DAG has no schedule: it runs when it is triggered or backfilled", next);
                        return Ok(());
                    }
                    Never::NotOnSchedule => "the schedule has no such data interval".to_owned(),
                    Never::OutOfBounds(OutOfBounds::BeforeStartDate(first)) => {
                        format!("it lies before start_date ({})", minute(first))
                    }
                    Never::OutOfBounds(OutOfBounds::AfterEndDate(last)) => {
                        format!("it lies after end_date ({})", minute(last))
                    }
                    Never::Passed { until } => format!(
                        "no tick makes it: the scheduler has dealt with everything until {}, and goes on from there",
                        minute(until)
                    ),
                    Never::BeforeSeen { since } if dag.catchup => format!(
                        "no tick makes it: it was due before the DAG was first seen ({}), and there is no start_date",
                        minute(since)
                    ),
                    Never::BeforeSeen { since } => format!(
                        "it was due before the DAG was first seen or last unpaused ({}), and catchup is off",
                        minute(since)
                    ),
                    Never::Superseded { by: _ } => {
                        "it was missed, and with catchup off only the latest due interval runs".to_owned()
                    }
                    Never::LeftOut { ran } => {
                        format!("no tick makes it: {} has run, by the schedule as it was before an edit", both(&ran))
                    }
                },
                backfill,
            ),
        };
        self.say("run", reason, next);
        self.ticking();
        Ok(())
    }

    // ---- there is a run ---------------------------------------------------------------------------------------------

    fn explain_run(
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
        let date = minute(run.logical_date, &self.zone);
        let wanted = |instance: &&TaskInstance| match task {
            Some(task) => instance.task_id.as_str() == task,
            None => !instance.state.is_final() || instance.state == TaskState::Failed,
        };
        match run.state {
            RunState::Queued => self.explain_queued(run)?,
            RunState::Running => self.explain_begun(run)?,
            RunState::Success => self.say("run", format!("{date} has succeeded"), None),
            RunState::Failed => {
                let why = run.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                let next = command(&format!("clear {} {} --failed", run.dag_id, run.run_id));
                self.say("run", format!("{date} has failed{why}"), next);
            }
            RunState::Skipped => {
                let why = run.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                let next = command(&format!("clear {} {}", run.dag_id, run.run_id));
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
            let next = command(&format!("backfill -s DATE -e DATE {} --only {task}", run.dag_id));
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
        let is_parked = self.store.map_or(Ok(false), client::is_parked)?;
        if driver(&self.app.home) == Driver::Absent && !is_parked && !self.is_held(run)? {
            let next = command("tick");
            self.say("driver", "it is not running, so nothing starts", next);
        }
        Ok(())
    }

    /// A run that waits to start.
    fn explain_queued(&mut self, run: &RunRow) -> Result<(), AppError> {
        let date = minute(run.logical_date, &self.zone);
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
        let date = minute(run.logical_date, &self.zone);
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

    fn explain_task(
        &mut self,
        run: &RunRow,
        dag: Option<&Dag>,
        instances: &[TaskInstance],
        instance: &TaskInstance,
    ) -> Result<(), AppError> {
        let id = instance.task_id.as_str();
        let why = instance.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let tries = format!("try {} of {}", instance.try_number, instance.max_tries);
        match instance.state {
            TaskState::Running => {
                let since = instance.start_date.map(|start| format_duration(elapsed(start, self.app.now)));
                let next = command(&format!("logs {} {id} {} -f", run.dag_id, run.run_id));
                self.say(id, format!("is running for {} ({tries})", since.unwrap_or_default()), next);
            }
            TaskState::Success => self.say(id, format!("has succeeded{why}"), None),
            TaskState::Skipped => self.say(id, format!("was skipped{why}"), None),
            TaskState::Failed => {
                let next = command(&format!("logs {} {id} {}", run.dag_id, run.run_id));
                self.say(id, format!("has failed ({tries}){why}"), next);
            }
            TaskState::UpstreamFailed => {
                let failed = dag.map(|dag| failed_upstream(dag, instances, id)).unwrap_or_default();
                let next = command(&format!("clear {} {} --failed", run.dag_id, run.run_id));
                self.say(id, format!("does not run: upstream failed: {}", failed.join(", ")), next);
            }
            TaskState::None | TaskState::UpForRetry | TaskState::UpForReschedule => {
                let Some(dag) = dag else { return Ok(()) };
                if dag.task_index(id).is_none() {
                    self.say(id, "is removed: the DAG no longer has it", None);
                    return Ok(());
                }
                let blockers = self.engine.why(run.number, Some(&instance.task_id), self.app.now);
                if blockers.is_empty() {
                    self.say(id, "is ready and may start at any moment", None);
                }
                for blocker in &blockers {
                    let (mut words, next) = self.words(run, Some((dag, instance)), blocker)?;
                    if matches!(blocker, Blocker::Retry { .. }) {
                        words = format!("{words}{why}");
                    }
                    self.say(id, words, next);
                }
            }
        }
        Ok(())
    }

    /// What a run waits for; of another DAG, the dates that lack and how they stand.
    fn awaited(&self, run: &RunRow, dag: &Dag, wait: &Wait) -> Result<String, AppError> {
        let (Condition::Dag(awaited), Some(store)) = (&wait.condition, self.store) else {
            return Ok(wait.condition.to_string());
        };
        let other = awaited::file(&self.app.home, &awaited.dag, &self.app.config);
        Ok(match awaited::poll(store, dag, run.interval(), awaited, other)? {
            PollResult::Found => format!("{awaited}, which has succeeded"),
            PollResult::NotYet(dates) => dates,
            PollResult::Failed(reason) => format!("{awaited}; {reason}"),
        })
    }

    /// A blocker in words, and what to type about it. `of` is the task that is kept back; without it, it is the run.
    fn words(
        &self,
        run: &RunRow,
        of: Option<(&Dag, &TaskInstance)>,
        blocker: &Blocker,
    ) -> Result<(String, Option<String>), AppError> {
        let zone = &self.zone;
        let (dag_id, run_id) = (&run.dag_id, &run.run_id);
        Ok(match blocker {
            // The file itself has been read: a faulty one has a line of its own.
            Blocker::NoPlan => ("no tick has read its DAG file yet".to_owned(), command("tick")),
            Blocker::BackfillHeld { .. } => {
                let day = run.logical_date.to_zoned(zone.clone()).strftime("%Y-%m-%d").to_string();
                ("its backfill was interrupted".to_owned(), command(&format!("backfill -s {day} -e {day} {dag_id}")))
            }
            Blocker::Overlap { going } => {
                let dates = going.iter().take(5).map(|number| self.date_of(*number)).collect::<Result<Vec<_>, _>>()?;
                let next = match going.first() {
                    Some(first) => self.run_id(*first)?.and_then(|first| command(&format!("explain {dag_id} {first}"))),
                    None => None,
                };
                (format!("scheduled runs take turns (overlap), and that of {} is going on", dates.join(", ")), next)
            }
            Blocker::MaxActiveRuns { limit, backfill, running } => {
                let whose = if backfill.is_some() { "max_active_runs of its backfill" } else { "max_active_runs" };
                let dates =
                    running.iter().take(5).map(|number| self.date_of(*number)).collect::<Result<Vec<_>, _>>()?;
                let verb = if running.len() == 1 { "is" } else { "are" };
                let next = match running.first() {
                    Some(first) => self.run_id(*first)?.and_then(|first| command(&format!("explain {dag_id} {first}"))),
                    None => None,
                };
                let words =
                    format!("{whose} is {limit}, and {} of them {verb} going on ({})", running.len(), dates.join(", "));
                (words, next)
            }
            Blocker::QueuedBehind { first, ahead } => {
                let runs = if *ahead == 1 { "1 run goes".to_owned() } else { format!("{ahead} runs go") };
                let next = self.run_id(*first)?.and_then(|first| command(&format!("explain {dag_id} {first}")));
                (format!("{runs} first, beginning with that of {}", self.date_of(*first)?), next)
            }
            Blocker::Upstream { rule, open } => {
                let open: Vec<String> = open.iter().map(|(task, state)| stands(task.as_str(), *state)).collect();
                (format!("waits for {}; its trigger rule is {}", open.join(", "), rule.as_str()), None)
            }
            Blocker::Past { logical_date, run: before, state } => {
                let id = of.map(|(_, instance)| instance.task_id.as_str()).unwrap_or_default();
                let state = state.unwrap_or(TaskState::None);
                let words = format!(
                    "depends_on_past: the same task of {} is {state}, not success",
                    minute(*logical_date, zone)
                );
                let before = match before {
                    Some(before) => self.run_id(*before)?,
                    None => None,
                };
                let before = before.unwrap_or_else(|| crate::app::times::rfc3339(*logical_date, zone));
                (words, command(&format!("explain {dag_id} {id} {before}")))
            }
            Blocker::OldAttempt { try_number } => (
                format!(
                    "waits for its try {try_number} to end: it was cleared or stopped, and its processes still live"
                ),
                command(&format!("tasks {dag_id} {run_id}")),
            ),
            Blocker::Retry { at } => {
                let away = span(at.duration_since(self.app.now));
                (format!("waits until {} (in {away}) for its next try", time(*at, zone)), None)
            }
            Blocker::Poll { since, next_at, until } => {
                let id = of.map(|(_, instance)| instance.task_id.as_str()).unwrap_or_default();
                let mut text = format!("waits since {}", time(*since, zone));
                if let Some((dag, wait)) = of.and_then(|(dag, _)| Some((dag, dag.tasks[dag.task_index(id)?].wait()?))) {
                    let (what, every) = (self.awaited(run, dag, wait)?, format_duration(wait.every));
                    text = format!("{text} for {what}: evaluated every {every}, until {}", time(*until, zone));
                }
                if let Some(at) = next_at {
                    text = format!("{text}; the next time is {}", time(*at, zone));
                }
                (text, command(&format!("mark {dag_id} {run_id} success --task {id}")))
            }
            Blocker::Pool { pool, slots, used, wanted, holders } => (
                format!(
                    "waits: pool `{pool}` has {used} of {slots} slots taken, it wants {wanted}; held by {}",
                    self.names(holders)?
                ),
                Some(format!("raise `{pool}` under [pools] in crondag.toml, or wait")),
            ),
            Blocker::PoolQueue { pool, run: first, task, wanted } => (
                format!(
                    "waits: {} stands before it in the queue of pool `{pool}` and wants {wanted} slots; it is not overtaken",
                    self.name(*first, task)?
                ),
                Some(format!("raise `{pool}` under [pools] in crondag.toml, or wait")),
            ),
            Blocker::MaxActiveTasks { limit, holders } => (
                format!(
                    "waits: max_active_tasks of the DAG is {limit}, so many are running ({})",
                    self.names(holders)?
                ),
                None,
            ),
            Blocker::Parallelism { limit, holders } => (
                format!(
                    "waits: parallelism is {limit}, so many tasks of this home are running ({})",
                    self.names(holders)?
                ),
                Some("raise `parallelism` in crondag.toml, or wait".to_owned()),
            ),
        })
    }

    fn row(&self, number: RunNumber) -> Result<Option<RunRow>, AppError> {
        let Some(store) = self.store else { return Ok(None) };
        Ok(store.run(number)?)
    }

    fn run_id(&self, number: RunNumber) -> Result<Option<String>, AppError> {
        Ok(self.row(number)?.map(|run| run.run_id))
    }

    fn date_of(&self, number: RunNumber) -> Result<String, AppError> {
        Ok(self.row(number)?.map(|run| minute(run.logical_date, &self.app.zone_of(&run.dag_id))).unwrap_or_default())
    }

    /// `userprofile load 2018-07-01 07:00 +08:00`
    fn name(&self, number: RunNumber, task: &TaskId) -> Result<String, AppError> {
        let dag = self.row(number)?.map(|run| run.dag_id.to_string()).unwrap_or_default();
        Ok(format!("{dag} {task} {}", self.date_of(number)?))
    }

    /// Holders by name, at most five.
    fn names(&self, holders: &[Holder]) -> Result<String, AppError> {
        let first = holders.iter().take(5).map(|holder| self.name(holder.run, &holder.task));
        let mut list = first.collect::<Result<Vec<_>, _>>()?.join("; ");
        if holders.len() > 5 {
            list = format!("{list}; and {} more", holders.len() - 5);
        }
        Ok(list)
    }
}

/// What to type.
#[allow(clippy::unnecessary_wraps)] // it goes where there may be nothing to type
fn command(arguments: &str) -> Option<String> {
    Some(format!("crondag {arguments}"))
}

/// A task with its state.
fn stands(task: &str, state: TaskState) -> String {
    if state == TaskState::None { format!("{task} (not started)") } else { format!("{task} ({state})") }
}

/// The upstream tasks of a task that have failed, each with its state.
fn failed_upstream(dag: &Dag, instances: &[TaskInstance], id: &str) -> Vec<String> {
    let Some(index) = dag.task_index(id) else { return Vec::new() };
    dag.graph
        .upstream(index)
        .iter()
        .filter_map(|&above| {
            let id = dag.tasks[above].id.as_str();
            let state = instances.iter().find(|instance| instance.task_id.as_str() == id)?.state;
            state.has_failed().then(|| stands(id, state))
        })
        .collect()
}
