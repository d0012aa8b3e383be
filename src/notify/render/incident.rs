//! Writes the mail: a subject that says it all, a plain text that stands on its own, the same as HTML.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use super::html::escape;
use crate::dag::template::quote;
use crate::dag::units::format_duration;
use crate::diagnose::Diagnosis;
use crate::notify::line::{one_line, printable, wrap};
use crate::notify::mail::Mail;

/// Log lines in a mail are cut beyond this many characters.
const LOG_WIDTH: usize = 400;
/// Plain text is broken here; log lines, paths and commands are not, so that they can be copied.
const WIDTH: usize = 78;
/// A list of tasks says only how many more there are beyond so many.
const LIST_LENGTH: usize = 30;

/// Something that people want to hear of.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// What happened.
    pub kind: IncidentKind,
    /// The DAG.
    pub dag_id: String,
    /// The run.
    pub run_id: String,
    /// The logical date as a local date, `2018-07-01`.
    pub ds: String,
    /// The data interval, both ends in RFC 3339 with the DAG's offset.
    pub data_interval: (String, String),
    /// Who gets the mail.
    pub to: Vec<String>,
    /// The machine.
    pub host: String,
    /// The home.
    pub home: PathBuf,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum IncidentKind {
    /// The last attempt of a task failed.
    TaskFailed(TaskIncident),
    /// An attempt failed and another one follows at this time (RFC 3339).
    TaskRetry(TaskIncident, String),
    /// A task succeeded.
    TaskSucceeded(TaskIncident),
    /// A run failed.
    RunFailed {
        /// Why.
        reason: String,
        /// Failed tasks with their reasons.
        failed: Vec<(String, String)>,
        /// Tasks that could not run because of them.
        blocked: Vec<String>,
    },
}

/// A task in an incident.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskIncident {
    /// The task.
    pub task_id: String,
    /// The attempt.
    pub try_number: u32,
    /// Attempts it may take.
    pub max_tries: u32,
    /// Why, in words: exit status, signal, timeout.
    pub reason: String,
    /// When the attempt started, RFC 3339.
    pub started: String,
    /// How long it took.
    pub duration: Duration,
    /// The log, relative to the home.
    pub log_file: String,
    /// Its last lines.
    pub log_tail: Vec<String>,
    /// What the failure was caused by; `None` for a task that succeeded.
    pub diagnosis: Option<Diagnosis>,
    /// Tasks downstream that now cannot run or have to wait.
    pub blocks: Vec<String>,
}

/// Writes the mail of an incident. Pure.
pub fn compose(incident: &Incident) -> Mail {
    let body = Body::of(incident);
    Mail {
        to: incident.to.clone(),
        subject: one_line(&subject(incident)),
        text: body.text(),
        html: body.html(),
        pictures: Vec::new(),
    }
}

fn subject(incident: &Incident) -> String {
    let (dag, ds) = (&incident.dag_id, &incident.ds);
    let tries = |task: &TaskIncident| format!("(ds {ds}, try {} of {})", task.try_number, task.max_tries);
    match &incident.kind {
        IncidentKind::TaskFailed(task) => format!("[crondag] {dag} {} failed {}", task.task_id, tries(task)),
        IncidentKind::TaskRetry(task, _) => {
            format!("[crondag] {dag} {} failed, will retry {}", task.task_id, tries(task))
        }
        IncidentKind::TaskSucceeded(task) => format!("[crondag] {dag} {} succeeded {}", task.task_id, tries(task)),
        IncidentKind::RunFailed { failed, .. } => {
            let count = failed.len();
            let tasks = if count == 1 { "task" } else { "tasks" };
            format!("[crondag] {dag} run failed (ds {ds}, {count} {tasks} failed)")
        }
    }
}

/// A mail's content before it is laid out: facts, lists, a log, commands.
struct Body {
    headline: String,
    facts: Vec<(&'static str, String)>,
    lists: Vec<(&'static str, Vec<String>)>,
    log: Option<Vec<String>>,
    commands: Vec<(&'static str, String)>,
}

impl Body {
    fn of(incident: &Incident) -> Body {
        let (dag, ds) = (&incident.dag_id, &incident.ds);
        let mut body =
            Body { headline: String::new(), facts: Vec::new(), lists: Vec::new(), log: None, commands: Vec::new() };
        match &incident.kind {
            IncidentKind::TaskFailed(task) => {
                body.headline = format!("Task {} of {dag} failed for {ds}.", task.task_id);
                body.task(task, incident, Some("It blocks"));
            }
            IncidentKind::TaskRetry(task, next) => {
                body.headline = format!("Task {} of {dag} failed for {ds}; it will be tried again.", task.task_id);
                body.task(task, incident, Some("Waiting for it"));
                body.facts.insert(1, ("next try", next.clone()));
            }
            IncidentKind::TaskSucceeded(task) => {
                body.headline = format!("Task {} of {dag} succeeded for {ds}.", task.task_id);
                body.task(task, incident, None);
            }
            IncidentKind::RunFailed { reason, failed, blocked } => {
                body.headline = format!("The run of {dag} for {ds} failed.");
                body.facts.push(("why", reason.clone()));
                body.run(incident);
                let failed = failed.iter().map(|(task, reason)| format!("{task}: {reason}")).collect();
                body.lists.push(("Failed tasks", failed));
                body.lists.push(("Could not run because of them", blocked.clone()));
                body.command(incident, "see the tasks", &format!("tasks {dag} {}", selector(incident)));
                let again = format!("clear {dag} {} --failed", selector(incident));
                body.command(incident, "run the failed ones again, and what they blocked", &again);
            }
        }
        for (_, value) in &mut body.facts {
            *value = one_line(value);
        }
        for item in body.lists.iter_mut().flat_map(|(_, items)| items) {
            *item = one_line(item);
        }
        for (_, items) in &mut body.lists {
            let more = items.len().saturating_sub(LIST_LENGTH);
            if more > 0 {
                items.truncate(LIST_LENGTH);
                items.push(format!("... and {more} more"));
            }
        }
        body.headline = one_line(&body.headline);
        body
    }

    /// What is told of a task; `blocks` is the title of those that wait for it, none if it did not fail.
    fn task(&mut self, task: &TaskIncident, incident: &Incident, blocks: Option<&'static str>) {
        let (dag, id, run) = (&incident.dag_id, &task.task_id, selector(incident));
        if blocks.is_some() {
            self.facts.push(("why", task.reason.clone()));
        }
        if let Some(diagnosis) = &task.diagnosis {
            self.diagnosis(diagnosis, incident);
        }
        self.facts.push(("when", format!("started {}, took {}", task.started, format_duration(task.duration))));
        self.facts.push(("try", format!("{} of {}", task.try_number, task.max_tries)));
        self.run(incident);
        if !task.log_file.is_empty() {
            self.facts.push(("log", incident.home.join(&task.log_file).display().to_string()));
        }
        self.log = Some(task.log_tail.iter().map(|line| printable(line, LOG_WIDTH)).collect());
        self.command(incident, "see the whole log", &format!("logs {dag} {id} {run}"));
        if let Some(title) = blocks {
            self.lists.push((title, task.blocks.clone()));
            self.command(incident, "run it again", &format!("clear {dag} {run} --task {id}"));
            // The cause may call for the same.
            if let Some(again) = self.commands.pop() {
                self.commands.retain(|(_, command)| *command != again.1);
                self.commands.push(again);
            }
        }
    }

    fn diagnosis(&mut self, diagnosis: &Diagnosis, incident: &Incident) {
        self.facts.push(("cause", diagnosis.headline()));
        let Some(first) = diagnosis.findings.first() else {
            self.lists.push(("Lines that look like errors", diagnosis.error_lines.clone()));
            return;
        };
        self.facts.push(("advice", first.advice.clone()));
        self.lists.push(("What speaks for the cause", first.evidence.clone()));
        let others = &diagnosis.findings[1..];
        self.lists.push(("It might also be", others.iter().map(|other| other.name.clone()).collect()));
        match first.command.strip_prefix("crondag ") {
            Some(arguments) => self.command(incident, "what the cause calls for", arguments),
            None => self.commands.push(("what the cause calls for", one_line(&first.command))),
        }
    }

    fn run(&mut self, incident: &Incident) {
        self.facts.push(("data", format!("{} to {}", incident.data_interval.0, incident.data_interval.1)));
        self.facts.push(("run", incident.run_id.clone()));
        self.facts.push(("where", format!("{} {}", incident.host, incident.home.display())));
    }

    fn command(&mut self, incident: &Incident, what: &'static str, arguments: &str) {
        let home = quote(&incident.home.display().to_string());
        self.commands.push((what, one_line(&format!("crondag --home {home} {arguments}"))));
    }

    fn log_title(log: &[String]) -> String {
        match log.len() {
            0 => "Its log is empty.".to_owned(),
            1 => "The last line of its log:".to_owned(),
            count => format!("The last {count} lines of its log:"),
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
        if let Some(log) = &self.log {
            let _ = writeln!(text, "\n{}", Body::log_title(log));
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
        if let Some(log) = &self.log {
            let _ = writeln!(html, "<p><b>{}</b></p>", Body::log_title(log).trim_end_matches([':', '.']));
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
pub fn run_selector<'a>(run_id: &'a str, ds: &'a str, (start, end): &(String, String)) -> &'a str {
    let is_manual = run_id.starts_with("manual__");
    // A cron schedule has the same fire times on all its days: an interval that begins and ends at the same time of two
    // days has no other beside it.
    let is_only_one_of_day = start.get(..10) != end.get(..10) && start.get(11..19) == end.get(11..19);
    if is_only_one_of_day && !is_manual { ds } else { run_id }
}

fn selector(incident: &Incident) -> &str {
    run_selector(&incident.run_id, &incident.ds, &incident.data_interval)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dag::CauseClass;
    use crate::diagnose::{Confidence, Finding};

    fn incident(kind: IncidentKind) -> Incident {
        Incident {
            kind,
            dag_id: "userprofile".to_owned(),
            run_id: "scheduled__2018-07-01T07:00:00+08:00".to_owned(),
            ds: "2018-07-01".to_owned(),
            data_interval: ("2018-07-01T07:00:00+08:00".to_owned(), "2018-07-02T07:00:00+08:00".to_owned()),
            to: vec!["admin@example.com".to_owned()],
            host: "gateway1".to_owned(),
            home: PathBuf::from("/data/my etl"),
        }
    }

    fn task() -> TaskIncident {
        TaskIncident {
            task_id: "high_active_period".to_owned(),
            try_number: 2,
            max_tries: 2,
            reason: "exit status 1".to_owned(),
            started: "2018-07-02T07:00:12+08:00".to_owned(),
            duration: Duration::from_secs(75),
            log_file: ".crondag/logs/userprofile/x/high_active_period.2.log".to_owned(),
            log_tail: vec!["\u{1b}[31mTraceback\u{1b}[0m <b>".to_owned(), "ValueError: \u{7}x".to_owned()],
            diagnosis: Some(Diagnosis { findings: vec![finding()], error_lines: Vec::new(), command: String::new() }),
            blocks: vec!["push_active".to_owned()],
        }
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
        ($text:literal, $html:literal, $subject:literal, $kind:expr) => {
            let mail = compose(&incident($kind));
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
            IncidentKind::TaskFailed(task())
        );
    }

    #[test]
    fn a_task_that_will_be_tried_again() {
        let finding = Finding { confidence: Confidence::Likely, command: "dmesg -T".to_owned(), ..finding() };
        let other = Finding { name: "something else".to_owned(), ..finding.clone() };
        let diagnosis =
            Some(Diagnosis { findings: vec![finding, other], error_lines: Vec::new(), command: String::new() });
        let reason = "killed by signal 9 (SIGKILL)".to_owned();
        let task = TaskIncident { try_number: 1, reason, diagnosis, ..task() };
        assert_mail!(
            "snapshots/task_retry.txt",
            "snapshots/task_retry.html",
            "[crondag] userprofile high_active_period failed, will retry (ds 2018-07-01, try 1 of 2)",
            IncidentKind::TaskRetry(task, "2018-07-02T07:10:00+08:00".to_owned())
        );
    }

    #[test]
    fn an_unknown_cause_shows_the_lines_that_look_like_errors() {
        let error_lines = vec!["line 7: ERROR: count 18 below 1000".to_owned()];
        let diagnosis = Some(Diagnosis { findings: Vec::new(), error_lines, command: String::new() });
        let text = compose(&incident(IncidentKind::TaskFailed(TaskIncident { diagnosis, ..task() }))).text;
        assert!(text.contains("  cause     unknown: nothing in the log or the end fits a known cause\n"), "{text}");
        assert!(text.contains("\nLines that look like errors:\n  line 7: ERROR: count 18 below 1000\n"), "{text}");
    }

    #[test]
    fn a_task_that_succeeded() {
        let task = TaskIncident { log_tail: Vec::new(), diagnosis: None, ..task() };
        assert_mail!(
            "snapshots/task_succeeded.txt",
            "snapshots/task_succeeded.html",
            "[crondag] userprofile high_active_period succeeded (ds 2018-07-01, try 2 of 2)",
            IncidentKind::TaskSucceeded(task)
        );
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
            IncidentKind::RunFailed { reason: "a leaf task failed".to_owned(), failed, blocked }
        );
    }

    #[test]
    fn one_failed_task_is_one_task() {
        let failed = vec![("a".to_owned(), "x".to_owned())];
        let run = IncidentKind::RunFailed { reason: "r".to_owned(), failed, blocked: Vec::new() };
        assert_eq!(compose(&incident(run)).subject, "[crondag] userprofile run failed (ds 2018-07-01, 1 task failed)");
    }

    #[test]
    fn commands_name_the_run_exactly_where_a_day_has_several() {
        let mut hourly = incident(IncidentKind::TaskFailed(task()));
        hourly.run_id = "scheduled__2018-07-01T23:00:00+08:00".to_owned();
        hourly.data_interval = ("2018-07-01T23:00:00+08:00".to_owned(), "2018-07-02T00:00:00+08:00".to_owned());
        let mut manual = incident(IncidentKind::TaskFailed(task()));
        manual.run_id = "manual__2018-07-01T07:00:00+08:00".to_owned();
        for incident in [hourly, manual] {
            let text = compose(&incident).text;
            for command in [
                format!("logs userprofile high_active_period {}\n", incident.run_id),
                format!("clear userprofile {} --task high_active_period\n", incident.run_id),
            ] {
                assert!(text.contains(&command), "{text}");
            }
        }
    }

    #[test]
    fn no_text_can_add_a_header_or_a_line_of_its_own() {
        let mut bad = incident(IncidentKind::TaskFailed(task()));
        bad.ds = "2018\r\nBcc: x@y\u{1b}[31m\u{2028}z".to_owned();
        let mail = compose(&bad);
        assert_eq!(mail.subject, "[crondag] userprofile high_active_period failed (ds 2018 Bcc: x@y z, try 2 of 2)");
        assert!(mail.text.lines().all(|line| !line.starts_with("Bcc")), "{}", mail.text);
    }

    #[test]
    fn html_shows_markup_and_never_obeys_it() {
        let mut bad = incident(IncidentKind::TaskFailed(TaskIncident {
            reason: "<script>alert(1)</script>".to_owned(),
            log_tail: vec!["</pre><img src=x onerror=\"y\">".to_owned()],
            blocks: vec!["<i>".to_owned()],
            ..task()
        }));
        bad.host = "<b>host".to_owned();
        let html = compose(&bad).html;
        for tag in ["<script", "<img", "<i>", "<b>host"] {
            assert!(!html.contains(tag), "{tag} in {html}");
        }
    }
}
