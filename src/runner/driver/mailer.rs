//! From alerts to notices, and from the outbox to people, again and again until they are delivered.

use jiff::{SignedDuration, Timestamp};

use super::{Driver, Host, Item};
use crate::dag::repair::after_failure_of;
use crate::dag::template::iso;
use crate::dag::{Task, TaskState};
use crate::notify::{Channel, DeliveryError, Notice, NoticeEvent, RunFacts, Standing, TaskFacts};
use crate::runner::driver_log::line::{Happening, Level, Line};
use crate::runner::engine::{Alert, AlertKind, TaskReport};

/// How long mail waits at most for its next try, or for the hour in which a home may send more.
pub(super) const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(1);
/// Mail that could not be delivered for so long is given up.
const GIVE_UP_AFTER: SignedDuration = SignedDuration::from_hours(72);

impl<H: Host> Driver<H> {
    /// The notice of an alert, if anybody wants it. Why a task failed is found out when it is delivered.
    pub(super) fn notice(&self, alert: &Alert) -> Option<Item> {
        let dag = &alert.plan.dag;
        let wants = |task: &Task, is_wanted: bool| is_wanted && !task.email.is_empty();
        let (to, event) = match &alert.kind {
            AlertKind::TaskFailed(report) => {
                let task = &dag.tasks[report.task];
                if !wants(task, task.email_on_failure) {
                    return None;
                }
                let (run, task_facts) = (self.run_facts(alert)?, self.task_facts(alert, task, report));
                let (blocked, running) = after_failure_of(dag, report.task);
                let (blocks, runs_on, standing) = (ids(blocked), ids(running), Standing::default());
                (task.email.clone(), NoticeEvent::TaskFailed { run, task: task_facts, blocks, runs_on, standing })
            }
            AlertKind::TaskRetry(report, next) => {
                let task = &dag.tasks[report.task];
                if !wants(task, task.email_on_retry) {
                    return None;
                }
                let (run, task_facts) = (self.run_facts(alert)?, self.task_facts(alert, task, report));
                let next_try_at = iso(&next.to_zoned(dag.timezone.clone()));
                let waiting = dag.graph.descendants(report.task);
                let blocks = ids(waiting.into_iter().map(|next| &dag.tasks[next].id));
                (task.email.clone(), NoticeEvent::TaskRetry { run, task: task_facts, blocks, next_try_at })
            }
            AlertKind::TaskSucceeded(report) => {
                let task = &dag.tasks[report.task];
                if !wants(task, task.email_on_success) {
                    return None;
                }
                let (run, task_facts) = (self.run_facts(alert)?, self.task_facts(alert, task, report));
                (task.email.clone(), NoticeEvent::TaskSucceeded { run, task: task_facts })
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
                if to.is_empty() {
                    return None;
                }
                let name = |report: &TaskReport| dag.tasks[report.task].id.to_string();
                let is_failed = |state: TaskState| state == TaskState::Failed;
                let failed = tasks
                    .iter()
                    .filter(|(_, state)| is_failed(*state))
                    .map(|(report, _)| (name(report), report.reason.clone()))
                    .collect();
                let blocked =
                    tasks.iter().filter(|(_, state)| !is_failed(*state)).map(|(report, _)| name(report)).collect();
                let (run, reason, standing) = (self.run_facts(alert)?, reason.clone(), Standing::default());
                (to, NoticeEvent::RunFailed { run, reason, failed, blocked, standing })
            }
        };
        Some(Item::Notice { dag_id: dag.id.clone(), notice: Box::new(Notice::new(to, event)) })
    }

    fn run_facts(&self, alert: &Alert) -> Option<RunFacts> {
        let run = self.runs.get(&alert.run)?;
        let zone = &alert.plan.dag.timezone;
        let date = run.logical_date.to_zoned(zone.clone());
        Some(RunFacts {
            number: alert.run,
            dag_id: run.dag_id.to_string(),
            run_type: run.run_type,
            run_id: run.run_id.clone(),
            ds: date.date().to_string(),
            data_interval: (iso(&date), iso(&run.data_interval_end.to_zoned(zone.clone()))),
        })
    }

    fn task_facts(&self, alert: &Alert, task: &Task, report: &TaskReport) -> TaskFacts {
        let attempt = self.ended.get(&(alert.run, task.id.clone()));
        let now = self.host.now();
        let (started, ended) = attempt.map_or((now, now), |attempt| (attempt.started_at, attempt.ended_at));
        TaskFacts {
            task_id: task.id.to_string(),
            try_number: report.try_number,
            max_tries: report.max_tries,
            reason: report.reason.clone(),
            started: iso(&started.to_zoned(alert.plan.dag.timezone.clone())),
            milliseconds: u64::try_from(ended.duration_since(started).as_millis()).unwrap_or_default(),
            log_file: attempt.map(|attempt| attempt.log_file.clone()).unwrap_or_default(),
            printed: attempt.and_then(|attempt| attempt.printed),
        }
    }

    /// Delivers what is due, in a thread: a mail server may take its time.
    pub(super) fn send_mail(&mut self) {
        let now = self.host.now();
        if self.is_mailing || self.next_mail_at.is_none() {
            return;
        }
        if Channel::ALL.iter().any(|channel| channel.settings(&self.config).is_none()) {
            self.give_up_mail();
        }
        if self.next_mail_at.is_none_or(|at| at > now) {
            return;
        }
        let due = match self.store.due_notices(now) {
            Ok(due) => due,
            Err(error) => {
                self.host.report(&Line::trouble("cannot read the outbox", error));
                self.next_mail_at = now.checked_add(SignedDuration::from_secs(10)).ok();
                return;
            }
        };
        if due.is_empty() {
            self.mailer_done();
            return;
        }
        self.is_mailing = true;
        self.host.deliver(due, &self.config);
    }

    /// A channel was taken out of crondag.toml: what waits for it has nobody who could deliver it, as what comes from now on.
    fn give_up_mail(&mut self) {
        let missing: Vec<Channel> =
            Channel::ALL.into_iter().filter(|channel| channel.settings(&self.config).is_none()).collect();
        let given_up = self.store.write().and_then(|write| {
            let mut counts = Vec::new();
            for channel in &missing {
                counts.push((channel.is_missing(), write.give_up_notices(channel.as_str(), channel.is_missing())?));
            }
            write.commit()?;
            Ok(counts)
        });
        let given_up = given_up.and_then(|counts| Ok((counts, self.store.next_notice_at()?)));
        self.next_mail_at = match given_up {
            Ok((counts, next)) => {
                for (error, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
                    let line = Line::new(Happening::MailFailed).with("count", count).with("error", error);
                    self.host.report(&line.at(Level::Error).with("given_up", true));
                }
                next
            }
            Err(error) => {
                self.host.report(&Line::trouble("cannot record that mail is given up", error));
                self.host.now().checked_add(SignedDuration::from_secs(10)).ok()
            }
        };
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
                    write.notice_sent(id, now)?;
                }
                Err(error) => {
                    let is_late = now.duration_since(created_at) > GIVE_UP_AFTER;
                    let pause = SignedDuration::from_secs(10_i64 << tries.min(9)).min(LONGEST_PAUSE);
                    let next = (!error.permanent && !is_late).then(|| now.checked_add(pause).unwrap_or(now));
                    let line = Line::new(Happening::MailFailed).with("mail", id).with("error", error);
                    self.host.report(&match next {
                        Some(next) => line.with("next", next),
                        None => line.at(Level::Error).with("given_up", true),
                    });
                    write.notice_failed(id, &error.message, next)?;
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
        self.next_mail_at = match self.store.next_notice_at() {
            Ok(next) => next,
            Err(error) => {
                self.host.report(&Line::trouble("cannot read the outbox", error));
                self.host.now().checked_add(SignedDuration::from_secs(10)).ok()
            }
        };
    }
}

fn ids(tasks: impl IntoIterator<Item = impl ToString>) -> Vec<String> {
    tasks.into_iter().map(|task| task.to_string()).collect()
}
