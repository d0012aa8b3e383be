//! What a command stands on: the home, its settings, its DAG files, its database, the time.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::diagnostic;
use super::error::CliError;
use super::output::wants_colour;
use crate::access;
use crate::dag::file::{Fault, read_config, read_dag};
use crate::dag::nearest::nearest;
use crate::dag::{Config, Dag, DagId};
use crate::home::{Home, HomeError};
use crate::runner::client;
use crate::store::{DagRow, RunRow, Store, Write};

/// Options that every command takes.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Global {
    /// The home [default: $CRONDAG_HOME, else the nearest folder upwards from here with a crondag.toml]
    #[allow(clippy::doc_markdown)] // it is printed as it stands
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
}

/// A home, opened for one command.
#[derive(Debug)]
pub struct Context {
    /// Where things are.
    pub home: Home,
    /// crondag.toml
    pub config: Config,
    /// When the command began.
    pub now: Timestamp,
    zones: RefCell<BTreeMap<DagId, TimeZone>>,
}

/// A DAG file as it was found.
#[derive(Debug)]
pub enum Found {
    /// Good.
    Dag(Box<Dag>),
    /// Not usable; the text is the rendered diagnostics.
    Faulty {
        /// How many errors it has.
        errors: usize,
        /// The first one in words.
        first: String,
        /// All of them, rendered.
        rendered: String,
    },
}

impl Context {
    /// Finds the home and reads its crondag.toml.
    ///
    /// # Errors
    /// No home, a faulty crondag.toml.
    pub fn open(global: &Global) -> Result<Context, CliError> {
        let home = Home::find(global.home.as_deref())?;
        home.refuse_world_writable().map_err(HomeError::from)?;
        let path = home.config_path();
        let text = read_text(&path)?;
        let (config, faults) = match access::refuse_world_writable(&path) {
            Ok(()) => read_config(&text),
            Err(exposed) => (None, vec![exposed.fault()]),
        };
        let Some(config) = config else {
            return Err(CliError::faulty(
                &rendered(&faults, &path, &text),
                format!("correct {}, then type `crondag validate`", path.display()),
            ));
        };
        Ok(Context { home, config, now: Timestamp::now(), zones: RefCell::default() })
    }

    /// The zone of a DAG file that names none.
    pub fn default_zone(&self) -> TimeZone {
        self.config.timezone.clone().unwrap_or_else(TimeZone::system)
    }

    /// The zone in which a DAG's times are shown, also when its file is faulty or gone.
    pub fn zone_of(&self, dag_id: &DagId) -> TimeZone {
        if let Some(zone) = self.zones.borrow().get(dag_id) {
            return zone.clone();
        }
        let zone = match self.find(dag_id) {
            Ok(Some(Found::Dag(dag))) => dag.timezone,
            // A list of runs is still worth having when one file is faulty or unreadable.
            Ok(Some(Found::Faulty { .. }) | None) | Err(_) => self.default_zone(),
        };
        self.zones.borrow_mut().insert(dag_id.clone(), zone.clone());
        zone
    }

    /// The ids of all DAG files, sorted.
    pub fn dag_ids(&self) -> Result<Vec<DagId>, CliError> {
        let folder = self.home.dags_dir();
        let unreadable = |error: io::Error| {
            CliError::environment(
                format!("cannot read the folder {}: {error}", folder.display()),
                "check who owns it (`ls -ld`)",
            )
        };
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(unreadable)?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|extension| extension == "toml")
                && let Some(stem) = path.file_stem().and_then(|stem| stem.to_str())
                && let Ok(id) = DagId::new(stem)
            {
                ids.push(id);
            }
        }
        ids.sort();
        Ok(ids)
    }

    /// Reads the file of a DAG; `None` when there is none.
    pub fn find(&self, id: &DagId) -> Result<Option<Found>, CliError> {
        let path = self.home.dag_path(id.as_str());
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(&path, &error)),
            Ok(text) => text,
        };
        let (dag, faults) = match access::refuse_world_writable(&path) {
            Ok(()) => self.parse(id, &text),
            Err(exposed) => (None, vec![exposed.fault()]),
        };
        Ok(Some(match dag {
            Some(dag) => Found::Dag(Box::new(dag)),
            None => Found::Faulty {
                errors: faults.iter().filter(|fault| fault.severity == crate::dag::file::Severity::Error).count(),
                first: faults.first().map(|fault| fault.message.clone()).unwrap_or_default(),
                rendered: rendered(&faults, &path, &text),
            },
        }))
    }

    /// Reads the text of a DAG file with this home's settings.
    pub fn parse(&self, id: &DagId, text: &str) -> (Option<Dag>, Vec<Fault>) {
        let root = self.home.root();
        read_dag(id.as_str(), text, &self.config, &|path: &Path| root.join(path).exists())
    }

    /// The id that a user typed, if there is such a file or the database knows it.
    pub fn dag_id(&self, text: &str) -> Result<DagId, CliError> {
        let id = DagId::new(text).map_err(|_| self.unknown_dag(text))?;
        let known = self.home.dag_path(text).is_file()
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
    pub fn dag(&self, text: &str) -> Result<Dag, CliError> {
        let id = DagId::new(text).map_err(|_| self.unknown_dag(text))?;
        match self.find(&id)? {
            None => Err(self.unknown_dag(text)),
            Some(Found::Dag(dag)) => Ok(*dag),
            Some(Found::Faulty { rendered, .. }) => Err(CliError::faulty(
                &rendered,
                format!("correct {}, then type `crondag validate`", self.home.dag_path(text).display()),
            )),
        }
    }

    fn unknown_dag(&self, text: &str) -> CliError {
        let ids = self.dag_ids().unwrap_or_default();
        let what = format!("there is no DAG `{text}` in {}", self.home.dags_dir().display());
        match nearest(text, ids.iter().map(DagId::as_str)) {
            Some(near) => CliError::usage(what, format!("did you mean `{near}`? `crondag list_dags` shows them all")),
            None => CliError::usage(what, "crondag list_dags"),
        }
    }

    /// The version of the DAG that a run is bound to, else the file as it stands; `None` when neither can be read.
    pub fn dag_of_run(&self, store: &Store, run: &RunRow) -> Result<Option<Dag>, CliError> {
        if let Some(version) = run.version_id
            && let Some(version) = store.version(version)?
            && let (Some(dag), _) = self.parse(&run.dag_id, &version.text)
        {
            return Ok(Some(dag));
        }
        Ok(match self.find(&run.dag_id)? {
            Some(Found::Dag(dag)) => Some(*dag),
            Some(Found::Faulty { .. }) | None => None,
        })
    }

    /// The database for reading; `None` while nothing was ever recorded.
    pub fn store(&self) -> Result<Option<Store>, CliError> {
        let path = self.home.database_path();
        if !path.exists() {
            return Ok(None);
        }
        Ok(Some(Store::open(&path)?))
    }

    /// The database for writing, made when missing.
    pub fn store_for_writing(&self) -> Result<Store, CliError> {
        self.home.make_state_dir()?;
        Ok(Store::open(&self.home.database_path())?)
    }

    /// Makes the file as it stands now the version that runs start with: what people ask for works for a DAG that no tick
    /// has seen, and with the correction they have just typed.
    pub fn keep_version(&self, write: &Write<'_>, dag: &Dag) -> Result<(), CliError> {
        let text = read_text(&self.home.dag_path(dag.id.as_str()))?;
        let version = write.keep_version(&dag.id, &text, self.now)?;
        let mut row = write.dag(&dag.id)?.unwrap_or_else(|| DagRow {
            dag_id: dag.id.clone(),
            version_id: None,
            // No file looks like this: the next tick reads it again.
            file_stamp: String::new(),
            fault: None,
            is_active: true,
            is_paused: false,
            schedule_from: self.now,
            scheduled_until: None,
            next_fire_at: None,
        });
        row.version_id = Some(version);
        row.fault = None;
        write.put_dag(&row)?;
        Ok(())
    }

    /// Wakes the driver after something was written for it.
    pub fn wake_driver(&self) -> Result<(), CliError> {
        client::wake(&self.home).map_err(|error| {
            CliError::environment(
                format!("{error}"),
                "what you asked for is recorded; `crondag tick` starts the driver and carries it out",
            )
        })
    }
}

fn read_text(path: &Path) -> Result<String, CliError> {
    fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &io::Error) -> CliError {
    if error.kind() == io::ErrorKind::InvalidData {
        CliError::usage(format!("{} is not UTF-8 text", path.display()), "save it as UTF-8")
    } else {
        CliError::environment(format!("cannot read {}: {error}", path.display()), "check who owns it (`ls -l`)")
    }
}

/// The diagnostics of a file, for standard error.
fn rendered(faults: &[Fault], path: &Path, text: &str) -> String {
    let style = if wants_colour(&io::stderr()) { diagnostic::Style::Colour } else { diagnostic::Style::Plain };
    diagnostic::render(faults, path, text, style)
}
