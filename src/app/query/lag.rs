//! How far a DAG is behind its schedule.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::app::times::{Moment, span};
use crate::app::{App, AppError};
use crate::dag::schedule::DataInterval;
use crate::dag::{Dag, DagId, RunState, RunType};
use crate::runner::planner::{self, MOST_COUNTED};
use crate::store::{DagRow, Store, UnfinishedRun};

/// A tick a minute makes runs so late, and runs of a second wait so long for one another: nobody needs to hear of it.
const WORTH_SAYING: SignedDuration = SignedDuration::from_mins(2);

/// How far a DAG is behind its schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lag {
    pub dag_id: DagId,
    /// Data intervals that are due and have no run yet; counting ends at 100,000.
    pub to_make: usize,
    /// Scheduled runs that wait to start.
    pub queued: usize,
    /// When the first of all these was due.
    pub since: Moment,
    /// How many runs are made at a time, where runs that were missed are made up for.
    #[serde(skip)]
    at_once: Option<u32>,
}

impl Lag {
    /// Reads after the DAG's name, or after "it ": "is 3 runs behind its schedule: ...".
    pub fn in_words(&self, now: Timestamp) -> String {
        let runs = |count: usize| match count {
            1 => "1 run".to_owned(),
            MOST_COUNTED.. => format!("more than {MOST_COUNTED} runs"),
            _ => format!("{count} runs"),
        };
        let verb = |count: usize, one, many| if count == 1 { one } else { many };
        let queued = || format!("{} {} to start", self.queued, verb(self.queued, "waits", "wait"));
        let to_make = || {
            let at_once = self.at_once.map(|most| format!(" (oldest first, max_active_runs = {most})"));
            let verb = verb(self.to_make, "is", "are");
            format!("{} {verb} still to be made{}", self.to_make, at_once.unwrap_or_default())
        };
        let which = match (self.queued, self.to_make) {
            (_, 0) => queued(),
            (0, _) => to_make(),
            (_, _) => format!("{}, {}", queued(), to_make()),
        };
        format!(
            "is {} behind its schedule: {which}; the first was due at {}, {} ago",
            runs(self.queued.saturating_add(self.to_make)),
            self.since.minute(),
            span(now.duration_since(self.since.at))
        )
    }
}

/// How far a DAG is behind; `None` where it is not, or not for long. What of a paused DAG is not made is not late.
///
/// # Errors
/// The database.
pub(super) fn lag(
    app: &App,
    store: Option<&Store>,
    unfinished: &[UnfinishedRun],
    dag: &Dag,
    row: Option<&DagRow>,
) -> Result<Option<Lag>, AppError> {
    let waits = |unfinished: &&UnfinishedRun| {
        let run = &unfinished.run;
        run.dag_id == dag.id && run.state == RunState::Queued && run.run_type == RunType::Scheduled
    };
    let queued: Vec<DataInterval> =
        unfinished.iter().filter(waits).map(|unfinished| unfinished.run.interval()).collect();
    let backlog = match row {
        Some(row) if !row.is_paused && row.is_active => planner::backlog(&store, dag, Some(row), app.now)?,
        Some(_) | None => None,
    };
    let first = backlog.map(|backlog| backlog.first);
    let since = queued.iter().chain(&first).map(|interval| planner::starts_at(dag, interval)).min();
    Ok(since.filter(|since| app.now.duration_since(*since) >= WORTH_SAYING).map(|since| Lag {
        dag_id: dag.id.clone(),
        to_make: backlog.map_or(0, |backlog| backlog.count),
        queued: queued.len(),
        since: Moment::new(since, &dag.timezone),
        at_once: dag.catchup.then_some(dag.max_active_runs),
    }))
}
