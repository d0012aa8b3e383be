//! `check`: queries, judges and records, by a process of its own (`crondag __check`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::csv;
use super::job::{self, InnerProgram, Job, JobFailure};
use super::materials::{Materials, PrepareError};
use super::shell::Script;
use super::sql::{SqlJob, Table, Value, say};
use crate::check::{self, Cell, EarlierDate, Judgement, Reconciliation, Rows};
use crate::dag::check::{Check, Rule, Rules, Source};
use crate::dag::schedule::{DataInterval, zone_text};
use crate::dag::template::iso;
use crate::dag::{Action, Dag, DagId, RunType, Sql, TaskId, Verdict};
use crate::home::Home;
use crate::mask::Mask;
use crate::notify::{Notice, NoticeEvent, Outbox, render};
use crate::runner::attempt::environment::host;
use crate::runner::attempt::secrets::Keyring;
use crate::runner::client;
use crate::store::{CheckFilter, CheckRow, CheckValue, Published, Store};

/// A check is a summary: of more rows than this it is not one.
const MOST_ROWS: usize = 1_000_000;
/// More than these rows need; a command that prints on and on must not fill the memory.
const MOST_BYTES: u64 = 256 << 20;
/// How many earlier dates are read at least, for the history that people see.
const LEAST_DATES: u32 = 30;

/// What the process is told on its standard input.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CheckJob {
    home: PathBuf,
    dag_id: DagId,
    task_id: TaskId,
    run_type: RunType,
    run_id: String,
    interval: DataInterval,
    timezone: Option<String>,
    ds: String,
    query: Values,
    reconcile: Option<(Values, f64, Verdict)>,
    rules: Rules,
    gate: Option<String>,
    /// The other checks of the DAG that publish the gate.
    siblings: Vec<TaskId>,
    email: Vec<String>,
    outbox: Outbox,
    /// What must not be seen: rows may hold it, and are recorded and mailed.
    secrets: Vec<String>,
    is_rehearsal: bool,
}

/// Where values come from, complete.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Values {
    Query(Box<SqlJob>),
    Command(Script),
}

impl Values {
    fn of(source: &Source, materials: &Materials<'_>) -> Result<Values, PrepareError> {
        Ok(match source {
            Source::Query(query) => {
                let (connection, params) = (query.connection.clone(), query.params.clone());
                let sql = Sql { connection, source: query.query.clone(), params, to: None };
                Values::Query(Box::new(SqlJob::of(&sql, materials)?))
            }
            Source::Command(script) => Values::Command(Script::of(script, materials)?),
        })
    }

    fn describe(&self) -> String {
        match self {
            Values::Query(job) => job.describe(),
            Values::Command(script) => format!("what a command prints\n{}", script.describe()),
        }
    }

    /// The rows, without what must not be seen.
    fn collect(&self, mask: &Mask) -> Result<Rows, JobFailure> {
        let (mut rows, count) = match self {
            Values::Query(job) => {
                let table = job.collect(MOST_ROWS)?;
                let count = table.total;
                (rows(table), count)
            }
            Values::Command(script) => {
                let csv =
                    csv::parse(&script.output(MOST_BYTES)?).map_err(|wrong| format!("the command's CSV: {wrong}"))?;
                let rows = csv.rows.into_iter().map(|row| row.into_iter().map(printed).collect()).collect();
                let rows = Rows { columns: csv.columns, rows };
                let count = rows.rows.len() as u64;
                (rows, count)
            }
        };
        if count > MOST_ROWS as u64 {
            let reason = format!("there are {count} rows; a check takes {MOST_ROWS} at most: let the query count");
            return Err(reason.into());
        }
        for cell in rows.rows.iter_mut().flatten() {
            if let Cell::Text(text) = cell
                && !mask.is_empty()
            {
                *text = mask.text(text);
            }
        }
        Ok(rows)
    }
}

/// A cell of CSV.
fn printed(text: Option<String>) -> Cell {
    text.map_or(Cell::Null, |text| cell(Value::Text(text)))
}

impl CheckJob {
    pub(super) fn of(check: &Check, materials: &Materials<'_>) -> Result<CheckJob, PrepareError> {
        let scope = materials.scope;
        let reconcile = match &check.reconcile {
            Some(second) => Some((Values::of(&second.source, materials)?, second.tolerance, second.verdict)),
            None => None,
        };
        Ok(CheckJob {
            home: materials.home.to_path_buf(),
            dag_id: scope.dag.id.clone(),
            task_id: scope.task.id.clone(),
            run_type: scope.run_type,
            run_id: scope.run_id.to_owned(),
            interval: scope.interval,
            timezone: zone_text(&scope.dag.timezone),
            ds: materials.variable("ds"),
            query: Values::of(&check.source, materials)?,
            reconcile,
            rules: check.rules.clone(),
            siblings: siblings(check, scope.dag, &scope.task.id),
            gate: check.gate.clone(),
            email: scope.task.email.clone(),
            outbox: Outbox::of(materials.config, host()),
            secrets: materials.keyring.map(Keyring::values).unwrap_or_default(),
            is_rehearsal: materials.is_rehearsal,
        })
    }

    /// Queries, judges, records; gives the verdict.
    fn verdict(&self) -> Result<Verdict, JobFailure> {
        let mask = Mask::new(self.secrets.iter().map(String::as_str));
        let rows = self.query.collect(&mask)?;
        let second = match &self.reconcile {
            Some((query, tolerance, verdict)) => Some((query.collect(&mask)?, *tolerance, *verdict)),
            None => None,
        };
        let zone = job::zone(self.timezone.as_deref())?;
        let home = Home::at(self.home.clone());
        // A rehearsal in a new home has no past, and leaves no database behind.
        let store = if self.is_rehearsal && !home.database_path().exists() {
            None
        } else {
            Some(client::open_store(&home).map_err(|error| error.to_string())?)
        };
        let history = match &store {
            Some(store) => self.history(store).map_err(|error| error.to_string())?,
            None => Vec::new(),
        };
        let reconciliation = second.as_ref().map(|(rows, tolerance, verdict)| Reconciliation {
            rows,
            tolerance: *tolerance,
            verdict: *verdict,
        });
        let judgement = check::judge(&self.rules, &rows, &history, (&self.interval, &zone), reconciliation)
            .map_err(|fault| fault.to_string())?;
        say(check::table(&judgement).trim_end());
        let counts: Vec<String> = Verdict::ALL
            .iter()
            .rev()
            .map(|verdict| (verdict, judgement.values.iter().filter(|value| value.verdict == *verdict).count()))
            .filter(|(_, count)| *count > 0)
            .map(|(verdict, count)| format!("{count} {verdict}"))
            .collect();
        let values = if judgement.values.len() == 1 {
            "1 value".to_owned()
        } else {
            format!("{} values", judgement.values.len())
        };
        say(&format!("verdict: {} ({values}: {})", judgement.verdict, counts.join(", ")));
        if let (Some(store), false) = (store, self.is_rehearsal) {
            self.record(store, &judgement, &zone).map_err(|error| error.to_string())?;
            client::notify(&home);
            if let Some(gate) = &self.gate {
                say(&format!("gate {gate} of {}: {}", self.ds, judgement.verdict));
            }
        } else {
            say("nothing is recorded, no gate is set");
        }
        Ok(judgement.verdict)
    }

    /// Earlier dates whose check did not fail, newest first.
    fn history(&self, store: &Store) -> Result<Vec<EarlierDate>, crate::store::StoreError> {
        let longest = self.rules.rules.iter().map(|rule: &Rule| rule.last).max().unwrap_or(0);
        let dates = longest.max(LEAST_DATES);
        let filter = CheckFilter { only_good: true, ..CheckFilter::before(&self.task_id, self.interval.start, dates) };
        let mut history = Vec::new();
        for earlier in store.checks(&self.dag_id, &filter)? {
            let values: BTreeMap<check::Name, f64> = store
                .check_values(&self.dag_id, &self.task_id, earlier.logical_date)?
                .into_iter()
                .filter_map(|value| Some(((value.key, value.metric), value.value?)))
                .collect();
            history.push(EarlierDate { date: earlier.logical_date, values });
        }
        Ok(history)
    }

    /// Values, verdict, gate and warning in one transaction.
    fn record(&self, mut store: Store, judgement: &Judgement, zone: &TimeZone) -> Result<(), crate::store::StoreError> {
        let now = Timestamp::now();
        let row = CheckRow {
            dag_id: self.dag_id.clone(),
            task_id: self.task_id.clone(),
            logical_date: self.interval.start,
            ds: self.ds.clone(),
            verdict: judgement.verdict,
            findings: judgement.findings.iter().map(|(verdict, text)| format!("{verdict}: {text}")).collect(),
            at: now,
        };
        let values: Vec<CheckValue> = judgement
            .values
            .iter()
            .map(|value| CheckValue {
                key: value.key.clone(),
                metric: value.metric.clone(),
                value: value.value,
                baseline: value.baseline,
                verdict: value.verdict,
                reason: value.reason.clone(),
            })
            .collect();
        let write = store.write()?;
        write.put_check(&row, &values)?;
        if let Some(gate) = &self.gate {
            let published = Published {
                dag_id: self.dag_id.to_string(),
                task_id: self.task_id.to_string(),
                verdict: Some(judgement.verdict),
                at: now,
            };
            write.publish_gate(gate, &self.ds, &self.run_id, &published)?;
            for sibling in &self.siblings {
                write.expect_at_gate(gate, &self.ds, self.dag_id.as_str(), sibling.as_str(), now)?;
            }
        }
        // A failed check fails its task, whose mail shows this log; only a warning needs one of its own.
        if judgement.verdict == Verdict::Warn && !self.email.is_empty() {
            let interval =
                (iso(&self.interval.start.to_zoned(zone.clone())), iso(&self.interval.end.to_zoned(zone.clone())));
            let event = NoticeEvent::CheckWarned {
                dag_id: self.dag_id.to_string(),
                task_id: self.task_id.to_string(),
                selector: render::run_selector(self.run_type, &self.run_id, &self.ds, &interval).to_owned(),
                ds: self.ds.clone(),
                table: check::table(judgement),
            };
            self.outbox.put(&write, self.dag_id.as_str(), &Notice::new(self.email.clone(), event), now)?;
        }
        write.commit()
    }
}

/// A gate is not open before all of them have spoken.
fn siblings(check: &Check, dag: &Dag, task: &TaskId) -> Vec<TaskId> {
    let publishes =
        |action: &Action| matches!(action, Action::Check(other) if check.gate.is_some() && other.gate == check.gate);
    let others = dag.tasks.iter().filter(|other| other.id != *task && publishes(&other.action));
    others.map(|other| other.id.clone()).collect()
}

fn rows(table: Table) -> Rows {
    let rows = table.rows.into_iter().map(|row| row.into_iter().map(cell).collect()).collect();
    Rows { columns: table.columns, rows }
}

fn cell(value: Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::Bool(value) => Cell::Number(f64::from(u8::from(value))),
        #[allow(clippy::cast_precision_loss)] // counts beyond 2^53 may be off by one
        Value::Integer(number) => Cell::Number(number as f64),
        Value::Real(number) if number.is_finite() => Cell::Number(number),
        Value::Real(number) => Cell::Text(number.to_string()),
        Value::Decimal(text) | Value::Text(text) => match text.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => Cell::Number(number),
            _ => Cell::Text(text),
        },
        value @ Value::Bytes(_) => Cell::Text(value.to_string()),
    }
}

impl Job for CheckJob {
    const PROGRAM: InnerProgram = InnerProgram::Check;

    fn describe(&self) -> String {
        let mut text = format!("check: {}", self.query.describe());
        if let Some((second, ..)) = &self.reconcile {
            text = format!("{text}\nreconcile with {}", second.describe());
        }
        text
    }

    /// Exit status 1 when the verdict is fail, or when there is none; that of a shell when what gives the values was killed.
    fn run(&self) -> ExitCode {
        match self.verdict() {
            Ok(Verdict::Ok | Verdict::Warn) => ExitCode::SUCCESS,
            Ok(Verdict::Fail) => ExitCode::FAILURE,
            Err(failure) => {
                say(&format!("error: {}", failure.reason));
                failure.status()
            }
        }
    }
}
