//! The shim: one process per attempt, in a session of its own. It outlives the driver, keeps the log, enforces the
//! timeout, ends the whole process tree, and leaves an exit record that survives power loss.
//!
//! It is forked by the [spawner](super::spawner), which hands it its specification and the locked attempt file (see
//! [the module of attempts](crate::runner::attempt)). It must never touch the database: it has to work when the database does not.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitOptions, setsid};

use super::attempt_file::{ATTEMPT_FILE_SIZE, Holder, Report, Reporter};
use super::cgroup::Group;
use super::process::{self, Processes, Tree};
use super::program::{self, Program};
use super::run_as::{self, Answers, Helper};
use super::sys::{self, Signals};
use super::{attributes, memory};
use crate::dag::ProcessAttributes;
use crate::dag::units::{format_duration, format_size};
use crate::mask::Mask;
use crate::runner::attempt::environment::host;
use crate::runner::attempt::log::AttemptLog;
use crate::runner::attempt::{AttemptSpec, Ending, ExitRecord, counted_processes};
use crate::runner::backoff::Backoff;
use crate::runner::race_delay::race_delay;

/// The signal that ends an attempt without grace.
const KILL_AT_ONCE: i32 = libc::SIGUSR1;

/// A process just forked that waits to be told which attempt is its own.
pub(super) struct Spare {
    holder: Holder,
    signals: Signals,
}

impl Spare {
    /// Does what can be done before the attempt is known.
    ///
    /// # Errors
    /// The system lacks memory or files.
    pub(super) fn prepare() -> io::Result<Spare> {
        // A group leader cannot begin a session; just forked, the shim is none.
        let _ = setsid();
        let signals = Signals::instead_of(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP, KILL_AT_ONCE, libc::SIGCHLD])?;
        // Orphans of the task come back to the shim instead of escaping to init.
        sys::become_subreaper()?;
        let pid = i32::try_from(std::process::id()).unwrap_or(0);
        let start_ticks = process::start_ticks(pid).unwrap_or(0);
        let holder = Holder {
            token: String::new(),
            pid,
            start_ticks,
            boot_id: process::boot_id().to_owned(),
            run_as: None,
            cgroup: None,
            ends_at: None,
        };
        Ok(Spare { holder, signals })
    }

    /// Runs the attempt: reads the specification, holds the lock of the attempt file, reports the end. Gives whether its group is
    /// fit for another attempt.
    ///
    /// # Errors
    /// The specification or the attempt file fail, or the driver is gone. Who comes later finds the lock free.
    pub(super) fn run(
        self,
        spec: &[u8],
        record_file: &File,
        reporter: &Reporter,
        title: Option<&sys::Title>,
        group: Option<Group>,
    ) -> io::Result<bool> {
        // Whoever signalled the spare did not mean this attempt.
        while self.signals.take().is_some() {}
        let spec: AttemptSpec = serde_json::from_slice(spec)?;
        if let Some(title) = title {
            let key = &spec.key;
            let attempt = format!("{}/{}/{}/{}", key.dag_id, key.run_id, key.task_id, key.try_number);
            title.set(&["crondag", "__shim", &attempt]);
        }
        let cgroup = group.as_ref().map(|group| group.folder().to_owned());
        let ends_at = spec.limit.and_then(|limit| process::since_boot().checked_add(limit.after));
        let holder = Holder { token: spec.token.clone(), run_as: spec.run_as.clone(), cgroup, ends_at, ..self.holder };
        Shim { spec, record_file, reporter, group, is_group_fit: Cell::new(true) }.run(&holder, &self.signals)
    }
}

struct Shim<'a> {
    spec: AttemptSpec,
    record_file: &'a File,
    reporter: &'a Reporter,
    /// The attempt's own control group, where the host allows it.
    group: Option<Group>,
    /// Whether that may serve another attempt.
    is_group_fit: Cell<bool>,
}

impl Shim<'_> {
    fn run(self, holder: &Holder, signals: &Signals) -> io::Result<bool> {
        race_delay();
        let record_at = self.announce(holder)?;
        race_delay();
        let started_at = Timestamp::now();
        let mask = Mask::new(self.spec.secrets.iter().map(String::as_str));
        let mut log = AttemptLog::open(&self.spec.log_file, self.spec.log_max_size, &mask);
        self.write_header(&mut log, started_at);
        let clock = Instant::now();
        let not_started = |reason: &str| Ending::NotStarted { reason: mask.text(reason) };
        let Outcome { ending, left_behind, left_running } = match self.spawn() {
            Ok((main, pipe, helper)) => {
                let outcome = self.watch(main, pipe, signals, &mut log);
                match (&outcome.ending, helper.and_then(|answers| answers.failure())) {
                    (Ending::Exited { .. } | Ending::Signaled { .. }, Some(reason)) => {
                        Outcome { ending: not_started(&reason), ..outcome }
                    }
                    _ => outcome,
                }
            }
            Err(reason) => Outcome { ending: not_started(&reason), left_behind: 0, left_running: 0 },
        };
        let (cpu_seconds, max_rss_bytes) = sys::children_usage();
        let mut record = ExitRecord {
            token: self.spec.token.clone(),
            started_at,
            ended_at: Timestamp::now(),
            ending,
            cpu_seconds,
            max_rss_bytes,
            left_behind,
            left_running,
            log_failure: None,
            log_left_out: log.left_out(),
            printed: None,
        };
        write_footer(&mut log, &record, clock.elapsed());
        record.printed = log.printed();
        record.log_failure = log.failure.map(|error| error.to_string());
        self.leave_record(record, record_at)?;
        Ok(self.is_group_fit.get())
    }

    /// Says who holds the lock, and blanks the record of the file's last attempt.
    fn announce(&self, holder: &Holder) -> io::Result<u64> {
        let mut text = serde_json::to_vec(holder)?;
        text.push(b'\n');
        let record_at = text.len() as u64;
        let size = usize::try_from(self.record_file.metadata()?.len()).unwrap_or(ATTEMPT_FILE_SIZE);
        text.resize(size.max(ATTEMPT_FILE_SIZE), b' ');
        self.record_file.write_all_at(&text, 0)?;
        Ok(record_at)
    }

    fn write_header(&self, log: &mut AttemptLog, started_at: Timestamp) {
        let spec = &self.spec;
        let key = &spec.key;
        let user = spec.env.get("USER").map_or("?", String::as_str);
        let names: Vec<&str> = spec.env.keys().map(String::as_str).collect();
        let mut header = format!(
            "{} {} try {} of run {}\n\
             logical date {}\n\
             started      {started_at:.3} on {} as {user}\n\
             directory    {}\n\
             environment  {}\n",
            key.dag_id,
            key.task_id,
            key.try_number,
            key.run_id,
            spec.logical_date,
            host(),
            spec.working_dir.display(),
            names.join(" ")
        );
        for deviation in attributes::deviations(&spec.process) {
            header.push_str("but         ");
            header.push_str(&deviation);
            header.push('\n');
        }
        header.push_str("command     ");
        for (number, line) in spec.display.lines().enumerate() {
            let margin = if number == 0 { " " } else { "\n             " };
            header.extend([margin, line]);
        }
        header.push('\n');
        log.header(&header);
    }

    /// Starts the program with both outputs in one pipe, which keeps their order. Gives its process, the pipe, and where the
    /// helper that becomes another user says what went wrong.
    fn spawn(&self) -> Result<(i32, OwnedFd, Option<Answers>), String> {
        let failed = |error: io::Error| program::start_error(&self.spec.argv, &error);
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
        let (program, answers) = program_of(&self.spec, write)?;
        // Dropped, it closes the write end of the pipe; while that is open, the pipe never ends.
        Ok((program.start(self.group.as_ref()).map_err(failed)?, read, answers))
    }

    fn watch(&self, main: i32, pipe: OwnedFd, signals: &Signals, log: &mut AttemptLog) -> Outcome {
        let deadline = self.spec.limit.and_then(|limit| Some((Instant::now().checked_add(limit.after)?, limit)));
        let mut pump = Pump { pipe: Some(pipe), buffer: Vec::with_capacity(64 << 10) };
        pump.do_not_block();
        let mut status: Option<ExitStatus> = None;
        let mut why: Option<Ending> = None;
        let (mut is_asked, mut is_urgent) = (false, false);
        while status.is_none() && why.is_none() {
            let remaining = deadline.map(|(deadline, _)| deadline.saturating_duration_since(Instant::now()));
            pump.wait(signals, remaining);
            while let Some(signal) = signals.take() {
                is_asked |= signal != libc::SIGCHLD;
                is_urgent |= signal == KILL_AT_ONCE;
            }
            reap(main, &mut status);
            if status.is_none() {
                if is_asked {
                    why = Some(Ending::Stopped);
                } else if let Some((_, limit)) = deadline.filter(|(deadline, _)| Instant::now() >= *deadline) {
                    why = Some(limit.ending());
                }
            }
            // Not before the deadline: there may always be more to read.
            pump.read(log);
        }
        let group = self.group.as_ref();
        let is_alone = status.is_some() && why.is_none() && !sys::has_children() && group.is_none_or(Group::is_empty);
        let (mut left_behind, mut left_running, mut is_clean) = (0, 0, true);
        if !is_alone {
            let shim = i32::try_from(std::process::id()).unwrap_or(0);
            let is_thorough = why.is_some();
            let has_succeeded = why.is_none() && status.is_some_and(|status| status.success());
            let (pump, status) = (&mut pump, &mut status);
            let user = self.spec.run_as.as_deref();
            let token = &self.spec.token;
            let mut tree =
                Attempt { token, shim, main, user, group, is_thorough, signals, is_urgent, pump, log, status };
            if self.spec.leave_processes && has_succeeded {
                left_running = u32::try_from(tree.find().len()).unwrap_or(u32::MAX);
                is_clean = group.is_none_or(Group::release);
            } else {
                let ended = process::end_all(&mut tree, self.spec.kill_grace);
                (left_behind, is_clean) = (ended.count, ended.is_clean);
                if !is_clean {
                    log.note("not all processes took the KILL; some of them still live");
                }
            }
        }
        pump.read(log);
        log.end_of_output();
        if left_running > 0 && pump.pipe.is_some() {
            log.note("what they print from here on goes nowhere, and may end them: send it to a file");
        }
        // What is to begin in a group that was ended once is killed at birth by some kernels (seen on Linux 6.18). Who else may
        // have ended it shows in how the program ended. Made anew, a group has no past.
        let was_ended = !is_alone || status.and_then(|status| status.signal()) == Some(libc::SIGKILL);
        self.is_group_fit.set(is_clean && (!was_ended || group.is_none_or(Group::remove)));
        match why {
            Some(ending) => Outcome { ending, left_behind: 0, left_running: 0 },
            None => Outcome { ending: ending(status), left_behind, left_running },
        }
    }

    /// Writes and syncs the record, and tells the driver. A living driver need not wait for the sync: the driver
    /// itself makes the end durable before acting on it. The lock is held until the record is durable, for a driver that comes
    /// later.
    fn leave_record(&self, record: ExitRecord, at: u64) -> io::Result<()> {
        let mut line = serde_json::to_vec(&record)?;
        line.push(b'\n');
        race_delay();
        until_it_works(|| self.record_file.write_all_at(&line, at));
        race_delay();
        let reported = self.reporter.send(&Report::Ended(Box::new(record)));
        race_delay();
        until_it_works(|| self.record_file.sync_data());
        race_delay();
        if reported.is_err() {
            // The spawner went with the driver: nobody uses the group again.
            self.group.as_ref().map(Group::remove);
        }
        reported
    }
}

/// How an attempt ended, and what it had left.
struct Outcome {
    ending: Ending,
    /// Processes that were ended after the program.
    left_behind: u32,
    /// Those that live on.
    left_running: u32,
}

/// The program of an attempt, and where the helper that becomes another user, if it is one, says what went wrong.
///
/// # Errors
/// Why there is none; reads after "error: ".
pub(crate) fn program_of(spec: &AttemptSpec, output: OwnedFd) -> Result<(Program, Option<Answers>), String> {
    let failed = |error: io::Error| program::start_error(&spec.argv, &error);
    if let Some(user) = &spec.run_as {
        let helper = Helper::for_attempt(user, spec)?;
        let name = helper.program.to_string_lossy();
        let argv = std::iter::once(&*name).chain(helper.args.iter().map(String::as_str));
        let ends = (helper.stdin, output);
        // What the task's own process begins with, the helper takes on.
        let process = ProcessAttributes::default();
        let program =
            Program::new(&helper.program, argv, &helper.env, Path::new("/"), ends, &process).map_err(failed)?;
        return Ok((program, Some(helper.answers)));
    }
    let path = program::find(&spec.argv, &spec.env, &spec.working_dir)?;
    let stdin = match &spec.stdin {
        None => File::open("/dev/null"),
        Some(text) => memory::file_of(text.as_bytes()),
    };
    let ends = (stdin.map_err(failed)?.into(), output);
    let argv = spec.argv.iter().map(String::as_str);
    let program = Program::new(&path, argv, &spec.env, &spec.working_dir, ends, &spec.process).map_err(failed)?;
    Ok((program, None))
}

/// The processes of an attempt, seen from its shim.
struct Attempt<'a> {
    token: &'a str,
    shim: i32,
    main: i32,
    user: Option<&'a str>,
    group: Option<&'a Group>,
    /// Finds strangers with the token even when no relative is left.
    is_thorough: bool,
    signals: &'a Signals,
    /// Whoever asked for the end gives no grace.
    is_urgent: bool,
    pump: &'a mut Pump,
    log: &'a mut AttemptLog,
    status: &'a mut Option<ExitStatus>,
}

impl Tree for Attempt<'_> {
    fn find(&mut self) -> Processes {
        self.pump.read(self.log);
        reap(self.main, self.status);
        let mut found = process::descendants(self.shim);
        found.extend(self.group.iter().flat_map(|group| process::living(group.processes())));
        // Reading every process' environment costs much; the children tell most of the time that nobody is left.
        if self.is_thorough || !found.is_empty() {
            // What this cannot find just now is a descendant all the same, for as long as the shim lives.
            found.extend(process::with_token(self.token, Some(self.shim)).unwrap_or_default());
        }
        found
    }

    fn is_gone(&mut self) -> bool {
        reap(self.main, self.status);
        !process::has_children() && self.group.is_none_or(Group::is_empty)
    }

    fn is_urgent(&mut self) -> bool {
        while let Some(signal) = self.signals.take() {
            self.is_urgent |= signal == KILL_AT_ONCE;
        }
        self.is_urgent
    }

    fn kill(&mut self) {
        if let Some(group) = self.group {
            group.kill();
        }
    }

    fn end_foreign(&mut self, pids: &[i32], is_in_grace: bool) {
        if let Some(user) = self.user {
            run_as::end(user, pids, is_in_grace);
        }
    }
}

/// Tries until it works: without the record nobody would ever know how the attempt ended, so a full disk is waited for.
fn until_it_works(what: impl Fn() -> io::Result<()>) {
    let mut pauses = Backoff::new(Duration::from_millis(10), Duration::from_secs(30));
    while what().is_err() {
        std::thread::sleep(pauses.pause());
    }
}

/// How often the pipe is read, 64 KB at a time, before the shim sees to its other duties. As much as a pipe can be made to hold, so that
/// what was printed before the end is read at the end.
const READS_A_TURN: u32 = 16;

/// The pipe from the task to the log.
struct Pump {
    pipe: Option<OwnedFd>,
    buffer: Vec<u8>,
}

impl Pump {
    fn do_not_block(&self) {
        if let Some(pipe) = &self.pipe {
            // A pipe that blocks would only delay the timeout.
            let _ = fcntl_setfl(pipe, OFlags::NONBLOCK);
        }
    }

    /// Until there is output, a signal, or this time is over.
    fn wait(&self, signals: &Signals, longest: Option<Duration>) {
        let timeout = longest.and_then(|longest| rustix::time::Timespec::try_from(longest).ok());
        let mut fds = vec![PollFd::new(signals, PollFlags::IN)];
        fds.extend(self.pipe.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        // Interrupted is as good as woken.
        let _ = poll(&mut fds, timeout.as_ref());
    }

    /// Reads what there is, but not without end: the program may print faster than that.
    fn read(&mut self, log: &mut AttemptLog) {
        for _ in 0..READS_A_TURN {
            let Some(pipe) = &self.pipe else { return };
            self.buffer.clear();
            // Not zeroed first: of the room of a whole pipe, most tasks need a few bytes.
            match rustix::io::read(pipe, spare_capacity(&mut self.buffer)) {
                Ok(0) => self.pipe = None,
                Ok(_) => log.output(&self.buffer),
                Err(rustix::io::Errno::INTR) => {}
                // Nothing more for now (EAGAIN); a pipe knows no other failure.
                Err(_) => return,
            }
        }
    }
}

/// Collects every child that has ended; remembers the main one's status.
fn reap(main: i32, status: &mut Option<ExitStatus>) {
    while let Ok(Some((pid, ended))) = rustix::process::wait(WaitOptions::NOHANG) {
        if pid.as_raw_nonzero().get() == main {
            *status = Some(ExitStatus::from_raw(ended.as_raw()));
        }
    }
}

fn ending(status: Option<ExitStatus>) -> Ending {
    match status.map(|status| (status.code(), status.signal())) {
        Some((Some(code), _)) => Ending::Exited { code },
        Some((None, Some(signal))) => Ending::Signaled { signal },
        _ => Ending::Lost { reason: "the program vanished".to_owned() },
    }
}

fn write_footer(log: &mut AttemptLog, record: &ExitRecord, took: Duration) {
    if !log.note(&footer(record, took, log.failure.as_ref())) {
        log.make_room();
        log.note(&footer(record, took, log.failure.as_ref()));
    }
}

fn footer(record: &ExitRecord, took: Duration, failure: Option<&io::Error>) -> String {
    let left_behind = match record.left_behind {
        0 => String::new(),
        count => format!("ended {} that it had left behind\n", counted_processes(count)),
    };
    let left_running = match record.left_running {
        0 => String::new(),
        count => format!("left {} running\n", counted_processes(count)),
    };
    let cut =
        failure.map_or_else(String::new, |error| format!("the log is not whole, the disk did not take it: {error}\n"));
    format!(
        "\n{}\n{left_behind}{left_running}{cut}took {}, cpu {:.2}s, peak memory {} (largest process)",
        record.ending,
        format_duration(took),
        record.cpu_seconds,
        format_size(record.max_rss_bytes)
    )
}
