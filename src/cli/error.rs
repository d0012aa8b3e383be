//! Why a command did not do it, and the exit code that says so.

use std::fmt;
use std::process::ExitCode;

use crate::home::HomeError;
use crate::runner::client::ClientError;
use crate::runner::driver::DriverError;
use crate::runner::planner::PlanError;
use crate::store::StoreError;

/// What kind of failure it is; its number is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// A run or a task failed.
    Failed = 1,
    /// The command line or a file is wrong.
    Usage = 2,
    /// The database, a lock, the disk.
    Environment = 3,
}

/// A failure, in the words that are printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliError {
    exit: Exit,
    text: String,
}

impl CliError {
    /// The command line or a file is wrong. `what` reads after "error: ", `next` is what to type or do.
    pub fn usage(what: impl fmt::Display, next: impl fmt::Display) -> CliError {
        CliError::new(Exit::Usage, what, next)
    }

    /// The surroundings are wrong.
    pub fn environment(what: impl fmt::Display, next: impl fmt::Display) -> CliError {
        CliError::new(Exit::Environment, what, next)
    }

    /// A run or a task failed.
    pub fn failed(what: impl fmt::Display, next: impl fmt::Display) -> CliError {
        CliError::new(Exit::Failed, what, next)
    }

    /// A faulty file; `diagnostics` are printed as they are.
    pub fn faulty(diagnostics: &str, next: impl fmt::Display) -> CliError {
        CliError { exit: Exit::Usage, text: format!("{}\n\nnext: {next}", diagnostics.trim_end()) }
    }

    fn new(exit: Exit, what: impl fmt::Display, next: impl fmt::Display) -> CliError {
        CliError { exit, text: format!("error: {what}\nnext: {next}") }
    }

    /// The exit code.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit as u8)
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for CliError {}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> CliError {
        CliError { exit: Exit::Environment, text: format!("error: {error}") }
    }
}

impl From<HomeError> for CliError {
    fn from(error: HomeError) -> CliError {
        let exit = match &error {
            HomeError::NotFound(_) | HomeError::NotAHome { .. } | HomeError::Exposed(_) => Exit::Usage,
            HomeError::State { .. } => Exit::Environment,
        };
        CliError { exit, text: format!("error: {error}") }
    }
}

macro_rules! environment {
    ($($error:ty),*) => {
        $(impl From<$error> for CliError {
            fn from(error: $error) -> CliError {
                CliError { exit: Exit::Environment, text: format!("error: {error}") }
            }
        })*
    };
}

environment!(ClientError, DriverError, PlanError);
