//! Alerts into the outbox, and from there to people, again and again until they are delivered.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::line::{Happening, Level, Line};
use super::{Driver, EndedAttempt, Host, Item};
use crate::dag::template::iso;
use crate::dag::{Task, TaskState};
use crate::diagnose::Diagnosis;
use crate::notify::DeliveryError;
use crate::notify::render::{self, Incident, IncidentKind, TaskIncident};
use crate::runner::attempt::environment::host;
use crate::runner::engine::{Alert, AlertKind, TaskReport};
use crate::runner::evidence::Failed;

/// Mail that could not be delivered for so long is given up.
const GIVE_UP_AFTER: SignedDuration = SignedDuration::from_hours(72);

impl<H: Host> Driver<H> {
    /// The mail for an alert, if anybody wants it.
    pub(super) fn mail(&mut self, alert: &Alert) -> Option<Item> {
        self.config.email.as_ref()?;
        let dag = &alert.plan.dag;
        let run = self.runs.get(&alert.run)?;
        let zone = &dag.timezone;
        let date = run.logical_date.to_zoned(zone.clone());
        let ds = date.date().to_string();
        let data_interval = (iso(&date), iso(&run.data_interval_end.to_zoned(zone.clone())));
        let selector = render::run_selector(&run.run_id, &ds, &data_interval);
        let (to, kind) = match &alert.kind {
            AlertKind::TaskFailed(report) => {
                let task = &dag.tasks[report.task];
                if !task.email_on_failure {
                    return None;
                }
                (task.email.clone(), IncidentKind::TaskFailed(self.task_incident(alert, task, report, Some(selector))))
            }
            AlertKind::TaskRetry(report, next) => {
                let task = &dag.tasks[report.task];
                if !task.email_on_retry {
                    return None;
                }
                let next = iso(&next.to_zoned(zone.clone()));
                (
                    task.email.clone(),
                    IncidentKind::TaskRetry(self.task_incident(alert, task, report, Some(selector)), next),
                )
            }
            AlertKind::TaskSucceeded(report) => {
                let task = &dag.tasks[report.task];
                if !task.email_on_success {
                    return None;
                }
                (task.email.clone(), IncidentKind::TaskSucceeded(self.task_incident(alert, task, report, None)))
            }
            AlertKind::RunFailed { reason, tasks } => {
                let mut to: Vec<String> = tasks
                    .iter()
                    .map(|(report, _)| &dag.tasks[report.task])
                    .filter(|task| task.email_on_failure)
                    .flat_map(|task| task.email.clone())
                    .collect();
                to.sort();
                to.dedup();
                let name = |report: &TaskReport| dag.tasks[report.task].id.to_string();
                let is_failed = |state: TaskState| state == TaskState::Failed;
                let failed = tasks
                    .iter()
                    .filter(|(_, state)| is_failed(*state))
                    .map(|(report, _)| (name(report), report.reason.clone()))
                    .collect();
                let blocked =
                    tasks.iter().filter(|(_, state)| !is_failed(*state)).map(|(report, _)| name(report)).collect();
                (to, IncidentKind::RunFailed { reason: reason.clone(), failed, blocked })
            }
        };
        if to.is_empty() {
            return None;
        }
        let incident = Incident {
            kind,
            dag_id: dag.id.to_string(),
            run_id: run.run_id.clone(),
            ds,
            data_interval,
            to,
            host: host(),
            home: self.home.root().to_path_buf(),
        };
        let mail = render::compose(&incident);
        self.mails += 1;
        let stamp = self.host.now().as_microsecond();
        Some(Item::Mail {
            dag_id: dag.id.to_string(),
            mail: serde_json::to_string(&mail).ok()?,
            message_id: format!("{stamp}.{}.{}@{}", alert.run.0, self.mails, host()),
        })
    }

    /// What is told of a task; `failed_run` names the run of a task that failed, which is diagnosed.
    fn task_incident(&self, alert: &Alert, task: &Task, found: &TaskReport, failed_run: Option<&str>) -> TaskIncident {
        let dag = &alert.plan.dag;
        let attempt = self.ended.get(&(alert.run, task.id.clone()));
        let now = self.host.now();
        let (started, ended) = attempt.map_or((now, now), |attempt| (attempt.started_at, attempt.ended_at));
        let log_file = attempt.map(|attempt| attempt.log_file.clone()).unwrap_or_default();
        let diagnosis = failed_run.and_then(|run| self.diagnosis(alert, found.task, run, attempt?));
        TaskIncident {
            task_id: task.id.to_string(),
            try_number: found.try_number,
            max_tries: found.max_tries,
            reason: found.reason.clone(),
            started: iso(&started.to_zoned(dag.timezone.clone())),
            duration: Duration::try_from(ended.duration_since(started)).unwrap_or_default(),
            log_tail: self.host.log_tail(&log_file),
            diagnosis,
            log_file,
            blocks: dag.graph.descendants(found.task).into_iter().map(|next| dag.tasks[next].id.to_string()).collect(),
        }
    }

    fn diagnosis(&self, alert: &Alert, task: usize, run: &str, attempt: &EndedAttempt) -> Option<Diagnosis> {
        let tasks = self.store.task_instances(alert.run).unwrap_or_else(|error| {
            self.host.report(&Line::trouble("cannot read the upstreams for a diagnosis", error));
            Vec::new()
        });
        self.host.diagnose(&Failed {
            home: &self.home,
            dag: &alert.plan.dag,
            task,
            run: run.to_owned(),
            logical_date: self.runs.get(&alert.run)?.logical_date,
            ending: Some(attempt.ending.clone()),
            started: Some(attempt.started_at),
            log_file: &attempt.log_file,
            tasks: &tasks,
            until: None,
        })
    }

    /// Delivers what is due, in a thread: a mail server may take its time.
    pub(super) fn send_mail(&mut self) {
        let now = self.host.now();
        if self.is_mailing || self.next_mail_at.is_none_or(|at| at > now) {
            return;
        }
        let due = match self.store.due_mail(now) {
            Ok(due) => due,
            Err(error) => {
                self.host.report(&Line::trouble("cannot read the outbox", error));
                self.next_mail_at = now.checked_add(SignedDuration::from_secs(10)).ok();
                return;
            }
        };
        let Some(settings) = self.config.email.clone() else {
            // [email] was taken out of crondag.toml; the mail stays for when it comes back.
            self.next_mail_at = None;
            return;
        };
        if due.is_empty() {
            self.mailer_done();
            return;
        }
        self.is_mailing = true;
        self.host.deliver(due, &settings, &self.config);
    }

    /// Records how a delivery went.
    pub(super) fn mail_tried(
        &mut self,
        id: i64,
        tries: u32,
        created_at: Timestamp,
        result: &Result<(), DeliveryError>,
    ) {
        let now = self.host.now();
        let recorded = self.store.write().and_then(|write| {
            match result {
                Ok(()) => {
                    self.host.report(&Line::new(Happening::MailSent).with("mail", id));
                    write.mail_sent(id, now)?;
                }
                Err(error) => {
                    let is_late = now.duration_since(created_at) > GIVE_UP_AFTER;
                    let pause = SignedDuration::from_secs((10_i64 << tries.min(9)).min(3_600));
                    let next = (!error.permanent && !is_late).then(|| now.checked_add(pause).unwrap_or(now));
                    let line = Line::new(Happening::MailFailed).with("mail", id).with("error", error);
                    self.host.report(&match next {
                        Some(next) => line.with("next", next),
                        None => line.at(Level::Error).with("given_up", true),
                    });
                    write.mail_failed(id, &error.message, next)?;
                }
            }
            write.commit()
        });
        if let Err(error) = recorded {
            let what = "cannot record the delivery of a mail, it may be sent again";
            self.host.report(&Line::trouble(what, error).with("mail", id));
        }
    }

    pub(super) fn mailer_done(&mut self) {
        self.is_mailing = false;
        self.next_mail_at = match self.store.next_mail_at() {
            Ok(next) => next,
            Err(error) => {
                self.host.report(&Line::trouble("cannot read the outbox", error));
                self.host.now().checked_add(SignedDuration::from_secs(10)).ok()
            }
        };
    }
}
