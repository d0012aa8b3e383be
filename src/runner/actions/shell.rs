//! A script for bash: `shell`, and the `command` of a wait or a check.

use std::process::Stdio;

use serde::{Deserialize, Serialize};

use super::job::{JobFailure, signal_of};
use super::materials::{Command, Materials, PrepareError, refuse_unfit};
use crate::dag::Action;
use crate::runner::attempt::killed_by;

/// The variable by which a script with secrets reaches its shell: arguments can be seen by everybody on the machine, a
/// process' environment only by its user.
const SCRIPT_VARIABLE: &str = "CRONDAG_SCRIPT";

/// Runs that script. The name is gone before the first line runs; the line numbers are those of the script.
const RUN_SCRIPT: &str = r#"eval "unset CRONDAG_SCRIPT; $CRONDAG_SCRIPT""#;

/// `bash -c` with the script, under the shell options of the task.
pub(super) fn command(template: &str, materials: &Materials<'_>) -> Result<Command, PrepareError> {
    let (script, display) = (materials.renderer.render(template)?, materials.shown.render(template)?);
    let key = if matches!(materials.scope.task.action, Action::Shell(_)) { "shell" } else { "command" };
    let what = || format!("`{key}`");
    let (argument, variable) = if script == display {
        refuse_unfit(script.len(), &script, what)?;
        (script, None)
    } else {
        refuse_unfit(SCRIPT_VARIABLE.len() + 1 + script.len(), &script, what)?;
        (RUN_SCRIPT.to_owned(), Some((SCRIPT_VARIABLE.to_owned(), script)))
    };
    let options = materials.scope.task.shell_options.as_ref().unwrap_or(&materials.config.shell_options);
    let mut argv = vec!["/bin/bash".to_owned()];
    argv.extend(options.iter().flat_map(|option| ["-o".to_owned(), option.clone()]));
    argv.extend(["-c".to_owned(), argument]);
    let display = if options.is_empty() { display } else { format!("# bash -o {}\n{display}", options.join(" -o ")) };
    Ok(Command { argv, display, stdin: None, variable })
}

/// A script whose output an inner program reads; its errors go to the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Script {
    argv: Vec<String>,
    variable: Option<(String, String)>,
    display: String,
}

impl Script {
    pub(super) fn of(template: &str, materials: &Materials<'_>) -> Result<Script, PrepareError> {
        command(template, materials).map(|Command { argv, variable, display, .. }| Script { argv, variable, display })
    }

    /// The script for people.
    pub(super) fn describe(&self) -> &str {
        &self.display
    }

    /// Runs the script to its end and gives what it printed, which may be `most` bytes at the most.
    ///
    /// # Errors
    /// The script cannot be run or fails, or its output is too long or is no text; reads after "error: ".
    pub(super) fn output(&self, most: u64) -> Result<String, JobFailure> {
        use std::io::Read as _;
        let (program, arguments) = self.argv.split_first().ok_or_else(|| "there is no program".to_owned())?;
        let mut command = std::process::Command::new(program);
        command.args(arguments).envs(self.variable.clone()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("cannot run {program}: {error}"))?;
        let mut printed = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            let read = stdout.take(most + 1).read_to_end(&mut printed);
            read.map_err(|error| format!("cannot read what the command prints: {error}"))?;
        }
        if printed.len() as u64 > most {
            return Err(format!("the command prints more than {most} bytes: let it count").into());
        }
        let status = child.wait().map_err(|error| format!("cannot wait for the command: {error}"))?;
        if !status.success() {
            let ended = signal_of(status)
                .map_or_else(|| format!("ended with {status}"), |signal| format!("was {}", killed_by(signal)));
            return Err(JobFailure {
                reason: format!("the command {ended}; nothing is recorded"),
                signal: signal_of(status),
            });
        }
        String::from_utf8(printed).map_err(|_| "what the command prints is not UTF-8".to_owned().into())
    }
}
