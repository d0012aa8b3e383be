//! Attempts: starting, adopting, stopping, and taking note of their ends.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::time::Duration;
use std::{fs, io, thread};

use jiff::Timestamp;

use super::{Driver, Item, Key, Live, Message, Starting, record_of, report};
use crate::dag::schedule::DataInterval;
use crate::dag::template::{Renderer, Scope, iso};
use crate::dag::units::format_duration;
use crate::runner::actions;
use crate::runner::attempt::{ATTEMPT_VARIABLE, AttemptKey, AttemptSpec, Ending, ExitRecord};
use crate::runner::engine::{Event, Outcome, Start};
use crate::runner::launch::{self, Claim};
use crate::runner::shim::describe;
use crate::runner::spawner::{Report, Spawner};

/// The exit status with which a task says that it has nothing to do.
const SKIPPED: i32 = 99;

impl Driver {
    /// Names an attempt before it is committed.
    pub(super) fn starting(&mut self, start: Start) -> Starting {
        let task = &start.plan.dag.tasks[start.task].id;
        let run_id = self.runs.get(&start.run).map_or_else(|| start.run.0.to_string(), |run| run.run_id.clone());
        let log_file = format!(".crondag/logs/{}/{run_id}/{task}.{}.log", start.plan.dag.id, start.try_number);
        Starting { start, claim: self.attempt_files.claim(), log_file }
    }

    /// Starts an attempt that has been committed.
    pub(super) fn start(&mut self, starting: Starting) {
        let Starting { start, claim: Claim { token, file }, log_file } = starting;
        let task = start.plan.dag.tasks[start.task].id.clone();
        let key: Key = (start.run, task, start.try_number);
        let started_at = Timestamp::now();
        let launched = self.spec(&start, &token, &log_file).and_then(|spec| {
            let launched = file.and_then(|file| self.launch(&spec, &file));
            launched.map_err(|error| launch_error(&error))
        });
        self.keys.insert(token.clone(), key.clone());
        self.live.insert(
            key.clone(),
            Live { token, log_file, started_at, is_reporting: true, is_stopping: false, has_ended: false },
        );
        if let Err(reason) = launched {
            self.could_not_start(&key, reason);
        }
    }

    /// Hands the attempt to the spawner; starts one when there is none, or when it has been killed.
    fn launch(&mut self, spec: &AttemptSpec, file: &fs::File) -> io::Result<()> {
        if let Some(spawner) = &self.spawner {
            match spawner.spawn(spec, file) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.lose_spawner(),
                done => return done,
            }
        }
        let (spawner, mut reports) = Spawner::start()?;
        let sender = self.sender.clone();
        thread::Builder::new().name("reports".to_owned()).spawn(move || {
            while let Some(report) = reports.next() {
                if sender.send(Message::Report(report)).is_err() {
                    return;
                }
            }
        })?;
        self.spawner.insert(spawner).spawn(spec, file)
    }

    /// Watches the attempts of a spawner that is gone by their locks.
    fn lose_spawner(&mut self) {
        report("the process that starts attempts was killed; its attempts live on");
        self.spawner = None;
        let mut lost = Vec::new();
        for (key, live) in &mut self.live {
            if std::mem::take(&mut live.is_reporting) {
                lost.push(key.clone());
            }
        }
        for key in lost {
            self.wait_for_lock(&key);
        }
    }

    /// Looks whether it was the spawner that ended.
    pub(super) fn look_after_spawner(&mut self) {
        if self.spawner.as_mut().is_some_and(|spawner| !spawner.is_alive()) {
            self.lose_spawner();
        }
    }

    /// Takes in what a shim or the spawner says of an attempt.
    pub(super) fn take_report(&mut self, report: Report) {
        match report {
            Report::Ended(record) => {
                if let Some(key) = self.keys.get(&record.token).cloned() {
                    self.attempt_ended(&key, record);
                }
            }
            // Killed, or its disk fails. Looking for survivors may take a while, and not in this thread.
            Report::Gone => {
                let is_free = |live: &Live| {
                    let path = self.attempt_files.path(&live.token);
                    live.is_reporting && !matches!(launch::inspect(&path, &live.token), Ok(launch::Found::Alive))
                };
                let lost: Vec<Key> =
                    self.live.iter().filter(|(_, live)| is_free(live)).map(|(key, _)| key.clone()).collect();
                for key in lost {
                    self.wait_for_lock(&key);
                }
            }
            Report::Refused { token, errno } => {
                if let Some(key) = self.keys.get(&token).cloned() {
                    self.could_not_start(&key, launch_error(&io::Error::from_raw_os_error(errno)));
                }
            }
        }
    }

    fn could_not_start(&mut self, key: &Key, reason: String) {
        let Some(live) = self.live.get(key) else { return };
        let (token, started_at, log_file) = (live.token.clone(), live.started_at, live.log_file.clone());
        self.log_failed_start(&log_file, &reason);
        let record = ExitRecord {
            token,
            started_at,
            ended_at: Timestamp::now(),
            ending: Ending::NotStarted { reason },
            cpu_seconds: 0.0,
            max_rss_bytes: 0,
            left_behind: 0,
        };
        self.attempt_ended(key, Box::new(record));
    }

    fn spec(&mut self, start: &Start, token: &str, log_file: &str) -> Result<AttemptSpec, String> {
        let dag = &start.plan.dag;
        let task = &dag.tasks[start.task];
        let run = self.runs.get(&start.run).ok_or("the driver has lost sight of the run; this is a bug of crondag")?;
        let mut params = dag.params.clone();
        params.extend(run.params.clone());
        let interval = DataInterval { start: run.logical_date, end: run.data_interval_end };
        let renderer = Renderer::new(&Scope {
            dag,
            task,
            interval,
            run_id: &run.run_id,
            try_number: start.try_number,
            params: &params,
            vars: &self.config.vars,
        });
        let prepared =
            actions::prepare(self.home.root(), &self.config, dag, task, &renderer).map_err(|e| e.to_string())?;
        let mut env: BTreeMap<String, String> = prepared.environment.variables;
        env.insert(ATTEMPT_VARIABLE.to_owned(), token.to_owned());
        let key = AttemptKey {
            dag_id: dag.id.clone(),
            run_id: run.run_id.clone(),
            task_id: task.id.clone(),
            try_number: start.try_number,
        };
        let logical_date = iso(&run.logical_date.to_zoned(dag.timezone.clone()));
        self.make_log_folder(log_file)?;
        Ok(AttemptSpec {
            key,
            token: token.to_owned(),
            logical_date,
            argv: prepared.argv,
            display: prepared.display,
            stdin: prepared.stdin,
            env,
            working_dir: prepared.working_dir,
            timeout: task.timeout,
            kill_grace: self.config.kill_grace,
            log_file: self.home.root().join(log_file),
            log_max_size: self.config.logs.max_size,
            secrets: prepared.environment.secrets,
        })
    }

    fn make_log_folder(&mut self, log_file: &str) -> Result<(), String> {
        let folder = log_file.rsplit_once('/').map_or("", |(folder, _)| folder);
        if self.folders.contains(folder) {
            return Ok(());
        }
        let path = self.home.root().join(folder);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|error| format!("cannot make the log folder {}: {error}", path.display()))?;
        self.folders.insert(folder.to_owned());
        Ok(())
    }

    /// An attempt that could not start has a log too: it is where people look first.
    fn log_failed_start(&mut self, log_file: &str, reason: &str) {
        let path = self.home.root().join(log_file);
        let written = self.make_log_folder(log_file).and_then(|()| {
            let mut file = fs::File::options()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(&path)
                .map_err(|error| error.to_string())?;
            writeln!(file, "[crondag] the attempt could not start\nerror: {reason}").map_err(|error| error.to_string())
        });
        if let Err(error) = written {
            report(&format!("cannot write {}: {error}", path.display()));
        }
    }

    /// Takes an attempt up that another driver started.
    pub(super) fn adopt(&mut self, key: &Key, token: String, log_file: String, started_at: Timestamp) {
        self.keys.insert(token.clone(), key.clone());
        let live = Live { token, log_file, started_at, is_reporting: false, is_stopping: false, has_ended: false };
        self.live.insert(key.clone(), live);
        self.wait_for_lock(key);
    }

    /// Waits, in the background, for an attempt's lock to become free.
    fn wait_for_lock(&mut self, key: &Key) {
        let Some(live) = self.live.get_mut(key) else { return };
        live.is_reporting = false;
        let (key, token, started_at) = (key.clone(), live.token.clone(), live.started_at);
        let path = self.attempt_files.path(&token);
        let grace = self.config.kill_grace;
        let sender = self.sender.clone();
        let wait = move || {
            let found = launch::wait(&path, &token).unwrap_or_else(|error| {
                report(&format!("cannot read {}: {error}", path.display()));
                launch::Found::Gone
            });
            let record = record_of(found, &token, started_at, || launch::end_survivors(&path, &token, grace));
            if let Some(record) = record {
                // A driver that is gone needs no message.
                let _ = sender.send(Message::Ended(key, record));
            }
        };
        Driver::in_background("adopted", wait);
    }

    /// Runs something in a thread; when the system refuses one, right here.
    pub(super) fn in_background(name: &str, work: impl FnOnce() + Send + 'static) {
        let slot = std::sync::Arc::new(std::sync::Mutex::new(Some(work)));
        let in_thread = slot.clone();
        let run = move || {
            if let Some(work) = in_thread.lock().ok().and_then(|mut slot| slot.take()) {
                work();
            }
        };
        if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(run) {
            report(&format!("no thread for `{name}`, waiting instead: {error}"));
            if let Some(work) = slot.lock().ok().and_then(|mut slot| slot.take()) {
                work();
            }
        }
    }

    /// Takes note of the end of an attempt.
    pub(super) fn attempt_ended(&mut self, key: &Key, record: Box<ExitRecord>) {
        let Some(live) = self.live.get_mut(key) else { return };
        // A shim whose spawner was killed may both report and let its lock be seen.
        if std::mem::replace(&mut live.has_ended, true) {
            return;
        }
        let (run, task, try_number) = key.clone();
        self.ended.insert((run, task.clone()), (record.started_at, record.ended_at, live.log_file.clone()));
        let outcome = match &record.ending {
            Ending::Exited { code: 0 } => Outcome::Success,
            Ending::Exited { code: SKIPPED } => Outcome::Skipped,
            Ending::TimedOut => {
                let took = record.ended_at.duration_since(record.started_at);
                let took = Duration::try_from(took).unwrap_or_default();
                Outcome::Failed { reason: format!("timed out after {}", format_duration(took)) }
            }
            other => Outcome::Failed { reason: describe(other) },
        };
        self.items.push(Item::End { key: key.clone(), record });
        self.events.push_back(Event::AttemptEnded { run, task, try_number, outcome });
    }

    /// The end is committed: the attempt file has done its duty.
    pub(super) fn forget_attempt(&mut self, key: &Key) {
        self.ended.remove(&(key.0, key.1.clone()));
        if let Some(live) = self.live.remove(key) {
            self.keys.remove(&live.token);
            self.attempt_files.give_back(&live.token);
        }
    }

    /// Asks a shim to stop its attempt; its end is noticed like any other.
    pub(super) fn stop(&mut self, key: &Key) {
        let Some(live) = self.live.get_mut(key) else { return };
        if std::mem::replace(&mut live.is_stopping, true) {
            return;
        }
        let path = self.attempt_files.path(&live.token);
        let token = live.token.clone();
        // A shim that has only just been started has not said yet who it is.
        let stop = move || {
            for _ in 0..100 {
                match launch::stop(&path, &token) {
                    Ok(true) => return,
                    Ok(false) => thread::sleep(Duration::from_millis(20)),
                    Err(error) => return report(&format!("cannot stop {token}: {error}")),
                }
            }
        };
        Driver::in_background("stop", stop);
    }
}

fn launch_error(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EAGAIN) => "the process table is full (see `ulimit -u`)".to_owned(),
        Some(libc::EMFILE | libc::ENFILE) => "too many open files (see `ulimit -n`)".to_owned(),
        Some(libc::ENOSPC) => "the disk of the state folder is full".to_owned(),
        Some(libc::EROFS) => "the disk of the state folder is read-only".to_owned(),
        _ => format!("the shim cannot be started: {error}"),
    }
}
