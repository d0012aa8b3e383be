//! "Go on?" before something is done to many tasks; only where somebody sits.

use std::io::{self, BufRead, IsTerminal, Write};

use super::error::CliError;
use super::layout::Layout;
use crate::runner::attempt::environment::User;

/// Asks on the terminal.
///
/// # Errors
/// The answer is no, or there is nobody to ask.
pub fn confirm(question: &str, yes: bool) -> Result<(), CliError> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(CliError::usage(
            format!("nothing was done: \"{question}\" must be answered, and there is no terminal to ask on"),
            "the same again with -y, which means yes",
        ));
    }
    let unreadable =
        |error: io::Error| CliError::environment(format!("cannot ask on the terminal: {error}"), "give -y");
    let question = Layout::of(&io::stderr()).text(&format!("{question} [y/N]"));
    write!(io::stderr(), "{question} ").map_err(unreadable)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(unreadable)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(CliError::failed("nothing was done", "the same again with -y, or answer y")),
    }
}

/// Who asks, for the record: the user's name, from the session or else from the machine; for one without a name the number.
pub fn who() -> String {
    let of_session = ["USER", "LOGNAME"].into_iter().filter_map(|variable| std::env::var(variable).ok());
    of_session.into_iter().find(|name| !name.is_empty()).unwrap_or_else(|| {
        let user = User::current();
        match user.uid {
            Some(uid) if user.name == uid.to_string() => format!("uid {uid}"),
            _ => user.name.clone(),
        }
    })
}
