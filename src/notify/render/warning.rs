//! The mail of a check whose verdict is warn.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::html::escape;
use crate::notify::line::one_line;
use crate::notify::mail::Mail;

/// A check that warns.
#[derive(Debug, Clone)]
pub struct CheckWarning {
    /// The DAG.
    pub dag_id: String,
    /// The check.
    pub task_id: String,
    /// The run, as commands take it.
    pub selector: String,
    /// The date.
    pub ds: String,
    /// What was found, as text.
    pub table: String,
    /// Who gets it.
    pub to: Vec<String>,
    /// The home.
    pub home: PathBuf,
    /// The machine.
    pub host: String,
}

/// Writes the mail of a warning. Pure.
pub fn compose_warning(warning: &CheckWarning) -> Mail {
    let CheckWarning { dag_id, task_id, selector, ds, table, to, home, host } = warning;
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
        to: to.clone(),
        subject: one_line(&format!("[crondag] {dag_id} {task_id} warns (ds {ds})")),
        text,
        html,
        pictures: Vec::new(),
    }
}
