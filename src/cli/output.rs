//! What people and programs read: pages of text in at most 100 columns, tables, colours, times, JSON.
//!
//! A page is built whole and printed once, so that a failure half-way prints nothing and a closed pipe is no panic.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::error::CliError;
use crate::dag::{RunState, TaskState};

/// No line of text is longer, as long as the words allow.
pub const WIDTH: usize = 100;

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
            RunState::Queued => Tone::Dim,
            RunState::Running => Tone::Cyan,
            RunState::Success => Tone::Green,
            RunState::Failed => Tone::Red,
        }
    }
}

/// Whether colours go to a stream: it is a terminal that knows them, and `NO_COLOR` is unset or empty.
pub fn wants_colour(stream: &impl IsTerminal) -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    stream.is_terminal() && !no_color && !dumb
}

/// Text on its way to standard output.
#[derive(Debug)]
pub struct Page {
    text: String,
    colour: bool,
}

impl Page {
    /// An empty page for this process's standard output.
    pub fn new() -> Page {
        Page { text: String::new(), colour: wants_colour(&io::stdout()) }
    }

    /// A text in a tone, or as it is where there are no colours.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        if self.colour && tone != Tone::Plain { format!("\x1b[{}m{text}\x1b[0m", tone.code()) } else { text.to_owned() }
    }

    /// One line.
    pub fn line(&mut self, text: impl AsRef<str>) {
        self.text.push_str(text.as_ref().trim_end());
        self.text.push('\n');
    }

    /// An empty line, unless the page is empty.
    pub fn gap(&mut self) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
    }

    /// What to type next.
    pub fn next(&mut self, command: &str) {
        let word = self.paint(Tone::Bold, "next:");
        self.line(format!("{word} {command}"));
    }

    /// A table, its columns aligned.
    pub fn table(&mut self, table: &Table) {
        let lines = table.lines(self);
        for line in lines {
            self.line(line);
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

/// Writes a value as JSON to standard output.
pub fn print_json(value: &impl Serialize) -> Result<(), CliError> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| CliError::environment(format!("cannot write JSON: {error}"), "report this as a bug"))?;
    text.push('\n');
    write_out(&text)
}

/// A cell of a table.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A text in a tone.
    pub fn new(text: impl Into<String>, tone: Tone) -> Cell {
        Cell { text: printable(&text.into()), tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::new(text, Tone::Plain)
    }
}

/// Columns aligned by spaces; the last one is wrapped at [`WIDTH`].
#[derive(Debug)]
pub struct Table {
    heads: Vec<&'static str>,
    right: Vec<bool>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these heads; a head that begins with `>` makes its column flush right.
    pub fn new(heads: &[&'static str]) -> Table {
        Table {
            heads: heads.iter().map(|head| head.trim_start_matches('>')).collect(),
            right: heads.iter().map(|head| head.starts_with('>')).collect(),
            rows: Vec::new(),
        }
    }

    /// One more row, with as many cells as there are heads.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn lines(&self, page: &Page) -> Vec<String> {
        // A column that says nothing only takes room.
        let shown: Vec<usize> =
            (0..self.heads.len()).filter(|&column| self.rows.iter().any(|row| !row[column].text.is_empty())).collect();
        let Some(&last) = shown.last() else { return Vec::new() };
        let widths: Vec<usize> = (0..self.heads.len())
            .map(|column| {
                let cells = self.rows.iter().map(|row| width(&row[column].text));
                cells.chain([width(self.heads[column])]).max().unwrap_or(0)
            })
            .collect();
        let indent: usize = shown.iter().filter(|&&column| column != last).map(|&column| widths[column] + 2).sum();
        let room = WIDTH.saturating_sub(indent).max(20);
        let mut lines = Vec::with_capacity(self.rows.len() + 1);
        let heads: Vec<Cell> = self.heads.iter().map(|head| Cell::new(*head, Tone::Bold)).collect();
        for row in std::iter::once(&heads).chain(&self.rows) {
            let mut line = String::new();
            for &column in &shown {
                let cell = &row[column];
                if column == last && !self.right[column] {
                    let mut parts = wrap(&cell.text, room).into_iter();
                    line.push_str(&page.paint(cell.tone, &parts.next().unwrap_or_default()));
                    for part in parts {
                        lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
                        line.push_str(&page.paint(cell.tone, &part));
                    }
                    continue;
                }
                let space = " ".repeat(widths[column].saturating_sub(width(&cell.text)));
                let painted = page.paint(cell.tone, &cell.text);
                if self.right[column] {
                    line.push_str(&space);
                    line.push_str(&painted);
                } else {
                    line.push_str(&painted);
                    line.push_str(&space);
                }
                line.push_str("  ");
            }
            lines.push(line);
        }
        lines
    }
}

/// A text without what a terminal would obey, or what turns the order of letters round: names and reasons come from files, data and
/// other people. A newline is a blank.
pub fn printable(text: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => ' ',
            c if c.is_control() || turns(c) => '?',
            c => c,
        })
        .collect()
}

/// Breaks a text into lines of at most `room` columns, between words where it can.
pub fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let paragraph = printable(paragraph);
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !line.is_empty() && width(&line) + 1 + width(word) > room {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

/// Columns that a text takes on a terminal: East Asian wide characters take two, combining marks none.
pub fn width(text: &str) -> usize {
    text.chars()
        .map(|c| match u32::from(c) {
            0x0300..=0x036F | 0x200B..=0x200F | 0xFE00..=0xFE0F => 0,
            0x1100..=0x115F
            | 0x2E80..=0x303E
            | 0x3041..=0xA4CF
            | 0xAC00..=0xD7A3
            | 0xF900..=0xFAFF
            | 0xFE30..=0xFE6F
            | 0xFF00..=0xFF60
            | 0xFFE0..=0xFFE6
            | 0x1F300..=0x1F64F
            | 0x1F900..=0x1F9FF
            | 0x20000..=0x3FFFD => 2,
            _ => 1,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Page {
        Page { text: String::new(), colour: false }
    }

    #[test]
    fn tables_align_hide_empty_columns_and_wrap_the_last() {
        let mut table = Table::new(&["task", "empty", ">try", "reason"]);
        table.row(vec!["用户画像".into(), "".into(), "1/2".into(), "exit status 1".into()]);
        table.row(vec!["b".into(), "".into(), "10/10".into(), "word ".repeat(20).trim_end().into()]);
        let mut page = plain();
        page.table(&table);
        assert_eq!(
            page.text,
            "task        try  reason\n\
             用户画像    1/2  exit status 1\n\
             b         10/10  word word word word word word word word word word word word word word word word\n                 \
             word word word word\n"
        );
    }

    #[test]
    fn colours_do_not_move_the_columns() {
        let mut table = Table::new(&["state", "x"]);
        table.row(vec![Cell::new("ok", Tone::Green), "y".into()]);
        let mut page = Page { text: String::new(), colour: true };
        page.table(&table);
        assert_eq!(page.text, "\x1b[1mstate\x1b[0m  \x1b[1mx\x1b[0m\n\x1b[32mok\x1b[0m     y\n");
    }
}
