//! The log of one attempt: a header, what the task printed (secrets masked, size bounded), a footer.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::dag::units::format_size;

/// How much of the end is kept when a log is cut in the middle.
const TAIL: usize = 64 << 10;
/// What stands in the log where a secret was.
const MASK: &[u8] = b"***";
/// Shorter secrets are not masked: they would eat ordinary words.
pub const SHORTEST_SECRET: usize = 4;

/// Writes one attempt's log. A log that cannot be written (disk full) never stops the task: the rest is dropped and
/// counted.
pub struct AttemptLog {
    file: Option<File>,
    secrets: Vec<Vec<u8>>,
    /// Bytes that may be the beginning of a secret.
    held: Vec<u8>,
    room: u64,
    tail: VecDeque<u8>,
    left_out: u64,
    /// The first error of the file, if any.
    pub failure: Option<io::Error>,
    ends_with_newline: bool,
}

impl AttemptLog {
    /// Opens the log for appending, readable by the owner alone.
    pub fn open(path: &Path, max_size: u64, secrets: &[String]) -> AttemptLog {
        let opened = File::options().append(true).create(true).mode(0o600).open(path);
        let (file, failure) = match opened {
            Ok(file) => (Some(file), None),
            Err(error) => (None, Some(error)),
        };
        let mut secrets: Vec<Vec<u8>> = secrets
            .iter()
            .flat_map(|secret| secret.lines())
            .filter(|line| line.len() >= SHORTEST_SECRET)
            .map(|line| line.as_bytes().to_vec())
            .collect();
        // The longest first: one secret may begin with another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        AttemptLog {
            file,
            secrets,
            held: Vec::new(),
            room: max_size.saturating_sub(TAIL as u64).max(TAIL as u64),
            tail: VecDeque::new(),
            left_out: 0,
            failure,
            ends_with_newline: true,
        }
    }

    /// Writes lines of crondag's own, at once.
    pub fn note(&mut self, lines: &str) {
        let mut note = self.mask(lines.as_bytes(), true);
        if !self.ends_with_newline {
            note.insert(0, b'\n');
        }
        note.push(b'\n');
        self.put(&note);
        self.ends_with_newline = true;
    }

    /// Takes in what the task printed.
    pub fn output(&mut self, bytes: &[u8]) {
        let masked;
        let bytes = if self.secrets.is_empty() {
            bytes
        } else {
            let mut joined = std::mem::take(&mut self.held);
            joined.extend_from_slice(bytes);
            masked = self.mask(&joined, false);
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
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            let masked = self.mask(&held, true);
            if self.room > 0 {
                self.put(&masked);
            } else {
                self.tail.extend(masked);
            }
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

    fn put(&mut self, bytes: &[u8]) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(bytes)
        {
            self.failure.get_or_insert(error);
        }
    }

    /// Replaces secrets. Unless it is the end, bytes that may begin a secret are held back for the next call.
    fn mask(&mut self, bytes: &[u8], is_end: bool) -> Vec<u8> {
        if self.secrets.is_empty() {
            return bytes.to_vec();
        }
        let mut masked = Vec::with_capacity(bytes.len());
        let mut position = 0;
        while position < bytes.len() {
            let rest = &bytes[position..];
            if let Some(secret) = self.secrets.iter().find(|secret| rest.starts_with(secret)) {
                masked.extend_from_slice(MASK);
                position += secret.len();
                continue;
            }
            if !is_end && self.secrets.iter().any(|secret| secret.starts_with(rest)) {
                self.held = rest.to_vec();
                return masked;
            }
            masked.push(bytes[position]);
            position += 1;
        }
        masked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(max_size: u64, secrets: &[&str], chunks: &[&[u8]]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let secrets: Vec<String> = secrets.iter().map(|secret| (*secret).to_owned()).collect();
        let mut log = AttemptLog::open(&path, max_size, &secrets);
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
