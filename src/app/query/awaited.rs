//! What a task waits for, with the dates of its run.

use crate::app::{App, AppError};
use crate::dag::template::{Renderer, Scope, Secrets};
use crate::dag::{Condition, Dag, Task, Wait};
use crate::runner::awaited;
use crate::runner::engine::PollResult;
use crate::store::{RunRow, Store};

/// The condition of a task in a run, rendered. What does not render stays as it is written.
pub(super) fn condition(app: &App, run: &RunRow, dag: &Dag, task: &Task, wait: &Wait) -> Condition {
    let mut params = dag.params.clone();
    params.extend(run.params.clone());
    let scope = Scope {
        dag,
        task,
        interval: run.interval(),
        run_type: run.run_type,
        run_id: &run.run_id,
        try_number: 1,
        params: &params,
        vars: &app.config.vars,
    };
    let renderer = Renderer::new(&scope, Secrets::none());
    wait.condition.rendered(|text| renderer.render(text)).unwrap_or_else(|_| wait.condition.clone())
}

/// The same in words; of another DAG, the dates that lack and how they stand.
///
/// # Errors
/// The database.
pub(super) fn in_words(
    app: &App,
    store: Option<&Store>,
    run: &RunRow,
    dag: &Dag,
    condition: &Condition,
) -> Result<String, AppError> {
    let (Condition::Dag(awaited), Some(store)) = (condition, store) else {
        return Ok(condition.to_string());
    };
    let other = awaited::file(&app.home, &awaited.dag, &app.config);
    Ok(match awaited::poll(store, dag, run.interval(), awaited, other)? {
        PollResult::Found => format!("{awaited}, which has succeeded"),
        PollResult::NotYet(dates) => dates,
        PollResult::Failed(reason) => format!("{awaited}; {reason}"),
    })
}
