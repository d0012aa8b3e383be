//! A task's environment: defined, not inherited, so that `crondag test` runs what cron runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use crate::dag::template::{RenderError, Renderer};
use crate::dag::{Config, Dag, Task};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why there is no environment. Reads after "error: ".
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// A value's template.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The `env_file` of crondag.toml.
    #[error("env_file {place}: {message}")]
    EnvFile {
        /// The file, with the line where there is one.
        place: String,
        /// What is wrong.
        message: String,
    },
}

/// The variables of one attempt, and which of their values are secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// All variables.
    pub variables: BTreeMap<String, String>,
    /// Values that must not be seen.
    pub secrets: Vec<String>,
}

/// Builds a task's environment: the small base (`PATH HOME USER LOGNAME SHELL LANG TZ`), then what crondag.toml inherits,
/// sets and reads from `env_file`, then the DAG's, then the task's, then crondag's own `CRONDAG_*`.
///
/// # Errors
/// A template does not render, or `env_file` cannot be read.
pub fn build(
    home: &Path,
    config: &Config,
    dag: &Dag,
    task: &Task,
    renderer: &Renderer,
) -> Result<Environment, EnvironmentError> {
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
    let mut secrets = Vec::new();
    if let Some(path) = &config.env_file {
        for (name, value) in read_env_file(&home.join(path))? {
            secrets.push(value.clone());
            variables.insert(name, value);
        }
    }
    for (name, value) in dag.env.iter().chain(&task.env) {
        variables.insert(name.clone(), renderer.render(value)?);
    }
    variables.extend(renderer.environment());
    variables.insert("CRONDAG_HOME".to_owned(), home.display().to_string());
    Ok(Environment { variables, secrets })
}

/// A variable that crondag itself uses, such as a mail password: from `env_file`, else from its own environment.
pub fn lookup(home: &Path, config: &Config, name: &str) -> Option<String> {
    let from_file = config.env_file.as_ref().and_then(|path| {
        read_env_file(&home.join(path)).ok()?.into_iter().rev().find(|(key, _)| key == name).map(|(_, value)| value)
    });
    from_file.or_else(|| std::env::var(name).ok())
}

fn base() -> BTreeMap<String, String> {
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

/// Reads `NAME=value` lines; `export`, quotes and `#` comments are allowed, as a shell would read them.
fn read_env_file(path: &Path) -> Result<Vec<(String, String)>, EnvironmentError> {
    let text = fs::read_to_string(path)
        .map_err(|error| EnvironmentError::EnvFile { place: path.display().to_string(), message: error.to_string() })?;
    let mut variables = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fault = |message: &str| EnvironmentError::EnvFile {
            place: format!("{}:{}", path.display(), number + 1),
            message: message.to_owned(),
        };
        let (name, value) = line.split_once('=').ok_or_else(|| fault("expected NAME=value"))?;
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(fault("expected NAME=value, with letters, digits and `_` in the name"));
        }
        let value = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                value[1..].strip_suffix(quote).ok_or_else(|| fault("the quote is not closed on this line"))?.to_owned()
            }
            _ => value.split(" #").next().unwrap_or_default().trim_end().to_owned(),
        };
        variables.push((name.to_owned(), value));
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn env_files_are_read_as_a_shell_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("env");
        fs::write(&path, "# c\nA=1\nexport B='two words'\nC=\"x=y\" \n\nD=plain # comment\nE=\n").unwrap();
        let expected = [("A", "1"), ("B", "two words"), ("C", "x=y"), ("D", "plain"), ("E", "")];
        let found = read_env_file(&path).unwrap();
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        fs::write(&path, "A=1\nnonsense\n").unwrap();
        let error = read_env_file(&path).unwrap_err().to_string();
        assert!(error.ends_with("env:2: expected NAME=value"), "{error}");
    }
}
