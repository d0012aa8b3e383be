//! What people and programs read: pages of text, colours, JSON. How a page is fitted into a terminal says [`super::layout`].
//!
//! A page is built whole and printed once, so that a failure half-way prints nothing and a closed pipe is no panic.

use std::io::{self, Write};

use serde::Serialize;

use super::error::CliError;
use super::layout::{Layout, hanging, printable, wants_colour, width};
pub use super::table::{Cell, Table};
use crate::app::NextStep;
use crate::dag::{RunState, TaskState};

/// How a word looks on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As everything else.
    Plain,
    /// Headings.
    Bold,
    /// Of little weight.
    Dim,
    /// Good.
    Green,
    /// Waiting, or worth a look.
    Yellow,
    /// Failed.
    Red,
    /// Going on.
    Cyan,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Tone::Plain => "",
            Tone::Bold => "1",
            Tone::Dim => "2",
            Tone::Green => "32",
            Tone::Yellow => "33",
            Tone::Red => "31",
            Tone::Cyan => "36",
        }
    }

    /// How a task's state looks.
    pub fn of_task(state: TaskState) -> Tone {
        match state {
            TaskState::None => Tone::Dim,
            TaskState::Running => Tone::Cyan,
            TaskState::UpForRetry | TaskState::UpForReschedule | TaskState::Skipped => Tone::Yellow,
            TaskState::Success => Tone::Green,
            TaskState::Failed | TaskState::UpstreamFailed => Tone::Red,
        }
    }

    /// How a run's state looks.
    pub fn of_run(state: RunState) -> Tone {
        match state {
            RunState::Queued | RunState::Skipped => Tone::Dim,
            RunState::Running => Tone::Cyan,
            RunState::Success => Tone::Green,
            RunState::Failed => Tone::Red,
        }
    }
}

/// Text on its way to standard output.
#[derive(Debug)]
pub struct Page {
    text: String,
    layout: Layout,
    colour: bool,
}

impl Page {
    /// An empty page for this process's standard output.
    pub fn new() -> Page {
        Page::on(Layout::of(&io::stdout()), wants_colour(&io::stdout()))
    }

    /// An empty page of that width.
    pub(super) fn on(layout: Layout, colour: bool) -> Page {
        Page { text: String::new(), layout, colour }
    }

    #[cfg(test)]
    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// How wide the page is.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// A text in a tone, or as it is where there are no colours.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        if self.colour && tone != Tone::Plain { format!("\x1b[{}m{text}\x1b[0m", tone.code()) } else { text.to_owned() }
    }

    /// One line, or as many as a narrow terminal needs for it.
    pub fn line(&mut self, text: impl AsRef<str>) {
        for line in self.layout.line(text.as_ref().trim_end()) {
            self.raw(line);
        }
    }

    /// One line as it is, however wide: for what programs read.
    pub fn raw(&mut self, text: impl AsRef<str>) {
        self.text.push_str(text.as_ref().trim_end());
        self.text.push('\n');
    }

    /// A text of several sentences, which is broken on a pipe as well; what follows its first line is indented.
    pub fn paragraph(&mut self, text: &str) {
        for line in hanging("", text, 2, self.layout.width()) {
            self.raw(line);
        }
    }

    /// A text behind its lead, which may be painted; the lines that follow stand below the text. Each paragraph begins anew.
    pub fn hanging(&mut self, lead: &str, tone: Tone, text: &str) {
        let indent = width(lead);
        let mut lead = lead.to_owned();
        for paragraph in text.lines() {
            for line in hanging("", &printable(paragraph), 0, self.layout.width().saturating_sub(indent)) {
                let line = format!("{lead}{}", self.paint(tone, &line));
                self.raw(line);
                lead = " ".repeat(indent);
            }
        }
    }

    /// An empty line, unless the page is empty.
    pub fn gap(&mut self) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
    }

    /// What to type next.
    pub fn next(&mut self, command: &str) {
        self.command("next:", command);
    }

    /// What to type, behind a word that says when.
    pub fn command(&mut self, when: &str, command: &str) {
        self.step(when, &NextStep::Command(command.to_owned()));
    }

    /// What to do, behind a word that says when.
    pub fn step(&mut self, when: &str, next: &NextStep) {
        let lead = self.paint(Tone::Bold, when);
        for line in self.layout.step(&lead, next) {
            self.raw(line);
        }
    }

    /// A table, its columns aligned.
    pub fn table(&mut self, table: &Table) {
        for line in table.lines(self) {
            self.raw(line);
        }
    }

    /// Writes the page to standard output.
    pub fn print(self) -> Result<(), CliError> {
        write_out(&self.text)
    }
}

impl Default for Page {
    fn default() -> Self {
        Page::new()
    }
}

/// Writes a text to standard output. A reader that has gone away (`| head`) is not an error.
pub fn write_out(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::environment(
            format!("cannot write to standard output: {error}"),
            "check the disk or the program that the output goes to",
        )),
        _ => Ok(()),
    }
}

/// Says something beside the output, on standard error, fitted into its terminal. With that closed there is nobody to tell.
pub fn say(text: impl AsRef<str>) {
    let stderr = io::stderr();
    let _ = writeln!(io::stderr(), "{}", Layout::of(&stderr).text(text.as_ref()));
}

/// Writes a value as JSON to standard output.
pub fn print_json(value: &impl Serialize) -> Result<(), CliError> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| CliError::environment(format!("cannot write JSON: {error}"), "report this as a bug"))?;
    text.push('\n');
    write_out(&text)
}
