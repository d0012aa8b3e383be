//! An attempt on this machine: a shim that the spawner forks watches over the program and all that it starts.
//!
//! The files use one another in this order alone: `attributes`, `sys`, `memory`, `process`, `program` and `cgroup`, `run_as`, `attempt_file`,
//! `shim`, `foreground` and `spawner`.

pub mod attempt_file;
mod attributes;
pub mod cgroup;
pub(crate) mod foreground;
pub(crate) mod memory;
pub mod process;
pub(crate) mod program;
pub mod run_as;
pub mod shim;
pub mod spawner;
pub(crate) mod sys;
