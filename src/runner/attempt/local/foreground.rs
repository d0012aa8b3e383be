//! An attempt in the foreground, which nothing records: run as a shim runs one, with its output on this process's own streams.
//!
//! The program begins as under a shim, in a session of its own. So it has no terminal into which it could type what its user then
//! runs, and Ctrl-C reaches us alone; we then end the program as a driver would.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pipe::{PipeFlags, pipe_with};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

use super::process::{self, Processes, Tree, Waited};
use super::{program, run_as, shim};
use crate::mask::{Mask, Stream};
use crate::runner::attempt::{AttemptSpec, Ending};

/// How long the child is waited for before the signals are polled again.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How long the last output is waited for when all processes are gone.
const OUTLET_WAIT: Duration = Duration::from_secs(2);

/// The same when some live on that may have it open.
const LEFT_OUTLET_WAIT: Duration = Duration::from_millis(200);

/// So many polls in a row must find nobody.
const EMPTY_POLLS: u32 = 5;

/// What is to be said beside the output, as it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// So many processes go on, as the task wants it.
    LeftRunning(u32),
    /// So many were ended that the program had left behind.
    Ended(u32),
    /// Some did not take the KILL.
    NotAllEnded,
}

/// Runs the program to its end, to its timeout or to a signal, and ends whatever it leaves behind. What it prints goes to `output`
/// and `errors`, without secrets; in one order, where these are the same file.
///
/// # Errors
/// The program could not be started, in words.
pub fn run(
    spec: &AttemptSpec,
    mask: &Mask,
    (output, errors): (impl Write + AsFd + Send + 'static, impl Write + AsFd + Send + 'static),
    mut note: impl FnMut(Note),
) -> Result<Ending, String> {
    let failed = |error: io::Error| program::start_error(&spec.argv, &error);
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, stop.clone()).map_err(|error| format!("cannot watch signals: {error}"))?;
    }
    // Ignored by whoever started this, it would keep us from hearing how the program ended.
    signal_hook::flag::register(SIGCHLD, Arc::default()).map_err(|error| format!("cannot watch signals: {error}"))?;
    process::adopt_orphans().map_err(failed)?;
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(error.into()));
    let (from_output, write) = pipe()?;
    let (program, answers) = shim::program_of(spec, write)?;
    let mut program = program.in_own_session();
    // In one pipe both keep their order, where that can be seen.
    let mut from_errors = None;
    if !are_one_file(&output, &errors) {
        let (read, write) = pipe()?;
        program = program.with_errors(write);
        from_errors = Some(read);
    }
    let main = program.start(None).map_err(failed)?;
    // It holds the writing ends of the pipes; while it does, they never end.
    drop(program);
    let (ended, done) = channel();
    outlet(mask, from_output, output, ended.clone()).map_err(failed)?;
    if let Some(from) = from_errors {
        outlet(mask, from, errors, ended.clone()).map_err(failed)?;
    }
    drop(ended);
    let (asked, status) = watch(main, spec, &stop);
    let mut tree = Descendants { token: &spec.token, user: spec.run_as.as_deref(), empty_polls: 0 };
    if spec.leave_processes && status.is_some_and(|status| status.success()) {
        let left = u32::try_from(tree.find().len()).unwrap_or(u32::MAX);
        // What lives on may keep the pipes open: nobody knows when the last of the output has come.
        wait_for_output(&done, if left == 0 { OUTLET_WAIT } else { LEFT_OUTLET_WAIT });
        if left > 0 {
            note(Note::LeftRunning(left));
        }
        return answers.and_then(|answers| answers.failure()).map_or_else(|| Ok(exit(status)), Err);
    }
    let left = process::end_all(&mut tree, spec.kill_grace);
    // What was printed must be on the screen before the outcome. A process that could not be ended may keep an outlet open.
    wait_for_output(&done, OUTLET_WAIT);
    if asked.is_none() && left.count > 0 {
        note(Note::Ended(left.count));
    }
    if !left.is_clean {
        note(Note::NotAllEnded);
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

/// Such as one terminal.
fn are_one_file(output: &impl AsFd, errors: &impl AsFd) -> bool {
    match (rustix::fs::fstat(output), rustix::fs::fstat(errors)) {
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

/// Until each outlet has brought all, or nothing comes for so long.
fn wait_for_output(done: &Receiver<()>, at_most: Duration) {
    while done.recv_timeout(at_most).is_ok() {}
}

/// The processes of the attempt.
struct Descendants<'a> {
    token: &'a str,
    user: Option<&'a str>,
    empty_polls: u32,
}

impl Tree for Descendants<'_> {
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
