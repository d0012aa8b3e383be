//! Line ends as Windows writes them: TOML lets a parser keep or normalise them in texts of several lines, and bash takes the
//! carriage return for a part of the command. So the file is read as if it had newlines alone.

use super::fault::Fault;

/// Reads a text with newlines in place of CRLF; places of faults are of the text as it stands.
pub(super) fn normalised<T>(text: &str, read: impl FnOnce(&str) -> (T, Vec<Fault>)) -> (T, Vec<Fault>) {
    if !text.contains("\r\n") {
        return read(text);
    }
    let (value, mut faults) = read(&text.replace("\r\n", "\n"));
    // Where a carriage return was taken out, in places of the shortened text.
    let gaps: Vec<usize> = text.match_indices("\r\n").enumerate().map(|(before, (at, _))| at - before).collect();
    let shift = |at: usize| at + gaps.partition_point(|gap| *gap < at);
    for fault in &mut faults {
        fault.span = shift(fault.span.start)..shift(fault.span.end);
        for (span, _) in &mut fault.related {
            *span = shift(span.start)..shift(span.end);
        }
    }
    (value, faults)
}
