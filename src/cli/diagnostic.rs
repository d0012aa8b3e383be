//! Draws faults as rustc draws its own: the line, carets under the words, what was expected, what to write.

use std::io::IsTerminal;
use std::ops::Range;
use std::os::fd::AsFd;
use std::path::Path;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::layout::{Layout, hanging, wants_colour, width};
use crate::dag::file::{Fault, Severity, within};

/// How the text is shown where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    colour: bool,
    layout: Layout,
}

impl Style {
    /// As it is written into files: no escape codes, and the lines of a file cut around the carets at 100 columns.
    pub const PLAIN: Style = Style { colour: false, layout: Layout::Pipe };

    /// The same with colour.
    pub const COLOUR: Style = Style { colour: true, layout: Layout::Pipe };

    /// As a stream of this process wants it.
    pub fn of(stream: &(impl IsTerminal + AsFd)) -> Style {
        Style { colour: wants_colour(stream), layout: Layout::of(stream) }
    }
}

/// All faults of one file, a blank line between them and a line end after the last one; nothing for no faults.
///
/// Spans that are not of `text` are shown at its nearest place.
pub fn render(faults: &[Fault], path: &Path, text: &str, style: Style) -> String {
    let renderer = if style.colour { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Ascii).term_width(style.layout.width());
    let path = one_line(&path.display().to_string());
    // The renderer shows ASCII's control characters by signs; these are controls for a terminal as well. Both take two bytes, so
    // that every place stays where it is. A line end of Windows is nothing to look at.
    let text = &text.replace(|c| matches!(c, '\u{80}'..='\u{9f}'), "\u{b7}").replace("\r\n", " \n");
    let starts: Vec<usize> = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let pages: Vec<String> =
        faults.iter().map(|fault| renderer.render(&[group(fault, &path, text, &starts)])).collect();
    let mut page = pages.join("\n\n").lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    if let Layout::Terminal(room) = style.layout {
        page = page.lines().flat_map(|line| fitted(line, room)).collect::<Vec<_>>().join("\n");
    }
    if !page.is_empty() {
        page.push('\n');
    }
    page
}

/// A line of the renderer, which cuts the lines of the file but not its own words. What it says under the carets stays there.
fn fitted(line: &str, room: usize) -> Vec<String> {
    if width(line) <= room {
        return vec![line.to_owned()];
    }
    let plain = without_colours(line);
    let trimmed = plain.trim_start();
    let before = |text: &str| width(&plain) - width(text);
    let (lead, gutter) = if let Some(help) = trimmed.strip_prefix("= help: ") {
        (before(help), String::new())
    } else if trimmed.starts_with('|') {
        let bar = before(trimmed) + 1;
        (before(trimmed.trim_start_matches([' ', '|', '^', '-', '_'])), format!("{:>bar$}", "|"))
    } else if trimmed.starts_with(|first: char| first.is_ascii_digit() || first == '-') {
        return vec![line.to_owned()];
    } else {
        (before(trimmed), String::new())
    };
    // Words that would stand in a narrow strip begin further left.
    let is_title = lead == 0;
    let indent = if is_title || lead + 20 > room { width(&gutter) + 2 } else { lead };
    let (head, text) = split_at_column(line, lead);
    let mut lines = hanging(head, text, indent, room);
    for line in lines.iter_mut().skip(1) {
        line.replace_range(..gutter.len(), &gutter);
    }
    lines
}

fn without_colours(line: &str) -> String {
    let mut is_colour = false;
    line.chars()
        .filter(|&c| {
            let hidden = is_colour || c == '\u{1b}';
            is_colour = hidden && c != 'm';
            !hidden
        })
        .collect()
}

fn split_at_column(line: &str, column: usize) -> (&str, &str) {
    let at = line.char_indices().map(|(at, _)| at).find(|&at| width(&line[..at]) >= column).unwrap_or(line.len());
    line.split_at(at)
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
        let page = render(&faults, Path::new("a.toml"), text, Style::PLAIN);
        assert!(!page.contains(|c: char| c.is_control() && c != '\n'), "{page:?}");
        assert!(page.contains("a.toml:2:2"), "{page}");
    }

    #[test]
    fn words_are_broken_to_fit_a_terminal_and_stand_where_they_stood() {
        let text = "[tasks.a]\nschedule_of_tasks = \"0 25 * * *\"\n";
        let mut fault = Fault::error(
            "bad-schedule",
            30..32,
            "25 is out of range for the hour field of a schedule with five fields",
            "not a value that this field of a schedule takes",
        );
        fault.help.push("the hour field takes 0 to 23, and a list of them with commas between".to_owned());
        let style = Style { colour: false, layout: Layout::Terminal(60) };
        let page = render(&[fault.clone()], Path::new("a.toml"), text, style);
        assert_eq!(
            page,
            "error[bad-schedule]: 25 is out of range for the hour field\n  of a schedule with five fields\n \
             --> a.toml:2:21\n  |\n\
             2 | schedule_of_tasks = \"0 25 * * *\"\n  \
             |                     ^^ not a value that this field of a\n  \
             |                        schedule takes\n  |\n  \
             = help: the hour field takes 0 to 23, and a list of them\n          with commas between\n"
        );
        let style = Style { colour: true, layout: Layout::Terminal(60) };
        assert_eq!(without_colours(&render(&[fault], Path::new("a.toml"), text, style)), page);
    }
}
