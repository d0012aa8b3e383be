//! `crondag init`

use std::path::PathBuf;
use std::process::ExitCode;

use super::error::CliError;
use super::output::Page;
use crate::app::request::init::{InitReceipt, apply, plan};

/// Options of `init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag init ~/etl && cd ~/etl && crondag test hello greet 20180701")]
pub struct Args {
    /// Where; made when missing
    #[arg(default_value = ".")]
    dir: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    show(&apply(plan(&args.dir)?)?)?;
    Ok(ExitCode::SUCCESS)
}

fn show(receipt: &InitReceipt) -> Result<(), CliError> {
    let mut page = Page::new();
    page.line(format!("made a home in {}", receipt.home.display()));
    for file in &receipt.files {
        let note = if file.was_there { " (was there, left as it is)" } else { "" };
        page.line(format!("  {}{note}", file.name));
    }
    for folder in &receipt.folders {
        page.line(format!("  {folder}/"));
    }
    page.gap();
    page.line("next:");
    page.line(format!("  cd {}", receipt.home.display()));
    page.line("  crondag validate");
    page.line("  crondag test hello greet 20180701                 one task, here and now");
    page.line("  crondag backfill -s 20180701 -e 20180703 hello    three runs, with history and logs");
    page.line("and, to have it scheduled, this line in your crontab (`crontab -e`):");
    // No line break may divide it.
    page.raw(format!("  {}", receipt.crontab_line));
    page.print()
}
