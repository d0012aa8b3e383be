//! The middle floor: what every front end may ask and order. The command line, pages and programs show the same answers,
//! because they are worked out here and nowhere else.
//!
//! No command line is parsed here, nothing is printed, nothing is coloured.

pub(crate) mod catalog;
mod crontab_line;
mod error;
mod next_step;
mod params;
pub mod query;
pub(crate) mod request;
pub(crate) mod select;
pub(crate) mod times;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub(crate) use crontab_line::{TICK_LATE, crontab_line};
pub(crate) use error::{AppError, Class};
pub(crate) use next_step::NextStep;

use crate::dag::{Config, DagId};
use crate::home::Home;
use crate::machine_zone::MachineZone;
use crate::runner::{catalog as files, client};
use crate::store::Store;

/// A home, opened for questions and orders. The only place that opens a store for a front end.
#[derive(Debug)]
pub(crate) struct App {
    /// Where things are.
    pub home: Home,
    /// crondag.toml
    pub config: Config,
    /// When the question was asked.
    pub now: Timestamp,
    zones: RefCell<BTreeMap<DagId, TimeZone>>,
}

impl App {
    /// Finds the home (`explicit`, else `$CRONDAG_HOME`, else the nearest folder upwards) and reads its crondag.toml.
    ///
    /// # Errors
    /// No home, one that everybody may write, a faulty crondag.toml.
    pub fn open(explicit: Option<&Path>) -> Result<App, AppError> {
        let home = Home::find(explicit)?;
        home.refuse_world_writable().map_err(crate::home::HomeError::from)?;
        match files::load_config(&home) {
            Ok((config, _)) => Ok(App { home, config, now: Timestamp::now(), zones: RefCell::default() }),
            Err(file) => Err(file.into()),
        }
    }

    /// The zone of a DAG file that names none.
    pub fn default_zone(&self) -> TimeZone {
        self.config.default_zone().clone()
    }

    /// The name of the zone of DAGs that name none, and who says so: `Asia/Shanghai (crondag.toml)`.
    pub fn default_zone_in_words(&self) -> String {
        let name = times::zone_name(self.config.default_zone());
        let source = match self.config.timezone {
            Some(_) => crate::home::CONFIG_FILE,
            None => MachineZone::find().source,
        };
        format!("{name} ({source})")
    }

    /// What cannot be understood of the machine's zone, where it counts.
    pub fn zone_warning(&self) -> Option<String> {
        if self.config.timezone.is_some() { None } else { MachineZone::find().warning }
    }

    /// The zone in which a DAG's times are shown, also when its file is faulty or gone.
    pub fn zone_of(&self, dag_id: &DagId) -> TimeZone {
        if let Some(zone) = self.zones.borrow().get(dag_id) {
            return zone.clone();
        }
        let zone = match self.find(dag_id) {
            Some(Ok(dag)) => dag.timezone,
            // A list of runs is still worth having when one file is faulty or unreadable.
            Some(Err(_)) | None => self.default_zone(),
        };
        self.zones.borrow_mut().insert(dag_id.clone(), zone.clone());
        zone
    }

    /// The database for reading; `None` while nothing was ever recorded.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn store(&self) -> Result<Option<Store>, AppError> {
        let path = self.home.database_path();
        if !path.exists() {
            return Ok(None);
        }
        Ok(Some(client::open_store(&self.home)?))
    }

    /// The database of a home in which something has run.
    ///
    /// # Errors
    /// There is none; it cannot be opened.
    pub(crate) fn existing_store(&self) -> Result<Store, AppError> {
        self.store()?.ok_or_else(|| {
            AppError::usage(
                format!("there is no database in {} yet: nothing has run", self.home.state_dir().display()),
                "crondag tick",
            )
        })
    }

    /// The database for writing, made when missing.
    ///
    /// # Errors
    /// The state folder cannot be made, or the database not opened.
    pub fn store_for_writing(&self) -> Result<Store, AppError> {
        self.home.make_state_dir()?;
        Ok(client::open_store(&self.home)?)
    }

    /// Makes the database when it is missing, and brings one of an older program to this one's form.
    ///
    /// # Errors
    /// As of [`App::store_for_writing`].
    pub fn make_database(&self) -> Result<(), AppError> {
        self.store_for_writing().map(drop)
    }

    /// Wakes the driver after something was written for it.
    ///
    /// # Errors
    /// It cannot be started. What was written stays.
    pub fn wake_driver(&self) -> Result<(), AppError> {
        client::wake(&self.home).map_err(|error| {
            AppError::environment(
                error,
                "what you asked for is recorded; `crondag tick` starts the driver and carries it out",
            )
        })
    }
}
