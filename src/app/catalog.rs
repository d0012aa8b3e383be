//! The DAG files of a home: good ones, faulty ones, and those whose name or bytes cannot be read.

use std::io;

use super::{App, AppError};
use crate::dag::nearest::nearest;
use crate::dag::template::quote;
use crate::dag::{Dag, DagId};
use crate::runner::catalog::{self as files, FaultyFile};
use crate::store::{DagRow, RunRow, Store, Write};
use crate::text_file;

/// A file of the folder `dags/`.
#[derive(Debug)]
pub struct DagFile {
    /// Its name without `.toml`, on one line; a DAG's id, if it can be one.
    pub name: String,
    /// The id; `None` where the name is none, which is one of the file's faults.
    pub dag_id: Option<DagId>,
    /// What it says, or why it cannot be used.
    pub dag: Result<Box<Dag>, Box<FaultyFile>>,
}

impl App {
    /// All DAG files, by name. One that was deleted since the folder was read is left out.
    ///
    /// # Errors
    /// The folder is not there or cannot be read.
    pub fn dag_files(&self) -> Result<Vec<DagFile>, AppError> {
        let mut found = Vec::new();
        for path in files::dag_files(&self.home).map_err(|error| self.unreadable_folder(&error))? {
            if !text_file::is_there(&path) {
                continue;
            }
            // What the listing gives ends with `.toml`, so it has a stem.
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let dag_id = DagId::new(name.as_str()).ok();
            let dag = files::load_dag(&path, &self.config);
            let dag = dag.map(|(dag, _)| Box::new(dag)).map_err(Box::new);
            // Its name may hold anything.
            found.push(DagFile { dag_id, name: name.replace(char::is_control, "?"), dag });
        }
        Ok(found)
    }

    /// The ids of all DAG files, sorted, without a look into the files.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn dag_ids(&self) -> Result<Vec<DagId>, AppError> {
        let paths = files::dag_files(&self.home).map_err(|error| self.unreadable_folder(&error))?;
        let names = paths.iter().filter_map(|path| path.file_stem()?.to_str());
        Ok(names.filter_map(|name| DagId::new(name).ok()).collect())
    }

    fn unreadable_folder(&self, error: &io::Error) -> AppError {
        let folder = self.home.dags_dir().display().to_string();
        if error.kind() == io::ErrorKind::NotFound {
            let next = format!("put the folder back, or make an empty one: mkdir {}", quote(&folder));
            return AppError::environment(format!("the folder of DAG files is gone: {folder}"), next);
        }
        AppError::environment(format!("cannot read the folder {folder}: {error}"), "check who owns it (`ls -ld`)")
    }

    /// Reads the file of a DAG; `None` when there is none.
    pub fn find(&self, id: &DagId) -> Option<Result<Dag, FaultyFile>> {
        let path = self.home.dag_path(id.as_str());
        if !text_file::is_there(&path) {
            return None;
        }
        Some(files::load_dag(&path, &self.config).map(|(dag, _)| dag))
    }

    /// The id that a user typed, if there is such a file or the database knows it.
    ///
    /// # Errors
    /// There is no such DAG (the nearest name is suggested).
    pub fn dag_id(&self, text: &str) -> Result<DagId, AppError> {
        let id = DagId::new(text).map_err(|_| self.unknown_dag(text))?;
        let known = text_file::is_there(&self.home.dag_path(text))
            || match self.store()? {
                Some(store) => store.dag(&id)?.is_some(),
                None => false,
            };
        if known { Ok(id) } else { Err(self.unknown_dag(text)) }
    }

    /// The DAG that a user named, read from its file as it stands now.
    ///
    /// # Errors
    /// There is no such file (the nearest name is suggested), or it is faulty.
    pub fn dag(&self, text: &str) -> Result<Dag, AppError> {
        let id = DagId::new(text).map_err(|_| self.unknown_dag(text))?;
        match self.find(&id) {
            None => Err(self.unknown_dag(text)),
            Some(Ok(dag)) => Ok(dag),
            Some(Err(file)) => Err(file.into()),
        }
    }

    fn unknown_dag(&self, text: &str) -> AppError {
        // Without the folder there is no nearest name; what is wrong is that there is no such DAG.
        let ids = self.dag_ids().unwrap_or_default();
        let what = format!("there is no DAG `{text}` in {}", self.home.dags_dir().display());
        match nearest(text, ids.iter().map(DagId::as_str)) {
            Some(near) => AppError::usage(what, format!("did you mean `{near}`? `crondag list_dags` shows them all")),
            None => AppError::usage(what, "crondag list_dags"),
        }
    }

    /// The version of the DAG that a run is bound to, else the file as it stands; `None` when neither can be read.
    ///
    /// # Errors
    /// The database.
    pub fn dag_of_run(&self, store: &Store, run: &RunRow) -> Result<Option<Dag>, AppError> {
        if let Some(version) = run.version_id
            && let Some(version) = store.version(version)?
            && let Ok(dag) = files::load_version(run.dag_id.as_str(), &version.text, &self.config)
        {
            return Ok(Some((*dag).clone()));
        }
        Ok(self.find(&run.dag_id).and_then(Result::ok))
    }

    /// Makes the file as it stands now the version that runs start with: what people ask for works for a DAG that no tick
    /// has seen, and with the correction they have just typed. Gives the version's number.
    ///
    /// # Errors
    /// The file cannot be read, or the database not be written.
    pub fn keep_version(&self, write: &Write<'_>, dag: &Dag) -> Result<i64, AppError> {
        let path = self.home.dag_path(dag.id.as_str());
        let (_, file) = files::load_dag(&path, &self.config)?;
        let version = write.keep_version(&dag.id, &file.text, self.now)?;
        let mut row = write.dag(&dag.id)?.unwrap_or_else(|| DagRow::new(dag.id.clone(), self.now));
        row.version_id = Some(version);
        row.fault = None;
        write.put_dag(&row)?;
        Ok(version)
    }
}
