//! From a connection of crondag.toml to a session of the right kind.

use std::path::Path;

use super::session::{Session, SqlError};
use super::{mysql, postgres, program, sqlite};
use crate::dag::config::{Connection, ServerKind};

/// Opens a connection. Relative paths are relative to the home.
///
/// # Errors
/// The server cannot be reached, or does not let us in.
pub(super) fn connect(
    name: &str,
    connection: &Connection,
    password: Option<&str>,
    home: &Path,
) -> Result<Box<dyn Session>, SqlError> {
    match connection {
        Connection::Sqlite { path } => Ok(Box::new(sqlite::Sqlite::open(name, &home.join(path))?)),
        Connection::Server(server) => match server.kind {
            ServerKind::Postgres => Ok(Box::new(postgres::Postgres::open(server, password, home)?)),
            ServerKind::Mysql => Ok(Box::new(mysql::Mysql::open(server, password.map(str::to_owned), home)?)),
        },
        Connection::Hive(hive) => Ok(Box::new(program::Program::beeline(hive, password)?)),
        Connection::SparkSql(spark) => Ok(Box::new(program::Program::spark_sql(spark))),
    }
}
