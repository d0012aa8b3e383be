//! The log of one attempt: a header, what the task printed (secrets masked, size bounded), a footer.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::dag::units::format_size;
use crate::mask::{Mask, Stream};

/// How much of the end is kept when a log is cut in the middle.
const TAIL: usize = 64 << 10;
/// What the closing lines need, and the system frees in pieces of.
const ROOM_TO_CLOSE: u64 = 4 << 10;

/// Writes one attempt's log. A log that cannot be written (disk full) never stops the task: the rest is dropped and
/// counted.
pub struct AttemptLog {
    file: Option<File>,
    mask: Mask,
    printed: Stream,
    room: u64,
    tail: VecDeque<u8>,
    left_out: u64,
    /// The first error of the file, if any.
    pub failure: Option<io::Error>,
    ends_with_newline: bool,
}

impl AttemptLog {
    /// Opens the log for appending, readable by the owner alone.
    pub fn open(path: &Path, max_size: u64, mask: &Mask) -> AttemptLog {
        let opened = File::options().append(true).create(true).mode(0o600).open(path);
        let (file, failure) = match opened {
            Ok(file) => (Some(file), None),
            Err(error) => (None, Some(error)),
        };
        AttemptLog {
            file,
            mask: mask.clone(),
            printed: Stream::new(mask.clone()),
            room: max_size.saturating_sub(TAIL as u64).max(TAIL as u64),
            tail: VecDeque::new(),
            left_out: 0,
            failure,
            ends_with_newline: true,
        }
    }

    /// Writes lines of crondag's own, at once. Gives whether the disk took them.
    pub fn note(&mut self, lines: &str) -> bool {
        let mut note = self.mask.text(lines);
        if !self.ends_with_newline {
            note.insert(0, '\n');
        }
        note.push('\n');
        self.ends_with_newline = true;
        self.put(note.as_bytes())
    }

    /// Gives up the end of a log that a full disk cut short, so that its closing lines, which say so, can be written.
    pub fn make_room(&mut self) {
        if let Some(file) = &self.file {
            // What does not work here leaves the log as it is.
            let _ = file.metadata().and_then(|now| file.set_len(now.len().saturating_sub(ROOM_TO_CLOSE)));
            self.ends_with_newline = false;
        }
    }

    /// Takes in what the task printed.
    pub fn output(&mut self, bytes: &[u8]) {
        let masked;
        let bytes = if self.mask.is_empty() {
            bytes
        } else {
            masked = self.printed.next(bytes);
            &masked
        };
        let Some(last) = bytes.last() else { return };
        self.ends_with_newline = *last == b'\n';
        let fits = usize::try_from(self.room).unwrap_or(usize::MAX).min(bytes.len());
        self.room -= fits as u64;
        let (now, later) = bytes.split_at(fits);
        self.put(now);
        if !later.is_empty() {
            self.tail.extend(later);
            let excess = self.tail.len().saturating_sub(TAIL);
            self.left_out += excess as u64;
            self.tail.drain(..excess);
        }
    }

    /// Writes what is still held back: the task prints nothing more.
    pub fn end_of_output(&mut self) {
        let held = self.printed.last(b"");
        if self.room > 0 {
            self.put(&held);
        } else {
            self.tail.extend(held);
        }
        if self.left_out > 0 {
            let note =
                format!("\n[crondag] {} left out here: the log has reached its max_size\n", format_size(self.left_out));
            self.put(note.as_bytes());
        }
        let tail: Vec<u8> = std::mem::take(&mut self.tail).into();
        if let Some(last) = tail.last() {
            self.ends_with_newline = *last == b'\n';
        }
        self.put(&tail);
    }

    fn put(&mut self, bytes: &[u8]) -> bool {
        let Some(file) = &mut self.file else { return false };
        match file.write_all(bytes) {
            Ok(()) => true,
            Err(error) => {
                self.failure.get_or_insert(error);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(max_size: u64, secrets: &[&str], chunks: &[&[u8]]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = AttemptLog::open(&path, max_size, &Mask::new(secrets.iter().copied()));
        for chunk in chunks {
            log.output(chunk);
        }
        log.end_of_output();
        std::fs::read(path).unwrap()
    }

    #[test]
    fn secrets_are_masked_even_across_chunks() {
        let found = logged(1 << 20, &["hunter2!", "hunter2!!x"], &[b"a hun", b"ter2! b hunter2", b"!!x c hunt"]);
        assert_eq!(String::from_utf8(found).unwrap(), "a *** b *** c hunt");
    }

    #[test]
    fn a_long_log_keeps_its_head_and_its_tail_and_says_what_is_missing() {
        let line = b"0123456789abcde\n".repeat(1 << 16);
        let found = logged(256 << 10, &[], &[b"first\n", &line, b"last\n"]);
        assert!(found.len() < 257 << 10, "{}", found.len());
        let text = String::from_utf8(found).unwrap();
        assert!(text.starts_with("first\n") && text.ends_with("last\n"));
        assert!(text.contains("[crondag] 768.0 KB left out here: the log has reached its max_size"), "{}", &text[..0]);
    }

    #[test]
    fn any_bytes_pass_unharmed() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(logged(1 << 20, &[], &[&bytes]), bytes);
    }
}
