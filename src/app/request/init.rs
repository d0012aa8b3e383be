//! Making a home.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::app::{AppError, crontab_line};
use crate::dag::schedule::name_of_zone;
use crate::home::{CONFIG_FILE, Home};
use crate::machine_zone::MachineZone;

const CONFIG: &str = include_str!("init/crondag.toml");
const HELLO: &str = include_str!("init/hello.toml");
const GITIGNORE: &str = "# runs, logs and the database\n/.crondag/\n# secrets\n/.env\n";

/// What will be made.
#[derive(Debug, Clone, Serialize)]
pub struct InitPlan {
    /// The folder that becomes a home.
    pub dir: PathBuf,
    /// Folders in it.
    pub folders: Vec<&'static str>,
    /// Files in it with their texts, in the order in which they are written; those that are there are left alone.
    pub files: Vec<(&'static str, String)>,
}

/// What was made.
#[derive(Debug, Clone, Serialize)]
pub struct InitReceipt {
    /// The home; absolute, without links.
    pub home: PathBuf,
    /// The line of a crontab that has it scheduled.
    pub crontab_line: String,
    /// Its files, in the order in which they were written.
    pub files: Vec<InitFile>,
    /// Its folders that were made beside those of the files.
    pub folders: Vec<&'static str>,
}

/// A file of a new home.
#[derive(Debug, Clone, Serialize)]
pub struct InitFile {
    /// From the home.
    pub name: &'static str,
    /// It was there before, and is as it was.
    pub was_there: bool,
}

/// Plans a home in a folder, which need not exist.
///
/// # Errors
/// The folder is a home already.
pub fn plan(dir: &Path) -> Result<InitPlan, AppError> {
    // What cannot be resolved is not there yet, or cannot be made: `apply` finds out.
    if let Ok(root) = fs::canonicalize(dir)
        && Home::at(&root).config_path().exists()
    {
        return Err(AppError::usage(
            format!("{} is a home already: it has a {CONFIG_FILE}", root.display()),
            format!("crondag --home {} list_dags", root.display()),
        ));
    }
    Ok(InitPlan {
        dir: dir.to_path_buf(),
        folders: vec!["dags", "jobs"],
        // The settings come last: they are what makes it a home, so a failure before leaves none half-made.
        files: vec![
            ("dags/hello.toml", HELLO.to_owned()),
            (".gitignore", GITIGNORE.to_owned()),
            (CONFIG_FILE, CONFIG.replace("{timezone}", &timezone())),
        ],
    })
}

/// Makes the home.
///
/// # Errors
/// A folder or a file cannot be written.
pub fn apply(plan: InitPlan) -> Result<InitReceipt, AppError> {
    fs::create_dir_all(&plan.dir).map_err(unwritable(&plan.dir))?;
    let root = fs::canonicalize(&plan.dir).map_err(unwritable(&plan.dir))?;
    for folder in &plan.folders {
        let path = root.join(folder);
        fs::create_dir_all(&path).map_err(unwritable(&path))?;
    }
    let mut files = Vec::new();
    for (name, text) in plan.files {
        let path = root.join(name);
        let was_there = match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                file.write_all(text.as_bytes()).map_err(unwritable(&path))?;
                false
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => true,
            Err(error) => return Err(unwritable(&path)(error)),
        };
        files.push(InitFile { name, was_there });
    }
    let holds_file = |folder: &&str| files.iter().any(|file| Path::new(file.name).starts_with(folder));
    let folders = plan.folders.into_iter().filter(|folder| !holds_file(folder)).collect();
    Ok(InitReceipt { crontab_line: crontab_line(&Home::at(&root)), home: root, files, folders })
}

fn unwritable(path: &Path) -> impl Fn(io::Error) -> AppError + use<> {
    let path = path.to_path_buf();
    move |error| {
        AppError::environment(
            format!("cannot write {}: {error}", path.display()),
            "name a folder that you may write to: crondag init DIRECTORY",
        )
    }
}

/// The machine's zone, written down: then a DAG means the same whoever runs it, with whatever `TZ`.
fn timezone() -> String {
    match name_of_zone(&MachineZone::find().zone) {
        Some(name) => format!("timezone = \"{name}\""),
        None => "# timezone = \"Asia/Shanghai\"".to_owned(),
    }
}
