//! Mail on its way: written with the failure that causes it, kept until delivered or given up.

use jiff::Timestamp;
use rusqlite::OptionalExtension;

use super::runs::optional_time;
use super::{Micros, Store, StoreError, Write};

/// A mail to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMail<'a> {
    /// The DAG that it is about.
    pub dag_id: &'a str,
    /// The mail, as JSON.
    pub mail: &'a str,
    /// Stays the same however often delivery is tried.
    pub message_id: &'a str,
}

/// A mail that waits for delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxMail {
    /// Its number.
    pub id: i64,
    /// The mail, as JSON.
    pub mail: String,
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
    /// What the newest failed delivery said, of those pending or given up.
    pub last_error: Option<String>,
}

impl Store {
    /// Mail whose delivery is due at `now`, oldest first.
    pub fn due_mail(&self, now: Timestamp) -> Result<Vec<OutboxMail>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, mail, message_id, tries, created_at FROM outbox
             WHERE next_try_at IS NOT NULL AND next_try_at <= ?1 ORDER BY id LIMIT 100",
        )?;
        let mut rows = statement.query([Micros(now)])?;
        let mut due = Vec::new();
        while let Some(row) = rows.next()? {
            due.push(OutboxMail {
                id: row.get(0)?,
                mail: row.get(1)?,
                message_id: row.get(2)?,
                tries: row.get(3)?,
                created_at: row.get::<_, Micros>(4)?.0,
            });
        }
        Ok(due)
    }

    /// When the next delivery is due; `None` when nothing waits.
    pub fn next_mail_at(&self) -> Result<Option<Timestamp>, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT min(next_try_at) FROM outbox WHERE next_try_at IS NOT NULL")?;
        let mut rows = statement.query([])?;
        match rows.next()? {
            Some(row) => optional_time(row, 0),
            None => Ok(None),
        }
    }

    /// How the outbox stands.
    pub fn outbox_summary(&self) -> Result<OutboxSummary, StoreError> {
        let mut summary = self.connection.query_row(
            "SELECT coalesce(sum(next_try_at IS NOT NULL), 0), coalesce(sum(next_try_at IS NULL), 0)
             FROM outbox WHERE sent_at IS NULL",
            [],
            |row| Ok(OutboxSummary { pending: row.get(0)?, given_up: row.get(1)?, last_error: None }),
        )?;
        summary.last_error = self
            .connection
            .query_row(
                "SELECT last_error FROM outbox WHERE sent_at IS NULL AND last_error IS NOT NULL ORDER BY id DESC LIMIT 1",
                [],
                |row| row.get(0),
            )
            .optional()?;
        Ok(summary)
    }
}

impl Write<'_> {
    /// Puts a mail into the outbox, due at once: also for a driver whose clock was set back since.
    pub fn put_mail(&self, mail: &NewMail<'_>, now: Timestamp) -> Result<(), StoreError> {
        self.statement(
            "INSERT INTO outbox (created_at, dag_id, mail, message_id, next_try_at) VALUES (?1, ?2, ?3, ?4, 0)",
        )?
        .execute((Micros(now), mail.dag_id, mail.mail, mail.message_id))?;
        Ok(())
    }

    /// Records a delivery.
    pub fn mail_sent(&self, id: i64, now: Timestamp) -> Result<(), StoreError> {
        self.statement(
            "UPDATE outbox SET sent_at = ?2, next_try_at = NULL, tries = tries + 1, last_error = NULL WHERE id = ?1",
        )?
        .execute((id, Micros(now)))?;
        Ok(())
    }

    /// Records a failed delivery; `next_try_at` is `None` when it is given up.
    pub fn mail_failed(&self, id: i64, error: &str, next_try_at: Option<Timestamp>) -> Result<(), StoreError> {
        self.statement("UPDATE outbox SET next_try_at = ?2, tries = tries + 1, last_error = ?3 WHERE id = ?1")?
            .execute((id, next_try_at.map(Micros), error))?;
        Ok(())
    }
}
