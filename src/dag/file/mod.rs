//! Reads DAG files and crondag.toml: every fault in one go, each with its place, what was expected, and help.

mod config_file;
mod dag_file;
mod fault;
pub mod field;
mod order;
mod reader;
pub mod schema;

pub use config_file::read_config;
pub use dag_file::read_dag;
pub use fault::{Fault, Severity};
