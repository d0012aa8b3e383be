//! A task's environment: defined, not inherited, so that `crondag test` runs what cron runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use crate::dag::schedule::zone_text;
use crate::dag::template::{RenderError, Renderer};
use crate::dag::{Config, Dag, Task};
use crate::machine_zone::is_of_system;

pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Builds a task's environment: the small base (`PATH HOME USER LOGNAME SHELL LANG TZ`) of the user it runs as, then what crondag.toml inherits,
/// sets and reads from `env_file`, then the DAG's, then the task's, then crondag's own `CRONDAG_*`.
///
/// # Errors
/// A template does not render.
#[allow(clippy::too_many_arguments)] // one for each layer
pub fn build(
    home: &Path,
    config: &Config,
    dag: &Dag,
    task: &Task,
    renderer: &Renderer,
    user: &User,
    env_file: &[(String, String)],
) -> Result<BTreeMap<String, String>, RenderError> {
    let mut variables = base(user);
    // Without one a program reads /etc/localtime, as crondag has: Java knows no file that `TZ` names.
    if let Some(zone) = zone_text(&dag.timezone).filter(|zone| !is_of_system(zone)) {
        variables.insert("TZ".to_owned(), zone);
    }
    for name in &config.inherit_env {
        // One that is no text is as good as not set: it could be neither shown nor masked.
        if let Ok(value) = std::env::var(name) {
            variables.insert(name.clone(), value);
        }
    }
    variables.extend(config.env.clone());
    variables.extend(env_file.iter().cloned());
    for (name, value) in dag.env.iter().chain(&task.env) {
        variables.insert(name.clone(), renderer.render(value)?);
    }
    variables.extend(renderer.environment());
    variables.insert("CRONDAG_HOME".to_owned(), home.display().to_string());
    Ok(variables)
}

/// The variables that every program of a home finds.
pub(crate) fn base(user: &User) -> BTreeMap<String, String> {
    [
        ("PATH", PATH),
        ("HOME", &user.home),
        ("LOGNAME", &user.name),
        ("USER", &user.name),
        ("SHELL", &user.shell),
        ("LANG", "C.UTF-8"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

/// The name of this machine.
pub(crate) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// A user of this machine, from /etc/passwd, else from whatever the machine's name service knows.
#[derive(Debug, Clone)]
pub struct User {
    /// As people say it.
    pub name: String,
    /// The number; `None` for one that is unknown.
    pub uid: Option<u32>,
    /// The number of the first group.
    pub gid: Option<u32>,
    /// Its home folder.
    pub home: String,
    shell: String,
}

impl User {
    /// The user of this process, read once. One without an entry has only a number.
    pub fn current() -> &'static User {
        static USER: OnceLock<User> = OnceLock::new();
        USER.get_or_init(|| {
            let uid = rustix::process::getuid().as_raw();
            User::entry(2, &uid.to_string()).unwrap_or_else(|| User {
                name: uid.to_string(),
                uid: Some(uid),
                gid: None,
                home: "/".to_owned(),
                shell: "/bin/sh".to_owned(),
            })
        })
    }

    /// The user of that name.
    pub fn named(name: &str) -> Option<User> {
        User::entry(0, name)
    }

    fn entry(field: usize, key: &str) -> Option<User> {
        let line = |text: &str| text.lines().find(|line| line.split(':').nth(field) == Some(key)).map(str::to_owned);
        // Somebody's full name may be in any encoding. A file that cannot be read has no entry of ours.
        let known = fs::read("/etc/passwd").unwrap_or_default();
        let found = line(&String::from_utf8_lossy(&known)).or_else(|| {
            // LDAP and the like; `getent` is part of every C library's tools.
            line(&duct::cmd!("getent", "passwd", key).stderr_null().unchecked().read().ok()?)
        })?;
        let fields: Vec<&str> = found.split(':').collect();
        let field = |position: usize, fallback: &str| {
            fields
                .get(position)
                .filter(|text| !text.is_empty())
                .map_or_else(|| fallback.to_owned(), |text| (*text).to_owned())
        };
        Some(User {
            name: field(0, key),
            uid: field(2, "").parse().ok(),
            gid: field(3, "").parse().ok(),
            home: field(5, "/"),
            shell: field(6, "/bin/sh"),
        })
    }
}
