//! What is wrong with a file: where, what, what was expected, and what to type instead.

use std::ops::Range;

/// How bad a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used; something in it is probably not meant.
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
    /// A stable name of this kind of fault, such as `unknown-key`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The bytes of the file that are wrong; they begin and end between characters.
    pub span: Range<usize>,
    /// What is wrong; a lower-case fragment that reads after "error: ".
    pub message: String,
    /// What stands under the caret.
    pub label: String,
    /// Other places that belong to it, with their labels.
    pub related: Vec<(Range<usize>, String)>,
    /// What to do.
    pub help: Option<String>,
}

impl Fault {
    pub(super) fn error(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Fault {
        Fault {
            code,
            severity: Severity::Error,
            span,
            message: message.into(),
            label: String::new(),
            related: Vec::new(),
            help: None,
        }
    }

    pub(super) fn warning(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Fault {
        Fault { severity: Severity::Warning, ..Fault::error(code, span, message) }
    }

    pub(super) fn label(mut self, label: impl Into<String>) -> Fault {
        self.label = label.into();
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Fault {
        self.help = Some(help.into());
        self
    }

    pub(super) fn related(mut self, span: Range<usize>, label: impl Into<String>) -> Fault {
        self.related.push((span, label.into()));
        self
    }

    /// Line and column of the fault's beginning, both from 1; columns count characters.
    pub fn position(&self, text: &str) -> (usize, usize) {
        let before = &text[..self.span.start.min(text.len())];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}
