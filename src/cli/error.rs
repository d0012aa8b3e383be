//! Why a command did not do it, and the exit code that says so.

use std::fmt;
use std::io;
use std::process::ExitCode;

use super::diagnostic::{self, Style};
use crate::app::{AppError, Class};
use crate::home::HomeError;
use crate::runner::driver::DriverError;

/// A failure, in the words that are printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliError {
    class: Class,
    text: String,
}

impl CliError {
    /// The command line or a file is wrong. `what` reads after "error: ", `next` is what to type or do.
    pub fn usage(what: impl fmt::Display, next: impl fmt::Display) -> CliError {
        AppError::usage(what, next).into()
    }

    /// The surroundings are wrong.
    pub fn environment(what: impl fmt::Display, next: impl fmt::Display) -> CliError {
        AppError::environment(what, next).into()
    }

    /// A run or a task failed.
    pub fn failed(what: impl fmt::Display, next: impl fmt::Display) -> CliError {
        AppError::failed(what, next).into()
    }

    /// The exit code.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.class as u8)
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for CliError {}

impl From<AppError> for CliError {
    fn from(error: AppError) -> CliError {
        let class = error.class();
        let text = match &error {
            AppError::Faulty { file, next } => {
                let style = Style::of(&io::stderr());
                let page = diagnostic::render(&file.faults, &file.path, &file.text, style);
                format!("{}\n\nnext: {next}", page.trim_end())
            }
            AppError::Told { .. } | AppError::Below { .. } => error.to_string(),
        };
        CliError { class, text }
    }
}

macro_rules! through_app {
    ($($error:ty),*) => {
        $(impl From<$error> for CliError {
            fn from(error: $error) -> CliError {
                AppError::from(error).into()
            }
        })*
    };
}

through_app!(HomeError, DriverError);
