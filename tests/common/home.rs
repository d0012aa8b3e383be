use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use crondag::store::Store;
use serde_json::Value;
use tempfile::TempDir;

use super::Ran;

/// A home of its own for one test, in which the zone is UTC unless the test says another.
pub struct Home {
    _folder: TempDir,
    path: PathBuf,
    variables: Vec<(String, String)>,
    before: Vec<String>,
}

/// The arguments of a command: a line of words, or a list where an argument has a space.
pub trait Args {
    fn words(&self) -> Vec<&str>;
}

impl Args for str {
    fn words(&self) -> Vec<&str> {
        self.split_whitespace().collect()
    }
}

impl Args for String {
    fn words(&self) -> Vec<&str> {
        self.as_str().words()
    }
}

impl Args for [&str] {
    fn words(&self) -> Vec<&str> {
        self.to_vec()
    }
}

impl<const N: usize> Args for [&str; N] {
    fn words(&self) -> Vec<&str> {
        self.to_vec()
    }
}

impl Args for Vec<&str> {
    fn words(&self) -> Vec<&str> {
        self.clone()
    }
}

impl Home {
    /// A folder and nothing in it.
    pub fn bare() -> Home {
        Home::bare_named("home")
    }

    /// The same, under a name that is hard to quote or to sort.
    pub fn bare_named(name: &str) -> Home {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join(name);
        fs::create_dir(&path).unwrap();
        Home { _folder: folder, path, variables: Vec::new(), before: Vec::new() }
    }

    /// A home without DAGs.
    pub fn new() -> Home {
        Home::bare().config("").folder("dags")
    }

    /// A home with one DAG, `d`, whose attempts are ended quickly.
    pub fn of(config: &str, dag: &str) -> Home {
        Home::new().config(&format!("kill_grace = '300ms'\n{config}")).dag("d", dag)
    }

    // ---- making it ---------------------------------------------------------------------------------------------------

    /// crondag.toml, below `timezone = 'UTC'`.
    pub fn config(self, text: &str) -> Home {
        self.with("crondag.toml", format!("timezone = 'UTC'\n{text}"))
    }

    pub fn dag(self, id: &str, text: impl AsRef<[u8]>) -> Home {
        self.with(&format!("dags/{id}.toml"), text)
    }

    /// A file, made with the folders above it.
    pub fn with(self, name: &str, text: impl AsRef<[u8]>) -> Home {
        self.write(name, text);
        self
    }

    pub fn folder(self, name: &str) -> Home {
        fs::create_dir_all(self.file(name)).unwrap();
        self
    }

    /// A variable of the environment of all its commands.
    pub fn env(mut self, name: &str, value: &str) -> Home {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// All its commands are run by another: `unshare --mount` and the like.
    pub fn run_by(mut self, before: &[&str]) -> Home {
        self.before = before.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// As if cron had just called `tick`.
    pub fn has_ticked(self) -> Home {
        self.with(".crondag/last_tick", "")
    }

    // ---- its files ---------------------------------------------------------------------------------------------------

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file that only its owner reads, with the folders above it.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> &Home {
        fs::create_dir_all(self.file(name).parent().unwrap()).unwrap();
        fs::write(self.file(name), text).unwrap();
        self.mode(name, 0o600)
    }

    /// Writes a program.
    pub fn program(&self, name: &str, text: &str) -> &Home {
        self.write(name, text).mode(name, 0o700)
    }

    pub fn mode(&self, name: &str, mode: u32) -> &Home {
        fs::set_permissions(self.file(name), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    pub fn remove(&self, name: &str) -> &Home {
        fs::remove_file(self.file(name)).unwrap();
        self
    }

    pub fn has(&self, name: &str) -> bool {
        self.file(name).exists()
    }

    #[track_caller]
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// What a file holds by now; nothing while there is no such file.
    pub fn so_far(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// The lines that a file holds by now.
    pub fn lines(&self, name: &str) -> Vec<String> {
        self.so_far(name).lines().map(str::to_owned).collect()
    }

    pub fn store(&self) -> Store {
        let home = crondag::home::Home::at(self.path());
        home.make_state_dir().unwrap();
        Store::open(&home.database_path()).unwrap()
    }

    // ---- its commands ------------------------------------------------------------------------------------------------

    /// A command that is not yet run, to set its streams and variables.
    pub fn command<A: Args + ?Sized>(&self, args: &A) -> Command {
        let binary = env!("CARGO_BIN_EXE_crondag");
        let mut words = self.before.iter().map(String::as_str).chain([binary]).chain(args.words());
        let mut command = Command::new(words.next().unwrap());
        command.args(words).current_dir(&self.path).stdin(Stdio::null());
        command.env_remove("CRONDAG_HOME").env_remove("COLUMNS").env("TZ", "UTC").env("USER", "ana");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn run<A: Args + ?Sized>(&self, args: &A) -> Ran {
        Ran::of(&mut self.command(args), &self.path)
    }

    /// Runs a command that was made by [`Home::command`].
    pub fn run_command(&self, command: &mut Command) -> Ran {
        Ran::of(command, &self.path)
    }

    /// Starts a command and does not wait for it; what it says is dropped.
    pub fn start<A: Args + ?Sized>(&self, args: &A) -> Child {
        self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    #[track_caller]
    pub fn json<A: Args + ?Sized>(&self, args: &A) -> Vec<Value> {
        self.run(args).json()
    }

    /// Backfills one day of the DAG `d` and gives the exit code.
    pub fn backfill_day(&self) -> Option<i32> {
        self.run("backfill -s 2024-01-01 -e 2024-01-01 d").status.code()
    }

    // ---- what has come of it -----------------------------------------------------------------------------------------

    /// State and reason of a task; `run` names a DAG, or a DAG and a date.
    #[track_caller]
    pub fn state<A: Args + ?Sized>(&self, run: &A, task: &str) -> (String, String) {
        let args = [&["tasks"], &run.words()[..], &["--json"]].concat();
        let rows = self.json(&args);
        let row = rows.iter().find(|row| row["task_id"] == task).unwrap_or_else(|| panic!("no task {task}: {rows:?}"));
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        (text("state"), text("reason"))
    }

    /// What a task of the DAG `d` printed in its newest run.
    pub fn log_of(&self, task: &str) -> String {
        self.run(&["logs", "d", task]).out()
    }

    /// The number of the driver; none when no process holds its lock.
    pub fn driver_pid(&self) -> Option<u32> {
        let file = fs::File::open(self.file(".crondag/driver.lock")).ok()?;
        if file.try_lock_shared().is_ok() {
            return None;
        }
        self.read(".crondag/driver.lock").trim().parse().ok()
    }

    /// The database agrees with its journal.
    #[track_caller]
    pub fn is_sound(&self) {
        self.run("db check").success();
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = fs::read_to_string(self.file(".crondag/driver.log")).unwrap_or_default();
            eprintln!("--- driver.log of {}\n{log}", self.path.display());
        }
    }
}
