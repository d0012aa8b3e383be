//! Gates: what checks say of a date for everybody who asks, and what people say instead.

use jiff::Timestamp;
use rusqlite::Row;

use super::checks::verdict;
use super::{Micros, Store, StoreError, Write};
use crate::dag::Verdict;

/// A gate on one date. At least one check or one person has spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// What checks say.
    pub published: Vec<Published>,
    /// What a person says instead.
    pub decision: Option<GateDecision>,
}

/// What one check says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    pub dag_id: String,
    pub task_id: String,
    /// Its verdict; `None` while it has yet to speak, which keeps the gate shut.
    pub verdict: Option<Verdict>,
    /// When.
    pub at: Timestamp,
}

/// What a person decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateDecision {
    /// The verdict; `None` lets the checks decide again.
    pub verdict: Option<Verdict>,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

impl Gate {
    /// What holds: a person's word, else the worst of the checks'.
    pub fn verdict(&self) -> Verdict {
        let decided = self.decision.as_ref().and_then(|decision| decision.verdict);
        let published = || self.published.iter().map(|published| published.verdict.unwrap_or(Verdict::Fail)).max();
        // Nobody who has spoken: a decision was withdrawn before any check ran.
        decided.or_else(published).unwrap_or(Verdict::Fail)
    }
}

impl Store {
    /// A gate on a date (`2018-09-19`); `None` while nobody has said anything.
    ///
    /// # Errors
    /// The database.
    pub fn gate(&self, gate: &str, ds: &str) -> Result<Option<Gate>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT dag_id, task_id, verdict, at FROM gates WHERE gate = ?1 AND ds = ?2 ORDER BY dag_id, task_id",
        )?;
        let mut rows = statement.query((gate, ds))?;
        let mut published = Vec::new();
        while let Some(row) = rows.next()? {
            let at = row.get::<_, Micros>(3)?.0;
            let verdict = optional_verdict(row, 2)?;
            published.push(Published { dag_id: row.get(0)?, task_id: row.get(1)?, verdict, at });
        }
        let decision = self.gate_decisions(gate, ds)?.pop();
        Ok((!published.is_empty() || decision.is_some()).then_some(Gate { published, decision }))
    }

    /// All that people decided about a gate on a date, oldest first.
    pub(crate) fn gate_decisions(&self, gate: &str, ds: &str) -> Result<Vec<GateDecision>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT verdict, by, reason, at FROM gate_decisions WHERE gate = ?1 AND ds = ?2 ORDER BY id",
        )?;
        let mut rows = statement.query((gate, ds))?;
        let mut decisions = Vec::new();
        while let Some(row) = rows.next()? {
            decisions.push(GateDecision {
                verdict: optional_verdict(row, 0)?,
                by: row.get(1)?,
                reason: row.get(2)?,
                at: row.get::<_, Micros>(3)?.0,
            });
        }
        Ok(decisions)
    }

    /// The names of all gates.
    pub(crate) fn gate_names(&self) -> Result<Vec<String>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT DISTINCT gate FROM gates UNION SELECT DISTINCT gate FROM gate_decisions ORDER BY 1",
        )?;
        let names = statement.query_map([], |row| row.get(0))?;
        Ok(names.collect::<Result<_, _>>()?)
    }
}

fn optional_verdict(row: &Row<'_>, column: usize) -> Result<Option<Verdict>, StoreError> {
    let has_verdict = row.get::<_, Option<String>>(column)?.is_some();
    if has_verdict { verdict(row, column).map(Some) } else { Ok(None) }
}

impl Write<'_> {
    /// A check that has yet to speak of a gate keeps it shut; one that has spoken is left alone.
    pub(crate) fn expect_at_gate(
        &self,
        gate: &str,
        ds: &str,
        dag_id: &str,
        task_id: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.statement(
            "INSERT INTO gates (gate, ds, dag_id, task_id, verdict, at) VALUES (?1, ?2, ?3, ?4, NULL, ?5)
             ON CONFLICT (gate, ds, dag_id, task_id) DO NOTHING",
        )?
        .execute((gate, ds, dag_id, task_id, Micros(at)))?;
        Ok(())
    }

    /// What a check says of a gate; in place of what it said of that date before.
    pub(crate) fn publish_gate(&self, gate: &str, ds: &str, published: &Published) -> Result<(), StoreError> {
        self.statement(
            "INSERT INTO gates (gate, ds, dag_id, task_id, verdict, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (gate, ds, dag_id, task_id) DO UPDATE SET verdict = excluded.verdict, at = excluded.at",
        )?
        .execute((
            gate,
            ds,
            &published.dag_id,
            &published.task_id,
            published.verdict.map(Verdict::as_str),
            Micros(published.at),
        ))?;
        Ok(())
    }

    /// What a person says of a gate.
    pub(crate) fn decide_gate(&self, gate: &str, ds: &str, decision: &GateDecision) -> Result<(), StoreError> {
        self.statement(
            "INSERT INTO gate_decisions (gate, ds, verdict, by, reason, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((
            gate,
            ds,
            decision.verdict.map(Verdict::as_str),
            &decision.by,
            &decision.reason,
            Micros(decision.at),
        ))?;
        Ok(())
    }
}
