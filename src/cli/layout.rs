//! How wide the output is, and how texts are fitted into it.
//!
//! On a terminal everything is laid out for its width: texts are broken between words, tables leave columns out and fold
//! those that stay. What goes into a file or a program is laid out for [`PIPE`] columns, always the same, and there no column
//! is left out and no line broken that a program may look for.

use std::io::IsTerminal;
use std::os::fd::AsFd;

use crate::app::NextStep;

/// The width where there is no terminal to ask.
pub const PIPE: usize = 100;

/// A narrower terminal gets lines of this width, which it breaks itself.
const NARROWEST: usize = 60;

/// Whether colours go to a stream: it is a terminal that knows them, and `NO_COLOR` is unset or empty.
pub fn wants_colour(stream: &impl IsTerminal) -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    stream.is_terminal() && !no_color && !dumb
}

/// Where output goes, and how wide it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// A person reads it in so many columns.
    Terminal(usize),
    /// A file or a program takes it.
    Pipe,
}

impl Layout {
    /// That of a stream: `COLUMNS`, as `watch` sets it for what it runs; else the terminal's own width; else a pipe's.
    pub fn of(stream: &(impl IsTerminal + AsFd)) -> Layout {
        let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let asked = || {
            let size = stream.is_terminal().then(|| rustix::termios::tcgetwinsize(stream).ok()).flatten();
            size.map(|size| usize::from(size.ws_col))
        };
        match told.or_else(asked) {
            // A serial line does not know its width.
            None | Some(0) => Layout::Pipe,
            Some(width) => Layout::Terminal(width.max(NARROWEST)),
        }
    }

    /// In columns.
    pub fn width(self) -> usize {
        match self {
            Layout::Terminal(width) => width,
            Layout::Pipe => PIPE,
        }
    }

    /// A line as it is on a pipe; broken between words on a terminal that is too narrow for it. What follows is indented a
    /// little deeper than the line.
    pub fn line(self, line: &str) -> Vec<String> {
        match self {
            Layout::Terminal(room) if width(line) > room => {
                let text = line.trim_start_matches(' ');
                let indent = line.len() - text.len();
                hanging(&" ".repeat(indent), text, (indent + 2).min(room / 2), room)
            }
            Layout::Terminal(_) | Layout::Pipe => vec![line.to_owned()],
        }
    }

    /// The same for a command that somebody may copy: a backslash ends each line that the next one goes on.
    pub fn command(self, line: &str) -> Vec<String> {
        match self {
            Layout::Terminal(room) if width(line) > room => {
                let mut lines = hanging("", line, 2, room.saturating_sub(2));
                let last = lines.len() - 1;
                lines[..last].iter_mut().for_each(|line| line.push_str(" \\"));
                lines
            }
            Layout::Terminal(_) | Layout::Pipe => vec![line.to_owned()],
        }
    }

    /// What to do, behind its lead. A line of a file stands alone where it does not fit: nobody could put it together again.
    pub fn step(self, lead: &str, next: &NextStep) -> Vec<String> {
        let line = format!("{lead} {next}");
        match (next, self) {
            (NextStep::Command(_), _) => self.command(&line),
            (NextStep::Advice(_), _) => self.line(&line),
            (NextStep::Line { place, line: content }, Layout::Terminal(room)) if width(&line) > room => {
                let mut lines = self.line(&format!("{lead} {place}:"));
                lines.push(content.clone());
                lines
            }
            (NextStep::Line { .. }, _) => vec![line],
        }
    }

    /// Several lines, each as [`Layout::line`] has it; what is to be typed next as a command.
    pub fn text(self, text: &str) -> String {
        let fitted = |line| if is_command(line) { self.command(line) } else { self.line(line) };
        text.lines().flat_map(fitted).collect::<Vec<_>>().join("\n")
    }
}

fn is_command(line: &str) -> bool {
    ["next: crondag ", "then: crondag "].iter().any(|lead| line.starts_with(lead))
}

/// A text behind its lead, at most `room` columns wide; what does not stand beside the lead is indented.
pub fn hanging(lead: &str, text: &str, indent: usize, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = lead.to_owned();
    let mut taken = width(lead);
    let mut is_begun = false; // whether the line has a word
    for word in text.split(' ') {
        let wide = width(word);
        if taken + usize::from(is_begun) + wide > room && (is_begun || taken > indent) {
            lines.push(std::mem::take(&mut line).trim_end().to_owned());
            (line, taken, is_begun) = (" ".repeat(indent), indent, false);
            if word.is_empty() {
                continue;
            }
        }
        if is_begun {
            line.push(' ');
            taken += 1;
        }
        line.push_str(word);
        taken += wide;
        is_begun = true;
    }
    lines.push(line.trim_end().to_owned());
    lines
}

/// Breaks a text into lines of at most `room` columns, between words where it can.
pub fn wrap(text: &str, room: usize) -> Vec<String> {
    text.lines().flat_map(|paragraph| hanging("", &printable(paragraph), 0, room)).collect()
}

/// The columns of the longest word.
pub fn longest_word(text: &str) -> usize {
    text.split_whitespace().map(width).max().unwrap_or(0)
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

/// Columns that a text takes on a terminal: East Asian wide characters take two, combining marks and our colours none.
pub fn width(text: &str) -> usize {
    let mut is_colour = false;
    let of = |c: char| match u32::from(c) {
        0x1B => {
            is_colour = true;
            0
        }
        0x6D if is_colour => {
            is_colour = false;
            0
        }
        _ if is_colour => 0,
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
    };
    text.chars().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_broken_between_words_on_a_terminal_only() {
        let line = "  one two three four";
        assert_eq!(Layout::Terminal(12).line(line), ["  one two", "    three", "    four"]);
        assert_eq!(Layout::Pipe.line(line), [line]);
        assert_eq!(Layout::Terminal(6).line("immeasurable word"), ["immeasurable", "  word"]);
    }

    #[test]
    fn a_command_that_is_broken_can_still_be_copied() {
        let lines = Layout::Terminal(20).command("next: crondag tasks userprofile 20180701");
        assert_eq!(lines, ["next: crondag \\", "  tasks \\", "  userprofile \\", "  20180701"]);
    }

    #[test]
    fn colours_take_no_room() {
        assert_eq!(width("\u{1b}[31mred\u{1b}[0m mm"), 6);
    }
}
