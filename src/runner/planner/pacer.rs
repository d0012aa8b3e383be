//! When a scheduler that could plan every second does so.

use jiff::{SignedDuration, Timestamp};

use super::{PlanError, Report, plan};
use crate::dag::Config;
use crate::home::Home;
use crate::store::{ChangeToken, Store};

/// How long a resident scheduler leaves DAG files alone, per file: the status of one costs some microseconds, so watching
/// takes no more of a core for many files than for few.
const PAUSE_PER_FILE: SignedDuration = SignedDuration::from_millis(20);
/// As often as cron reads its crontabs.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(60);

/// Knows whether a pass would find anything, for one who could make one every second.
#[derive(Debug, Default)]
pub struct Pacer {
    quiet: Option<Quiet>,
}

/// Nothing is to be found before any of these.
#[derive(Debug)]
struct Quiet {
    since: Timestamp,
    files_at: Timestamp,
    next_fire: Option<Timestamp>,
    change_token: ChangeToken,
}

impl Pacer {
    /// Whether it is time for a pass: something is due, somebody wrote to the database (who pauses a DAG, say), the clock was
    /// set back, or the files were left alone for long enough.
    pub fn is_due(&self, store: &Store, now: Timestamp) -> bool {
        let Some(quiet) = &self.quiet else { return true };
        let is_calm = now >= quiet.since && now < quiet.files_at && quiet.next_fire.is_none_or(|fire| now < fire);
        !is_calm || store.change_token().ok() != Some(quiet.change_token)
    }

    /// Makes a pass, and remembers what the next one is to wait for.
    ///
    /// # Errors
    /// As [`plan`]; then the next pass is due at once.
    pub fn pass(
        &mut self,
        home: &Home,
        store: &mut Store,
        config: &Config,
        now: Timestamp,
    ) -> Result<Report, PlanError> {
        self.quiet = None;
        // Asked before: what is written meanwhile makes the next pass due.
        let change_token = store.change_token()?;
        let report = plan(home, store, config, now)?;
        if !report.changed {
            let count = i32::try_from(report.files).unwrap_or(i32::MAX);
            let pause = PAUSE_PER_FILE.saturating_mul(count).min(LONGEST_PAUSE);
            let files_at = now.saturating_add(pause).unwrap_or(Timestamp::MAX);
            self.quiet = Some(Quiet { since: now, files_at, next_fire: report.next_fire, change_token });
        }
        Ok(report)
    }
}
