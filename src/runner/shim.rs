//! The shim: one process per attempt, in a session of its own. It outlives the driver, keeps the log, enforces the
//! timeout, ends the whole process tree, and leaves an exit record that survives power loss.
//!
//! It reads its specification from standard input and holds the attempt's lock through standard output (see
//! [`super::attempt`]). It must never touch the database: it has to work when the database does not.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{MemfdFlags, OFlags, fcntl_setfl, memfd_create};
use rustix::process::{WaitOptions, setsid};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

use super::attempt::{AttemptSpec, Ending, ExitRecord};
use super::launch::Holder;
use super::log::AttemptLog;
use super::process;
use super::sys;
use crate::dag::units::{format_duration, format_size};

/// Room for the exit record, taken from the disk before the task starts.
const RECORD_ROOM: usize = 2_048;

/// Runs one attempt. The exit status says nothing: the record does.
pub fn main() -> ExitCode {
    // A group leader cannot begin a session; started by a driver, the shim never is one.
    let _ = setsid();
    let Ok(record_file) = io::stdout().as_fd().try_clone_to_owned().map(File::from) else { return ExitCode::from(3) };
    let mut json = String::new();
    let spec = io::stdin().read_to_string(&mut json).ok().and_then(|_| serde_json::from_str::<AttemptSpec>(&json).ok());
    let Some(spec) = spec else { return ExitCode::from(3) };
    drop(json);
    match (Shim { spec, record_file }).run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(3),
    }
}

struct Shim {
    spec: AttemptSpec,
    record_file: File,
}

/// Flags that signals set, and a pipe that they write to, so that `poll` wakes up.
struct Signals {
    stop: Arc<AtomicBool>,
    wake: OwnedFd,
}

impl Signals {
    fn install() -> io::Result<Signals> {
        let (wake, write) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK)?;
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            signal_hook::flag::register(signal, stop.clone())?;
        }
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGCHLD] {
            signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
        }
        Ok(Signals { stop, wake })
    }

    fn drain(&self) {
        let mut buffer = [0; 64];
        while rustix::io::read(&self.wake, &mut buffer).is_ok_and(|count| count > 0) {}
    }
}

impl Shim {
    fn run(mut self) -> io::Result<()> {
        let signals = Signals::install()?;
        // Orphans of the task come back to the shim instead of escaping to init.
        sys::become_subreaper()?;
        let record_at = self.announce()?;
        let started_at = Timestamp::now();
        let mut log = AttemptLog::open(&self.spec.log_file, self.spec.log_max_size, &self.spec.secrets);
        self.write_header(&mut log, started_at);
        let clock = Instant::now();
        let (ending, left_behind) = match self.spawn() {
            Ok((child, pipe)) => self.watch(child, pipe, &signals, &mut log),
            Err(reason) => (Ending::NotStarted { reason }, 0),
        };
        let (cpu_seconds, max_rss_bytes) = sys::children_usage();
        let record = ExitRecord {
            token: self.spec.token.clone(),
            started_at,
            ended_at: Timestamp::now(),
            ending,
            cpu_seconds,
            max_rss_bytes,
            left_behind,
        };
        write_footer(&mut log, &record, clock.elapsed());
        self.leave_record(&record, record_at)
    }

    /// Says who holds the lock and takes room for the record, so that a full disk cannot lose it.
    fn announce(&mut self) -> io::Result<u64> {
        let pid = i32::try_from(std::process::id()).unwrap_or(0);
        let holder = Holder {
            token: self.spec.token.clone(),
            pid,
            start_ticks: process::start_ticks(pid).unwrap_or(0),
            boot_id: process::boot_id(),
        };
        let mut text = serde_json::to_vec(&holder)?;
        text.push(b'\n');
        let record_at = text.len() as u64;
        text.resize(text.len() + RECORD_ROOM, b' ');
        self.record_file.write_all_at(&text, 0)?;
        Ok(record_at)
    }

    fn write_header(&self, log: &mut AttemptLog, started_at: Timestamp) {
        let spec = &self.spec;
        let key = &spec.key;
        log.note(&format!("[crondag] {} {} try {} of run {}", key.dag_id, key.task_id, key.try_number, key.run_id));
        log.note(&format!("[crondag] logical date {}", spec.logical_date));
        log.note(&format!(
            "[crondag] started      {started_at:.3} on {} as {}",
            host(),
            spec.env.get("USER").map_or("?", String::as_str)
        ));
        log.note(&format!("[crondag] directory    {}", spec.working_dir.display()));
        let names: Vec<&str> = spec.env.keys().map(String::as_str).collect();
        log.note(&format!("[crondag] environment  {}", names.join(" ")));
        let mut lines = spec.display.lines();
        log.note(&format!("[crondag] command      {}", lines.next().unwrap_or_default()));
        for line in lines {
            log.note(&format!("[crondag]              {line}"));
        }
        log.note("");
    }

    /// Starts the program with both outputs in one pipe, which keeps their order.
    fn spawn(&self) -> Result<(Child, OwnedFd), String> {
        let spec = &self.spec;
        let program = find_program(spec)?;
        let failed = |error: io::Error| start_error(spec, &error);
        let (read, write) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
        let stdin = match &spec.stdin {
            None => Stdio::null(),
            Some(text) => Stdio::from(in_memory(text).map_err(failed)?),
        };
        let mut command = Command::new(program);
        command
            .arg0(&spec.argv[0])
            .args(&spec.argv[1..])
            .env_clear()
            .envs(&spec.env)
            .current_dir(&spec.working_dir)
            .stdin(stdin)
            .stdout(Stdio::from(write.try_clone().map_err(failed)?))
            .stderr(Stdio::from(write));
        let child = command.spawn().map_err(failed)?;
        // The command holds the write end; while it does, the pipe never ends.
        drop(command);
        Ok((child, read))
    }

    fn watch(&self, child: Child, pipe: OwnedFd, signals: &Signals, log: &mut AttemptLog) -> (Ending, u32) {
        let deadline = self.spec.timeout.map(|timeout| Instant::now() + timeout);
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let main = i32::try_from(child.id()).unwrap_or(0);
        // Reaped here, together with orphans; std's handle must not wait too.
        drop(child);
        let mut pump = Pump { pipe: Some(pipe), buffer: vec![0; 64 << 10] };
        pump.do_not_block();
        let mut status: Option<ExitStatus> = None;
        let mut why: Option<Ending> = None;
        while status.is_none() && why.is_none() {
            let patience = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            pump.wait(&signals.wake, patience);
            signals.drain();
            pump.read(log);
            reap(main, &mut status);
            if status.is_none() {
                if signals.stop.load(Ordering::Relaxed) {
                    why = Some(Ending::Stopped);
                } else if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    why = Some(Ending::TimedOut);
                }
            }
        }
        let find = || {
            let mut found = process::descendants(own);
            // Reading every process' environment is dear; the children tell most of the time that nobody is left.
            if why.is_some() || !found.is_empty() {
                found.extend(process::with_token(&self.spec.token, Some(own)));
            }
            found
        };
        let left_behind = if status.is_some() && why.is_none() && !sys::has_children() {
            0
        } else {
            process::end_all(find, self.spec.kill_grace, || {
                pump.read(log);
                reap(main, &mut status);
            })
        };
        pump.read(log);
        log.end_of_output();
        match (why, status) {
            (Some(why), _) => (why, 0),
            (None, status) => (ending(status), left_behind),
        }
    }

    fn leave_record(&self, record: &ExitRecord, at: u64) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        let mut pause = Duration::from_millis(10);
        // Without the record nobody would ever know how the attempt ended: a full disk is waited for.
        loop {
            let written = self.record_file.write_all_at(&line, at).and_then(|()| self.record_file.sync_data());
            match written {
                Ok(()) => return Ok(()),
                Err(_) if pause < Duration::from_secs(3_600) => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_secs(30));
                }
                Err(error) => return Err(error),
            }
        }
    }
}

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

    /// Until there is output, a signal, or no more patience.
    fn wait(&self, wake: &OwnedFd, patience: Option<Duration>) {
        let timeout = patience.and_then(|patience| rustix::time::Timespec::try_from(patience).ok());
        let mut fds = vec![PollFd::new(wake, PollFlags::IN)];
        fds.extend(self.pipe.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        // Interrupted is as good as woken.
        let _ = poll(&mut fds, timeout.as_ref());
    }

    fn read(&mut self, log: &mut AttemptLog) {
        while let Some(pipe) = &self.pipe {
            match rustix::io::read(pipe, &mut self.buffer) {
                Ok(0) => self.pipe = None,
                Ok(count) => log.output(&self.buffer[..count]),
                Err(rustix::io::Errno::INTR) => {}
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

fn in_memory(text: &str) -> io::Result<File> {
    let mut file = File::from(memfd_create("crondag-stdin", MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// Looks the program up on the task's own `PATH`, not on the shim's.
pub(crate) fn find_program(spec: &AttemptSpec) -> Result<std::path::PathBuf, String> {
    let name = spec.argv.first().map(String::as_str).unwrap_or_default();
    if !spec.working_dir.is_dir() {
        return Err(format!("the working directory {} does not exist", spec.working_dir.display()));
    }
    if name.contains('/') {
        let path = spec.working_dir.join(name);
        return if path.exists() { Ok(path) } else { Err(format!("the program {name} does not exist")) };
    }
    let path = spec.env.get("PATH").map(String::as_str).unwrap_or_default();
    let found =
        path.split(':').filter(|folder| !folder.is_empty()).map(|folder| Path::new(folder).join(name)).find(|file| {
            use std::os::unix::fs::PermissionsExt;
            file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
        });
    found.ok_or_else(|| {
        let hint = match name {
            "spark-submit" => "set spark_submit or spark_home under [spark] in crondag.toml",
            _ => "set PATH under [env] in crondag.toml, or write the whole path",
        };
        format!("{name} is not on the task's PATH ({path}); {hint}")
    })
}

pub(crate) fn start_error(spec: &AttemptSpec, error: &io::Error) -> String {
    let program = spec.argv.first().map(String::as_str).unwrap_or_default();
    match error.raw_os_error() {
        Some(libc::EAGAIN) => format!("cannot start {program}: the process table is full (see `ulimit -u`)"),
        Some(libc::E2BIG) => {
            format!("cannot start {program}: its arguments and environment are longer than the system allows")
        }
        Some(libc::ENOEXEC) => format!("cannot start {program}: it is not a program; does its script begin with `#!`?"),
        Some(libc::EACCES) => format!("cannot start {program}: permission denied; is it executable?"),
        Some(libc::ENOENT) => {
            format!("cannot start {program}: it, or the interpreter in its first line, does not exist")
        }
        Some(libc::EMFILE | libc::ENFILE) => format!("cannot start {program}: too many open files (see `ulimit -n`)"),
        _ => format!("cannot start {program}: {error}"),
    }
}

fn write_footer(log: &mut AttemptLog, record: &ExitRecord, took: Duration) {
    log.note("");
    log.note(&format!("[crondag] {}", describe(&record.ending)));
    if record.left_behind > 0 {
        log.note(&format!("[crondag] ended {} processes that it had left behind", record.left_behind));
    }
    log.note(&format!(
        "[crondag] took {}, cpu {:.2}s, peak memory {} (largest process)",
        format_duration(took),
        record.cpu_seconds,
        format_size(record.max_rss_bytes)
    ));
}

/// An ending in words, as logs, mails and `tasks` show it.
pub fn describe(ending: &Ending) -> String {
    match ending {
        Ending::Exited { code } => format!("exit status {code}"),
        Ending::Signaled { signal } => {
            let name = signal_hook::low_level::signal_name(*signal).unwrap_or("unknown");
            let hint = if *signal == libc::SIGKILL { " (out of memory? see `dmesg`)" } else { "" };
            format!("killed by signal {signal} {name}{hint}")
        }
        Ending::TimedOut => "timed out".to_owned(),
        Ending::Stopped => "stopped".to_owned(),
        Ending::NotStarted { reason } | Ending::Lost { reason } => reason.clone(),
    }
}

/// The name of this machine.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
