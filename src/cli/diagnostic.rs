//! Draws faults as rustc draws its own: the line, carets under the words, what was expected, what to write.

use std::ops::Range;
use std::path::Path;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::dag::file::{Fault, Severity};

/// Whether the text goes to a terminal that shows colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// No escape codes.
    Plain,
    /// With colour.
    Colour,
}

/// The page is this wide; long lines of the file are cut around the carets.
const WIDTH: usize = 100;

/// All faults of one file, a blank line between them and a line end after the last one; nothing for no faults.
///
/// Spans that are not of `text` are shown at its nearest place.
pub fn render(faults: &[Fault], path: &Path, text: &str, style: Style) -> String {
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Colour => Renderer::styled(),
    };
    let renderer = renderer.decor_style(DecorStyle::Ascii).term_width(WIDTH);
    let path = one_line(&path.display().to_string());
    // The renderer shows ASCII's control characters by signs; these are controls for a terminal as well. Both take two bytes, so
    // that every place stays where it is.
    let text = &text.replace(|c| matches!(c, '\u{80}'..='\u{9f}'), "\u{b7}");
    let starts: Vec<usize> = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let pages: Vec<String> =
        faults.iter().map(|fault| renderer.render(&[group(fault, &path, text, &starts)])).collect();
    let mut page = pages.join("\n\n");
    if !page.is_empty() {
        page.push('\n');
    }
    page
}

fn group<'a>(fault: &'a Fault, path: &'a str, text: &'a str, starts: &[usize]) -> Group<'a> {
    let level = match fault.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(one_line(&fault.message)).id(fault.code);
    let mut group = if fault.is_of_file() {
        title.element(Origin::path(path))
    } else {
        // Only the lines that are shown go to the renderer: it would split a long file anew for each fault.
        let window = window(fault, text);
        let line_start = starts.partition_point(|start| *start <= window.start);
        let shift = |span: &Range<usize>| {
            let span = within(span, text);
            span.start - window.start..span.end - window.start
        };
        let annotations = fault
            .related
            .iter()
            .map(|(span, label)| AnnotationKind::Context.span(shift(span)).label(label.as_str()))
            .chain([AnnotationKind::Primary.span(shift(&fault.span)).label(fault.label.as_str())]);
        title.element(
            Snippet::source(&text[window.clone()])
                .line_start(line_start)
                .path(path)
                .fold(true)
                .annotations(annotations),
        )
    };
    for help in &fault.help {
        group = group.element(Level::HELP.message(one_line_each(help)));
    }
    group
}

/// The whole lines that a fault and its other places stand on.
fn window(fault: &Fault, text: &str) -> Range<usize> {
    let spans = std::iter::once(&fault.span).chain(fault.related.iter().map(|(span, _)| span));
    let (start, end) = spans
        .map(|span| within(span, text))
        .fold((text.len(), 0), |(start, end), span| (start.min(span.start), end.max(span.end)));
    let start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let end = text[end..].find('\n').map_or(text.len(), |at| end + at);
    start..end
}

fn within(span: &Range<usize>, text: &str) -> Range<usize> {
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

/// Control characters of a file, or of its name, must not reach the terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn one_line_each(text: &str) -> String {
    text.split('\n').map(one_line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_controls_a_terminal_does_not_reach_the_page() {
        let text = "[tasks.a]\ns`ell = \"\u{9b}31mred\u{1b}[0m\"\n";
        let faults = [Fault::error("syntax", 11..12, "this name needs quotes", "here")];
        let page = render(&faults, Path::new("a.toml"), text, Style::Plain);
        assert!(!page.contains(|c: char| c.is_control() && c != '\n'), "{page:?}");
        assert!(page.contains("a.toml:2:2"), "{page}");
    }
}
