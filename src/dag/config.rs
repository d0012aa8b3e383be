//! `crondag.toml` as the rest of the program sees it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::model::SparkOptions;
use super::process::ProcessSettings;
use super::words::words;

/// The settings of one home.
#[derive(Debug, Clone)]
pub struct Config {
    /// The zone of DAGs that name none; `None` means the machine's.
    pub timezone: Option<TimeZone>,
    /// The machine's zone, which whoever reads the file fills in.
    pub machine_zone: TimeZone,
    /// How many attempts may live at once in this home.
    pub parallelism: u32,
    /// Slots of each pool.
    pub pools: BTreeMap<String, u32>,
    /// Environment of every task, on the small base.
    pub env: BTreeMap<String, String>,
    /// A file of `NAME=value` lines, relative to the home, read when an attempt starts; its values are secrets.
    pub env_file: Option<PathBuf>,
    /// Where the values of `secret.*` in templates come from, by name.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Names of variables that tasks inherit from the process that started the driver.
    pub inherit_env: Vec<String>,
    /// Values of `var.*` in templates.
    pub vars: BTreeMap<String, Value>,
    /// Databases by name.
    pub connections: BTreeMap<String, Connection>,
    /// How mail leaves; `None` means that no mail is written.
    pub email: Option<Email>,
    /// Logs and history.
    pub logs: Logs,
    /// Where Spark is, and options that every spark task starts from.
    pub spark: SparkSettings,
    /// Words of `set -o` for scripts whose tasks have none of their own.
    pub shell_options: Vec<String>,
    /// What every task's process begins with, beside its environment and its directory.
    pub process: ProcessSettings,
    /// How long a process tree has between TERM and KILL.
    pub kill_grace: Duration,
    /// How long a resident scheduler that is asked to go lets live attempts end before it leaves them to the next one.
    pub drain_timeout: Duration,
}

impl Config {
    /// The zone of DAGs that name none.
    pub fn default_zone(&self) -> &TimeZone {
        self.timezone.as_ref().unwrap_or(&self.machine_zone)
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            timezone: None,
            machine_zone: TimeZone::UTC,
            parallelism: 32,
            pools: BTreeMap::new(),
            env: BTreeMap::new(),
            env_file: None,
            secrets: BTreeMap::new(),
            inherit_env: Vec::new(),
            vars: BTreeMap::new(),
            connections: BTreeMap::new(),
            email: None,
            logs: Logs::default(),
            spark: SparkSettings::default(),
            shell_options: Vec::new(),
            process: ProcessSettings::usual(),
            kill_grace: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(30),
        }
    }
}

impl Config {
    /// Whether a secret comes from a command, which may take its time.
    pub fn secrets_may_take_a_while(&self) -> bool {
        let passwords = self.connections.values().filter_map(Connection::password);
        self.secrets.values().chain(passwords).any(|source| matches!(source, SecretSource::Command(_)))
    }
}

/// Where a secret's value comes from. It is fetched when an attempt that uses it starts, and never stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretSource {
    /// A variable of `env_file`, else of the driver's environment.
    Env(String),
    /// The text of a file, relative to the home, without its last newline.
    File(PathBuf),
    /// What a shell command prints, without its last newline.
    Command(String),
}

/// One database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Connection {
    /// A `SQLite` file, relative to the home.
    Sqlite {
        /// Path of the database file; created when missing.
        path: PathBuf,
    },
    /// A database on a server.
    Server(DatabaseServer),
    /// Hive, or whatever else speaks its protocol, through `beeline`.
    Hive(Hive),
    /// Spark SQL through `spark-sql`.
    SparkSql(Box<SparkSql>),
}

words! {
    /// The types of connections, as crondag.toml names them.
    pub enum ConnectionKind {
        /// [`Connection::Sqlite`]
        Sqlite = "sqlite",
        /// [`Connection::Server`] of [`ServerKind::Postgres`]
        Postgres = "postgres",
        /// [`Connection::Server`] of [`ServerKind::Mysql`]
        Mysql = "mysql",
        /// [`Connection::Hive`]
        Hive = "hive",
        /// [`Connection::SparkSql`]
        SparkSql = "spark_sql",
    }
}

impl Connection {
    /// Where its password is, if it has one.
    pub fn password(&self) -> Option<&SecretSource> {
        match self {
            Connection::Sqlite { .. } | Connection::SparkSql(_) => None,
            Connection::Server(server) => server.password.as_ref(),
            Connection::Hive(hive) => hive.password.as_ref(),
        }
    }
}

/// A `HiveServer2`, and how `beeline` logs in there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hive {
    /// `beeline`; `None` means the one on the task's `PATH`.
    pub program: Option<String>,
    /// The JDBC address: `jdbc:hive2://host:10000/database`.
    pub url: String,
    /// Login name; `None` leaves it to the address.
    pub username: Option<String>,
    /// Where the password is; `None` sends none.
    pub password: Option<SecretSource>,
}

/// How `spark-sql` is started. The texts of the options are templates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SparkSql {
    /// `spark-sql`; `None` means `$SPARK_HOME/bin/spark-sql`, else the one on the task's `PATH`.
    pub program: Option<String>,
    /// The database that unqualified names are in; `None` means Spark's `default`.
    pub database: Option<String>,
    /// Options on top of `[spark]`.
    pub options: SparkOptions,
}

/// A database server, and how to log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseServer {
    /// Whose protocol it speaks.
    pub kind: ServerKind,
    /// Where it listens.
    pub address: ServerAddress,
    /// The database.
    pub database: String,
    /// Login name.
    pub username: String,
    /// Where the password is; `None` sends none.
    pub password: Option<SecretSource>,
    /// PEM certificates that sign the server's, relative to the home. With them the connection is by TLS and the
    /// certificate and host name are checked; `None` is in the clear.
    pub tls_ca: Option<PathBuf>,
}

/// Where a database server listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerAddress {
    /// On the network.
    Tcp {
        /// Its name or address.
        host: String,
        /// Its port.
        port: u16,
    },
    /// On a socket of the same machine. That of `PostgreSQL` is named by its folder and its port.
    Unix {
        /// The socket, or its folder; relative to the home.
        path: PathBuf,
        /// The port that the socket's name ends with, where `path` is its folder.
        port: u16,
    },
}

/// The protocol of a database server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerKind {
    /// `PostgreSQL`.
    Postgres,
    /// `MySQL` or `MariaDB`.
    Mysql,
}

/// `[logs]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logs {
    /// Logs of runs that ended longer ago than this are deleted; `None` keeps them for ever.
    pub keep: Option<Duration>,
    /// Runs that ended longer ago than this leave the database; `None` keeps them for ever.
    pub keep_runs: Option<Duration>,
    /// One attempt's log is cut in the middle beyond this many bytes.
    pub max_size: u64,
}

impl Default for Logs {
    fn default() -> Self {
        Logs { keep: Some(Duration::from_secs(90 * 86_400)), keep_runs: None, max_size: 100 << 20 }
    }
}

/// `[spark]`
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SparkSettings {
    /// The `spark-submit` program; by default `$SPARK_HOME/bin/spark-submit`, else the one on the task's `PATH`.
    pub spark_submit: Option<String>,
    /// Set as `SPARK_HOME` for tasks that are no scripts.
    pub spark_home: Option<String>,
    /// Options that every spark task starts from.
    pub options: SparkOptions,
}

/// `[email]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    /// The sender's address, `Name <address>` or bare.
    pub from: String,
    /// Who is told what is wrong with the home itself.
    pub to: Vec<String>,
    /// How mail leaves.
    pub transport: MailTransport,
    /// How many mails may go out in an hour; what is beyond them is told of in a digest.
    pub max_per_hour: u32,
}

impl Email {
    /// How many mails go out in an hour when `max_per_hour` does not say.
    pub const USUAL_MAX_PER_HOUR: u32 = 30;
}

/// How mail leaves the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailTransport {
    /// An SMTP server.
    Smtp(Smtp),
    /// The local `sendmail` program.
    Sendmail {
        /// Its path.
        command: String,
    },
    /// Each mail becomes an `.eml` file.
    Folder {
        /// Where, relative to the home; created when missing.
        path: PathBuf,
    },
}

words! {
    /// The ways of mail, as crondag.toml names them.
    pub enum TransportKind {
        /// [`MailTransport::Smtp`]
        Smtp = "smtp",
        /// [`MailTransport::Sendmail`]
        Sendmail = "sendmail",
        /// [`MailTransport::Folder`]
        Folder = "folder",
    }
}

/// An SMTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smtp {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is secured.
    pub tls: Tls,
    /// Whether the server's certificate is checked. Off for relays with a self-signed certificate.
    pub tls_verify: bool,
    /// A file of PEM certificates to trust beside the public ones, relative to the home.
    pub tls_ca: Option<PathBuf>,
    /// Login name; no login when absent.
    pub username: Option<String>,
    /// The variable (of `env_file` or the driver's environment) that holds the password.
    pub password_env: Option<String>,
    /// How long one delivery may take.
    pub timeout: Duration,
}

/// How an SMTP connection is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// TLS from the first byte (usually port 465).
    Required,
    /// STARTTLS, refused if the server does not offer it (usually port 587).
    Starttls,
    /// In the clear (usually port 25 on the same machine).
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_commands_may_take_a_while_wherever_the_secret_belongs() {
        let command = || SecretSource::Command("pass show db".to_owned());
        let mut config = Config::default();
        assert!(!config.secrets_may_take_a_while());
        config.secrets.insert("A".to_owned(), SecretSource::Env("A".to_owned()));
        assert!(!config.secrets_may_take_a_while());
        let hive =
            Hive { program: None, url: "jdbc:hive2://h:10000/d".to_owned(), username: None, password: Some(command()) };
        config.connections.insert("lake".to_owned(), Connection::Sqlite { path: "lake.db".into() });
        assert!(!config.secrets_may_take_a_while());
        config.connections.insert("hive".to_owned(), Connection::Hive(hive));
        assert!(config.secrets_may_take_a_while());
        config.connections.clear();
        config.secrets.insert("B".to_owned(), command());
        assert!(config.secrets_may_take_a_while());
    }
}
