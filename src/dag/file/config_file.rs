//! Reads crondag.toml.

use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeTable;

use super::dag_file::spark_options;
use super::fault::{Fault, Severity};
use super::field::{self, Field, Kind};
use super::reader::{Reader, Section};
use crate::dag::config::{Config, Connection, Email, Logs, MailTransport, Smtp, SparkSettings, Tls};
use crate::dag::model::SparkOptions;

/// Reads crondag.toml. Gives the settings, unless there is any error, and every fault of the file.
pub fn read_config(text: &str) -> (Option<Config>, Vec<Fault>) {
    let reader = Reader::new(text);
    let config = reader.parse().map(|table| read(&reader, table.get_ref()));
    let faults = reader.into_faults();
    let usable = faults.iter().all(|fault| fault.severity == Severity::Warning);
    (config.filter(|_| usable), faults)
}

/// The fields of a table inside crondag.toml.
fn fields_of(key: &str) -> &'static [Field] {
    match field::CONFIG.iter().find(|field| field.key == key).map(|field| field.kind) {
        Some(Kind::Table(fields) | Kind::Tables(fields)) => fields,
        _ => &[],
    }
}

fn read<'i>(reader: &Reader<'i>, table: &DeTable<'i>) -> Config {
    let top = Section::new(reader, table, 0..0, "crondag.toml", field::CONFIG);
    let defaults = Config::default();
    let spark = top.section("spark", "[spark]", field::SPARK_SETTINGS).map_or_else(SparkSettings::default, |section| {
        SparkSettings {
            spark_submit: section.string("spark_submit"),
            spark_home: section.string("spark_home"),
            options: spark_options(&section, &SparkOptions::default()),
        }
    });
    let logs = top.section("logs", "[logs]", fields_of("logs")).map_or_else(Logs::default, |section| {
        let forever = section.get("keep").is_some_and(|(_, item)| item.get_ref().as_str() == Some("forever"));
        Logs {
            keep: if forever { None } else { section.duration("keep").or(defaults.logs.keep) },
            max_size: section.size("max_size").unwrap_or(defaults.logs.max_size),
        }
    });
    let mut connections = std::collections::BTreeMap::new();
    if let Some(all) = top.name_table("connections") {
        for (name, _) in all.entries() {
            let name = name.get_ref().to_string();
            if let Some(connection) = connection(&all, &name) {
                connections.insert(name, connection);
            }
        }
    }
    Config {
        timezone: top.zone("timezone"),
        parallelism: top.count("parallelism", 1).unwrap_or(defaults.parallelism),
        pools: top.count_table("pools"),
        env: top.environment("env", false),
        env_file: top.string("env_file").map(PathBuf::from),
        inherit_env: top.strings("inherit_env").unwrap_or_default(),
        vars: top.value_table("vars"),
        connections,
        email: top.section("email", "[email]", fields_of("email")).and_then(|section| email(reader, &section)),
        logs,
        spark,
        kill_grace: top.duration("kill_grace").unwrap_or(defaults.kill_grace),
    }
}

fn connection(all: &Section<'_, '_, '_>, name: &str) -> Option<Connection> {
    let title = format!("connection `{name}`");
    let section = all.section(name, &title, fields_of("connections"))?;
    let path = section.string("path");
    if !section.has("type") {
        section.missing(&title, "type", "write type = \"sqlite\"");
    }
    if !section.has("path") {
        section.missing(&title, "path", "write path = \"data/profile.db\"");
    }
    section.one_of("type", &["sqlite"])?;
    Some(Connection::Sqlite { path: PathBuf::from(path?) })
}

fn email(reader: &Reader<'_>, section: &Section<'_, '_, '_>) -> Option<Email> {
    if !section.has("from") {
        section.missing("[email]", "from", "write from = \"crondag@example.com\"");
    }
    let transport = match section.one_of("transport", &["smtp", "sendmail", "folder"]) {
        Some("sendmail") => MailTransport::Sendmail {
            command: section.string("command").unwrap_or_else(|| "/usr/sbin/sendmail".to_owned()),
        },
        Some("folder") => {
            MailTransport::Folder { path: PathBuf::from(section.string("path").unwrap_or_else(|| "mail".to_owned())) }
        }
        _ => {
            if !section.has("host") {
                section.missing("[email]", "host", "write host = \"smtp.example.com\", or choose another transport");
            }
            let tls = match section.one_of("tls", &["required", "starttls", "none"]) {
                Some("required") => Tls::Required,
                Some("none") => Tls::None,
                _ => Tls::Starttls,
            };
            let usual = match tls {
                Tls::Required => 465,
                Tls::Starttls => 587,
                Tls::None => 25,
            };
            let port = section.count("port", 1).map(u16::try_from);
            if let Some(Err(_)) = port {
                let span = section.get("port").map_or(section.span.clone(), |(_, item)| item.span());
                reader.push(Fault::error("wrong-value", span, "`port` is at most 65535").label("not a port"));
            }
            let (username, password_env) = (section.string("username"), section.string("password_env"));
            if username.is_some() != password_env.is_some() {
                let (has, lacks) =
                    if username.is_some() { ("username", "password_env") } else { ("password_env", "username") };
                reader.push(
                    Fault::error("missing-key", section.key_span(has), format!("[email] has `{has}` but no `{lacks}`"))
                        .label(format!("`{lacks}` is missing"))
                        .help("a login needs both; the password itself goes into env_file"),
                );
            }
            MailTransport::Smtp(Smtp {
                host: section.string("host").unwrap_or_default(),
                port: port.and_then(Result::ok).unwrap_or(usual),
                tls,
                tls_verify: section.boolean("tls_verify").unwrap_or(true),
                tls_ca: section.string("tls_ca").map(PathBuf::from),
                username,
                password_env,
                timeout: section.duration("timeout").unwrap_or(Duration::from_secs(30)),
            })
        }
    };
    Some(Email { from: section.string("from")?, transport })
}
