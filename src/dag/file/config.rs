//! crondag.toml, from its text to a [`Config`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeTable;

use super::document::{parse, settle};
use super::fault::{Fault, Severity};
use super::field::CONFIG;
use super::reader::{Open, Reader};
use super::unknown_key::unknown_key;
use super::value::{bad_address, bad_identifier, bad_variable, is_address};
use super::{newline, process, spark};
use crate::dag::Config;
use crate::dag::config::{
    Connection, ConnectionKind, DatabaseServer, Email, Hive, Logs, MailTransport, SecretSource, ServerAddress,
    ServerKind, Smtp, SparkSettings, SparkSql, Tls, TransportKind,
};
use crate::dag::model::SparkOptions;
use crate::dag::template::Checker;

/// Reads crondag.toml; the empty text is good and means all defaults.
///
/// The settings are `None` when any fault is an error. Faults are sorted by place.
pub fn read_config(text: &str) -> (Option<Config>, Vec<Fault>) {
    let (config, faults) = read_config_leniently(text);
    let is_good = !faults.iter().any(|fault| fault.severity == Severity::Error);
    (is_good.then_some(config), faults)
}

/// Like [`read_config`], but gives what could be read also when there are errors; what could not has its default.
///
/// To look on at DAG files that stand beside a faulty crondag.toml, never to run anything.
pub fn read_config_leniently(text: &str) -> (Config, Vec<Fault>) {
    newline::normalised(text, |text| {
        let mut reader = Reader::new(text, unknown_key);
        let root = parse(&mut reader);
        let config = read(&mut reader, root.get_ref());
        (config, settle(text, reader.faults))
    })
}

fn read<'f>(reader: &mut Reader<'f>, root: &DeTable<'f>) -> Config {
    let open = reader.open(&CONFIG, root, 0..0);
    let defaults = Config::default();
    // Environment of a home is plain text: it is the same for every run, so there is nothing to fill in.
    let env = reader.text_map(&open, "env", bad_variable).unwrap_or_default();
    let vars = reader.values(&open, "vars").unwrap_or_default();
    let secrets = read_secrets(reader, &open);
    reader.checker = Some(Checker::new(&BTreeMap::new(), &vars, secrets.keys()));
    Config {
        timezone: reader.zone(&open, "timezone"),
        machine_zone: defaults.machine_zone,
        parallelism: reader.count(&open, "parallelism").unwrap_or(defaults.parallelism),
        pools: reader.pools(&open, "pools").unwrap_or_default(),
        env,
        env_file: path(reader, &open, "env_file"),
        secrets,
        inherit_env: read_inherited(reader, &open),
        vars,
        connections: read_connections(reader, &open),
        email: read_email(reader, &open),
        logs: read_logs(reader, &open),
        spark: read_spark(reader, &open),
        shell_options: reader.shell_options(&open).unwrap_or_default(),
        process: process::read(reader, &open).or(defaults.process),
        kill_grace: reader.duration(&open, "kill_grace").map_or(defaults.kill_grace, |grace| grace.value),
        drain_timeout: reader.duration(&open, "drain_timeout").map_or(defaults.drain_timeout, |drain| drain.value),
    }
}

fn path<'f>(reader: &mut Reader<'f>, open: &Open<'_, 'f>, key: &str) -> Option<PathBuf> {
    reader.text(open, key).map(|text| PathBuf::from(text.value))
}

fn read_inherited<'f>(reader: &mut Reader<'f>, open: &Open<'_, 'f>) -> Vec<String> {
    let names = reader.texts(open, "inherit_env").unwrap_or_default();
    for name in &names {
        if let Some(wrong) = bad_variable(&name.value) {
            let message = format!("`{}` is not the name of a variable", name.value);
            reader.push(Fault::error("bad-name", name.span.clone(), message, wrong));
        }
    }
    names.into_iter().map(|name| name.value).collect()
}

/// A key that its table cannot do without.
fn require(reader: &mut Reader<'_>, open: &Open<'_, '_>, key: &str, what: &str, help: &str) {
    if open.lacks(key) {
        let message = format!("{what} needs `{key}`");
        let label = format!("expected `{key}` in this table");
        reader.push(Fault::error("missing-key", open.at.clone(), message, label).help(help));
    }
}

const CONNECTION_TYPES: &str = "write type = \"sqlite\", \"postgres\", \"mysql\", \"hive\" or \"spark_sql\"";

const SERVER_KEYS: &[&str] =
    &["host", "port", "socket", "database", "username", "password_env", "password_file", "password_command", "tls_ca"];

/// Which keys of a connection belong to which type.
fn connection_keys(kind: ConnectionKind) -> &'static [&'static str] {
    match kind {
        ConnectionKind::Sqlite => &["path"],
        ConnectionKind::Postgres | ConnectionKind::Mysql => SERVER_KEYS,
        ConnectionKind::Hive => &["url", "program", "username", "password_env", "password_file", "password_command"],
        ConnectionKind::SparkSql => &["program", "database", "spark"],
    }
}

/// A key of another type does nothing: a `tls_ca` that is not used must not look as if it were.
fn refuse_foreign(reader: &mut Reader<'_>, open: &Open<'_, '_>, kind: ConnectionKind) {
    let keys = connection_keys(kind);
    for entry in open.entries() {
        let key = entry.field.key;
        if key == "type" || keys.contains(&key) {
            continue;
        }
        let owners = ConnectionKind::ALL.into_iter().filter(|owner| connection_keys(*owner).contains(&key));
        let owners: Vec<&str> = owners.map(ConnectionKind::as_str).collect();
        let kind = kind.as_str();
        let expected = keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
        let message = format!("`{key}` is no key of a connection to {kind}");
        reader.push(
            Fault::error("wrong-key", entry.key.clone(), message, format!("{kind} takes {expected}"))
                .help(format!("remove it; it is for type {}", owners.join(", "))),
        );
    }
}

fn read_connections<'f>(reader: &mut Reader<'f>, open: &Open<'_, 'f>) -> BTreeMap<String, Connection> {
    let Some(entry) = open.get("connections").cloned() else { return BTreeMap::new() };
    let mut connections = BTreeMap::new();
    for (name, table) in reader.tables(&entry) {
        let Some(table) = table else { continue };
        require(reader, &table, "type", "a connection", CONNECTION_TYPES);
        let kind = reader.choice(&table, "type").and_then(|word| ConnectionKind::parse(word.value));
        if let Some(kind) = kind {
            refuse_foreign(reader, &table, kind);
        }
        let connection = match kind {
            Some(ConnectionKind::Postgres) => read_server(reader, &table, ServerKind::Postgres).map(Connection::Server),
            Some(ConnectionKind::Mysql) => read_server(reader, &table, ServerKind::Mysql).map(Connection::Server),
            Some(ConnectionKind::Hive) => read_hive(reader, &table).map(Connection::Hive),
            Some(ConnectionKind::SparkSql) => Some(Connection::SparkSql(Box::new(SparkSql {
                program: reader.text(&table, "program").map(|text| text.value),
                database: reader.text(&table, "database").map(|text| text.value),
                options: read_spark_options(reader, &table),
            }))),
            Some(ConnectionKind::Sqlite) => {
                require(reader, &table, "path", "a connection to sqlite", "write for example path = \"warehouse.db\"");
                path(reader, &table, "path").map(|path| Connection::Sqlite { path })
            }
            None => None,
        };
        if let Some(connection) = connection {
            connections.insert(name.value.to_owned(), connection);
        }
    }
    connections
}

fn read_secrets<'f>(reader: &mut Reader<'f>, open: &Open<'_, 'f>) -> BTreeMap<String, SecretSource> {
    let Some(entry) = open.get("secrets").cloned() else { return BTreeMap::new() };
    let mut secrets = BTreeMap::new();
    for (name, table) in reader.tables(&entry) {
        if let Some(wrong) = bad_identifier(name.value) {
            let message = format!("`{}` is not a name for `secrets`", name.value);
            reader.push(Fault::error("bad-name", name.span.clone(), message, wrong));
        }
        let Some(table) = table else { continue };
        let mut sources = table.entries().iter();
        match (sources.next(), sources.next()) {
            (Some(_), None) => {}
            (Some(first), Some(second)) => {
                let message = format!("the secret `{}` has two sources", name.value);
                reader.push(
                    Fault::error("two-sources", second.key.clone(), message, "expected only one of them")
                        .also(first.key.clone(), "the other one"),
                );
            }
            _ if !["env", "file", "command"].iter().all(|key| table.lacks(key)) => {}
            _ => {
                let message = format!("the secret `{}` needs `env`, `file` or `command`", name.value);
                reader.push(
                    Fault::error("missing-key", table.at.clone(), message, "expected one of them in this table")
                        .help(format!("write for example env = \"{}\"", name.value)),
                );
            }
        }
        let variable = reader.text(&table, "env");
        if let Some(variable) = &variable
            && let Some(wrong) = bad_identifier(&variable.value)
        {
            reader.push(
                Fault::error("bad-name", variable.span.clone(), "`env` is not the name of a variable", wrong)
                    .help("write the name of the variable that holds the secret, not the secret"),
            );
        }
        let source = variable
            .map(|variable| SecretSource::Env(variable.value))
            .or_else(|| path(reader, &table, "file").map(SecretSource::File))
            .or_else(|| reader.text(&table, "command").map(|command| SecretSource::Command(command.value)));
        // A secret whose source is wrong is declared all the same: one fault is enough.
        secrets.insert(name.value.to_owned(), source.unwrap_or_else(|| SecretSource::Env(name.value.to_owned())));
    }
    secrets
}

fn read_server<'f>(reader: &mut Reader<'f>, open: &Open<'_, 'f>, kind: ServerKind) -> Option<DatabaseServer> {
    require(reader, open, "database", "a connection to a server", "write for example database = \"warehouse\"");
    require(reader, open, "username", "a connection to a server", "write for example username = \"etl\"");
    let usual_port = match kind {
        ServerKind::Postgres => 5432,
        ServerKind::Mysql => 3306,
    };
    let password = read_password(reader, open);
    let port = reader.whole(open, "port").and_then(|port| u16::try_from(port.value).ok()).unwrap_or(usual_port);
    let host = reader.text(open, "host");
    let address = if let Some(socket) = path(reader, open, "socket") {
        for key in ["host", "tls_ca"] {
            if let Some(entry) = open.get(key) {
                let message = format!("`{key}` is of no use beside `socket`");
                reader.push(
                    Fault::error("socket-and-host", entry.key.clone(), message, "a socket is on this machine")
                        .help("remove one of the two"),
                );
            }
        }
        ServerAddress::Unix { path: socket, port }
    } else {
        ServerAddress::Tcp { host: host.map_or_else(|| "localhost".to_owned(), |host| host.value), port }
    };
    let tls_ca = path(reader, open, "tls_ca");
    let database = reader.text(open, "database");
    let username = reader.text(open, "username");
    Some(DatabaseServer { kind, address, database: database?.value, username: username?.value, password, tls_ca })
}

fn read_hive<'f>(reader: &mut Reader<'f>, open: &Open<'_, 'f>) -> Option<Hive> {
    require(
        reader,
        open,
        "url",
        "a connection to hive",
        "write for example url = \"jdbc:hive2://localhost:10000/default\"",
    );
    let program = reader.text(open, "program").map(|text| text.value);
    let username = reader.text(open, "username").map(|text| text.value);
    let password = read_password(reader, open);
    Some(Hive { program, url: reader.text(open, "url")?.value, username, password })
}

fn read_spark_options<'f>(reader: &mut Reader<'f>, open: &Open<'_, 'f>) -> SparkOptions {
    let Some(entry) = open.get("spark").cloned() else { return SparkOptions::default() };
    reader.table(&entry).map(|open| spark::options(reader, &open)).unwrap_or_default()
}

fn read_password<'f>(reader: &mut Reader<'f>, open: &Open<'_, 'f>) -> Option<SecretSource> {
    let passwords = [
        reader.text(open, "password_env").map(|name| (name.span.clone(), SecretSource::Env(name.value))),
        reader.text(open, "password_file").map(|file| (file.span.clone(), SecretSource::File(file.value.into()))),
        reader.text(open, "password_command").map(|line| (line.span.clone(), SecretSource::Command(line.value))),
    ];
    let mut passwords = passwords.into_iter().flatten();
    let password = passwords.next().map(|(_, password)| password);
    if let Some((span, _)) = passwords.next() {
        let message = "a connection has one password only".to_owned();
        reader.push(Fault::error("two-passwords", span, message, "this is a second one").help("remove one of them"));
    }
    password
}

fn read_logs<'f>(reader: &mut Reader<'f>, open: &Open<'_, 'f>) -> Logs {
    let defaults = Logs::default();
    let Some(entry) = open.get("logs").cloned() else { return defaults };
    let Some(open) = reader.table(&entry) else { return defaults };
    Logs {
        keep: reader.duration_or_forever(&open, "keep", defaults.keep),
        keep_runs: reader.duration_or_forever(&open, "keep_runs", defaults.keep_runs),
        max_size: reader.size(&open, "max_size").unwrap_or(defaults.max_size),
    }
}

fn read_spark<'f>(reader: &mut Reader<'f>, open: &Open<'_, 'f>) -> SparkSettings {
    let Some(entry) = open.get("spark").cloned() else { return SparkSettings::default() };
    let Some(open) = reader.table(&entry) else { return SparkSettings::default() };
    SparkSettings {
        spark_submit: reader.text(&open, "spark_submit").map(|text| text.value),
        spark_home: reader.text(&open, "spark_home").map(|text| text.value),
        options: spark::options(reader, &open),
    }
}

/// Which keys of `[email]` belong to which transport alone.
fn transport_keys(kind: TransportKind) -> &'static [&'static str] {
    match kind {
        TransportKind::Smtp => &["host", "port", "tls", "tls_verify", "tls_ca", "username", "password_env", "timeout"],
        TransportKind::Sendmail => &["command"],
        TransportKind::Folder => &["path"],
    }
}

fn read_email<'f>(reader: &mut Reader<'f>, open: &Open<'_, 'f>) -> Option<Email> {
    let entry = open.get("email").cloned()?;
    let open = reader.table(&entry)?;
    require(reader, &open, "from", "[email]", "write for example from = \"crondag <etl@example.com>\"");
    let from = reader.text(&open, "from");
    if let Some(from) = &from
        && !is_address(&from.value)
    {
        reader.push(bad_address(&from.value, from.span.clone()));
    }
    let chosen = reader.choice(&open, "transport");
    if chosen.is_none() && open.get("transport").is_some() {
        return None;
    }
    let transport = chosen.and_then(|word| TransportKind::parse(word.value)).unwrap_or(TransportKind::Smtp);
    warn_unused(reader, &open, transport);
    let smtp = read_smtp(reader, &open);
    let command = reader.text(&open, "command");
    let folder = path(reader, &open, "path");
    let transport = match transport {
        TransportKind::Sendmail => MailTransport::Sendmail {
            command: command.map_or_else(|| "/usr/sbin/sendmail".to_owned(), |command| command.value),
        },
        TransportKind::Folder => {
            require(reader, &open, "path", "transport \"folder\"", "write for example path = \"mail\"");
            MailTransport::Folder { path: folder? }
        }
        TransportKind::Smtp => {
            require(reader, &open, "host", "transport \"smtp\"", "write for example host = \"mail.example.com\"");
            MailTransport::Smtp(smtp?)
        }
    };
    let max_per_hour = reader.whole(&open, "max_per_hour").and_then(|number| u32::try_from(number.value).ok());
    let to = reader.emails(&open, "to").unwrap_or_default();
    Some(Email { from: from?.value, to, transport, max_per_hour: max_per_hour.unwrap_or(Email::USUAL_MAX_PER_HOUR) })
}

fn warn_unused(reader: &mut Reader<'_>, open: &Open<'_, '_>, transport: TransportKind) {
    for entry in open.entries() {
        let key = entry.field.key;
        let owner = TransportKind::ALL.into_iter().find(|owner| transport_keys(*owner).contains(&key));
        if let Some(owner) = owner
            && owner != transport
        {
            let message = format!("`{key}` does nothing with transport \"{}\"", transport.as_str());
            reader.push(
                Fault::warning("unused-key", entry.key.clone(), message, "not used")
                    .help(format!("remove it, or write transport = \"{}\"", owner.as_str())),
            );
        }
    }
}

fn read_smtp<'f>(reader: &mut Reader<'f>, open: &Open<'_, 'f>) -> Option<Smtp> {
    let tls = match reader.choice(open, "tls").map(|word| word.value) {
        Some("required") => Tls::Required,
        Some("none") => Tls::None,
        _ => Tls::Starttls,
    };
    let usual_port = match tls {
        Tls::Required => 465,
        Tls::Starttls => 587,
        Tls::None => 25,
    };
    let port = reader.whole(open, "port").and_then(|port| u16::try_from(port.value).ok()).unwrap_or(usual_port);
    let tls_verify = reader.flag(open, "tls_verify").unwrap_or(true);
    let tls_ca = path(reader, open, "tls_ca");
    let username = reader.text(open, "username").map(|text| text.value);
    let password_env = reader.text(open, "password_env");
    if let Some(name) = &password_env
        && bad_identifier(&name.value).is_some()
    {
        reader.push(
            Fault::error(
                "bad-name",
                name.span.clone(),
                "`password_env` is not the name of a variable",
                "expected letters, digits and `_`",
            )
            .help("write the name of the variable that holds the password, not the password"),
        );
    }
    for (one, other) in [("username", "password_env"), ("password_env", "username")] {
        if let Some(entry) = open.get(one)
            && open.lacks(other)
        {
            let message = format!("`{one}` without `{other}`");
            let label = format!("expected `{other}` too");
            reader.push(
                Fault::error("missing-key", entry.key.clone(), message, label)
                    .help("a login needs both; without both there is no login"),
            );
        }
    }
    let timeout = reader.span_of_time(open, "timeout").unwrap_or(Duration::from_secs(30));
    let host = reader.text(open, "host")?.value;
    let password_env = password_env.map(|text| text.value);
    Some(Smtp { host, port, tls, tls_verify, tls_ca, username, password_env, timeout })
}
