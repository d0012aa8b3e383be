//! One task for one date, prepared as an attempt would be: what `render` shows and `test` runs.

use super::context::Global;
use crate::app::App;

use super::error::CliError;
use crate::app::request::params;
use crate::app::select;
use crate::app::times::rfc3339;
use crate::dag::schedule::DataInterval;
use crate::dag::template::Scope;
use crate::dag::{Dag, RunType, Task};
use crate::runner::actions::{Prepared, prepare, rehearse};

/// A task with everything that it needs to run.
pub struct Rehearsal {
    /// The home.
    pub app: App,
    /// The DAG as its file stands.
    pub dag: Dag,
    /// The task's index in the DAG.
    pub index: usize,
    /// The data interval of the date.
    pub interval: DataInterval,
    /// The id that a scheduled run of this interval has.
    pub run_id: String,
    /// What would run.
    pub prepared: Prepared,
}

impl Rehearsal {
    /// Reads the DAG, finds the task and the interval, renders everything. With `for_show` secrets are masked and their
    /// commands not run.
    pub fn new(
        global: &Global,
        (dag, task, date): (&str, &str, &str),
        given: &[String],
        for_show: bool,
    ) -> Result<Rehearsal, CliError> {
        let app = global.open()?;
        let dag = app.dag(dag)?;
        let index = select::task(&dag, task)?;
        let interval = select::interval(&dag, date)?;
        let mut values = dag.params.clone();
        values.extend(params::parse(&dag, given)?);
        let run_id = format!("{}__{}", RunType::Scheduled, rfc3339(interval.start, &dag.timezone));
        let scope = Scope {
            dag: &dag,
            task: &dag.tasks[index],
            interval,
            run_type: RunType::Scheduled,
            run_id: &run_id,
            try_number: 1,
            params: &values,
            vars: &app.config.vars,
        };
        let home = app.home.root();
        let prepared =
            if for_show { rehearse(home, &app.config, &scope) } else { prepare(home, &app.config, &scope, true) };
        let prepared = prepared.map_err(|error| {
            CliError::usage(
                format!("the task {} of {} cannot be prepared: {error}", dag.tasks[index].id, dag.id),
                "correct it, then type `crondag validate`",
            )
        })?;
        Ok(Rehearsal { app, dag, index, interval, run_id, prepared })
    }

    /// The task.
    pub fn task(&self) -> &Task {
        &self.dag.tasks[self.index]
    }
}
