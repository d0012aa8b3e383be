//! The mail of a check whose verdict is warn.

use std::fmt::Write as _;

use super::html::escape;
use super::place::Place;
use crate::notify::line::one_line;
use crate::notify::mail::Mail;

/// A check that warns.
#[derive(Debug, Clone, Copy)]
pub(super) struct CheckWarning<'a> {
    pub(super) dag_id: &'a str,
    pub(super) task_id: &'a str,
    /// The run, as commands take it.
    pub(super) selector: &'a str,
    pub(super) ds: &'a str,
    /// What was found, as text.
    pub(super) table: &'a str,
}

/// Writes the mail of a warning. Pure.
pub(super) fn render_warning(warning: &CheckWarning<'_>, to: &[String], place: &Place) -> Mail {
    let CheckWarning { dag_id, task_id, selector, ds, table } = warning;
    let Place { home, host } = place;
    let headline = format!("Check {task_id} of {dag_id} warns for {ds}; the run goes on.");
    let home_option = format!("--home {}", crate::dag::template::quote(&home.display().to_string()));
    let commands = [
        ("see the whole log", format!("crondag {home_option} logs {dag_id} {task_id} {selector}")),
        ("see the values of other dates", format!("crondag {home_option} checks {dag_id} {task_id}")),
    ];
    let mut text = format!("{headline}\n\n{table}\n");
    for (what, command) in &commands {
        let _ = writeln!(text, "To {what}:\n  {command}");
    }
    let footer = format!("crondag on {host}, {}", home.display());
    let _ = writeln!(text, "\n{footer}");
    let list: Vec<String> = commands
        .iter()
        .map(|(what, command)| format!("<p>To {what}:<br><code>{}</code></p>", escape(command)))
        .collect();
    let html = format!(
        "<p><b>{}</b></p><pre>{}</pre>{}<p style=\"color:#666\">{}</p>",
        escape(&headline),
        escape(table),
        list.join("\n"),
        escape(&footer)
    );
    Mail {
        to: to.to_vec(),
        subject: one_line(&format!("[crondag] {dag_id} {task_id} warns (ds {ds})")),
        text,
        html,
        pictures: Vec::new(),
    }
}
