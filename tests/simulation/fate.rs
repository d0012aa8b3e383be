//! What befalls a world: crashes, reboots, clock jumps, disks that refuse, mail servers that are away.

use crondag::store::StoreError;
use jiff::SignedDuration;

use super::world::{Arrival, DAY, Elapsed, Happening, MINUTE, SECOND, World, broken};

impl World {
    /// The driver is gone; shims live on.
    pub fn driver_is_gone(&mut self) {
        self.is_driver_alive = false;
        self.messages.clear();
        self.polling.clear();
        self.answered.clear();
        for process in self.processes.values_mut() {
            process.reports_to = None;
            process.watched_by = None;
        }
    }

    /// The process that starts attempts is killed.
    pub fn spawner_dies(&mut self) {
        self.count("spawners killed");
        self.tell(|_| "the spawner is killed".to_owned());
        let late = self.random.chance(300);
        for process in self.processes.values_mut() {
            // A shim that was just about to report may still do so.
            if !(late && process.has_shim) {
                process.reports_to = None;
            }
        }
        self.after(1_000, Happening::Arrives(self.driver, Arrival::SpawnerLost));
    }

    pub fn fate(&mut self) {
        match self.random.below(10) {
            0 | 1 => {
                if self.is_driver_alive {
                    // In the midst of its next step, or between two of them.
                    self.fuse = Some(self.random.below(12));
                }
            }
            2 => self.spawner_dies(),
            3 => self.reboot(),
            4 | 5 if self.span.around > SignedDuration::from_hours(24 * 60) && self.random.chance(400) => {
                self.set_clock_far();
            }
            4 | 5 => {
                let hours = *self.random.pick(&[-3, -1, -1, 1, 1, 3, 30]);
                let odd = if self.random.chance(300) { self.random.between(-59, 59) } else { 0 };
                let jump = SignedDuration::from_secs(hours * 3_600 + self.random.between(-15, 15) * 60 + odd);
                self.move_clock(jump);
                self.count(if hours < 0 { "clock jumps back" } else { "clock jumps ahead" });
                self.tell(|world| format!("the clock jumps by {jump:?} to {}", world.now()));
            }
            6 | 7 => self.begin_fault(),
            8 => {
                // Days, now and then: a mail is given up after three.
                if self.mail_works {
                    self.mail_works = false;
                    self.count("mail servers away");
                    self.tell(|_| "the mail server is away".to_owned());
                    let lasts = self.random.spread(10.0 * MINUTE as f64, 5.0 * DAY as f64) as Elapsed;
                    self.after(lasts, Happening::MailWorks);
                }
            }
            _ => {
                let tokens: Vec<String> =
                    self.processes.iter().filter(|(_, it)| it.has_shim).map(|(token, _)| token.clone()).collect();
                if !tokens.is_empty() {
                    let token = self.random.pick(&tokens).clone();
                    self.shim_dies(&token);
                }
            }
        }
    }

    /// The clock goes wrong by months or years, until somebody sets it right.
    fn set_clock_far(&mut self) {
        // In a step that a full disk holds up, a DAG may be planned before the jump and another one after it.
        if self.far.is_zero() && self.fault.is_none() {
            let days = *self.random.pick(&[31, 92, 366, 731, -31, -366]);
            self.far =
                SignedDuration::from_hours(24 * days) + SignedDuration::from_mins(self.random.between(-700, 700));
            self.move_clock(self.far);
            self.count(if days < 0 { "clocks months or years behind" } else { "clocks months or years ahead" });
            self.tell(|world| format!("the clock is wrong by {:?}: {}", world.far, world.now()));
            let lasts = self.random.spread(SECOND as f64, 8.0 * 60.0 * MINUTE as f64) as Elapsed;
            self.after(lasts, Happening::ClockSetRight);
        }
    }

    fn move_clock(&mut self, by: SignedDuration) {
        self.wall += by;
        if by.is_negative() {
            self.set_backs.push((self.elapsed, self.now()));
        }
    }

    pub fn set_clock_right(&mut self) {
        if !self.far.is_zero() {
            let far = std::mem::take(&mut self.far);
            self.move_clock(-far);
            self.tell(|world| format!("the clock is set right: {}", world.now()));
        }
    }

    pub fn reboot(&mut self) {
        self.count("reboots");
        self.tell(|_| "the machine goes down".to_owned());
        self.driver_is_gone();
        self.wants_driver = false;
        for process in self.processes.values_mut() {
            process.is_alive = false;
            process.has_shim = false;
        }
        let down = self.random.spread(MINUTE as f64, 3.0 * DAY as f64) as Elapsed;
        self.elapsed += down;
    }

    /// The disk refuses writes to a table, in the midst of a transaction.
    pub fn begin_fault(&mut self) {
        if self.fault.is_some() || !self.far.is_zero() {
            return;
        }
        let table =
            *self.random.pick(&["events", "attempts", "outbox", "outbox", "runs", "task_instances", "intents", "meta"]);
        let (operation, how) = match table {
            "events" | "attempts" => ("INSERT", "ABORT"),
            "outbox" => ("INSERT", "ROLLBACK"),
            "intents" => ("DELETE", "ABORT"),
            _ => ("UPDATE", "FAIL"),
        };
        self.promises.sabotage(&format!(
            "CREATE TRIGGER disk_full BEFORE {operation} ON {table} BEGIN SELECT RAISE ({how}, 'disk full'); END"
        ));
        self.fault = Some(table);
        self.was_faulty = true;
        self.count("disks that refuse");
        self.tell(|_| format!("the disk refuses {operation} on {table}"));
        let lasts = self.random.spread(SECOND as f64, 240.0 * MINUTE as f64) as Elapsed;
        self.after(lasts, Happening::FaultEnds);
    }

    pub fn end_fault(&mut self) {
        if self.fault.take().is_some() {
            self.promises.sabotage("DROP TRIGGER disk_full");
            self.pauses = 0;
            self.tell(|_| "the disk works again".to_owned());
        }
    }

    /// A client's writing: refused by a faulty disk it changes nothing.
    pub fn refused(&self, error: &StoreError) {
        if self.fault.is_none() {
            broken(format!("a client cannot write although nothing is wrong: {error}"));
        }
    }
}
