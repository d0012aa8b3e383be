//! Whether files are there: for sensors.

use std::io;
use std::path::{Component, Path};

use crate::dag::pattern::{is_pattern, matches};

/// Whether a path exists; if it has patterns, whether at least one file or folder matches. As in a shell, a pattern does
/// not match names that begin with a dot unless it begins with one itself.
///
/// # Errors
/// What the system says, except that something does not exist.
pub fn exists(path: &Path) -> io::Result<bool> {
    if !path.to_str().is_some_and(is_pattern) {
        return absent_is(false, path.symlink_metadata().map(|_| true));
    }
    let components: Vec<Component<'_>> = path.components().collect();
    search(Path::new(""), &components)
}

fn search(folder: &Path, rest: &[Component<'_>]) -> io::Result<bool> {
    let Some((first, rest)) = rest.split_first() else {
        return absent_is(false, folder.symlink_metadata().map(|_| true));
    };
    let Some(pattern) = first.as_os_str().to_str().filter(|name| is_pattern(name)) else {
        return search(&folder.join(first), rest);
    };
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = match here.read_dir() {
        Ok(entries) => entries,
        Err(error) => return absent_is(false, Err(error)),
    };
    for entry in entries {
        let name = entry?.file_name();
        let Some(text) = name.to_str() else { continue };
        let is_hidden = text.starts_with('.') && !pattern.starts_with('.');
        if !is_hidden && matches(pattern, text) && search(&folder.join(text), rest)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn absent_is(value: bool, result: io::Result<bool>) -> io::Result<bool> {
    match result {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(value),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_patterns_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("orders/20180701")).unwrap();
        std::fs::write(at("orders/20180701/part-0001"), "").unwrap();
        std::fs::write(at("orders/.hidden"), "").unwrap();
        for there in ["orders", "orders/*/part-*", "o*/2018070[0-9]/part-0001", "orders/20180701/../*", "orders/.h*"] {
            assert!(exists(&at(there)).unwrap(), "{there}");
        }
        for absent in [
            "orders/_SUCCESS",
            "orders/20180702/*",
            "orders/*/_SUCCESS",
            "orders/?hidden",
            "orders/20180701/part-0001/x",
        ] {
            assert!(!exists(&at(absent)).unwrap(), "{absent}");
        }
    }
}
