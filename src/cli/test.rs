//! `crondag test`
//!
//! The one command that runs a task itself: as a real attempt is run, but in the foreground, with its output on the terminal, and
//! without a trace in the database.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pipe::{PipeFlags, pipe_with};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

use super::context::Global;
use super::error::CliError;
use super::layout::wants_colour;
use super::output::say;
use crate::app::query::render::{self, Rehearsal};
use crate::dag::SKIP_EXIT_STATUS;
use crate::dag::units::format_duration;
use crate::mask::{Mask, Stream};
use crate::runner::attempt::local::process::{self, Processes, Tree, Waited};
use crate::runner::attempt::local::run_as;
use crate::runner::attempt::local::{program, shim};
use crate::runner::attempt::printed::own;
use crate::runner::attempt::{AttemptSpec, Ending, counted_processes};

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

/// How long the child is waited for before the signals are polled again.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How long the last output is waited for when all processes are gone.
const OUTLET_WAIT: Duration = Duration::from_secs(2);

/// The same when some live on that may have it open.
const LEFT_OUTLET_WAIT: Duration = Duration::from_millis(200);

/// So many polls in a row must find nobody.
const EMPTY_POLLS: u32 = 5;

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let rehearsal = Rehearsal::new(&app, (&args.dag, &args.task), render::Rehearsed::Date(&args.date), &args.params)?;
    let date = rehearsal.logical_date().minute();
    note(&format!("{} {} for {date}: nothing is recorded", rehearsal.dag_id(), rehearsal.task().id));
    let again = format!("crondag render {} {} {}", args.dag, args.task, args.date);
    let is_wait = rehearsal.task().wait().is_some();
    let began = Instant::now();
    let spec = rehearsal.spec(&app);
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
        Ending::Exited { code: SKIP_EXIT_STATUS } if !is_wait => {
            note(&format!("skipped in {took}: exit status {SKIP_EXIT_STATUS} says that there is nothing to do"));
            Ok(ExitCode::SUCCESS)
        }
        ending => Err(CliError::failed(format!("the task failed in {took}: {ending}"), again)),
    }
}

/// Beside the task's own output, so on standard error.
fn note(text: &str) {
    let text = own(text);
    say(if wants_colour(&io::stderr()) { format!("\x1b[2m{text}\x1b[0m") } else { text });
}

/// Runs the program to its end, to its timeout or to a signal, and ends whatever it leaves behind.
///
/// The program begins as under a shim, in a session of its own. So it has no terminal into which it could type what its user then
/// runs, and Ctrl-C reaches us alone; we then end the program as a driver would.
fn start(spec: &AttemptSpec, mask: &Mask) -> Result<Ending, String> {
    let failed = |error: io::Error| program::start_error(&spec.argv, &error);
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, stop.clone()).map_err(|error| format!("cannot watch signals: {error}"))?;
    }
    // Ignored by whoever started this, it would keep us from hearing how the program ended.
    signal_hook::flag::register(SIGCHLD, Arc::default()).map_err(|error| format!("cannot watch signals: {error}"))?;
    process::adopt_orphans().map_err(failed)?;
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(error.into()));
    let (output, write) = pipe()?;
    let (program, answers) = shim::program_of(spec, write)?;
    let mut program = program.in_own_session();
    // In one pipe both keep their order, where that can be seen.
    let mut errors = None;
    if !go_to_one_place() {
        let (read, write) = pipe()?;
        program = program.with_errors(write);
        errors = Some(read);
    }
    let main = program.start(None).map_err(failed)?;
    // It holds the writing ends of the pipes; while it does, they never end.
    drop(program);
    let (ended, done) = channel();
    outlet(mask, output, io::stdout(), ended.clone()).map_err(failed)?;
    if let Some(errors) = errors {
        outlet(mask, errors, io::stderr(), ended.clone()).map_err(failed)?;
    }
    drop(ended);
    let (asked, status) = watch(main, spec, &stop);
    let user = spec.run_as.as_deref();
    let mut tree = Rehearsed { token: &spec.token, user, empty_polls: 0 };
    if spec.leave_processes && status.is_some_and(|status| status.success()) {
        let left = u32::try_from(tree.find().len()).unwrap_or(u32::MAX);
        // What lives on may keep the pipes open: nobody knows when the last of the output has come.
        let wait = if left == 0 { OUTLET_WAIT } else { LEFT_OUTLET_WAIT };
        while done.recv_timeout(wait).is_ok() {}
        if left > 0 {
            note(&format!("left {} running", counted_processes(left)));
        }
        return answers.and_then(|answers| answers.failure()).map_or_else(|| Ok(exit(status)), Err);
    }
    let left = process::end_all(&mut tree, spec.kill_grace);
    // What was printed must be on the screen before the outcome. A process that could not be ended may keep an outlet open.
    while done.recv_timeout(OUTLET_WAIT).is_ok() {}
    if asked.is_none() && left.count > 0 {
        note(&format!("ended {} that it had left behind", counted_processes(left.count)));
    }
    if !left.is_clean {
        note("not all processes took the KILL; some of them still live");
    }
    if asked.is_none()
        && let Some(reason) = answers.and_then(|answers| answers.failure())
    {
        return Err(reason);
    }
    Ok(asked.unwrap_or_else(|| exit(status)))
}

/// Waits for the program to end. Gives why it has to be ended, or how it has ended.
fn watch(main: i32, spec: &AttemptSpec, stop: &AtomicBool) -> (Option<Ending>, Option<ExitStatus>) {
    let deadline = spec.limit.and_then(|limit| Some((Instant::now().checked_add(limit.after)?, limit)));
    loop {
        if let Waited::Ended(status) = process::wait_at_most(main, POLL_INTERVAL) {
            return (None, status.map(|status| ExitStatus::from_raw(status.as_raw())));
        }
        if stop.load(Ordering::Relaxed) {
            return (Some(Ending::Stopped), None);
        }
        if let Some((_, limit)) = deadline.filter(|(deadline, _)| Instant::now() >= *deadline) {
            return (Some(limit.ending()), None);
        }
    }
}

/// Whether standard output and standard error are the same file, such as a terminal.
fn go_to_one_place() -> bool {
    match (rustix::fs::fstat(io::stdout()), rustix::fs::fstat(io::stderr())) {
        (Ok(output), Ok(errors)) => (output.st_dev, output.st_ino) == (errors.st_dev, errors.st_ino),
        _ => false,
    }
}

/// Brings what comes through a pipe to `to`, without secrets; `ended` is told when all has come through.
fn outlet(mask: &Mask, from: OwnedFd, mut to: impl Write + Send + 'static, ended: Sender<()>) -> io::Result<()> {
    let (mut from, mut stream) = (File::from(from), Stream::new(mask.clone()));
    thread::Builder::new().name("outlet".to_owned()).spawn(move || {
        let mut buffer = [0; 8 << 10];
        // With the terminal gone, the task goes on all the same.
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let _ = to.write_all(&stream.next(&buffer[..count])).and_then(|()| to.flush());
        }
        let _ = to.write_all(&stream.last(b"")).and_then(|()| to.flush());
        let _ = ended.send(());
    })?;
    Ok(())
}

/// The processes of the task that is tried.
struct Rehearsed<'a> {
    token: &'a str,
    user: Option<&'a str>,
    empty_polls: u32,
}

impl Tree for Rehearsed<'_> {
    fn find(&mut self) -> Processes {
        process::collect();
        let mut found = process::descendants(i32::try_from(std::process::id()).unwrap_or(0));
        // As for a shim, the rest are descendants of this process.
        found.extend(process::with_token(self.token, None).unwrap_or_default());
        if let Some(user) = self.user {
            found.extend(process::living(run_as::find(user, self.token)));
        }
        if !found.is_empty() {
            self.empty_polls = 0;
        }
        found
    }

    fn is_gone(&mut self) -> bool {
        self.empty_polls += 1;
        self.empty_polls == EMPTY_POLLS
    }

    fn end_foreign(&mut self, pids: &[i32], is_in_grace: bool) {
        if let Some(user) = self.user {
            run_as::end(user, pids, is_in_grace);
        }
    }
}

fn exit(status: Option<ExitStatus>) -> Ending {
    match status.map(|status| (status.code(), status.signal())) {
        Some((Some(code), _)) => Ending::Exited { code },
        Some((None, Some(signal))) => Ending::Signaled { signal },
        Some((None, None)) | None => Ending::Lost { reason: "the program vanished".to_owned() },
    }
}
