//! Files into values: crondag.toml and DAG files of a home, and the stored versions that runs are bound to.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use crate::access;
use crate::dag::file::{Fault, Severity, read_config, read_dag};
use crate::dag::{Config, Dag};
use crate::home::Home;
use crate::machine_zone::MachineZone;
use crate::text_file;

/// A file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub struct FaultyFile {
    pub path: PathBuf,
    /// Its text; empty when it could not be read.
    pub text: String,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
}

impl FaultyFile {
    /// The first error in words, without its place.
    pub fn first(&self) -> String {
        self.first_error().map(|fault| fault.message.clone()).unwrap_or_default()
    }

    /// How many errors it has; warnings do not count.
    pub fn errors(&self) -> usize {
        self.faults.iter().filter(|fault| fault.severity == Severity::Error).count()
    }

    fn first_error(&self) -> Option<&Fault> {
        self.faults.iter().find(|fault| fault.severity == Severity::Error).or(self.faults.first())
    }

    /// The first error on one line, with its place.
    pub fn summary(&self) -> String {
        // Its name may hold anything.
        let path = self.path.display().to_string().replace(char::is_control, "?");
        match self.first_error() {
            Some(fault) => {
                let (line, column) = fault.position(&self.text);
                format!("{path}:{line}:{column}: {}", fault.message)
            }
            None => path,
        }
    }

    /// Reads the file, unless everybody may write it.
    fn read(path: &Path) -> Result<String, FaultyFile> {
        let text = text_file::read(path).map_err(|error| FaultyFile::unreadable(path, &error))?;
        match access::refuse_world_writable(path) {
            Ok(()) => Ok(text),
            Err(exposed) => Err(FaultyFile { path: path.to_path_buf(), text, faults: vec![exposed.fault()] }),
        }
    }

    fn unreadable(path: &Path, error: &io::Error) -> FaultyFile {
        let fault = Fault::of_file("unreadable", format!("the file cannot be read: {error}"));
        // What it says of the text says what to do.
        let fault = match error.kind() {
            io::ErrorKind::InvalidData => fault,
            _ => fault.help("check its owner and its mode (`ls -l`)"),
        };
        FaultyFile { path: path.to_path_buf(), text: String::new(), faults: vec![fault] }
    }
}

/// What reading a file gave: the value, and warnings.
pub type Loaded<T> = Result<(T, FaultyFile), FaultyFile>;

/// Reads crondag.toml.
///
/// # Errors
/// The file cannot be read, or is faulty.
pub fn load_config(home: &Home) -> Loaded<Config> {
    let path = home.config_path();
    let text = FaultyFile::read(&path)?;
    let (config, faults) = read_config(&text);
    let file = FaultyFile { path, text, faults };
    match config {
        Some(mut config) => {
            if config.timezone.is_none() {
                config.machine_zone = MachineZone::find().zone;
            }
            Ok((config, file))
        }
        None => Err(file),
    }
}

/// Reads a DAG file.
///
/// # Errors
/// The file cannot be read, or is faulty.
pub fn load_dag(path: &Path, config: &Config) -> Loaded<Dag> {
    let text = FaultyFile::read(path)?;
    let id = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    // Whether the files are there that it names is for `validate` to say: they may lie on a mount that does not answer, and a pass
    // over all DAGs must not wait for that.
    let (dag, faults) = read_dag(&id, &text, config, &|_| true);
    let file = FaultyFile { path: path.to_path_buf(), text, faults };
    match dag {
        Some(dag) => Ok((dag, file)),
        None => Err(file),
    }
}

/// Reads the stored text of a DAG file again.
pub(crate) fn load_version(dag_id: &str, text: &str, config: &Config) -> Result<Arc<Dag>, FaultyFile> {
    // Missing files are a warning of the file as it stands, not of its history.
    let (dag, faults) = read_dag(dag_id, text, config, &|_| true);
    dag.map(Arc::new).ok_or_else(|| FaultyFile {
        path: PathBuf::from(format!("{dag_id}.toml")),
        text: text.to_owned(),
        faults,
    })
}

/// The DAG files of a home, by name.
///
/// # Errors
/// The folder is not there or cannot be read: it may lie on a mount that is away, and its DAGs with it.
pub fn dag_files(home: &Home) -> io::Result<Vec<PathBuf>> {
    dag_files_in(&home.dags_dir())
}

/// The files directly in a folder that are read as DAGs, by name.
///
/// # Errors
/// The folder cannot be read.
pub(crate) fn dag_files_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // A folder of such a name is a DAG file that cannot be read.
        if has_dag_name(&path) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn has_dag_name(path: &Path) -> bool {
    // Editors leave hidden files beside the one they edit.
    path.extension().is_some_and(|extension| extension == "toml") && !is_hidden(path)
}

/// Whether the name begins with a dot.
pub(crate) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_system_is_asked_for_the_files_that_a_dag_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d.toml");
        fs::write(&path, "[tasks.a.spark]\napplication = 'jobs/missing.py'\n").unwrap();
        let (_, file) = load_dag(&path, &Config::default()).unwrap();
        assert_eq!(file.faults, []);
    }
}
