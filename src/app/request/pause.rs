//! Stopping and resuming a DAG's schedule.

use serde::Serialize;

use crate::app::times::Moment;
use crate::app::{App, AppError};
use crate::dag::DagId;
use crate::runner::planner;
use crate::store::DagRow;

/// Whether a DAG's schedule rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// No new scheduled runs.
    Paused,
    /// From now on.
    Resumed,
}

/// What will be recorded.
#[derive(Debug, Clone, Serialize)]
pub struct PausePlan {
    pub dag_id: DagId,
    /// What its schedule will be.
    pub schedule: Schedule,
}

/// What was recorded.
#[derive(Debug, Clone, Serialize)]
pub struct PauseReceipt {
    pub dag_id: DagId,
    /// What its schedule is now.
    pub schedule: Schedule,
    /// Whether anything was changed.
    pub changed: bool,
    /// When it starts next; `None` while it is paused, and when it has no fire time ahead.
    pub next_start: Option<Moment>,
}

/// Works out what would be recorded.
///
/// # Errors
/// No such DAG.
pub fn plan(app: &App, dag: &str, schedule: Schedule) -> Result<PausePlan, AppError> {
    Ok(PausePlan { dag_id: app.dag_id(dag)?, schedule })
}

/// Records it. No driver need know.
///
/// # Errors
/// The database.
pub fn apply(app: &App, plan: PausePlan) -> Result<PauseReceipt, AppError> {
    let PausePlan { dag_id, schedule, .. } = plan;
    let mut store = app.store_for_writing()?;
    let write = store.write()?;
    let row = write.dag(&dag_id)?;
    let pause = schedule == Schedule::Paused;
    let changed = row.as_ref().is_some_and(|row| row.is_paused) != pause;
    if changed {
        let mut row = row.unwrap_or_else(|| DagRow::new(dag_id.clone(), app.now));
        row.is_paused = pause;
        if !pause {
            row.schedule_from = app.now;
            // No file has such a stamp: the next tick reads it again and finds out when it is due.
            row.file_stamp.clear();
        }
        write.put_dag(&row)?;
        write.commit()?;
    } else {
        drop(write);
    }
    let next_start = match app.find(&dag_id) {
        Some(Ok(dag)) if !pause => {
            let next = planner::next_run(&store, &dag, app.now)?;
            next.map(|next| Moment::new(planner::starts_at(&dag, &next), &dag.timezone))
        }
        Some(Ok(_) | Err(_)) | None => None,
    };
    Ok(PauseReceipt { dag_id, schedule, changed, next_start })
}
