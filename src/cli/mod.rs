//! One file per command.

pub mod diagnostic;
pub mod schema;
pub mod validate;

use std::process::ExitCode;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
