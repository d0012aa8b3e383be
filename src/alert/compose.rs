//! Writes the mail: a subject that says it all, a plain text that stands on its own, the same as HTML.

use std::fmt::Write as _;

use super::{Incident, IncidentKind, Mail, TaskIncident};
use crate::dag::template::quote;
use crate::dag::units::format_duration;

/// Log lines in a mail are cut beyond this many characters.
const LINE_WIDTH: usize = 400;

/// Writes the mail of an incident. Pure.
pub fn compose(incident: &Incident) -> Mail {
    let body = Body::of(incident);
    Mail { to: incident.to.clone(), subject: one_line(&subject(incident)), text: body.text(), html: body.html() }
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
        let home = quote(&incident.home.display().to_string());
        let (dag, ds) = (&incident.dag_id, &incident.ds);
        let mut body =
            Body { headline: String::new(), facts: Vec::new(), lists: Vec::new(), log: None, commands: Vec::new() };
        match &incident.kind {
            IncidentKind::TaskFailed(task) => {
                body.headline = format!("Task {} of {dag} failed for {ds}.", task.task_id);
                body.task(task, incident);
            }
            IncidentKind::TaskRetry(task, next) => {
                body.headline = format!("Task {} of {dag} failed for {ds}; it will be tried again.", task.task_id);
                body.task(task, incident);
                body.facts.insert(1, ("next try", next.clone()));
            }
            IncidentKind::TaskSucceeded(task) => {
                body.headline = format!("Task {} of {dag} succeeded for {ds}.", task.task_id);
                body.task(task, incident);
            }
            IncidentKind::RunFailed { reason, failed, blocked } => {
                body.headline = format!("The run of {dag} for {ds} failed.");
                body.facts.push(("why", reason.clone()));
                body.facts.push(("data", format!("{} to {}", incident.data_interval.0, incident.data_interval.1)));
                body.facts.push(("run", incident.run_id.clone()));
                body.facts.push(("where", incident.host.clone()));
                let failed = failed.iter().map(|(task, reason)| format!("{task}: {reason}")).collect();
                body.lists.push(("Failed tasks", failed));
                body.lists.push(("Could not run because of them", blocked.clone()));
                body.commands.push(("see the tasks", format!("crondag --home {home} tasks {dag} {ds}")));
                body.commands
                    .push(("run the failed ones again", format!("crondag --home {home} clear {dag} {ds} --failed")));
            }
        }
        body
    }

    fn task(&mut self, task: &TaskIncident, incident: &Incident) {
        let home = quote(&incident.home.display().to_string());
        let (dag, ds, id) = (&incident.dag_id, &incident.ds, &task.task_id);
        let is_failure = !matches!(incident.kind, IncidentKind::TaskSucceeded(_));
        if is_failure {
            self.facts.push(("why", task.reason.clone()));
        }
        self.facts.push(("when", format!("started {}, took {}", task.started, format_duration(task.duration))));
        self.facts.push(("try", format!("{} of {}", task.try_number, task.max_tries)));
        self.facts.push(("data", format!("{} to {}", incident.data_interval.0, incident.data_interval.1)));
        self.facts.push(("run", incident.run_id.clone()));
        self.facts.push(("where", format!("{} {}", incident.host, incident.home.display())));
        self.facts.push(("log", task.log_file.clone()));
        if is_failure {
            self.lists.push(("It blocks", task.blocks.clone()));
        }
        self.log = Some(task.log_tail.iter().map(|line| printable(line)).collect());
        self.commands.push(("see the whole log", format!("crondag --home {home} logs {dag} {id} {ds}")));
        if is_failure {
            self.commands.push(("run it again", format!("crondag --home {home} clear {dag} {ds} --task {id}")));
        }
    }

    // Writing to a String cannot fail.
    fn text(&self) -> String {
        let mut text = format!("{}\n\n", self.headline);
        for (name, value) in &self.facts {
            let _ = writeln!(text, "  {name:<9} {}", one_line(value));
        }
        for (title, items) in self.lists.iter().filter(|(_, items)| !items.is_empty()) {
            let _ = writeln!(text, "\n{title}:");
            for item in items {
                let _ = writeln!(text, "  {}", one_line(item));
            }
        }
        if let Some(log) = &self.log {
            let _ = writeln!(text, "\nThe last {} lines of its log:", log.len());
            for line in log {
                let _ = writeln!(text, "  | {line}");
            }
        }
        text.push_str("\nWhat to type:\n");
        for (what, command) in &self.commands {
            let _ = writeln!(text, "  {command}\n      {what}");
        }
        text
    }

    fn html(&self) -> String {
        let mut html = format!(
            "<!DOCTYPE html>\n<html><body style=\"font-family:sans-serif;font-size:15px;color:#222;max-width:52em\">\n\
             <p style=\"font-size:18px\"><b>{}</b></p>\n<table style=\"border-spacing:0 4px\">\n",
            escape(&self.headline)
        );
        for (name, value) in &self.facts {
            let _ = writeln!(
                html,
                "<tr><td style=\"color:#777;padding-right:1em;vertical-align:top\">{name}</td><td>{}</td></tr>",
                escape(&one_line(value))
            );
        }
        html.push_str("</table>\n");
        for (title, items) in self.lists.iter().filter(|(_, items)| !items.is_empty()) {
            let _ = writeln!(html, "<p><b>{title}</b></p>\n<ul>");
            for item in items {
                let _ = writeln!(html, "<li>{}</li>", escape(&one_line(item)));
            }
            html.push_str("</ul>\n");
        }
        let pre = "style=\"background:#f5f5f5;padding:8px;font-size:13px;white-space:pre-wrap;overflow-wrap:anywhere\"";
        if let Some(log) = &self.log {
            let _ = writeln!(html, "<p><b>The last {} lines of its log</b></p>\n<pre {pre}>", log.len());
            for line in log {
                let _ = writeln!(html, "{}", escape(line));
            }
            html.push_str("</pre>\n");
        }
        html.push_str("<p><b>What to type</b></p>\n");
        for (what, command) in &self.commands {
            let _ =
                writeln!(html, "<pre {pre}>{}</pre><p style=\"color:#777;margin-top:0\">{what}</p>", escape(command));
        }
        html.push_str("</body></html>\n");
        html
    }
}

/// A line of a log without control characters and terminal colours.
fn printable(line: &str) -> String {
    let mut text = String::new();
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            '\u{1b}' => {
                // An escape sequence ends with a letter.
                for c in characters.by_ref() {
                    if c.is_ascii_alphabetic() {
                        break;
                    }
                }
            }
            '\t' => text.push_str("    "),
            c if c.is_control() => {}
            c => text.push(c),
        }
        if text.chars().count() >= LINE_WIDTH {
            text.push_str(" ...");
            break;
        }
    }
    text
}

/// No line break gets into a header or a fact.
fn one_line(text: &str) -> String {
    text.split(['\r', '\n']).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::time::Duration;

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
            blocks: vec!["push_active".to_owned()],
        }
    }

    #[test]
    fn a_failed_task() {
        let mail = compose(&incident(IncidentKind::TaskFailed(task())));
        assert_eq!(mail.subject, "[crondag] userprofile high_active_period failed (ds 2018-07-01, try 2 of 2)");
        let expected = "\
Task high_active_period of userprofile failed for 2018-07-01.

  why       exit status 1
  when      started 2018-07-02T07:00:12+08:00, took 1m15s
  try       2 of 2
  data      2018-07-01T07:00:00+08:00 to 2018-07-02T07:00:00+08:00
  run       scheduled__2018-07-01T07:00:00+08:00
  where     gateway1 /data/my etl
  log       .crondag/logs/userprofile/x/high_active_period.2.log

It blocks:
  push_active

The last 2 lines of its log:
  | Traceback <b>
  | ValueError: x

What to type:
  crondag --home '/data/my etl' logs userprofile high_active_period 2018-07-01
      see the whole log
  crondag --home '/data/my etl' clear userprofile 2018-07-01 --task high_active_period
      run it again
";
        assert_eq!(mail.text, expected);
        assert!(mail.html.contains("Traceback &lt;b&gt;") && !mail.html.contains('\u{1b}'));
    }

    #[test]
    fn subjects_of_the_other_kinds() {
        let subject = |kind| compose(&incident(kind)).subject;
        let retry =
            IncidentKind::TaskRetry(TaskIncident { try_number: 1, ..task() }, "2018-07-02T07:10:00+08:00".to_owned());
        assert_eq!(
            subject(retry),
            "[crondag] userprofile high_active_period failed, will retry (ds 2018-07-01, try 1 of 2)"
        );
        let success = IncidentKind::TaskSucceeded(task());
        assert_eq!(subject(success), "[crondag] userprofile high_active_period succeeded (ds 2018-07-01, try 2 of 2)");
        let failed = vec![("a".to_owned(), "x".to_owned()), ("b".to_owned(), "y".to_owned())];
        let run = IncidentKind::RunFailed { reason: "r".to_owned(), failed, blocked: Vec::new() };
        assert_eq!(subject(run), "[crondag] userprofile run failed (ds 2018-07-01, 2 tasks failed)");
    }

    #[test]
    fn no_text_can_add_a_header() {
        let mut bad = incident(IncidentKind::TaskFailed(task()));
        bad.ds = "2018\r\nBcc: x@y".to_owned();
        assert!(!compose(&bad).subject.contains(['\r', '\n']));
    }
}
