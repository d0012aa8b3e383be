//! What an attempt is to run: prepared by its action, and as the shim gets it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ATTEMPT_VARIABLE, AttemptKey, TimeLimit};
use crate::dag::template::{Scope, iso};
use crate::dag::{Config, ProcessAttributes};

/// Exactly what an attempt runs; what `crondag render` prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The command for people.
    pub display: String,
    /// What the program reads on its standard input.
    pub stdin: Option<String>,
    /// The complete environment.
    pub env: BTreeMap<String, String>,
    /// What its process begins with beside.
    pub process: ProcessAttributes,
    /// The user to become; `None` for crondag's own.
    pub run_as: Option<String>,
    /// Values that must not be seen.
    pub secrets: Vec<String>,
    /// Where it runs; absolute.
    pub working_dir: PathBuf,
}

/// All that a shim needs to know. Passed through memory, never through a file: it holds secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AttemptSpec {
    /// Which attempt.
    pub key: AttemptKey,
    /// Unique among all attempts of all homes; the value of [`ATTEMPT_VARIABLE`].
    pub token: String,
    /// RFC 3339 with the DAG's offset, for the log's header.
    pub logical_date: String,
    /// The program and its arguments. A program without `/` is searched on the task's own `PATH`.
    pub argv: Vec<String>,
    /// What the log's header shows as the command.
    pub display: String,
    /// Given to the program on its standard input; `None` means `/dev/null`.
    pub stdin: Option<String>,
    /// The complete environment.
    pub env: BTreeMap<String, String>,
    /// The user to become; `None` for crondag's own.
    pub run_as: Option<String>,
    /// What its process begins with beside.
    pub process: ProcessAttributes,
    /// Where the program runs; absolute.
    pub working_dir: PathBuf,
    /// Whether what the program has started lives on when it succeeds.
    pub leave_processes: bool,
    /// How long it may take.
    pub limit: Option<TimeLimit>,
    /// Time between TERM and KILL.
    pub kill_grace: Duration,
    /// Where the log goes; absolute. Its folder exists.
    pub log_file: PathBuf,
    /// The log is cut in the middle beyond this many bytes.
    pub log_max_size: u64,
    /// Texts that are replaced by `***` in the log.
    pub secrets: Vec<String>,
}

/// What whoever starts an attempt decides of it; all else follows from its task.
#[derive(Debug)]
pub(crate) struct Launch {
    /// As [`AttemptSpec::token`].
    pub(crate) token: String,
    /// As [`AttemptSpec::limit`].
    pub(crate) limit: Option<TimeLimit>,
    /// As [`AttemptSpec::log_file`].
    pub(crate) log_file: PathBuf,
    /// As [`AttemptSpec::log_max_size`].
    pub(crate) log_max_size: u64,
}

impl AttemptSpec {
    /// The attempt that `scope` names, with what was prepared for it.
    pub(crate) fn new(scope: &Scope<'_>, config: &Config, prepared: Prepared, launch: Launch) -> AttemptSpec {
        let (dag, task) = (scope.dag, scope.task);
        let Prepared { argv, display, stdin, mut env, process, run_as, secrets, working_dir } = prepared;
        let Launch { token, limit, log_file, log_max_size } = launch;
        env.insert(ATTEMPT_VARIABLE.to_owned(), token.clone());
        AttemptSpec {
            key: AttemptKey {
                dag_id: dag.id.clone(),
                run_id: scope.run_id.to_owned(),
                task_id: task.id.clone(),
                try_number: scope.try_number,
            },
            token,
            logical_date: iso(&scope.interval.start.to_zoned(dag.timezone.clone())),
            argv,
            display,
            stdin,
            env,
            run_as,
            process,
            working_dir,
            leave_processes: task.leave_processes,
            limit,
            kill_grace: task.kill_grace.unwrap_or(config.kill_grace),
            log_file,
            log_max_size,
            secrets,
        }
    }
}
