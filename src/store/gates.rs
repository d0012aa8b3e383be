//! Gates: what checks say of a date for everybody who asks, and what people say instead.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row};

use super::checks::verdict;
use super::{Micros, Store, StoreError, Write};
use crate::dag::{RunNumber, TaskId, TaskState, Verdict};

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

    /// What a check says of a gate; in place of what it said of that date before. An attempt that is being stopped says
    /// nothing: its task was cleared, and is to speak again.
    pub(crate) fn publish_gate(
        &self,
        gate: &str,
        ds: &str,
        run_id: &str,
        published: &Published,
    ) -> Result<(), StoreError> {
        let (dag_id, task_id) = (&published.dag_id, &published.task_id);
        let instance: Option<(RunNumber, String)> = self
            .statement(
                "SELECT runs.id, task_instances.state FROM runs JOIN task_instances ON task_instances.run = runs.id
                 WHERE runs.dag_id = ?1 AND runs.run_id = ?2 AND task_instances.task_id = ?3",
            )?
            .query_row((dag_id, run_id, task_id), |row| Ok((RunNumber(row.get(0)?), row.get(1)?)))
            .optional()?;
        let is_stopped = instance.as_ref().is_some_and(|(_, state)| state != TaskState::Running.as_str());
        if let Some((run, _)) = instance
            && let Some(at) = self.opened_by_hand(gate, ds)?
            && self.is_cleared_since(run, task_id, at)?
        {
            self.end_decision(gate, ds, (dag_id, task_id), published.at)?;
        }
        self.statement(
            "INSERT INTO gates (gate, ds, dag_id, task_id, verdict, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (gate, ds, dag_id, task_id) DO UPDATE SET verdict = excluded.verdict, at = excluded.at",
        )?
        .execute((
            gate,
            ds,
            dag_id,
            task_id,
            published.verdict.filter(|_| !is_stopped).map(Verdict::as_str),
            Micros(published.at),
        ))?;
        Ok(())
    }

    /// Takes back what a check has said of its date, for its task is about to be cleared: until it speaks again its gate is
    /// shut. So is one that a person has opened; one that a person has shut stays so.
    pub(super) fn withdraw_from_gates(&self, run: RunNumber, task: &TaskId, at: Timestamp) -> Result<(), StoreError> {
        // What is cleared already has nothing to take back: since then only people have spoken.
        let check: Option<(String, String)> = self
            .statement(
                "SELECT checks.dag_id, checks.ds FROM runs
                 JOIN task_instances ON task_instances.run = runs.id AND task_instances.task_id = ?2
                 JOIN checks ON checks.dag_id = runs.dag_id AND checks.task_id = ?2
                      AND checks.logical_date = runs.logical_date
                 WHERE runs.id = ?1 AND task_instances.state <> 'none'",
            )?
            .query_row((run.0, task.as_str()), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((dag_id, ds)) = check else { return Ok(()) };
        // From one name of a gate to the next by the index: there are few gates, and many dates.
        let mut statement = self.statement(
            "WITH RECURSIVE names (gate) AS (
                 SELECT min(gate) FROM gates
                 UNION ALL
                 SELECT (SELECT min(gate) FROM gates WHERE gate > names.gate) FROM names WHERE names.gate IS NOT NULL)
             SELECT gates.gate FROM names CROSS JOIN gates ON gates.gate = names.gate
             WHERE gates.ds = ?1 AND gates.dag_id = ?2 AND gates.task_id = ?3",
        )?;
        let gates = statement
            .query_map((&ds, &dag_id, task.as_str()), |row| row.get(0))?
            .collect::<Result<Vec<String>, _>>()?;
        for gate in gates {
            self.statement(
                "UPDATE gates SET verdict = NULL, at = ?5 WHERE gate = ?1 AND ds = ?2 AND dag_id = ?3 AND task_id = ?4",
            )?
            .execute((&gate, &ds, &dag_id, task.as_str(), Micros(at)))?;
            if self.opened_by_hand(&gate, &ds)?.is_some() {
                self.end_decision(&gate, &ds, (&dag_id, task.as_str()), at)?;
            }
        }
        Ok(())
    }

    /// Since when a gate is open because a person has said so.
    fn opened_by_hand(&self, gate: &str, ds: &str) -> Result<Option<Timestamp>, StoreError> {
        let newest: Option<(Option<String>, Micros)> = self
            .statement("SELECT verdict, at FROM gate_decisions WHERE gate = ?1 AND ds = ?2 ORDER BY id DESC LIMIT 1")?
            .query_row((gate, ds), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        Ok(newest.filter(|(verdict, _)| verdict.as_deref().is_some_and(|said| said != "fail")).map(|(_, at)| at.0))
    }

    fn is_cleared_since(&self, run: RunNumber, task_id: &str, at: Timestamp) -> Result<bool, StoreError> {
        Ok(self
            .statement(
                "SELECT 1 FROM events WHERE run = ?1 AND task_id = ?2 AND at >= ?3
                 AND json_extract(data, '$.kind') = 'task_cleared'",
            )?
            .exists((run.0, task_id, Micros(at)))?)
    }

    /// A person's word was about what lay there before a check was cleared.
    fn end_decision(
        &self,
        gate: &str,
        ds: &str,
        (dag_id, task_id): (&str, &str),
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let reason = format!("{dag_id} {task_id} was cleared after the gate was opened by hand");
        self.decide_gate(gate, ds, &GateDecision { verdict: None, by: "crondag".to_owned(), reason, at })
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
