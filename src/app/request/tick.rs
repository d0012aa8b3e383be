//! One step of the scheduler: what is due is made, and the driver is woken to run it.

use crate::app::{App, AppError};
use crate::dag::DagId;
use crate::runner::catalog::FaultyFile;
use crate::runner::client;
use crate::runner::driver::{self, End};
use crate::runner::driver_log as log;
use crate::runner::planner::{self, Note};
use crate::store::Store;

/// What a tick found.
pub struct TickReceipt {
    /// Files that cannot be used.
    pub faulty: Vec<FaultyFile>,
    /// Whether a good version of one of these goes on being scheduled.
    pub is_scheduled_all_the_same: bool,
    /// What is to be said of DAGs whose files changed, and of those whose marks were ahead of the clock.
    pub notes: Vec<Note>,
    /// Opening it is a good part of what a tick costs.
    store: Store,
}

/// Makes what is due.
///
/// # Errors
/// The database; the folder of DAG files.
pub fn plan(app: &App) -> Result<TickReceipt, AppError> {
    let mut store = app.store_for_writing()?;
    let report = planner::plan(&app.home, &mut store, &app.config, app.now)?;
    planner::note_tick(&app.home);
    let mut is_scheduled_all_the_same = false;
    for stem in report.faulty.iter().filter_map(|file| file.path.file_stem()) {
        let Ok(dag_id) = DagId::new(stem.to_string_lossy()) else { continue };
        is_scheduled_all_the_same |= store.dag(&dag_id)?.is_some_and(|row| row.version_id.is_some());
    }
    Ok(TickReceipt { faulty: report.faulty, is_scheduled_all_the_same, notes: report.notes, store })
}

/// Lets the driver run what there is: another process, which is not waited for.
///
/// # Errors
/// The database; it cannot be started.
pub fn wake(app: &App, receipt: &TickReceipt) -> Result<(), AppError> {
    Ok(client::wake_if_needed(&app.home, &receipt.store)?)
}

/// Runs what there is in this process, until it is done.
///
/// # Errors
/// The database; a signal came before all was done.
pub fn run_here(app: &App, receipt: TickReceipt) -> Result<(), AppError> {
    drop(receipt);
    // A log that cannot be opened is not worth a missed run.
    let _ = log::keep_in_home(&app.home);
    let end = driver::run_in_foreground(&app.home)?;
    if end == End::Asked && client::needs_driver(&app.store_for_writing()?)? {
        return Err(AppError::environment(
            "a signal ended this tick before all was done; what has begun is recorded",
            "the next `crondag tick` goes on with it",
        ));
    }
    Ok(())
}
