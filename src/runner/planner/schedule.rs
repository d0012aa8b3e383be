//! Which data intervals of a DAG are due, given its row, what has run, and the clock.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::dag::schedule::{DataInterval, Place, Upcoming};
use crate::dag::{Dag, DagId};
use crate::store::{DagRow, Store, StoreError, Write};

/// What has run, read from a database or inside a transaction.
pub trait History {
    /// As [`Store::intervals_from`].
    ///
    /// # Errors
    /// The database.
    fn intervals_from(&self, dag_id: &DagId, from: Timestamp) -> Result<Vec<DataInterval>, StoreError>;
    /// The scheduled run's interval that ends last, of those that end at `until` or before.
    ///
    /// # Errors
    /// The database.
    fn last_scheduled(&self, dag_id: &DagId, until: Timestamp) -> Result<Option<DataInterval>, StoreError>;
    /// How many scheduled runs of a DAG wait for their turn.
    ///
    /// # Errors
    /// The database.
    fn queued_scheduled_runs(&self, dag_id: &DagId) -> Result<u32, StoreError>;
}

impl History for Store {
    fn intervals_from(&self, dag_id: &DagId, from: Timestamp) -> Result<Vec<DataInterval>, StoreError> {
        Store::intervals_from(self, dag_id, from)
    }

    fn last_scheduled(&self, dag_id: &DagId, until: Timestamp) -> Result<Option<DataInterval>, StoreError> {
        Store::last_scheduled(self, dag_id, until)
    }

    fn queued_scheduled_runs(&self, dag_id: &DagId) -> Result<u32, StoreError> {
        Store::queued_scheduled_runs(self, dag_id)
    }
}

impl History for Write<'_> {
    fn intervals_from(&self, dag_id: &DagId, from: Timestamp) -> Result<Vec<DataInterval>, StoreError> {
        Write::intervals_from(self, dag_id, from)
    }

    fn last_scheduled(&self, dag_id: &DagId, until: Timestamp) -> Result<Option<DataInterval>, StoreError> {
        Write::last_scheduled(self, dag_id, until)
    }

    fn queued_scheduled_runs(&self, dag_id: &DagId) -> Result<u32, StoreError> {
        Write::queued_scheduled_runs(self, dag_id)
    }
}

impl<H: History> History for &H {
    fn intervals_from(&self, dag_id: &DagId, from: Timestamp) -> Result<Vec<DataInterval>, StoreError> {
        (**self).intervals_from(dag_id, from)
    }

    fn last_scheduled(&self, dag_id: &DagId, until: Timestamp) -> Result<Option<DataInterval>, StoreError> {
        (**self).last_scheduled(dag_id, until)
    }

    fn queued_scheduled_runs(&self, dag_id: &DagId) -> Result<u32, StoreError> {
        (**self).queued_scheduled_runs(dag_id)
    }
}

/// A home without a database: nothing has run.
impl<H: History> History for Option<H> {
    fn intervals_from(&self, dag_id: &DagId, from: Timestamp) -> Result<Vec<DataInterval>, StoreError> {
        self.as_ref().map_or_else(|| Ok(Vec::new()), |history| history.intervals_from(dag_id, from))
    }

    fn last_scheduled(&self, dag_id: &DagId, until: Timestamp) -> Result<Option<DataInterval>, StoreError> {
        self.as_ref().map_or(Ok(None), |history| history.last_scheduled(dag_id, until))
    }

    fn queued_scheduled_runs(&self, dag_id: &DagId) -> Result<u32, StoreError> {
        self.as_ref().map_or(Ok(0), |history| history.queued_scheduled_runs(dag_id))
    }
}

/// Whether the marks of a DAG are later than the clock says it is: a tick came while the clock was ahead, or it is behind
/// now. Gives the latest of them.
pub fn mark_ahead(row: &DagRow, now: Timestamp) -> Option<Timestamp> {
    [row.scheduled_until, Some(row.schedule_from)].into_iter().flatten().filter(|mark| *mark > now).max()
}

/// Believes the clock: sets marks aside that are ahead of it, so that planning goes on from now, and takes them up again
/// when the clock has reached them. Whatever the clock does, an interval that has its run gets no other one.
///
/// # Errors
/// The database.
pub(super) fn heed_clock(
    history: &impl History,
    dag: &Dag,
    row: &mut DagRow,
    now: Timestamp,
) -> Result<(), StoreError> {
    if row.set_aside_until.is_some_and(|mark| mark <= now) {
        // Nothing that ended before is to be made again, not even where its run was deleted meanwhile.
        row.scheduled_until = row.scheduled_until.max(row.set_aside_until.take());
    }
    if let Some(mark) = row.scheduled_until.filter(|mark| *mark > now) {
        row.set_aside_until = row.set_aside_until.max(Some(mark)).filter(|_| dag.catchup);
        let before = history.last_scheduled(&row.dag_id, now)?.map(|interval| interval.end);
        row.scheduled_until = before.or(dag.catchup.then_some(now));
    }
    row.schedule_from = row.schedule_from.min(now);
    Ok(())
}

/// Where the search for due intervals begins: after the newest one dealt with.
pub(super) fn searched_until(dag: &Dag, row: &DagRow) -> Timestamp {
    let start = dag.start_date.as_ref().map(|bound| bound.first_instant(&dag.timezone));
    match (row.scheduled_until, start) {
        (Some(until), _) if dag.catchup => until,
        (None, Some(start)) if dag.catchup => start,
        (until, _) => until.map_or(row.schedule_from, |until| until.max(row.schedule_from)),
    }
}

/// How long after the end of its data interval a scheduled run starts: `jitter`, the same for a DAG on every day.
pub fn start_delay(dag: &Dag) -> SignedDuration {
    let Some(most) = dag.jitter.map(|jitter| jitter.as_secs()).filter(|most| *most > 0) else {
        return SignedDuration::ZERO;
    };
    // FNV-1a: spreads ids evenly, and is the same on every machine and in every version.
    let hash = dag
        .id
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    SignedDuration::try_from(Duration::from_secs(hash % (most + 1))).unwrap_or(SignedDuration::ZERO)
}

/// When the scheduled run of an interval starts.
pub fn starts_at(dag: &Dag, interval: &DataInterval) -> Timestamp {
    interval.end.checked_add(start_delay(dag)).unwrap_or(Timestamp::MAX)
}

/// The newest fire time whose runs may have started by now.
pub(super) fn fires_until(dag: &Dag, now: Timestamp) -> Timestamp {
    now.checked_sub(start_delay(dag)).unwrap_or(Timestamp::MIN)
}

/// The next intervals of a DAG after a time, each with its place among what has run. The scheduler, `next`, `explain` and
/// `validate` ask here, so that they cannot differ.
///
/// # Errors
/// The database.
pub fn upcoming(
    history: &impl History,
    dag: &Dag,
    after: Timestamp,
    count: usize,
) -> Result<Vec<Upcoming>, StoreError> {
    let timetable = dag.timetable();
    let Some(first) = timetable.next_interval(after) else { return Ok(Vec::new()) };
    let ran = history.intervals_from(&dag.id, first.start)?;
    Ok(timetable.upcoming(after, &ran).take(count).collect())
}

/// The next interval after a time that gets a run.
///
/// # Errors
/// The database.
pub fn next_run(history: &impl History, dag: &Dag, after: Timestamp) -> Result<Option<DataInterval>, StoreError> {
    let timetable = dag.timetable();
    let Some(first) = timetable.next_interval(after) else { return Ok(None) };
    let ran = history.intervals_from(&dag.id, first.start)?;
    Ok(timetable.upcoming(after, &ran).find_map(|upcoming| upcoming.to_run()))
}

/// What `next` foretells: the next intervals after a time that get a run, and those that have one already.
///
/// # Errors
/// The database.
pub fn foretold(
    history: &impl History,
    dag: &Dag,
    after: Timestamp,
    count: usize,
) -> Result<Vec<DataInterval>, StoreError> {
    let timetable = dag.timetable();
    let Some(first) = timetable.next_interval(after) else { return Ok(Vec::new()) };
    let ran = history.intervals_from(&dag.id, first.start)?;
    let said = timetable.upcoming(after, &ran).filter_map(|upcoming| match upcoming.place {
        Place::Taken => Some(upcoming.interval),
        Place::Free | Place::Coarser { .. } | Place::Rest { .. } | Place::LeftOut { .. } => upcoming.to_run(),
    });
    Ok(said.take(count).collect())
}

/// When the DAG is to be planned next, given what its row says has been dealt with: also for an interval that then turns
/// out to need no run.
pub(super) fn next_fire(dag: &Dag, row: &DagRow) -> Option<Timestamp> {
    dag.timetable().next_interval(searched_until(dag, row)).map(|interval| starts_at(dag, &interval))
}

/// How many runs a pass makes for a DAG that catches up: as many as may be running at once wait for their turn. More are
/// made when some have ended.
pub(super) fn room(history: &impl History, dag: &Dag) -> Result<usize, StoreError> {
    let queued = history.queued_scheduled_runs(&dag.id)?;
    Ok(usize::try_from(dag.max_active_runs.saturating_sub(queued)).unwrap_or(usize::MAX))
}

/// Nobody needs to know how many more are to come.
pub const MOST_COUNTED: usize = 100_000;

/// Where the search for the intervals that are to be made begins: without `catchup` only the newest that is due is made.
pub(super) fn made_after(dag: &Dag, row: &DagRow, until: Timestamp) -> Timestamp {
    let from = searched_until(dag, row);
    if dag.catchup {
        return from;
    }
    dag.timetable().latest_interval(until).map_or(from, |latest| latest.start).max(from)
}

/// The runs that ticks are still to make, although they are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// How many; at least one, at most [`MOST_COUNTED`].
    pub count: usize,
    /// The oldest.
    pub first: DataInterval,
}

/// What of a DAG is due by now and not made. Where it is paused, that is what ticks would make otherwise.
///
/// # Errors
/// The database.
pub fn backlog(
    history: &impl History,
    dag: &Dag,
    row: Option<&DagRow>,
    now: Timestamp,
) -> Result<Option<Backlog>, StoreError> {
    let mut row = row.cloned().unwrap_or_else(|| DagRow::new(dag.id.clone(), now));
    heed_clock(history, dag, &mut row, now)?;
    let (timetable, until) = (dag.timetable(), fires_until(dag, now));
    let after = made_after(dag, &row, until);
    let Some(first) = timetable.next_interval(after).filter(|first| first.end <= until) else { return Ok(None) };
    let ran = history.intervals_from(&dag.id, first.start)?;
    let due = timetable.upcoming(after, &ran).take_while(|upcoming| upcoming.interval.end <= until);
    let mut to_make = due.filter_map(|upcoming| upcoming.to_run()).take(MOST_COUNTED);
    Ok(to_make.next().map(|first| Backlog { count: 1 + to_make.count(), first }))
}
