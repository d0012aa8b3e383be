//! `crondag db`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::context::Global;
use crate::app::App;

use super::error::CliError;
use super::output::{Page, print_json};
use crate::store::Store;

/// Options of `db`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag db backup /backup/crondag-$(date +%F).db\n  crondag db check")]
pub struct Args {
    #[command(subcommand)]
    command: Db,
}

#[derive(Debug, Subcommand)]
enum Db {
    /// Copy the database into a new file while runs go on
    #[command(after_help = "Example:\n  crondag db backup /backup/crondag-$(date +%F).db")]
    Backup {
        /// The new file; it must not exist
        file: PathBuf,
    },
    /// Check the database's structure and references, and that its event log gives its tables back
    #[command(after_help = "Example:\n  crondag db check")]
    Check {
        /// Check this file instead of the home's database, such as a backup
        file: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    match &args.command {
        Db::Backup { file } => {
            if file.exists() {
                return Err(CliError::usage(format!("{} exists already", file.display()), "name a new file"));
            }
            store(&app)?.backup(file)?;
            let mut page = Page::new();
            page.line(format!("backed up to {}", file.display()));
            page.next(&format!("crondag db check {}", file.display()));
            page.print()?;
            Ok(ExitCode::SUCCESS)
        }
        Db::Check { file, json } => {
            let store = match file {
                Some(file) if !file.is_file() => {
                    return Err(CliError::usage(format!("there is no file {}", file.display()), "name a backup"));
                }
                Some(file) => Store::open_read_only(file)?,
                None => store(&app)?,
            };
            let report = store.check().map_err(|error| error.at(store.path()))?;
            let is_sound = report.problems.is_empty();
            if *json {
                print_json(&serde_json::json!([{
                    "database": store.path(), "runs": report.runs, "events": report.events, "problems": report.problems,
                }]))?;
            } else if is_sound {
                let mut page = Page::new();
                let (runs, events) = (report.runs, report.events);
                page.line(format!("{}: sound ({runs} runs, {events} events)", store.path().display()));
                page.print()?;
            }
            if is_sound {
                return Ok(ExitCode::SUCCESS);
            }
            let problems: Vec<String> = report.problems.iter().map(|problem| format!("\n  {problem}")).collect();
            Err(CliError::environment(
                format!("the database {} is damaged:{}", store.path().display(), problems.concat()),
                "stop the crontab line, move it aside, and put your last `crondag db backup` in its place",
            ))
        }
    }
}

fn store(app: &App) -> Result<Store, CliError> {
    app.store()?.ok_or_else(|| {
        CliError::usage(
            format!("there is no database in {} yet: nothing has run", app.home.state_dir().display()),
            "crondag tick",
        )
    })
}
