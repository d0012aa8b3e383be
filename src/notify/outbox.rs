//! Puts notices into the outbox, in the transaction of what they tell: who is told, how often, and no more than the home
//! allows.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::channel::{Channel, NO_CHANNEL};
use super::incident::{Failure, after_failure, after_good_run};
use super::notice::{Notice, NoticeEvent};
use super::trouble::{after_good, after_trouble};
use crate::dag::{Config, RunNumber};
use crate::store::{NewNotice, StoreError, Trouble, TroubleKey, Way, Write};

/// What is held back is told of this long after, together.
const DIGEST_AFTER: SignedDuration = SignedDuration::from_mins(10);
/// From one digest to the next.
const DIGEST_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// The outbox of a home, as its settings have it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outbox {
    /// By which channel, and how many notices may go out in an hour; `None` when there is no channel at all.
    way: Option<(Channel, u32)>,
    /// Who looks after the home.
    #[serde(default)]
    to: Vec<String>,
    host: String,
}

impl Outbox {
    /// The outbox of a home with these settings, on that machine.
    pub fn of(config: &Config, host: String) -> Outbox {
        match Channel::of(config) {
            Some((channel, settings)) => Outbox { way: Some((channel, settings.max_per_hour)), to: settings.to, host },
            None => Outbox { way: None, to: Vec::new(), host },
        }
    }

    /// Whether what is put into it reaches anybody.
    pub fn has_channel(&self) -> bool {
        self.way.is_some()
    }

    /// Puts a notice into the outbox. One of a failure is written only if it is time to tell of the DAG's incident. Gives
    /// whether one was written.
    ///
    /// # Errors
    /// The database.
    pub fn put(&self, write: &Write<'_>, dag_id: &str, notice: &Notice, now: Timestamp) -> Result<bool, StoreError> {
        if notice.to.is_empty() {
            return Ok(false);
        }
        let (run, is_of_run) = match &notice.event {
            NoticeEvent::TaskFailed { run, .. } => (run.number, false),
            NoticeEvent::RunFailed { run, .. } => (run.number, true),
            NoticeEvent::TaskRetry { .. }
            | NoticeEvent::TaskSucceeded { .. }
            | NoticeEvent::Recovered { .. }
            | NoticeEvent::CheckWarned { .. }
            | NoticeEvent::Trouble { .. }
            | NoticeEvent::TroubleOver { .. }
            | NoticeEvent::Report(_)
            | NoticeEvent::Digest { .. }
            | NoticeEvent::Rendered { .. } => return self.tell(write, dag_id, notice, now),
        };
        let failure = Failure { run, is_of_run, to: &notice.to };
        let (incident, telling) = after_failure(write.incident(dag_id)?, &failure, now);
        write.put_incident(dag_id, &incident)?;
        match telling {
            None => Ok(false),
            Some(telling) => {
                let event = notice.event.clone().with_standing(telling.standing);
                self.tell(write, dag_id, &Notice::new(telling.to, event), now)
            }
        }
    }

    /// A run succeeded: the incident of its DAG may be over. Gives whether a notice was written.
    ///
    /// # Errors
    /// The database.
    pub fn run_succeeded(&self, write: &Write<'_>, run: RunNumber, now: Timestamp) -> Result<bool, StoreError> {
        let Some((dag_id, run_id)) = write.failing_dag_of(run)? else { return Ok(false) };
        if write.has_failed_task(run)? {
            return Ok(false);
        }
        let Some(before) = write.incident(&dag_id)? else { return Ok(false) };
        let mut unfinished = Vec::new();
        for counted in &before.runs {
            if write.is_unfinished(*counted)? {
                unfinished.push(*counted);
            }
        }
        let (incident, telling) = after_good_run(before, run, &|counted| unfinished.contains(&counted), now);
        write.put_incident(&dag_id, &incident)?;
        let Some(telling) = telling else { return Ok(false) };
        let event = NoticeEvent::Recovered { dag_id: dag_id.clone(), run_id, standing: telling.standing };
        self.tell(write, &dag_id, &Notice::new(telling.to, event), now)
    }

    /// Something is wrong with the home itself. Gives whether a notice was written.
    ///
    /// # Errors
    /// The database.
    pub fn trouble(&self, write: &Write<'_>, trouble: Trouble, now: Timestamp) -> Result<bool, StoreError> {
        let (mut row, is_to_be_told) = after_trouble(write.trouble(trouble.key())?, trouble.clone(), now);
        let is_told = is_to_be_told && !self.to.is_empty();
        row.is_told |= is_told;
        write.put_trouble(&row)?;
        if !is_told {
            return Ok(false);
        }
        let dag_id = trouble.dag_id().to_owned();
        self.tell(write, &dag_id, &Notice::new(self.to.clone(), NoticeEvent::Trouble { trouble }), now)
    }

    /// What was wrong is good again, if it was. Gives whether a notice was written.
    ///
    /// # Errors
    /// The database.
    pub fn trouble_over(&self, write: &Write<'_>, key: TroubleKey<'_>, now: Timestamp) -> Result<bool, StoreError> {
        let Some(open) = write.trouble(key)?.filter(|row| row.closed_at.is_none()) else { return Ok(false) };
        let (row, is_to_be_told) = after_good(open, now);
        write.put_trouble(&row)?;
        if !is_to_be_told || self.to.is_empty() {
            return Ok(false);
        }
        let dag_id = row.what.dag_id().to_owned();
        let event = NoticeEvent::TroubleOver { trouble: row.what, since: row.opened_at, count: row.count };
        self.tell(write, &dag_id, &Notice::new(self.to.clone(), event), now)
    }

    fn tell(&self, write: &Write<'_>, dag_id: &str, notice: &Notice, now: Timestamp) -> Result<bool, StoreError> {
        // The good news of a long backfill holds no bad news back.
        let is_success = matches!(notice.event, NoticeEvent::TaskSucceeded { .. });
        let way = match self.way {
            None => Way::Nowhere(NO_CHANNEL),
            Some((channel, most))
                if notice.event.may_be_held_back() && write.notices_within_an_hour(is_success, now)? >= most =>
            {
                Way::Digest(channel.as_str(), self.digest(write, &notice.to, (channel, most), now)?)
            }
            Some((channel, _)) => Way::Now(channel.as_str()),
        };
        self.write(write, dag_id, notice, way, now).map(|_| true)
    }

    /// The digest that takes what is held back at `now`; there is one an hour at most.
    fn digest(
        &self,
        write: &Write<'_>,
        to: &[String],
        (channel, most): (Channel, u32),
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        if let Some(open) = write.open_digest(now)? {
            return Ok(open);
        }
        let soon = now.checked_add(DIGEST_AFTER).unwrap_or(Timestamp::MAX);
        let next = write.last_digest_at(now)?.and_then(|last| last.checked_add(DIGEST_EVERY).ok());
        let due = next.map_or(soon, |next| next.max(soon));
        let notice = Notice::new(to.to_vec(), NoticeEvent::Digest { max_per_hour: most });
        self.write(write, "", &notice, Way::From(channel.as_str(), due), now)
    }

    fn write(
        &self,
        write: &Write<'_>,
        dag_id: &str,
        notice: &Notice,
        way: Way<'_>,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        let text = notice.to_json().map_err(|error| StoreError::Impossible(format!("a notice: {error}")))?;
        let new = NewNotice { dag_id, kind: notice.event.kind(), notice: &text, host: &self.host, way };
        write.put_notice(&new, now)
    }
}
