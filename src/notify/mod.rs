//! Tells people: from a notice of what happened to its delivery. Rendering is pure; delivery is one function. What waits
//! is kept by the store, the retries are the driver's.

mod channel;
pub(crate) mod incident;
mod line;
mod mail;
mod notice;
mod outbox;
pub mod render;
pub(crate) mod report;
mod trouble;

pub(crate) use channel::Telling;
pub use channel::{Channel, DeliveryError, deliver_mail};
pub use mail::{Mail, Picture};
pub use notice::{Notice, NoticeEvent, RunFacts, Standing, TaskFacts};
pub use outbox::Outbox;
