//! `crondag import crontab`: reads a crontab, shows what becomes of each line, and writes DAG files where it is told to.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::app::request::import as request;
use crate::app::{App, AppError};
use crate::cli::error::CliError;
use crate::cli::output::{Cell, Page, Table, Tone, print_json};
use crate::import::Weight;
use crate::import::crontab::{Import, Surroundings, import};
use crate::runner::attempt::environment::User;
use crate::text_file;

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
    let text = read(args)?;
    let app = args.into.as_deref().map(|home| App::open(Some(home))).transpose()?;
    let user = args.user.clone().unwrap_or_else(|| User::current().name.clone());
    let taken: BTreeSet<String> = match &app {
        Some(app) => app.dag_files()?.into_iter().map(|file| file.name).collect(),
        None => BTreeSet::new(),
    };
    let import = import(
        &text,
        &Surroundings {
            user: &user,
            home_of: &|name| User::named(name).map(|user| user.home),
            is_program: &is_program,
            chain: args.chain,
            taken,
        },
    );
    if import.dags.is_empty() && import.notes.is_empty() {
        return Err(CliError::usage(
            "there is no job in this crontab",
            "name the file of a crontab, or `-` for standard input",
        ));
    }
    if let Some(app) = &app {
        request::apply(app, request::plan(app, &import.dags)?)?;
    }
    if args.json {
        print_json(&import)?;
    } else {
        show(&import, args, app.as_ref())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The text of the crontab that is meant.
fn read(args: &Args) -> Result<String, AppError> {
    let unreadable = |path: &Path, error: &io::Error| {
        AppError::environment(format!("cannot read {}: {error}", path.display()), "check its name and who may read it")
    };
    match &args.file {
        Some(path) if path.as_os_str() == "-" => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).map_err(|error| unreadable(Path::new("standard input"), &error))?;
            Ok(text)
        }
        Some(path) => text_file::read(path).map_err(|error| unreadable(path, &error)),
        None => {
            let mut line = vec!["-l"];
            if let Some(user) = &args.user {
                line.extend(["-u", user]);
            }
            let printed = duct::cmd("crontab", line).stdout_capture().stderr_capture().unchecked().run();
            let printed = printed.map_err(|error| {
                AppError::environment(format!("cannot run `crontab -l`: {error}"), "name the file of the crontab")
            })?;
            if printed.status.success() {
                Ok(String::from_utf8_lossy(&printed.stdout).into_owned())
            } else {
                let said = String::from_utf8_lossy(&printed.stderr).trim().to_owned();
                Err(AppError::usage(format!("`crontab -l` has none: {said}"), "name the file of the crontab"))
            }
        }
    }
}

/// Whether a program of this name is on the PATH of most crontabs.
fn is_program(name: &str) -> bool {
    let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    name == "cd" || folders.iter().any(|folder| Path::new(folder).join(name).is_file())
}

fn show(import: &Import, args: &Args, app: Option<&App>) -> Result<(), CliError> {
    let mut page = Page::new();
    if app.is_none() {
        for dag in &import.dags {
            page.gap();
            let name = page.paint(Tone::Bold, &format!("dags/{}.toml", dag.dag_id));
            page.line(if dag.is_paused { format!("{name} (paused)") } else { name });
            for line in dag.text.lines() {
                page.line(format!("  {line}"));
            }
        }
    } else {
        for dag in &import.dags {
            let paused = if dag.is_paused { ", paused" } else { "" };
            page.line(format!("wrote dags/{}.toml (line {}{paused})", dag.dag_id, dag.line));
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
    match (app, &args.file) {
        (Some(app), _) => {
            page.next(&format!("crondag --home {} validate", app.home.root().display()));
            page.line("then take these lines out of the crontab, and put the one of `crondag status` in");
        }
        (None, Some(file)) => page.next(&format!("crondag import crontab {} --into HOME", file.display())),
        (None, None) => page.next("crondag import crontab --into HOME"),
    }
    page.print()
}
