//! `crondag import crontab`: reads a crontab, shows what becomes of each line, and writes DAG files where it is told to.

use std::io::{self, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::app::App;
use crate::app::request::import::{self as request, ImportReceipt, Source};
use crate::cli::error::CliError;
use crate::cli::output::{Cell, Page, Table, Tone, print_json};
use crate::import::Weight;
use crate::import::crontab::Import;

/// Options of `import crontab`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  crondag import crontab                       what would become of your crontab; nothing is written
  crondag import crontab /etc/crontab --into .
  ssh etl@old crontab -l | crondag import crontab - --chain --into ~/etl

Each job becomes one DAG. Its command stays as it stands, but for what crondag does itself: the folder that it starts in, the log, a lock of
its own, a random delay. What does not carry over is said line by line. The crontab is only read.")]
pub struct Args {
    /// The crontab; `-` is standard input [default: what `crontab -l` prints]
    file: Option<PathBuf>,
    /// Whose crontab it is [default: you]
    #[arg(long)]
    user: Option<String>,
    /// Write the DAG files into the folder dags/ of this home; files that are there are left alone
    #[arg(long, value_name = "HOME")]
    into: Option<PathBuf>,
    /// Make one DAG of jobs that are staggered as a chain is
    #[arg(long)]
    chain: bool,
    /// One object: `dags` and `notes`
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) fn run(args: &Args) -> Result<ExitCode, CliError> {
    let source = match &args.file {
        Some(path) if path.as_os_str() == "-" => Source::Text(read_standard_input()?),
        Some(path) => Source::File(path),
        None => Source::Installed,
    };
    let app = args.into.as_deref().map(|home| App::open(Some(home))).transpose()?;
    let import = request::read(app.as_ref(), source, args.user.as_deref(), args.chain)?;
    let receipt = match &app {
        Some(app) => Some(request::apply(app, request::plan(app, &import.dags)?)?),
        None => None,
    };
    if args.json {
        print_json(&import)?;
    } else {
        show(&import, args, app.as_ref().zip(receipt.as_ref()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn read_standard_input() -> Result<String, CliError> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).map_err(|error| {
        CliError::environment(format!("cannot read standard input: {error}"), "check its name and who may read it")
    })?;
    Ok(text)
}

fn show(import: &Import, args: &Args, written: Option<(&App, &ImportReceipt)>) -> Result<(), CliError> {
    let mut page = Page::new();
    if let Some((_, receipt)) = written {
        for dag in &receipt.written {
            let paused = if dag.is_paused { ", paused" } else { "" };
            page.line(format!("wrote dags/{}.toml (line {}{paused})", dag.dag_id, dag.line));
        }
    } else {
        for dag in &import.dags {
            page.gap();
            let name = page.paint(Tone::Bold, &format!("dags/{}.toml", dag.dag_id));
            page.line(if dag.is_paused { format!("{name} (paused)") } else { name });
            for line in dag.text.lines() {
                page.line(format!("  {line}"));
            }
        }
    }
    if !import.notes.is_empty() {
        page.gap();
        let mut table = Table::new(&[">line", "what", "note"]);
        for note in &import.notes {
            let (word, tone) = match note.weight {
                Weight::Changed => ("changed", Tone::Plain),
                Weight::Proposed => ("proposed", Tone::Yellow),
                Weight::Lost => ("by hand", Tone::Red),
            };
            table.row(vec![note.line.to_string().into(), Cell::new(word, tone), note.text.clone().into()]);
        }
        page.table(&table);
    }
    page.gap();
    match (written, &args.file) {
        (Some((app, _)), _) => {
            page.next(&format!("crondag --home {} validate", app.home.root().display()));
            page.line("then take these lines out of the crontab, and put the one of `crondag status` in");
        }
        (None, Some(file)) => page.next(&format!("crondag import crontab {} --into HOME", file.display())),
        (None, None) => page.next("crondag import crontab --into HOME"),
    }
    page.print()
}
