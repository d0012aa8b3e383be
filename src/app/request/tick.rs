//! One step of the scheduler: what is due is made, and the driver is woken to run it.

use crate::app::times::Moment;
use crate::app::{App, AppError};
use crate::dag::DagId;
use crate::runner::catalog::FaultyFile;
use crate::runner::client;
use crate::runner::driver::{self, End};
use crate::runner::driver_log as log;
use crate::runner::planner::{self, Note};
use crate::store::Store;

/// What a tick made and found.
pub struct TickReceipt {
    /// Files that cannot be used.
    pub faulty: Vec<UnusableFile>,
    /// What is to be said of DAGs whose files changed, and of those whose marks were ahead of the clock.
    pub notes: Vec<Note>,
    /// Opening it is a good part of what a tick costs.
    store: Store,
}

/// A file that cannot be used.
pub struct UnusableFile {
    pub file: FaultyFile,
    /// Whether a version of it that was good goes on being scheduled; otherwise nothing of it is.
    pub has_good_version: bool,
}

/// Makes what is due. Without a plan before it, since nobody is asked: what it would make is what `crondag next` shows.
///
/// # Errors
/// The database; the folder of DAG files.
pub fn make_due(app: &App) -> Result<TickReceipt, AppError> {
    let mut store = app.store_for_writing()?;
    let report = match planner::plan(&app.home, &mut store, &app.config, app.now) {
        Ok(report) => report,
        Err(error) => {
            // Nothing new is made, and what there is goes on. Of two troubles the first one is told.
            let _ = client::wake_if_needed(&app.home, &store);
            return Err(error.into());
        }
    };
    planner::note_tick(&app.home);
    let mut faulty = Vec::new();
    for file in report.faulty {
        let stem = file.path.file_stem().unwrap_or_default().to_string_lossy();
        let has_good_version = match DagId::new(stem) {
            Ok(dag_id) => store.dag(&dag_id)?.is_some_and(|row| row.version_id.is_some()),
            Err(_) => false,
        };
        faulty.push(UnusableFile { file, has_good_version });
    }
    Ok(TickReceipt { faulty, notes: report.notes, store })
}

/// Lets the driver run what there is: another process, which is not waited for.
///
/// # Errors
/// The database; it cannot be started.
pub fn wake(app: &App, receipt: &TickReceipt) -> Result<(), AppError> {
    Ok(client::wake_if_needed(&app.home, &receipt.store)?)
}

/// Runs what there is in this process, until it is done. Gives when mail is to go out that could not go out now.
///
/// # Errors
/// The database; a signal came before all was done.
pub fn run_here(app: &App, receipt: TickReceipt) -> Result<Option<Moment>, AppError> {
    drop(receipt);
    // A log that cannot be opened is not worth a missed run.
    let _ = log::keep_in_home(&app.home);
    let end = driver::run_in_foreground(&app.home)?;
    let store = app.store_for_writing()?;
    if end == End::Asked && client::needs_driver(&store)? {
        return Err(AppError::environment(
            "a signal ended this tick before all was done; what has begun is recorded",
            "the next `crondag tick` goes on with it",
        ));
    }
    Ok(store.next_notice_at()?.map(|at| Moment::new(at, &app.default_zone())))
}
