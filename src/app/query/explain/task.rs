//! How a task of a run stands, and what keeps it.

use super::blocker::stands;
use super::{View, command, repair};
use crate::app::AppError;
use crate::app::times::elapsed;
use crate::dag::units::format_duration;
use crate::dag::{Action, Dag, TaskState};
use crate::runner::engine::Blocker;
use crate::store::{RunRow, TaskInstance};

impl View<'_> {
    pub(super) fn explain_task(
        &mut self,
        run: &RunRow,
        dag: Option<&Dag>,
        instances: &[TaskInstance],
        instance: &TaskInstance,
    ) -> Result<(), AppError> {
        let id = instance.task_id.as_str();
        let why = instance.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let tries = format!("try {} of {}", instance.try_number, instance.max_tries);
        match instance.state {
            TaskState::Running => {
                let since = instance.start_date.map(|start| format_duration(elapsed(start, self.app.now)));
                let next = command(format_args!("logs {} {id} {} -f", run.dag_id, run.run_id));
                self.say(id, format!("is running for {} ({tries})", since.unwrap_or_default()), next);
            }
            TaskState::Success => self.say(id, format!("has succeeded{why}"), None),
            TaskState::Skipped => self.say(id, format!("was skipped{why}"), None),
            TaskState::Failed => {
                let action = dag.and_then(|dag| Some(&dag.tasks[dag.task_index(id)?].action));
                let see = if matches!(action, Some(Action::Check(_) | Action::Wait(_))) { "diagnose" } else { "logs" };
                let next = command(format_args!("{see} {} {id} {}", run.dag_id, run.run_id));
                self.say(id, format!("has failed ({tries}){why}"), next);
            }
            TaskState::UpstreamFailed => {
                let failed = dag.map(|dag| failed_upstream(dag, instances, id)).unwrap_or_default();
                let next = repair(run, dag, instances);
                self.say(id, format!("does not run: upstream failed: {}", failed.join(", ")), next);
            }
            TaskState::None | TaskState::UpForRetry | TaskState::UpForReschedule => {
                let Some(dag) = dag else { return Ok(()) };
                if dag.task_index(id).is_none() {
                    self.say(id, "is removed: the DAG no longer has it", None);
                    return Ok(());
                }
                let blockers = self.engine.why(run.number, Some(&instance.task_id), self.app.now);
                if blockers.is_empty() {
                    self.say(id, "is ready and may start at any moment", None);
                }
                for blocker in &blockers {
                    let (mut words, next) = self.words(run, Some((dag, instance)), blocker)?;
                    if matches!(blocker, Blocker::Retry { .. }) {
                        words = format!("{words}{why}");
                    }
                    self.say(id, words, next);
                }
            }
        }
        Ok(())
    }
}

/// The upstream tasks of a task that have failed, each with its state.
fn failed_upstream(dag: &Dag, instances: &[TaskInstance], id: &str) -> Vec<String> {
    let Some(index) = dag.task_index(id) else { return Vec::new() };
    dag.graph
        .upstream(index)
        .iter()
        .filter_map(|&above| {
            let id = dag.tasks[above].id.as_str();
            let state = instances.iter().find(|instance| instance.task_id.as_str() == id)?.state;
            state.has_failed().then(|| stands(id, state))
        })
        .collect()
}
