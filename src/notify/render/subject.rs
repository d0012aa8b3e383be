//! What happened in a line, and how it names the run.

use super::evidence::Evidence;
use crate::dag::RunType;
use crate::notify::notice::{NoticeEvent, RunFacts, Standing, TaskFacts};
use crate::store::Trouble;

/// What happened in a line: the subject without its lead.
pub(super) fn summary(event: &NoticeEvent, evidence: &Evidence) -> String {
    let of =
        |run: &RunFacts, task: &TaskFacts| format!("({}, try {} of {})", run.date(), task.try_number, task.max_tries);
    match event {
        NoticeEvent::TaskFailed { run, task, standing, .. } => {
            format!("{} {} {} {}", run.dag_id, task.task_id, standing.failed(), of(run, task))
        }
        NoticeEvent::TaskRetry { run, task, .. } => {
            format!("{} {} failed, will retry {}", run.dag_id, task.task_id, of(run, task))
        }
        NoticeEvent::TaskSucceeded { run, task } => {
            format!("{} {} succeeded {}", run.dag_id, task.task_id, of(run, task))
        }
        NoticeEvent::RunFailed { run, failed, standing, .. } => {
            format!(
                "{} run {} ({}, {} failed)",
                run.dag_id,
                standing.failed(),
                run.date(),
                counted(failed.len(), "task")
            )
        }
        NoticeEvent::Recovered { dag_id, run_id, standing } => {
            let failures = counted(standing.failures as usize, "failure");
            format!("{dag_id} recovered after {failures} ({})", date_in(run_id))
        }
        NoticeEvent::CheckWarned { dag_id, task_id, ds, .. } => format!("{dag_id} {task_id} warns (ds {ds})"),
        NoticeEvent::Trouble { trouble } => match trouble {
            Trouble::FaultyFile { dag_id, .. } => format!("{dag_id}.toml is faulty"),
            Trouble::FaultyConfig { .. } => "crondag.toml is faulty".to_owned(),
            Trouble::CutLog { dag_id, task_id, .. } => format!("{dag_id} {task_id} prints more than its log may hold"),
            Trouble::LogDisk { .. } => "the disk does not take the logs".to_owned(),
        },
        NoticeEvent::TroubleOver { trouble, .. } => match trouble {
            Trouble::FaultyFile { dag_id, .. } => format!("{dag_id}.toml is good again"),
            Trouble::FaultyConfig { .. } => "crondag.toml is good again".to_owned(),
            Trouble::CutLog { dag_id, task_id, .. } => format!("{dag_id} {task_id} has a whole log again"),
            Trouble::LogDisk { .. } => "the disk takes the logs again".to_owned(),
        },
        NoticeEvent::Report(report) => format!("{} report ({})", report.dag_id, report.ds),
        NoticeEvent::Digest { .. } => {
            format!("{} held back", counted(evidence.held_back.len(), "notice"))
        }
        NoticeEvent::Rendered { mail } => mail.subject.clone(),
    }
}

pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The date and time that a run's id tells, else the id.
fn date_in(run_id: &str) -> String {
    let date =
        run_id.split_once("__").and_then(|(_, date)| Some((date.get(..10)?, date.get(10..11)?, date.get(11..16)?)));
    match date {
        Some((day, "T", time)) => format!("ds {day} {time}"),
        _ => run_id.to_owned(),
    }
}

impl Standing {
    pub(super) fn failed(&self) -> &'static str {
        if self.since.is_some() { "still fails" } else { "failed" }
    }

    pub(super) fn in_words(&self) -> Option<String> {
        let since = self.since?;
        let runs = counted(self.failed_runs as usize, "run");
        Some(format!("{} in {runs} since {since:.0}", counted(self.failures as usize, "failure")))
    }
}

impl RunFacts {
    /// What names the run in a subject: its date, with the time where the DAG runs more than daily.
    pub(super) fn date(&self) -> String {
        let time = self.data_interval.0.get(11..19).filter(|_| self.selector() != self.ds);
        match time {
            Some(time) => format!("ds {} {}", self.ds, time.strip_suffix(":00").unwrap_or(time)),
            None => format!("ds {}", self.ds),
        }
    }

    pub(super) fn selector(&self) -> &str {
        run_selector(self.run_type, &self.run_id, &self.ds, &self.data_interval)
    }
}

/// What names the run in a command: its date where the schedule fires at most once a day, else its id, which names it
/// exactly (by the date alone, `logs` would show the day's newest run and `clear` would have to ask which).
pub fn run_selector<'a>(run_type: RunType, run_id: &'a str, ds: &'a str, (start, end): &(String, String)) -> &'a str {
    // A cron schedule has the same fire times on all its days: an interval that begins and ends at the same time of two
    // days has no other beside it.
    let is_only_one_of_day = start.get(..10) != end.get(..10) && start.get(11..19) == end.get(11..19);
    if is_only_one_of_day && run_type != RunType::Manual { ds } else { run_id }
}
