//! The promises as assertions. They know the database by SQL of their own and the world by its records; whatever the driver
//! commits is read back, event by event, and held against what the DAG files say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::time::Duration;

use crondag::dag::{RunState, RunType, TaskId, TaskState, Transition};
use crondag::home::Home;
use crondag::runner::attempt::AttemptSpec;
use crondag::store::Store;
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::due::Dags;
use super::journal::Run;
use super::processes::Process;
use super::version::{POOLS, Version};
use super::world::{Elapsed, broken};

/// What may be known of the world when the promises are checked.
pub struct Facts<'a> {
    pub processes: &'a BTreeMap<String, Process>,
    /// A fault of the disk may have delayed commits.
    pub was_faulty: bool,
    /// The latest time that the clock has said to a driver: it may have been set back since.
    pub latest: Timestamp,
    /// How long the world has lived, whatever its clock says.
    pub elapsed: Elapsed,
    /// When the clock was set back in the world's own time, and what it said then.
    pub set_backs: &'a [(Elapsed, Timestamp)],
}

/// Something that people want to hear of, by the kind of its notice.
#[derive(Debug, PartialEq)]
pub struct Caused {
    kind: &'static str,
    dag: String,
    run: i64,
    task: String,
}

impl Caused {
    pub fn of(kind: &'static str, dag: &str, run: i64, task: &str) -> Caused {
        Caused { kind, dag: dag.to_owned(), run, task: task.to_owned() }
    }
}

/// See the module.
pub struct Promises {
    pub connection: Connection,
    /// The index of the write-ahead log. Never closed before the world ends: that would drop the locks of this process.
    log_index: File,
    /// Its head when it was last read: every commit changes it.
    seen: [u8; 48],
    /// How often something was committed, as far as it was read.
    pub commits: u64,
    /// [`commits`](Self::commits) when nothing was found waiting that could go on.
    rested: u64,
    last_event: i64,
    last_notice: i64,
    /// Of DAGs that failed: when the incident was opened, and its failures.
    incidents: BTreeMap<String, (i64, u32)>,
    parallelism: u32,
    pub texts: BTreeMap<String, Rc<Version>>,
    pub versions: BTreeMap<i64, Rc<Version>>,
    pub runs: BTreeMap<i64, Run>,
    /// Runs that have not ended.
    pub open: BTreeSet<i64>,
    /// Interval runs by DAG and logical date.
    pub by_date: BTreeMap<String, BTreeMap<(Timestamp, Timestamp), i64>>,
    /// The same as pairs, to be compared with what is due.
    pub intervals: BTreeSet<(String, Timestamp, Timestamp)>,
    /// Runs that somebody has marked or stopped.
    pub asked: BTreeSet<i64>,
    /// What those who cleared tasks of a run have listed.
    pub listed: BTreeMap<i64, Listed>,
    /// Message ids of mails that reached people.
    pub delivered: BTreeSet<String>,
    /// Of those that did not: how old they were when they were last tried.
    pub refused: BTreeMap<String, SignedDuration>,
    pub events: u64,
    pub counts: super::world::Counts,
    /// Attempts that have not ended.
    pub living: usize,
    /// Waits whose file the host has seen: run, task, attempt.
    pub found: BTreeSet<(i64, String, u32)>,
}

impl Facts<'_> {
    /// The earliest that something may be over that began when the clock said `at`, or has been counted anew since the clock was
    /// set back.
    pub fn earliest(&self, at: Timestamp, began: Elapsed, lasts: SignedDuration) -> Timestamp {
        let counted = self.set_backs.iter().filter(|(since, _)| *since >= began).map(|(_, said)| *said);
        counted.min().map_or(at, |said| said.min(at)) + lasts
    }
}

/// What may start again in a run.
#[derive(Debug, Default)]
pub struct Listed {
    /// The whole run, or what a mark decides.
    is_all: bool,
    tasks: BTreeSet<String>,
    /// The file that those saw who asked last.
    seen: Option<Rc<Version>>,
}

impl Promises {
    pub fn new(home: &Home, parallelism: u32) -> Promises {
        let connection = Connection::open(home.database_path()).unwrap();
        connection.busy_timeout(Duration::from_secs(1)).unwrap();
        connection.set_prepared_statement_cache_capacity(64);
        let log_index = File::open(home.database_path().with_extension("db-shm")).unwrap();
        Promises {
            connection,
            log_index,
            seen: [0; 48],
            commits: 0,
            rested: 0,
            last_event: 0,
            last_notice: 0,
            incidents: BTreeMap::new(),
            parallelism,
            texts: BTreeMap::new(),
            versions: BTreeMap::new(),
            runs: BTreeMap::new(),
            open: BTreeSet::new(),
            by_date: BTreeMap::new(),
            intervals: BTreeSet::new(),
            asked: BTreeSet::new(),
            listed: BTreeMap::new(),
            delivered: BTreeSet::new(),
            refused: BTreeMap::new(),
            events: 0,
            counts: BTreeMap::new(),
            living: 0,
            found: BTreeSet::new(),
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

    /// DAGs as the database has them.
    pub fn found(&mut self) -> Dags {
        type Row = (String, bool, bool, i64, Option<i64>, Option<i64>);
        let found: Vec<Row> = self
            .connection
            .prepare_cached("SELECT dag_id, is_active, is_paused, schedule_from, scheduled_until, version_id FROM dags")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let mut dags = Dags::new();
        for (dag, is_active, is_paused, from, until, version) in found {
            let mark = version.map(|version| self.version(version).mark);
            dags.insert(dag, (is_active, is_paused, from, until, mark));
        }
        dags
    }

    /// How many scheduled runs of each DAG wait for their turn.
    pub fn queued(&self) -> BTreeMap<String, u64> {
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT dag_id, count(*) FROM runs WHERE state = 'queued' AND run_type = 'scheduled' GROUP BY dag_id",
            )
            .unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()))).unwrap();
        rows.map(Result::unwrap).collect()
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

    /// Whether a driver has something to do at a certain time.
    pub fn has_timers(&self) -> bool {
        self.open.iter().map(|number| &self.runs[number]).any(|run| {
            let has_timeout = run.version.as_ref().is_some_and(|(_, version)| version.run_timeout.is_some());
            let is_timed = |task: &super::journal::Instance| {
                matches!(task.state, TaskState::UpForRetry | TaskState::UpForReschedule)
            };
            run.state == RunState::Running && (has_timeout || run.tasks.values().any(is_timed))
        })
    }

    /// Runs that have not ended, with the backfills that have them.
    pub fn unfinished(&self) -> BTreeMap<i64, Option<i64>> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT id, backfill_id FROM runs WHERE state IN ('queued', 'running')")
            .unwrap();
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    }

    pub fn backfills(&self) -> Vec<(i64, bool)> {
        let mut statement = self.connection.prepare_cached("SELECT id, is_held FROM backfills ORDER BY id").unwrap();
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    }

    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn number(&self, sql: &str) -> i64 {
        self.connection.prepare_cached(sql).unwrap().query_row([], |row| row.get(0)).unwrap()
    }

    /// Whether nobody has anything to do any more.
    pub fn is_over(&self) -> bool {
        self.number("SELECT count(*) FROM runs WHERE state IN ('queued', 'running')") == 0
            && self.number("SELECT count(*) FROM attempts WHERE ended_at IS NULL") == 0
            && self.number("SELECT count(*) FROM intents") == 0
            && self.number("SELECT count(*) FROM outbox WHERE next_try_at IS NOT NULL") == 0
    }

    // ---- after each commit -----------------------------------------------------------------------------------------

    /// Reads what has been committed since the last time and holds it against the promises.
    pub fn check(&mut self, facts: &Facts<'_>) {
        let mut seen = [0; 48];
        self.log_index.read_exact_at(&mut seen, 0).unwrap();
        if seen == self.seen {
            return;
        }
        self.seen = seen;
        self.commits += 1;
        // One transaction: taking the locks costs more than the questions.
        self.connection.prepare_cached("BEGIN").unwrap().execute([]).unwrap();
        self.check_commits(facts);
        self.connection.prepare_cached("COMMIT").unwrap().execute([]).unwrap();
    }

    fn check_commits(&mut self, facts: &Facts<'_>) {
        let mut caused = Vec::new();
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
            let mut touched = BTreeSet::new();
            for (id, at, run, data) in events {
                self.last_event = id;
                touched.insert(run);
                let at = Timestamp::from_microsecond(at).unwrap();
                if data.contains("\"created\"") {
                    self.created(run);
                } else {
                    let transition: Transition = serde_json::from_str(&data).unwrap();
                    self.transition(&transition, at, facts, &mut caused);
                }
            }
            self.check_runs(&touched);
        }
        self.check_notices(caused);
        self.check_slots(facts);
    }

    /// The backfill that has the run now.
    pub fn owner(&self, number: i64) -> Option<i64> {
        self.connection
            .prepare_cached("SELECT backfill_id FROM runs WHERE id = ?1")
            .unwrap()
            .query_row([number], |row| row.get(0))
            .unwrap()
    }

    /// Somebody says which tasks of a run are to start again, and sees this file; `None` stands for all, whatever the file.
    pub fn list(&mut self, number: i64, seen: Option<(&[TaskId], &Rc<Version>)>) {
        let listed = self.listed.entry(number).or_default();
        match seen {
            Some((tasks, file)) => {
                listed.tasks.extend(tasks.iter().map(ToString::to_string));
                listed.seen = Some(file.clone());
            }
            None => listed.is_all = true,
        }
    }

    /// Only means only: a task that starts again in a run, or that the run gets, was listed by somebody. Who backfills may ask for
    /// any. What somebody has edited since, before the run began again, is not known to those who asked.
    pub fn check_listed(&self, number: i64, name: &str, version: Option<&Rc<Version>>) {
        let (is_listed, knew) = match self.listed.get(&number) {
            Some(listed) => (
                listed.is_all || listed.tasks.contains(name),
                version.zip(listed.seen.as_ref()).is_none_or(|(now, seen)| now.text == seen.text),
            ),
            None => (false, true),
        };
        if !is_listed && knew && self.owner(number).is_none() {
            broken(format!("run {number} begins {name} again, which nobody has listed"));
        }
    }

    /// Each notice has its cause; each cause that people want to hear of has its notice, or is counted in an incident of
    /// which they have been told.
    fn check_notices(&mut self, mut caused: Vec<Caused>) {
        let found: Vec<(i64, String, String, String)> = self
            .connection
            .prepare_cached("SELECT id, kind, dag_id, notice FROM outbox WHERE id > ?1 ORDER BY id")
            .unwrap()
            .query_map([self.last_notice], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let mut failing: BTreeMap<String, u32> = BTreeMap::new();
        for cause in caused.iter().filter(|cause| cause.kind == "task_failed") {
            *failing.entry(cause.dag.clone()).or_default() += 1;
        }
        let mut told = BTreeSet::new();
        for (id, kind, dag, notice) in found {
            self.last_notice = id;
            self.count("notices");
            if kind == "digest" {
                self.count("digests");
                continue;
            }
            let notice: serde_json::Value = serde_json::from_str(&notice).unwrap();
            let event = &notice["event"];
            let is_it = |cause: &Caused| {
                cause.kind == kind
                    && cause.dag == dag
                    && (kind == "recovered"
                        || event["run"]["number"] == cause.run
                            && event["task"]["task_id"].as_str().unwrap_or_default() == cause.task)
            };
            match caused.iter().position(is_it) {
                Some(at) => drop(caused.swap_remove(at)),
                None => {
                    broken(format!("promise 4: a notice that nothing caused: {kind} {event}: {}", self.last_events()))
                }
            }
            if kind == "recovered" {
                self.count("recoveries");
            } else if kind.ends_with("failed") {
                told.insert(dag);
            }
        }
        if let Some(missing) = caused.iter().find(|cause| matches!(cause.kind, "task_retry" | "task_succeeded")) {
            broken(format!("promise 4: committed without its notice: {missing:?}"));
        }
        // A run that failed without a task opens an incident too.
        for dag in told.iter().filter(|dag| !failing.contains_key(*dag)) {
            if let Some((opened_at, failures, _)) = self.incident(dag) {
                self.incidents.insert(dag.clone(), (opened_at, failures));
            }
        }
        for (dag, now) in failing {
            self.check_counted(&dag, now, told.contains(&dag));
        }
    }

    /// When the newest incident of a DAG was opened, its failures, and who was told.
    fn incident(&self, dag: &str) -> Option<(i64, u32, String)> {
        self.connection
            .prepare_cached("SELECT opened_at, failures, told FROM incidents WHERE dag_id = ?1")
            .unwrap()
            .query_row([dag], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .ok()
    }

    /// Failures without a notice of their own are counted in the incident of their DAG, of which people have been told.
    fn check_counted(&mut self, dag: &str, now: u32, is_told: bool) {
        let Some((opened_at, failures, people)) = self.incident(dag) else {
            broken(format!("promise 4: {dag} failed without an incident"))
        };
        let before = self.incidents.insert(dag.to_owned(), (opened_at, failures));
        let is_counted = match before {
            Some((opened, before)) if opened == opened_at && before <= failures => failures - before >= now,
            _ => is_told && failures > 0,
        };
        if !is_told {
            self.count("failures counted in incidents");
        }
        if !is_counted || people == "[]" {
            broken(format!(
                "promise 4: {now} failures of {dag} are not counted: {before:?}, {failures}, told {people}"
            ));
        }
    }

    /// For people.
    fn last_events(&self) -> String {
        let mut statement = self.connection.prepare("SELECT data FROM events ORDER BY id DESC LIMIT 12").unwrap();
        let events = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        events.map(Result::unwrap).collect::<Vec<_>>().join(" < ")
    }

    /// Who lives is recorded, and no more live than may.
    fn check_slots(&mut self, facts: &Facts<'_>) {
        let open: Vec<(i64, String, String)> = self
            .connection
            .prepare_cached("SELECT run, task_id, token FROM attempts WHERE ended_at IS NULL ORDER BY run, task_id")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        self.living = open.len();
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
            if run.tasks.get(task).is_some_and(|task| task.state == TaskState::UpForReschedule) {
                broken(format!(
                    "{} {} {task}: waits for its next evaluation and holds an attempt",
                    run.dag, run.run_id
                ));
            }
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
    pub fn check_launch(&mut self, spec: &AttemptSpec, facts: &Facts<'_>) -> Rc<Version> {
        self.check(facts);
        let place = format!("{} {} {} {}", spec.key.dag_id, spec.key.run_id, spec.key.task_id, spec.key.try_number);
        let recorded: Option<i64> = self
            .connection
            .prepare_cached(
                "SELECT runs.id FROM attempts JOIN runs ON runs.id = run WHERE token = ?1 AND dag_id = ?2
                 AND run_id = ?3 AND task_id = ?4 AND try_number = ?5 AND ended_at IS NULL",
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
            .optional()
            .unwrap();
        let Some(number) = recorded else { broken(format!("promise 2: {place} is launched before it is recorded")) };
        let second = facts.processes.values().find(|process| {
            process.is_alive
                && process.dag == spec.key.dag_id.as_str()
                && process.run_id == spec.key.run_id
                && process.task == spec.key.task_id.as_str()
        });
        if let Some(second) = second {
            broken(format!("promise 2: {place} is launched while an earlier attempt lives: {second:?}"));
        }
        let Some((_, version)) = self.runs.get(&number).and_then(|run| run.version.clone()) else {
            broken(format!("{place} is launched, its run is unknown"));
        };
        if !spec.argv.contains(&format!("work {} version {};", spec.key.task_id, version.mark)) {
            broken(format!("promise 6: {place} does not run the version of its run: {:?}", spec.argv));
        }
        version
    }

    /// The attempt's file may be used for another.
    pub fn check_release(&mut self, token: &str, facts: &Facts<'_>) {
        self.check(facts);
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
        self.check(facts);
        for (sql, what) in [
            ("SELECT count(*) FROM attempts WHERE ended_at IS NULL", "live attempts"),
            ("SELECT count(*) FROM intents", "intents"),
            ("SELECT count(*) FROM outbox WHERE next_try_at IS NOT NULL", "mails"),
        ] {
            let count = self.number(sql);
            if count > 0 {
                broken(format!("the driver has ended and left {count} {what}"));
            }
        }
        if self.number("SELECT count(*) FROM task_instances JOIN runs ON runs.id = run LEFT JOIN backfills ON backfills.id = backfill_id
            WHERE task_instances.state IN ('up_for_retry', 'up_for_reschedule') AND NOT coalesce(is_held, 0)") > 0 {
            broken("promise 1: the driver has ended and left a task that is to be tried or evaluated again");
        }
        self.check_waiting(facts);
    }

    /// Nothing lives: then nothing may be able to go on.
    pub fn check_waiting(&mut self, facts: &Facts<'_>) {
        self.check(facts);
        // What was found at rest and has not changed since is still at rest.
        if self.rested == self.commits {
            return;
        }
        if self.number("SELECT (SELECT count(*) FROM attempts WHERE ended_at IS NULL) + (SELECT count(*) FROM intents)")
            > 0
        {
            return;
        }
        let held: BTreeSet<i64> =
            self.backfills().into_iter().filter(|(_, is_held)| *is_held).map(|(id, _)| id).collect();
        let owners = self.unfinished();
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
                let waits_for_it = owners.iter().map(|(late, owner)| (&self.runs[late], owner)).find(|(late, of)| {
                    (late.dag == run.dag
                        && late.state == RunState::Running
                        && (late.end, late.start) > (run.end, run.start))
                        && (owner.is_none() && of.is_none() && self.waits_only_for_past(late))
                });
                // It takes turns with an earlier one, which waits for a past of its own.
                let takes_turns = run.run_type == RunType::Scheduled && !run.reopened;
                let has_turn = !takes_turns
                    || !self
                        .scheduled(&run.dag, number)
                        .any(|it| it.state == RunState::Running && (it.end, it.start) < (run.end, run.start));
                if has_version
                    && has_turn
                    && let Some((late, _)) = waits_for_it
                {
                    broken(format!("promise 1: {place} is queued behind {}, which waits for its past", late.run_id));
                }
                continue;
            }
            let Some((_, version)) = &run.version else { continue };
            for (name, task) in &run.tasks {
                if task.state != TaskState::None {
                    continue;
                }
                let Some(settings) = version.task(name) else { continue };
                match run.decide(version, name) {
                    None => {}
                    Some(TaskState::Running) if settings.depends_on_past && !self.past_allows(run, name, true) => {}
                    Some(decision) => {
                        let before = settings.depends_on_past.then(|| self.run_before(run, true));
                        broken(format!(
                            "promise 1: {place} {name} could be {decision} and was left: {:?}, past: {before:?}",
                            run.tasks
                        ))
                    }
                }
            }
        }
        self.rested = self.commits;
    }

    /// The world has ended.
    pub fn check_end(&mut self, facts: &Facts<'_>) {
        self.check_rest(facts);
        if let Some((number, _)) = self.unfinished().first_key_value() {
            let run = &self.runs[number];
            broken(format!("promise 1: {} {} has not ended: {:?}", run.dag, run.run_id, run.tasks));
        }
        if let Some((token, process)) = facts.processes.iter().find(|(_, process)| process.is_alive) {
            broken(format!("promise 2: {token} still lives: {process:?}"));
        }
        let mut statement = self
            .connection
            .prepare("SELECT dag_id, logical_date, data_interval_end FROM runs WHERE run_type <> 'manual'")
            .unwrap();
        let at = |micros| Timestamp::from_microsecond(micros).unwrap();
        let runs = statement.query_map([], |row| Ok((row.get(0)?, at(row.get(1)?), at(row.get(2)?)))).unwrap();
        let runs: BTreeSet<(String, Timestamp, Timestamp)> = runs.map(Result::unwrap).collect();
        if runs != self.intervals {
            broken("promise 1: the runs are not those whose creation was recorded");
        }
        drop(statement);
        let mut statement =
            self.connection.prepare("SELECT message_id, sent_at IS NOT NULL FROM outbox WHERE digest IS NULL").unwrap();
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
