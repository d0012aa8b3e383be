//! What is wrong with a file, and where.

use std::ops::Range;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file is used, but probably does not do what was meant.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// A stable name of the kind of fault, in kebab-case.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The bytes of the file that are wrong; within the text, on character boundaries.
    pub span: Range<usize>,
    /// One line that reads after "error: ".
    pub message: String,
    /// What stands under the carets. Empty when the fault is not at any place: then the file alone is named.
    pub label: String,
    /// What to write instead, a line each.
    pub help: Vec<String>,
    /// Other places that explain this one, each with its label.
    pub related: Vec<(Range<usize>, String)>,
    /// Whether it is one only because of what crondag.toml says or leaves out.
    pub is_of_config: bool,
}

impl Fault {
    /// An error at a place.
    pub fn error(
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Fault {
        Fault {
            code,
            severity: Severity::Error,
            span,
            message: one_line(&message.into()),
            label: one_line(&label.into()),
            help: Vec::new(),
            related: Vec::new(),
            is_of_config: false,
        }
    }

    /// A warning at a place.
    pub fn warning(
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Fault {
        Fault { severity: Severity::Warning, ..Fault::error(code, span, message, label) }
    }

    /// An error of the file as a whole, at no place in it.
    pub fn of_file(code: &'static str, message: impl Into<String>) -> Fault {
        Fault::error(code, 0..0, message, "")
    }

    /// Adds a line of help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Fault {
        self.help.push(help.into());
        self
    }

    /// Adds another place.
    #[must_use]
    pub fn also(mut self, span: Range<usize>, label: impl Into<String>) -> Fault {
        self.related.push((span, label.into()));
        self
    }

    /// It is one only because of crondag.toml.
    #[must_use]
    pub(super) fn of_config(self) -> Fault {
        Fault { is_of_config: true, ..self }
    }

    /// Line and column of its beginning, both from 1; columns count characters.
    pub fn position(&self, text: &str) -> (usize, usize) {
        let before = &text[..self.span.start.min(text.len())];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// Whether the fault is of the file as a whole.
    pub fn is_of_file(&self) -> bool {
        self.label.is_empty()
    }
}

/// Texts of a file are quoted in messages: whatever they hold, a message stays one short line.
fn one_line(text: &str) -> String {
    const MOST: usize = 200;
    let text = text.trim_end();
    let shown = text.chars().take(MOST).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    if text.chars().nth(MOST).is_some() { shown + "..." } else { shown }
}

/// The nearest span that is of the text and begins and ends between its characters.
pub(crate) fn within(span: &Range<usize>, text: &str) -> Range<usize> {
    let mut start = span.start.min(text.len());
    let mut end = span.end.clamp(start, text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let text = "a = 1\n用户 = x\n";
        let position = |at: usize| Fault::error("x", at..at, "m", "l").position(text);
        assert_eq!(
            [0, 4, 6, 9, 15, text.len(), 999].map(position),
            [(1, 1), (1, 5), (2, 1), (2, 2), (2, 6), (3, 1), (3, 1)]
        );
        assert_eq!([Severity::Error, Severity::Warning].map(Severity::as_str), ["error", "warning"]);
    }

    #[test]
    fn a_message_is_one_line_and_not_endless() {
        assert_eq!(one_line("a\tb\nc \n"), "a b c");
        assert_eq!(one_line(&"x".repeat(200)), "x".repeat(200));
        assert_eq!(one_line(&"x".repeat(201)), "x".repeat(200) + "...");
    }
}
