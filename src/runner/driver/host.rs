//! What the driver needs of the world. Its decisions know the world only through this, so that they can be tried in a
//! simulated one; the real one is [`System`](super::system::System).

use std::time::Duration;

use jiff::Timestamp;

use crate::dag::{Config, DagId};
use crate::runner::attempt::AttemptSpec;
use crate::store::WaitingNotice;

use super::message::{Key, Message};
use crate::runner::driver_log::line::Line;

/// The clock, the processes and the files around the driver. What happens there comes back as
/// [`Message`](super::Message)s.
pub trait Host {
    /// What time it is.
    fn now(&self) -> Timestamp;

    /// Whether the database of the home is still where it was; else the home was deleted or moved, and nobody has need of this driver.
    fn has_home(&self) -> bool;

    /// Waits before something is tried again that the disk refused.
    fn pause(&mut self, pause: Duration);

    /// Says something to the people who read the driver's log.
    fn report(&self, line: &Line);

    /// A resident driver has planned: `status` says when that was.
    fn note_tick(&mut self);

    /// Attempts with these tokens may still live.
    fn take_over(&mut self, tokens: &[&str]);

    /// Names an attempt to come and reserves what it needs. Nothing may be started yet.
    fn claim(&mut self) -> String;

    /// Does something that may take a while, and sends what comes of it.
    fn in_background(&mut self, work: Box<dyn FnOnce() -> Message + Send>);

    /// Starts a claimed attempt.
    ///
    /// # Errors
    /// Why it cannot be started; reads after "error: ".
    fn launch(&mut self, spec: &AttemptSpec) -> Result<(), String>;

    /// Leaves a log for an attempt that could not be started: it is the first that people read.
    fn log_failed_start(&mut self, log_file: &str, reason: &str);

    /// Whether nobody holds the attempt any more.
    fn is_gone(&self, token: &str) -> bool;

    /// Waits, in the background, until nobody holds the attempt; then ends what is left of it and sends
    /// [`Message::Ended`](super::Message::Ended).
    fn watch(&mut self, key: Key, token: String, started_at: Timestamp, grace: Duration);

    /// Asks an attempt to end.
    fn stop(&mut self, token: &str);

    /// Ends an attempt that is asked to end, without any grace.
    fn kill(&mut self, token: &str);

    /// The attempt's end is committed: what it had reserved may serve another.
    fn release(&mut self, token: &str);

    /// There is no attempt any more.
    fn release_all(&mut self);

    /// Finds out, in the background, whether files are there; paths and patterns are relative to the home. Sends a
    /// [`Message::Polled`](super::Message::Polled).
    fn poll_files(&mut self, files: Vec<(Key, String)>);

    /// Tries to deliver notices, each by its channel, in the background; sends a [`Message::Mail`](super::Message::Mail) for each and then
    /// [`Message::MailerDone`](super::Message::MailerDone).
    fn deliver(&mut self, due: Vec<WaitingNotice>, config: &Config);

    /// Deletes the logs of a run.
    fn delete_logs(&mut self, dag_id: &DagId, run_id: &str);
}
