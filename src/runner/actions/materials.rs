//! What the commands of actions are made from, and what they come to.

use std::collections::BTreeMap;
use std::path::Path;

use crate::dag::Config;
use crate::dag::argument::{LONGEST_ARGUMENT, is_too_long};
use crate::dag::template::{RenderError, Renderer, Scope};
use crate::runner::attempt::secrets::Keyring;

use super::job::Job;

/// Why a task cannot be prepared; may hold secrets.
#[derive(Debug, thiserror::Error)]
pub(super) enum PrepareError {
    /// A template.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// A file that the task names.
    #[error("cannot read {path}: {source}")]
    File {
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nobody gets the report.
    #[error("nobody gets the report: give it `to`, or the task `email`")]
    NoRecipient,
    /// The job of an inner program.
    #[error("the job cannot be written down: {0}")]
    Job(serde_json::Error),
    /// An argument or a variable that became too long.
    #[error(
        "{what} has {bytes} bytes, and Linux takes at most {most} as one argument or variable of a program (MAX_ARG_STRLEN): \
         put the text into a file, and let the program read that",
        most = LONGEST_ARGUMENT - 1
    )]
    TooLong {
        /// The setting.
        what: String,
        /// How long it is.
        bytes: usize,
    },
    /// A value that no program can take.
    #[error("{what} has a NUL character, which no program can take: which value puts it there?")]
    Nul {
        /// The setting.
        what: String,
    },
    /// The user of `run_as`.
    #[error("there is no user `{0}` on this machine: correct run_as, or make one with `useradd {0}`")]
    User(String),
    /// A value that has been put into a path.
    #[error("the path {0} climbs by `..` where its template does not: which value does that?")]
    Climbs(String),
    /// A value that has been put where the application of `spark-submit` stands.
    #[error("the application {0} begins with `-`: spark-submit would take it for an option")]
    Option(String),
    /// A password.
    #[error("{0}")]
    Secret(String),
    /// A connection that crondag.toml no longer has.
    #[error("there is no connection `{0}` in crondag.toml")]
    Connection(String),
}

/// A path, in which no value may lead out of the folder that its template names.
pub(super) fn path(renderer: &Renderer, template: &str) -> Result<String, PrepareError> {
    let path = renderer.render(template)?;
    let climbs = |path: &str| path.split('/').filter(|part| *part == "..").count();
    if climbs(&path) > climbs(template) { Err(PrepareError::Climbs(path)) } else { Ok(path) }
}

/// Refuses a text that is part of an argument or a variable of so many bytes, where the kernel would.
pub(super) fn refuse_unfit(bytes: usize, text: &str, what: impl Fn() -> String) -> Result<(), PrepareError> {
    if is_too_long(bytes) {
        return Err(PrepareError::TooLong { what: what(), bytes });
    }
    refuse_nul(text, what)
}

/// The same for all variables of an environment.
pub(super) fn refuse_unfit_variables(env: &BTreeMap<String, String>) -> Result<(), PrepareError> {
    env.iter().try_for_each(|(name, value)| {
        refuse_unfit(name.len() + 1 + value.len(), value, || format!("the environment variable {name}"))
    })
}

/// Refuses a NUL, which ends a text wherever C reads it.
pub(super) fn refuse_nul(text: &str, what: impl Fn() -> String) -> Result<(), PrepareError> {
    if text.contains('\0') { Err(PrepareError::Nul { what: what() }) } else { Ok(()) }
}

/// A task, its dates, and all that its texts can name.
#[derive(Clone, Copy)]
pub(super) struct Materials<'a> {
    pub(super) home: &'a Path,
    pub(super) config: &'a Config,
    pub(super) scope: &'a Scope<'a>,
    pub(super) renderer: &'a Renderer,
    /// Renders for people, without any secret.
    pub(super) shown: &'a Renderer,
    pub(super) env: &'a BTreeMap<String, String>,
    /// Where passwords are; `None` when the command is only shown.
    pub(super) keyring: Option<&'a Keyring>,
    /// What Spark's own pages show of the task.
    pub(super) default_name: &'a str,
    /// Whether nothing may be recorded.
    pub(super) is_rehearsal: bool,
}

/// The command of an action.
pub(super) struct Command {
    /// The program and its arguments.
    pub(super) argv: Vec<String>,
    /// The same for people.
    pub(super) display: String,
    /// What it reads on its standard input.
    pub(super) stdin: Option<String>,
    /// One more variable of its environment.
    pub(super) variable: Option<(String, String)>,
}

impl Materials<'_> {
    pub(super) fn variable(&self, name: &str) -> String {
        self.renderer.variables().get(name).cloned().unwrap_or_default()
    }

    /// The command of an inner program with this job.
    pub(super) fn job<J: Job>(
        &self,
        make: impl Fn(&Materials<'_>) -> Result<J, PrepareError>,
    ) -> Result<Command, PrepareError> {
        let display = make(&Materials { renderer: self.shown, keyring: None, ..*self })?.describe();
        let stdin = serde_json::to_string(&make(self)?).map_err(PrepareError::Job)?;
        // While an upgrade has put another program in its place, this one has no path.
        let program = std::env::current_exe()
            .ok()
            .filter(|path| path.exists())
            .map_or_else(|| "/proc/self/exe".to_owned(), |path| path.display().to_string());
        let argv = vec![program, J::PROGRAM.as_str().to_owned()];
        Ok(Command { argv, display, stdin: Some(stdin), variable: None })
    }
}
