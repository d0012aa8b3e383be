//! The real world of the driver: its clock, the spawner and its shims, attempt files, threads, logs, mail.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::file_polls::FilePolls;
use super::host::Host;
use super::overdue::Overdue;
use super::supervisor::Supervisor;
use super::{Key, Message};
use crate::dag::{Config, DagId};
use crate::home::Home;
use crate::notify::{Channel, DeliveryError};
use crate::runner::attempt::local::attempt_file::{self, AttemptFiles, Claim, Found, Grace, Report};
use crate::runner::attempt::local::process::Ended;
use crate::runner::attempt::local::spawner::Spawner;
use crate::runner::attempt::printed::own;
use crate::runner::attempt::secrets::Keyring;
use crate::runner::attempt::{AttemptSpec, Ending, ExitRecord};
use crate::runner::backoff::Backoff;
use crate::runner::driver_log as log;
use crate::runner::driver_log::line::Line;
use crate::runner::files;
use crate::runner::planner;
use crate::runner::race_delay::race_delay;
use crate::runner::telling::{self, TellingError};
use crate::store::WaitingNotice;

/// How often an attempt is asked to stop, about once a second, until its shim says who it is.
const STOP_REQUESTS: usize = 600;
/// How often the time of the last tick is noted.
const TICK_NOTED_EVERY: SignedDuration = SignedDuration::from_secs(10);

/// The real world.
pub(super) struct System {
    home: Home,
    sender: Sender<Message>,
    attempt_files: AttemptFiles,
    /// Attempt files that wait for their attempts to be started.
    claims: HashMap<String, io::Result<File>>,
    spawner: Option<Spawner>,
    /// Folders of logs that are known to be there.
    folders: HashSet<String>,
    supervisor: Supervisor,
    overdue: Overdue,
    file_polls: FilePolls,
    ticked_at: Timestamp,
    /// Device and number of the database.
    database: Option<(u64, u64)>,
}

impl System {
    pub(super) fn new(home: Home, sender: Sender<Message>, supervisor: Supervisor) -> System {
        let root = home.root().to_path_buf();
        let file_polls = FilePolls::new(move |path| files::exists(&root.join(path)));
        System {
            attempt_files: AttemptFiles::new(home.attempts_dir(), []),
            database: fs::metadata(home.database_path()).ok().map(identity),
            home,
            sender,
            claims: HashMap::new(),
            spawner: None,
            folders: HashSet::new(),
            supervisor,
            overdue: Overdue::new(),
            file_polls,
            ticked_at: Timestamp::MIN,
        }
    }

    /// Hands the attempt to the spawner; starts one when there is none, or when it has been killed.
    fn spawn(&mut self, spec: &AttemptSpec, file: &File) -> io::Result<()> {
        if let Some(spawner) = &self.spawner {
            match spawner.spawn(spec, file) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    let message = self.lose_spawner();
                    // Our own channel; the receiver lives as long as the driver.
                    let _ = self.sender.send(message);
                }
                done => return done,
            }
        }
        let (spawner, mut reports) = Spawner::start()?;
        let sender = self.sender.clone();
        thread::Builder::new().name("reports".to_owned()).spawn(move || {
            while let Some(report) = reports.next() {
                let message = match report {
                    Report::Ended(record) => Message::Reported(record),
                    Report::Gone => Message::ShimLost,
                    Report::Refused { token, errno } => {
                        Message::Refused(token, launch_error(&io::Error::from_raw_os_error(errno)))
                    }
                };
                race_delay();
                if sender.send(message).is_err() {
                    return;
                }
            }
        })?;
        self.spawner.insert(spawner).spawn(spec, file)
    }

    fn lose_spawner(&mut self) -> Message {
        self.report(&Line::trouble("the process that starts attempts was killed", "its attempts live on"));
        self.spawner = None;
        Message::SpawnerLost
    }

    /// Whether it was the spawner that ended.
    pub(super) fn check_spawner(&mut self) -> Option<Message> {
        let is_lost = self.spawner.as_mut().is_some_and(|spawner| !spawner.is_alive());
        is_lost.then(|| self.lose_spawner())
    }

    fn make_log_folder(&mut self, log_file: &str) -> Result<(), String> {
        let folder = log_file.rsplit_once('/').map_or("", |(folder, _)| folder);
        let path = self.home.root().join(folder);
        // Somebody may have renamed or deleted the history of its DAG.
        if self.folders.contains(folder) && path.is_dir() {
            return Ok(());
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|error| format!("cannot make the log folder {}: {error}", path.display()))?;
        self.folders.insert(folder.to_owned());
        Ok(())
    }
}

#[allow(clippy::needless_pass_by_value)] // as `map` calls it
fn identity(metadata: fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl Host for System {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn has_home(&self) -> bool {
        match fs::metadata(self.home.database_path()).map(identity) {
            Ok(found) => self.database.is_none_or(|opened| found == opened),
            // What cannot be looked up now may be there.
            Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        }
    }

    fn pause(&mut self, pause: Duration) {
        self.supervisor.sleep(pause);
    }

    fn report(&self, line: &Line) {
        log::say(line);
    }

    fn note_tick(&mut self) {
        // For people, and they count minutes.
        let now = self.now();
        if now.duration_since(self.ticked_at).abs() > TICK_NOTED_EVERY {
            planner::note_tick(&self.home);
            self.ticked_at = now;
        }
    }

    fn take_over(&mut self, tokens: &[&str]) {
        self.attempt_files = AttemptFiles::new(self.home.attempts_dir(), tokens.iter().copied());
    }

    fn claim(&mut self) -> String {
        let Claim { token, file } = self.attempt_files.claim();
        self.claims.insert(token.clone(), file);
        token
    }

    fn in_background(&mut self, work: Box<dyn FnOnce() -> Message + Send>) {
        let sender = self.sender.clone();
        in_background("prepare", move || {
            // A driver that is gone has nothing to start.
            race_delay();
            let _ = sender.send(work());
        });
    }

    fn launch(&mut self, spec: &AttemptSpec) -> Result<(), String> {
        let log_file =
            spec.log_file.strip_prefix(self.home.root()).unwrap_or(&spec.log_file).to_string_lossy().into_owned();
        // A task is worth more than its log.
        if let Err(error) = self.make_log_folder(&log_file) {
            self.report(&Line::trouble("an attempt has no log", error));
        }
        let Some(file) = self.claims.remove(&spec.token) else {
            return Err("the attempt was not claimed; this is a bug of crondag".to_owned());
        };
        file.and_then(|file| self.spawn(spec, &file)).map_err(|error| launch_error(&error))?;
        if let Some(ends_at) = spec.limit.and_then(|limit| Instant::now().checked_add(limit.after)) {
            self.overdue.watch(&spec.token, self.attempt_files.path(&spec.token), ends_at);
        }
        Ok(())
    }

    fn log_failed_start(&mut self, log_file: &str, reason: &str) {
        let path = self.home.root().join(log_file);
        let written = self.make_log_folder(log_file).and_then(|()| {
            let mut file =
                File::options().append(true).create(true).mode(0o600).open(&path).map_err(|error| error.to_string())?;
            writeln!(file, "{}\nerror: {reason}", own("the attempt could not start")).map_err(|error| error.to_string())
        });
        if let Err(error) = written {
            log::say(&Line::trouble("cannot write a log", error).with("log", log_file));
        }
    }

    fn is_gone(&self, token: &str) -> bool {
        !matches!(attempt_file::inspect(&self.attempt_files.path(token), token), Ok(Found::Alive))
    }

    fn watch(&mut self, key: Key, token: String, started_at: Timestamp, grace: Duration) {
        let path = self.attempt_files.path(&token);
        self.overdue.adopt(&token, path.clone());
        let sender = self.sender.clone();
        in_background("adopted", move || {
            // Too many open files, a disk that fails: an attempt of which nothing is known may live.
            let mut pauses = Backoff::of_storage();
            let found = loop {
                match attempt_file::wait(&path, &token) {
                    Ok(found) => break found,
                    // Not text: waiting does not make a record of it.
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => break Found::Gone,
                    Err(error) => log::say(&Line::trouble("cannot read an attempt file, trying again", error)),
                }
                thread::sleep(pauses.pause());
            };
            let survivors = || loop {
                match attempt_file::end_survivors(&path, &token, grace) {
                    Ok(ended) => return ended,
                    Err(error) => log::say(&Line::trouble("cannot find what a shim has left, trying again", error)),
                }
                thread::sleep(pauses.pause());
            };
            let record = record_of(found, &token, started_at, survivors);
            if let Some(record) = record {
                // A driver that is gone needs no message.
                race_delay();
                let _ = sender.send(Message::Ended(key, record));
            }
        });
    }

    fn stop(&mut self, token: &str) {
        let path = self.attempt_files.path(token);
        self.overdue.watch(token, path.clone(), Instant::now());
        ask_to_end(path, token, Grace::OfTask);
    }

    fn kill(&mut self, token: &str) {
        ask_to_end(self.attempt_files.path(token), token, Grace::None);
    }

    fn release(&mut self, token: &str) {
        self.claims.remove(token);
        self.overdue.forget(token);
        self.attempt_files.give_back(token);
    }

    fn release_all(&mut self) {
        if let Err(error) = self.attempt_files.remove_all() {
            log::say(&Line::trouble("cannot remove the attempt files", error));
        }
    }

    fn poll_files(&mut self, files: Vec<(Key, String)>) {
        let (polls, sender) = (self.file_polls.clone(), self.sender.clone());
        in_background("polls", move || {
            let mut files = files;
            while !files.is_empty() {
                let results;
                (results, files) = polls.poll(files);
                // A driver that is gone polls again when it is back.
                race_delay();
                let _ = sender.send(Message::Polled(results));
            }
        });
    }

    fn deliver(&mut self, due: Vec<WaitingNotice>, config: &Config) {
        let (home, config, sender) = (self.home.clone(), config.clone(), self.sender.clone());
        in_background("mailer", move || {
            let variable = |name: &str| match Keyring::open(home.root(), &config) {
                Ok(keyring) => keyring.variable(name),
                Err(error) => {
                    log::say(&Line::trouble("env_file cannot be used for mail", error));
                    std::env::var(name).ok()
                }
            };
            for waiting in due {
                let result = match (Channel::parse(&waiting.channel), telling::of_notice(&waiting, &home, &config)) {
                    (Some(channel), Ok(telling)) => channel.deliver(&telling, &config, &variable),
                    (_, Err(error)) => Err(DeliveryError {
                        permanent: matches!(error, TellingError::Notice(_)),
                        message: error.to_string(),
                    }),
                    (None, Ok(_)) => Err(DeliveryError {
                        permanent: true,
                        message: format!("the channel `{}` is of a newer crondag", waiting.channel),
                    }),
                };
                // A driver that is gone has not recorded it: the next one tries again, under the same Message-ID.
                race_delay();
                if sender.send(Message::Mail(waiting.id, waiting.tries, waiting.created_at, result)).is_err() {
                    return;
                }
            }
            race_delay();
            let _ = sender.send(Message::MailerDone);
        });
    }

    fn delete_logs(&mut self, dag_id: &DagId, run_id: &str) {
        let folder = self.home.logs_dir().join(dag_id.as_str()).join(run_id);
        if let Err(error) = fs::remove_dir_all(&folder)
            && error.kind() != io::ErrorKind::NotFound
        {
            log::say(&Line::trouble("cannot delete logs", error).with("folder", folder.display()));
        }
        // A run of that name may come again.
        self.folders.remove(&Home::logs_of_run(dag_id.as_str(), run_id));
    }
}

/// Runs something in a thread; when the system refuses one, right here.
fn in_background(name: &str, work: impl FnOnce() + Send + 'static) {
    let slot = std::sync::Arc::new(std::sync::Mutex::new(Some(work)));
    let in_thread = slot.clone();
    let run = move || {
        if let Some(work) = in_thread.lock().ok().and_then(|mut slot| slot.take()) {
            work();
        }
    };
    if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(run) {
        log::say(&Line::trouble("no thread, waiting instead", error).with("for", name));
        if let Some(work) = slot.lock().ok().and_then(|mut slot| slot.take()) {
            work();
        }
    }
}

/// What an attempt file says, as an exit record.
fn record_of(
    found: Found,
    token: &str,
    started_at: Timestamp,
    survivors: impl FnOnce() -> Ended,
) -> Option<Box<ExitRecord>> {
    match found {
        Found::Alive => None,
        Found::Ended(record) => Some(record),
        Found::Gone => {
            let ended = survivors();
            let mut reason = match ended.count {
                0 => {
                    "crondag's shim was killed, or the machine went down; no process of the attempt is left".to_owned()
                }
                1 => "crondag's shim was killed; 1 process of the attempt was still alive and was ended".to_owned(),
                count => format!(
                    "crondag's shim was killed; {count} processes of the attempt were still alive and were ended"
                ),
            };
            if !ended.is_clean {
                reason.push_str(", but not all took the KILL");
            }
            Some(Box::new(ExitRecord {
                token: token.to_owned(),
                started_at,
                ended_at: Timestamp::now(),
                ending: Ending::Lost { reason },
                cpu_seconds: 0.0,
                max_rss_bytes: 0,
                left_behind: ended.count,
                left_running: 0,
                log_failure: None,
                log_left_out: 0,
                printed: None,
            }))
        }
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

/// Asks a shim in the background to end its attempt.
fn ask_to_end(path: PathBuf, token: &str, grace: Grace) {
    let token = token.to_owned();
    in_background("stop", move || {
        race_delay();
        let pauses = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
        if let Err(error) = attempt_file::stop(&path, &token, grace, pauses.take(STOP_REQUESTS)) {
            log::say(&Line::trouble("cannot stop an attempt", error).with("attempt", token));
        }
    });
}
