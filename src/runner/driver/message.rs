//! What the driver hears of the world.

use jiff::Timestamp;

use crate::dag::{RunNumber, TaskId};
use crate::notify::DeliveryError;
use crate::runner::attempt::{AttemptSpec, ExitRecord};
use crate::runner::engine::PollResult;

/// An attempt: run, task, number of the try.
pub type Key = (RunNumber, TaskId, u32);

/// Something that happened, or that somebody wants.
#[derive(Debug)]
pub enum Message {
    /// A client has something.
    Doorbell,
    /// Go; asked for a second time, a resident driver goes at once.
    Terminate,
    /// Read settings and DAG files again.
    Reload,
    /// A child process has ended.
    Child,
    /// Shims cannot report any more: their attempts must be watched.
    SpawnerLost,
    /// A shim ended without a word; the locks tell which.
    ShimLost,
    /// A shim says how its attempt ended.
    Reported(Box<ExitRecord>),
    /// The attempt with this token could not be started; why reads after "error: ".
    Refused(String, String),
    /// An attempt is prepared, or why it cannot be; named by its token.
    Prepared(String, Result<Box<AttemptSpec>, String>),
    /// The end of an attempt that was watched.
    Ended(Key, Box<ExitRecord>),
    /// A delivery was tried.
    Mail(i64, u32, Timestamp, Result<(), DeliveryError>),
    /// The mailer is done with what was due.
    MailerDone,
    /// Whether the files are there for which tasks wait.
    Polled(Vec<(Key, PollResult)>),
}
