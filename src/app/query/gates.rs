//! Whether a gate is open for a date, and who says so.

use serde::Serialize;

use crate::app::times::Moment;
use crate::app::{App, AppError, select};
use crate::dag::Verdict;
use crate::dag::nearest::nearest;
use crate::dag::schedule::When;
use crate::store::{Gate, GateDecision, Store};

/// A gate on a date.
#[derive(Debug, Clone, Serialize)]
pub struct GateAnswer {
    pub gate: String,
    pub ds: String,
    /// What holds; `None` while nobody has spoken, which keeps it shut.
    pub verdict: Option<Verdict>,
    /// Whether it is open.
    pub open: bool,
    /// What checks say.
    pub published: Vec<PublishedAnswer>,
    /// What people decided, oldest first.
    pub decisions: Vec<DecisionAnswer>,
    /// Another gate whose name is near, where there is none of this name.
    #[serde(skip)]
    pub nearest: Option<String>,
}

/// What a check says.
#[derive(Debug, Clone, Serialize)]
pub struct PublishedAnswer {
    pub dag_id: String,
    pub task_id: String,
    /// Its verdict; `None` while it has yet to speak.
    pub verdict: Option<Verdict>,
    /// When.
    pub at: Moment,
}

/// What a person decided.
#[derive(Debug, Clone, Serialize)]
pub struct DecisionAnswer {
    /// The verdict; `None` lets the checks decide.
    pub verdict: Option<Verdict>,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Moment,
}

impl GateAnswer {
    /// Whether any check or person has spoken.
    pub fn is_known(&self) -> bool {
        self.verdict.is_some()
    }
}

/// The names of all gates.
///
/// # Errors
/// The database.
pub fn gates(app: &App) -> Result<Vec<String>, AppError> {
    Ok(match app.store()? {
        Some(store) => store.gate_names()?,
        None => Vec::new(),
    })
}

/// How a gate stands on a date.
///
/// # Errors
/// The date is none, or the database.
pub fn gate(app: &App, name: &str, date: &str) -> Result<GateAnswer, AppError> {
    let ds = gate_date(app, date)?;
    let store = app.store()?;
    let found = store.as_ref().map(|store| store.gate(name, &ds)).transpose()?.flatten();
    let decisions = store.as_ref().map(|store| store.gate_decisions(name, &ds)).transpose()?.unwrap_or_default();
    let names = store.as_ref().map(Store::gate_names).transpose()?.unwrap_or_default();
    let near = nearest(name, names.iter().map(String::as_str)).filter(|near| *near != name);
    let nearest = near.filter(|_| names.iter().all(|other| other != name)).map(ToOwned::to_owned);
    Ok(answer(app, name, &ds, found.as_ref(), &decisions, nearest))
}

/// A date as gates know it: `2018-09-19`.
///
/// # Errors
/// It is no date.
pub fn gate_date(app: &App, text: &str) -> Result<String, AppError> {
    let zone = app.default_zone();
    Ok(match select::date(text, &zone)? {
        When::Date(date) => date.to_string(),
        when @ When::Instant(_) => when.first_instant(&zone).to_zoned(zone).date().to_string(),
    })
}

fn answer(
    app: &App,
    gate: &str,
    ds: &str,
    found: Option<&Gate>,
    decisions: &[GateDecision],
    nearest: Option<String>,
) -> GateAnswer {
    let zone = app.default_zone();
    let moment = |at| Moment::new(at, &zone);
    let verdict = found.map(Gate::verdict);
    let published = found.iter().flat_map(|gate| &gate.published);
    GateAnswer {
        gate: gate.to_owned(),
        ds: ds.to_owned(),
        verdict,
        open: verdict.is_some_and(|verdict| verdict != Verdict::Fail),
        published: published
            .map(|published| PublishedAnswer {
                dag_id: published.dag_id.clone(),
                task_id: published.task_id.clone(),
                verdict: published.verdict,
                at: moment(published.at),
            })
            .collect(),
        decisions: decisions
            .iter()
            .map(|decision| DecisionAnswer {
                verdict: decision.verdict,
                by: decision.by.clone(),
                reason: decision.reason.clone(),
                at: moment(decision.at),
            })
            .collect(),
        nearest,
    }
}
