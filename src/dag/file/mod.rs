//! Reads DAG files, crondag.toml and diagnosis.toml: all faults at once, each with its place and what to write instead.
//!
//! Files reach it as text and leave it as values in which nothing is left to look up. It must not touch the disk: whether
//! a file exists is asked through a function.

mod action;
mod awaited;
mod config;
mod dag;
mod diagnosis;
mod document;
mod edges;
mod fault;
mod field;
mod fit;
mod newline;
mod order;
mod process;
mod reader;
pub mod reference;
pub mod schema;
mod section;
mod source;
mod spark;
mod suggest;
mod surroundings;
mod syntax;
mod task;
mod text;
mod unknown_key;
mod value;

pub use awaited::{OtherFile, check_awaited};
pub use config::{read_config, read_config_leniently};
pub use dag::read_dag;
pub use diagnosis::read_diagnosis;
pub(crate) use fault::within;
pub use fault::{Fault, Severity};
pub(crate) use value::OWN_VARIABLES;
