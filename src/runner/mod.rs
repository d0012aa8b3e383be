//! How a run happens: the pure engine, the driver that obeys it, the attempts that it starts.

pub(crate) mod actions;
pub mod attempt;
pub(crate) mod awaited;
mod backoff;
pub mod catalog;
pub mod client;
pub mod driver;
pub mod driver_log;
pub mod engine;
pub(crate) mod evidence;
pub(crate) mod files;
pub(crate) mod load;
pub mod planner;
mod race_delay;
mod random;
mod telling;
