//! `crondag schema`: the JSON Schemas for editors and CI.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::dag::file::schema::{config_schema, dag_schema, diagnosis_schema};

/// Which file the schema is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Which {
    /// DAG files
    #[default]
    Dag,
    /// crondag.toml
    Config,
    /// diagnosis.toml
    Diagnosis,
}

/// The arguments of `crondag schema`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  crondag schema dag > dag.schema.json
  then write as the first line of dags/*.toml:  #:schema ../dag.schema.json")]
pub struct Args {
    /// Which file the schema is of
    #[arg(value_enum, default_value_t)]
    pub which: Which,
}

/// Prints the schema.
pub fn run(args: &Args) -> ExitCode {
    let schema = match args.which {
        Which::Dag => dag_schema(),
        Which::Config => config_schema(),
        Which::Diagnosis => diagnosis_schema(),
    };
    match io::stdout().write_all(schema.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            // With standard error gone too there is nobody to tell; the exit code still says it.
            let _ = writeln!(io::stderr(), "error: cannot write the schema: {error}");
            ExitCode::from(3)
        }
        // A reader that has seen enough, such as `head`, is no failure.
        _ => ExitCode::SUCCESS,
    }
}
