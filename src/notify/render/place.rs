//! Where notices come from.

use std::path::PathBuf;

/// Where notices come from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub struct Place {
    pub home: PathBuf,
    /// The machine.
    pub host: String,
}
