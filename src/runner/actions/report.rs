//! `report`: gathers what the run's checks and tasks did and writes one mail, by a process of its own (`crondag __report`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::job::{self, InnerProgram, Job};
use super::materials::{Materials, PrepareError};
use crate::check;
use crate::dag::schedule::{DataInterval, zone_text};
use crate::dag::template::iso;
use crate::dag::{Action, DagId, Report, RunType, TaskId, Verdict};
use crate::home::Home;
use crate::notify::render::report::report_text;
use crate::notify::render::{self, Place};
use crate::notify::report::{self as facts, CheckReport, Point, TaskLine, ValueReport};
use crate::notify::{Notice, NoticeEvent, Outbox};
use crate::runner::attempt::environment::host;
use crate::runner::client;
use crate::store::{CheckFilter, Published, RunFilter, RunRow, Store, StoreError, TaskInstance};

/// What is usual is the median of so many earlier runs.
const EARLIER_RUNS: u32 = 14;
/// A task is late when it ended this many seconds later than usual,
const LATE_BY: f64 = 600.0;
/// and this many times as long after the fire time.
const LATE_TIMES: f64 = 1.5;

/// What the process is told on its standard input.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ReportJob {
    home: PathBuf,
    dag_id: DagId,
    run_type: RunType,
    run_id: String,
    interval: DataInterval,
    timezone: Option<String>,
    ds: String,
    title: Option<String>,
    to: Vec<String>,
    outbox: Outbox,
    checks: Vec<TaskId>,
    gates: Vec<String>,
    /// All tasks but the report's own.
    tasks: Vec<TaskId>,
    charts: u32,
    history: u32,
    is_rehearsal: bool,
}

/// Which checks decide what a gate says: those that failed, else those that are missing, else all.
fn said_by(published: &[Published]) -> String {
    let names = |verdict: Option<Verdict>| -> Vec<&str> {
        published.iter().filter(|said| said.verdict == verdict).map(|said| said.task_id.as_str()).collect()
    };
    let (failed, missing) = (names(Some(Verdict::Fail)), names(None));
    match (failed.as_slice(), missing.as_slice(), published.len()) {
        ([], [], 1) => "by 1 check".to_owned(),
        ([], [], count) => format!("by {count} checks"),
        ([], missing, _) => format!("{} yet to speak", missing.join(", ")),
        (failed, _, _) => format!("by {}", failed.join(", ")),
    }
}

impl ReportJob {
    pub(super) fn of(report: &Report, materials: &Materials<'_>) -> Result<ReportJob, PrepareError> {
        let (dag, task) = (materials.scope.dag, materials.scope.task);
        let to = if report.to.is_empty() { &task.email } else { &report.to };
        if to.is_empty() {
            return Err(PrepareError::NoRecipient);
        }
        let is_wanted = |id: &TaskId| report.checks.is_empty() || report.checks.iter().any(|name| name == id.as_str());
        let (mut checks, mut gates) = (Vec::new(), Vec::new());
        for other in &dag.tasks {
            if let Action::Check(check) = &other.action
                && is_wanted(&other.id)
            {
                checks.push(other.id.clone());
                gates.extend(check.gate.clone());
            }
        }
        gates.sort();
        gates.dedup();
        Ok(ReportJob {
            home: materials.home.to_path_buf(),
            dag_id: dag.id.clone(),
            run_type: materials.scope.run_type,
            run_id: materials.scope.run_id.to_owned(),
            interval: materials.scope.interval,
            timezone: zone_text(&dag.timezone),
            ds: materials.variable("ds"),
            title: report.subject.as_ref().map(|subject| materials.renderer.render(subject)).transpose()?,
            to: to.clone(),
            outbox: Outbox::of(materials.config, host()),
            checks,
            gates,
            tasks: dag.tasks.iter().filter(|other| other.id != task.id).map(|other| other.id.clone()).collect(),
            charts: report.charts,
            history: report.history,
            is_rehearsal: materials.is_rehearsal,
        })
    }

    fn write(&self) -> Result<(), String> {
        let home = Home::at(self.home.clone());
        let mut store = client::open_store(&home).map_err(|error| error.to_string())?;
        let zone = job::zone(self.timezone.as_deref())?;
        let report = self.gather(&store, &zone).map_err(|error| error.to_string())?;
        println!("{}", report_text(&report, &Place { home: self.home.clone(), host: host() }));
        if self.is_rehearsal {
            println!("nothing is sent");
            return Ok(());
        }
        let notice = Notice::new(self.to.clone(), NoticeEvent::Report(Box::new(report)));
        let mut put = || -> Result<(), StoreError> {
            let write = store.write()?;
            self.outbox.put(&write, self.dag_id.as_str(), &notice, Timestamp::now())?;
            write.commit()
        };
        put().map_err(|error| error.to_string())?;
        client::notify(&home);
        if self.outbox.has_channel() {
            println!("the mail to {} is on its way", self.to.join(", "));
        } else {
            println!("the mail to {} is recorded and goes nowhere: crondag.toml has no [email]", self.to.join(", "));
        }
        Ok(())
    }

    fn gather(&self, store: &Store, zone: &TimeZone) -> Result<facts::Report, StoreError> {
        let local = |at: Timestamp| iso(&at.to_zoned(zone.clone()));
        let interval = (local(self.interval.start), local(self.interval.end));
        let mut gates = Vec::new();
        for gate in &self.gates {
            gates.push(match store.gate(gate, &self.ds)? {
                None => (gate.clone(), Verdict::Fail, "no check has spoken yet".to_owned()),
                Some(found) => {
                    let words = match &found.decision {
                        Some(decision) if decision.verdict.is_some() => {
                            format!("decided by {}: {}", decision.by, decision.reason)
                        }
                        _ => said_by(&found.published),
                    };
                    (gate.clone(), found.verdict(), words)
                }
            });
        }
        let mut checks = Vec::new();
        for check in &self.checks {
            checks.push(self.check(store, check)?);
        }
        Ok(facts::Report {
            dag_id: self.dag_id.to_string(),
            selector: render::run_selector(self.run_type, &self.run_id, &self.ds, &interval).to_owned(),
            ds: self.ds.clone(),
            title: self.title.clone(),
            checks,
            gates,
            tasks: self.task_lines(store)?,
            charts: self.charts as usize,
        })
    }

    fn check(&self, store: &Store, task: &TaskId) -> Result<CheckReport, StoreError> {
        let filter = CheckFilter::up_to(task, self.interval.start, self.history);
        let mut dates = store.checks(&self.dag_id, &filter)?;
        dates.reverse();
        let today = dates.last().filter(|check| check.logical_date == self.interval.start).cloned();
        let mut history: BTreeMap<check::Name, Vec<Point>> = BTreeMap::new();
        for date in &dates {
            for value in store.check_values(&self.dag_id, task, date.logical_date)? {
                if let Some(number) = value.value {
                    let point = Point { value: number, is_bad: value.verdict != Verdict::Ok };
                    history.entry((value.key, value.metric)).or_default().push(point);
                }
            }
        }
        let Some(today) = today else {
            let nothing =
                CheckReport { task_id: task.to_string(), verdict: None, findings: Vec::new(), values: Vec::new() };
            return Ok(nothing);
        };
        let values = store
            .check_values(&self.dag_id, task, today.logical_date)?
            .into_iter()
            .map(|value| ValueReport {
                history: history.get(&(value.key.clone(), value.metric.clone())).cloned().unwrap_or_default(),
                key: value.key,
                metric: value.metric,
                value: value.value,
                baseline: value.baseline,
                verdict: value.verdict,
                reason: value.reason,
            })
            .collect();
        Ok(CheckReport { task_id: task.to_string(), verdict: Some(today.verdict), findings: today.findings, values })
    }

    fn task_lines(&self, store: &Store) -> Result<Vec<TaskLine>, StoreError> {
        let Some(run) = store.run_by_id(&self.dag_id, &self.run_id)? else { return Ok(Vec::new()) };
        let now = store.task_instances(run.number)?;
        let filter =
            RunFilter { dag_id: Some(self.dag_id.clone()), limit: Some(EARLIER_RUNS + 1), ..RunFilter::default() };
        let mut earlier = Vec::new();
        for other in store.runs(&filter)? {
            if other.number != run.number {
                let tasks = store.task_instances(other.number)?;
                earlier.push((other, tasks));
            }
        }
        let line = |task: &TaskId| {
            let instance = now.iter().find(|instance| instance.task_id == *task)?;
            let before: Vec<(&RunRow, &TaskInstance)> = earlier
                .iter()
                .filter_map(|(run, tasks)| {
                    let is_it =
                        |other: &&TaskInstance| other.task_id == *task && other.state == crate::dag::TaskState::Success;
                    Some((run, tasks.iter().find(is_it)?))
                })
                .collect();
            let usual_seconds = median(before.iter().filter_map(|(_, task)| seconds(task)).collect());
            let usual_delay = median(before.iter().filter_map(|(run, task)| delay(run, task)).collect());
            let late_seconds = match (delay(&run, instance), usual_delay) {
                (Some(delay), Some(usual)) if delay > usual + LATE_BY && delay > usual * LATE_TIMES => {
                    Some(delay - usual)
                }
                _ => None,
            };
            Some(TaskLine {
                task_id: task.to_string(),
                state: instance.state,
                reason: instance.reason.clone(),
                seconds: seconds(instance),
                usual_seconds,
                late_seconds,
            })
        };
        Ok(self.tasks.iter().filter_map(line).collect())
    }
}

fn seconds(task: &TaskInstance) -> Option<f64> {
    Some(task.end_date?.duration_since(task.start_date?).as_secs_f64())
}

/// How long after the fire time a task ended; what a backfill did years later says nothing.
fn delay(run: &RunRow, task: &TaskInstance) -> Option<f64> {
    (run.run_type == RunType::Scheduled)
        .then(|| Some(task.end_date?.duration_since(run.data_interval_end).as_secs_f64()))
        .flatten()
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

impl Job for ReportJob {
    const PROGRAM: InnerProgram = InnerProgram::Report;

    fn describe(&self) -> String {
        let checks: Vec<&str> = self.checks.iter().map(TaskId::as_str).collect();
        format!("report to {}: {}", self.to.join(", "), checks.join(", "))
    }

    fn run(&self) -> ExitCode {
        match self.write() {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => {
                eprintln!("error: {reason}");
                ExitCode::FAILURE
            }
        }
    }
}
