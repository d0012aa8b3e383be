//! The home: the directory with `crondag.toml`, `dags/`, `jobs/` and the state folder `.crondag/`.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use crate::access::{self, Exposed};
use crate::text_file;

/// The settings file; its presence makes a directory a home.
pub const CONFIG_FILE: &str = "crondag.toml";

/// The file of a home's own causes of failure.
pub const DIAGNOSIS_FILE: &str = "diagnosis.toml";

/// Where things are. Every path is absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

/// Why there is no usable home. Reads after "error: ".
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Neither `--home` nor `$CRONDAG_HOME`, and no ancestor has a `crondag.toml`.
    #[error(
        "no home found: neither --home nor $CRONDAG_HOME is set, and neither {0} nor a folder above it has a crondag.toml\n\
         next: go to your home, name it with --home, or make one with `crondag init DIRECTORY`"
    )]
    NotFound(PathBuf),
    /// The directory that was named has no `crondag.toml`.
    #[error(
        "{named_by} names {path}, which has no crondag.toml\nnext: correct the path, or make a home there with `crondag init {path}`"
    )]
    NotAHome {
        /// `--home` or `$CRONDAG_HOME`.
        named_by: &'static str,
        /// What it says.
        path: String,
    },
    /// Everybody may write into the home or its folder of DAG files.
    #[error(transparent)]
    Exposed(#[from] Exposed),
    /// The state folder cannot be made.
    #[error(
        "cannot make the state folder {path}: {source}\nnext: check who owns {path} and whether the disk is full or read-only"
    )]
    State {
        /// The folder.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Whether a folder has settings; what is wrong with them is for their reader to say.
pub(crate) fn is_home(folder: &Path) -> bool {
    text_file::is_there(&folder.join(CONFIG_FILE))
}

impl Home {
    /// Finds the home: `explicit` (`--home`), else `$CRONDAG_HOME`, else the nearest ancestor of the current directory
    /// with a `crondag.toml`.
    ///
    /// # Errors
    /// There is none, or what was named is none.
    pub fn find(explicit: Option<&Path>) -> Result<Home, HomeError> {
        let named = match explicit {
            Some(path) => Some(("--home", path.to_path_buf())),
            None => env::var_os("CRONDAG_HOME")
                .filter(|value| !value.is_empty())
                .map(|value| ("$CRONDAG_HOME", PathBuf::from(value))),
        };
        if let Some((named_by, path)) = named {
            return match fs::canonicalize(&path) {
                Ok(root) if is_home(&root) => Ok(Home { root }),
                _ => Err(HomeError::NotAHome { named_by, path: path.display().to_string() }),
            };
        }
        // A folder that was removed under the shell has no name; what is not found from there is said as such.
        let here = env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
        // A folder that may not be searched is not taken for a home: one further up may be.
        let has_settings = |folder: &&Path| fs::symlink_metadata(folder.join(CONFIG_FILE)).is_ok();
        match here.ancestors().find(has_settings) {
            Some(root) => Ok(Home { root: root.to_path_buf() }),
            None => Err(HomeError::NotFound(here)),
        }
    }

    /// The home in `root`, unchecked: for `init` and tests.
    pub fn at(root: impl Into<PathBuf>) -> Home {
        Home { root: root.into() }
    }

    /// Refuses a home in which everybody could put a DAG file or another crondag.toml.
    ///
    /// # Errors
    /// Everybody may write into it, or into the folder of DAG files.
    pub fn refuse_world_writable(&self) -> Result<(), Exposed> {
        access::refuse_world_writable(&self.root)?;
        access::refuse_world_writable(&self.dags_dir())
    }

    /// The home itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `crondag.toml`
    pub fn config_path(&self) -> PathBuf {
        self.root.join(CONFIG_FILE)
    }

    /// The causes of failure that this home adds.
    pub fn diagnosis_path(&self) -> PathBuf {
        self.root.join(DIAGNOSIS_FILE)
    }

    /// The folder of DAG files.
    pub fn dags_dir(&self) -> PathBuf {
        self.root.join("dags")
    }

    /// The file of one DAG.
    pub fn dag_path(&self, dag_id: &str) -> PathBuf {
        self.dags_dir().join(format!("{dag_id}.toml"))
    }

    /// The state folder.
    pub fn state_dir(&self) -> PathBuf {
        self.root.join(".crondag")
    }

    /// The database.
    pub fn database_path(&self) -> PathBuf {
        self.state_dir().join("crondag.db")
    }

    /// The folder of attempts' logs.
    pub fn logs_dir(&self) -> PathBuf {
        self.state_dir().join("logs")
    }

    /// Where the logs of a DAG are, below the home, as the database has it: `.crondag/logs/userprofile`.
    pub fn logs_of_dag(dag: &str) -> String {
        format!(".crondag/logs/{dag}")
    }

    /// The same of one of its runs.
    pub fn logs_of_run(dag: &str, run_id: &str) -> String {
        format!("{}/{run_id}", Home::logs_of_dag(dag))
    }

    /// The log of an attempt, below the home.
    pub fn log_of_attempt(dag: &str, run_id: &str, (task, try_number): (&str, u32)) -> String {
        format!("{}/{task}.{try_number}.log", Home::logs_of_run(dag, run_id))
    }

    /// The folder of the files by which driver and shims find one another.
    pub fn attempts_dir(&self) -> PathBuf {
        self.state_dir().join("attempts")
    }

    /// The file whose lock makes a process the driver.
    pub fn driver_lock_path(&self) -> PathBuf {
        self.state_dir().join("driver.lock")
    }

    /// The named pipe that wakes the driver.
    pub fn doorbell_path(&self) -> PathBuf {
        self.state_dir().join("doorbell")
    }

    /// What the driver has to say.
    pub fn driver_log_path(&self) -> PathBuf {
        self.state_dir().join("driver.log")
    }

    /// The file whose time is that of the last tick.
    pub fn last_tick_path(&self) -> PathBuf {
        self.state_dir().join("last_tick")
    }

    /// Makes the state folder and its parts, for the owner alone. Does nothing when they are there.
    ///
    /// # Errors
    /// A folder cannot be made.
    pub fn make_state_dir(&self) -> Result<(), HomeError> {
        for folder in [self.state_dir(), self.logs_dir(), self.attempts_dir()] {
            let failed = |source| HomeError::State { path: folder.display().to_string(), source };
            if !folder.is_dir() {
                match fs::DirBuilder::new().mode(0o700).create(&folder) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
                    _ => {}
                }
            }
            // Whoever made it may have left it open to others.
            let mode = fs::metadata(&folder).map_err(failed)?.permissions().mode();
            if mode & 0o777 != 0o700 {
                fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).map_err(failed)?;
            }
        }
        Ok(())
    }
}
