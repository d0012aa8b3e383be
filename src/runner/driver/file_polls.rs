//! Finds out whether files are there although a file system may not answer: a network mount whose server is gone holds whoever
//! asks it, for as long as it likes. Then a thread is left behind for that path, and the wait goes on without it.

use std::collections::HashSet;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::Key;
use crate::runner::engine::PollResult;

/// How long a file system may take to say whether a file is there.
const LONGEST_ANSWER: Duration = Duration::from_secs(10);

/// Whether a file is there.
type Answer = io::Result<bool>;

/// Files for which tasks wait.
type Files = Vec<(Key, String)>;

/// What came of asking about files.
type Results = Vec<(Key, PollResult)>;

/// Asks about files, about each one once at a time.
#[derive(Clone)]
pub(super) struct FilePolls {
    exists: Arc<dyn Fn(&str) -> Answer + Send + Sync>,
    /// The paths about which an answer is overdue.
    unanswered: Arc<Mutex<HashSet<String>>>,
}

impl FilePolls {
    pub(super) fn new(exists: impl Fn(&str) -> Answer + Send + Sync + 'static) -> FilePolls {
        FilePolls { exists: Arc::new(exists), unanswered: Arc::default() }
    }

    /// Asks about files until one does not answer in time; gives what came of it, and the files that are left.
    pub(super) fn poll(&self, files: Files) -> (Results, Files) {
        self.poll_with(files, |answers| answers.recv_timeout(LONGEST_ANSWER))
    }

    fn poll_with(
        &self,
        files: Files,
        next: impl Fn(&Receiver<Answer>) -> Result<Answer, RecvTimeoutError>,
    ) -> (Results, Files) {
        let (overdue, askable): (Files, Files) =
            files.into_iter().partition(|(_, path)| self.unanswered().contains(path));
        let mut results: Results = overdue.into_iter().map(|(key, path)| (key, no_answer(&path))).collect();
        let answers = self.ask(askable.iter().map(|(_, path)| path.clone()).collect());
        let mut askable = askable.into_iter();
        for (key, path) in askable.by_ref() {
            let answer = match next(&answers) {
                Ok(answer) => Some(answer),
                Err(RecvTimeoutError::Timeout) => self.give_up(&path, &answers),
                Err(RecvTimeoutError::Disconnected) => Some(Err(io::Error::other("the system has no thread for it"))),
            };
            let is_answered = answer.is_some();
            results.push((key, answer.map_or_else(|| no_answer(&path), |answer| found(&path, answer))));
            if !is_answered {
                break;
            }
        }
        (results, askable.collect())
    }

    /// Asks in a thread, about one path after another, as long as somebody takes the answers.
    fn ask(&self, paths: Vec<String>) -> Receiver<Answer> {
        let (sender, receiver) = channel();
        let polls = self.clone();
        let ask = move || {
            for path in paths {
                let is_wanted = sender.send((polls.exists)(&path)).is_ok();
                // Only now: who gives up on a path looks for its answer once more.
                polls.unanswered().remove(&path);
                if !is_wanted {
                    return;
                }
            }
        };
        // Without a thread the channel is closed, and nothing is answered.
        let _ = thread::Builder::new().name("files".to_owned()).spawn(ask);
        receiver
    }

    /// Leaves a path to the thread that asks about it, unless its answer comes just now.
    fn give_up(&self, path: &str, answers: &Receiver<Answer>) -> Option<Answer> {
        self.unanswered().insert(path.to_owned());
        let answer = answers.try_recv().ok()?;
        self.unanswered().remove(path);
        Some(answer)
    }

    fn unanswered(&self) -> MutexGuard<'_, HashSet<String>> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn found(path: &str, answer: Answer) -> PollResult {
    match answer {
        Ok(true) => PollResult::Found,
        Ok(false) => PollResult::NotYet(format!("file {path}")),
        Err(error) => PollResult::Failed(format!("cannot look for {path}: {error}")),
    }
}

fn no_answer(path: &str) -> PollResult {
    PollResult::NotYet(format!("file {path}; its file system does not answer"))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::dag::{RunNumber, TaskId};

    fn files(paths: &[&str]) -> Files {
        let key = |nth: usize| (RunNumber(i64::try_from(nth).unwrap()), TaskId::new("t").unwrap(), 1);
        paths.iter().enumerate().map(|(nth, path)| (key(nth), (*path).to_owned())).collect()
    }

    fn answers(results: Results) -> Vec<(i64, PollResult)> {
        results.into_iter().map(|((run, _, _), result)| (run.0, result)).collect()
    }

    #[test]
    fn a_file_system_that_does_not_answer_holds_up_its_own_files_alone_and_one_thread() {
        let (asked, has_asked) = channel();
        let (mount, mounted) = channel::<()>();
        let mounted = Mutex::new(mounted);
        let polls = FilePolls::new(move |path| {
            let _ = asked.send(path.to_owned());
            if path == "mnt/hung" {
                let _ = mounted.lock().unwrap().recv();
            }
            Ok(path != "absent")
        });
        // Time is over as soon as the file system has been asked for what it does not answer.
        let poll = |files| {
            polls.poll_with(files, |answers| match has_asked.recv().unwrap().as_str() {
                "mnt/hung" => Err(RecvTimeoutError::Timeout),
                _ => Ok(answers.recv().unwrap()),
            })
        };
        let silent = || PollResult::NotYet("file mnt/hung; its file system does not answer".to_owned());
        let absent = || PollResult::NotYet("file absent".to_owned());
        let (results, rest) = poll(files(&["there", "mnt/hung", "absent", "mnt/hung"]));
        assert_eq!(answers(results), [(0, PollResult::Found), (1, silent())]);
        assert_eq!(rest, files(&["there", "mnt/hung", "absent", "mnt/hung"])[2..]);
        let (results, rest) = poll(rest);
        assert_eq!(answers(results), [(3, silent()), (2, absent())], "what has not answered is not asked again");
        assert_eq!(rest, []);
        // The server is back: the thread that was left behind ends, and the file is asked for as ever.
        drop(mount);
        let deadline = Instant::now() + Duration::from_secs(60);
        while polls.unanswered().contains("mnt/hung") {
            assert!(Instant::now() < deadline, "the thread that was left behind never ended");
            thread::yield_now();
        }
        let (results, rest) = polls.poll_with(files(&["mnt/hung"]), |answers| Ok(answers.recv().unwrap()));
        assert_eq!((answers(results), rest), (vec![(0, PollResult::Found)], vec![]));
    }
}
