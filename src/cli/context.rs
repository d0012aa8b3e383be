//! Options that every command takes, and the home that they name.

use std::path::PathBuf;

use super::error::CliError;
use crate::app::App;

/// Options that every command takes.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Global {
    /// The home [default: $CRONDAG_HOME, else the nearest folder upwards from here with a crondag.toml]
    #[allow(clippy::doc_markdown)] // it is printed as it stands
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
}

impl Global {
    /// Opens the home.
    pub(super) fn open(&self) -> Result<App, CliError> {
        Ok(App::open(self.home.as_deref())?)
    }
}
