//! The DAGs of a home: when they start, and how their last runs ended.

use serde::Serialize;

use super::runs::RunAnswer;
use crate::app::catalog::DagFile;
use crate::app::select::last_run;
use crate::app::times::Moment;
use crate::app::{App, AppError};
use crate::dag::RunState;
use crate::dag::schedule::name_of_zone;
use crate::runner::planner;
use crate::store::Store;

/// A DAG file, good or faulty.
#[derive(Debug, Clone, Serialize)]
pub struct DagAnswer {
    /// The DAG's id; of a file whose name is none, the name.
    pub dag_id: String,
    /// For people.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Labels.
    pub tags: Vec<String>,
    /// As the file has it.
    pub schedule: Option<String>,
    /// The zone's name, if it has one.
    pub timezone: Option<String>,
    /// Its schedule is paused.
    pub is_paused: bool,
    /// When it fires next.
    pub next_fire_time: Option<Moment>,
    /// How its last run stands.
    pub last_run_state: Option<RunState>,
    /// Of which data interval that run is.
    pub last_run_logical_date: Option<Moment>,
    /// How many tasks of that run failed.
    pub last_run_failed_tasks: Option<u32>,
    /// Those that are `upstream_failed`.
    pub last_run_upstream_failed_tasks: Option<u32>,
    /// The first fault of the file.
    pub fault: Option<String>,
    /// How many faults it has.
    pub faults: usize,
    /// The last run, whole.
    #[serde(skip)]
    pub last_run: Option<RunAnswer>,
}

/// All DAG files by name; with a tag, only good ones that have it.
///
/// # Errors
/// The folder or the database.
pub fn dags(app: &App, tag: Option<&str>) -> Result<Vec<DagAnswer>, AppError> {
    let store = app.store()?;
    let mut answers = Vec::new();
    for file in app.dag_files()? {
        let is_wanted = match (tag, &file.dag) {
            (None, _) => true,
            (Some(tag), Ok(dag)) => dag.tags.iter().any(|other| other == tag),
            // Whether it has the tag, nobody can say.
            (Some(_), Err(_)) => false,
        };
        if is_wanted {
            answers.push(answer(app, store.as_ref(), &file)?);
        }
    }
    Ok(answers)
}

fn answer(app: &App, store: Option<&Store>, file: &DagFile) -> Result<DagAnswer, AppError> {
    let (row, last_run) = match (store, &file.dag_id) {
        (Some(store), Some(id)) => {
            let last = last_run(app, store, id)?.map(|run| RunAnswer::new(app, store, &run)).transpose()?;
            (store.dag(id)?, last)
        }
        _ => (None, None),
    };
    let is_paused = row.is_some_and(|row| row.is_paused);
    // Of a faulty file nothing but its fault is known, and that is in the answer.
    let dag = file.dag.as_ref().ok();
    let next = match dag {
        Some(dag) => {
            let next = planner::next_run(&store, dag, app.now)?;
            next.map(|next| Moment::new(planner::starts_at(dag, &next), &dag.timezone))
        }
        None => None,
    };
    // The machine's zone may have no name; its offsets are in the times.
    let zone = dag.and_then(|dag| name_of_zone(&dag.timezone).map(ToOwned::to_owned));
    Ok(DagAnswer {
        dag_id: file.name.clone(),
        description: dag.and_then(|dag| dag.description.clone()),
        owner: dag.and_then(|dag| dag.owner.clone()),
        tags: dag.map(|dag| dag.tags.clone()).unwrap_or_default(),
        schedule: dag.and_then(|dag| dag.schedule.as_ref()).map(|schedule| schedule.text().to_owned()),
        timezone: zone,
        is_paused,
        next_fire_time: next,
        last_run_state: last_run.as_ref().map(|run| run.state),
        last_run_logical_date: last_run.as_ref().map(|run| run.logical_date.clone()),
        last_run_failed_tasks: last_run.as_ref().map(|run| run.failed_tasks),
        last_run_upstream_failed_tasks: last_run.as_ref().map(|run| run.upstream_failed_tasks),
        fault: file.dag.as_ref().err().map(|faulty| faulty.first()),
        faults: file.dag.as_ref().err().map_or(0, |faulty| faulty.errors()),
        last_run,
    })
}
