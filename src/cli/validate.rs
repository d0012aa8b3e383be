//! `crondag validate`: all faults of all files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::json;

use super::context::Global;
use super::diagnostic::{self, Style};
use super::error::CliError;
use super::output;
use crate::dag::Config;
use crate::dag::file::Severity;
use crate::home::{CONFIG_FILE, Home};
use crate::runner::catalog::{self, FaultyFile};

/// Options of `validate`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  crondag validate\n  crondag validate dags/userprofile.toml\n  crondag validate --format github"
)]
pub struct Args {
    /// A DAG file, a folder of DAG files, or a home; by default the home.
    paths: Vec<PathBuf>,
    /// How to show the faults.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
    /// Short for --format json.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Like a compiler.
    Human,
    /// An array of objects.
    Json,
    /// Annotations for GitHub Actions.
    Github,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let mut checked = Checked::default();
    if args.paths.is_empty() {
        let home = Home::find(global.home.as_deref())?;
        checked.home(&home)?;
    }
    for path in &args.paths {
        checked.path(path, global)?;
    }
    let format = if args.json { Format::Json } else { args.format };
    match format {
        Format::Human => checked.print_human()?,
        Format::Json => checked.print_json()?,
        Format::Github => checked.print_github()?,
    }
    Ok(if checked.count(Severity::Error) > 0 { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

#[derive(Default)]
struct Checked {
    files: Vec<FaultyFile>,
    dags: usize,
}

impl Checked {
    fn home(&mut self, home: &Home) -> Result<(), CliError> {
        let config = self.config(home);
        let files = catalog::dag_files(home).map_err(|error| {
            CliError::environment(
                format!("cannot read {}: {error}", home.dags_dir().display()),
                "check who owns it (`ls -ld`)",
            )
        })?;
        if files.is_empty() {
            eprintln!("warning: {} has no DAG files", home.dags_dir().display());
        }
        self.all(home, &config, files);
        Ok(())
    }

    fn path(&mut self, path: &Path, global: &Global) -> Result<(), CliError> {
        if path.join(CONFIG_FILE).is_file() {
            return self.home(&Home::find(Some(path))?);
        }
        let missing = |error: std::io::Error| {
            CliError::usage(format!("{}: {error}", path.display()), "name a DAG file, a folder or a home")
        };
        let real = std::fs::canonicalize(path).map_err(missing)?;
        // The home that the file lies in knows its pools and connections.
        let home = match &global.home {
            Some(home) => Home::find(Some(home))?,
            None => match real.ancestors().find(|folder| folder.join(CONFIG_FILE).is_file()) {
                Some(root) => Home::at(root),
                None => Home::at(real.parent().unwrap_or(Path::new("/"))),
            },
        };
        let config = if home.config_path().is_file() { self.config(&home) } else { Config::default() };
        if real.is_dir() {
            let entries = std::fs::read_dir(path).map_err(missing)?;
            let mut files: Vec<PathBuf> = entries
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|file| file.extension().is_some_and(|extension| extension == "toml"))
                .collect();
            files.sort();
            self.all(&home, &config, files);
        } else if path.file_name().is_some_and(|name| name != CONFIG_FILE) {
            self.all(&home, &config, vec![path.to_path_buf()]);
        } else {
            self.config(&home);
        }
        Ok(())
    }

    fn config(&mut self, home: &Home) -> Config {
        match catalog::load_config(home) {
            Ok((config, file)) => {
                self.add(file);
                config
            }
            Err(file) => {
                self.add(file);
                // Everything else is still looked at, with what a home without settings has.
                Config::default()
            }
        }
    }

    fn all(&mut self, home: &Home, config: &Config, files: Vec<PathBuf>) {
        self.dags += files.len();
        for path in files {
            match catalog::load_dag(home, &path, config) {
                Ok((_, file)) | Err(file) => self.add(file),
            }
        }
    }

    fn add(&mut self, mut file: FaultyFile) {
        // Short paths read better, and CI wants them relative to the checkout.
        if let Ok(here) = std::env::current_dir()
            && let Ok(short) = file.path.strip_prefix(&here)
        {
            file.path = short.to_path_buf();
        }
        if !file.faults.is_empty() && !self.files.iter().any(|other| other.path == file.path) {
            self.files.push(file);
        }
    }

    fn count(&self, severity: Severity) -> usize {
        self.files.iter().flat_map(|file| &file.faults).filter(|fault| fault.severity == severity).count()
    }

    fn print_human(&self) -> Result<(), CliError> {
        let style = if output::wants_colour(&std::io::stderr()) { Style::Colour } else { Style::Plain };
        for file in &self.files {
            eprint!("{}", diagnostic::render(&file.faults, &file.path, &file.text, style));
        }
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        let mut parts = Vec::new();
        if errors > 0 {
            parts.push(plural(errors, "error"));
        }
        if warnings > 0 {
            parts.push(plural(warnings, "warning"));
        }
        if parts.is_empty() {
            return output::write_out(&format!(
                "{} valid\n",
                if self.dags == 1 { "1 DAG is".to_owned() } else { format!("{} DAGs are", self.dags) }
            ));
        } else {
            eprintln!("{} in {}", parts.join(" and "), plural(self.files.len(), "file"));
        }
        Ok(())
    }

    fn print_json(&self) -> Result<(), CliError> {
        let mut all = Vec::new();
        for file in &self.files {
            for fault in &file.faults {
                let (line, column) = fault.position(&file.text);
                all.push(json!({
                    "file": file.path.display().to_string(),
                    "line": line,
                    "column": column,
                    "severity": fault.severity.as_str(),
                    "code": fault.code,
                    "message": fault.message,
                    "help": fault.help,
                }));
            }
        }
        output::print_json(&json!(all))
    }

    fn print_github(&self) -> Result<(), CliError> {
        let escape = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
        let property = |text: &str| escape(text).replace(':', "%3A").replace(',', "%2C");
        let mut by_file: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for file in &self.files {
            let name = file.path.display().to_string();
            for fault in &file.faults {
                let (line, column) = fault.position(&file.text);
                let message = match &fault.help {
                    Some(help) => format!("{}\nhelp: {help}", fault.message),
                    None => fault.message.clone(),
                };
                by_file.entry(name.clone()).or_default().push(format!(
                    "::{} file={},line={line},col={column},title={}::{}",
                    fault.severity.as_str(),
                    property(&name),
                    property(fault.code),
                    escape(&message)
                ));
            }
        }
        let lines: Vec<String> = by_file.into_values().flatten().map(|line| format!("{line}\n")).collect();
        output::write_out(&lines.concat())
    }
}

fn plural(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}
