//! The zone of this machine, for DAGs in homes that name none: `TZ` as POSIX has it, then /etc/localtime, then UTC, as the C library
//! of the tasks finds it.

use std::ffi::OsStr;
use std::path::Path;
use std::{env, fs};

use jiff::tz::TimeZone;

use crate::dag::schedule;
use crate::text_file;

/// The zone, where it was found, and what could not be read on the way.
#[derive(Debug, Clone)]
pub struct MachineZone {
    /// The zone.
    pub zone: TimeZone,
    /// `TZ`, `/etc/localtime`, or that nothing says.
    pub source: &'static str,
    /// What says something that cannot be understood. Reads as a sentence without its end.
    pub warning: Option<String>,
}

/// Where the system keeps the zone.
const LOCALTIME: &str = "/etc/localtime";

impl MachineZone {
    /// Asks the environment of this process and the system.
    pub fn find() -> MachineZone {
        resolve(env::var_os("TZ").as_deref(), Path::new(LOCALTIME))
    }

    /// Asks the system alone.
    pub(crate) fn of_system() -> MachineZone {
        resolve(None, Path::new(LOCALTIME))
    }
}

/// Whether a text of [`zone_text`](crate::dag::schedule::zone_text) is the file that every program reads that has no `TZ`.
pub(crate) fn is_of_system(text: &str) -> bool {
    text.strip_prefix(':') == Some(LOCALTIME)
}

/// The zone that a text of [`zone_text`](crate::dag::schedule::zone_text) says, on this machine; `None` when there is none.
pub(crate) fn zone_of_text(text: &str) -> Option<TimeZone> {
    if text.starts_with(":/") { of_variable(text) } else { schedule::zone_of_text(text).ok() }
}

fn resolve(variable: Option<&OsStr>, localtime: &Path) -> MachineZone {
    let mut warning = None;
    if let Some(value) = variable {
        let text = value.to_string_lossy();
        match of_variable(&text) {
            Some(zone) => return MachineZone { zone, source: "TZ", warning },
            None => warning = Some(format!("TZ is `{text}`, which is no zone of the tz database")),
        }
    }
    match of_file(localtime) {
        Ok(Some(zone)) => MachineZone { zone, source: LOCALTIME, warning },
        Ok(None) => MachineZone { zone: TimeZone::UTC, source: "nothing on this machine says another", warning },
        Err(error) => {
            let unreadable = format!("{} is no zone: {error}", localtime.display());
            let warning = Some(warning.map_or(unreadable.clone(), |first| format!("{first}, and {unreadable}")));
            MachineZone { zone: TimeZone::UTC, source: "nothing on this machine says another", warning }
        }
    }
}

/// POSIX: empty is UTC; a colon may stand before a name or a file; else it is a name, or a rule such as `CST-8`.
fn of_variable(text: &str) -> Option<TimeZone> {
    let name = text.strip_prefix(':').unwrap_or(text);
    if name.is_empty() {
        return Some(TimeZone::UTC);
    }
    if name.starts_with('/') {
        return of_file(Path::new(name)).ok().flatten();
    }
    if let Ok(zone) = TimeZone::get(name) {
        return Some(zone);
    }
    // A rule has an offset; a misspelt name must not be taken for one.
    name.contains(|c: char| c.is_ascii_digit()).then(|| TimeZone::posix(name).ok()).flatten()
}

/// A file of the tz database, or a link to one, which then gives the zone its name; `None` when there is none.
fn of_file(path: &Path) -> Result<Option<TimeZone>, String> {
    let target = fs::canonicalize(path).or_else(|_| fs::read_link(path));
    let name = target.ok().and_then(|target| name_in(&target));
    if let Some(zone) = name.and_then(|name| TimeZone::get(&name).ok()) {
        return Ok(Some(zone));
    }
    let data = match text_file::bytes(path) {
        Ok(data) => data,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !path.is_symlink() => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    // A copy of a file of the tz database has no name of its own: it is called as `TZ` calls a file.
    TimeZone::tzif(&format!(":{}", path.display()), &data).map(Some).map_err(|error| error.to_string())
}

/// `/usr/share/zoneinfo/Asia/Shanghai`: what stands behind `zoneinfo/`.
fn name_in(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    let name = text.split_once("zoneinfo/")?.1;
    Some(name.strip_prefix("posix/").or(name.strip_prefix("right/")).unwrap_or(name).to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn found(variable: Option<&str>, localtime: &Path) -> (String, &'static str, Option<String>) {
        let found = resolve(variable.map(OsStr::new), localtime);
        let summer: jiff::Timestamp = "2018-07-01T00:00:00Z".parse().unwrap();
        let offset = found.zone.to_offset(summer).to_string();
        (found.zone.iana_name().map_or(offset, str::to_owned), found.source, found.warning)
    }

    #[test]
    fn the_variable_goes_before_the_file_and_the_file_before_utc() {
        let folder = tempfile::tempdir().unwrap();
        let localtime = folder.path().join("localtime");
        let none = "nothing on this machine says another";
        assert_eq!(found(None, &localtime), ("UTC".to_owned(), none, None));
        symlink("/usr/share/zoneinfo/Asia/Shanghai", &localtime).unwrap();
        assert_eq!(found(None, &localtime), ("Asia/Shanghai".to_owned(), LOCALTIME, None));
        for (variable, zone) in [
            ("Europe/Berlin", "Europe/Berlin"),
            (":Europe/Berlin", "Europe/Berlin"),
            ("", "UTC"),
            ("UTC", "UTC"),
            ("CST-8", "+08"),
            ("UTC0", "+00"),
        ] {
            let (found, source, warning) = found(Some(variable), &localtime);
            assert_eq!((found.as_str(), source, warning), (zone, "TZ", None), "{variable}");
        }
        let wrong = Some("TZ is `Asia/Shanghia`, which is no zone of the tz database".to_owned());
        assert_eq!(found(Some("Asia/Shanghia"), &localtime), ("Asia/Shanghai".to_owned(), LOCALTIME, wrong));
    }

    #[test]
    fn a_file_that_is_no_zone_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let localtime = folder.path().join("localtime");
        fs::write(&localtime, "nonsense").unwrap();
        let (zone, _, warning) = found(None, &localtime);
        assert_eq!(zone, "UTC");
        assert!(warning.is_some_and(|warning| warning.starts_with(&format!("{} is no zone: ", localtime.display()))));
    }
}
