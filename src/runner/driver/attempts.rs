//! Attempts: starting, adopting, stopping, and taking note of their ends.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value as Json;

use super::{Driver, EndedAttempt, Host, Item, Key, Live, Message, Starting};
use crate::dag::schedule::DataInterval;
use crate::dag::template::{Renderer, Scope, Secrets};
use crate::dag::units::format_duration;
use crate::dag::{Config, RunNumber, SKIP_EXIT_STATUS};
use crate::home::Home;
use crate::runner::actions;
use crate::runner::attempt::{AttemptSpec, Ending, ExitRecord, Launch, LimitedBy, TimeLimit};
use crate::runner::driver_log::line::{Happening, Line};
use crate::runner::engine::{Event, Outcome, Start};
use crate::store::RunRow;

impl<H: Host> Driver<H> {
    /// Names an attempt before it is committed.
    pub(super) fn starting(&mut self, start: Start) -> Starting {
        let task = &start.plan.dag.tasks[start.task].id;
        let run_id = self.runs.get(&start.run).map_or_else(|| start.run.0.to_string(), |run| run.run_id.clone());
        let attempt = (task.as_str(), start.try_number);
        let log_file = Home::log_of_attempt(start.plan.dag.id.as_str(), &run_id, attempt);
        Starting { start, token: self.host.claim(), log_file }
    }

    /// Starts an attempt that has been committed.
    pub(super) fn start(&mut self, starting: Starting) {
        let Starting { start, token, log_file } = starting;
        let task = start.plan.dag.tasks[start.task].id.clone();
        let key: Key = (start.run, task, start.try_number);
        let started_at = self.host.now();
        self.keys.insert(token.clone(), key.clone());
        self.live.insert(
            key.clone(),
            Live {
                token: token.clone(),
                log_file: log_file.clone(),
                started_at,
                is_reporting: true,
                is_stopping: false,
                has_ended: false,
            },
        );
        let Some(run) = self.runs.get(&start.run).cloned() else {
            return self
                .could_not_start(&key, "the driver has lost sight of the run; this is a bug of crondag".to_owned());
        };
        let limit = limit_of(&start, started_at);
        let recipe = Recipe { start, run, token: token.clone(), log_file, limit };
        if self.config.secrets_may_take_a_while() {
            let (home, config) = (self.home.clone(), self.config.clone());
            self.host
                .in_background(Box::new(move || Message::Prepared(token, recipe.spec(&home, &config).map(Box::new))));
        } else {
            let spec = recipe.spec(&self.home, &self.config);
            self.launch(&key, spec);
        }
    }

    /// Takes in that an attempt is prepared.
    pub(super) fn attempt_prepared(&mut self, token: &str, spec: Result<Box<AttemptSpec>, String>) {
        let Some(key) = self.keys.get(token).cloned() else { return };
        if self.live.get(&key).is_some_and(|live| live.is_stopping) {
            self.did_not_start(&key, Ending::Stopped);
        } else {
            self.launch(&key, spec.map(|spec| *spec));
        }
    }

    fn launch(&mut self, key: &Key, spec: Result<AttemptSpec, String>) {
        match spec.and_then(|spec| self.host.launch(&spec)) {
            Ok(()) => self.say_live(Happening::AttemptStarted, key),
            Err(reason) => self.could_not_start(key, reason),
        }
    }

    /// Nobody reports any more: watches all attempts.
    pub(super) fn watch_all(&mut self) {
        self.watch_where(|_, live| live.is_reporting);
    }

    /// Watches those that should report and are gone. Finding what they left may take a while, so that is not done here.
    pub(super) fn watch_gone(&mut self) {
        self.watch_where(|host, live| live.is_reporting && host.is_gone(&live.token));
    }

    fn watch_where(&mut self, is_meant: impl Fn(&H, &Live) -> bool) {
        let mut keys: Vec<Key> =
            self.live.iter().filter(|(_, live)| is_meant(&self.host, live)).map(|(key, _)| key.clone()).collect();
        keys.sort();
        for key in keys {
            self.watch(&key);
        }
    }

    /// Takes in a shim's record.
    pub(super) fn attempt_reported(&mut self, record: Box<ExitRecord>) {
        if let Some(key) = self.keys.get(&record.token).cloned() {
            self.attempt_ended(&key, record);
        }
    }

    /// Takes in that an attempt could not be started after all.
    pub(super) fn attempt_refused(&mut self, token: &str, reason: String) {
        if let Some(key) = self.keys.get(token).cloned() {
            self.could_not_start(&key, reason);
        }
    }

    fn could_not_start(&mut self, key: &Key, reason: String) {
        self.did_not_start(key, Ending::NotStarted { reason });
    }

    fn did_not_start(&mut self, key: &Key, ending: Ending) {
        let Some(live) = self.live.get(key) else { return };
        self.host.log_failed_start(&live.log_file, &ending.to_string());
        let record = ExitRecord {
            token: live.token.clone(),
            started_at: live.started_at,
            ended_at: self.host.now(),
            ending,
            cpu_seconds: 0.0,
            max_rss_bytes: 0,
            left_behind: 0,
            left_running: 0,
            log_failure: None,
            log_left_out: 0,
            printed: None,
        };
        self.attempt_ended(key, Box::new(record));
    }

    /// The values of the template variables in what a task waits for. Secrets have no business there.
    pub(super) fn renderer(&self, start: &Start) -> Result<Renderer, String> {
        let run = self.runs.get(&start.run).ok_or("the driver has lost sight of the run; this is a bug of crondag")?;
        let params = params_of(start, run);
        Ok(Renderer::new(&scope(start, run, &params, &self.config), Secrets::none()))
    }

    /// Takes an attempt up that another driver started.
    pub(super) fn adopt(&mut self, key: &Key, token: String, log_file: String, started_at: Timestamp) {
        self.keys.insert(token.clone(), key.clone());
        let live = Live { token, log_file, started_at, is_reporting: false, is_stopping: false, has_ended: false };
        self.live.insert(key.clone(), live);
        self.say_live(Happening::AttemptAdopted, key);
        self.watch(key);
    }

    fn watch(&mut self, key: &Key) {
        let Some(live) = self.live.get_mut(key) else { return };
        live.is_reporting = false;
        self.host.watch(key.clone(), live.token.clone(), live.started_at, self.config.kill_grace);
    }

    /// Takes note of the end of an attempt.
    pub(super) fn attempt_ended(&mut self, key: &Key, record: Box<ExitRecord>) {
        let Some(live) = self.live.get_mut(key) else { return };
        // A shim whose spawner was killed may both report and let its lock be seen.
        if std::mem::replace(&mut live.has_ended, true) {
            return;
        }
        if let Some(error) = &record.log_failure {
            let what = format!("the disk did not take the whole of the log {}", live.log_file);
            self.host.report(&Line::trouble(&what, error));
        }
        let (run, task, try_number) = key.clone();
        let ended = EndedAttempt {
            started_at: record.started_at,
            ended_at: record.ended_at,
            log_file: live.log_file.clone(),
            printed: record.printed.map(|printed| (printed.from, printed.until)),
        };
        self.ended.insert((run, task.clone()), ended);
        let outcome = match &record.ending {
            Ending::Exited { code: 0 } => Outcome::Success,
            Ending::Exited { code: SKIP_EXIT_STATUS } => Outcome::Skipped,
            Ending::TimedOut { by: LimitedBy::ForAtMost, .. } => Outcome::WaitTimedOut,
            Ending::TimedOut { limit, by: LimitedBy::Timeout } => {
                let took = record.ended_at.duration_since(record.started_at);
                let took = format_duration(Duration::try_from(took).unwrap_or_default());
                let reason = match limit {
                    Some(limit) => format!("timed out after {took} (its timeout is {})", format_duration(*limit)),
                    None => format!("timed out after {took}"),
                };
                Outcome::Failed { reason, exit_status: None }
            }
            Ending::Exited { code } => Outcome::Failed { reason: record.ending.to_string(), exit_status: Some(*code) },
            Ending::Signaled { .. } | Ending::Stopped | Ending::NotStarted { .. } | Ending::Lost { .. } => {
                Outcome::Failed { reason: record.ending.to_string(), exit_status: None }
            }
        };
        self.items.push(Item::End { key: key.clone(), record });
        self.events.push_back(Event::AttemptEnded { run, task, try_number, outcome });
    }

    /// The end is committed: the attempt file has done its duty.
    pub(super) fn forget_attempt(&mut self, key: &Key) {
        self.ended.remove(&(key.0, key.1.clone()));
        if let Some(live) = self.live.remove(key) {
            self.keys.remove(&live.token);
            self.host.release(&live.token);
        }
    }

    /// Asks a shim to stop its attempt; its end is noticed like any other.
    pub(super) fn stop(&mut self, key: &Key) {
        let Some(live) = self.live.get_mut(key) else { return };
        if std::mem::replace(&mut live.is_stopping, true) {
            return;
        }
        self.host.stop(&live.token);
    }

    /// Gives what is being stopped of a run no more time: attempts whose tasks do not run any more.
    pub(super) fn kill(&mut self, run: RunNumber) {
        for ((of, ..), live) in &self.live {
            if *of == run && live.is_stopping {
                self.host.kill(&live.token);
            }
        }
    }
}

/// An attempt that is about to start, with all that its preparation needs.
struct Recipe {
    start: Start,
    run: RunRow,
    token: String,
    /// Relative to the home.
    log_file: String,
    limit: Option<TimeLimit>,
}

/// How long an attempt that starts now may take: its timeout, or what is left of its wait.
fn limit_of(start: &Start, now: Timestamp) -> Option<TimeLimit> {
    let timeout = start.plan.dag.tasks[start.task].timeout.map(|after| TimeLimit { after, by: LimitedBy::Timeout });
    let left = start.ends_by.map(|at| TimeLimit {
        after: Duration::try_from(at.duration_since(now)).unwrap_or_default(),
        by: LimitedBy::ForAtMost,
    });
    [left, timeout].into_iter().flatten().min_by_key(|limit| limit.after)
}

/// The DAG's params, overridden by the run's own.
fn params_of(start: &Start, run: &RunRow) -> BTreeMap<String, Json> {
    let mut params = start.plan.dag.params.clone();
    params.extend(run.params.clone());
    params
}

/// What the templates of an attempt may use.
fn scope<'a>(start: &'a Start, run: &'a RunRow, params: &'a BTreeMap<String, Json>, config: &'a Config) -> Scope<'a> {
    let dag = &start.plan.dag;
    Scope {
        dag,
        task: &dag.tasks[start.task],
        interval: DataInterval { start: run.logical_date, end: run.data_interval_end },
        run_type: run.run_type,
        run_id: &run.run_id,
        try_number: start.try_number,
        params,
        vars: &config.vars,
    }
}

impl Recipe {
    fn spec(self, home: &Home, config: &Config) -> Result<AttemptSpec, String> {
        let Recipe { start, run, token, log_file, limit } = self;
        let params = params_of(&start, &run);
        let scope = scope(&start, &run, &params, config);
        let prepared = actions::prepare(home.root(), config, &scope, false)?;
        let log_file = home.root().join(log_file);
        let launch = Launch { token, limit, log_file, log_max_size: config.logs.max_size };
        Ok(AttemptSpec::new(&scope, config, prepared, launch))
    }
}
