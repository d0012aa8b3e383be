//! What the engine answers, in words, and what to type about it.

use jiff::tz::TimeZone;

use super::{View, command};
use crate::app::query::awaited;
use crate::app::times::{minute, rfc3339, span, time};
use crate::app::{AppError, NextStep};
use crate::dag::units::format_duration;
use crate::dag::{Condition, Dag, RunNumber, TaskId, TaskState};
use crate::runner::engine::{Blocker, Holder};
use crate::store::{RunRow, TaskInstance};

impl View<'_> {
    /// A blocker in words, and what to type about it. `of` is the task that it keeps back; `None` where it keeps back the run.
    pub(super) fn words(
        &self,
        run: &RunRow,
        of: Option<(&Dag, &TaskInstance)>,
        blocker: &Blocker,
    ) -> Result<(String, Option<NextStep>), AppError> {
        let zone = &self.zone;
        let (dag_id, run_id) = (&run.dag_id, &run.run_id);
        Ok(match blocker {
            // The file itself has been read: a faulty one has a line of its own.
            Blocker::NoPlan => ("no tick has read its DAG file yet".to_owned(), command("tick")),
            Blocker::BackfillHeld { .. } => {
                let day = day(run, zone);
                (
                    "its backfill was interrupted".to_owned(),
                    command(format_args!("backfill -s {day} -e {day} {dag_id}")),
                )
            }
            Blocker::Overlap { going } => {
                let dates = going.iter().take(5).map(|number| self.date_of(*number)).collect::<Result<Vec<_>, _>>()?;
                let next = match going.first() {
                    Some(first) => {
                        self.run_id(*first)?.and_then(|first| command(format_args!("explain {dag_id} {first}")))
                    }
                    None => None,
                };
                (format!("scheduled runs take turns (overlap), and that of {} is going on", dates.join(", ")), next)
            }
            Blocker::MaxActiveRuns { limit, backfill, running } => {
                let whose = if backfill.is_some() { "max_active_runs of its backfill" } else { "max_active_runs" };
                let dates =
                    running.iter().take(5).map(|number| self.date_of(*number)).collect::<Result<Vec<_>, _>>()?;
                let verb = if running.len() == 1 { "is" } else { "are" };
                let next = match running.first() {
                    Some(first) => {
                        self.run_id(*first)?.and_then(|first| command(format_args!("explain {dag_id} {first}")))
                    }
                    None => None,
                };
                let words =
                    format!("{whose} is {limit}, and {} of them {verb} going on ({})", running.len(), dates.join(", "));
                (words, next)
            }
            Blocker::QueuedBehind { first, ahead } => {
                let runs = if *ahead == 1 { "1 run goes".to_owned() } else { format!("{ahead} runs go") };
                let next = self.run_id(*first)?.and_then(|first| command(format_args!("explain {dag_id} {first}")));
                (format!("{runs} first, beginning with that of {}", self.date_of(*first)?), next)
            }
            Blocker::Upstream { rule, open } => {
                let open: Vec<String> = open.iter().map(|(task, state)| stands(task.as_str(), *state)).collect();
                (format!("waits for {}; its trigger rule is {}", open.join(", "), rule.as_str()), None)
            }
            Blocker::Past { logical_date, run: before, state } => {
                // This holds back tasks alone, never a whole run.
                let id = of.map(|(_, instance)| instance.task_id.as_str()).unwrap_or_default();
                let state = state.unwrap_or(TaskState::None);
                let words = format!(
                    "depends_on_past: the same task of {} is {state}, not success",
                    minute(*logical_date, zone)
                );
                let before = match before {
                    Some(before) => self.run_id(*before)?,
                    None => None,
                };
                let before = before.unwrap_or_else(|| rfc3339(*logical_date, zone));
                (words, command(format_args!("explain {dag_id} {id} {before}")))
            }
            Blocker::OldAttempt { try_number } => (
                format!(
                    "waits for its try {try_number} to end: it was cleared or stopped, and its processes still live"
                ),
                command(format_args!("tasks {dag_id} {run_id}")),
            ),
            Blocker::Retry { at } => {
                let away = span(at.duration_since(self.now));
                (format!("waits until {} (in {away}) for its next try", time(*at, zone)), None)
            }
            Blocker::Poll { since, next_at, until } => {
                // This holds back tasks alone, never a whole run.
                let id = of.map(|(_, instance)| instance.task_id.as_str()).unwrap_or_default();
                let mut text = format!("waits since {}", time(*since, zone));
                // To go on without what is waited for may push a day without its data: that is not simply to be typed.
                let mut next = Some(NextStep::advice(format!(
                    "ask who makes it; to go on without it: crondag mark {dag_id} {run_id} success --task {id}"
                )));
                let task = of.and_then(|(dag, _)| Some((dag, &dag.tasks[dag.task_index(id)?])));
                if let Some((dag, task, wait)) = task.and_then(|(dag, task)| Some((dag, task, task.wait()?))) {
                    let condition = awaited::condition(self.app, run, dag, task, wait);
                    let (what, every) =
                        (awaited::in_words(self.app, self.store, run, dag, &condition)?, format_duration(wait.every));
                    // To pass over what is made elsewhere is the last resort: first one sees why it is not there.
                    next = match &condition {
                        Condition::Dag(awaited) => command(format_args!("explain {}", awaited.dag)),
                        Condition::Gate(gate) => command(format_args!("gate {gate} {}", day(run, zone))),
                        Condition::File(_)
                        | Condition::Query { .. }
                        | Condition::Url { .. }
                        | Condition::Command(_) => next,
                    };
                    text = format!("{text} for {what}: evaluated every {every}, until {}", time(*until, zone));
                }
                if let Some(at) = next_at {
                    text = format!("{text}; the next time is {}", time(*at, zone));
                }
                (text, next)
            }
            Blocker::Pool { pool, slots, used, wanted, holders } => (
                format!(
                    "waits: pool `{pool}` has {used} of {slots} slots taken, it wants {wanted}; held by {}",
                    self.names(holders)?
                ),
                Some(NextStep::Advice(format!("raise `{pool}` under [pools] in crondag.toml, or wait"))),
            ),
            Blocker::PoolQueue { pool, run: first, task, wanted } => (
                format!(
                    "waits: {} stands before it in the queue of pool `{pool}` and wants {wanted} slots; it is not overtaken",
                    self.name(*first, task)?
                ),
                Some(NextStep::Advice(format!("raise `{pool}` under [pools] in crondag.toml, or wait"))),
            ),
            Blocker::MaxActiveTasks { limit, holders } => (
                format!(
                    "waits: max_active_tasks of the DAG is {limit}, so many are running ({})",
                    self.names(holders)?
                ),
                None,
            ),
            Blocker::Parallelism { limit, holders } => (
                format!(
                    "waits: parallelism is {limit}, so many tasks of this home are running ({})",
                    self.names(holders)?
                ),
                Some(NextStep::advice("raise `parallelism` in crondag.toml, or wait")),
            ),
        })
    }

    /// `userprofile load 2018-07-01 07:00 +08:00`
    fn name(&self, number: RunNumber, task: &TaskId) -> Result<String, AppError> {
        // A run that is deleted in this moment has no name any more.
        let dag = self.row(number)?.map(|run| run.dag_id.to_string()).unwrap_or_default();
        Ok(format!("{dag} {task} {}", self.date_of(number)?))
    }

    /// Holders by name, at most five.
    fn names(&self, holders: &[Holder]) -> Result<String, AppError> {
        let first = holders.iter().take(5).map(|holder| self.name(holder.run, &holder.task));
        let mut list = first.collect::<Result<Vec<_>, _>>()?.join("; ");
        if holders.len() > 5 {
            list = format!("{list}; and {} more", holders.len() - 5);
        }
        Ok(list)
    }
}

fn day(run: &RunRow, zone: &TimeZone) -> String {
    run.logical_date.to_zoned(zone.clone()).strftime("%Y-%m-%d").to_string()
}

/// A task with its state.
pub(super) fn stands(task: &str, state: TaskState) -> String {
    if state == TaskState::None { format!("{task} (not started)") } else { format!("{task} ({state})") }
}
