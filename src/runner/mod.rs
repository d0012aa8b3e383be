//! How a run happens: the pure engine, the driver that obeys it, the shim that watches over one attempt.

pub mod actions;
pub mod attempt;
pub mod awaited;
pub mod catalog;
pub mod cgroup;
pub mod client;
pub mod driver;
pub mod engine;
pub mod environment;
pub mod evidence;
pub mod files;
pub mod launch;
pub mod log;
pub mod planner;
pub mod process;
mod program;
mod rattle;
pub mod run_as;
pub mod secrets;
pub mod shim;
pub mod spawner;
mod sys;
