//! What is to be known of a home, from what is known of it.

use super::answer::{BadLog, Missing, StatusAnswer};
use crate::app::query::finding::{Finding, Subject, Weight, ticking};
use crate::app::{App, NextStep};
use crate::dag::DagId;
use crate::dag::units::format_size;

/// Below this many free bytes, runs are about to fail.
const DISK_LOW: u64 = 1 << 30;

/// All of it, in the order in which it is shown.
pub(super) fn findings(app: &App, answer: &StatusAnswer) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(driver(answer));
    found.extend(ticking(app));
    if let Some(warning) = &answer.timezone_warning {
        let text = format!("{warning}: times are in {}", answer.timezone);
        let next = NextStep::advice("write `timezone = \"...\"` into crondag.toml");
        found.push(Finding::new(Subject::Zone, Weight::Warning, text).next(next));
    }
    found.extend(answer.faulty.iter().map(|faulty| {
        let text = format!("{}: {}", faulty.dag_id, faulty.message);
        Finding::new(Subject::Faulty, Weight::Error, text).next(NextStep::crondag("validate"))
    }));
    if let Some(first) = answer.paused.first() {
        let names: Vec<&str> = answer.paused.iter().map(DagId::as_str).collect();
        let next = NextStep::crondag(format_args!("unpause {first}"));
        found.push(Finding::new(Subject::Paused, Weight::Warning, names.join(", ")).next(next));
    }
    found.extend(answer.notes.iter().map(|note| Finding::new(Subject::Schedule, Weight::Warning, note)));
    found.extend(answer.lags.iter().map(|lag| {
        let text = format!("{} {}", lag.dag_id, lag.in_words(app.now));
        let next = NextStep::crondag(format_args!("explain {}", lag.dag_id));
        Finding::new(Subject::Behind, Weight::Warning, text).next(next)
    }));
    going_on(answer, &mut found);
    found.extend(queued(answer));
    mail(answer, &mut found);
    found.extend(answer.logs.iter().map(|log| bad_log(app, log)));
    if let Some(free) = answer.disk_free_bytes.filter(|free| *free < DISK_LOW) {
        let text = format!("only {} free for {}", format_size(free), app.home.state_dir().display());
        let next = NextStep::advice("free some space, or shorten `keep` under [logs] in crondag.toml");
        found.push(Finding::new(Subject::Disk, Weight::Error, text).next(next));
    }
    ended(answer, &mut found);
    found
}

fn driver(answer: &StatusAnswer) -> Option<Finding> {
    if answer.driver_running {
        let pid = answer.driver_pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
        return Some(Finding::new(Subject::Driver, Weight::Info, format!("running{pid}")));
    }
    let missing = Finding::new(Subject::Driver, Weight::Error, "not running, but there is work for it");
    answer.needs_driver.then(|| missing.next(NextStep::crondag("tick")))
}

fn going_on(answer: &StatusAnswer, found: &mut Vec<Finding>) {
    for running in &answer.running {
        let has_failed = running.failed_tasks + running.upstream_failed_tasks > 0;
        let weight = if has_failed { Weight::Error } else { Weight::Info };
        found.push(Finding::new(Subject::Running, weight, &running.summary));
        if let Some(held_up) = &running.held_up {
            let finding = Finding::new(Subject::Waits, Weight::Warning, held_up.in_words());
            found.push(Finding { next: held_up.next.clone(), ..finding });
        }
    }
    found.extend(answer.ending.iter().map(|ending| {
        let text = format!(
            "{} {} {}: the processes of try {} were told to end and still live",
            ending.dag_id,
            ending.logical_date.minute(),
            ending.task_id,
            ending.try_number
        );
        let next = format!("logs {} {} {} -f", ending.dag_id, ending.task_id, ending.run_id);
        Finding::new(Subject::Ending, Weight::Warning, text).next(NextStep::crondag(next))
    }));
}

fn queued(answer: &StatusAnswer) -> Option<Finding> {
    if answer.queued == 0 {
        return None;
    }
    let runs = count(answer.queued, "run");
    let explain = answer.first_queued.as_ref().map(|(dag, run)| NextStep::crondag(format_args!("explain {dag} {run}")));
    let (text, next) = match &answer.queued_held_up {
        Some(first) if answer.running.iter().any(|run| run.held_up.as_ref() == Some(first)) => {
            (format!("{runs}, behind that of {} {}", first.dag_id, first.logical_date.minute()), explain)
        }
        Some(first) => (format!("{runs}: {}", first.in_words()), first.next.clone()),
        None => (runs, explain),
    };
    Some(Finding { next, ..Finding::new(Subject::Queued, Weight::Info, text) })
}

fn mail(answer: &StatusAnswer, found: &mut Vec<Finding>) {
    if answer.mail_undeliverable > 0 {
        let count = count_of(answer.mail_undeliverable, "notice");
        let (why, next) = if answer.has_email {
            ("there was no [email] then; `crondag runs` has what failed", None)
        } else {
            let next = "write [email] into crondag.toml, or take `email` out of the DAG files";
            ("crondag.toml has no [email]", Some(NextStep::advice(next)))
        };
        let text = format!("{count} of the last 24 hours reached nobody: {why}");
        found.push(Finding { next, ..Finding::new(Subject::Mail, Weight::Warning, text) });
    }
    if answer.mail_pending > 0 || answer.mail_given_up > 0 {
        let error = answer.mail_last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        let text = format!("{} waiting, {} given up{error}", answer.mail_pending, answer.mail_given_up);
        let is_bad = answer.mail_given_up > 0 || answer.mail_last_error.is_some();
        found.push(if is_bad {
            let next = NextStep::advice("check [email] in crondag.toml, then `crondag tick`");
            Finding::new(Subject::Mail, Weight::Error, text).next(next)
        } else {
            Finding::new(Subject::Mail, Weight::Info, text)
        });
    }
}

fn bad_log(app: &App, log: &BadLog) -> Finding {
    let BadLog { dag_id, task_id, missing, since, count } = log;
    let times = if *count == 1 { String::new() } else { format!(" ({count} logs since {})", since.minute()) };
    let (subject, text, next) = match missing {
        Missing::LeftOut(bytes) => (
            Subject::Log,
            format!("{dag_id} {task_id}: {} left out: max_size is reached", format_size(*bytes)),
            "raise `max_size` under [logs] in crondag.toml, or let the task print less".to_owned(),
        ),
        Missing::NotTaken(error) => (
            Subject::Disk,
            format!("{dag_id} {task_id}: the disk did not take its whole log: {error}"),
            format!("`df -h {}`; what is missing of a log is lost", app.home.logs_dir().display()),
        ),
    };
    Finding::new(subject, Weight::Error, format!("{text}{times}")).next(NextStep::Advice(next))
}

/// What failed of late; the runs themselves are in the answer.
fn ended(answer: &StatusAnswer, found: &mut Vec<Finding>) {
    let (failed, in_spite) = (&answer.failed_last_24h, &answer.failed_tasks_last_24h);
    for (subject, runs, what) in [
        (Subject::FailedRuns, failed, "failed within the last 24 hours"),
        (Subject::FailedTasks, in_spite, "succeeded within the last 24 hours in spite of failed tasks"),
    ] {
        if let Some(newest) = runs.first() {
            let text = format!("{} {what}", count(runs.len(), "run"));
            let next = NextStep::crondag(format_args!("tasks {} {}", newest.dag_id, newest.run_id));
            found.push(Finding::new(subject, Weight::Error, text).next(next));
        }
    }
}

fn count_of(number: u32, what: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), what)
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
