//! `crondag test`
//!
//! The one command that runs a task itself: with the argument vector, the environment and the directory of a real
//! attempt, but in the foreground, with its output on the terminal, and without a trace in the database.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pipe::{PipeFlags, pipe_with};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::context::Global;
use super::error::CliError;
use super::output::wants_colour;
use super::rehearsal::Rehearsal;
use crate::app::times::{minute, rfc3339};
use crate::dag::SKIP_EXIT_STATUS;
use crate::dag::units::format_duration;
use crate::mask::{Mask, Stream};
use crate::runner::attempt::local::process::{self, Processes, Tree};
use crate::runner::attempt::local::program;
use crate::runner::attempt::local::run_as::{self, Helper};
use crate::runner::attempt::{ATTEMPT_VARIABLE, AttemptKey, AttemptSpec, Ending};

/// Options of `test`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag test userprofile age_task 20180701\n  \
                        crondag test userprofile age_task 20180701 --param limit=10\n\n\
                        Exit code 0 when the task succeeds or skips itself (exit status 99), else 1.")]
pub struct Args {
    /// The DAG
    dag: String,
    /// The task
    task: String,
    /// The logical date
    date: String,
    /// Override a param of the DAG
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
}

/// How long one look at the child may take before signals are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// How long the last output is waited for when all processes are gone.
const OUTLET_PATIENCE: Duration = Duration::from_secs(2);
/// So many looks in a row must find nobody.
const EMPTY_LOOKS: u32 = 5;

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let rehearsal = Rehearsal::new(global, (&args.dag, &args.task, &args.date), &args.params, false)?;
    let date = minute(rehearsal.interval.start, &rehearsal.dag.timezone);
    note(&format!("{} {} for {date}: nothing is recorded", rehearsal.dag.id, rehearsal.task().id));
    let again = format!("crondag render {} {} {}", args.dag, args.task, args.date);
    let began = Instant::now();
    let spec = spec(rehearsal);
    let mask = Mask::new(spec.secrets.iter().map(String::as_str));
    let ending = match start(&spec, &mask) {
        Ok(ending) => ending,
        Err(reason) => return Err(CliError::failed(mask.text(&reason), again)),
    };
    let took = format_duration(began.elapsed());
    match &ending {
        Ending::Exited { code: 0 } => {
            note(&format!("success in {took}"));
            Ok(ExitCode::SUCCESS)
        }
        Ending::Exited { code: SKIP_EXIT_STATUS } => {
            note(&format!("skipped in {took}: exit status {SKIP_EXIT_STATUS} says that there is nothing to do"));
            Ok(ExitCode::SUCCESS)
        }
        ending => Err(CliError::failed(format!("the task failed in {took}: {ending}"), again)),
    }
}

/// Beside the task's own output, so on standard error.
fn note(text: &str) {
    let line = if wants_colour(&io::stderr()) {
        format!("\x1b[2m[crondag] {text}\x1b[0m")
    } else {
        format!("[crondag] {text}")
    };
    // With standard error closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "{line}");
}

fn spec(rehearsal: Rehearsal) -> AttemptSpec {
    let token = format!("test-{}-{}", std::process::id(), rehearsal.app.now.as_nanosecond());
    let task = rehearsal.task();
    let key = AttemptKey {
        dag_id: rehearsal.dag.id.clone(),
        run_id: rehearsal.run_id.clone(),
        task_id: task.id.clone(),
        try_number: 1,
    };
    let timeout = task.timeout;
    let kill_grace = task.kill_grace.unwrap_or(rehearsal.app.config.kill_grace);
    let logical_date = rfc3339(rehearsal.interval.start, &rehearsal.dag.timezone);
    let prepared = rehearsal.prepared;
    let mut env = prepared.env;
    env.insert(ATTEMPT_VARIABLE.to_owned(), token.clone());
    AttemptSpec {
        key,
        token,
        logical_date,
        argv: prepared.argv,
        display: prepared.display,
        stdin: prepared.stdin,
        env,
        run_as: prepared.run_as,
        working_dir: prepared.working_dir,
        timeout,
        kill_grace,
        log_file: "/dev/null".into(),
        log_max_size: 0,
        secrets: prepared.secrets,
    }
}

/// Runs the program to its end, to its timeout or to a signal, and ends whatever it leaves behind.
fn start(spec: &AttemptSpec, mask: &Mask) -> Result<Ending, String> {
    let failed = |error: io::Error| program::start_error(&spec.argv, &error);
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, stop.clone()).map_err(|error| format!("cannot watch signals: {error}"))?;
    }
    let (command, name, answers) = if let Some(user) = &spec.run_as {
        let helper = Helper::for_attempt(user, spec)?;
        let name = helper.program.display().to_string();
        let command = duct::cmd(helper.program, helper.args).full_env(helper.env).dir("/");
        (command.stdin_file(helper.stdin), name, Some(helper.answers))
    } else {
        let program = program::find(&spec.argv, &spec.env, &spec.working_dir)?;
        let command = duct::cmd(program, &spec.argv[1..]).full_env(&spec.env).dir(&spec.working_dir);
        let command = match &spec.stdin {
            Some(text) => command.stdin_bytes(text.as_bytes()),
            None => command.stdin_null(),
        };
        (command, spec.argv[0].clone(), None)
    };
    let command = command.unchecked();
    let (ended, done) = channel();
    let command = if mask.is_empty() {
        // The task has the terminal itself, with its width and its colours.
        command
    } else {
        let stdout = outlet(mask, io::stdout(), ended.clone()).map_err(failed)?;
        command.stdout_file(stdout).stderr_file(outlet(mask, io::stderr(), ended.clone()).map_err(failed)?)
    };
    drop(ended);
    // A group of its own: Ctrl-C reaches us alone, and we end the task as a driver would.
    let command = command.before_spawn(move |command| {
        command.arg0(&name).process_group(0);
        Ok(())
    });
    process::adopt_orphans().map_err(failed)?;
    let handle = command.start().map_err(failed)?;
    // It holds the writing ends of the outlets; while it does, they never end.
    drop(command);
    let deadline = spec.timeout.map(|timeout| Instant::now() + timeout);
    let lost = |error: io::Error| format!("the program was lost: {error}");
    let (mut ending, mut status) = (None, None);
    while status.is_none() && ending.is_none() {
        status = handle.wait_timeout(LOOK).map_err(lost)?.map(|output| output.status);
        if status.is_none() && stop.load(Ordering::Relaxed) {
            ending = Some(Ending::Stopped);
        } else if status.is_none() && deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            ending = Some(Ending::TimedOut { limit: spec.timeout });
        }
    }
    let is_over = status.is_some();
    let user = spec.run_as.as_deref();
    let mut tree = Rehearsed { token: &spec.token, user, handle: &handle, empty_looks: 0 };
    let left = process::end_all(&mut tree, spec.kill_grace);
    // What was printed must be on the screen before the outcome. A process that could not be ended may keep an outlet open.
    while done.recv_timeout(OUTLET_PATIENCE).is_ok() {}
    if is_over && left.count > 0 {
        note(&format!("ended {} processes that it had left behind", left.count));
    }
    if !left.is_clean {
        note("not all processes took the KILL; some of them still live");
    }
    if ending.is_none()
        && let Some(reason) = answers.and_then(|answers| answers.failure())
    {
        return Err(reason);
    }
    match (ending, status) {
        (Some(ending), _) => {
            handle.wait().map_err(lost)?;
            Ok(ending)
        }
        (None, status) => Ok(status.map_or(Ending::Stopped, exit)),
    }
}

/// The writing end of a pipe to `to` on whose way secrets are masked; `ended` is told when all has come through.
fn outlet(mask: &Mask, mut to: impl Write + Send + 'static, ended: Sender<()>) -> io::Result<File> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    let (mut read, mut stream) = (File::from(read), Stream::new(mask.clone()));
    thread::Builder::new().name("outlet".to_owned()).spawn(move || {
        let mut buffer = [0; 8 << 10];
        // With the terminal gone, the task goes on all the same.
        while let Ok(count @ 1..) = read.read(&mut buffer) {
            let _ = to.write_all(&stream.next(&buffer[..count])).and_then(|()| to.flush());
        }
        let _ = to.write_all(&stream.last(b"")).and_then(|()| to.flush());
        let _ = ended.send(());
    })?;
    Ok(File::from(write))
}

/// The processes of the task that is tried.
struct Rehearsed<'a> {
    token: &'a str,
    user: Option<&'a str>,
    handle: &'a duct::Handle,
    empty_looks: u32,
}

impl Tree for Rehearsed<'_> {
    fn find(&mut self) -> Processes {
        // Collects the program, so that it is no longer found; how it ended is asked for later.
        let _ = self.handle.try_wait();
        let mut found = process::descendants(i32::try_from(std::process::id()).unwrap_or(0));
        found.extend(process::with_token(self.token, None));
        if let Some(user) = self.user {
            found.extend(process::living(run_as::find(user, self.token)));
        }
        if !found.is_empty() {
            self.empty_looks = 0;
        }
        found
    }

    fn is_gone(&mut self) -> bool {
        self.empty_looks += 1;
        self.empty_looks == EMPTY_LOOKS
    }

    fn end_foreign(&mut self, pids: &[i32], is_patient: bool) {
        if let Some(user) = self.user {
            run_as::end(user, pids, is_patient);
        }
    }
}

fn exit(status: ExitStatus) -> Ending {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Exited { code },
        (None, Some(signal)) => Ending::Signaled { signal },
        (None, None) => Ending::Lost { reason: "the program vanished".to_owned() },
    }
}
