//! A script for bash: `shell`, and the `command` of a wait or a check.

use super::materials::{Command, Materials, PrepareError};

/// The variable by which a script with secrets reaches its shell: arguments can be seen by everybody on the machine, a
/// process' environment only by its user.
const SCRIPT_VARIABLE: &str = "CRONDAG_SCRIPT";

/// Runs that script. The name is gone before the first line runs; the line numbers are those of the script.
const RUN_SCRIPT: &str = r#"eval "unset CRONDAG_SCRIPT; $CRONDAG_SCRIPT""#;

/// `bash -c` with the script, under the shell options of the task.
pub(super) fn command(template: &str, materials: &Materials<'_>) -> Result<Command, PrepareError> {
    let (script, display) = (materials.renderer.render(template)?, materials.shown.render(template)?);
    let (argument, variable) = if script == display {
        (script, None)
    } else {
        (RUN_SCRIPT.to_owned(), Some((SCRIPT_VARIABLE.to_owned(), script)))
    };
    let options = materials.scope.task.shell_options.as_ref().unwrap_or(&materials.config.shell_options);
    let mut argv = vec!["/bin/bash".to_owned()];
    argv.extend(options.iter().flat_map(|option| ["-o".to_owned(), option.clone()]));
    argv.extend(["-c".to_owned(), argument]);
    let display = if options.is_empty() { display } else { format!("# bash -o {}\n{display}", options.join(" -o ")) };
    Ok(Command { argv, display, stdin: None, variable })
}
