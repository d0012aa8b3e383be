//! When a scheduler that could look every second looks.

use jiff::{SignedDuration, Timestamp};

use super::{PlanError, Report, plan};
use crate::dag::Config;
use crate::home::Home;
use crate::store::{ChangeToken, Store};

/// How long a resident scheduler leaves DAG files alone, per file: a look at a file costs some microseconds, so watching
/// takes no more of a core for many files than for few.
const PAUSE_PER_FILE: SignedDuration = SignedDuration::from_millis(20);
/// As often as cron looks at its crontabs.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(60);

/// Knows whether a look would find anything, for one who could look every second.
#[derive(Debug, Default)]
pub struct Lookout {
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

impl Lookout {
    /// Whether it is time to look: something is due, somebody wrote to the database (who pauses a DAG, say), the clock was
    /// set back, or the files were left alone for long enough.
    pub fn is_worth_a_look(&self, store: &Store, now: Timestamp) -> bool {
        let Some(quiet) = &self.quiet else { return true };
        let is_calm = now >= quiet.since && now < quiet.files_at && quiet.next_fire.is_none_or(|fire| now < fire);
        !is_calm || store.change_token().ok() != Some(quiet.change_token)
    }

    /// Looks, and remembers what the next look is to wait for.
    ///
    /// # Errors
    /// As [`plan`]; then the next look is worth it at once.
    pub fn look(
        &mut self,
        home: &Home,
        store: &mut Store,
        config: &Config,
        now: Timestamp,
    ) -> Result<Report, PlanError> {
        self.quiet = None;
        // Asked before: what is written meanwhile is worth the next look.
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
