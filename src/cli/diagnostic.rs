//! Faults of a file as text.

use std::path::Path;

use crate::dag::file::Fault;

/// How it is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Without colours.
    Plain,
    /// For a terminal.
    Colour,
}

/// Every fault with its place.
pub fn render(faults: &[Fault], path: &Path, text: &str, _style: Style) -> String {
    let one = |fault: &Fault| {
        let (line, column) = fault.position(text);
        format!("{}: {}\n --> {}:{line}:{column}", fault.severity.as_str(), fault.message, path.display())
    };
    faults.iter().map(one).collect::<Vec<_>>().join("\n\n")
}
