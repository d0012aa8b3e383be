//! Faults as rustc shows its own: the line, a caret under the words, what was expected, and help.

use std::path::Path;

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};

use crate::dag::file::{Fault, Severity};

/// How it is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Without colours.
    Plain,
    /// For a terminal.
    Colour,
}

/// Renders every fault of a file.
pub fn render(faults: &[Fault], path: &Path, text: &str, style: Style) -> String {
    faults.iter().map(|fault| render_one(fault, path, text, style)).collect()
}

fn render_one(fault: &Fault, path: &Path, text: &str, style: Style) -> String {
    let level = match fault.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let path = path.display().to_string();
    let mut group = level.primary_title(fault.message.as_str()).id(fault.code).elements(Vec::<Origin<'_>>::new());
    if text.is_empty() {
        group = group.element(Origin::path(path.as_str()));
    } else {
        let mut snippet = Snippet::source(text).path(path.as_str());
        snippet = snippet.annotation(AnnotationKind::Primary.span(visible(fault, text)).label(fault.label.as_str()));
        for (span, label) in &fault.related {
            snippet = snippet.annotation(AnnotationKind::Context.span(span.clone()).label(label.as_str()));
        }
        group = group.element(snippet);
    }
    if let Some(help) = &fault.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Colour => Renderer::styled(),
    };
    format!("{}\n\n", renderer.term_width(100).render(&[group]))
}

/// A span of at least one character, and of one line: a caret under a whole script helps nobody.
fn visible(fault: &Fault, text: &str) -> std::ops::Range<usize> {
    let start = fault.span.start.min(text.len());
    let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
    let end = fault.span.end.min(line_end).max(start);
    start..end
}
