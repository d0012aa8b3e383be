//! Overruling the checks of a gate for one date.

use serde::Serialize;

use crate::app::query::gates::{GateAnswer, gate, gate_date};
use crate::app::{App, AppError};
use crate::dag::Verdict;
use crate::store::GateDecision;

/// What will be recorded.
#[derive(Debug, Clone, Serialize)]
pub struct GatePlan {
    pub gate: String,
    /// The date, `2018-09-19`.
    pub ds: String,
    /// What holds from then on; `None` lets the checks decide again.
    pub verdict: Option<Verdict>,
    /// Why.
    pub reason: String,
}

/// What was recorded.
#[derive(Debug, Clone, Serialize)]
pub struct GateReceipt {
    pub by: String,
    /// How the gate stands with it.
    #[serde(flatten)]
    pub gate: GateAnswer,
}

/// Works out what would be recorded. `date` is as somebody typed it.
///
/// # Errors
/// The date is none; there is no reason.
pub fn plan(
    app: &App,
    (gate, date): (&str, &str),
    verdict: Option<Verdict>,
    reason: &str,
) -> Result<GatePlan, AppError> {
    let ds = gate_date(app, date)?;
    if reason.trim().is_empty() {
        return Err(AppError::usage("a decision needs a reason", "--reason \"the drop is the holiday\""));
    }
    Ok(GatePlan { gate: gate.to_owned(), ds, verdict, reason: reason.trim().to_owned() })
}

/// Records the decision. The decisions of before stay in the history.
///
/// # Errors
/// The database.
pub fn apply(app: &App, plan: GatePlan, by: &str) -> Result<GateReceipt, AppError> {
    let mut store = app.store_for_writing()?;
    let decision = GateDecision { verdict: plan.verdict, by: by.to_owned(), reason: plan.reason, at: app.now };
    let write = store.write()?;
    write.decide_gate(&plan.gate, &plan.ds, &decision)?;
    write.commit()?;
    Ok(GateReceipt { by: decision.by, gate: gate(app, &plan.gate, &plan.ds)? })
}
