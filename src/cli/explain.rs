//! `crondag explain`
//!
//! Tells from outside what the engine decides inside: it reads the same tables and applies the same rules in the same
//! order, but decides nothing.

use std::process::ExitCode;

use jiff::tz::TimeZone;
use serde::Serialize;

use super::context::Global;
use crate::app::App;

use super::error::CliError;
use super::output::{Page, Tone, WIDTH, print_json, wrap};
use crate::app::query::tasks::tasks_of;
use crate::app::select;
use crate::app::times::{elapsed, minute, span, time};
use crate::dag::schedule::{DataInterval, OutOfBounds, Place, parse_when};
use crate::dag::units::format_duration;
use crate::dag::{Dag, DagId, Decision, RunState, RunType, Task, TaskState, UpstreamCounts};
use crate::runner::client::{Driver, driver};
use crate::runner::planner::{Fate, Never};
use crate::runner::{client, planner};
use crate::store::{RunFilter, RunRow, Store, TaskInstance, UnfinishedRun};

/// Options of `explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag explain userprofile                  why does it not run now?\n  \
                        crondag explain userprofile merge 20180701   why does this task not run?")]
pub struct Args {
    /// The DAG
    dag: String,
    /// The task [default: every task that has not ended]
    task: Option<String>,
    /// The run's logical date, or its id [default: the newest run]
    #[arg(value_name = "DATE|RUN_ID")]
    run: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One reason, and what would change it.
#[derive(Debug, Serialize)]
#[allow(clippy::struct_field_names)] // the names of `--json`
struct Reason {
    /// `file`, `dag`, `run`, or the task's id.
    subject: String,
    reason: String,
    next: Option<String>,
}

/// Everything that is needed to judge a run and its tasks.
struct View<'a> {
    app: &'a App,
    store: Option<&'a Store>,
    dag_id: &'a DagId,
    zone: TimeZone,
    unfinished: Vec<UnfinishedRun>,
    driver: Driver,
    reasons: Vec<Reason>,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let dag_id = app.dag_id(&args.dag)?;
    let store = app.store()?;
    let zone = app.zone_of(&dag_id);
    let unfinished = match &store {
        Some(store) => store.unfinished_runs()?,
        None => Vec::new(),
    };
    let mut view = View {
        app: &app,
        store: store.as_ref(),
        dag_id: &dag_id,
        zone,
        unfinished,
        driver: driver(&app.home),
        reasons: Vec::new(),
    };
    let file = view.file();
    let (task, when) = view.meant(file.as_ref(), args);
    if let Some(run) = view.run_for(when)? {
        view.explain_run(&run, file.as_ref(), task, when.is_none())?;
    } else {
        if let (Some(dag), Some(task)) = (&file, task) {
            select::task(dag, task)?;
        }
        view.explain_missing(file.as_ref(), when)?;
    }
    if args.json {
        print_json(&view.reasons)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut page = Page::new();
    for reason in &view.reasons {
        let subject = page.paint(Tone::Bold, &reason.subject);
        for (nth, line) in wrap(&format!("{}: {}", reason.subject, reason.reason), WIDTH).into_iter().enumerate() {
            match line.strip_prefix(&reason.subject).filter(|_| nth == 0) {
                Some(rest) => page.line(format!("{subject}{rest}")),
                None => page.line(format!("  {line}")),
            }
        }
        if let Some(next) = &reason.next {
            page.line(format!("  next: {next}"));
        }
    }
    page.print()?;
    Ok(ExitCode::SUCCESS)
}

impl View<'_> {
    fn say(&mut self, subject: impl Into<String>, reason: impl Into<String>, next: Option<String>) {
        self.reasons.push(Reason { subject: subject.into(), reason: reason.into(), next });
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

    /// `explain D 20180701` means the run, although the task's place comes first.
    fn meant<'t>(&self, file: Option<&Dag>, args: &'t Args) -> (Option<&'t str>, Option<&'t str>) {
        match (args.task.as_deref(), args.run.as_deref()) {
            (Some(text), None)
                if file.is_none_or(|dag| dag.task_index(text).is_none())
                    && (text.contains("__") || parse_when(text, &self.zone).is_ok()) =>
            {
                (None, Some(text))
            }
            other => other,
        }
    }

    fn run_for(&self, when: Option<&str>) -> Result<Option<RunRow>, CliError> {
        let Some(store) = self.store else { return Ok(None) };
        let newest = RunFilter { dag_id: Some(self.dag_id.clone()), limit: Some(1), ..RunFilter::default() };
        match when {
            // The run that somebody waits for is one that has not ended; among those the oldest goes first.
            None => {
                let open =
                    self.unfinished.iter().map(|unfinished| &unfinished.run).find(|run| run.dag_id == *self.dag_id);
                Ok(open.cloned().or(store.runs(&newest)?.pop()))
            }
            Some(text) if text.contains("__") => Ok(Some(select::run(self.app, self.store, self.dag_id, when)?)),
            Some(text) => {
                let date = select::date(text, &self.zone)?;
                let filter = RunFilter {
                    dag_id: Some(self.dag_id.clone()),
                    from: Some(date.first_instant(&self.zone)),
                    to: Some(date.last_instant(&self.zone)),
                    ..RunFilter::default()
                };
                Ok(store.runs(&filter)?.pop())
            }
        }
    }

    // ---- there is no run --------------------------------------------------------------------------------------------

    fn explain_missing(&mut self, file: Option<&Dag>, when: Option<&str>) -> Result<(), CliError> {
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

    fn is_paused(&self) -> Result<bool, CliError> {
        Ok(match self.store {
            Some(store) => store.dag(self.dag_id)?.is_some_and(|row| row.is_paused),
            None => false,
        })
    }

    /// When the schedule makes the next run, and what keeps it from that.
    fn upcoming(&mut self, dag: &Dag) -> Result<(), CliError> {
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
        for note in planner::notes(&self.store, dag, row.as_ref(), self.app.now)? {
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
        let line = super::init::crontab_line(&self.app.home);
        match last {
            None => self.say(
                "crontab",
                "it has never ticked, so nothing starts by itself",
                Some(format!("crontab -e: {line}")),
            ),
            Some(at) if self.app.now.duration_since(at).as_secs() > 180 => {
                let ago = span(self.app.now.duration_since(at));
                self.say("crontab", format!("its last tick was {ago} ago"), Some(format!("crontab -e: {line}")));
            }
            Some(_) => {}
        }
    }

    /// Why the run of an interval does not exist.
    fn explain_interval(&mut self, dag: &Dag, interval: &DataInterval, text: &str) -> Result<(), CliError> {
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
    ) -> Result<(), CliError> {
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
            RunState::Queued => self.explain_queued(run, dag.as_ref())?,
            RunState::Running => {
                let since = run.start_date.map(|start| format_duration(elapsed(start, self.app.now)));
                self.say("run", format!("{date} is running for {}", since.unwrap_or_default()), None);
            }
            RunState::Success => self.say("run", format!("{date} has succeeded"), None),
            RunState::Failed => {
                let why = run.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                let next = command(&format!("clear {} {} --failed", run.dag_id, run.run_id));
                self.say("run", format!("{date} has failed{why}"), next);
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

    fn is_held(&self, run: &RunRow) -> Result<bool, CliError> {
        Ok(match (self.store, run.backfill_id) {
            (Some(store), Some(backfill)) => store.backfill(backfill)?.is_some_and(|backfill| backfill.is_held),
            _ => false,
        })
    }

    fn driving(&mut self, run: &RunRow) -> Result<(), CliError> {
        let is_parked = self.store.map_or(Ok(false), client::is_parked)?;
        if self.driver == Driver::Absent && !is_parked && !self.is_held(run)? {
            let next = command("tick");
            self.say("driver", "it is not running, so nothing starts", next);
        }
        Ok(())
    }

    fn explain_queued(&mut self, run: &RunRow, dag: Option<&Dag>) -> Result<(), CliError> {
        let date = minute(run.logical_date, &self.zone);
        if self.is_held(run)? {
            let day = run.logical_date.to_zoned(self.zone.clone()).strftime("%Y-%m-%d").to_string();
            let next = command(&format!("backfill -s {day} -e {day} {}", run.dag_id));
            self.say("run", format!("{date} is queued: its backfill was interrupted"), next);
            return Ok(());
        }
        let own_limit = match (self.store, run.backfill_id) {
            (Some(store), Some(backfill)) => {
                store.backfill(backfill)?.and_then(|row| Some((row.id, row.max_active_runs?)))
            }
            _ => None,
        };
        let running: Vec<&RunRow> = self
            .unfinished
            .iter()
            .map(|unfinished| &unfinished.run)
            .filter(|other| other.dag_id == run.dag_id && other.state == RunState::Running)
            .filter(|other| own_limit.is_none_or(|(backfill, _)| other.backfill_id == Some(backfill)))
            .collect();
        let limit = own_limit.map(|(_, limit)| limit).or(dag.map(|dag| dag.max_active_runs));
        match limit {
            Some(limit) if running.len() >= limit as usize => {
                let holders: Vec<String> =
                    running.iter().map(|run| minute(run.logical_date, &self.zone)).take(5).collect();
                let first = running.first().map(|run| run.run_id.clone()).unwrap_or_default();
                let reason = format!(
                    "{date} is queued: max_active_runs is {limit}, and {} of them {} going on ({})",
                    running.len(),
                    if running.len() == 1 { "is" } else { "are" },
                    holders.join(", ")
                );
                let next = command(&format!("explain {} {first}", run.dag_id));
                self.say("run", reason, next);
            }
            _ => self.say("run", format!("{date} is queued and may start at any moment"), None),
        }
        Ok(())
    }

    fn explain_task(
        &mut self,
        run: &RunRow,
        dag: Option<&Dag>,
        instances: &[TaskInstance],
        instance: &TaskInstance,
    ) -> Result<(), CliError> {
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
                let failed = dag.map(|dag| {
                    upstream(dag, instances, id, |state| matches!(state, TaskState::Failed | TaskState::UpstreamFailed))
                });
                let next = command(&format!("clear {} {} --failed", run.dag_id, run.run_id));
                self.say(id, format!("does not run: upstream failed: {}", failed.unwrap_or_default().join(", ")), next);
            }
            TaskState::UpForRetry => {
                if let Some(at) = instance.next_try_at.filter(|at| *at > self.app.now) {
                    let away = span(at.duration_since(self.app.now));
                    self.say(
                        id,
                        format!("waits until {} (in {away}) for its next try{why}", time(at, &self.zone)),
                        None,
                    );
                } else if let Some(dag) = dag {
                    self.explain_slots(dag, id)?;
                }
            }
            TaskState::UpForReschedule => {
                let wait = dag.and_then(|dag| dag.tasks[dag.task_index(id)?].wait());
                let since = instance.start_date.unwrap_or(self.app.now);
                let mut text = format!("waits since {}", time(since, &self.zone));
                if let Some(wait) = wait {
                    let every = format_duration(wait.every);
                    let most = format_duration(wait.for_at_most);
                    text = format!("{text} for {}: looks every {every}, for at most {most}", wait.condition);
                }
                if let Some(at) = instance.next_try_at {
                    text = format!("{text}; the next look is at {}", time(at, &self.zone));
                }
                self.say(id, text, command(&format!("mark {} {} success --task {id}", run.dag_id, run.run_id)));
            }
            TaskState::None => {
                if let Some(dag) = dag {
                    self.explain_waiting(run, dag, instances, id)?;
                }
            }
        }
        Ok(())
    }

    fn explain_waiting(
        &mut self,
        run: &RunRow,
        dag: &Dag,
        instances: &[TaskInstance],
        id: &str,
    ) -> Result<(), CliError> {
        let Some(index) = dag.task_index(id) else { return Ok(()) };
        let task = &dag.tasks[index];
        let states =
            dag.graph.upstream(index).iter().filter_map(|&above| state_of(instances, dag.tasks[above].id.as_str()));
        if task.trigger_rule.decide(&UpstreamCounts::of(states)) == Decision::Wait {
            let open = upstream(dag, instances, id, |state| !state.is_final());
            self.say(
                id,
                format!("waits for {}; its trigger rule is {}", open.join(", "), task.trigger_rule.as_str()),
                None,
            );
            return Ok(());
        }
        if task.depends_on_past
            && run.run_type != RunType::Manual
            && let Some(store) = self.store
            && let Some(before) = store.run_before(&run.dag_id, run.interval())?
        {
            let past = store.task_instances(before.number)?;
            let state = state_of(&past, id);
            let is_open = state.is_none() && before.version_id.is_none();
            if is_open || state.is_some_and(|state| !matches!(state, TaskState::Success | TaskState::Skipped)) {
                let date = minute(before.logical_date, &self.zone);
                let state = state.unwrap_or(TaskState::None);
                let next = command(&format!("explain {} {id} {}", run.dag_id, before.run_id));
                self.say(id, format!("depends_on_past: the same task of {date} is {state}, not success"), next);
                return Ok(());
            }
        }
        self.explain_slots(dag, id)
    }

    /// A task that could start but for a limit.
    fn explain_slots(&mut self, dag: &Dag, id: &str) -> Result<(), CliError> {
        let Some(store) = self.store else { return Ok(()) };
        let Some(task) = dag.task_index(id).map(|index| &dag.tasks[index]) else { return Ok(()) };
        // Who is running now, with the slots that each takes of this task's pool.
        let mut running: Vec<(String, u32, bool)> = Vec::new();
        for unfinished in &self.unfinished {
            let live = || unfinished.tasks.iter().filter(|task| task.state == TaskState::Running);
            if live().next().is_none() {
                continue;
            }
            let other = self.app.dag_of_run(store, &unfinished.run)?;
            for instance in live() {
                let definition =
                    other.as_ref().and_then(|dag| Some(&dag.tasks[dag.task_index(instance.task_id.as_str())?]));
                let slots = definition.filter(|other| other.pool == task.pool).map_or(0, |other| other.pool_slots);
                let date = minute(unfinished.run.logical_date, &self.zone);
                let name = format!("{} {} {date}", unfinished.run.dag_id, instance.task_id);
                running.push((name, slots, unfinished.run.dag_id == dag.id));
            }
        }
        let before = self.reasons.len();
        self.pool(task, &running);
        let of_dag = running.iter().filter(|(_, _, own)| *own).count();
        if of_dag >= dag.max_active_tasks as usize {
            let reason = format!("waits: max_active_tasks of the DAG is {}, so many are running", dag.max_active_tasks);
            self.say(id, reason, None);
        }
        let parallelism = self.app.config.parallelism;
        if running.len() >= parallelism as usize {
            let reason = format!("waits: parallelism is {parallelism}, so many tasks of this home are running");
            self.say(id, reason, Some("raise `parallelism` in crondag.toml, or wait".to_owned()));
        }
        if self.reasons.len() == before {
            self.say(id, "is ready and may start at any moment", None);
        }
        Ok(())
    }

    fn pool(&mut self, task: &Task, running: &[(String, u32, bool)]) {
        let Some(pool) = &task.pool else { return };
        let slots = self.app.config.pools.get(pool).copied().unwrap_or(0);
        let used: u32 = running.iter().map(|(_, slots, _)| slots).sum();
        if used == 0 && slots > 0 || used.saturating_add(task.pool_slots) <= slots {
            return;
        }
        let holders: Vec<&str> =
            running.iter().filter(|(_, slots, _)| *slots > 0).map(|(name, _, _)| name.as_str()).collect();
        let wanted = task.pool_slots;
        let reason = format!(
            "waits: pool `{pool}` has {used} of {slots} slots taken, it wants {wanted}; held by {}",
            holders.join("; ")
        );
        self.say(task.id.as_str(), reason, Some(format!("raise `{pool}` under [pools] in crondag.toml, or wait")));
    }
}

/// What to type.
#[allow(clippy::unnecessary_wraps)] // it goes where there may be nothing to type
fn command(arguments: &str) -> Option<String> {
    Some(format!("crondag {arguments}"))
}

fn state_of(instances: &[TaskInstance], id: &str) -> Option<TaskState> {
    instances.iter().find(|instance| instance.task_id.as_str() == id).map(|instance| instance.state)
}

/// The upstream tasks of a task whose states are of interest, each with its state.
fn upstream(dag: &Dag, instances: &[TaskInstance], id: &str, is_wanted: impl Fn(TaskState) -> bool) -> Vec<String> {
    let Some(index) = dag.task_index(id) else { return Vec::new() };
    dag.graph
        .upstream(index)
        .iter()
        .filter_map(|&above| {
            let id = dag.tasks[above].id.as_str();
            let state = state_of(instances, id).filter(|&state| is_wanted(state))?;
            Some(if state == TaskState::None { format!("{id} (not started)") } else { format!("{id} ({state})") })
        })
        .collect()
}
