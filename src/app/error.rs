//! Why nothing could be answered or ordered, in words that every front end can show.

use std::fmt;

use crate::home::HomeError;
use crate::runner::catalog::FaultyFile;
use crate::runner::client::ClientError;
use crate::runner::driver::DriverError;
use crate::runner::planner::PlanError;
use crate::store::StoreError;

/// What kind of failure it is. Its number is the exit code of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A run or a task failed.
    Failed = 1,
    /// What was asked for does not exist or makes no sense, or a file is faulty.
    Usage = 2,
    /// The database, a lock, the disk.
    Environment = 3,
}

/// A failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppError {
    /// Something was asked for in vain.
    Told {
        /// Whose fault it is.
        class: Class,
        /// What is wrong; reads after "error: ".
        what: String,
        /// What to type or do.
        next: String,
    },
    /// A file cannot be used.
    Faulty {
        /// The file, its text and its faults.
        file: FaultyFile,
        /// What to type or do.
        next: String,
    },
    /// A failure of the layers below, which says itself what to do.
    Below {
        /// Whose fault it is.
        class: Class,
        /// What is wrong, and after "next: " what to do.
        text: String,
    },
}

impl AppError {
    /// The question is wrong. `what` reads after "error: ", `next` is what to type or do.
    pub fn usage(what: impl fmt::Display, next: impl fmt::Display) -> AppError {
        AppError::told(Class::Usage, what, next)
    }

    /// The surroundings are wrong.
    pub fn environment(what: impl fmt::Display, next: impl fmt::Display) -> AppError {
        AppError::told(Class::Environment, what, next)
    }

    /// A run or a task failed.
    pub fn failed(what: impl fmt::Display, next: impl fmt::Display) -> AppError {
        AppError::told(Class::Failed, what, next)
    }

    fn told(class: Class, what: impl fmt::Display, next: impl fmt::Display) -> AppError {
        AppError::Told { class, what: what.to_string(), next: next.to_string() }
    }

    /// Whose fault it is.
    pub fn class(&self) -> Class {
        match self {
            AppError::Told { class, .. } | AppError::Below { class, .. } => *class,
            AppError::Faulty { .. } => Class::Usage,
        }
    }
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppError::Told { what, next, .. } => write!(f, "error: {what}\nnext: {next}"),
            AppError::Faulty { file, next } => write!(f, "error: {}\nnext: {next}", file.summary()),
            AppError::Below { text, .. } => write!(f, "error: {text}"),
        }
    }
}

impl std::error::Error for AppError {}

impl From<FaultyFile> for AppError {
    fn from(file: FaultyFile) -> AppError {
        let next = format!("correct {}, then type `crondag validate`", file.path.display());
        AppError::Faulty { file, next }
    }
}

impl From<HomeError> for AppError {
    fn from(error: HomeError) -> AppError {
        let class = match &error {
            HomeError::NotFound(_) | HomeError::NotAHome { .. } | HomeError::Exposed(_) => Class::Usage,
            HomeError::State { .. } => Class::Environment,
        };
        AppError::Below { class, text: error.to_string() }
    }
}

macro_rules! environment {
    ($($error:ty),*) => {
        $(impl From<$error> for AppError {
            fn from(error: $error) -> AppError {
                AppError::Below { class: Class::Environment, text: error.to_string() }
            }
        })*
    };
}

environment!(StoreError, ClientError, DriverError, PlanError);
