//! Names of DAGs and tasks, as newtypes: a task's id never goes where a DAG's belongs.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest id that is accepted, in bytes. Ids become parts of file names, whose limit is 255 bytes.
pub const MAX_ID_LEN: usize = 200;

/// Why a text is not an id. Reads after "error: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// The text is empty.
    #[error("an id cannot be empty")]
    Empty,
    /// The text is longer than [`MAX_ID_LEN`] bytes.
    #[error("an id has at most {MAX_ID_LEN} bytes, this one has {0}")]
    TooLong(usize),
    /// The first character is neither a letter, a digit nor `_`.
    #[error("an id begins with a letter, a digit or `_`, not with `{}`", printable(*.0))]
    BadStart(char),
    /// A later character is none of letters, digits, `_`, `-`, `.`.
    #[error("an id has only letters, digits, `_`, `-` and `.`, not `{}`", printable(*.0))]
    BadCharacter(char),
}

fn check(text: &str) -> Result<(), InvalidId> {
    let mut characters = text.chars();
    let first = characters.next().ok_or(InvalidId::Empty)?;
    if text.len() > MAX_ID_LEN {
        return Err(InvalidId::TooLong(text.len()));
    }
    if !(first.is_alphanumeric() || first == '_') {
        return Err(InvalidId::BadStart(first));
    }
    match characters.find(|c| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))) {
        Some(bad) => Err(InvalidId::BadCharacter(bad)),
        None => Ok(()),
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Checks the text: letters (of any script), digits, `_`, `-`, `.`; at most [`MAX_ID_LEN`] bytes; no
            /// leading `-` or `.`, so that an id is always a safe file name and never looks like a flag.
            ///
            /// # Errors
            /// The text is no id.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                check(&text)?;
                Ok(Self(text))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

id! {
    /// The name of a DAG: the stem of its file.
    DagId
}
id! {
    /// The name of a task within its DAG.
    TaskId
}

/// A newline as `\n`.
fn printable(c: char) -> String {
    if c.is_control() { c.escape_default().to_string() } else { c.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_file_names_and_airflow_accept() {
        for good in ["a", "check_table_finish", "2daily", "用户画像", "a.b-c", "_x"] {
            assert!(TaskId::new(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn refuses_what_could_leave_its_folder_or_look_like_a_flag() {
        assert_eq!(DagId::new(""), Err(InvalidId::Empty));
        assert_eq!(DagId::new("../x"), Err(InvalidId::BadStart('.')));
        assert_eq!(DagId::new("-x"), Err(InvalidId::BadStart('-')));
        assert_eq!(DagId::new("a/b"), Err(InvalidId::BadCharacter('/')));
        assert_eq!(DagId::new("a b"), Err(InvalidId::BadCharacter(' ')));
        assert_eq!(DagId::new("x".repeat(201)), Err(InvalidId::TooLong(201)));
        assert!(DagId::new("x".repeat(200)).is_ok());
    }
}
