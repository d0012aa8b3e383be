//! Writes the mail: a subject that says it all, a plain text that stands on its own, the same as HTML.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

use super::html::escape;
use super::place::Place;
use super::report::render_report;
use super::warning::{CheckWarning, render_warning};
use crate::dag::RunType;
use crate::dag::template::quote;
use crate::dag::units::format_duration;
use crate::diagnose::Diagnosis;
use crate::notify::line::{one_line, printable, wrap};
use crate::notify::mail::Mail;
use crate::notify::notice::{Notice, NoticeEvent, RunFacts, Standing, TaskFacts};

/// Log lines in a mail are cut beyond this many characters.
const LOG_WIDTH: usize = 400;
/// Plain text is broken here; log lines, paths and commands are not, so that they can be copied.
const WIDTH: usize = 78;
/// A list of tasks says only how many more there are beyond so many.
const LIST_LENGTH: usize = 30;
/// A digest lists so many notices.
const DIGEST_LENGTH: usize = 200;

/// The last lines of an attempt's log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LogTail {
    /// There was no attempt, or its log does not matter.
    #[default]
    None,
    /// The lines; none when the log is empty.
    Lines(Vec<String>),
    /// It has been removed since.
    Removed,
    /// It is there and cannot be read, for this reason.
    Unreadable(String),
}

/// What is found out about a notice when it is rendered, and may have changed since it was written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// Of a task: what it printed last.
    pub log: LogTail,
    /// Of a task that failed: what the failure was caused by.
    pub diagnosis: Option<Diagnosis>,
    /// Of a task that failed: why there is no diagnosis, in words.
    pub undiagnosed: Option<String>,
    /// Of a digest: what was held back, oldest first.
    pub held_back: Vec<(Timestamp, Notice)>,
}

/// Writes the mail of a notice. Pure.
pub fn render(notice: &Notice, evidence: &Evidence, place: &Place) -> Mail {
    match &notice.event {
        NoticeEvent::Rendered { mail } => mail.clone(),
        NoticeEvent::Report(report) => render_report(report, &notice.to, place),
        NoticeEvent::CheckWarned { dag_id, task_id, selector, ds, table } => {
            render_warning(&CheckWarning { dag_id, task_id, selector, ds, table }, &notice.to, place)
        }
        NoticeEvent::TaskFailed { .. }
        | NoticeEvent::TaskRetry { .. }
        | NoticeEvent::TaskSucceeded { .. }
        | NoticeEvent::RunFailed { .. }
        | NoticeEvent::Recovered { .. }
        | NoticeEvent::Digest { .. } => {
            let body = Body::of(&notice.event, evidence, place);
            Mail {
                to: recipients(notice, evidence),
                subject: one_line(&format!("[crondag] {}", summary(&notice.event, evidence))),
                text: body.text(),
                html: body.html(),
                pictures: Vec::new(),
            }
        }
    }
}

/// Of a digest: everybody who would have been told of what it lists.
fn recipients(notice: &Notice, evidence: &Evidence) -> Vec<String> {
    let mut to = notice.to.clone();
    for person in evidence.held_back.iter().flat_map(|(_, held)| &held.to) {
        if !to.contains(person) {
            to.push(person.clone());
        }
    }
    to
}

/// What happened in a line: the subject without its lead.
fn summary(event: &NoticeEvent, evidence: &Evidence) -> String {
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
        NoticeEvent::Recovered { dag_id, standing, .. } => {
            format!("{dag_id} recovered after {}", counted(standing.failures as usize, "failure"))
        }
        NoticeEvent::CheckWarned { dag_id, task_id, ds, .. } => format!("{dag_id} {task_id} warns (ds {ds})"),
        NoticeEvent::Report(report) => format!("{} report ({})", report.dag_id, report.ds),
        NoticeEvent::Digest { .. } => {
            format!("{} held back", counted(evidence.held_back.len(), "notice"))
        }
        NoticeEvent::Rendered { mail } => mail.subject.clone(),
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

impl Standing {
    fn failed(&self) -> &'static str {
        if self.since.is_some() { "still fails" } else { "failed" }
    }

    fn in_words(&self) -> Option<String> {
        let since = self.since?;
        let runs = counted(self.failed_runs as usize, "run");
        Some(format!("{} in {runs} since {since:.0}", counted(self.failures as usize, "failure")))
    }
}

impl RunFacts {
    /// What names the run in a subject: its date, with the time where the DAG runs more than daily.
    fn date(&self) -> String {
        let time = self.data_interval.0.get(11..19).filter(|_| self.selector() != self.ds);
        match time {
            Some(time) => format!("ds {} {}", self.ds, time.strip_suffix(":00").unwrap_or(time)),
            None => format!("ds {}", self.ds),
        }
    }

    fn selector(&self) -> &str {
        run_selector(self.run_type, &self.run_id, &self.ds, &self.data_interval)
    }
}

/// A mail's content before it is laid out: facts, lists, a log, commands.
struct Body<'a> {
    place: &'a Place,
    headline: String,
    facts: Vec<(&'static str, String)>,
    lists: Vec<(&'static str, Vec<String>)>,
    log: LogTail,
    commands: Vec<(&'static str, String)>,
}

impl<'a> Body<'a> {
    fn of(event: &NoticeEvent, evidence: &Evidence, place: &'a Place) -> Body<'a> {
        let mut body = Body {
            place,
            headline: String::new(),
            facts: Vec::new(),
            lists: Vec::new(),
            log: LogTail::None,
            commands: Vec::new(),
        };
        match event {
            NoticeEvent::TaskFailed { run, task, blocks, standing } => {
                body.headline = format!("Task {} of {} failed for {}.", task.task_id, run.dag_id, run.ds);
                body.task(run, task, Some(("It blocks", blocks)), evidence);
                body.standing(standing);
            }
            NoticeEvent::TaskRetry { run, task, blocks, next_try_at } => {
                let (id, dag, ds) = (&task.task_id, &run.dag_id, &run.ds);
                body.headline = format!("Task {id} of {dag} failed for {ds}; it will be tried again.");
                body.task(run, task, Some(("Waiting for it", blocks)), evidence);
                body.facts.insert(1, ("next try", next_try_at.clone()));
            }
            NoticeEvent::TaskSucceeded { run, task } => {
                body.headline = format!("Task {} of {} succeeded for {}.", task.task_id, run.dag_id, run.ds);
                body.task(run, task, None, evidence);
            }
            NoticeEvent::RunFailed { run, reason, failed, blocked, standing } => {
                let (dag, selector) = (&run.dag_id, run.selector());
                body.headline = format!("The run of {dag} for {} failed.", run.ds);
                body.facts.push(("why", reason.clone()));
                body.run(run);
                body.standing(standing);
                let failed = failed.iter().map(|(task, reason)| format!("{task}: {reason}")).collect();
                body.lists.push(("Failed tasks", failed));
                body.lists.push(("Could not run because of them", blocked.clone()));
                body.command("see the tasks", &format!("tasks {dag} {selector}"));
                let again = format!("clear {dag} {selector} --failed");
                body.command("run the failed ones again, and what they blocked", &again);
            }
            NoticeEvent::Recovered { dag_id, run_id, standing } => {
                body.headline = format!("{dag_id} has had a good run again.");
                body.facts.push(("before", standing.in_words().unwrap_or_default()));
                body.facts.push(("good run", run_id.clone()));
                body.place();
                body.command("see the runs", &format!("runs {dag_id}"));
            }
            NoticeEvent::Digest { max_per_hour } => {
                let count = evidence.held_back.len();
                body.headline = format!(
                    "{} held back: more than {max_per_hour} were to go out within an hour.",
                    if count == 1 { "1 notice was".to_owned() } else { format!("{count} notices were") }
                );
                body.place();
                let line = |(at, notice): &(Timestamp, Notice)| {
                    format!("{at:.0}  {}", summary(&notice.event, &Evidence::default()))
                };
                let mut lines: Vec<String> = evidence.held_back.iter().take(DIGEST_LENGTH).map(line).collect();
                if count > DIGEST_LENGTH {
                    lines.push(format!("... and {} more", count - DIGEST_LENGTH));
                }
                body.lists.push(("They tell of", lines));
                body.command("see how things stand", "status");
            }
            // They have layouts of their own.
            NoticeEvent::CheckWarned { .. } | NoticeEvent::Report(_) | NoticeEvent::Rendered { .. } => {}
        }
        for (_, value) in &mut body.facts {
            *value = one_line(value);
        }
        for item in body.lists.iter_mut().flat_map(|(_, items)| items) {
            *item = one_line(item);
        }
        let is_digest = matches!(event, NoticeEvent::Digest { .. });
        for (_, items) in body.lists.iter_mut().filter(|_| !is_digest) {
            let more = items.len().saturating_sub(LIST_LENGTH);
            if more > 0 {
                items.truncate(LIST_LENGTH);
                items.push(format!("... and {more} more"));
            }
        }
        body.headline = one_line(&body.headline);
        body
    }

    /// What is told of a task; `waiting` are those that wait for it, under their title, none if it did not fail.
    fn task(
        &mut self,
        run: &RunFacts,
        task: &TaskFacts,
        waiting: Option<(&'static str, &Vec<String>)>,
        evidence: &Evidence,
    ) {
        let (dag, id, selector) = (&run.dag_id, &task.task_id, run.selector());
        if waiting.is_some() {
            self.facts.push(("why", task.reason.clone()));
        }
        if let Some(diagnosis) = &evidence.diagnosis {
            self.diagnosis(diagnosis);
        } else if let Some(reason) = &evidence.undiagnosed {
            self.facts.push(("cause", format!("not diagnosed: {reason}")));
        }
        let took = format_duration(Duration::from_millis(task.milliseconds));
        self.facts.push(("when", format!("started {}, took {took}", task.started)));
        self.facts.push(("try", format!("{} of {}", task.try_number, task.max_tries)));
        self.run(run);
        if !task.log_file.is_empty() {
            self.facts.push(("log", self.place.home.join(&task.log_file).display().to_string()));
            self.command("see the whole log", &format!("logs {dag} {id} {selector}"));
        }
        self.log = match &evidence.log {
            LogTail::Lines(lines) => LogTail::Lines(lines.iter().map(|line| printable(line, LOG_WIDTH)).collect()),
            LogTail::Unreadable(reason) => LogTail::Unreadable(one_line(reason)),
            LogTail::None => LogTail::None,
            LogTail::Removed => LogTail::Removed,
        };
        if let Some((title, blocks)) = waiting {
            self.lists.push((title, blocks.clone()));
            self.command("run it again", &format!("clear {dag} {selector} --task {id}"));
            // The cause may call for the same.
            if let Some(again) = self.commands.pop() {
                self.commands.retain(|(_, command)| *command != again.1);
                self.commands.push(again);
            }
        }
    }

    fn standing(&mut self, standing: &Standing) {
        if let Some(words) = standing.in_words() {
            self.facts.insert(1.min(self.facts.len()), ("so far", words));
        }
        let further = if standing.is_unsteady {
            "it fails and recovers in turn: you will be told of it at growing distances"
        } else {
            "further failures are counted; you will be reminded at growing distances, and told when a run is good again"
        };
        self.facts.push(("from now", further.to_owned()));
    }

    fn diagnosis(&mut self, diagnosis: &Diagnosis) {
        self.facts.push(("cause", diagnosis.headline()));
        if !diagnosis.findings.is_empty() && !diagnosis.gaps.is_empty() {
            self.facts.push(("unknown", diagnosis.gaps.join("; ")));
        }
        let Some(first) = diagnosis.findings.first() else {
            self.lists.push(("Lines that look like errors", diagnosis.error_lines.clone()));
            return;
        };
        self.facts.push(("advice", first.advice.clone()));
        self.lists.push(("What speaks for the cause", first.evidence.clone()));
        let others = &diagnosis.findings[1..];
        self.lists.push(("It might also be", others.iter().map(|other| other.name.clone()).collect()));
        match first.command.strip_prefix("crondag ") {
            Some(arguments) => self.command("what the cause calls for", arguments),
            None => self.commands.push(("what the cause calls for", one_line(&first.command))),
        }
    }

    fn run(&mut self, run: &RunFacts) {
        self.facts.push(("data", format!("{} to {}", run.data_interval.0, run.data_interval.1)));
        self.facts.push(("run", run.run_id.clone()));
        self.place();
    }

    fn place(&mut self) {
        self.facts.push(("where", format!("{} {}", self.place.host, self.place.home.display())));
    }

    fn command(&mut self, what: &'static str, arguments: &str) {
        let home = quote(&self.place.home.display().to_string());
        self.commands.push((what, one_line(&format!("crondag --home {home} {arguments}"))));
    }

    /// A title and lines; `None` when there is nothing to say of a log.
    fn log(&self) -> Option<(String, &[String])> {
        match &self.log {
            LogTail::None => None,
            LogTail::Lines(lines) => Some(match lines.len() {
                0 => ("Its log is empty.".to_owned(), lines),
                1 => ("The last line of its log:".to_owned(), lines),
                count => (format!("The last {count} lines of its log:"), lines),
            }),
            LogTail::Removed => Some(("Its log has been removed since.".to_owned(), &[])),
            LogTail::Unreadable(reason) => Some((format!("Its log cannot be read: {reason}."), &[])),
        }
    }

    // Writing to a String cannot fail.
    fn text(&self) -> String {
        let mut text = format!("{}\n\n", wrap("", 0, &self.headline, WIDTH));
        for (name, value) in &self.facts {
            let lead = format!("  {name:<9} ");
            let is_path = matches!(*name, "where" | "log");
            let _ = if is_path {
                writeln!(text, "{lead}{value}")
            } else {
                writeln!(text, "{}", wrap(&lead, 12, value, WIDTH))
            };
        }
        for (title, items) in self.lists.iter().filter(|(_, items)| !items.is_empty()) {
            let _ = writeln!(text, "\n{title}:");
            for item in items {
                let _ = writeln!(text, "{}", wrap("  ", 6, item, WIDTH));
            }
        }
        if let Some((title, log)) = self.log() {
            let _ = writeln!(text, "\n{title}");
            for line in log {
                let _ = writeln!(text, "{}", format!("  | {line}").trim_end());
            }
        }
        text.push_str("\nWhat to type:\n");
        for (what, command) in &self.commands {
            let _ = writeln!(text, "  {command}\n      {what}");
        }
        text
    }

    // Writing to a String cannot fail.
    fn html(&self) -> String {
        let mut html = format!(
            "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"></head>\n\
             <body style=\"font-family:sans-serif;font-size:15px;color:#222;max-width:52em\">\n\
             <p style=\"font-size:18px\"><b>{}</b></p>\n<table style=\"border-spacing:0 4px\">\n",
            escape(&self.headline)
        );
        let (name_style, value_style) =
            ("color:#777;padding-right:1em;vertical-align:top;white-space:nowrap", "overflow-wrap:anywhere");
        for (name, value) in &self.facts {
            let _ = writeln!(
                html,
                "<tr><td style=\"{name_style}\">{name}</td><td style=\"{value_style}\">{}</td></tr>",
                escape(value)
            );
        }
        html.push_str("</table>\n");
        for (title, items) in self.lists.iter().filter(|(_, items)| !items.is_empty()) {
            let _ = writeln!(html, "<p><b>{title}</b></p>\n<ul>");
            for item in items {
                let _ = writeln!(html, "<li>{}</li>", escape(item));
            }
            html.push_str("</ul>\n");
        }
        let pre = "style=\"font-family:monospace;background:#f5f5f5;padding:8px;font-size:13px;\
                   white-space:pre-wrap;overflow-wrap:anywhere\"";
        if let Some((title, log)) = self.log() {
            let _ = writeln!(html, "<p><b>{}</b></p>", escape(title.trim_end_matches([':', '.'])));
            if !log.is_empty() {
                let lines: Vec<String> = log.iter().map(|line| escape(line)).collect();
                let _ = writeln!(html, "<pre {pre}>\n{}\n</pre>", lines.join("\n"));
            }
        }
        html.push_str("<p><b>What to type</b></p>\n");
        for (what, command) in &self.commands {
            let _ =
                writeln!(html, "<pre {pre}>{}</pre>\n<p style=\"color:#777;margin-top:0\">{what}</p>", escape(command));
        }
        html.push_str("</body></html>\n");
        html
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::dag::CauseClass;
    use crate::dag::RunNumber;
    use crate::diagnose::{Confidence, Finding};

    fn run() -> RunFacts {
        RunFacts {
            number: RunNumber(1),
            dag_id: "userprofile".to_owned(),
            run_type: RunType::Scheduled,
            run_id: "scheduled__2018-07-01T07:00:00+08:00".to_owned(),
            ds: "2018-07-01".to_owned(),
            data_interval: ("2018-07-01T07:00:00+08:00".to_owned(), "2018-07-02T07:00:00+08:00".to_owned()),
        }
    }

    fn task() -> TaskFacts {
        TaskFacts {
            task_id: "high_active_period".to_owned(),
            try_number: 2,
            max_tries: 2,
            reason: "exit status 1".to_owned(),
            started: "2018-07-02T07:00:12+08:00".to_owned(),
            milliseconds: 75_000,
            log_file: ".crondag/logs/userprofile/x/high_active_period.2.log".to_owned(),
        }
    }

    fn blocks() -> Vec<String> {
        vec!["push_active".to_owned()]
    }

    fn failed(run: RunFacts, task: TaskFacts) -> NoticeEvent {
        NoticeEvent::TaskFailed { run, task, blocks: blocks(), standing: Standing::default() }
    }

    fn evidence() -> Evidence {
        Evidence {
            log: LogTail::Lines(vec!["\u{1b}[31mTraceback\u{1b}[0m <b>".to_owned(), "ValueError: \u{7}x".to_owned()]),
            diagnosis: Some(Diagnosis { findings: vec![finding()], ..Diagnosis::default() }),
            ..Evidence::default()
        }
    }

    fn mail(event: NoticeEvent, evidence: &Evidence) -> Mail {
        let place = Place { home: PathBuf::from("/data/my etl"), host: "gateway1".to_owned() };
        render(&Notice::new(vec!["admin@example.com".to_owned()], event), evidence, &place)
    }

    fn finding() -> Finding {
        Finding {
            id: "bad-value".to_owned(),
            name: "a value of the input does not convert".to_owned(),
            class: CauseClass::UpstreamAbnormal,
            confidence: Confidence::Certain,
            evidence: vec!["line 12: ValueError: <n/a>".to_owned()],
            advice: "look for this value in the input of this date".to_owned(),
            command: "crondag clear userprofile 2018-07-01 --task high_active_period".to_owned(),
        }
    }

    /// Compares subject, text and HTML with the files in `snapshots/`; `SNAPSHOTS=overwrite` writes them.
    macro_rules! assert_mail {
        ($text:literal, $html:literal, $subject:literal, $event:expr, $evidence:expr) => {
            let mail = mail($event, &$evidence);
            assert_eq!(mail.subject, $subject);
            assert_eq!(mail.to, ["admin@example.com"]);
            snapbox::assert_data_eq!(mail.text, snapbox::file![$text].raw());
            snapbox::assert_data_eq!(mail.html, snapbox::file![$html].raw());
        };
    }

    #[test]
    fn a_failed_task() {
        assert_mail!(
            "snapshots/task_failed.txt",
            "snapshots/task_failed.html",
            "[crondag] userprofile high_active_period failed (ds 2018-07-01, try 2 of 2)",
            failed(run(), task()),
            evidence()
        );
    }

    #[test]
    fn a_task_that_will_be_tried_again() {
        let finding = Finding { confidence: Confidence::Likely, command: "dmesg -T".to_owned(), ..finding() };
        let other = Finding { name: "something else".to_owned(), ..finding.clone() };
        let diagnosis = Some(Diagnosis { findings: vec![finding, other], ..Diagnosis::default() });
        let reason = "killed by signal 9 (SIGKILL)".to_owned();
        let task = TaskFacts { try_number: 1, reason, ..task() };
        let next_try_at = "2018-07-02T07:10:00+08:00".to_owned();
        assert_mail!(
            "snapshots/task_retry.txt",
            "snapshots/task_retry.html",
            "[crondag] userprofile high_active_period failed, will retry (ds 2018-07-01, try 1 of 2)",
            NoticeEvent::TaskRetry { run: run(), task, blocks: blocks(), next_try_at },
            Evidence { diagnosis, ..evidence() }
        );
    }

    #[test]
    fn an_unknown_cause_shows_the_lines_that_look_like_errors() {
        let error_lines = vec!["line 7: ERROR: count 18 below 1000".to_owned()];
        let diagnosis = Some(Diagnosis { error_lines, ..Diagnosis::default() });
        let text = mail(failed(run(), task()), &Evidence { diagnosis, ..evidence() }).text;
        assert!(text.contains("  cause     unknown: nothing in the log or the end fits a known cause\n"), "{text}");
        assert!(text.contains("\nLines that look like errors:\n  line 7: ERROR: count 18 below 1000\n"), "{text}");
    }

    #[test]
    fn a_log_that_is_gone_or_cannot_be_read_is_not_empty() {
        let text = |log| mail(failed(run(), task()), &Evidence { log, ..Evidence::default() }).text;
        assert!(text(LogTail::Lines(Vec::new())).contains("\nIts log is empty.\n"));
        assert!(text(LogTail::Removed).contains("\nIts log has been removed since.\n"));
        let unreadable = text(LogTail::Unreadable("Permission denied (os error 13)".to_owned()));
        assert!(unreadable.contains("\nIts log cannot be read: Permission denied (os error 13).\n"), "{unreadable}");
    }

    #[test]
    fn what_could_not_be_diagnosed_says_why() {
        let undiagnosed = Some("the database cannot be read: it is locked".to_owned());
        let text = mail(failed(run(), task()), &Evidence { undiagnosed, ..Evidence::default() }).text;
        let expected = "  cause     not diagnosed: the database cannot be read: it is locked\n";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn a_task_that_succeeded() {
        assert_mail!(
            "snapshots/task_succeeded.txt",
            "snapshots/task_succeeded.html",
            "[crondag] userprofile high_active_period succeeded (ds 2018-07-01, try 2 of 2)",
            NoticeEvent::TaskSucceeded { run: run(), task: task() },
            Evidence { log: LogTail::Lines(Vec::new()), ..Evidence::default() }
        );
    }

    fn run_failed(failed: Vec<(String, String)>, blocked: Vec<String>, standing: Standing) -> NoticeEvent {
        NoticeEvent::RunFailed { run: run(), reason: "a leaf task failed".to_owned(), failed, blocked, standing }
    }

    #[test]
    fn a_failed_run() {
        let failed = vec![
            ("high_active_period".to_owned(), "exit status 1".to_owned()),
            (
                "buy_category".to_owned(),
                "timed out after 2h: the process tree was ended with TERM, and with KILL 10 s later".to_owned(),
            ),
        ];
        let blocked = (1..=40).map(|number| format!("push_{number}")).collect();
        assert_mail!(
            "snapshots/run_failed.txt",
            "snapshots/run_failed.html",
            "[crondag] userprofile run failed (ds 2018-07-01, 2 tasks failed)",
            run_failed(failed, blocked, Standing::default()),
            Evidence::default()
        );
    }

    fn standing(failures: u32) -> Standing {
        let since = Some("2018-06-30T23:00:00Z".parse().unwrap());
        Standing { since, failures, failed_runs: failures, is_unsteady: false }
    }

    #[test]
    fn one_failed_task_is_one_task() {
        let failed = vec![("a".to_owned(), "x".to_owned())];
        let mail = mail(run_failed(failed, Vec::new(), standing(7)), &Evidence::default());
        assert_eq!(mail.subject, "[crondag] userprofile run still fails (ds 2018-07-01, 1 task failed)");
        assert!(mail.text.contains("  so far    7 failures in 7 runs since 2018-06-30T23:00:00Z\n"), "{}", mail.text);
    }

    #[test]
    fn a_dag_that_recovered() {
        let event = NoticeEvent::Recovered {
            dag_id: "userprofile".to_owned(),
            run_id: "scheduled__2018-07-01T07:00:00+08:00".to_owned(),
            standing: standing(43),
        };
        assert_mail!(
            "snapshots/recovered.txt",
            "snapshots/recovered.html",
            "[crondag] userprofile recovered after 43 failures",
            event,
            Evidence::default()
        );
    }

    #[test]
    fn a_digest_lists_what_was_held_back_and_goes_to_all_who_would_have_been_told() {
        let at = "2018-07-01T23:00:00.5Z".parse().unwrap();
        let held = Notice::new(vec!["b@example.com".to_owned()], failed(run(), task()));
        let evidence = Evidence { held_back: vec![(at, held); 2], ..Evidence::default() };
        let mail = mail(NoticeEvent::Digest { max_per_hour: 30 }, &evidence);
        assert_eq!(mail.subject, "[crondag] 2 notices held back");
        assert_eq!(mail.to, ["admin@example.com", "b@example.com"]);
        snapbox::assert_data_eq!(mail.text, snapbox::file!["snapshots/digest.txt"].raw());
    }

    #[test]
    fn commands_and_subjects_name_the_run_exactly_where_a_day_has_several() {
        let mut hourly = run();
        hourly.run_id = "scheduled__2018-07-01T23:00:00+08:00".to_owned();
        hourly.data_interval = ("2018-07-01T23:00:00+08:00".to_owned(), "2018-07-02T00:00:00+08:00".to_owned());
        let mut manual = run();
        manual.run_type = RunType::Manual;
        manual.run_id = "manual__2018-07-01T07:00:00+08:00".to_owned();
        manual.data_interval.0 = "2018-07-01T07:00:05+08:00".to_owned();
        for (run, time) in [(hourly, "23:00"), (manual, "07:00:05")] {
            let mail = mail(failed(run.clone(), task()), &evidence());
            let expected =
                format!("[crondag] userprofile high_active_period failed (ds 2018-07-01 {time}, try 2 of 2)");
            assert_eq!(mail.subject, expected);
            for command in [
                format!("logs userprofile high_active_period {}\n", run.run_id),
                format!("clear userprofile {} --task high_active_period\n", run.run_id),
            ] {
                assert!(mail.text.contains(&command), "{}", mail.text);
            }
        }
    }

    #[test]
    fn no_text_can_add_a_header_or_a_line_of_its_own() {
        let bad = RunFacts { ds: "2018\r\nBcc: x@y\u{1b}[31m\u{2028}z".to_owned(), ..run() };
        let mail = mail(failed(bad, task()), &evidence());
        assert_eq!(mail.subject, "[crondag] userprofile high_active_period failed (ds 2018 Bcc: x@y z, try 2 of 2)");
        assert!(mail.text.lines().all(|line| !line.starts_with("Bcc")), "{}", mail.text);
    }

    #[test]
    fn html_shows_markup_and_never_obeys_it() {
        let task = TaskFacts { reason: "<script>alert(1)</script>".to_owned(), ..task() };
        let (blocks, standing) = (vec!["<i>".to_owned()], Standing::default());
        let event = NoticeEvent::TaskFailed { run: run(), task, blocks, standing };
        let log = LogTail::Lines(vec!["</pre><img src=x onerror=\"y\">".to_owned()]);
        let place = Place { home: PathBuf::from("/data"), host: "<b>host".to_owned() };
        let notice = Notice::new(vec!["admin@example.com".to_owned()], event);
        let html = render(&notice, &Evidence { log, ..evidence() }, &place).html;
        for tag in ["<script", "<img", "<i>", "<b>host"] {
            assert!(!html.contains(tag), "{tag} in {html}");
        }
        let log = LogTail::Unreadable("<img src=x>".to_owned());
        let html = render(&notice, &Evidence { log, ..evidence() }, &place).html;
        assert!(!html.contains("<img"), "{html}");
    }
}
