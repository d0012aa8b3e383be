//! Every question that is asked often must be answered by an index, however long the history: the plans of the SQL that
//! the store's own functions send.

use std::cell::RefCell;

use jiff::Timestamp;
use rusqlite::trace::{TraceEvent, TraceEventCodes};

use super::{RunFilter, Store, StoreError};
use crate::dag::schedule::DataInterval;
use crate::dag::{DagId, RunNumber, RunState};

thread_local! {
    static SENT: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// The plans of all that `ask` sends, one line a step.
fn plans<T>(ask: impl FnOnce(&Store) -> Result<T, StoreError>) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&folder.path().join("db")).unwrap();
    let remember = |event: TraceEvent<'_>| {
        if let TraceEvent::Stmt(_, sql) = event {
            SENT.with_borrow_mut(|sent| sent.push(sql.to_owned()));
        }
    };
    SENT.with_borrow_mut(Vec::clear);
    store.connection.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(remember)).unwrap();
    ask(&store).unwrap();
    store.connection.trace_v2(TraceEventCodes::empty(), None::<fn(TraceEvent<'_>)>).unwrap();
    let sent = SENT.take();
    assert!(!sent.is_empty(), "nothing was asked");
    let mut lines = Vec::new();
    for sql in sent {
        let mut statement = store.connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let count = statement.parameter_count();
        let nothing = vec![rusqlite::types::Null; count];
        let steps = statement.query_map(rusqlite::params_from_iter(nothing), |row| row.get::<_, String>(3)).unwrap();
        lines.extend(steps.map(Result::unwrap));
    }
    lines
}

fn interval() -> DataInterval {
    DataInterval { start: Timestamp::UNIX_EPOCH, end: Timestamp::UNIX_EPOCH }
}

fn dag() -> DagId {
    DagId::new("d").unwrap()
}

#[test]
fn a_tick_with_nothing_due_reads_no_history() {
    assert_eq!(plans(Store::dags), ["SCAN dags"]);
    assert_eq!(
        plans(|store| store.has_intents_until(i64::MAX)),
        ["SCAN CONSTANT ROW", "SCALAR SUBQUERY 1", "SEARCH intents USING INTEGER PRIMARY KEY (rowid<?)"]
    );
    assert_eq!(
        plans(Store::has_open_attempts),
        ["SCAN CONSTANT ROW", "SCALAR SUBQUERY 1", "SCAN attempts USING INDEX attempts_open"]
    );
    assert_eq!(plans(Store::next_notice_at), ["SEARCH outbox USING COVERING INDEX outbox_pending (next_try_at>?)"]);
    assert_eq!(
        plans(Store::has_unfinished_runs),
        [
            "SCAN CONSTANT ROW",
            "SCALAR SUBQUERY 1",
            "SEARCH runs USING INDEX runs_by_state (state=?)",
            "SEARCH backfills USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN"
        ]
    );
    assert_eq!(plans(Store::last_event), ["SEARCH events"]);
    assert_eq!(plans(Store::last_run), ["SEARCH runs"]);
}

#[test]
fn what_a_dag_has_run_is_found_by_its_interval() {
    let by_end = "SEARCH runs USING INDEX runs_one_per_interval";
    assert_eq!(
        plans(|store| store.interval_run(&dag(), interval())),
        [format!("{by_end} (dag_id=? AND data_interval_end=? AND logical_date=?)")]
    );
    assert_eq!(
        plans(|store| store.intervals_from(&dag(), Timestamp::UNIX_EPOCH)),
        [format!("{by_end} (dag_id=? AND data_interval_end>?)")]
    );
    assert_eq!(
        plans(|store| store.is_any_due(Timestamp::UNIX_EPOCH)),
        ["SCAN CONSTANT ROW", "SCALAR SUBQUERY 1", "SEARCH dags USING INDEX dags_due (next_fire_at<?)"]
    );
}

#[test]
fn a_driver_takes_up_what_is_open_without_reading_history() {
    assert_eq!(plans(Store::open_attempts), ["SCAN attempts USING INDEX attempts_open"]);
    assert_eq!(
        plans(Store::unfinished_runs),
        ["SEARCH runs USING INDEX runs_by_state (state=?)", "USE TEMP B-TREE FOR ORDER BY"]
    );
    assert_eq!(
        plans(|store| store.unfinished_runs_after(RunNumber(7))),
        ["SEARCH runs USING INDEX runs_by_state (state=? AND id>?)", "USE TEMP B-TREE FOR ORDER BY"]
    );
    assert_eq!(plans(|store| store.task_instances(RunNumber(7))), ["SEARCH task_instances USING PRIMARY KEY (run=?)"]);
    assert_eq!(
        plans(|store| store.run_before(&dag(), interval())),
        ["SEARCH runs USING INDEX runs_one_per_interval (dag_id=? AND (data_interval_end,logical_date)<(?,?))"]
    );
}

#[test]
fn lists_of_runs_read_no_more_than_they_show() {
    let newest = RunFilter { limit: Some(20), ..RunFilter::default() };
    assert_eq!(plans(|store| store.runs(&newest)), ["SCAN runs"], "backwards by id, and only 20 of them");
    let of_dag = RunFilter { dag_id: Some(dag()), ..newest.clone() };
    assert_eq!(plans(|store| store.runs(&of_dag)), ["SEARCH runs USING INDEX runs_by_date (dag_id=?)"]);
    let failed = RunFilter { state: Some(RunState::Failed), ..newest.clone() };
    assert_eq!(plans(|store| store.runs(&failed)), ["SEARCH runs USING INDEX runs_by_state (state=?)"]);
    let ended = RunFilter { ended_since: Some(Timestamp::UNIX_EPOCH), ..newest };
    assert_eq!(plans(|store| store.runs(&ended)), ["SEARCH runs USING INDEX runs_ended (end_date>?)"]);
    assert_eq!(plans(|store| store.progress(&[RunNumber(7)])), ["SEARCH runs USING INTEGER PRIMARY KEY (rowid=?)"]);
    assert_eq!(plans(|store| store.state_counts(RunNumber(7))), ["SEARCH task_instances USING PRIMARY KEY (run=?)"]);
}

#[test]
fn the_outbox_is_read_by_what_is_unsent() {
    let steps = plans(|store| store.outbox_summary(Timestamp::UNIX_EPOCH));
    assert_eq!(steps, ["SCAN outbox USING INDEX outbox_unsent", "SCAN outbox USING INDEX outbox_unsent"]);
    assert_eq!(
        plans(|store| store.due_notices(Timestamp::UNIX_EPOCH)).first().map(String::as_str),
        Some("SEARCH outbox USING INDEX outbox_pending (next_try_at>? AND next_try_at<?)")
    );
}
