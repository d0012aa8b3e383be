//! The local `sendmail` program: the mail on its standard input, the recipients as arguments.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use lettre::Message;
use rustix::fs::{MemfdFlags, memfd_create};

use super::error::{DeliveryError, transient};
use crate::notify::line::one_line;

/// A `sendmail` only queues the mail; one that takes longer hangs.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How much of what it says is told.
const WORDS_LENGTH: u64 = 500;

pub(super) fn deliver(message: &Message, command: &str) -> Result<(), DeliveryError> {
    match run(message, command, TIMEOUT) {
        Ok((Some(status), _)) if status.success() => Ok(()),
        Ok((Some(status), words)) => {
            let words = if words.is_empty() { "it said nothing".to_owned() } else { words };
            Err(transient(format!("{command} did not take the mail ({status}): {words}")))
        }
        Ok((None, _)) => Err(transient(format!("{command} did not end within {} s", TIMEOUT.as_secs()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(transient(format!("the program {command} does not exist: set `command` under [email]")))
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(transient(format!(
            "the program {command} may not be started: chmod +x, or set `command` under [email] to another"
        ))),
        Err(error) => Err(transient(format!("cannot start {command}: {error}"))),
    }
}

/// The exit status, none after `timeout`, and what it said on standard error.
///
/// Both ends are files in memory: a program that exits without reading is no broken pipe here, and a daemon that it
/// leaves behind with its standard error open holds nobody up.
fn run(message: &Message, command: &str, timeout: Duration) -> io::Result<(Option<ExitStatus>, String)> {
    let mut mail = File::from(memfd_create("mail", MemfdFlags::CLOEXEC)?);
    mail.write_all(&message.formatted())?;
    mail.rewind()?;
    let mut said = File::from(memfd_create("stderr", MemfdFlags::CLOEXEC)?);
    let envelope = message.envelope();
    // -i: a line with a single dot does not end the mail.
    let mut arguments = vec!["-i".to_owned()];
    if let Some(from) = envelope.from() {
        arguments.extend(["-f".to_owned(), from.to_string()]);
    }
    arguments.push("--".to_owned());
    arguments.extend(envelope.to().iter().map(ToString::to_string));
    let process = duct::cmd(Path::new(command), arguments)
        .stdin_file(mail)
        .stdout_null()
        .stderr_file(said.try_clone()?)
        .unchecked()
        .start()?;
    let status = process.wait_timeout(timeout)?.map(|output| output.status);
    if status.is_none() {
        process.kill()?;
    }
    said.rewind()?;
    let mut words = Vec::new();
    said.take(WORDS_LENGTH).read_to_end(&mut words)?;
    Ok((status, one_line(&String::from_utf8_lossy(&words))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn program(folder: &Path, script: &str) -> String {
        let path = folder.join("sendmail");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    }

    fn message() -> Message {
        Message::builder()
            .from("a@example.com".parse().unwrap())
            .to("b@example.com".parse().unwrap())
            // More than a pipe holds: a program that reads none of it must not matter.
            .body("x\r\n".repeat(100_000))
            .unwrap()
    }

    #[test]
    fn what_it_says_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let command = program(folder.path(), "echo 'queue is full' >&2; exit 75");
        let error = deliver(&message(), &command).unwrap_err();
        let expected = format!("{command} did not take the mail (exit status: 75): queue is full");
        assert_eq!((error.permanent, error.message), (false, expected));
    }

    #[test]
    fn a_daemon_that_it_leaves_behind_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("pid");
        let command = program(folder.path(), &format!("sleep 300 & echo $! > {}", pid_file.display()));
        deliver(&message(), &command).unwrap();
        let pid = std::fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
        // It still lives, and ends with the test.
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL)
            .unwrap();
    }

    #[test]
    fn one_that_hangs_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let command = program(folder.path(), "exec sleep 300");
        assert_eq!(run(&message(), &command, Duration::from_millis(50)).unwrap().0, None);
    }

    #[test]
    fn one_that_may_not_run_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let command = folder.path().join("sendmail");
        std::fs::write(&command, "text").unwrap();
        let error = deliver(&message(), &command.display().to_string()).unwrap_err();
        assert!(error.message.contains("may not be started"), "{error}");
    }
}
