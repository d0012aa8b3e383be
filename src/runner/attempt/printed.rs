//! What of a log crondag has written itself, and what the attempt's program has printed.
//!
//! A program prints what it likes, lines like crondag's own too. So where its output lies is recorded with the end of the attempt;
//! words are believed only where that is not known: of an attempt of an earlier version, or of one whose shim was killed.

use serde::{Deserialize, Serialize};

/// Lines of crondag's own begin so.
const MARK: &str = "[crondag]";

/// Lines as crondag writes them into a log; empty ones stay empty.
pub(crate) fn own(lines: &str) -> String {
    let marked = lines.split('\n').map(|line| if line.is_empty() { String::new() } else { format!("{MARK} {line}") });
    marked.collect::<Vec<_>>().join("\n")
}

fn is_own(line: &[u8]) -> bool {
    line.starts_with(MARK.as_bytes())
}

/// Where in its log the output of a program lies, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Printed {
    /// Where it begins.
    pub from: u64,
    /// Where it ends.
    pub until: u64,
}

impl Printed {
    /// As far as words tell: behind crondag's first lines, and before its last ones if there are any. `tail` is the end of a log and
    /// begins at `tail_at`; of a log that is read whole both parts are all of it.
    pub(crate) fn guessed(head: &[u8], (tail, tail_at): (&[u8], u64), has_closing_lines: bool) -> Printed {
        let length = |lines: &[&[u8]]| lines.iter().map(|line| line.len() as u64).sum::<u64>();
        let lines: Vec<&[u8]> = head.split_inclusive(|byte| *byte == b'\n').collect();
        let first = lines.iter().position(|line| !is_own(line)).unwrap_or(lines.len());
        let from = length(&lines[..first]);
        let lines: Vec<&[u8]> = tail.split_inclusive(|byte| *byte == b'\n').collect();
        let last = lines.iter().rposition(|line| !is_own(line)).filter(|_| has_closing_lines);
        let until = tail_at + length(&lines[..last.map_or(lines.len(), |last| last + 1)]);
        Printed { from, until: until.max(from) }
    }

    /// Whether what stands at that byte was printed.
    pub(crate) fn holds(self, at: u64) -> bool {
        (self.from..self.until).contains(&at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guessed(log: &str, has_closing_lines: bool) -> &str {
        let printed = Printed::guessed(log.as_bytes(), (log.as_bytes(), 0), has_closing_lines);
        &log[usize::try_from(printed.from).unwrap()..usize::try_from(printed.until).unwrap()]
    }

    #[test]
    fn what_is_written_as_crondags_own_is_recognised() {
        let log = format!("{}\nprinted\n\n{}\n", own("header\n   of two lines"), own("footer\nof two"));
        assert_eq!(log, "[crondag] header\n[crondag]    of two lines\nprinted\n\n[crondag] footer\n[crondag] of two\n");
        assert_eq!(guessed(&log, true), "printed\n\n");
        assert_eq!(own("\nfooter"), "\n[crondag] footer");
    }

    #[test]
    fn where_words_have_to_tell_nothing_in_the_middle_is_hidden() {
        let log = "[crondag] header\n\na\n[crondag] b\nc\n\n[crondag] d\n";
        assert_eq!(guessed(log, true), "\na\n[crondag] b\nc\n\n");
        // The shim was killed: it has written no closing lines.
        assert_eq!(guessed(log, false), "\na\n[crondag] b\nc\n\n[crondag] d\n");
        assert_eq!(guessed("[crondag] header\n", true), "");
        assert_eq!(guessed("", true), "");
    }
}
