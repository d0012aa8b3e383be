//! `crondag schema`: the JSON Schemas and the reference.

use std::process::ExitCode;

use clap::ValueEnum;

use super::context::Global;
use super::error::CliError;
use super::output;
use crate::dag::file::schema;

/// Options of `schema`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  crondag schema dag > dag.schema.json\n  # first line of a DAG file, for taplo and VS Code:\n  #:schema ../dag.schema.json"
)]
pub struct Args {
    /// Which files.
    #[arg(value_enum, default_value = "dag")]
    what: What,
    /// JSON Schema, or the reference in Markdown.
    #[arg(long, value_enum, default_value = "json")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// DAG files.
    Dag,
    /// crondag.toml.
    Config,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Markdown,
}

pub(super) fn run(args: &Args, _global: &Global) -> Result<ExitCode, CliError> {
    match (args.what, args.format) {
        (What::Dag, Format::Json) => output::print_json(&schema::dag_schema())?,
        (What::Config, Format::Json) => output::print_json(&schema::config_schema())?,
        (What::Dag, Format::Markdown) => output::write_out(&schema::dag_reference())?,
        (What::Config, Format::Markdown) => output::write_out(&schema::config_reference())?,
    }
    Ok(ExitCode::SUCCESS)
}
