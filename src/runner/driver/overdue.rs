//! Sees to shims that do not end their attempts though it is time: a task may have stopped its shim (SIGSTOP), which then hears
//! neither its clock nor a request.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::runner::attempt::local::attempt_file::{self, Due, Urged};
use crate::runner::driver_log as log;
use crate::runner::driver_log::line::Line;

/// How long after its time, and how often from then on, a shim is urged on. To one that is at it nothing happens.
const MARGIN: Duration = Duration::from_secs(5);
/// A task that stops its shim so many times in a row does not let the shim go on: then the shim is ended, and after it what is
/// left of the attempt.
const STOPPED_TIMES: u32 = 3;

/// The attempts that have to end at a time.
pub(super) struct Overdue {
    sender: Sender<Message>,
    /// What the thread is to hear, until there is one.
    unheard: Arc<Mutex<Option<Receiver<Message>>>>,
    start: Start,
    has_thread: bool,
    /// That there is none has been said.
    is_known: bool,
    /// The newest time of each attempt.
    due: HashMap<String, Instant>,
}

/// Starts a thread.
type Start = fn(Box<dyn FnOnce() + Send>) -> io::Result<()>;

enum Message {
    Watch { due: Instant, token: String, path: PathBuf },
    Adopt { token: String, path: PathBuf },
    Forget { due: Instant, token: String },
}

struct Entry {
    path: PathBuf,
    /// Its time is known.
    is_known: bool,
    stopped: u32,
}

impl Overdue {
    pub(super) fn new() -> Overdue {
        Overdue::started_by(|work| thread::Builder::new().name("overdue".to_owned()).spawn(work).map(drop))
    }

    fn started_by(start: Start) -> Overdue {
        let (sender, receiver) = channel();
        let unheard = Arc::new(Mutex::new(Some(receiver)));
        Overdue { sender, unheard, start, has_thread: false, is_known: false, due: HashMap::new() }
    }

    /// This attempt has to end from this time on.
    pub(super) fn watch(&mut self, token: &str, path: PathBuf, ends_at: Instant) {
        let Some(due) = ends_at.checked_add(MARGIN) else { return };
        self.forget(token);
        self.due.insert(token.to_owned(), due);
        self.send(Message::Watch { due, token: token.to_owned(), path });
    }

    /// An earlier driver has started this attempt; its file says when it has to end.
    pub(super) fn adopt(&mut self, token: &str, path: PathBuf) {
        if !self.due.contains_key(token) {
            self.send(Message::Adopt { token: token.to_owned(), path });
        }
    }

    fn send(&mut self, message: Message) {
        // Its receiver waits for a thread, or lives in it.
        let _ = self.sender.send(message);
        if self.has_thread {
            return;
        }
        let unheard = Arc::clone(&self.unheard);
        let work = move || {
            if let Some(receiver) = unheard.lock().unwrap_or_else(PoisonError::into_inner).take() {
                urge(&receiver);
            }
        };
        match (self.start)(Box::new(work)) {
            Ok(()) => self.has_thread = true,
            // Until the next attempt there is only what the shims do themselves.
            Err(error) if !std::mem::replace(&mut self.is_known, true) => {
                log::say(&Line::trouble("no thread for attempts that do not end in time, trying again", error));
            }
            Err(_) => {}
        }
    }

    /// This attempt has ended.
    pub(super) fn forget(&mut self, token: &str) {
        if let Some(due) = self.due.remove(token) {
            // As above.
            let _ = self.sender.send(Message::Forget { due, token: token.to_owned() });
        }
    }
}

/// Works until the driver is gone.
fn urge(receiver: &Receiver<Message>) {
    let mut open: BTreeMap<(Instant, String), Entry> = BTreeMap::new();
    loop {
        let message = match open.first_key_value() {
            None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(((due, _), _)) => receiver.recv_timeout(due.saturating_duration_since(Instant::now())),
        };
        match message {
            Ok(Message::Watch { due, token, path }) => {
                open.insert((due, token), Entry { path, is_known: true, stopped: 0 });
            }
            Ok(Message::Adopt { token, path }) => {
                open.insert((Instant::now(), token), Entry { path, is_known: false, stopped: 0 });
            }
            Ok(Message::Forget { due, token }) => {
                open.remove(&(due, token));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let now = Instant::now();
        while let Some(first) = open.first_entry().filter(|first| first.key().0 <= now) {
            let ((_, token), mut entry) = first.remove_entry();
            if !entry.is_known {
                let due = attempt_file::due(&entry.path, &token);
                entry.is_known = matches!(due, Due::In(_));
                let next = match due {
                    Due::Gone | Due::Never => None,
                    Due::Unknown => now.checked_add(MARGIN),
                    Due::In(left) => now.checked_add(left + MARGIN),
                };
                if let Some(next) = next {
                    open.insert((next, token), entry);
                }
                continue;
            }
            match attempt_file::urge(&entry.path, &token) {
                Urged::Gone => continue,
                Urged::Goes => entry.stopped = 0,
                Urged::WasStopped => entry.stopped += 1,
            }
            if entry.stopped >= STOPPED_TIMES {
                log::say(
                    &Line::trouble("a shim is stopped again and again, it is ended", "SIGSTOP").with("attempt", &token),
                );
                attempt_file::end_shim(&entry.path, &token);
            }
            open.insert((now + MARGIN, token), entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_could_not_be_made_is_made_with_the_next_attempt_and_hears_of_all() {
        thread_local! {
            static HEARD: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
        }
        let mut overdue = Overdue::started_by(|_| Err(io::Error::other("no more threads")));
        let in_an_hour = Instant::now() + Duration::from_secs(3600);
        overdue.watch("a", PathBuf::from("a"), in_an_hour);
        overdue.watch("b", PathBuf::from("b"), in_an_hour);
        assert!(!overdue.has_thread);
        overdue.start = |work| {
            drop(work);
            HEARD.set(true);
            Ok(())
        };
        overdue.watch("c", PathBuf::from("c"), in_an_hour);
        assert!(overdue.has_thread && HEARD.get());
        let unheard = overdue.unheard.lock().unwrap().take().unwrap();
        let tokens: Vec<String> = unheard
            .try_iter()
            .map(|message| match message {
                Message::Watch { token, .. } | Message::Adopt { token, .. } | Message::Forget { token, .. } => token,
            })
            .collect();
        assert_eq!(tokens, ["a", "b", "c"]);
    }
}
