//! Orders. Each is first a plan: what will be created and changed, and what is left out and why. A plan can be shown and
//! serialised; nothing is written while it is made. `apply` carries it out in one transaction and gives a receipt, which says
//! where the world has changed since the plan was made.
//!
//! The receipt is given also when the driver cannot be woken: what was recorded stays, and the next tick carries it out.

pub mod backfill;
pub mod backup;
pub mod clear;
pub mod gate;
pub mod history;
pub mod import;
pub mod init;
pub mod mark;
pub mod params;
pub mod pause;
pub mod range;
pub mod stop;
pub mod tick;
pub mod trigger;
pub mod watch;
