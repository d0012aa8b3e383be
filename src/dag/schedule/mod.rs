//! When a DAG fires, and which data each firing is about.

mod cron_field;
mod fire;
mod succession;
mod timetable;
mod when;
mod zone;

pub use cron_field::{ScheduleFault, ScheduleFaultKind};
pub use fire::Schedule;
pub use succession::{Place, Upcoming};
pub use timetable::{DataInterval, OutOfBounds, Succession, Timetable};
pub use when::{DateBound, When, WhenFault, parse_when, read_date};
pub use zone::{ZoneFault, parse_zone};
pub(crate) use zone::{name_of_zone, zone_of_text, zone_text};
