//! An attempt's log as numbered lines, and which of them are its end.

use std::fmt;

/// Longer lines are cut before they are matched: a line of a gigabyte must not take the matcher's time.
const LONGEST: usize = 2_000;
/// Where no error message marks the end, so many lines are it.
const END_LINES: usize = 15;
/// How many error-like lines are shown.
const ERROR_LINES: usize = 5;

/// Where a line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineNumber {
    /// Counted from the first line, which is 1.
    FromStart(usize),
    /// Counted from the last line, which is 1: the log is too big to count it whole.
    FromEnd(usize),
}

impl fmt::Display for LineNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LineNumber::FromStart(number) => write!(f, "line {number}"),
            LineNumber::FromEnd(number) => write!(f, "line {number} from the end"),
        }
    }
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where.
    pub number: LineNumber,
    /// Without the line end.
    pub text: String,
}

/// The lines of a log that were read, in order: all of a small one, head and tail of a big one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    lines: Vec<Line>,
}

impl Log {
    /// A log of these lines; empty ones are left out.
    pub fn new(lines: impl IntoIterator<Item = (LineNumber, String)>) -> Log {
        let lines = lines
            .into_iter()
            .filter(|(_, text)| !text.trim().is_empty())
            .map(|(number, text)| Line { number, text: shortened(text) })
            .collect();
        Log { lines }
    }

    /// A whole log.
    pub fn of_text(text: &str) -> Log {
        Log::new(text.lines().enumerate().map(|(at, line)| (LineNumber::FromStart(at + 1), line.to_owned())))
    }

    /// The lines.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The index of the first line of the end: the last uncaught error with all of its trace, else the last lines.
    ///
    /// What was printed before is history: a refusal that the script survived did not kill it.
    pub(super) fn end(&self) -> usize {
        let telling = self.lines.iter().enumerate().rev().filter(|(_, line)| !is_noise(&line.text));
        let usual = telling.take(END_LINES).last().map_or(0, |(at, _)| at);
        let Some(mut start) = self.lines.iter().rposition(|line| is_head(&line.text)) else { return usual };
        // An error that came while another one was handled: the first of the chain is the root.
        while let Some(joint) = self.lines[..start].last()
            && is_joint(&joint.text)
            && let Some(earlier) = self.lines[..start].iter().rposition(|line| is_head(&line.text))
        {
            start = earlier;
        }
        start
    }

    /// The last lines that look like errors.
    pub(super) fn error_lines(&self) -> Vec<String> {
        let is_error = |line: &&Line| {
            let text = line.text.to_lowercase();
            ["error", "exception", "fatal", "failed", "failure", "cannot", "denied", "caused by"]
                .iter()
                .any(|word| text.contains(word))
                && !text.trim_start().starts_with("at ")
        };
        let mut lines: Vec<&Line> = self.lines.iter().rev().filter(is_error).take(ERROR_LINES).collect();
        if lines.is_empty() {
            lines = self.lines.iter().rev().take(ERROR_LINES).collect();
        }
        lines.reverse();
        lines.into_iter().map(shown).collect()
    }
}

/// A line as evidence shows it.
pub(super) fn shown(line: &Line) -> String {
    const SHOWN: usize = 200;
    let text = line.text.trim();
    let cut: String = text.chars().take(SHOWN).collect();
    let more = if cut.len() < text.len() { "..." } else { "" };
    format!("{}: {cut}{more}", line.number)
}

fn shortened(mut text: String) -> String {
    if text.len() > LONGEST {
        let at = (0..=LONGEST).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(at);
    }
    text
}

fn is_head(text: &str) -> bool {
    text.starts_with("Traceback (most recent call last)") || text.starts_with("Exception in thread \"main\"")
}

/// Frames of a Java trace, and what a JVM says while it goes down.
fn is_noise(text: &str) -> bool {
    let trimmed = text.trim_start();
    trimmed.starts_with("at ") || trimmed.starts_with("... ") || text.contains(" INFO ")
}

fn is_joint(text: &str) -> bool {
    text.starts_with("During handling of the above exception")
        || text.starts_with("The above exception was the direct cause")
}
