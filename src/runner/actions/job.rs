//! Inner programs: what crondag itself runs for an action, by a process of its own, so that a timeout and a stop end it like
//! any other task. Its job reaches it on standard input, where nobody else sees it: it may hold secrets.

use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};

use jiff::tz::TimeZone;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::dag::words::words;
use crate::machine_zone::{MachineZone, zone_of_text};
use crate::runner::attempt::KILLING;

words! {
    /// The inner programs, by the first argument that runs one.
    pub enum InnerProgram {
        /// Statements on a connection.
        Sql = "__sql",
        /// One poll of a condition.
        Sensor = "__sensor",
        /// Values and their verdicts.
        Check = "__check",
        /// One mail about a run.
        Report = "__report",
    }
}

/// What shells add to a signal's number when a program that they ran was killed by it.
const KILLED: i32 = 128;

/// Why an inner program cannot do its job. Reads after "error: ".
#[derive(Debug)]
pub(super) struct JobFailure {
    pub(super) reason: String,
    /// The signal that killed a program on which the job waited.
    pub(super) signal: Option<i32>,
}

impl JobFailure {
    /// As a shell says it, so that the attempt's end tells of the signal.
    pub(super) fn status(&self) -> ExitCode {
        let killed = self.signal.and_then(|signal| u8::try_from(KILLED + signal).ok());
        killed.map_or(ExitCode::FAILURE, ExitCode::from)
    }
}

impl From<String> for JobFailure {
    fn from(reason: String) -> JobFailure {
        JobFailure { reason, signal: None }
    }
}

/// The signal that killed a program, or one that its shell ran.
pub(super) fn signal_of(status: ExitStatus) -> Option<i32> {
    let told = status.code().map(|code| code - KILLED).filter(|signal| KILLING.contains(signal));
    status.signal().or(told)
}

/// What an inner program is told.
pub(super) trait Job: Serialize + DeserializeOwned {
    /// The program that understands it.
    const PROGRAM: InnerProgram;

    /// What it does, for people.
    fn describe(&self) -> String;

    /// Does it; the status is that of the attempt.
    fn run(&self) -> ExitCode;
}

/// The zone of a job, as [`zone_text`](crate::dag::schedule::zone_text) says it; one without a text is the system's.
///
/// # Errors
/// There is no such zone on this machine.
pub(super) fn zone(text: Option<&str>) -> Result<TimeZone, String> {
    match text {
        Some(text) => zone_of_text(text).ok_or_else(|| format!("this machine has no time zone {text}")),
        None => Ok(MachineZone::of_system().zone),
    }
}

/// Reads a job from standard input and does it.
pub(super) fn main<J: Job>() -> ExitCode {
    let mut json = String::new();
    let job: Option<J> = std::io::stdin().read_to_string(&mut json).ok().and_then(|_| serde_json::from_str(&json).ok());
    let Some(job) = job else {
        let program = J::PROGRAM.as_str();
        eprintln!("error: crondag {program} reads its job from standard input; it is not for people");
        return ExitCode::from(2);
    };
    job.run()
}
