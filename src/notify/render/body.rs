//! What a mail tells besides its subject, first as facts, lists, a log and commands, then laid out as text and as HTML.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

use super::evidence::{Evidence, LogTail};
use super::html::escape;
use super::place::Place;
use super::subject::summary;
use crate::dag::template::quote;
use crate::dag::units::{format_duration, format_size};
use crate::diagnose::Diagnosis;
use crate::notify::line::{one_line, printable, wrap};
use crate::notify::notice::{Notice, NoticeEvent, RunFacts, Standing, TaskFacts};
use crate::store::Trouble;

/// Log lines in a mail are cut beyond this many characters.
const LOG_WIDTH: usize = 400;
/// Plain text is broken here; log lines, paths and commands are not, so that they can be copied.
const WIDTH: usize = 78;
/// A list of tasks says only how many more there are beyond so many.
const LIST_LENGTH: usize = 30;
/// A digest lists so many notices.
const DIGEST_LENGTH: usize = 200;

/// A mail's content before it is laid out: facts, lists, a log, commands.
pub(super) struct Body<'a> {
    place: &'a Place,
    headline: String,
    facts: Vec<(&'static str, String)>,
    lists: Vec<(&'static str, Vec<String>)>,
    log: LogTail,
    commands: Vec<(&'static str, String)>,
}

impl<'a> Body<'a> {
    pub(super) fn of(event: &NoticeEvent, evidence: &Evidence, place: &'a Place) -> Body<'a> {
        let mut body = Body {
            place,
            headline: String::new(),
            facts: Vec::new(),
            lists: Vec::new(),
            log: LogTail::None,
            commands: Vec::new(),
        };
        match event {
            NoticeEvent::TaskFailed { run, task, blocks, runs_on, standing } => {
                body.headline = format!("Task {} of {} failed for {}.", task.task_id, run.dag_id, run.ds);
                body.task(run, task, Some(("It blocks", blocks)), evidence);
                body.lists.push(("These run all the same, on what there is", runs_on.clone()));
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
                body.command("run again what failed, what that blocked, and what was built on it", &again);
            }
            NoticeEvent::Recovered { dag_id, run_id, standing } => {
                body.headline = format!("{dag_id} has had a good run again.");
                body.facts.push(("before", standing.in_words().unwrap_or_default()));
                body.facts.push(("good run", run_id.clone()));
                body.place();
                body.command("see the runs", &format!("runs {dag_id}"));
            }
            NoticeEvent::Trouble { trouble } => body.trouble(trouble),
            NoticeEvent::TroubleOver { trouble, since, count } => {
                body.headline = match trouble {
                    Trouble::FaultyFile { dag_id, .. } => format!("The DAG file {dag_id}.toml is good again, or gone."),
                    Trouble::FaultyConfig { .. } => "The file crondag.toml is good again.".to_owned(),
                    Trouble::CutLog { dag_id, task_id, .. } => {
                        format!("The log of task {task_id} of {dag_id} is whole again.")
                    }
                    Trouble::LogDisk { .. } => "The disk takes the logs again.".to_owned(),
                };
                let times = if *count == 1 { String::new() } else { format!(", found {count} times") };
                body.facts.push(("before", format!("since {since:.0}{times}")));
                body.place();
                body.command("see how things stand", "status");
            }
            NoticeEvent::Digest { max_per_hour } => {
                let count = evidence.held_back.len();
                body.headline = format!(
                    "{} held back: more than {max_per_hour} were to go out within an hour.",
                    if count == 1 { "1 notice was".to_owned() } else { format!("{count} notices were") }
                );
                body.place();
                let told = |(at, notice): &(Timestamp, Notice)| {
                    (at.as_second(), format!("{at:.0}  {}", summary(&notice.event, &Evidence::default())))
                };
                // Those of one second by what they tell of.
                let sorted: BTreeSet<(i64, String, usize)> =
                    evidence.held_back.iter().map(told).enumerate().map(|(n, (at, line))| (at, line, n)).collect();
                let mut lines: Vec<String> = sorted.into_iter().take(DIGEST_LENGTH).map(|(_, line, _)| line).collect();
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
            let again = format!("clear {dag} {selector} --task {id}");
            let repair = evidence.diagnosis.as_ref().and_then(|diagnosis| diagnosis.repair.strip_prefix("crondag "));
            match repair.filter(|repair| *repair != again) {
                Some(repair) => self.command("run again what it found wrong, and what waits for that", repair),
                None => self.command("run it again", &again),
            }
            // The cause may call for the same.
            if let Some(again) = self.commands.pop() {
                self.commands.retain(|(_, command)| *command != again.1);
                self.commands.push(again);
            }
        }
    }

    fn trouble(&mut self, trouble: &Trouble) {
        let further = match trouble {
            Trouble::FaultyFile { dag_id, fault, is_scheduled } => {
                self.headline = format!("The DAG file {dag_id}.toml is faulty.");
                self.facts.push(("why", fault.clone()));
                self.command("see all faults, with their places", "validate");
                if *is_scheduled {
                    "its last good version goes on being scheduled; you will be told when the file is good again"
                } else {
                    "nothing of it is scheduled; you will be told when the file is good"
                }
            }
            Trouble::FaultyConfig { fault } => {
                self.headline = String::from("The file crondag.toml is faulty.");
                self.facts.push(("why", fault.clone()));
                self.command("see all faults, with their places", "validate");
                "commands and ticks end with this fault; what runs goes on with the last good settings; you will be told when \
                 the file is good again"
            }
            Trouble::CutLog { dag_id, task_id, left_out } => {
                self.headline = format!("Task {task_id} of {dag_id} prints more than its log may hold.");
                let left_out = format_size(*left_out);
                self.facts.push((
                    "why",
                    format!("{left_out} left out: the log has reached max_size of [logs] in crondag.toml"),
                ));
                self.command("see what there is", &format!("logs {dag_id} {task_id}"));
                "further cuts are counted; you will be told when its log is whole again"
            }
            Trouble::LogDisk { dag_id, task_id, error } => {
                self.headline =
                    String::from("The disk does not take the logs: tasks run on, and what they print is lost.");
                self.facts.push(("why", format!("the log of {dag_id} {task_id}: {error}")));
                self.command("see how things stand, and how much room there is", "status");
                "further logs are counted; you will be told when the disk takes them again"
            }
        };
        self.facts.push(("from now", further.to_owned()));
        self.place();
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
    pub(super) fn text(&self) -> String {
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
    pub(super) fn html(&self) -> String {
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
