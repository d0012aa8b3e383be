//! crondag takes the place of crontab for ETL: DAG files in TOML, runs recorded in `SQLite`, one line in the crontab.
//!
//! A functional core in an imperative shell. The modules use one another in one direction only, which `tests/house.rs` holds:
//!
//! ```text
//! cli ─► app ─► runner ─► notify ─► store, check, diagnose ─► dag
//!         └───► import ─► dag
//! ```
//!
//! Past `app`, `cli` uses what it prints and what its process is itself: an inner program, an attempt on the terminal, the driver.
//!
//! - [`dag`] says what a DAG is: the file format, schedules, trigger rules, templates. No clock, no processes, no database.
//! - [`check`] says what the values of a day are worth beside those of the days before.
//! - [`diagnose`] says why an attempt failed, from evidence that it is given.
//! - [`runner`] says how a run happens: the pure engine, the driver that obeys it, the shim that watches one attempt.
//! - [`store`] holds the only SQL about runs.
//! - [`notify`] tells people: from a notice of what happened to its delivery.
//! - [`import`] makes DAG files of what other schedulers have.
//! - [`app`] answers and orders what every front end may ask and order: no command line, no colours, no printing.
//! - [`home`] is the folder in which all of this lives.
//! - `access` says which files are open to people who must not change or see them.
//! - `machine_zone` finds the zone of this machine.
//! - `mask` takes secrets out of texts.
//! - `text_file` reads what people write, with whatever editor.
//! - [`cli`] has one file per command: parse, call, print.

pub(crate) mod access;
pub mod app;
pub mod check;
pub mod cli;
pub mod dag;
pub mod diagnose;
pub mod home;
pub mod import;
pub(crate) mod machine_zone;
pub(crate) mod mask;
pub mod notify;
pub mod runner;
pub mod store;
mod text_file;
