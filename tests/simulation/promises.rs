//! The promises as assertions. They know the database by SQL of their own and the world by its records; whatever the driver
//! commits is read back, event by event, and held against what the DAG files say.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use crondag::dag::{RunState, RunType, TaskState, Transition};
use crondag::home::Home;
use crondag::runner::attempt::{AttemptSpec, Ending};
use crondag::store::Store;
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};

use super::due::Found;
use super::version::{POOLS, Task, Version};
use super::world::{Process, broken};

/// What may be known of the world when the promises are looked at.
pub struct Facts<'a> {
    pub processes: &'a BTreeMap<String, Process>,
    /// A fault of the disk may have delayed commits.
    pub was_faulty: bool,
}

#[derive(Debug)]
struct Run {
    dag: String,
    run_id: String,
    run_type: RunType,
    logical_date: Timestamp,
    state: RunState,
    version: Option<(i64, Rc<Version>)>,
    started_at: Timestamp,
    tasks: BTreeMap<String, Instance>,
}

#[derive(Debug)]
struct Instance {
    state: TaskState,
    tries: u32,
    max_tries: u32,
    next_try_at: Option<Timestamp>,
    /// Tries when it was last cleared.
    cleared_at: u32,
    token: String,
}

/// See the module.
pub struct Promises {
    connection: Connection,
    seen: i64,
    last_event: i64,
    last_mail: i64,
    parallelism: u32,
    texts: BTreeMap<String, Rc<Version>>,
    versions: BTreeMap<i64, Rc<Version>>,
    runs: BTreeMap<i64, Run>,
    /// Runs that somebody has marked or stopped.
    pub asked: BTreeSet<i64>,
    /// Message ids of mails that reached people.
    pub delivered: BTreeSet<String>,
    /// Of those that did not: how old they were when they were last tried.
    pub refused: BTreeMap<String, SignedDuration>,
    pub events: u64,
    pub mails: u64,
}

impl Promises {
    pub fn new(home: &Home, parallelism: u32) -> Promises {
        let connection = Connection::open(home.database_path()).unwrap();
        connection.busy_timeout(Duration::from_secs(1)).unwrap();
        connection.set_prepared_statement_cache_capacity(64);
        Promises {
            connection,
            seen: -1,
            last_event: 0,
            last_mail: 0,
            parallelism,
            texts: BTreeMap::new(),
            versions: BTreeMap::new(),
            runs: BTreeMap::new(),
            asked: BTreeSet::new(),
            delivered: BTreeSet::new(),
            refused: BTreeMap::new(),
            events: 0,
            mails: 0,
        }
    }

    /// A text of a DAG file that may turn up in the database.
    pub fn know(&mut self, version: &Rc<Version>) {
        self.texts.insert(version.text.clone(), version.clone());
    }

    /// Makes the database refuse something, or work again.
    pub fn sabotage(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap();
    }

    /// DAGs and interval runs as the database has them.
    pub fn found(&self) -> Found {
        let mut dags = self
            .connection
            .prepare_cached("SELECT dag_id, is_active, is_paused, schedule_from, scheduled_until FROM dags")
            .unwrap();
        let mut runs =
            self.connection.prepare_cached("SELECT dag_id, logical_date FROM runs WHERE run_type <> 'manual'").unwrap();
        let found = Found {
            dags: dags
                .query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))))
                .unwrap()
                .map(Result::unwrap)
                .collect(),
            runs: runs.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect(),
        };
        found
    }

    /// The newest runs of a DAG, newest first, with whether they have ended.
    pub fn newest_runs(&self, dag: &str) -> Vec<(i64, bool)> {
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT id, state IN ('success', 'failed') FROM runs WHERE dag_id = ?1 ORDER BY id DESC LIMIT 12",
            )
            .unwrap();
        statement.query_map([dag], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    }

    pub fn unfinished(&self) -> Vec<i64> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT id FROM runs WHERE state IN ('queued', 'running') ORDER BY id")
            .unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    pub fn backfills(&self) -> Vec<(i64, bool)> {
        let mut statement = self.connection.prepare_cached("SELECT id, is_held FROM backfills ORDER BY id").unwrap();
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    }

    fn count(&self, sql: &str) -> i64 {
        self.connection.prepare_cached(sql).unwrap().query_row([], |row| row.get(0)).unwrap()
    }

    /// Whether nobody has anything to do any more.
    pub fn is_over(&self) -> bool {
        self.count("SELECT count(*) FROM runs WHERE state IN ('queued', 'running')") == 0
            && self.count("SELECT count(*) FROM attempts WHERE ended_at IS NULL") == 0
            && self.count("SELECT count(*) FROM intents") == 0
            && self.count("SELECT count(*) FROM outbox WHERE next_try_at IS NOT NULL") == 0
    }

    // ---- after each commit -----------------------------------------------------------------------------------------

    /// Reads what has been committed since the last look and holds it against the promises.
    pub fn look(&mut self, facts: &Facts<'_>) {
        let seen =
            self.connection.prepare_cached("PRAGMA data_version").unwrap().query_row([], |row| row.get(0)).unwrap();
        if seen == self.seen {
            return;
        }
        self.seen = seen;
        let mut mails = Vec::new();
        let events: Vec<(i64, i64, i64, String)> = self
            .connection
            .prepare_cached("SELECT id, at, run, data FROM events WHERE id > ?1 ORDER BY id")
            .unwrap()
            .query_map([self.last_event], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        if !events.is_empty() {
            self.events += events.len() as u64;
            for (id, at, run, data) in events {
                self.last_event = id;
                let at = Timestamp::from_microsecond(at).unwrap();
                if data.contains("\"created\"") {
                    self.created(run);
                } else {
                    let transition: Transition = serde_json::from_str(&data).unwrap();
                    self.transition(&transition, at, facts, &mut mails);
                }
            }
            self.check_runs();
        }
        self.check_mails(mails);
        self.check_slots(facts);
    }

    /// The backfill that has the run now.
    fn owner(&self, number: i64) -> Option<i64> {
        self.connection
            .prepare_cached("SELECT backfill_id FROM runs WHERE id = ?1")
            .unwrap()
            .query_row([number], |row| row.get(0))
            .unwrap()
    }

    fn created(&mut self, number: i64) {
        let run = self
            .connection
            .prepare_cached("SELECT dag_id, run_id, run_type, logical_date FROM runs WHERE id = ?1")
            .unwrap()
            .query_row([number], |row| {
                Ok(Run {
                    dag: row.get(0)?,
                    run_id: row.get(1)?,
                    run_type: RunType::parse(&row.get::<_, String>(2)?).unwrap(),
                    logical_date: Timestamp::from_microsecond(row.get(3)?).unwrap(),
                    state: RunState::Queued,
                    version: None,
                    started_at: Timestamp::UNIX_EPOCH,
                    tasks: BTreeMap::new(),
                })
            })
            .unwrap();
        self.runs.insert(number, run);
    }

    fn version(&mut self, id: i64) -> Rc<Version> {
        if let Some(version) = self.versions.get(&id) {
            return version.clone();
        }
        let text: String =
            self.connection.query_row("SELECT text FROM dag_versions WHERE id = ?1", [id], |row| row.get(0)).unwrap();
        let Some(version) = self.texts.get(&text).cloned() else { broken(format!("version {id} was never written")) };
        self.versions.insert(id, version.clone());
        version
    }

    fn transition(&mut self, transition: &Transition, at: Timestamp, facts: &Facts<'_>, mails: &mut Vec<String>) {
        let number = transition.run().0;
        let name = transition.task().map(ToString::to_string).unwrap_or_default();
        if let Transition::RunStarted { version, tasks, .. } = transition {
            let version = (*version, self.version(*version));
            let tasks: Vec<(String, u32)> = tasks.iter().map(|(task, tries)| (task.to_string(), *tries)).collect();
            return self.run_started(number, version, &tasks, at);
        }
        if let Transition::TaskStarted { .. } = transition {
            self.check_may_start(number, &name, at);
        }
        let was_asked = self.asked.contains(&number);
        let Some(run) = self.runs.get_mut(&number) else { broken(format!("{transition:?}: no such run")) };
        let place = format!("{} {} {name}", run.dag, run.run_id);
        match transition {
            Transition::RunStarted { .. } => {}
            Transition::RunReopened { .. } => {
                if !run.state.is_final() {
                    broken(format!("{place}: reopened while it is {}", run.state));
                }
                run.state = RunState::Queued;
            }
            Transition::RunEnded { state, reason, .. } => {
                let before = std::mem::replace(&mut run.state, *state);
                let Some((_, version)) = run.version.clone() else { return };
                let reason = reason.clone().unwrap_or_default();
                if reason.starts_with("run_timeout of") {
                    let limit = SignedDuration::from_secs(version.run_timeout.unwrap_or(i64::MAX));
                    if at < run.started_at + limit || *state != RunState::Failed {
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
                        mails.push(format!("[crondag] {} run failed (ds {},", run.dag, run.ds(&version)));
                    }
                }
            }
            Transition::TaskStarted { try_number, token, .. } => {
                let Some(task) = run.tasks.get_mut(&name) else { broken(format!("{place}: started, unknown")) };
                task.state = TaskState::Running;
                task.tries = *try_number;
                task.next_try_at = None;
                task.token.clone_from(token);
            }
            Transition::TaskRetry { next_try_at, .. } => {
                let Some((_, version)) = run.version.clone() else { broken(format!("{place}: no version")) };
                let ds = run.ds(&version);
                let Some(task) = run.tasks.get_mut(&name) else { broken(format!("{place}: retried, unknown")) };
                let settings = version.task(&name).unwrap();
                if task.state != TaskState::Running || task.tries >= task.max_tries {
                    broken(format!("{place}: is retried: {task:?}"));
                }
                check_end(&place, task, facts, "fails", |ending| !matches!(ending, Ending::Exited { code: 0 | 99 }));
                // `retries` was edited since it was cleared: which failure counts as the first is not known then.
                let is_edited = task.max_tries - task.cleared_at != settings.retries + 1;
                let failures = task.tries - task.cleared_at;
                let early = if facts.was_faulty { SignedDuration::from_hours(1) } else { SignedDuration::ZERO };
                let mut delays = (if is_edited { 1 } else { failures }..=failures).map(|it| settings.delay(it));
                if !delays.any(|delay| *next_try_at <= at + delay && *next_try_at >= at + delay - early) {
                    broken(format!("{place}: failed at {at}, is retried at {next_try_at}: {task:?} {settings:?}"));
                }
                task.state = TaskState::UpForRetry;
                task.next_try_at = Some(*next_try_at);
                if settings.has_email && settings.mail_on_retry {
                    let tries = format!("(ds {ds}, try {} of {})", task.tries, task.max_tries);
                    mails.push(format!("[crondag] {} {name} failed, will retry {tries}", version.dag));
                }
            }
            Transition::TaskEnded { state, reason, .. } => {
                let Some((_, version)) = run.version.clone() else { broken(format!("{place}: no version")) };
                let ds = run.ds(&version);
                let decision = run.decide(&version, &name);
                let started_at = run.started_at;
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
                    if at < started_at + limit {
                        broken(format!("{place}: run_timeout at {at}, started at {started_at}"));
                    }
                    return;
                }
                let tries = format!("(ds {ds}, try {} of {})", task.tries, task.max_tries);
                let settings = version.task(&name).unwrap();
                match (before, state) {
                    (TaskState::Running, TaskState::Success) => {
                        check_end(&place, task, facts, "succeeds", |it| matches!(it, Ending::Exited { code: 0 }));
                        if settings.has_email && settings.mail_on_success {
                            mails.push(format!("[crondag] {} {name} succeeded {tries}", version.dag));
                        }
                    }
                    (TaskState::Running, TaskState::Skipped) => {
                        check_end(&place, task, facts, "is skipped", |it| matches!(it, Ending::Exited { code: 99 }));
                    }
                    (TaskState::Running, TaskState::Failed) => {
                        if task.tries < task.max_tries {
                            broken(format!("{place}: failed for good at try {} of {}", task.tries, task.max_tries));
                        }
                        check_end(&place, task, facts, "fails", |it| !matches!(it, Ending::Exited { code: 0 | 99 }));
                        if settings.has_email && settings.mail_on_failure {
                            mails.push(format!("[crondag] {} {name} failed {tries}", version.dag));
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

    fn run_started(&mut self, number: i64, version: (i64, Rc<Version>), tasks: &[(String, u32)], at: Timestamp) {
        let Some(run) = self.runs.get_mut(&number) else { broken(format!("run {number} starts, unknown")) };
        let place = format!("{} {}", run.dag, run.run_id);
        if run.dag != version.1.dag {
            broken(format!("{place}: starts with a version of {}", version.1.dag));
        }
        if run.state == RunState::Running && run.version.as_ref().is_none_or(|(bound, _)| *bound != version.0) {
            broken(format!("promise 6: {place} changes its version while it runs"));
        }
        let begins = run.state == RunState::Queued;
        if begins {
            run.started_at = at;
        } else if run.state != RunState::Running {
            broken(format!("{place}: starts while it is {}", run.state));
        }
        run.state = RunState::Running;
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
            };
            if run.tasks.insert(task.clone(), fresh).is_some() {
                broken(format!("{place} {task}: begun twice"));
            }
        }
        let (dag, limit) = (run.dag.clone(), version.1.max_active_runs);
        run.version = Some(version);
        if begins && self.owner(number).is_none() {
            // A run that a backfill has taken over counts there.
            let running = self
                .runs
                .iter()
                .filter(|(_, run)| run.dag == dag && run.state == RunState::Running)
                .filter(|(number, _)| self.owner(**number).is_none())
                .count();
            if running > limit as usize {
                broken(format!("{place}: is run number {running} of at most {limit} that run at once"));
            }
        }
    }

    /// A task instance starts: everything that must be true before.
    fn check_may_start(&self, number: i64, name: &str, at: Timestamp) {
        let Some(run) = self.runs.get(&number) else { broken(format!("run {number}: a task starts, unknown")) };
        let place = format!("{} {} {name}", run.dag, run.run_id);
        let (Some((_, version)), Some(task)) = (&run.version, run.tasks.get(name)) else {
            broken(format!("{place}: starts, unknown"));
        };
        if run.state != RunState::Running {
            broken(format!("{place}: starts in a run that is {}", run.state));
        }
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
                if task.next_try_at.is_none_or(|next| at < next) {
                    broken(format!("{place}: is retried at {at}, its time is {:?}", task.next_try_at));
                }
            }
            other => broken(format!("{place}: starts while it is {other}")),
        }
        if task.tries >= task.max_tries {
            broken(format!("{place}: attempt {} of {}", task.tries + 1, task.max_tries));
        }
    }

    /// `depends_on_past`; `with_queued`: runs that have never started count as well (the driver may not have read them).
    fn past_allows(&self, run: &Run, task: &str, with_queued: bool) -> bool {
        if run.run_type == RunType::Manual {
            return true;
        }
        let before = self.run_before(run, with_queued);
        let has_task = |run: &&Run| run.version.as_ref().is_none_or(|(_, version)| version.task(task).is_some());
        match before.filter(has_task).and_then(|before| before.tasks.get(task)) {
            Some(instance) => matches!(instance.state, TaskState::Success | TaskState::Skipped),
            // It was ended before it began, or it has no such task.
            None => before.is_none_or(|before| before.version.is_some() || before.state.is_final()),
        }
    }

    fn run_before(&self, run: &Run, with_queued: bool) -> Option<&Run> {
        self.runs
            .values()
            .filter(|it| it.dag == run.dag && it.run_type != RunType::Manual && it.logical_date < run.logical_date)
            .filter(|it| with_queued || it.version.is_some() || it.state.is_final())
            .max_by_key(|it| it.logical_date)
    }

    /// A run that has ended has no open tasks, one that runs has some.
    fn check_runs(&self) {
        for run in self.runs.values().filter(|run| run.state == RunState::Running) {
            let Some((_, version)) = &run.version else { continue };
            if run.verdict(version).is_some() {
                broken(format!("{} {}: all its tasks have ended and it runs on", run.dag, run.run_id));
            }
        }
    }

    fn check_mails(&mut self, mut expected: Vec<String>) {
        let found: Vec<(i64, String, String)> = self
            .connection
            .prepare_cached("SELECT id, mail, message_id FROM outbox WHERE id > ?1 ORDER BY id")
            .unwrap()
            .query_map([self.last_mail], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        for (id, mail, _) in found {
            self.last_mail = id;
            self.mails += 1;
            let mail: serde_json::Value = serde_json::from_str(&mail).unwrap();
            let subject = mail["subject"].as_str().unwrap().to_owned();
            match expected.iter().position(|expected| subject.starts_with(expected.as_str())) {
                Some(at) => drop(expected.swap_remove(at)),
                None => broken(format!("promise 4: a mail that nothing caused: {subject}")),
            }
        }
        if let Some(missing) = expected.first() {
            broken(format!("promise 4: committed without its mail: {missing}"));
        }
    }

    /// Who lives is recorded, and no more live than may.
    fn check_slots(&self, facts: &Facts<'_>) {
        let open: Vec<(i64, String, String)> = self
            .connection
            .prepare_cached("SELECT run, task_id, token FROM attempts WHERE ended_at IS NULL ORDER BY run, task_id")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        for (token, process) in facts.processes.iter().filter(|(_, process)| process.is_alive) {
            if !open.iter().any(|(_, _, known)| known == token) {
                broken(format!("promise 2: the processes of {} live and nobody knows: {process:?}", process.task));
            }
        }
        for pair in open.windows(2) {
            if pair[0].0 == pair[1].0 && pair[0].1 == pair[1].1 {
                broken(format!("promise 2: two live attempts of one task instance: {pair:?}"));
            }
        }
        if open.len() > self.parallelism as usize {
            broken(format!("{} attempts live, parallelism is {}", open.len(), self.parallelism));
        }
        let mut per_dag: BTreeMap<&str, (usize, u32)> = BTreeMap::new();
        let mut per_pool: BTreeMap<&str, u32> = BTreeMap::new();
        for (number, task, _) in &open {
            let run = &self.runs[number];
            let Some((_, version)) = &run.version else { continue };
            let entry = per_dag.entry(&run.dag).or_insert((0, version.max_active_tasks));
            entry.0 += 1;
            if let Some((pool, slots)) = version.task(task).and_then(|task| task.pool) {
                *per_pool.entry(pool).or_default() += slots;
            }
        }
        for (dag, (count, limit)) in per_dag {
            if count > limit as usize {
                broken(format!("{dag}: {count} attempts live, max_active_tasks is {limit}: {open:?}"));
            }
        }
        for (pool, slots) in per_pool {
            let limit = POOLS.iter().find(|(name, _)| *name == pool).unwrap().1;
            if slots > limit {
                broken(format!("pool {pool}: {slots} slots of {limit} are taken: {open:?}"));
            }
        }
    }

    // ---- at certain moments ----------------------------------------------------------------------------------------

    /// An attempt is launched.
    pub fn check_launch(&mut self, spec: &AttemptSpec, facts: &Facts<'_>) {
        self.look(facts);
        let place = format!("{} {} {} {}", spec.key.dag_id, spec.key.run_id, spec.key.task_id, spec.key.try_number);
        let recorded: bool = self
            .connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM attempts JOIN runs ON runs.id = run WHERE token = ?1 AND dag_id = ?2
                 AND run_id = ?3 AND task_id = ?4 AND try_number = ?5 AND ended_at IS NULL)",
            )
            .unwrap()
            .query_row(
                params![
                    spec.token,
                    spec.key.dag_id.as_str(),
                    spec.key.run_id,
                    spec.key.task_id.as_str(),
                    spec.key.try_number
                ],
                |row| row.get(0),
            )
            .unwrap();
        if !recorded {
            broken(format!("promise 2: {place} is launched before it is recorded"));
        }
        let second = facts.processes.values().find(|process| {
            process.is_alive
                && process.dag == spec.key.dag_id.as_str()
                && process.run_id == spec.key.run_id
                && process.task == spec.key.task_id.as_str()
        });
        if let Some(second) = second {
            broken(format!("promise 2: {place} is launched while an earlier attempt lives: {second:?}"));
        }
        let Some(run) =
            self.runs.values().find(|run| run.dag == spec.key.dag_id.as_str() && run.run_id == spec.key.run_id)
        else {
            broken(format!("{place} is launched, its run is unknown"));
        };
        let mark =
            run.version.as_ref().map(|(_, version)| format!("work {} version {};", spec.key.task_id, version.mark));
        if mark.is_none_or(|mark| !spec.argv.contains(&mark)) {
            broken(format!("promise 6: {place} does not run the version of its run: {:?}", spec.argv));
        }
    }

    /// The attempt's file may be used for another.
    pub fn check_release(&mut self, token: &str, facts: &Facts<'_>) {
        self.look(facts);
        let ended: bool = self
            .connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM attempts WHERE token = ?1 AND ended_at IS NOT NULL)")
            .unwrap()
            .query_row([token], |row| row.get(0))
            .unwrap();
        if !ended {
            broken(format!("promise 3: {token} is released before its end is recorded"));
        }
        if facts.processes.get(token).is_some_and(|process| process.is_alive) {
            broken(format!("promise 2: {token} is released while it lives"));
        }
    }

    /// The driver has ended: nothing that could go on is left behind.
    pub fn check_rest(&mut self, facts: &Facts<'_>) {
        self.look(facts);
        for (sql, what) in [
            ("SELECT count(*) FROM attempts WHERE ended_at IS NULL", "live attempts"),
            ("SELECT count(*) FROM intents", "intents"),
            ("SELECT count(*) FROM outbox WHERE next_try_at IS NOT NULL", "mails"),
        ] {
            let count = self.count(sql);
            if count > 0 {
                broken(format!("the driver has ended and left {count} {what}"));
            }
        }
        let held: BTreeSet<i64> =
            self.backfills().into_iter().filter(|(_, is_held)| *is_held).map(|(id, _)| id).collect();
        let mut owners = BTreeMap::new();
        for number in self.unfinished() {
            owners.insert(number, self.owner(number));
        }
        for (&number, owner) in &owners {
            if owner.is_some_and(|owner| held.contains(&owner)) {
                continue;
            }
            let run = &self.runs[&number];
            let place = format!("{} {}", run.dag, run.run_id);
            if run.state == RunState::Queued {
                let has_version: bool = self
                    .connection
                    .prepare_cached("SELECT version_id IS NOT NULL FROM dags WHERE dag_id = ?1")
                    .unwrap()
                    .query_row([&run.dag], |row| row.get(0))
                    .unwrap();
                let others_run =
                    owners.keys().any(|it| self.runs[it].dag == run.dag && self.runs[it].state == RunState::Running);
                if has_version && !others_run {
                    broken(format!("promise 1: {place} waits for nothing and was not begun"));
                }
                continue;
            }
            let Some((_, version)) = &run.version else { continue };
            for (name, task) in &run.tasks {
                if task.state == TaskState::UpForRetry {
                    broken(format!("promise 1: {place} {name} is up for retry and was left"));
                }
                if task.state != TaskState::None {
                    continue;
                }
                let Some(settings) = version.task(name) else { continue };
                match run.decide(version, name) {
                    None => {}
                    Some(TaskState::Running) if settings.depends_on_past && !self.past_allows(run, name, true) => {}
                    Some(decision) => {
                        broken(format!("promise 1: {place} {name} could be {decision} and was left: {:?}", run.tasks))
                    }
                }
            }
        }
    }

    /// The world has ended.
    pub fn check_end(&mut self, facts: &Facts<'_>) {
        self.check_rest(facts);
        if let Some(number) = self.unfinished().first() {
            let run = &self.runs[number];
            broken(format!("promise 1: {} {} has not ended: {:?}", run.dag, run.run_id, run.tasks));
        }
        if let Some((token, process)) = facts.processes.iter().find(|(_, process)| process.is_alive) {
            broken(format!("promise 2: {token} still lives: {process:?}"));
        }
        let mut statement = self.connection.prepare("SELECT message_id, sent_at IS NOT NULL FROM outbox").unwrap();
        let mails = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?))).unwrap();
        let mut ids = BTreeSet::new();
        for mail in mails {
            let (id, is_sent) = mail.unwrap();
            let is_given_up = self.refused.get(&id).is_some_and(|age| *age > SignedDuration::from_hours(72));
            if !(is_sent && self.delivered.contains(&id) || !is_sent && is_given_up) {
                broken(format!("promise 4: the mail {id} was never delivered"));
            }
            if !ids.insert(id.clone()) {
                broken(format!("promise 4: two mails have the id {id}"));
            }
        }
        drop(statement);
        let store = Store::open(std::path::Path::new(self.connection.path().unwrap())).unwrap();
        let report = store.check().unwrap();
        if !report.problems.is_empty() {
            broken(format!("the database is not sound: {:?}", report.problems));
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

impl Run {
    fn ds(&self, version: &Version) -> String {
        self.logical_date.to_zoned(version.time_zone()).date().to_string()
    }

    /// What becomes of a task that has not begun: running, skipped, `upstream_failed`, or nothing yet.
    fn decide(&self, version: &Version, name: &str) -> Option<TaskState> {
        let task = version.task(name)?;
        let states: Vec<TaskState> =
            task.upstream.iter().filter_map(|up| self.tasks.get(up)).map(|task| task.state).collect();
        decide(task.rule, &states)
    }

    /// How the run ends; `None` while a task is open.
    fn verdict(&self, version: &Version) -> Option<RunState> {
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

/// Airflow's trigger rules, in the words of its documentation.
fn decide(rule: &str, states: &[TaskState]) -> Option<TaskState> {
    use TaskState::{Failed, Running, Skipped, Success, UpstreamFailed};
    if states.is_empty() || rule == "always" {
        return Some(Running);
    }
    let any = |wanted: &[TaskState]| states.iter().any(|state| wanted.contains(state));
    let all = |wanted: &[TaskState]| states.iter().all(|state| wanted.contains(state));
    let done = states.iter().all(|state| state.is_final());
    let failed = any(&[Failed, UpstreamFailed]);
    match rule {
        "all_success" if failed => Some(UpstreamFailed),
        "all_success" => done.then(|| if any(&[Skipped]) { Skipped } else { Running }),
        "all_failed" if any(&[Success, Skipped]) => Some(Skipped),
        "all_failed" | "all_done" => done.then_some(Running),
        "all_done_min_one_success" if any(&[Skipped]) => Some(Skipped),
        "all_done_min_one_success" => done.then(|| if any(&[Success]) { Running } else { UpstreamFailed }),
        "one_success" if any(&[Success]) => Some(Running),
        "one_success" => done.then(|| if all(&[Skipped]) { Skipped } else { UpstreamFailed }),
        "one_failed" if failed => Some(Running),
        "one_done" if any(&[Success, Failed]) => Some(Running),
        "one_failed" | "one_done" => done.then_some(Skipped),
        "none_failed" | "none_failed_min_one_success" if failed => Some(UpstreamFailed),
        "none_failed" => done.then_some(Running),
        "none_failed_min_one_success" => done.then(|| if any(&[Success]) { Running } else { Skipped }),
        "none_skipped" if any(&[Skipped]) => Some(Skipped),
        "none_skipped" => done.then_some(Running),
        "all_skipped" if any(&[Success, Failed, UpstreamFailed]) => Some(Skipped),
        "all_skipped" => done.then_some(Running),
        other => broken(format!("no trigger rule is called {other}")),
    }
}

impl Task {
    /// How long after its failure number `failures` the task is tried again.
    fn delay(&self, failures: u32) -> SignedDuration {
        let mut delay = self.retry_delay;
        for _ in 1..failures {
            delay = (delay * i64::from(self.retry_backoff)).min(1 << 40);
        }
        SignedDuration::from_secs(delay.min(self.retry_max_delay.max(self.retry_delay)))
    }
}
