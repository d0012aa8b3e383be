//! Simulated processes: how they end, who hears of it, and what happens when a shim is killed.

use crondag::runner::attempt::{AttemptSpec, Ending, ExitRecord, LimitedBy};
use crondag::runner::driver::{Key, Message};
use crondag::runner::engine::PollResult;
use jiff::{SignedDuration, Timestamp};

use super::random::Random;
use super::version::Version;
use super::world::{Arrival, Elapsed, HOUR, Happening, MINUTE, SECOND, World, broken};

/// One attempt's processes.
#[derive(Debug)]
pub struct Process {
    pub dag: String,
    pub run_id: String,
    pub task: String,
    pub try_number: u32,
    pub started_at: Timestamp,
    /// The shim holds the lock.
    pub has_shim: bool,
    /// Processes of the program live.
    pub is_alive: bool,
    pub is_stopping: bool,
    pub record: Option<Box<ExitRecord>>,
    /// The driver that its spawner reports to.
    pub reports_to: Option<u64>,
    /// Who waits for its lock.
    pub watched_by: Option<(u64, Key)>,
    /// How it ends if nobody stops it.
    plan: Ending,
}

impl World {
    /// The processes of an attempt begin; the lock is held.
    pub fn begin_process(&mut self, spec: &AttemptSpec, version: &Version) {
        let key = &spec.key;
        let what = format!("{} {} {} {}", key.dag_id, key.run_id, key.task_id, key.try_number);
        let mut random = Random::about(self.seed, &what);
        let flaky = *Random::about(self.seed, &format!("{} {}", key.dag_id, key.task_id)).pick(&[50, 200, 700]);
        let mut plan = match random.below(1_000) {
            failing if failing < flaky => Ending::Exited { code: 1 + i32::try_from(random.below(90)).unwrap() },
            failing if failing < flaky + 15 => Ending::Signaled { signal: 9 },
            failing if failing < flaky + 60 => Ending::Exited { code: 99 },
            _ => Ending::Exited { code: 0 },
        };
        let wait = version.task(key.task_id.as_str()).and_then(|task| task.wait.clone());
        if let Some(wait) = &wait {
            // Each evaluation is an attempt of the same name.
            random = Random::about(self.seed, &spec.token);
            let is_there = self.is_there(key.dag_id.as_str(), &key.run_id, key.task_id.as_str(), wait.for_at_most);
            plan = match random.below(100) {
                0 => Ending::Signaled { signal: 9 },
                1 => Ending::Exited { code: 127 },
                _ => Ending::Exited { code: if is_there { 0 } else { 1 } },
            };
            self.count("evaluations by processes");
        }
        let longest = if wait.is_some() {
            10.0 * SECOND as f64
        } else if random.chance(100) {
            5.0 * HOUR as f64
        } else {
            20.0 * MINUTE as f64
        };
        let mut takes = Some(random.spread(0.02 * SECOND as f64, longest) as Elapsed);
        if random.chance(4) {
            takes = None;
        }
        if let Some(limit) = spec.limit {
            let after = Elapsed::try_from(limit.after.as_micros()).unwrap();
            if takes.is_none_or(|takes| takes > after) {
                takes = Some(after + random.between(0, 10 * SECOND));
                plan = limit.ending();
                if limit.by == LimitedBy::ForAtMost {
                    self.count("evaluations that outlast their wait");
                }
            }
        }
        let process = Process {
            dag: key.dag_id.to_string(),
            run_id: key.run_id.clone(),
            task: key.task_id.to_string(),
            try_number: key.try_number,
            started_at: self.now(),
            has_shim: true,
            is_alive: true,
            is_stopping: false,
            record: None,
            reports_to: Some(self.driver),
            watched_by: None,
            plan,
        };
        self.count("attempts");
        self.processes.insert(spec.token.clone(), process);
        if let Some(takes) = takes {
            self.after(takes, Happening::ProgramEnds(spec.token.clone()));
        }
        if !self.is_quiet && random.chance(15) {
            let dies = random.between(0, takes.unwrap_or(HOUR));
            self.after(dies, Happening::ShimDies(spec.token.clone()));
        }
    }

    /// Whether what a task of a run waits for is there; some things come, some never.
    fn is_there(&mut self, dag: &str, run_id: &str, task: &str, for_at_most: i64) -> bool {
        let mut random = Random::about(self.seed, &format!("{dag} {run_id} {task} comes"));
        let now = self.elapsed;
        let longest = for_at_most as f64 * 2.0 * SECOND as f64;
        let comes = self
            .awaited
            .entry((dag.to_owned(), run_id.to_owned(), task.to_owned()))
            .or_insert_with(|| (!random.chance(250)).then(|| now + random.spread(SECOND as f64, longest) as Elapsed));
        comes.is_some_and(|comes| comes <= now)
    }

    /// The driver's host polls files, and answers later.
    pub fn poll_files(&mut self, files: Vec<(Key, String)>) {
        let mut seen = Vec::new();
        for (key, path) in files {
            let (number, task, try_number) = &key;
            let run = &self.promises.runs[&number.0];
            let Some((_, version)) = run.version.clone() else { broken(format!("{path}: its run has not begun")) };
            let place = format!("{} {} {task} {try_number}", run.dag, run.run_id);
            let expected = version.awaited_file(task.as_str(), &run.ds(&version));
            if path != expected {
                broken(format!("promise 6: {place} polls {path}, not for {expected}"));
            }
            let wait = version.task(task.as_str()).and_then(|task| task.wait.clone()).unwrap();
            let waiting = &run.tasks[task.as_str()];
            let over = waiting.began_at + SignedDuration::from_secs(wait.for_at_most);
            let early = self.answered.get(&key).is_some_and(|(last, last_elapsed)| {
                let by_clock = self.now() < (*last + SignedDuration::from_secs(wait.every)).min(over);
                // The clock may have been set back since.
                let next = last_elapsed + wait.every * SECOND;
                let set_backs = self.set_backs.iter().filter(|(since, _)| since >= last_elapsed);
                let counted = set_backs.map(|(_, said)| *said + SignedDuration::from_secs(wait.every)).min();
                by_clock
                    && self.elapsed < next.min(waiting.began + wait.for_at_most * SECOND)
                    && counted.is_none_or(|at| self.now() < at)
            });
            if early {
                broken(format!("{place} is polled again too early, {wait:?}"));
            }
            let (dag, run_id) = (run.dag.clone(), run.run_id.clone());
            let is_there = self.is_there(&dag, &run_id, task.as_str(), wait.for_at_most);
            self.count("polls by drivers");
            self.tell(|_| format!("poll {path}: {is_there}"));
            if !self.polling.insert(key.clone()) {
                broken(format!("{place} is polled twice at once"));
            }
            seen.push((key, is_there));
        }
        let takes = self.random.between(1_000, 3 * SECOND);
        self.after(takes, Happening::Arrives(self.driver, Arrival::Polled(seen)));
    }

    /// An attempt that was launched and never came to life: its spawner was killed too early.
    pub fn stillborn_process(&mut self, spec: &AttemptSpec) {
        let key = &spec.key;
        let process = Process {
            dag: key.dag_id.to_string(),
            run_id: key.run_id.clone(),
            task: key.task_id.to_string(),
            try_number: key.try_number,
            started_at: self.now(),
            has_shim: false,
            is_alive: false,
            is_stopping: false,
            record: None,
            reports_to: Some(self.driver),
            watched_by: None,
            plan: Ending::Stopped,
        };
        self.processes.insert(spec.token.clone(), process);
    }

    pub fn program_ends(&mut self, token: &str) {
        let Some(process) = self.processes.get_mut(token).filter(|process| process.is_alive) else { return };
        process.is_alive = false;
        let plan = process.plan.clone();
        if process.has_shim {
            self.shim_writes(token, plan);
        }
    }

    pub fn stopped(&mut self, token: &str) {
        let Some(process) = self.processes.get_mut(token).filter(|process| process.is_alive && process.has_shim) else {
            return;
        };
        process.is_alive = false;
        self.shim_writes(token, Ending::Stopped);
    }

    /// The shim writes its record and ends.
    pub fn shim_writes(&mut self, token: &str, ending: Ending) {
        let ended_at = self.now();
        let Some(process) = self.processes.get_mut(token) else { return };
        let record = Box::new(ExitRecord {
            token: token.to_owned(),
            started_at: process.started_at,
            ended_at,
            ending,
            cpu_seconds: 0.5,
            max_rss_bytes: 1 << 20,
            left_behind: 0,
            left_running: 0,
            log_failure: None,
            log_left_out: 0,
            printed: None,
        });
        process.record = Some(record.clone());
        process.has_shim = false;
        let (reports_to, watched_by) = (process.reports_to, process.watched_by.clone());
        self.tell(|world| {
            let process = &world.processes[token];
            let Process { dag, run_id, task, try_number, .. } = process;
            format!("{token} {dag} {run_id} {task} {try_number} ended: {:?}", record.ending)
        });
        let delay = |world: &mut World| world.random.between(0, 2_000);
        if let Some(driver) = reports_to {
            let after = delay(self);
            self.after(after, Happening::Arrives(driver, Arrival::Reported(record.clone())));
        }
        if let Some((driver, key)) = watched_by {
            let after = delay(self);
            self.after(after, Happening::Arrives(driver, Arrival::Ended(key, record)));
        }
    }

    pub fn shim_dies(&mut self, token: &str) {
        let Some(process) = self.processes.get_mut(token).filter(|process| process.has_shim) else { return };
        process.has_shim = false;
        let reports_to = process.reports_to;
        let watched = process.watched_by.is_some();
        self.count("shims killed");
        self.tell(|_| format!("the shim of {token} is killed"));
        if let Some(driver) = reports_to {
            self.after(1_000, Happening::Arrives(driver, Arrival::ShimLost));
        }
        if watched {
            self.sweep(token);
        }
    }

    /// Somebody waits for the attempt's lock.
    pub fn watch(&mut self, key: Key, token: &str) {
        let driver = self.driver;
        let Some(process) = self.processes.get_mut(token) else {
            // Claimed and committed, but the driver was killed before it could launch it.
            let record = Box::new(lost(token, self.now(), self.now()));
            self.after(1_000, Happening::Arrives(driver, Arrival::Ended(key, record)));
            return;
        };
        process.watched_by = Some((driver, key.clone()));
        if process.has_shim {
            return;
        }
        match process.record.clone() {
            Some(record) => self.after(1_000, Happening::Arrives(driver, Arrival::Ended(key, record))),
            None => self.sweep(token),
        }
    }

    /// The lock is free and there is no record: what is left of the attempt is ended.
    pub fn sweep(&mut self, token: &str) {
        let process = &self.processes[token];
        let Some((driver, _)) = process.watched_by else { return };
        let takes = if process.is_alive { self.random.between(0, 11 * SECOND) } else { 2_000 };
        self.after(takes, Happening::Swept(token.to_owned(), driver));
    }

    pub fn swept(&mut self, token: &str, driver: u64) {
        if self.driver != driver || !self.is_driver_alive {
            return;
        }
        let now = self.now();
        let Some(process) = self.processes.get_mut(token) else { return };
        process.is_alive = false;
        let Some((_, key)) = process.watched_by.clone() else { return };
        let record = Box::new(lost(token, process.started_at, now));
        self.arrives(driver, Arrival::Ended(key, record));
    }

    /// TERM to the shim.
    pub fn stop(&mut self, token: &str) {
        let Some(process) = self.processes.get_mut(token) else { return };
        if !process.has_shim || std::mem::replace(&mut process.is_stopping, true) {
            return;
        }
        let takes = self.random.between(1_000, 11 * SECOND);
        self.after(takes, Happening::Stopped(token.to_owned()));
    }

    /// The shim gives no more grace: of two ends the first one counts.
    pub fn kill(&mut self, token: &str) {
        let Some(process) = self.processes.get_mut(token).filter(|process| process.has_shim) else { return };
        process.is_stopping = true;
        let takes = self.random.between(1_000, 50_000);
        self.after(takes, Happening::Stopped(token.to_owned()));
    }

    pub fn arrives(&mut self, driver: u64, arrival: Arrival) {
        if driver != self.driver || !self.is_driver_alive {
            return;
        }
        self.messages.push(match arrival {
            Arrival::Reported(record) => Message::Reported(record),
            Arrival::Refused(token, reason) => Message::Refused(token, reason),
            Arrival::ShimLost => Message::ShimLost,
            Arrival::SpawnerLost => Message::SpawnerLost,
            Arrival::Ended(key, record) => Message::Ended(key, record),
            Arrival::Mail(id, tries, created_at, is_delivered) => {
                let result = if is_delivered {
                    Ok(())
                } else {
                    Err(crondag::notify::DeliveryError { permanent: false, message: "connection refused".to_owned() })
                };
                Message::Mail(id, tries, created_at, result)
            }
            Arrival::MailerDone => Message::MailerDone,
            Arrival::Polled(seen) => {
                let now = self.now();
                let mut results = Vec::new();
                for (key, is_there) in seen {
                    self.polling.remove(&key);
                    self.answered.insert(key.clone(), (now, self.elapsed));
                    if is_there {
                        self.promises.found.insert((key.0.0, key.1.to_string(), key.2));
                    }
                    results.push((
                        key,
                        if is_there { PollResult::Found } else { PollResult::NotYet("a file".to_owned()) },
                    ));
                }
                Message::Polled(results)
            }
        });
    }
}

pub fn lost(token: &str, started_at: Timestamp, ended_at: Timestamp) -> ExitRecord {
    ExitRecord {
        token: token.to_owned(),
        started_at,
        ended_at,
        ending: Ending::Lost { reason: "crondag's shim was killed".to_owned() },
        cpu_seconds: 0.0,
        max_rss_bytes: 0,
        left_behind: 0,
        left_running: 0,
        log_failure: None,
        log_left_out: 0,
        printed: None,
    }
}
