//! What the driver sees of the simulated world.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crondag::dag::{Config, DagId};
use crondag::runner::attempt::AttemptSpec;
use crondag::runner::driver::{Host, Key, Message};
use crondag::runner::driver_log::line::Line;
use crondag::store::WaitingNotice;
use jiff::{SignedDuration, Timestamp};

use super::world::{Arrival, Elapsed, Happening, Killed, SECOND, World, broken};

/// The host of one driver.
pub struct SimHost {
    pub world: Rc<RefCell<World>>,
}

impl SimHost {
    /// The driver does something: it may be killed just before, people may do something meanwhile.
    fn acts(&self) {
        let mut world = self.world.borrow_mut();
        world.check();
        match &mut world.fuse {
            Some(0) => {
                world.fuse = None;
                drop(world);
                std::panic::resume_unwind(Box::new(Killed));
            }
            Some(left) => *left -= 1,
            None => {}
        }
    }

    /// As [`acts`](Self::acts), and somebody else may commit something in between.
    fn acts_in_turn(&self) {
        self.acts();
        self.world.borrow_mut().interfere();
    }
}

impl Host for SimHost {
    fn now(&self) -> Timestamp {
        let mut world = self.world.borrow_mut();
        world.check();
        let now = world.now();
        world.passes.insert(now);
        world.latest = world.latest.max(now);
        now
    }

    fn has_home(&self) -> bool {
        true
    }

    fn pause(&mut self, pause: Duration) {
        self.acts();
        let mut world = self.world.borrow_mut();
        world.elapsed += Elapsed::try_from(pause.as_micros()).unwrap();
        world.let_happen(true);
        world.pauses += 1;
        if world.fault.is_none() && world.pauses > 20 {
            broken(format!("the driver tries again for ever although nothing is wrong: {:?}", world.journal.last()));
        }
    }

    fn report(&self, line: &Line) {
        self.acts();
        self.world.borrow_mut().tell(|_| format!("driver: {line:?}"));
    }

    fn note_tick(&mut self) {
        self.acts();
    }

    fn in_background(&mut self, _: Box<dyn FnOnce() -> Message + Send>) {
        broken("no secret of these worlds takes a while".to_owned());
    }

    fn poll_files(&mut self, files: Vec<(Key, String)>) {
        self.acts_in_turn();
        self.world.borrow_mut().poll_files(files);
    }

    fn take_over(&mut self, tokens: &[&str]) {
        self.acts();
        let world = self.world.borrow();
        for (token, process) in &world.processes {
            if process.is_alive && !tokens.contains(&token.as_str()) {
                broken(format!("promise 2: {token} lives and the new driver does not know: {process:?}"));
            }
        }
    }

    fn claim(&mut self) -> String {
        self.acts();
        let mut world = self.world.borrow_mut();
        world.claims += 1;
        format!("token{}", world.claims)
    }

    fn launch(&mut self, spec: &AttemptSpec) -> Result<(), String> {
        self.acts();
        let mut world = self.world.borrow_mut();
        let version = world.check_launch(spec);
        let chance = if world.is_quiet { 1_000 } else { world.random.below(1_000) };
        match chance {
            0..=4 => return Err("the process table is full (see `ulimit -u`)".to_owned()),
            5..=9 => {
                let refused = Arrival::Refused(spec.token.clone(), "too many open files".to_owned());
                let driver = world.driver;
                world.after(1_000, Happening::Arrives(driver, refused));
            }
            10..=13 => {
                world.stillborn_process(spec);
                world.spawner_dies();
            }
            _ => world.begin_process(spec, &version),
        }
        world.tell(|_| format!("launch {} {:?} {:?}", spec.token, spec.key, spec.argv.last()));
        drop(world);
        self.acts_in_turn();
        Ok(())
    }

    fn log_failed_start(&mut self, _: &str, _: &str) {
        self.acts();
    }

    fn is_gone(&self, token: &str) -> bool {
        self.acts();
        self.world.borrow().processes.get(token).is_none_or(|process| !process.has_shim)
    }

    fn watch(&mut self, key: Key, token: String, _: Timestamp, _: Duration) {
        self.acts();
        self.world.borrow_mut().watch(key, &token);
    }

    fn stop(&mut self, token: &str) {
        self.acts_in_turn();
        let mut world = self.world.borrow_mut();
        world.tell(|_| format!("stop {token}"));
        world.stop(token);
    }

    fn kill(&mut self, token: &str) {
        self.acts_in_turn();
        let mut world = self.world.borrow_mut();
        world.tell(|_| format!("kill {token}"));
        world.kill(token);
    }

    fn release(&mut self, token: &str) {
        self.acts_in_turn();
        self.world.borrow_mut().check_release(token);
    }

    fn release_all(&mut self) {
        self.acts();
        let world = self.world.borrow();
        if let Some((token, process)) = world.processes.iter().find(|(_, process)| process.is_alive) {
            broken(format!("promise 2: all attempts are released and {token} lives: {process:?}"));
        }
    }

    fn deliver(&mut self, due: Vec<WaitingNotice>, _: &Config) {
        self.acts();
        let mut world = self.world.borrow_mut();
        let driver = world.driver;
        let mut delay = 0;
        for mail in due {
            delay += world.random.between(1_000, 2 * SECOND);
            let works = world.mail_works;
            if works {
                world.promises.delivered.insert(mail.message_id);
                world.count("mails delivered");
            } else {
                world.count("mails refused");
                // The driver judges by the time at which it hears of it.
                let age = world.now().duration_since(mail.created_at) + SignedDuration::from_mins(10);
                world.promises.refused.insert(mail.message_id, age);
            }
            world.after(delay, Happening::Arrives(driver, Arrival::Mail(mail.id, mail.tries, mail.created_at, works)));
        }
        world.after(delay + 1_000, Happening::Arrives(driver, Arrival::MailerDone));
    }

    fn delete_logs(&mut self, _: &DagId, _: &str) {
        self.acts();
    }
}
