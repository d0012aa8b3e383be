use std::fmt::{self, Debug, Formatter};
use std::ops::Deref;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use snapbox::cmd::OutputAssert;
use snapbox::{Assert, IntoData, Redactions};

/// A command that has ended. Its outputs are compared as wholes: the home stands there as `[HOME]`, the program as `[BIN]`,
/// and `[..]` is whatever changes from run to run. `SNAPSHOTS=overwrite cargo test` writes what is expected anew.
pub struct Ran {
    assert: OutputAssert,
    output: Output,
}

impl Ran {
    pub fn of(command: &mut Command, home: &Path) -> Ran {
        let output = command.output().expect("the command starts");
        let mut redactions = Redactions::new();
        redactions.insert("[HOME]", home.to_path_buf()).expect("a placeholder");
        redactions.insert("[BIN]", env!("CARGO_BIN_EXE_crondag")).expect("a placeholder");
        let assert = Assert::new().action_env("SNAPSHOTS").redact_with(redactions);
        Ran { assert: OutputAssert::new(output.clone()).with_assert(assert), output }
    }

    #[track_caller]
    pub fn success(self) -> Ran {
        Ran { assert: self.assert.success(), ..self }
    }

    /// It has ended with that exit code.
    #[track_caller]
    pub fn code(self, code: i32) -> Ran {
        Ran { assert: self.assert.code(code), ..self }
    }

    #[track_caller]
    pub fn stdout_eq(self, expected: impl IntoData) -> Ran {
        Ran { assert: self.assert.stdout_eq(expected), ..self }
    }

    #[track_caller]
    pub fn stderr_eq(self, expected: impl IntoData) -> Ran {
        Ran { assert: self.assert.stderr_eq(expected), ..self }
    }

    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// What it has printed with `--json`.
    #[track_caller]
    pub fn json(&self) -> Vec<Value> {
        serde_json::from_slice(&self.output.stdout)
            .unwrap_or_else(|error| panic!("{error}:\n{}{}", self.out(), self.err()))
    }
}

impl Deref for Ran {
    type Target = Output;

    fn deref(&self) -> &Output {
        &self.output
    }
}

impl Debug for Ran {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}\n{}{}", self.output.status, self.out(), self.err())
    }
}
