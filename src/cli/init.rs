//! `crondag init`

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::error::CliError;
use super::output::Page;
use crate::app::crontab_line;
use crate::home::{CONFIG_FILE, Home};
use crate::machine_zone::MachineZone;

/// Options of `init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag init ~/etl && cd ~/etl && crondag test hello greet 20180701")]
pub struct Args {
    /// Where; made when missing
    #[arg(default_value = ".")]
    dir: PathBuf,
}

const CONFIG: &str = include_str!("init/crondag.toml");
const HELLO: &str = include_str!("init/hello.toml");
const GITIGNORE: &str = "# runs, logs and the database\n/.crondag/\n# secrets\n/.env\n";

pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    let unwritable = |path: &Path| {
        let path = path.to_path_buf();
        move |error: io::Error| {
            CliError::environment(
                format!("cannot write {}: {error}", path.display()),
                "name a folder that you may write to: crondag init DIRECTORY",
            )
        }
    };
    fs::create_dir_all(&args.dir).map_err(unwritable(&args.dir))?;
    let root = fs::canonicalize(&args.dir).map_err(unwritable(&args.dir))?;
    let home = Home::at(&root);
    if home.config_path().exists() {
        return Err(CliError::usage(
            format!("{} is a home already: it has a {CONFIG_FILE}", root.display()),
            format!("crondag --home {} list_dags", root.display()),
        ));
    }
    for folder in [home.dags_dir(), root.join("jobs")] {
        fs::create_dir_all(&folder).map_err(unwritable(&folder))?;
    }
    // The settings come last: they are what makes it a home, so a failure before leaves none half-made.
    let config = CONFIG.replace("{timezone}", &timezone());
    let files =
        [(home.dag_path("hello"), HELLO), (root.join(".gitignore"), GITIGNORE), (home.config_path(), config.as_str())];
    let mut page = Page::new();
    page.line(format!("made a home in {}", root.display()));
    for (path, text) in files {
        let name = path.strip_prefix(&root).unwrap_or(&path).display();
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                file.write_all(text.as_bytes()).map_err(unwritable(&path))?;
                page.line(format!("  {name}"));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                page.line(format!("  {name} (was there, left as it is)"));
            }
            Err(error) => return Err(unwritable(&path)(error)),
        }
    }
    page.line("  jobs/");
    page.gap();
    page.line("next:");
    page.line(format!("  cd {}", root.display()));
    page.line("  crondag validate");
    page.line("  crondag test hello greet 20180701                 one task, here and now");
    page.line("  crondag backfill -s 20180701 -e 20180703 hello    three runs, with history and logs");
    page.line("and, to have it scheduled, this line in your crontab (`crontab -e`):");
    page.line(format!("  {}", crontab_line(&home)));
    page.print()?;
    Ok(ExitCode::SUCCESS)
}

/// The machine's zone, written down: then a DAG means the same whoever runs it, with whatever `TZ`.
fn timezone() -> String {
    match MachineZone::find().zone.iana_name() {
        Some(name) => format!("timezone = \"{name}\""),
        None => "# timezone = \"Asia/Shanghai\"".to_owned(),
    }
}
