//! Notices on their way to people: written with what caused them, kept until delivered or given up.

use jiff::{SignedDuration, Timestamp};
use rusqlite::OptionalExtension;

use super::runs::optional_time;
use super::{Micros, Store, StoreError, Write};

/// Longer than it takes a notice to be delivered or given up.
const LONGEST_WAY: SignedDuration = SignedDuration::from_hours(4 * 24);

/// A notice to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNotice<'a> {
    /// The DAG that it is about.
    pub dag_id: &'a str,
    /// What it tells of, by name.
    pub kind: &'a str,
    /// The notice, as JSON.
    pub notice: &'a str,
    /// Names the machine in the id under which the notice is delivered.
    pub host: &'a str,
    /// How it goes.
    pub way: Way<'a>,
}

/// How a notice reaches people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way<'a> {
    /// Through this channel, at once: also for a driver whose clock was set back since.
    Now(&'a str),
    /// Through this channel, from that time on.
    From(&'a str, Timestamp),
    /// In the digest with this number.
    Digest(&'a str, i64),
    /// Not at all, for this reason.
    Nowhere(&'a str),
}

/// A notice that waits for delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub struct WaitingNotice {
    pub id: i64,
    /// By which it goes.
    pub channel: String,
    /// The notice, as JSON.
    pub notice: String,
    /// Stays the same however often delivery is tried.
    pub message_id: String,
    /// Deliveries tried so far.
    pub tries: u32,
    /// When it was written.
    pub created_at: Timestamp,
}

/// How the outbox stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutboxSummary {
    /// Waiting for delivery.
    pub pending: u32,
    /// Given up.
    pub given_up: u32,
    /// For nobody, because there was no channel.
    pub undeliverable: u32,
    /// What the newest failed delivery said, of those pending or given up.
    pub last_error: Option<String>,
}

impl Store {
    /// Notices whose delivery is due at `now`, oldest first.
    ///
    /// # Errors
    /// The database.
    pub fn due_notices(&self, now: Timestamp) -> Result<Vec<WaitingNotice>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, channel, notice, message_id, tries, created_at FROM outbox
             WHERE next_try_at IS NOT NULL AND next_try_at <= ?1 ORDER BY id LIMIT 100",
        )?;
        let mut rows = statement.query([Micros(now)])?;
        let mut due = Vec::new();
        while let Some(row) = rows.next()? {
            due.push(WaitingNotice {
                id: row.get(0)?,
                channel: row.get::<_, Option<String>>(1)?.unwrap_or_default(),
                notice: row.get(2)?,
                message_id: row.get(3)?,
                tries: row.get(4)?,
                created_at: row.get::<_, Micros>(5)?.0,
            });
        }
        Ok(due)
    }

    /// Whether a delivery is to wait until after `latest`.
    ///
    /// # Errors
    /// The database.
    pub fn has_notices_after(&self, latest: Timestamp) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM outbox WHERE next_try_at > ?1)";
        Ok(self.connection.prepare_cached(sql)?.query_row([Micros(latest)], |row| row.get(0))?)
    }

    /// When the next delivery is due; `None` when nothing waits.
    pub(crate) fn next_notice_at(&self) -> Result<Option<Timestamp>, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT min(next_try_at) FROM outbox WHERE next_try_at IS NOT NULL")?;
        let mut rows = statement.query([])?;
        match rows.next()? {
            Some(row) => optional_time(row, 0),
            None => Ok(None),
        }
    }

    /// The notices, as JSON, that a digest tells of, with the times when they were written; oldest first.
    ///
    /// # Errors
    /// The database.
    pub fn held_back(&self, digest: i64) -> Result<Vec<(Timestamp, String)>, StoreError> {
        let sql = "SELECT created_at, notice FROM outbox WHERE digest = ?1 ORDER BY id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([digest], |row| Ok((row.get::<_, Micros>(0)?.0, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How the outbox stands; notices that reached nobody count from `since` on.
    ///
    /// # Errors
    /// The database.
    pub fn outbox_summary(&self, since: Timestamp) -> Result<OutboxSummary, StoreError> {
        let mut summary = self.connection.query_row(
            "SELECT coalesce(sum(next_try_at IS NOT NULL), 0),
                    coalesce(sum(next_try_at IS NULL AND channel IS NOT NULL AND digest IS NULL), 0),
                    coalesce(sum(channel IS NULL AND created_at >= ?1), 0)
             FROM outbox WHERE sent_at IS NULL",
            [since.as_microsecond()],
            |row| {
                let (pending, given_up, undeliverable) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok(OutboxSummary { pending, given_up, undeliverable, last_error: None })
            },
        )?;
        summary.last_error = self
            .connection
            .query_row(
                "SELECT last_error FROM outbox
                 WHERE sent_at IS NULL AND last_error IS NOT NULL AND channel IS NOT NULL ORDER BY id DESC LIMIT 1",
                [],
                |row| row.get(0),
            )
            .optional()?;
        Ok(summary)
    }
}

impl Write<'_> {
    /// Puts a notice into the outbox; gives its number.
    ///
    /// # Errors
    /// The database.
    pub fn put_notice(&self, new: &NewNotice<'_>, now: Timestamp) -> Result<i64, StoreError> {
        let (channel, next_try_at, digest, error) = match new.way {
            Way::Now(channel) => (Some(channel), Some(0), None, None),
            Way::From(channel, at) => (Some(channel), Some(at.as_microsecond()), None, None),
            Way::Digest(channel, digest) => (Some(channel), None, Some(digest), None),
            Way::Nowhere(reason) => (None, None, None, Some(reason)),
        };
        self.statement(
            "INSERT INTO outbox
                 (created_at, dag_id, kind, notice, channel, next_try_at, digest, last_error, message_id)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8,
                     ?1 || '.' || (SELECT coalesce(max(id), 0) + 1 FROM outbox) || '@' || ?9)",
        )?
        .execute((
            Micros(now),
            new.dag_id,
            new.kind,
            new.notice,
            channel,
            next_try_at,
            digest,
            error,
            new.host,
        ))?;
        Ok(self.tx.last_insert_rowid())
    }

    /// How many notices of other than these kinds were to be delivered in the hour up to `now`, those of tasks that succeeded only
    /// if asked for.
    pub(crate) fn notices_within_an_hour(&self, with_successes: bool, now: Timestamp) -> Result<u32, StoreError> {
        let since = now.checked_sub(SignedDuration::from_hours(1)).unwrap_or(Timestamp::MIN);
        let sql = "SELECT count(*) FROM outbox WHERE created_at > ?1 AND created_at <= ?2
                   AND channel IS NOT NULL AND digest IS NULL AND kind NOT IN ('report', 'digest', 'rendered')
                   AND (?3 OR kind <> 'task_succeeded')";
        Ok(self.statement(sql)?.query_row((Micros(since), Micros(now), with_successes), |row| row.get(0))?)
    }

    /// The digest that still takes notices at `now`: nobody has begun to deliver it.
    pub(crate) fn open_digest(&self, now: Timestamp) -> Result<Option<i64>, StoreError> {
        let sql =
            "SELECT id FROM outbox WHERE next_try_at > ?1 AND kind = 'digest' AND tries = 0 ORDER BY id DESC LIMIT 1";
        Ok(self.statement(sql)?.query_row([Micros(now)], |row| row.get(0)).optional()?)
    }

    /// When the newest digest was delivered, or is to be; one that lies ahead of `now`, because the clock was set back, does not count.
    pub(crate) fn last_digest_at(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let since = now.checked_sub(LONGEST_WAY).unwrap_or(Timestamp::MIN);
        let sql = "SELECT max(coalesce(sent_at, next_try_at, created_at)) FROM outbox
                   WHERE created_at > ?1 AND created_at <= ?2 AND kind = 'digest'
                   AND coalesce(sent_at, next_try_at, created_at) <= ?2";
        let mut statement = self.statement(sql)?;
        let mut rows = statement.query((Micros(since), Micros(now)))?;
        rows.next()?.map_or(Ok(None), |row| optional_time(row, 0))
    }

    /// Records a delivery, of a digest with all that it told of.
    ///
    /// # Errors
    /// The database.
    pub fn notice_sent(&self, id: i64, now: Timestamp) -> Result<(), StoreError> {
        self.statement(
            "UPDATE outbox SET sent_at = ?2, next_try_at = NULL, tries = tries + 1, last_error = NULL WHERE id = ?1",
        )?
        .execute((id, Micros(now)))?;
        self.statement("UPDATE outbox SET sent_at = ?2 WHERE digest = ?1")?.execute((id, Micros(now)))?;
        Ok(())
    }

    /// Lets deliveries be due at `now` that were to wait until after `latest`: the clock was ahead when that was recorded.
    pub(crate) fn bring_notices_forward(&self, latest: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        self.statement("UPDATE outbox SET next_try_at = ?2 WHERE next_try_at > ?1")?
            .execute((Micros(latest), Micros(now)))?;
        Ok(())
    }

    /// Gives up all deliveries that wait for a channel; gives how many.
    pub(crate) fn give_up_notices(&self, channel: &str, error: &str) -> Result<usize, StoreError> {
        let sql =
            "UPDATE outbox SET next_try_at = NULL, last_error = ?2 WHERE next_try_at IS NOT NULL AND channel = ?1";
        Ok(self.statement(sql)?.execute([channel, error])?)
    }

    /// Records a failed delivery; `next_try_at` is `None` when it is given up.
    pub(crate) fn notice_failed(&self, id: i64, error: &str, next_try_at: Option<Timestamp>) -> Result<(), StoreError> {
        self.statement("UPDATE outbox SET next_try_at = ?2, tries = tries + 1, last_error = ?3 WHERE id = ?1")?
            .execute((id, next_try_at.map(Micros), error))?;
        Ok(())
    }
}
