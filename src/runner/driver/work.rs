//! The driver's loop: becomes the driver of a home, waits for messages, and hands them over.

use std::fs::File;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::resident::{PASS_EVERY, pass};
use super::supervisor::Supervisor;
use super::system::System;
use super::{Driver, DriverError, End, Host as _, Message, Mode};
use crate::dag::Config;
use crate::home::Home;
use crate::runner::catalog;
use crate::runner::client::{self, DriverLock};
use crate::runner::driver_log as log;
use crate::runner::driver_log::line::{Fresh, Happening, Line};
use crate::runner::planner::{self, Pacer};
use crate::runner::race_delay::race_delay;
use crate::store::Store;

/// How often a driver that has nothing to do sees whether its home is still there.
const HOME_SEEN_EVERY: Duration = Duration::from_secs(5);

/// Becomes the driver of a home and works until there is nothing left to do, or until a signal asks it to go. While
/// another process is the driver, a resident one stands by and ticks; any other gives [`End::Taken`].
///
/// # Errors
/// The database, the lock or the system fails at the beginning. Later failures are waited out.
pub fn run(home: &Home, mode: Mode) -> Result<End, DriverError> {
    let (sender, receiver) = channel();
    listen_to_signals(&sender)?;
    let supervisor = if mode == Mode::Resident { Supervisor::of_environment() } else { Supervisor::default() };
    let lock = match (client::try_lock(home)?, mode) {
        (Some(lock), _) => lock,
        (None, Mode::UntilIdle | Mode::Foreground) => return Ok(End::Taken),
        (None, Mode::Resident) => match stand_by(home, &supervisor, &sender, &receiver)? {
            Some(lock) => lock,
            None => return Ok(End::Asked),
        },
    };
    drive(home, mode, lock, &supervisor, (&sender, &receiver))
}

/// As [`run`] until there is nothing left to do now: mail that is to go out later is left to the next driver. While another process is the driver it is waited for: when that is gone, what it
/// has left is ours.
///
/// # Errors
/// As [`run`].
pub fn run_in_foreground(home: &Home) -> Result<End, DriverError> {
    let (sender, receiver) = channel();
    listen_to_signals(&sender)?;
    let lock = loop {
        if let Some(lock) = client::try_lock(home)? {
            break lock;
        }
        wait_for_lock(home, &sender)?;
        // Here only the lock is heard of: the doorbell is the driver's.
        let mut heard = receiver.iter().filter(|message| matches!(message, Message::Doorbell | Message::Terminate));
        if !matches!(heard.next(), Some(Message::Doorbell)) {
            return Ok(End::Asked);
        }
    };
    drive(home, Mode::Foreground, lock, &Supervisor::default(), (&sender, &receiver))
}

/// Works under the lock until there is nothing left to do, or until a signal asks it to go.
fn drive(
    home: &Home,
    mode: Mode,
    mut lock: DriverLock,
    supervisor: &Supervisor,
    (sender, receiver): (&Sender<Message>, &Receiver<Message>),
) -> Result<End, DriverError> {
    race_delay();
    listen_to_doorbell(home, sender)?;
    loop {
        let (config, file) = load_config(home)?;
        let store = Store::open(&home.database_path())?;
        let system = System::new(home.clone(), sender.clone(), supervisor.clone());
        let mut driver = Driver::take_up(system, home.clone(), mode, store, (config, file.text))?;
        match work(&mut driver, receiver, supervisor) {
            End::Idle => {}
            End::HomeGone => return Err(DriverError::HomeGone(home.database_path().display().to_string())),
            end @ (End::Asked | End::Taken) => return Ok(end),
        }
        let (loaded_until, store) = driver.park();
        race_delay();
        drop(lock);
        race_delay();
        // Somebody may have asked for work after the last reading and found the lock still taken.
        let again = store.has_intents_until(i64::MAX)? || store.last_run()? > loaded_until;
        match if again { client::try_lock(home)? } else { None } {
            Some(taken) => lock = taken,
            None => return Ok(End::Idle),
        }
    }
}

fn load_config(home: &Home) -> Result<(Config, catalog::FaultyFile), DriverError> {
    catalog::load_config(home).map_err(|file| DriverError::Config(file.summary()))
}

/// Hands messages to the driver until it has nothing left to do, or goes.
fn work(driver: &mut Driver<System>, receiver: &Receiver<Message>, supervisor: &Supervisor) -> End {
    let mut messages = Vec::new();
    let mut drained_at: Option<Instant> = None;
    loop {
        if messages.iter().any(|message| matches!(message, Message::Reload)) {
            supervisor.reloads();
        }
        race_delay();
        let end = driver.step(std::mem::take(&mut messages));
        if let Some(timeout) = driver.drain_timeout() {
            supervisor.stops(timeout);
            drained_at = drained_at.or_else(|| Instant::now().checked_add(timeout));
        }
        if let Some(end) = end {
            return end;
        }
        if driver.is_done() {
            return End::Idle;
        }
        supervisor.works(&driver.status());
        let drain = drained_at.map(|at| at.saturating_duration_since(Instant::now()));
        let longest = [driver.wakes_within(), supervisor.wakes_within(), drain].into_iter().flatten().min();
        let until = longest.and_then(|longest| Instant::now().checked_add(longest));
        let first = loop {
            let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
            match receiver.recv_timeout(left.min(HOME_SEEN_EVERY)) {
                Ok(message) => break Some(message),
                Err(RecvTimeoutError::Timeout) if left <= HOME_SEEN_EVERY => break None,
                Err(RecvTimeoutError::Timeout) if driver.host_mut().has_home() => {}
                Err(RecvTimeoutError::Timeout) => return End::HomeGone,
                Err(RecvTimeoutError::Disconnected) => return End::Asked,
            }
        };
        // What came meanwhile goes into the same transaction.
        messages.extend(first.into_iter().chain(receiver.try_iter()));
        // The end of a child is the system's business; the driver hears only of a spawner that is lost.
        if messages.iter().any(|message| matches!(message, Message::Child)) {
            messages.retain(|message| !matches!(message, Message::Child));
            messages.extend(driver.host_mut().check_spawner());
        }
        if drained_at.is_some_and(|at| at <= Instant::now()) {
            messages.push(Message::Terminate);
        }
    }
}

/// Ticks in place of a crontab while another process is the driver, and takes over when that is gone. Gives `None` when
/// it is asked to go.
fn stand_by(
    home: &Home,
    supervisor: &Supervisor,
    sender: &Sender<Message>,
    receiver: &Receiver<Message>,
) -> Result<Option<DriverLock>, DriverError> {
    let (mut config, _) = load_config(home)?;
    let mut store = client::open_store(home)?;
    // What the last pass found wrong, and what of it was said.
    let (mut faulty, mut fresh) = (Vec::new(), Fresh::default());
    let mut pacer = Pacer::default();
    let host = System::new(home.clone(), sender.clone(), supervisor.clone());
    loop {
        let pid = match client::driver(home) {
            client::Driver::Running { pid } => pid.unwrap_or_default(),
            client::Driver::Absent => 0,
        };
        log::say(&Line::new(Happening::StandBy).with("pid", pid));
        wait_for_lock(home, sender)?;
        let is_free = loop {
            if !host.has_home() {
                return Err(DriverError::HomeGone(home.database_path().display().to_string()));
            }
            let now = Timestamp::now();
            let wrong = match catalog::load_config(home) {
                Ok((good, _)) => {
                    config = good;
                    None
                }
                Err(file) => Some(Line::new(Happening::Faulty).with("error", file.summary())),
            };
            if pacer.is_due(&store, now) {
                let (changed, lines) = pass(&mut pacer, home, &mut store, &config, now);
                faulty = lines;
                if changed {
                    client::notify(home);
                }
            }
            let lines = faulty.iter().cloned().chain(wrong).collect();
            fresh.of(lines).iter().for_each(log::say);
            planner::note_tick(home);
            supervisor.works(&format!("standing by for the driver {pid}"));
            let second = PASS_EVERY.saturating_sub(Duration::from_nanos(now.subsec_nanosecond().unsigned_abs().into()));
            let longest = supervisor.wakes_within().map_or(second, |longest| longest.min(second));
            match receiver.recv_timeout(longest) {
                Ok(Message::Terminate) => {
                    supervisor.stops(Duration::ZERO);
                    break false;
                }
                // Here only the lock is heard of: the doorbell is the driver's.
                Ok(Message::Doorbell) => break true,
                Ok(Message::Reload) => {
                    supervisor.reloads();
                    fresh = Fresh::default();
                    pacer = Pacer::default();
                }
                Ok(
                    Message::Child
                    | Message::SpawnerLost
                    | Message::ShimLost
                    | Message::Reported(..)
                    | Message::Refused(..)
                    | Message::Prepared(..)
                    | Message::Ended(..)
                    | Message::Mail(..)
                    | Message::MailerDone
                    | Message::Polled(..),
                )
                | Err(_) => {}
            }
        };
        if !is_free {
            return Ok(None);
        }
        if let Some(lock) = client::try_lock(home)? {
            return Ok(Some(lock));
        }
    }
}

/// Sends [`Message::Doorbell`] when no process is the driver any more.
fn wait_for_lock(home: &Home, sender: &Sender<Message>) -> Result<(), DriverError> {
    let (home, sender) = (home.clone(), sender.clone());
    thread::Builder::new().name("lock".to_owned()).spawn(move || {
        if let Err(error) = client::wait_for_driver(&home) {
            log::say(&Line::trouble("cannot wait for the driver's lock", error));
            thread::sleep(PASS_EVERY);
        }
        race_delay();
        // Its receiver lives as long as this process.
        let _ = sender.send(Message::Doorbell);
    })?;
    Ok(())
}

fn listen_to_doorbell(home: &Home, sender: &Sender<Message>) -> Result<(), DriverError> {
    let doorbell: File = client::doorbell(home)?;
    let sender = sender.clone();
    thread::Builder::new().name("doorbell".to_owned()).spawn(move || pass_on(doorbell, &sender, PASS_EVERY))?;
    Ok(())
}

/// Tells the driver that somebody has committed something. A doorbell that cannot be read may have been used: what there is to read is
/// then read every so often.
fn pass_on(mut doorbell: impl Read, sender: &Sender<Message>, pause: Duration) {
    let mut buffer = [0; 256];
    let mut is_known = false;
    loop {
        let error = match doorbell.read(&mut buffer) {
            Ok(0) => io::Error::from(io::ErrorKind::UnexpectedEof),
            Ok(_) => {
                is_known = false;
                race_delay();
                if sender.send(Message::Doorbell).is_err() {
                    return;
                }
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => error,
        };
        if !std::mem::replace(&mut is_known, true) {
            log::say(&Line::trouble("the doorbell cannot be read, the database is read every second instead", error));
        }
        thread::sleep(pause);
        if sender.send(Message::Doorbell).is_err() {
            return;
        }
    }
}

fn listen_to_signals(sender: &Sender<Message>) -> Result<(), DriverError> {
    let mut signals = Signals::new([SIGCHLD, SIGTERM, SIGINT, SIGHUP])?;
    let sender = sender.clone();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            let message = match signal {
                SIGCHLD => Message::Child,
                SIGHUP => Message::Reload,
                _ => Message::Terminate,
            };
            race_delay();
            if sender.send(message).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Gives what was put into it, one reading after the other, and then nothing any more.
    struct Readings(VecDeque<io::Result<usize>>);

    impl Read for Readings {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            self.0.pop_front().unwrap_or(Ok(0))
        }
    }

    #[test]
    fn a_doorbell_that_cannot_be_read_does_not_make_the_driver_deaf() {
        let wrong = |kind: io::ErrorKind| Err(io::Error::from(kind));
        let readings = Readings([Ok(1), wrong(io::ErrorKind::Interrupted), wrong(io::ErrorKind::Other), Ok(1)].into());
        let (sender, receiver) = channel();
        let thread = thread::spawn(move || pass_on(readings, &sender, Duration::from_millis(1)));
        for _ in 0..10 {
            assert!(matches!(receiver.recv(), Ok(Message::Doorbell)), "also after an error, and after the end");
        }
        drop(receiver);
        assert!(thread.join().is_ok(), "it ends with the driver");
    }
}
