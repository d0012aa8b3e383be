//! How far a DAG is behind its schedule.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::app::times::{Moment, span};
use crate::app::{App, AppError};
use crate::dag::schedule::DataInterval;
use crate::dag::{Dag, DagId, RunState, RunType};
use crate::runner::planner::{self, MOST_COUNTED};
use crate::store::{DagRow, RunRow, Store, UnfinishedRun};

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
    /// Without `catchup`: data intervals between the run that goes on and the one that waits, which do not run; counting ends at 100,000.
    pub skipped: usize,
    /// Where some are skipped: since when the run goes on that they could not wait for.
    pub running_since: Option<Moment>,
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
        let skipped = self.running_since.as_ref().map(|since| {
            let (count, verb) = (runs(self.skipped), verb(self.skipped, "is", "are"));
            format!(", {count} before it {verb} skipped (catchup is off), a run goes on since {}", since.minute())
        });
        format!(
            "is {} behind its schedule: {which}{}; the first was due at {}, {} ago",
            runs(self.queued.saturating_add(self.to_make).saturating_add(self.skipped)),
            skipped.unwrap_or_default(),
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
    let (skipped, running) = skipped(unfinished, dag, queued.first());
    let since =
        queued.iter().chain(&first).chain(skipped.first()).map(|interval| planner::starts_at(dag, interval)).min();
    Ok(since.filter(|since| app.now.duration_since(*since) >= WORTH_SAYING).map(|since| Lag {
        dag_id: dag.id.clone(),
        to_make: backlog.map_or(0, |backlog| backlog.count),
        queued: queued.len(),
        skipped: skipped.len(),
        running_since: running.map(|start| Moment::new(start, &dag.timezone)),
        since: Moment::new(since, &dag.timezone),
        at_once: dag.catchup.then_some(dag.max_active_runs),
    }))
}

/// Without `catchup`, what is due while a run goes on gives its place to what is due later: the intervals between that run and the
/// one that waits, and since when it goes on; no time where there are none.
fn skipped(
    unfinished: &[UnfinishedRun],
    dag: &Dag,
    waiting: Option<&DataInterval>,
) -> (Vec<DataInterval>, Option<Timestamp>) {
    let is_going =
        |run: &&RunRow| run.dag_id == dag.id && run.state == RunState::Running && run.run_type == RunType::Scheduled;
    let going = unfinished.iter().map(|unfinished| &unfinished.run).rfind(is_going);
    let (Some(waiting), Some(going), false) = (waiting, going, dag.catchup) else { return (Vec::new(), None) };
    let between = dag.timetable().intervals_from(going.data_interval_end, waiting.start);
    let before = between.take_while(|interval| interval.end <= waiting.start);
    let skipped: Vec<DataInterval> = before.take(MOST_COUNTED).collect();
    let since = if skipped.is_empty() { None } else { going.start_date };
    (skipped, since)
}
