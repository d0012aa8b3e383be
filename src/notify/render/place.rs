//! Where notices come from.

use std::path::PathBuf;

/// Where notices come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The home.
    pub home: PathBuf,
    /// The machine.
    pub host: String,
}
