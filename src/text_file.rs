//! Text files that people write, as the editors of every system save them: UTF-8, with or without a byte order mark.

use std::path::Path;
use std::{fs, io};

/// What some editors put in front of UTF-8. It is no part of the text.
const MARK: char = '\u{feff}';

/// Why bytes are no text. Reads after "FILE: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotUtf8 {
    /// Each character has two bytes.
    #[error("it is UTF-16 text, and has to be UTF-8: save it as UTF-8")]
    Utf16,
    /// Any other encoding, or no text at all.
    #[error("it is not UTF-8 text: save it as UTF-8")]
    Other {
        /// The text with replacement characters, the first of them at `valid_up_to`.
        lossy: String,
        /// How many bytes are text.
        valid_up_to: usize,
    },
}

/// Reads a file as text.
///
/// # Errors
/// It cannot be read, or is not UTF-8 ([`io::ErrorKind::InvalidData`]).
pub(crate) fn read(path: &Path) -> io::Result<String> {
    decode(fs::read(path)?).map_err(|wrong| io::Error::new(io::ErrorKind::InvalidData, wrong))
}

/// The text of these bytes, without the mark in front.
pub(crate) fn decode(bytes: Vec<u8>) -> Result<String, NotUtf8> {
    // With the mark, or as a Latin letter begins a text without one.
    let is_utf16 = match bytes.as_slice() {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => true,
        [first, second, ..] => (*first == 0) != (*second == 0),
        _ => false,
    };
    if is_utf16 {
        return Err(NotUtf8::Utf16);
    }
    match String::from_utf8(bytes) {
        Ok(mut text) => {
            if text.starts_with(MARK) {
                text.drain(..MARK.len_utf8());
            }
            Ok(text)
        }
        Err(error) => Err(NotUtf8::Other {
            valid_up_to: error.utf8_error().valid_up_to(),
            lossy: String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }),
    }
}

/// The text with newlines in place of the line ends of Windows.
pub(crate) fn with_newlines(text: String) -> String {
    if text.contains("\r\n") { text.replace("\r\n", "\n") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_in_front_is_no_part_of_the_text_and_one_within_is() {
        assert_eq!(decode("\u{feff}a\u{feff}b".into()), Ok("a\u{feff}b".to_owned()));
        assert_eq!(decode(Vec::new()), Ok(String::new()));
        assert_eq!(decode(vec![0xef, 0xbb, 0xbf]), Ok(String::new()));
        assert_eq!(decode(vec![b'\n', b'a']), Ok("\na".to_owned()));
    }

    #[test]
    fn utf_16_is_known_by_its_mark_and_by_its_first_letter() {
        for bytes in [&b"\xff\xfea\0"[..], b"\xfe\xff\0a", b"a\0b\0", b"\0a\0b"] {
            assert_eq!(decode(bytes.to_vec()), Err(NotUtf8::Utf16), "{bytes:?}");
        }
        let latin = NotUtf8::Other { lossy: "gr\u{fffd}n".to_owned(), valid_up_to: 2 };
        assert_eq!(decode(b"gr\xfcn".to_vec()), Err(latin));
    }

    #[test]
    fn line_ends_of_windows_become_newlines_and_a_lone_return_stays() {
        assert_eq!(with_newlines("a\r\nb\rc\n".to_owned()), "a\nb\rc\n");
    }
}
