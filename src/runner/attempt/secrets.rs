//! The secrets of one attempt: read when a template asks for them, remembered only so that they can be masked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::environment::{self, User};
use super::local::memory;
use super::local::process::{self, Waited};
use super::local::program::Program;
use crate::access;
use crate::dag::argument::{LONGEST_ARGUMENT, is_too_long};
use crate::dag::config::SecretSource;
use crate::dag::file::OWN_VARIABLES;
use crate::dag::template::Secrets;
use crate::dag::{Config, ProcessAttributes};
use crate::mask::{MASK, Mask, SHORTEST_SECRET};
use crate::text_file;

/// How long the command of a secret may take.
const LONGEST_COMMAND: Duration = Duration::from_secs(30);
/// No secret is longer: programs take no longer texts in their environment.
const LONGEST_SECRET: u64 = 100 << 10;

/// What an attempt knows of the secrets of its home.
#[derive(Debug)]
pub struct Keyring {
    home: PathBuf,
    declared: BTreeMap<String, SecretSource>,
    /// The variables of `env_file`, in order.
    env_file: Vec<(String, String)>,
    /// What a secret's command finds in its environment.
    environment: BTreeMap<String, String>,
    /// What its process begins with beside.
    process: ProcessAttributes,
    /// What has been asked for so far.
    taken: Mutex<BTreeMap<String, Result<String, String>>>,
}

/// Whether a rehearsed text has a secret in it, or looks as if it had.
pub(crate) fn has_masked(text: &str) -> bool {
    text.contains(MASK)
}

impl Keyring {
    /// Reads `env_file`; the other secrets only when they are asked for.
    ///
    /// # Errors
    /// The file cannot be read or is open to others; the words hold no secret.
    pub fn open(home: &Path, config: &Config) -> Result<Arc<Keyring>, String> {
        let env_file = match &config.env_file {
            Some(path) => read_env_file(&home.join(path))?,
            None => Vec::new(),
        };
        let mut environment = environment::base(User::current());
        environment.extend(config.env.clone());
        environment.extend(env_file.iter().cloned());
        Ok(Arc::new(Keyring {
            home: home.to_path_buf(),
            declared: config.secrets.clone(),
            env_file,
            environment,
            process: config.process.attributes(),
            taken: Mutex::default(),
        }))
    }

    /// The variables of `env_file`.
    pub fn env_file(&self) -> &[(String, String)] {
        &self.env_file
    }

    /// The secrets for templates.
    pub fn secrets(self: &Arc<Keyring>) -> Secrets {
        let keyring = self.clone();
        Secrets::new(move |name| keyring.value(name))
    }

    /// The same names with a mask as value: for what is shown. Nothing is fetched.
    pub fn hidden(self: &Arc<Keyring>) -> Secrets {
        let keyring = self.clone();
        Secrets::new(move |name| keyring.declared.contains_key(name).then(|| Ok(MASK.to_owned())))
    }

    /// Every value that must not be seen: all of `env_file`, and what templates have asked for.
    pub fn values(&self) -> Vec<String> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = taken.values().filter_map(|value| value.as_ref().ok());
        let mut values: Vec<String> = self.env_file.iter().map(|(_, value)| value).chain(asked).cloned().collect();
        values.retain(|value| !value.is_empty());
        values
    }

    /// Masks those values.
    pub fn mask(&self) -> Mask {
        Mask::new(self.values().iter().map(String::as_str))
    }

    /// The password of a connection: the first line of its source, where a variable may also be one of the task's own.
    ///
    /// # Errors
    /// Why there is none.
    pub fn password(
        &self,
        connection: &str,
        source: &SecretSource,
        env: &BTreeMap<String, String>,
    ) -> Result<String, String> {
        let found = match source {
            SecretSource::Env(name) if env.contains_key(name) => Ok(env[name].clone()),
            source => self.fetch(source),
        };
        let password = found
            .map(|text| text.lines().next().unwrap_or_default().to_owned())
            .and_then(check)
            .map_err(|reason| format!("the password of connection {connection} is not to be had: {reason}"));
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.insert(format!("connections.{connection}"), password.clone());
        password
    }

    /// A variable that crondag itself uses, such as a mail password: from `env_file`, else from its own environment.
    pub fn variable(&self, name: &str) -> Option<String> {
        let from_file = self.env_file.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        from_file.or_else(|| std::env::var(name).ok())
    }

    fn value(&self, name: &str) -> Option<Result<String, String>> {
        let source = self.declared.get(name)?;
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let value = taken.entry(name.to_owned()).or_insert_with(|| {
            self.fetch(source).and_then(check).map_err(|reason| format!("the secret {name} is not to be had: {reason}"))
        });
        Some(value.clone())
    }

    fn fetch(&self, source: &SecretSource) -> Result<String, String> {
        match source {
            SecretSource::Env(name) => self
                .variable(name)
                .ok_or_else(|| format!("{name} is neither in env_file nor in the environment of the driver")),
            SecretSource::File(path) => read_file(&self.home.join(path)),
            SecretSource::Command(command) => self.run(command),
        }
    }

    /// Runs a secret's command. What it says on standard error is not told: nobody knows yet what to mask there.
    fn run(&self, command: &str) -> Result<String, String> {
        let failed = |error: std::io::Error| format!("its command cannot be run: {error}");
        let by_hand = "to see why, type the command by hand in the home";
        // A file in memory and no pipe: what the command leaves behind cannot keep us waiting.
        let mut output = memory::empty_file().map_err(failed)?;
        let null = || File::options().read(true).write(true).open("/dev/null").map(OwnedFd::from);
        let ends = (null().map_err(failed)?, output.try_clone().map_err(failed)?.into());
        let argv = ["/bin/bash", "-c", command];
        let program = Program::new(Path::new(argv[0]), argv, &self.environment, &self.home, ends, &self.process);
        let program = program.map_err(failed)?.with_errors(null().map_err(failed)?);
        let pid = program.start(None).map_err(failed)?;
        let status = match process::wait_at_most(pid, LONGEST_COMMAND) {
            Waited::Ended(status) => status.map(|status| ExitStatus::from_raw(status.as_raw())),
            Waited::StillThere => {
                process::end_group(pid);
                return Err(format!("its command took longer than {} seconds; {by_hand}", LONGEST_COMMAND.as_secs()));
            }
        };
        match status {
            Some(status) if status.success() => {}
            Some(status) => return Err(format!("its command ended with {status}; {by_hand}")),
            None => return Err(format!("its command vanished; {by_hand}")),
        }
        output.seek(SeekFrom::Start(0)).map_err(failed)?;
        read(output).map_err(|error| format!("what its command prints cannot be used: {error}"))
    }
}

/// What is wrong with the files of secrets that crondag.toml names. Runs no command.
pub fn faults(home: &Path, config: &Config) -> Vec<String> {
    let env_file = config.env_file.as_ref().and_then(|path| read_env_file(&home.join(path)).err());
    let passwords = config
        .connections
        .iter()
        .filter_map(|(name, connection)| Some((format!("the password of connection {name}"), connection.password()?)));
    let secrets = config.secrets.iter().map(|(name, source)| (format!("the secret {name}"), source));
    let files = passwords.chain(secrets).filter_map(|(name, source)| match source {
        SecretSource::File(path) => {
            read_file(&home.join(path)).and_then(check).err().map(|reason| format!("{name}: {reason}"))
        }
        SecretSource::Env(_) | SecretSource::Command(_) => None,
    });
    env_file.into_iter().chain(files).collect()
}

fn check(value: String) -> Result<String, String> {
    if value.len() < SHORTEST_SECRET {
        return Err(format!(
            "it has fewer than {SHORTEST_SECRET} characters: masking it would take ordinary words out of every log"
        ));
    }
    if value.contains('\0') {
        return Err("it has a NUL character, which no program can take".to_owned());
    }
    Ok(value)
}

fn read_file(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let file = text_file::open(path).map_err(failed)?;
    access::refuse_open_secret(path).map_err(|exposed| exposed.sentence())?;
    read(file).map_err(failed)
}

/// The text of a file, without its last newline.
fn read(file: File) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    file.take(LONGEST_SECRET + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST_SECRET {
        return Err(std::io::Error::other("it is longer than 100 KB"));
    }
    let mut text = text_file::decode(bytes).map_err(std::io::Error::other)?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// Reads `NAME=value` lines; `export`, quotes and `#` comments are allowed, as a shell would read them.
fn read_env_file(path: &Path) -> Result<Vec<(String, String)>, String> {
    let text = text_file::read(path).map_err(|error| format!("env_file {}: {error}", path.display()))?;
    access::refuse_open_secret(path).map_err(|exposed| format!("env_file {}", exposed.sentence()))?;
    let mut variables = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fault = |message: &str| format!("env_file {}:{}: {message}", path.display(), number + 1);
        let (name, value) = line.split_once('=').ok_or_else(|| fault("expected NAME=value"))?;
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(fault("expected NAME=value, with letters, digits and `_` in the name"));
        }
        if name.starts_with(OWN_VARIABLES) {
            return Err(fault("what begins with CRONDAG_ is crondag's own"));
        }
        let value = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                value[1..].strip_suffix(quote).ok_or_else(|| fault("the quote is not closed on this line"))?.to_owned()
            }
            _ => value.split(" #").next().unwrap_or_default().trim_end().to_owned(),
        };
        let bytes = name.len() + 1 + value.len();
        if is_too_long(bytes) {
            let most = LONGEST_ARGUMENT - 1;
            return Err(fault(&format!("{name} has {bytes} bytes, and a program's variable at most {most}")));
        }
        // Nothing is no secret.
        if !value.is_empty()
            && let Err(reason) = check(value.clone())
        {
            return Err(fault(&format!("{name}: {reason}; what is no secret belongs into [env] of crondag.toml")));
        }
        variables.push((name.to_owned(), value));
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn write(folder: &Path, name: &str, text: &str, mode: u32) {
        fs::write(folder.join(name), text).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn value(source: SecretSource) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "key", "from a file\n", 0o640);
        write(folder.path(), "open", "from a file\n", 0o644);
        write(folder.path(), "env", "TOKEN=from-env-file\n", 0o600);
        let config = Config {
            env_file: Some("env".into()),
            secrets: BTreeMap::from([("X".to_owned(), source)]),
            ..Config::default()
        };
        let keyring = Keyring::open(folder.path(), &config).unwrap();
        assert_eq!(keyring.value("Y"), None);
        keyring.value("X").unwrap()
    }

    #[test]
    fn env_files_are_read_as_a_shell_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let read = |text: &str, mode| {
            write(folder.path(), "env", text, mode);
            read_env_file(&folder.path().join("env"))
        };
        let found = read("# c\nA=1234\nexport B='two words'\nC=\"x=yz\" \n\nD=plain # comment\nE=\n", 0o600);
        let expected = [("A", "1234"), ("B", "two words"), ("C", "x=yz"), ("D", "plain"), ("E", "")];
        assert_eq!(found.unwrap(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let long = format!("A=1234\nLONG={}\n", "x".repeat(131_072 - 5));
        assert!(read(&long[..long.len() - 2], 0o600).is_ok());
        for (text, mode, wrong) in [
            (long.as_str(), 0o600, "env:2: LONG has 131072 bytes, and a program's variable at most 131071"),
            ("A=1234\nnonsense\n", 0o600, "env:2: expected NAME=value"),
            ("CRONDAG_HOME=/etc\n", 0o600, "env:1: what begins with CRONDAG_ is crondag's own"),
            ("A=123\n", 0o600, "env:1: A: it has fewer than 4 characters"),
            ("A=1234\n", 0o604, "its mode 0604 opens it to everybody"),
        ] {
            let error = read(text, mode).unwrap_err();
            assert!(error.contains(wrong) && !error.contains("123\n"), "{error}");
        }
    }

    #[test]
    fn each_source_gives_its_value() {
        assert_eq!(value(SecretSource::Env("TOKEN".into())), Ok("from-env-file".into()));
        assert_eq!(value(SecretSource::File("key".into())), Ok("from a file".into()));
        assert_eq!(value(SecretSource::Command("printf '%s\\n' \"$TOKEN-2\"".into())), Ok("from-env-file-2".into()));
    }

    #[test]
    fn what_stands_in_the_way_is_named_without_the_value() {
        for (source, wrong) in [
            (SecretSource::Env("NO_SUCH_VARIABLE".into()), "NO_SUCH_VARIABLE is neither in env_file nor"),
            (SecretSource::File("none".into()), "No such file"),
            (SecretSource::File("open".into()), "type `chmod o-rwx "),
            (SecretSource::Command("echo hunter2; exit 3".into()), "its command ended with exit status: 3"),
            (SecretSource::Command("echo hunter2 >&2; no-such-program".into()), "exit status: 127"),
            (SecretSource::Command("echo abc".into()), "fewer than 4 characters"),
            (SecretSource::Command("printf 'ab\\000cd'".into()), "NUL"),
            (SecretSource::Command("head -c 200000 /dev/zero | tr '\\0' x".into()), "longer than 100 KB"),
        ] {
            let error = value(source).unwrap_err();
            assert!(error.starts_with("the secret X is not to be had: ") && error.contains(wrong), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
