//! What is older than the user wants to keep: logs, and runs with their history.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Driver, Host, Mode};
use crate::runner::driver_log::line::Line;
use crate::store::StoreError;

/// How often a driver that never ends tidies up.
const EVERY: SignedDuration = SignedDuration::from_hours(1);
/// Runs removed in one transaction: others want to write as well.
const RUNS_AT_ONCE: u32 = 200;
/// Transactions of one tidying; the next one goes on.
const MOST_TRANSACTIONS: usize = 100;

impl<H: Host> Driver<H> {
    /// Tidies up when a resident driver is due to.
    pub(super) fn tidy_if_due(&mut self, now: Timestamp) {
        if self.mode == Mode::Resident && self.next_tidy_at <= now {
            self.tidy();
            self.next_tidy_at = now.checked_add(EVERY).unwrap_or(Timestamp::MAX);
        }
    }

    /// Deletes what is older than crondag.toml wants to keep.
    pub(super) fn tidy(&mut self) {
        let done = self.delete_old_logs().and_then(|()| self.forget_old_runs());
        if let Err(error) = done {
            self.host.report(&Line::trouble("cannot delete what is old", error));
        }
    }

    fn delete_old_logs(&mut self) -> Result<(), StoreError> {
        let Some(before) = self.time_before(self.config.logs.keep) else { return Ok(()) };
        // Without a mark that can be read, or with one of a clock that was ahead, all that is old is looked for again.
        let since: Option<Timestamp> = self.store.meta("logs_deleted_until")?.and_then(|text| text.parse().ok());
        let since = since.filter(|since| *since <= before);
        let runs = self.store.runs_ended_between(since.unwrap_or(Timestamp::UNIX_EPOCH), before)?;
        if runs.is_empty() {
            return Ok(());
        }
        for (dag_id, run_id) in runs {
            self.host.delete_logs(&dag_id, &run_id);
        }
        let write = self.store.write()?;
        write.set_meta("logs_deleted_until", &before.to_string())?;
        write.commit()
    }

    fn forget_old_runs(&mut self) -> Result<(), StoreError> {
        let Some(before) = self.time_before(self.config.logs.keep_runs) else { return Ok(()) };
        for _ in 0..MOST_TRANSACTIONS {
            let write = self.store.write()?;
            let forgotten = write.forget_runs(before, RUNS_AT_ONCE)?;
            write.forget_mail(before)?;
            write.commit()?;
            for (dag_id, run_id) in &forgotten {
                self.host.delete_logs(dag_id, run_id);
            }
            if forgotten.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn time_before(&self, keep: Option<Duration>) -> Option<Timestamp> {
        let keep = SignedDuration::try_from(keep?).ok()?;
        Some(self.host.now().checked_sub(keep).unwrap_or(Timestamp::MIN))
    }
}
