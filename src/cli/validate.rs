//! `crondag validate`: every fault of every file in one go, for people, programs and CI.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::Timestamp;

use super::diagnostic::{Style, render};
use super::output::say;
use crate::app::query::validate::{FaultAnswer, Validation, shown, validate};
use crate::dag::file::Severity;
use crate::home::{Home, HomeError};

/// How the faults are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// As rustc does, for people
    #[default]
    Human,
    /// One array of objects
    Json,
    /// Annotations of GitHub's workflows
    Github,
}

/// The arguments of `crondag validate`.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "\
Examples:
  crondag validate                            crondag.toml, diagnosis.toml and all DAG files of the home
  crondag validate dags/userprofile.toml
  crondag validate --format github            in a workflow of GitHub

Exit codes: 0 all files are good (there may be warnings), 2 a file is faulty.")]
pub struct Args {
    /// DAG files, folders of DAG files, or homes [default: the home]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// How the faults are written
    #[arg(long, value_enum, default_value_t, conflicts_with = "json")]
    pub format: Format,
    /// Short for --format json
    #[arg(long)]
    pub json: bool,
}

/// Checks the paths of `args`, or the home, and writes the report to standard output.
///
/// `find_home` is only asked when no path is given. Exit code 2 when any file is faulty, 3 when the report cannot be written.
pub fn run(args: &Args, find_home: impl FnOnce() -> Result<Home, HomeError>) -> ExitCode {
    let mut report = if args.paths.is_empty() {
        match find_home() {
            Ok(home) => validate(&[home.root().to_path_buf()]),
            Err(error) => {
                say(format!("error: {error}"));
                return ExitCode::from(2);
            }
        }
    } else {
        validate(&args.paths)
    };
    report.foretell(Timestamp::now());
    let here = env::current_dir().unwrap_or_default();
    let stdout = io::stdout();
    let text = match if args.json { Format::Json } else { args.format } {
        Format::Human => {
            let page = human(&report, &here, Style::of(&stdout));
            match &report.zone {
                Some(zone) if report.count(Severity::Error) == 0 => page + &format!("zone: {zone}\n"),
                _ => page,
            }
        }
        Format::Json => json(&report, &here),
        Format::Github => github(&report, &here),
    };
    match stdout.lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            say(format!("error: cannot write the report: {error}"));
            ExitCode::from(3)
        }
        _ if report.count(Severity::Error) > 0 => ExitCode::from(2),
        _ => ExitCode::SUCCESS,
    }
}

/// The pages of all files and a closing line; one line when all is well.
pub fn human(report: &Validation, here: &Path, style: Style) -> String {
    let mut page = String::new();
    for file in report.files.iter().filter(|file| !file.faults.is_empty()) {
        page += &render(&file.faults, shown(&file.path, here), &file.text, style);
        page.push('\n');
    }
    let (errors, warnings) = (report.count(Severity::Error), report.count(Severity::Warning));
    let dags = report.files.iter().filter(|file| file.is_dag).count();
    let counted_warnings = if warnings > 0 { format!(", {}", counted(warnings, "warning")) } else { String::new() };
    if errors > 0 {
        let faulty = report.files.iter().filter(|file| !file.faults.is_empty()).count();
        let of = counted(report.files.len(), "file");
        let errors = counted(errors, "error");
        page + &format!(
            "error: {errors}{counted_warnings} in {faulty} of {of}\n\
             next: correct them, then type `crondag validate` again\n"
        )
    } else if dags == 0 {
        page + &format!("no DAG files found{counted_warnings}\n")
    } else {
        let verb = if dags == 1 { "is" } else { "are" };
        let notes: Vec<String> = report.notes.iter().map(|note| format!("note: {note}\n")).collect();
        page + &notes.concat() + &format!("{} {verb} valid{counted_warnings}\n", counted(dags, "DAG"))
    }
}

/// One array of objects: `file`, `line`, `column`, `severity`, `code`, `message`, `help`. Lines and columns (in
/// characters) count from 1; a fault of the file as a whole is at 1, 1.
pub fn json(report: &Validation, here: &Path) -> String {
    format!("{:#}\n", serde_json::json!(report.faults(here)))
}

/// GitHub's workflow commands, one for each fault.
pub fn github(report: &Validation, here: &Path) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let line = |row: FaultAnswer<'_>| {
        let help = row.help.map(|help| format!("\nhelp: {help}")).unwrap_or_default();
        format!(
            "::{} file={},line={},col={},title={}::{}\n",
            row.severity,
            property(&row.file),
            row.line,
            row.column,
            property(row.code),
            data(&format!("{}{help}", row.message)),
        )
    };
    report.faults(here).into_iter().map(line).collect()
}

fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
