//! The log of one attempt: a header, what the task printed (secrets masked, size bounded), a footer.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::printed::{Printed, own};
use crate::dag::units::format_size;
use crate::mask::{Mask, Stream};

/// How much of the end is kept at most when a log is cut in the middle.
const LONGEST_TAIL: u64 = 64 << 10;
/// What is kept free for the lines that say what is left out and how it ended.
const ROOM_TO_SAY: u64 = 1 << 10;
/// No character has more bytes than one and these.
const CONTINUATIONS: usize = 3;
/// What stands in place of the end of a header that is too long.
const LINES_LEFT_OUT: &str = "the rest is left out here: `crondag render` shows it all";
/// What the closing lines need, and the system frees in pieces of.
const ROOM_TO_CLOSE: u64 = 4 << 10;

/// Writes one attempt's log. A log that cannot be written (disk full) never stops the task: the rest is dropped and
/// counted.
pub struct AttemptLog {
    file: Option<File>,
    mask: Mask,
    printed: Stream,
    max_size: u64,
    /// How much of the output goes into the file as it comes.
    room: u64,
    /// The end of what went there may be within a character, of which so many bytes may follow.
    open_character: usize,
    /// How much of what comes after it is kept.
    longest_tail: usize,
    tail: VecDeque<u8>,
    left_out: u64,
    /// How long the log was when the program began to print, and when it had printed all.
    output_at: Option<Printed>,
    /// The first error of the file, if any.
    pub failure: Option<io::Error>,
    ends_with_newline: bool,
}

impl AttemptLog {
    /// Opens the log for appending, readable by the owner alone. No attempt writes more than `max_size` bytes into it, at least
    /// 4 KB.
    pub fn open(path: &Path, max_size: u64, mask: &Mask) -> AttemptLog {
        let opened = File::options().append(true).create(true).mode(0o600).open(path);
        let (file, failure) = match opened {
            Ok(file) => (Some(file), None),
            Err(error) => (None, Some(error)),
        };
        let longest_tail = (max_size / 4).min(LONGEST_TAIL);
        AttemptLog {
            file,
            mask: mask.clone(),
            printed: Stream::new(mask.clone()),
            max_size,
            room: max_size.saturating_sub(ROOM_TO_SAY + longest_tail),
            open_character: CONTINUATIONS,
            longest_tail: usize::try_from(longest_tail).unwrap_or(usize::MAX),
            tail: VecDeque::new(),
            left_out: 0,
            output_at: None,
            failure,
            ends_with_newline: true,
        }
    }

    /// Writes the lines with which the log begins: as many as a quarter of the log has room for.
    pub fn header(&mut self, lines: &str) {
        let rest = format!(" ...\n{}\n", own(LINES_LEFT_OUT));
        let room = usize::try_from(self.max_size / 4).unwrap_or(usize::MAX).saturating_sub(rest.len());
        let mut header = own(&self.mask.text(lines));
        if header.len() > room {
            header.truncate((0..=room).rfind(|end| header.is_char_boundary(*end)).unwrap_or(0));
            header.push_str(&rest);
        }
        self.room = self.room.saturating_sub(header.len() as u64 + 1);
        self.put_own(header);
        self.output_at = self.length().map(|length| Printed { from: length, until: length });
    }

    /// Writes lines of crondag's own, at once. Gives whether the disk took them.
    pub fn note(&mut self, lines: &str) -> bool {
        let lines = own(&self.mask.text(lines));
        self.put_own(lines)
    }

    /// Where in the log the output lies.
    pub fn printed(&self) -> Option<Printed> {
        self.output_at
    }

    /// Bytes of the output for which there was no room.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    fn length(&self) -> Option<u64> {
        Some(self.file.as_ref()?.metadata().ok()?.len())
    }

    fn put_own(&mut self, mut note: String) -> bool {
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
            let length = self.length();
            if let (Some(length), Some(printed)) = (length, &mut self.output_at) {
                *printed = Printed { from: printed.from.min(length), until: printed.until.min(length) };
            }
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
        self.take_in(bytes);
    }

    fn take_in(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        self.ends_with_newline = *last == b'\n';
        let mut fits = usize::try_from(self.room).unwrap_or(usize::MAX).min(bytes.len());
        self.room -= fits as u64;
        // A character that is cut in two is a character in neither part.
        while self.open_character > 0 && bytes.get(fits).is_some_and(|byte| is_continuation(*byte)) {
            fits += 1;
            self.open_character -= 1;
        }
        let (now, later) = bytes.split_at(fits);
        self.put(now);
        if !later.is_empty() {
            self.open_character = 0;
            self.tail.extend(later);
            let excess = self.tail.len().saturating_sub(self.longest_tail);
            self.leave_out(excess);
        }
    }

    /// Leaves out the first bytes of what was kept for the end.
    fn leave_out(&mut self, count: usize) {
        self.left_out += count as u64;
        self.tail.drain(..count);
    }

    /// Writes what is still held back: the task prints nothing more.
    pub fn end_of_output(&mut self) {
        let held = self.printed.last(b"");
        self.take_in(&held);
        if self.left_out > 0 {
            let in_character = self.tail.iter().take(CONTINUATIONS).take_while(|byte| is_continuation(**byte)).count();
            self.leave_out(in_character);
            let left_out = format_size(self.left_out);
            let note = own(&format!("\n{left_out} left out here: the log has reached its max_size\n"));
            self.put(note.as_bytes());
        }
        let tail: Vec<u8> = std::mem::take(&mut self.tail).into();
        if let Some(last) = tail.last() {
            self.ends_with_newline = *last == b'\n';
        }
        self.put(&tail);
        let length = self.length();
        if let (Some(length), Some(printed)) = (length, &mut self.output_at) {
            printed.until = length;
        }
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

/// Whether a byte of UTF-8 goes on with a character.
fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
        assert!(text.contains("[crondag] 769.0 KB left out here: the log has reached its max_size"), "{}", &text[..0]);
    }

    proptest! {
        #[test]
        fn a_log_is_never_longer_than_its_max_size_and_no_cut_splits_a_character(
            max_size in 4_096_u64..300_000,
            chunks in prop::collection::vec("[aéひ🎉\n]{0,3000}", 0..40),
            // Chunks end where a pipe ends them, within characters too.
            size in 1_usize..5_000,
        ) {
            let text = chunks.concat();
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            let found = logged(max_size, &[], &pieces);
            prop_assert!(found.len() as u64 <= max_size, "{} of {max_size}", found.len());
            let found = String::from_utf8(found).unwrap();
            let said = "[crondag] ";
            match found.split_once(said) {
                None => prop_assert_eq!(found, text),
                Some((head, tail)) => {
                    prop_assert!(text.starts_with(head.strip_suffix('\n').unwrap()));
                    let (_, tail) = tail.split_once('\n').unwrap();
                    prop_assert!(text.ends_with(tail));
                    prop_assert!(found.len() as u64 + 2 * ROOM_TO_SAY > max_size, "what fits is kept");
                }
            }
        }
    }

    #[test]
    fn a_header_that_is_too_long_says_where_the_rest_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = AttemptLog::open(&path, 4_096, &Mask::default());
        log.header(&"é".repeat(4_000));
        log.output(&b"x".repeat(10_000));
        log.end_of_output();
        log.note("the end");
        let found = std::fs::read_to_string(path).unwrap();
        assert!(found.len() <= 4_096, "{}", found.len());
        assert!(
            found.contains("é ...\n[crondag] the rest is left out here: `crondag render` shows it all\n"),
            "{found}"
        );
        assert!(found.ends_with("x\n[crondag] the end\n"), "{found}");
    }

    #[test]
    fn any_bytes_pass_unharmed() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(logged(1 << 20, &[], &[&bytes]), bytes);
    }
}
