//! Why a task failed: the probable causes, the evidence for them, what to do.

use serde::Serialize;

use super::logs::attempt_of;
use super::tasks::task_of_run;
use crate::app::times::Moment;
use crate::app::{App, AppError, select};
use crate::dag::{DagId, TaskId, TaskState};
use crate::diagnose::{Confidence, Diagnosis, Finding, Subject};
use crate::runner::attempt::Ending;
use crate::runner::catalog::FaultyFile;
use crate::runner::evidence::{self, Failed};
use crate::store::{RunRow, Store, TaskInstance};

/// What is known of a failed attempt.
#[derive(Debug)]
pub struct DiagnosisAnswer {
    pub dag_id: DagId,
    pub run_id: String,
    /// The start of its data interval.
    pub logical_date: Moment,
    pub task_id: TaskId,
    pub try_number: u32,
    /// What is found.
    pub diagnosis: Diagnosis,
    /// What is wrong with diagnosis.toml, if anything: the causes that are good are used all the same.
    pub catalogue: Option<FaultyFile>,
}

/// One cause, as programs read it; an unknown cause has neither id nor class.
#[derive(Debug, Serialize)]
pub struct CauseAnswer<'a> {
    dag_id: &'a DagId,
    run_id: &'a str,
    task_id: &'a TaskId,
    try_number: u32,
    confidence: &'static str,
    id: Option<&'a str>,
    class: Option<&'static str>,
    cause: String,
    evidence: &'a [String],
    advice: Option<&'a str>,
    next: &'a str,
    gaps: &'a [String],
}

impl DiagnosisAnswer {
    /// The causes, the most probable first; one unknown cause where none was found.
    pub fn causes(&self) -> Vec<CauseAnswer<'_>> {
        let found = &self.diagnosis.findings;
        if found.is_empty() {
            vec![self.cause(None)]
        } else {
            found.iter().map(|cause| self.cause(Some(cause))).collect()
        }
    }

    fn cause<'a>(&'a self, finding: Option<&'a Finding>) -> CauseAnswer<'a> {
        let diagnosis = &self.diagnosis;
        CauseAnswer {
            dag_id: &self.dag_id,
            run_id: &self.run_id,
            task_id: &self.task_id,
            try_number: self.try_number,
            confidence: finding.map_or(Confidence::Unknown, |finding| finding.confidence).as_str(),
            id: finding.map(|finding| finding.id.as_str()),
            class: finding.map(|finding| finding.class.as_str()),
            cause: finding.map_or_else(|| diagnosis.headline(), |finding| finding.name.clone()),
            evidence: finding.map_or(&diagnosis.error_lines, |finding| &finding.evidence),
            advice: finding.map(|finding| finding.advice.as_str()),
            next: finding.map_or(&diagnosis.command, |finding| &finding.command),
            gaps: &diagnosis.gaps,
        }
    }
}

/// Diagnoses an attempt of a task: the newest one, unless another is named.
///
/// # Errors
/// There is no such run, task or attempt, it still runs, or it did not fail.
pub fn diagnose(
    app: &App,
    dag_id: &DagId,
    task: &str,
    run: Option<&str>,
    try_number: Option<u32>,
) -> Result<DiagnosisAnswer, AppError> {
    let store = app.store()?;
    // Several runs of one day: the newest.
    let found = select::runs(app, store.as_ref(), dag_id, run)?.pop();
    let (Some(run), Some(store)) = (found, &store) else { return Err(select::no_runs_yet(dag_id)) };
    let task = task_of_run(app, store, &run, task)?;
    let mut tasks = store.task_instances(run.number)?;
    let dag = app.dag_of_run(store, &run)?;
    let answer = |task_id: TaskId, try_number: u32, diagnosis: Diagnosis| DiagnosisAnswer {
        dag_id: run.dag_id.clone(),
        run_id: run.run_id.clone(),
        logical_date: Moment::new(run.logical_date, &app.zone_of(dag_id)),
        task_id,
        try_number,
        diagnosis,
        catalogue: None,
    };
    if try_number.is_none()
        && let Some(instance) = tasks.iter().find(|other| other.task_id == task)
        && let Some(diagnosis) = vain_wait(store, &run, instance)?
    {
        return Ok(answer(task, instance.try_number, diagnosis));
    }
    let attempt = attempt_of(store, &run, &task, try_number)?;
    let Some(ending) = &attempt.ending else {
        return Err(AppError::usage(
            format!("try {} of {task} still runs in {}", attempt.try_number, run.run_id),
            format!("crondag logs {dag_id} {task} {} -f", run.run_id),
        ));
    };
    let is_newest = tasks.iter().any(|other| other.task_id == task && other.try_number == attempt.try_number);
    let succeeded = tasks
        .iter()
        .any(|other| other.task_id == task && matches!(other.state, TaskState::Success | TaskState::Skipped));
    if is_newest && succeeded {
        return Err(AppError::usage(
            format!("{task} did not fail in {}", run.run_id),
            format!("crondag tasks {dag_id} {}", run.run_id),
        ));
    }
    let Some((dag, index)) = dag.and_then(|dag| dag.task_index(task.as_str()).map(|index| (dag, index))) else {
        return Err(AppError::usage(
            format!("the DAG file of {} can no longer be read", run.run_id),
            format!("crondag logs {dag_id} {task} {}", run.run_id),
        ));
    };
    let (catalogue, faulty) = evidence::catalogue(&app.home);
    // What came after an earlier try says nothing of it.
    let until = if is_newest { None } else { attempt.ended_at };
    if let Some(until) = until {
        evidence::as_of(until, &mut tasks, &store.attempts_of_run(run.number)?);
    }
    let failed = Failed {
        home: &app.home,
        config: &app.config,
        dag: &dag,
        task: index,
        run: run.run_id.clone(),
        logical_date: run.logical_date,
        ending: Ending::read(ending),
        started: Some(attempt.started_at),
        log_file: &attempt.log_file,
        printed: attempt.printed,
        tasks: &tasks,
        until,
    };
    let diagnosis = catalogue.diagnose(&evidence::gather(&failed, &catalogue));
    Ok(DiagnosisAnswer { catalogue: faulty, ..answer(task, attempt.try_number, diagnosis) })
}

/// A wait that gave up: its reason tells all, and most waits have no log.
fn vain_wait(store: &Store, run: &RunRow, instance: &TaskInstance) -> Result<Option<Diagnosis>, AppError> {
    let failed_for = instance.reason.as_deref().filter(|_| instance.state == TaskState::Failed);
    let Some(reason) = failed_for else { return Ok(None) };
    let Some(what) = store.ending(run.number, &instance.task_id)?.and_then(|ending| ending.awaited) else {
        return Ok(None);
    };
    let subject = Subject {
        dag: run.dag_id.to_string(),
        task: instance.task_id.to_string(),
        run: run.run_id.clone(),
        ..Subject::default()
    };
    Ok(Some(Diagnosis::of_vain_wait(&subject, &what, reason)))
}
