//! Questions and their answers. An answer serialises to the objects of `--json`, which are a contract: fields are added, never
//! renamed or taken away. Times in it know their zone, so that every front end shows the same.

pub mod attempts;
pub mod checks;
pub mod dags;
pub mod database;
pub mod diagnose;
pub mod ending;
pub mod explain;
pub mod gates;
pub mod graph;
pub mod lag;
pub mod logs;
pub mod next;
pub mod render;
pub mod runs;
pub mod status;
pub mod tasks;
pub mod validate;
