//! Alerts into the outbox, and from there to people, again and again until they are delivered.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Driver, Item, Message, report};
use crate::alert::{self, DeliveryError, Incident, IncidentKind, Mail, TaskIncident};
use crate::dag::template::iso;
use crate::dag::{Task, TaskState};
use crate::runner::engine::{Alert, AlertKind, TaskReport};
use crate::runner::environment;
use crate::runner::shim::host;

/// How many lines of a log a mail shows.
const TAIL_LINES: usize = 50;
/// How much of a log is read for them.
const TAIL_BYTES: u64 = 64 << 10;
/// Mail that could not be delivered for so long is given up.
const GIVE_UP_AFTER: SignedDuration = SignedDuration::from_hours(72);

impl Driver {
    /// The mail for an alert, if anybody wants it.
    pub(super) fn mail(&mut self, alert: &Alert) -> Option<Item> {
        self.config.email.as_ref()?;
        let dag = &alert.plan.dag;
        let run = self.runs.get(&alert.run)?;
        let zone = &dag.timezone;
        let (to, kind) = match &alert.kind {
            AlertKind::TaskFailed(report) => {
                let task = &dag.tasks[report.task];
                if !task.email_on_failure {
                    return None;
                }
                (task.email.clone(), IncidentKind::TaskFailed(self.task_incident(alert, task, report)))
            }
            AlertKind::TaskRetry(report, next) => {
                let task = &dag.tasks[report.task];
                if !task.email_on_retry {
                    return None;
                }
                let next = iso(&next.to_zoned(zone.clone()));
                (task.email.clone(), IncidentKind::TaskRetry(self.task_incident(alert, task, report), next))
            }
            AlertKind::TaskSucceeded(report) => {
                let task = &dag.tasks[report.task];
                if !task.email_on_success {
                    return None;
                }
                (task.email.clone(), IncidentKind::TaskSucceeded(self.task_incident(alert, task, report)))
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
        let date = run.logical_date.to_zoned(zone.clone());
        let incident = Incident {
            kind,
            dag_id: dag.id.to_string(),
            run_id: run.run_id.clone(),
            ds: date.date().to_string(),
            data_interval: (iso(&date), iso(&run.data_interval_end.to_zoned(zone.clone()))),
            to,
            host: host(),
            home: self.home.root().to_path_buf(),
        };
        let mail = alert::compose(&incident);
        self.mails += 1;
        let stamp = Timestamp::now().as_microsecond();
        Some(Item::Mail {
            dag_id: dag.id.to_string(),
            mail: serde_json::to_string(&mail).ok()?,
            message_id: format!("{stamp}.{}.{}@{}", alert.run.0, self.mails, host()),
        })
    }

    fn task_incident(&self, alert: &Alert, task: &Task, found: &TaskReport) -> TaskIncident {
        let dag = &alert.plan.dag;
        let now = Timestamp::now();
        let (started, ended, log_file) =
            self.ended.get(&(alert.run, task.id.clone())).cloned().unwrap_or((now, now, String::new()));
        TaskIncident {
            task_id: task.id.to_string(),
            try_number: found.try_number,
            max_tries: found.max_tries,
            reason: found.reason.clone(),
            started: iso(&started.to_zoned(dag.timezone.clone())),
            duration: Duration::try_from(ended.duration_since(started)).unwrap_or_default(),
            log_tail: tail(&self.home.root().join(&log_file)),
            log_file,
            blocks: dag.graph.descendants(found.task).into_iter().map(|next| dag.tasks[next].id.to_string()).collect(),
        }
    }

    /// Delivers what is due, in a thread: a mail server may take its time.
    pub(super) fn send_mail(&mut self) {
        let now = Timestamp::now();
        if self.is_mailing || self.next_mail_at.is_none_or(|at| at > now) {
            return;
        }
        let due = match self.store.due_mail(now) {
            Ok(due) => due,
            Err(error) => {
                report(&format!("cannot read the outbox: {error}"));
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
        let (home, config, sender) = (self.home.clone(), self.config.clone(), self.sender.clone());
        Driver::in_background("mailer", move || {
            let variable = |name: &str| environment::lookup(home.root(), &config, name);
            for waiting in due {
                let result = match serde_json::from_str::<Mail>(&waiting.mail) {
                    Ok(mail) => alert::deliver(&mail, &waiting.message_id, &settings, home.root(), &variable),
                    Err(error) => Err(DeliveryError {
                        permanent: true,
                        message: format!("the stored mail is unreadable: {error}"),
                    }),
                };
                // A driver that is gone has not recorded it: the next one tries again, under the same Message-ID.
                if sender.send(Message::Mail(waiting.id, waiting.tries, waiting.created_at, result)).is_err() {
                    return;
                }
            }
            let _ = sender.send(Message::MailerDone);
        });
    }

    /// Records how a delivery went.
    pub(super) fn mail_tried(
        &mut self,
        id: i64,
        tries: u32,
        created_at: Timestamp,
        result: &Result<(), DeliveryError>,
    ) {
        let now = Timestamp::now();
        let recorded = self.store.write().and_then(|write| {
            match result {
                Ok(()) => write.mail_sent(id, now)?,
                Err(error) => {
                    report(&format!("mail {id}: {error}"));
                    let is_late = now.duration_since(created_at) > GIVE_UP_AFTER;
                    let pause = SignedDuration::from_secs((10_i64 << tries.min(9)).min(3_600));
                    let next = (!error.permanent && !is_late).then(|| now.checked_add(pause).unwrap_or(now));
                    write.mail_failed(id, &error.message, next)?;
                }
            }
            write.commit()
        });
        if let Err(error) = recorded {
            report(&format!("cannot record the delivery of mail {id}, it may be sent again: {error}"));
        }
    }

    pub(super) fn mailer_done(&mut self) {
        self.is_mailing = false;
        self.next_mail_at = match self.store.next_mail_at() {
            Ok(next) => next,
            Err(error) => {
                report(&format!("cannot read the outbox: {error}"));
                Timestamp::now().checked_add(SignedDuration::from_secs(10)).ok()
            }
        };
    }
}

/// The last lines that the task itself printed.
fn tail(path: &Path) -> Vec<String> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("[crondag]")).collect();
    let lines = lines.iter().rposition(|line| !line.trim().is_empty()).map_or(&[][..], |last| &lines[..=last]);
    let lines = lines.iter().position(|line| !line.trim().is_empty()).map_or(&[][..], |first| &lines[first..]);
    lines[lines.len().saturating_sub(TAIL_LINES)..].iter().map(|line| (*line).to_owned()).collect()
}
