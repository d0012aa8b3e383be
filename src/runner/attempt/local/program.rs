//! Finding a task's program and starting it: in a process group of its own, with all signals let through, in a control group from its
//! first instant.
//!
//! The standard library's `Command` would hand the shim's blocked signals on (no task would ever hear of TERM), knows no
//! control groups, and forks where this borrows the shim's memory until the program runs.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::attributes::Attributes;
use super::cgroup::Group;
pub(crate) use super::sys::Program;
use super::sys::{self, NotStarted};
use crate::dag::ProcessAttributes;

impl Program {
    /// A program by its whole path.
    ///
    /// # Errors
    /// A byte zero in any of the texts: the kernel would see only what is before it.
    pub(crate) fn new<'a>(
        path: &Path,
        argv: impl IntoIterator<Item = &'a str>,
        env: &BTreeMap<String, String>,
        working_dir: &Path,
        (stdin, output): (OwnedFd, OwnedFd),
        process: &ProcessAttributes,
    ) -> io::Result<Program> {
        Ok(Program {
            path: CString::new(path.as_os_str().as_bytes())?,
            argv: argv.into_iter().map(CString::new).collect::<Result<_, _>>()?,
            env: env.iter().map(|(name, value)| CString::new(format!("{name}={value}"))).collect::<Result<_, _>>()?,
            working_dir: CString::new(working_dir.as_os_str().as_bytes())?,
            stdin,
            output,
            errors: None,
            attributes: Attributes::new(process),
            leads_session: false,
        })
    }

    /// The same with a session of its own, and so without the terminal of this process.
    pub(crate) fn in_own_session(self) -> Program {
        Program { leads_session: true, ..self }
    }

    /// The same with its errors apart from its output.
    pub(crate) fn with_errors(self, errors: OwnedFd) -> Program {
        Program { errors: Some(errors), ..self }
    }

    /// Starts it, and gives its process as soon as the program runs. For a process of a single thread.
    ///
    /// # Errors
    /// What the system says of the working directory, of the program, or of its own limits.
    pub(crate) fn start(&self, group: Option<&Group>) -> io::Result<i32> {
        match group.and_then(|group| self.start_in(group)) {
            Some(started) => started,
            None => sys::start(self, None).map_err(io::Error::from),
        }
    }

    /// Gives `None` when the group cannot be had after all (there may be too many of them): then it is done without.
    fn start_in(&self, group: &Group) -> Option<io::Result<i32>> {
        // One that was used before may have been spoilt: by groups that were made below it, or by its removal.
        for _ in 0..2 {
            let folder = group.make().ok()?;
            match sys::start(self, Some(folder.as_fd())) {
                Err(NotStarted::NoProcess(error)) if !is_short(&error) => group.remove(),
                started => return Some(started.map_err(io::Error::from)),
            };
        }
        None
    }
}

/// Whether the system lacks processes or memory, with or without a control group.
fn is_short(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOMEM))
}

/// Whether the kernel lets a process begin there: one that is asked to become a folder gets that far, and no further.
pub(super) fn accepts_processes(group: &OwnedFd) -> bool {
    let null = || File::open("/dev/null").map(OwnedFd::from);
    let folder = |ends| {
        Program::new(Path::new("/"), [], &BTreeMap::new(), Path::new("/"), ends, &ProcessAttributes::default()).ok()
    };
    let probe = null().and_then(|stdin| Ok((stdin, null()?))).ok().and_then(folder);
    probe.is_some_and(|probe| matches!(sys::start(&probe, Some(group.as_fd())), Err(NotStarted::NoProgram(_))))
}

/// Finds the program on the task's own `PATH`, not on the shim's.
pub(crate) fn find(argv: &[String], env: &BTreeMap<String, String>, working_dir: &Path) -> Result<PathBuf, String> {
    let name = argv.first().map(String::as_str).unwrap_or_default();
    if !working_dir.is_dir() {
        return Err(format!("the working directory {} does not exist", working_dir.display()));
    }
    if name.contains('/') {
        let path = working_dir.join(name);
        return if path.exists() { Ok(path) } else { Err(format!("the program {name} does not exist")) };
    }
    let path = env.get("PATH").map(String::as_str).unwrap_or_default();
    let found =
        path.split(':').filter(|folder| !folder.is_empty()).map(|folder| Path::new(folder).join(name)).find(|file| {
            use std::os::unix::fs::PermissionsExt;
            file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
        });
    found.ok_or_else(|| {
        let hint = match name {
            "spark-submit" => "set spark_submit or spark_home under [spark] in crondag.toml",
            _ => "set PATH under [env] in crondag.toml, or write the whole path",
        };
        format!("{name} is not on the task's PATH ({path}); {hint}")
    })
}

pub(crate) fn start_error(argv: &[String], error: &io::Error) -> String {
    let program = argv.first().map(String::as_str).unwrap_or_default();
    match error.raw_os_error() {
        Some(libc::EAGAIN) => format!("cannot start {program}: the process table is full (see `ulimit -u`)"),
        Some(libc::E2BIG) => {
            format!("cannot start {program}: its arguments and environment are longer than the system allows")
        }
        Some(libc::ENOEXEC) => format!("cannot start {program}: it is not a program; does its script begin with `#!`?"),
        Some(libc::EACCES) => format!("cannot start {program}: permission denied; is it executable?"),
        Some(libc::ENOENT) => {
            format!("cannot start {program}: it, or the interpreter in its first line, does not exist")
        }
        Some(libc::EMFILE | libc::ENFILE) => format!("cannot start {program}: too many open files (see `ulimit -n`)"),
        _ => format!("cannot start {program}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::BorrowedFd;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    fn sh(script: &str, working_dir: &Path, output: &Path) -> Program {
        let env = BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned()), ("X".to_owned(), "ü=1".to_owned())]);
        let stdin = File::open("/dev/null").unwrap().into();
        let output = File::create(output).unwrap().into();
        Program::new(
            Path::new("/bin/sh"),
            ["name", "-c", script],
            &env,
            working_dir,
            (stdin, output),
            &ProcessAttributes::default(),
        )
        .unwrap()
    }

    fn status(pid: i32) -> ExitStatus {
        ExitStatus::from_raw(sys::wait_for(pid).unwrap().as_raw())
    }

    /// Both ways to start a program.
    const WAYS: [Start; 2] = [sys::start, sys::start_by_fork];
    type Start = fn(&Program, Option<BorrowedFd<'_>>) -> Result<i32, NotStarted>;

    #[test]
    fn a_program_gets_its_name_environment_folder_outputs_and_a_group_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("output");
        let script = r#"echo "$0 $X $(pwd -P)"; echo bad >&2; [ "$(ps -o pgid= -p $$ | tr -d ' ')" = $$ ] && exit 7"#;
        let place = folder.path().canonicalize().unwrap();
        for start in WAYS {
            let pid = start(&sh(script, folder.path(), &output), None).unwrap();
            assert_eq!(status(pid).code(), Some(7));
            assert_eq!(fs::read_to_string(&output).unwrap(), format!("name ü=1 {}\nbad\n", place.display()));
        }
    }

    #[test]
    fn no_signal_is_blocked_or_ignored_in_a_program() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("output");
        // The last four digits stand for the signals 1 to 16.
        let script = "sed -nE 's/^Sig(Blk|Ign):.*(....)$/\\1 \\2/p' /proc/self/status";
        // As in a shim.
        let signals = sys::Signals::instead_of(&[libc::SIGTERM, libc::SIGCHLD]).unwrap();
        for start in WAYS {
            status(start(&sh(script, folder.path(), &output), None).unwrap());
            assert_eq!(fs::read_to_string(&output).unwrap(), "Blk 0000\nIgn 0000\n");
        }
        drop(signals);
    }

    #[test]
    fn what_cannot_be_started_says_why_and_leaves_no_process() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("output");
        let errno = |program: &Program| {
            let errors = WAYS.map(|start| io::Error::from(start(program, None).unwrap_err()).raw_os_error());
            assert_eq!(errors[0], errors[1]);
            errors[0]
        };
        let mut program = sh("true", folder.path(), &output);
        program.path = c"/no/such/program".into();
        assert_eq!(errno(&program), Some(libc::ENOENT));
        let script = folder.path().join("script");
        fs::write(&script, "echo without an interpreter\n").unwrap();
        program.path = CString::new(script.as_os_str().as_bytes()).unwrap();
        assert_eq!(errno(&program), Some(libc::EACCES));
        fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        assert_eq!(errno(&program), Some(libc::ENOEXEC));
        assert_eq!(errno(&sh("true", Path::new("/no/such/folder"), &output)), Some(libc::ENOENT));
        assert_eq!(fs::read_to_string(&output).unwrap(), "");
    }

    #[test]
    fn a_text_with_a_zero_byte_is_refused() {
        let null = || OwnedFd::from(File::open("/dev/null").unwrap());
        let refused = Program::new(
            Path::new("/bin/true"),
            ["true", "a\0b"],
            &BTreeMap::new(),
            Path::new("/"),
            (null(), null()),
            &ProcessAttributes::default(),
        );
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
