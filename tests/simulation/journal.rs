//! The event log, read as it grows: each transition must be allowed by what the world and the DAG files say.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crondag::dag::{RunState, RunType, TaskState, Transition};
use crondag::runner::attempt::{Ending, LimitedBy};
use jiff::{SignedDuration, Timestamp};

use super::promises::{Caused, Facts, Promises};
use super::rules::decide;
use super::version::{Condition, Task, Version};
use super::world::{Elapsed, MINUTE, SECOND, broken};

#[derive(Debug)]
pub struct Run {
    pub dag: String,
    pub run_id: String,
    pub run_type: RunType,
    pub start: Timestamp,
    pub end: Timestamp,
    pub state: RunState,
    pub version: Option<(i64, Rc<Version>)>,
    pub started_at: Timestamp,
    /// When that was in the world's own time.
    pub started: Elapsed,
    /// It is queued, and stays bound to its version.
    pub gave_way: bool,
    /// Somebody has cleared it: it takes no turns any more.
    pub reopened: bool,
    pub tasks: BTreeMap<String, Instance>,
}

#[derive(Debug)]
pub struct Instance {
    pub state: TaskState,
    pub tries: u32,
    pub max_tries: u32,
    pub next_try_at: Option<Timestamp>,
    /// Tries when it was last cleared.
    pub cleared_at: u32,
    pub token: String,
    /// When its wait began.
    pub began_at: Timestamp,
    /// When that was, and when its newest attempt failed or its condition did not hold, in the world's own time.
    pub began: Elapsed,
    pub failed: Elapsed,
}

impl Promises {
    pub fn created(&mut self, number: i64) {
        let run = self
            .connection
            .prepare_cached("SELECT dag_id, run_id, run_type, logical_date, data_interval_end FROM runs WHERE id = ?1")
            .unwrap()
            .query_row([number], |row| {
                Ok(Run {
                    dag: row.get(0)?,
                    run_id: row.get(1)?,
                    run_type: RunType::parse(&row.get::<_, String>(2)?).unwrap(),
                    start: Timestamp::from_microsecond(row.get(3)?).unwrap(),
                    end: Timestamp::from_microsecond(row.get(4)?).unwrap(),
                    state: RunState::Queued,
                    version: None,
                    started_at: Timestamp::UNIX_EPOCH,
                    started: 0,
                    gave_way: false,
                    reopened: false,
                    tasks: BTreeMap::new(),
                })
            })
            .unwrap();
        if run.run_type != RunType::Manual {
            let dates = self.by_date.entry(run.dag.clone()).or_default();
            if let Some(before) = dates.insert((run.end, run.start), number) {
                broken(format!("promise 1: runs {before} and {number} of {} have one interval", run.dag));
            }
            self.intervals.insert((run.dag.clone(), run.start, run.end));
        }
        self.open.insert(number);
        self.runs.insert(number, run);
    }

    fn newest_version(&mut self, dag: &str) -> Rc<Version> {
        let newest = "SELECT version_id FROM dags WHERE dag_id = ?1";
        let id = self.connection.prepare_cached(newest).unwrap().query_row([dag], |row| row.get(0)).unwrap();
        self.version(id)
    }

    pub fn version(&mut self, id: i64) -> Rc<Version> {
        if let Some(version) = self.versions.get(&id) {
            return version.clone();
        }
        let text: String =
            self.connection.query_row("SELECT text FROM dag_versions WHERE id = ?1", [id], |row| row.get(0)).unwrap();
        let Some(version) = self.texts.get(&text).cloned() else { broken(format!("version {id} was never written")) };
        self.versions.insert(id, version.clone());
        version
    }

    pub fn transition(&mut self, transition: &Transition, at: Timestamp, facts: &Facts<'_>, caused: &mut Vec<Caused>) {
        let number = transition.run().0;
        let name = transition.task().map(ToString::to_string).unwrap_or_default();
        if let Transition::RunStarted { version, tasks, .. } = transition {
            let version = (*version, self.version(*version));
            let tasks: Vec<(String, u32)> = tasks.iter().map(|(task, tries)| (task.to_string(), *tries)).collect();
            return self.run_started(number, version, &tasks, at, facts.elapsed);
        }
        if let Transition::TaskStarted { .. } | Transition::TaskWaiting { .. } = transition {
            self.check_may_start(number, &name, at, facts);
            self.count_start(number, &name);
        }
        if let Transition::TaskEnded { state: TaskState::Success, .. } = transition {
            self.check_found(number, &name);
        }
        if let Transition::RunEnded { state: RunState::Skipped, reason, .. } = transition {
            self.check_skipped(number, reason.as_deref().unwrap_or_default());
        }
        if let Transition::TaskCleared { .. } = transition {
            self.check_listed(number, &name, None);
        }
        let was_asked = self.asked.contains(&number);
        let may_give_way = self.runs.get(&number).is_some_and(|run| self.may_give_way(run));
        match transition {
            Transition::RunEnded { .. } | Transition::RunCancelled { .. } => drop(self.open.remove(&number)),
            Transition::RunReopened { .. } | Transition::RunGaveWay { .. } => drop(self.open.insert(number)),
            _ => {}
        }
        let Some(run) = self.runs.get_mut(&number) else { broken(format!("{transition:?}: no such run")) };
        let place = format!("{} {} {name}", run.dag, run.run_id);
        match transition {
            Transition::TaskWaiting { try_number, .. } => {
                let Some(task) = run.tasks.get_mut(&name) else { broken(format!("{place}: waits, unknown")) };
                let settings = run.version.as_ref().and_then(|(_, version)| version.task(&name));
                if settings.and_then(|it| it.wait.as_ref()).is_none_or(|wait| !wait.is_of_driver()) {
                    broken(format!("{place}: waits without a process"));
                }
                if *try_number != task.tries + 1 {
                    broken(format!("{place}: waits as attempt {try_number} after {}", task.tries));
                }
                task.state = TaskState::UpForReschedule;
                task.tries = *try_number;
                task.next_try_at = None;
                task.began_at = at;
                task.began = facts.elapsed;
            }
            Transition::TaskRescheduled { next_poll_at, .. } => {
                let Some(task) = run.tasks.get_mut(&name) else {
                    broken(format!("{place}: is evaluated again, unknown"))
                };
                let settings = run.version.as_ref().and_then(|(_, version)| version.task(&name)).unwrap();
                let Some(wait) = settings.wait.as_ref().filter(|wait| !wait.is_of_driver()) else {
                    broken(format!("{place}: is evaluated by no process"));
                };
                if task.state != TaskState::Running {
                    broken(format!("{place}: was evaluated while it is {}", task.state));
                }
                check_end(&place, task, facts, "is evaluated", is_not_yet);
                let over = task.began_at + SignedDuration::from_secs(wait.for_at_most);
                let next = (at + SignedDuration::from_secs(wait.every)).min(over);
                let early = if facts.was_faulty { SignedDuration::from_hours(1) } else { SignedDuration::ZERO };
                let left = Elapsed::try_from(next_poll_at.duration_since(at).as_micros()).unwrap();
                let is_over = facts.elapsed + left >= task.began + wait.for_at_most * SECOND;
                if *next_poll_at > next || (*next_poll_at < next - early && !is_over) {
                    broken(format!("{place}: is evaluated again at {next_poll_at}, not at {next}: {task:?} {wait:?}"));
                }
                task.state = TaskState::UpForReschedule;
                task.next_try_at = Some(*next_poll_at);
                task.failed = facts.elapsed;
                self.counts.entry("evaluations by processes in vain").and_modify(|many| *many += 1).or_insert(1);
            }
            Transition::RunStarted { .. } => {}
            Transition::RunReopened { .. } => {
                let never_began = run.run_type == RunType::Scheduled && run.version.is_none();
                if !run.state.is_final() && !run.gave_way && !never_began {
                    broken(format!("{place}: reopened while it is {}", run.state));
                }
                run.state = RunState::Queued;
                run.gave_way = false;
                run.reopened = true;
            }
            Transition::RunGaveWay { .. } => {
                if !may_give_way {
                    broken(format!("{place}: gives way without need: {:?}", run.tasks));
                }
                self.counts.entry("runs that gave way").and_modify(|many| *many += 1).or_insert(1);
                run.state = RunState::Queued;
                run.gave_way = true;
            }
            Transition::RunCancelled { reason, .. } => {
                if run.state != RunState::Queued || run.gave_way || !was_asked || !reason.starts_with("stopped by") {
                    broken(format!("{place}: {reason}, while it is {}", run.state));
                }
                run.state = RunState::Failed;
            }
            Transition::RunEnded { state: RunState::Skipped, .. } => run.state = RunState::Skipped,
            Transition::RunEnded { state, reason, .. } => {
                let before = std::mem::replace(&mut run.state, *state);
                // Also of one that was cleared and then marked.
                if *state == RunState::Success {
                    caused.push(Caused::of("recovered", &run.dag, number, ""));
                }
                let Some((_, version)) = run.version.clone() else { return };
                let reason = reason.clone().unwrap_or_default();
                if reason.starts_with("run_timeout of") {
                    let limit = SignedDuration::from_secs(version.run_timeout.unwrap_or(i64::MAX));
                    let earliest = facts.earliest(run.started_at, run.started, limit);
                    let is_early = at < earliest && !has_lasted(facts.elapsed - run.started, limit);
                    if is_early || *state != RunState::Failed {
                        broken(format!("{place}: run_timeout at {at}, started at {}", run.started_at));
                    }
                } else if reason.starts_with("stopped by") || reason.starts_with("marked") {
                    if !was_asked {
                        broken(format!("{place}: {reason}, which nobody asked for"));
                    }
                } else {
                    let verdict = run.verdict(&version);
                    if verdict != Some(*state) {
                        broken(format!("{place}: ends as {state}, should be {verdict:?}"));
                    }
                }
                if before == RunState::Running && *state == RunState::Failed {
                    let failed = run
                        .tasks
                        .iter()
                        .filter(|(_, task)| matches!(task.state, TaskState::Failed | TaskState::UpstreamFailed));
                    let mut wanted =
                        failed.filter_map(|(id, _)| version.task(id)).filter(|it| it.has_email && it.mail_on_failure);
                    if wanted.next().is_some() {
                        caused.push(Caused::of("run_failed", &run.dag, number, ""));
                    }
                }
            }
            Transition::TaskStarted { try_number, .. } => {
                let Some(task) = run.tasks.get_mut(&name) else { broken(format!("{place}: started, unknown")) };
                let goes_on = task.state == TaskState::UpForReschedule;
                if *try_number != task.tries + u32::from(!goes_on) {
                    broken(format!("{place}: starts attempt {try_number} after {}", task.tries));
                }
                if !goes_on {
                    task.began_at = at;
                    task.began = facts.elapsed;
                }
                task.state = TaskState::Running;
                task.tries = *try_number;
                task.next_try_at = None;
                task.token = self
                    .connection
                    .prepare_cached("SELECT token FROM attempts WHERE run = ?1 AND task_id = ?2 AND try_number = ?3")
                    .unwrap()
                    .query_row((number, &name, try_number), |row| row.get(0))
                    .unwrap();
            }
            Transition::TaskRetry { next_try_at, .. } => {
                let Some((_, version)) = run.version.clone() else { broken(format!("{place}: no version")) };
                let Some(task) = run.tasks.get_mut(&name) else { broken(format!("{place}: retried, unknown")) };
                let settings = version.task(&name).unwrap();
                // The poll of another DAG fails where that cannot have such a run.
                let is_poll = task.state == TaskState::UpForReschedule && awaits_dag(settings);
                if !(task.state == TaskState::Running || is_poll) || task.tries >= task.max_tries {
                    broken(format!("{place}: is retried: {task:?}"));
                }
                if !is_poll {
                    check_end(&place, task, facts, "fails", |ending| fails(settings, ending));
                }
                if task.max_tries - task.cleared_at != settings.retries + 1 {
                    broken(format!("{place}: has not the retries of its version: {task:?} {settings:?}"));
                }
                let early = if facts.was_faulty { SignedDuration::from_hours(1) } else { SignedDuration::ZERO };
                let next = at + settings.delay(task.tries - task.cleared_at);
                if *next_try_at > next || *next_try_at < next - early {
                    broken(format!("{place}: failed at {at}, is retried at {next_try_at}: {task:?} {settings:?}"));
                }
                self.counts.entry("retries").and_modify(|many| *many += 1).or_insert(1);
                task.state = TaskState::UpForRetry;
                task.next_try_at = Some(*next_try_at);
                task.failed = facts.elapsed;
                if settings.has_email && settings.mail_on_retry {
                    caused.push(Caused::of("task_retry", &version.dag, number, &name));
                }
            }
            Transition::TaskEnded { state, reason, .. } => {
                let Some((_, version)) = run.version.clone() else { broken(format!("{place}: no version")) };
                let decision = run.decide(&version, &name);
                let (started_at, started) = (run.started_at, run.started);
                let Some(task) = run.tasks.get_mut(&name) else { broken(format!("{place}: ended, unknown")) };
                let before = std::mem::replace(&mut task.state, *state);
                task.next_try_at = None;
                let reason = reason.clone().unwrap_or_default();
                if reason.starts_with("marked ") || reason.starts_with("stopped by ") {
                    if !was_asked {
                        broken(format!("{place}: {reason}, which nobody asked for"));
                    }
                    return;
                }
                if reason.starts_with("run_timeout of") {
                    let limit = SignedDuration::from_secs(version.run_timeout.unwrap_or(i64::MAX));
                    let earliest = facts.earliest(started_at, started, limit);
                    if at < earliest && !has_lasted(facts.elapsed - started, limit) {
                        broken(format!("{place}: run_timeout at {at}, started at {started_at}"));
                    }
                    return;
                }
                // Whether its run may be replaced is asked when that ends.
                if reason.starts_with("overlap = \"replace\"") && *state == TaskState::Skipped {
                    return;
                }
                let settings = version.task(&name).unwrap();
                let longest = SignedDuration::from_secs(settings.for_at_most());
                let earliest = facts.earliest(task.began_at, task.began, longest);
                let is_early = at < earliest && !has_lasted(facts.elapsed - task.began, longest);
                match (before, state) {
                    (TaskState::Running | TaskState::UpForReschedule, TaskState::Failed | TaskState::Skipped)
                        if reason.starts_with("waited ") =>
                    {
                        let soft_fail = settings.wait.as_ref().is_some_and(|wait| wait.soft_fail);
                        if settings.wait.is_none() || (is_early && !facts.was_faulty) {
                            broken(format!("{place}: {reason}, it began at {}", task.began_at));
                        }
                        if before == TaskState::Running {
                            check_end(&place, task, facts, "is evaluated", is_not_yet);
                        }
                        if soft_fail != (*state == TaskState::Skipped) {
                            broken(format!("{place}: {reason}, is {state}"));
                        }
                        if *state == TaskState::Failed && settings.has_email && settings.mail_on_failure {
                            caused.push(Caused::of("task_failed", &version.dag, number, &name));
                        }
                        self.counts.entry("waits in vain").and_modify(|many| *many += 1).or_insert(1);
                    }
                    (TaskState::UpForReschedule, TaskState::Success) => {
                        if settings.has_email && settings.mail_on_success {
                            caused.push(Caused::of("task_succeeded", &version.dag, number, &name));
                        }
                        self.counts.entry("waits that found").and_modify(|many| *many += 1).or_insert(1);
                    }
                    (TaskState::UpForReschedule, TaskState::Failed)
                        if awaits_dag(settings) && task.tries >= task.max_tries =>
                    {
                        if settings.has_email && settings.mail_on_failure {
                            caused.push(Caused::of("task_failed", &version.dag, number, &name));
                        }
                    }
                    (TaskState::Running, TaskState::Success) => {
                        check_end(&place, task, facts, "succeeds", |it| matches!(it, Ending::Exited { code: 0 }));
                        if settings.has_email && settings.mail_on_success {
                            caused.push(Caused::of("task_succeeded", &version.dag, number, &name));
                        }
                    }
                    (TaskState::Running, TaskState::Skipped) => {
                        check_end(&place, task, facts, "is skipped", |it| matches!(it, Ending::Exited { code: 99 }));
                    }
                    (TaskState::Running, TaskState::Failed) => {
                        if task.tries < task.max_tries {
                            broken(format!("{place}: failed for good at try {} of {}", task.tries, task.max_tries));
                        }
                        check_end(&place, task, facts, "fails", |ending| fails(settings, ending));
                        if settings.has_email && settings.mail_on_failure {
                            caused.push(Caused::of("task_failed", &version.dag, number, &name));
                        }
                    }
                    (TaskState::None, TaskState::Skipped | TaskState::UpstreamFailed) => {
                        if decision != Some(*state) {
                            broken(format!("{place}: becomes {state}, its trigger rule says {decision:?}"));
                        }
                    }
                    _ => broken(format!("{place}: from {before} to {state}: {reason}")),
                }
            }
            Transition::TaskCleared { max_tries, .. } => {
                let Some(task) = run.tasks.get_mut(&name) else { broken(format!("{place}: cleared, unknown")) };
                task.state = TaskState::None;
                task.next_try_at = None;
                task.cleared_at = task.tries;
                task.max_tries = *max_tries;
                if *max_tries <= task.tries || *max_tries > task.tries + 5 {
                    broken(format!("{place}: cleared at try {}, may take {max_tries}", task.tries));
                }
            }
        }
    }

    pub fn run_started(
        &mut self,
        number: i64,
        version: (i64, Rc<Version>),
        tasks: &[(String, u32)],
        at: Timestamp,
        elapsed: Elapsed,
    ) {
        if self.runs.get(&number).is_some_and(|run| !run.tasks.is_empty()) {
            for (task, _) in tasks {
                self.check_listed(number, task, Some(&version.1));
            }
        }
        let Some(run) = self.runs.get_mut(&number) else { broken(format!("run {number} starts, unknown")) };
        let place = format!("{} {}", run.dag, run.run_id);
        if run.dag != version.1.dag {
            broken(format!("{place}: starts with a version of {}", version.1.dag));
        }
        let is_bound = run.state == RunState::Running || run.gave_way;
        if is_bound && run.version.as_ref().is_none_or(|(bound, _)| *bound != version.0) {
            broken(format!("promise 6: {place} changes its version while it runs"));
        }
        let begins = run.state == RunState::Queued;
        if begins {
            run.started_at = at;
            run.started = elapsed;
        } else if run.state != RunState::Running {
            broken(format!("{place}: starts while it is {}", run.state));
        }
        run.state = RunState::Running;
        let gave_way = std::mem::take(&mut run.gave_way);
        for (task, max_tries) in tasks {
            let Some(settings) = version.1.task(task) else { broken(format!("{place}: has no task {task}")) };
            if *max_tries != settings.retries + 1 {
                broken(format!("{place} {task}: may take {max_tries} attempts, has {} retries", settings.retries));
            }
            let fresh = Instance {
                state: TaskState::None,
                tries: 0,
                max_tries: *max_tries,
                next_try_at: None,
                cleared_at: 0,
                token: String::new(),
                began_at: at,
                began: elapsed,
                failed: elapsed,
            };
            if run.tasks.insert(task.clone(), fresh).is_some() {
                broken(format!("{place} {task}: begun twice"));
            }
        }
        let takes_turns = begins && !gave_way && !run.reopened && run.run_type == RunType::Scheduled;
        if takes_turns && version.1.overlap != "allow" && self.owner(number).is_none() {
            let dag = version.1.dag.clone();
            if let Some(other) = self.scheduled(&dag, number).find(|other| other.state == RunState::Running) {
                broken(format!("{} starts while {} is going on", self.runs[&number].run_id, other.run_id));
            }
        }
        let Some(run) = self.runs.get_mut(&number) else { return };
        let (dag, mut limit) = (run.dag.clone(), version.1.max_active_runs);
        run.version = Some(version);
        if gave_way {
            // Its version may be an old one; the limit is that of the newest.
            limit = limit.max(self.newest_version(&dag).max_active_runs);
        }
        if begins && self.owner(number).is_none() {
            // A run that a backfill has taken over counts there.
            let running = self
                .open
                .iter()
                .map(|number| (number, &self.runs[number]))
                .filter(|(_, run)| run.dag == dag && run.state == RunState::Running)
                .filter(|(number, _)| self.owner(**number).is_none())
                .count();
            if running > limit as usize {
                broken(format!("{place}: is run number {running} of at most {limit} that run at once"));
            }
        }
    }

    /// The other scheduled runs of a DAG that have not ended.
    pub fn scheduled(&self, dag: &str, but: i64) -> impl Iterator<Item = &Run> {
        let others = self.open.iter().filter(move |number| **number != but).map(|number| &self.runs[number]);
        others.filter(move |run| run.dag == dag && run.run_type == RunType::Scheduled)
    }

    /// A run is skipped: a scheduled one that nobody has asked for, and another is why.
    fn check_skipped(&mut self, number: i64, reason: &str) {
        self.count("runs that were skipped");
        let run = &self.runs[&number];
        let place = format!("{} {}", run.dag, run.run_id);
        let replaces = reason.starts_with("overlap = \"replace\"");
        if run.run_type != RunType::Scheduled || (!replaces && (run.reopened || run.version.is_some())) {
            broken(format!("{place}: is skipped, and not the schedule's alone: {reason}"));
        }
        if (run.state == RunState::Queued) == replaces {
            broken(format!("{place}: is skipped while it is {}: {reason}", run.state));
        }
        // The driver may not have read the newest file yet.
        let mut versions = self.texts.values().filter(|version| version.dag == run.dag);
        let newer = |other: &Run| (other.end, other.start) > (run.end, run.start) && other.state == RunState::Queued;
        let is_right = if replaces {
            versions.any(|it| it.overlap == "replace")
                && self.scheduled(&run.dag, number).any(|it| it.state == RunState::Queued)
        } else if reason.starts_with("overlap = \"skip\"") {
            // The other may have ended but for its processes.
            versions.any(|it| it.overlap == "skip")
        } else {
            versions.any(|it| !it.catchup) && self.scheduled(&run.dag, number).any(newer)
        };
        if !is_right {
            broken(format!("{place}: is skipped without need: {reason}"));
        }
    }

    /// A task instance starts: everything that must be true before.
    pub fn check_may_start(&self, number: i64, name: &str, at: Timestamp, facts: &Facts<'_>) {
        let Some(run) = self.runs.get(&number) else { broken(format!("run {number}: a task starts, unknown")) };
        let place = format!("{} {} {name}", run.dag, run.run_id);
        let (Some((_, version)), Some(task)) = (&run.version, run.tasks.get(name)) else {
            broken(format!("{place}: starts, unknown"));
        };
        if run.state != RunState::Running {
            broken(format!("{place}: starts in a run that is {}", run.state));
        }
        // The clock may have been set back since.
        let latest = at.max(facts.latest);
        let has_waited = |delay: SignedDuration| {
            let earliest = facts.earliest(Timestamp::MAX - delay, task.failed, delay);
            has_lasted(facts.elapsed - task.failed, delay) || at >= earliest
        };
        let settings = version.task(name).unwrap();
        match task.state {
            TaskState::None => {
                if run.decide(version, name) != Some(TaskState::Running) {
                    broken(format!(
                        "{place}: starts against its trigger rule {}: {:?}",
                        version.task(name).unwrap().rule,
                        run.tasks
                    ));
                }
                if version.task(name).unwrap().depends_on_past && !self.past_allows(run, name, false) {
                    let before = (self.run_before(run, false), self.run_before(run, true));
                    broken(format!("{place}: starts against depends_on_past, before it: {before:?}"));
                }
            }
            TaskState::UpForRetry => {
                let is_early = task.next_try_at.is_none_or(|next| latest < next);
                if is_early && !has_waited(settings.delay(task.tries - task.cleared_at)) {
                    broken(format!("{place}: is retried at {at}, its time is {:?}", task.next_try_at));
                }
            }
            TaskState::UpForReschedule => {
                let every = settings.wait.as_ref().map_or(0, |wait| wait.every);
                let is_early = task.next_try_at.is_none_or(|next| latest < next);
                if is_early && !has_waited(SignedDuration::from_secs(every)) {
                    broken(format!("{place}: is evaluated again at {at}, its time is {:?}", task.next_try_at));
                }
                return;
            }
            other => broken(format!("{place}: starts while it is {other}")),
        }
        if task.tries >= task.max_tries {
            broken(format!("{place}: attempt {} of {}", task.tries + 1, task.max_tries));
        }
    }

    fn count_start(&mut self, number: i64, name: &str) {
        let run = &self.runs[&number];
        let Some((_, version)) = run.version.clone() else { return };
        let Some(settings) = version.task(name) else { return };
        let has_past = settings.depends_on_past && self.run_before(run, false).is_some();
        let goes_on = run.tasks[name].state == TaskState::UpForReschedule;
        if has_past {
            self.count("starts that depend on a past");
        }
        if settings.pool.is_some() {
            self.count("starts in a pool");
        }
        if settings.wait.is_some() && !goes_on {
            self.count("waits");
        }
    }

    /// A task that waits without a process has succeeded: what it waits for is there.
    fn check_found(&self, number: i64, name: &str) {
        let Some(run) = self.runs.get(&number) else { return };
        let (Some((_, version)), Some(task)) = (&run.version, run.tasks.get(name)) else { return };
        let Some(wait) = version.task(name).and_then(|task| task.wait.as_ref()) else { return };
        if task.state != TaskState::UpForReschedule || self.asked.contains(&number) {
            return;
        }
        let place = format!("{} {} {name}", run.dag, run.run_id);
        match &wait.condition {
            Condition::File if !self.found.contains(&(number, name.to_owned(), task.tries)) => {
                broken(format!("promise 3: {place} succeeds and nobody has seen its file"));
            }
            Condition::Dag(dag) => {
                // After an edit of the schedule two may begin then.
                let others = self.by_date.get(dag).into_iter().flatten().filter(|((_, start), _)| *start == run.start);
                let others: Vec<&Run> = others.map(|(_, number)| &self.runs[number]).collect();
                if let Some(same) = others.first()
                    && others.iter().all(|other| other.state != RunState::Success)
                {
                    broken(format!("promise 3: {place} succeeds and {dag} {} is {}", same.run_id, same.state));
                }
            }
            Condition::File | Condition::Command => {}
        }
    }

    /// What is due to be tried or evaluated again, while a driver lives that nothing disturbs.
    /// `since`: when the clock was last set back, or the driver began; nothing waits longer than from then on.
    pub fn check_timers(&self, now: Timestamp, elapsed: Elapsed, since: Elapsed) {
        let slack = SignedDuration::from_mins(3);
        for number in &self.open {
            let run = &self.runs[number];
            let Some((_, version)) = run.version.as_ref().filter(|_| run.state == RunState::Running) else { continue };
            for (name, task) in &run.tasks {
                let Some(settings) = version.task(name) else { continue };
                let wait = settings.wait.as_ref();
                let longest = |seconds: i64, from: Elapsed| from.max(since) + seconds * SECOND;
                let delay = || settings.delay(task.tries - task.cleared_at).as_secs();
                let (at, ends) = match (task.state, wait) {
                    // No wait outlasts its time by more than an evaluation.
                    (TaskState::UpForReschedule, Some(wait)) if wait.is_of_driver() => {
                        let seconds = wait.for_at_most + wait.every;
                        (task.began_at + SignedDuration::from_secs(seconds), longest(seconds, task.began))
                    }
                    // What needs a slot may have to wait for it.
                    (TaskState::UpForReschedule, Some(wait)) if self.living == 0 => {
                        (task.next_try_at.unwrap_or(task.began_at), longest(wait.every, task.failed))
                    }
                    (TaskState::UpForRetry, _) if self.living == 0 => {
                        (task.next_try_at.unwrap_or(task.began_at), longest(delay(), task.failed))
                    }
                    _ => continue,
                };
                let is_held = || self.backfills().iter().any(|(id, held)| *held && self.owner(*number) == Some(*id));
                let is_late = now > at + slack || elapsed > ends + 5 * MINUTE;
                if is_late && !is_held() {
                    broken(format!("promise 1: {} {} {name} is forgotten at {now}: {task:?}", run.dag, run.run_id));
                }
            }
        }
    }

    /// `depends_on_past`; `with_queued`: runs that have never started count as well (the driver may not have read them).
    pub fn past_allows(&self, run: &Run, task: &str, with_queued: bool) -> bool {
        if run.run_type == RunType::Manual {
            return true;
        }
        let before = self.run_before(run, with_queued);
        let has_task = |run: &&Run| run.version.as_ref().is_none_or(|(_, version)| version.task(task).is_some());
        match before.filter(has_task).and_then(|before| before.tasks.get(task)) {
            Some(instance) => matches!(instance.state, TaskState::Success | TaskState::Skipped),
            // A queued run that was reopened is bound to another version when it begins, which may have the task.
            None if with_queued && before.is_some_and(|before| before.state == RunState::Queued) => false,
            // It was ended before it began, or it has no such task.
            None => before.is_none_or(|before| before.version.is_some() || before.state.is_final()),
        }
    }

    /// A run that can do nothing before an earlier one, which is queued, gives way.
    fn may_give_way(&self, run: &Run) -> bool {
        run.state == RunState::Running
            && self.waits_only_for_past(run)
            && self.open.iter().map(|number| &self.runs[number]).any(|early| {
                early.dag == run.dag
                    && early.state == RunState::Queued
                    && (early.end, early.start) < (run.end, run.start)
            })
    }

    /// All that has not ended in a running run waits for its past, or for what does.
    pub fn waits_only_for_past(&self, run: &Run) -> bool {
        let Some((_, version)) = &run.version else { return false };
        run.tasks.iter().filter(|(_, task)| !task.state.is_final()).all(|(name, task)| {
            task.state == TaskState::None
                && match run.decide(version, name) {
                    None => true,
                    Some(TaskState::Running) => {
                        version.task(name).is_some_and(|it| it.depends_on_past) && !self.past_allows(run, name, true)
                    }
                    Some(_) => false,
                }
        })
    }

    pub fn run_before(&self, run: &Run, with_queued: bool) -> Option<&Run> {
        let before = self.by_date.get(&run.dag)?.range(..(run.end, run.start)).rev();
        before
            .map(|(_, number)| &self.runs[number])
            .filter(|it| it.state != RunState::Skipped)
            .find(|it| with_queued || it.version.is_some() || it.state.is_final())
    }

    /// A run that has ended has no open tasks, one that runs has some.
    pub fn check_runs(&self, touched: &BTreeSet<i64>) {
        let touched = touched.iter().map(|number| &self.runs[number]);
        for run in touched.filter(|run| run.state == RunState::Running) {
            let Some((_, version)) = &run.version else { continue };
            if run.verdict(version).is_some() {
                broken(format!("{} {}: all its tasks have ended and it runs on: {:?}", run.dag, run.run_id, run.tasks));
            }
        }
    }
}

/// The attempt of a task that ends: it is really gone, and its record says the same.
fn check_end(place: &str, task: &Instance, facts: &Facts<'_>, how: &str, fits: impl Fn(&Ending) -> bool) {
    let Some(process) = facts.processes.get(&task.token) else {
        if how == "fails" {
            // It could not be started.
            return;
        }
        broken(format!("promise 3: {place} {how} and never ran"));
    };
    if process.is_alive {
        broken(format!("promise 2: {place} {how} while its processes live"));
    }
    match &process.record {
        Some(record) if !fits(&record.ending) => {
            broken(format!("promise 3: {place} {how}, its attempt ended as {:?}", record.ending));
        }
        None if how != "fails" => broken(format!("promise 3: {place} {how} without a record")),
        _ => {}
    }
}

/// Whether something took that long in the world's own time.
fn has_lasted(elapsed: Elapsed, at_least: SignedDuration) -> bool {
    i128::from(elapsed) >= at_least.as_micros()
}

/// How an evaluation ends when it is too early, or when the time of its wait is over.
fn is_not_yet(ending: &Ending) -> bool {
    match ending {
        Ending::Exited { code } => !matches!(code, 0 | 99 | 126 | 127),
        Ending::TimedOut { by, .. } => *by == LimitedBy::ForAtMost,
        Ending::Signaled { .. } | Ending::Stopped | Ending::NotStarted { .. } | Ending::Lost { .. } => false,
    }
}

fn fails(settings: &Task, ending: &Ending) -> bool {
    match ending {
        Ending::Exited { code: 0 | 99 } => false,
        ending => settings.wait.is_none() || !is_not_yet(ending),
    }
}

fn awaits_dag(settings: &Task) -> bool {
    settings.wait.as_ref().is_some_and(|wait| matches!(wait.condition, Condition::Dag(_)))
}

impl Run {
    pub fn ds(&self, version: &Version) -> String {
        self.start.to_zoned(version.time_zone()).date().to_string()
    }

    /// What becomes of a task that has not begun: running, skipped, `upstream_failed`, or nothing yet.
    pub fn decide(&self, version: &Version, name: &str) -> Option<TaskState> {
        let task = version.task(name)?;
        let states: Vec<TaskState> =
            task.upstream.iter().filter_map(|up| self.tasks.get(up)).map(|task| task.state).collect();
        decide(task.rule, &states)
    }

    /// How the run ends; `None` while a task is open.
    pub fn verdict(&self, version: &Version) -> Option<RunState> {
        let mut verdict = RunState::Success;
        for settings in &version.tasks {
            let Some(task) = self.tasks.get(&settings.id) else { continue };
            if !task.state.is_final() {
                return None;
            }
            let is_leaf = !version
                .tasks
                .iter()
                .any(|next| next.upstream.contains(&settings.id) && self.tasks.contains_key(&next.id));
            if is_leaf && matches!(task.state, TaskState::Failed | TaskState::UpstreamFailed) {
                verdict = RunState::Failed;
            }
        }
        Some(verdict)
    }
}
