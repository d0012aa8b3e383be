//! A task's environment: defined, not inherited, so that `crondag test` runs what cron runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use crate::dag::template::{RenderError, Renderer};
use crate::dag::{Config, Dag, Task};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Builds a task's environment: the small base (`PATH HOME USER LOGNAME SHELL LANG TZ`), then what crondag.toml inherits,
/// sets and reads from `env_file`, then the DAG's, then the task's, then crondag's own `CRONDAG_*`.
///
/// # Errors
/// A template does not render.
pub fn build(
    home: &Path,
    config: &Config,
    dag: &Dag,
    task: &Task,
    renderer: &Renderer,
    env_file: &[(String, String)],
) -> Result<BTreeMap<String, String>, RenderError> {
    let mut variables = base();
    if let Some(zone) = dag.timezone.iana_name() {
        variables.insert("TZ".to_owned(), zone.to_owned());
    }
    for name in &config.inherit_env {
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
pub(super) fn base() -> BTreeMap<String, String> {
    let user = User::current().clone();
    [
        ("PATH", PATH.to_owned()),
        ("HOME", user.home),
        ("LOGNAME", user.name.clone()),
        ("USER", user.name),
        ("SHELL", user.shell),
        ("LANG", "C.UTF-8".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

#[derive(Clone)]
struct User {
    name: String,
    home: String,
    shell: String,
}

impl User {
    /// The user of this process, looked up once, from /etc/passwd, else from whatever the machine's name service knows.
    fn current() -> &'static User {
        static USER: OnceLock<User> = OnceLock::new();
        USER.get_or_init(User::look_up)
    }

    fn look_up() -> User {
        let id = rustix::process::getuid().as_raw().to_string();
        let line = |text: &str| text.lines().find(|line| line.split(':').nth(2) == Some(&id)).map(str::to_owned);
        let found = fs::read_to_string("/etc/passwd").ok().and_then(|text| line(&text)).or_else(|| {
            // LDAP and the like; `getent` is part of every C library's tools.
            line(&duct::cmd!("getent", "passwd", &id).stderr_null().unchecked().read().ok()?)
        });
        let fields: Vec<&str> = found.as_deref().map(|line| line.split(':').collect()).unwrap_or_default();
        let field = |position: usize, fallback: &str| {
            fields
                .get(position)
                .filter(|text| !text.is_empty())
                .map_or_else(|| fallback.to_owned(), |text| (*text).to_owned())
        };
        User { name: field(0, &id), home: field(5, "/"), shell: field(6, "/bin/sh") }
    }
}
