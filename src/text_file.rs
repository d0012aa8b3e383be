//! Text files that people write, as the editors of every system save them: UTF-8, with or without a byte order mark.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

/// What some editors put in front of UTF-8. It is no part of the text.
const MARK: char = '\u{feff}';

/// Larger ones are no text that a person wrote, and would fill the memory.
const LARGEST: u64 = 256 << 20;

/// Whether anything has that name, be it a link that leads nowhere.
pub(crate) fn is_there(path: &Path) -> bool {
    !matches!(fs::symlink_metadata(path), Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory))
}

/// Opens a regular file for reading, and waits for nobody: a named pipe would wait for a writer, a device for ever.
///
/// # Errors
/// It cannot be opened, or is another thing, which the error names. [`io::ErrorKind::NotFound`] only where nothing has that name.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // An attribute of the opened description that regular files do not heed.
    let opened = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(match fs::read_link(path) {
                Ok(target) => {
                    io::Error::other(format!("it is a symbolic link to {}, where there is no file", target.display()))
                }
                Err(_) => error,
            });
        }
        // A socket says that it has no such device.
        Err(error) => {
            let kind = fs::metadata(path).ok().and_then(|metadata| not_regular(metadata.file_type()));
            return Err(kind.map_or(error, |kind| io::Error::other(format!("it is {kind}, and has to be a file"))));
        }
    };
    match not_regular(file.metadata()?.file_type()) {
        Some(kind) => Err(io::Error::other(format!("it is {kind}, and has to be a file"))),
        None => Ok(file),
    }
}

fn not_regular(kind: fs::FileType) -> Option<&'static str> {
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some("a folder")
    } else if kind.is_fifo() {
        Some("a named pipe")
    } else if kind.is_socket() {
        Some("a socket")
    } else {
        Some("a device")
    }
}

/// The bytes of a regular file.
///
/// # Errors
/// As [`open`]; it is too large.
pub(crate) fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let length = file.metadata()?.len();
    let too_large = || io::Error::other(format!("it is larger than {} MiB", LARGEST >> 20));
    if length > LARGEST {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    // It may grow meanwhile.
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST { Err(too_large()) } else { Ok(bytes) }
}

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
/// As [`bytes`]; it is not UTF-8 ([`io::ErrorKind::InvalidData`]).
pub(crate) fn read(path: &Path) -> io::Result<String> {
    decode(bytes(path)?).map_err(|wrong| io::Error::new(io::ErrorKind::InvalidData, wrong))
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
