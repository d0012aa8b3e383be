//! `crondag man`

use std::path::PathBuf;
use std::process::ExitCode;
use std::{fs, io};

use clap_mangen::Man;

use super::error::CliError;
use super::output::{Page, write_out};

/// Options of `man`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag man | man -l -\n  crondag man --dir ~/.local/share/man/man1")]
pub struct Args {
    /// Write one page for each command into this folder, instead of printing the first one
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn run(args: &Args, command: clap::Command) -> Result<ExitCode, CliError> {
    let Some(dir) = &args.dir else {
        let mut text = Vec::new();
        Man::new(command)
            .render(&mut text)
            .map_err(|error| CliError::environment(format!("cannot write the manual: {error}"), "crondag --help"))?;
        write_out(&String::from_utf8_lossy(&text))?;
        return Ok(ExitCode::SUCCESS);
    };
    let unwritable = |error: io::Error| {
        CliError::environment(
            format!("cannot write man pages into {}: {error}", dir.display()),
            "name a folder that you may write to",
        )
    };
    fs::create_dir_all(dir).map_err(unwritable)?;
    clap_mangen::generate_to(command, dir).map_err(unwritable)?;
    let mut page = Page::new();
    page.line(format!("man pages written to {}", dir.display()));
    page.next("man crondag");
    page.print()?;
    Ok(ExitCode::SUCCESS)
}
