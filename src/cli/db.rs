//! `crondag db`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::context::Global;
use super::error::CliError;
use super::output::{Page, print_json};
use crate::app::query::database::check;
use crate::app::request::backup;

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
    let mut page = Page::new();
    match &args.command {
        Db::Backup { file } => {
            let receipt = backup::apply(&app, backup::plan(file)?)?;
            page.line(format!("backed up to {}", receipt.file.display()));
            page.next(&format!("crondag db check {}", receipt.file.display()));
            page.print()?;
        }
        Db::Check { file, json } => {
            let answer = check(&app, file.as_deref())?;
            let database = answer.database.display();
            if *json {
                print_json(&[&answer])?;
            } else if answer.problems.is_empty() {
                page.line(format!("{database}: sound ({} runs, {} events)", answer.runs, answer.events));
                page.print()?;
            }
            if !answer.problems.is_empty() {
                let problems: Vec<String> = answer.problems.iter().map(|problem| format!("\n  {problem}")).collect();
                return Err(CliError::environment(
                    format!("the database {database} is damaged:{}", problems.concat()),
                    "stop the crontab line, move it aside, and put your last `crondag db backup` in its place",
                ));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
