//! Questions and their answers. An answer serialises to the objects of `--json`, which are a contract: fields are added, never
//! renamed or taken away. Times in it know their zone, so that every front end shows the same.

pub(crate) mod attempts;
mod awaited;
pub(crate) mod checks;
pub(crate) mod dags;
pub(crate) mod database;
pub(crate) mod diagnose;
pub(crate) mod ending;
pub(crate) mod explain;
pub(crate) mod finding;
pub(crate) mod gates;
pub(crate) mod graph;
pub(crate) mod lag;
pub(crate) mod logs;
pub(crate) mod next;
pub(crate) mod render;
pub(crate) mod runs;
pub(crate) mod status;
pub(crate) mod tasks;
pub mod validate;
