//! Every fault of every file in one go.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use jiff::Timestamp;
use serde::Serialize;

use crate::access::{self, Exposed};
use crate::app::times::zone_name;
use crate::dag::file::{Fault, OtherFile, Severity, check_awaited, read_config_leniently, read_dag, read_diagnosis};
use crate::dag::{Config, Dag};
use crate::home::{CONFIG_FILE, DIAGNOSIS_FILE, Home, is_home};
use crate::machine_zone::MachineZone;
use crate::runner::attempt::secrets;
use crate::runner::{catalog, planner};
use crate::store::{Store, StoreError};
use crate::text_file::{self, NotUtf8};

/// What was found in all files.
#[derive(Debug, Default)]
pub struct Validation {
    /// The files that were looked at, in order, each with its faults.
    pub files: Vec<CheckedFile>,
    /// The zone of DAGs that name none, and who says so; of the first home.
    pub zone: Option<String>,
    /// What is to be known of the next runs of good DAGs, one sentence each.
    pub notes: Vec<String>,
}

/// A file, or a folder, that was looked at.
#[derive(Debug)]
pub struct CheckedFile {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is a DAG file.
    pub is_dag: bool,
    /// Its text; empty where it cannot be read.
    pub text: String,
    /// What is wrong with it, by place.
    pub faults: Vec<Fault>,
    /// What it says, and the home that it is of, if that and its settings are good.
    dag: Option<(PathBuf, Box<Dag>)>,
}

/// One fault, as programs read it. Lines and columns (in characters) count from 1; a fault of the file as a whole is at 1, 1.
#[derive(Debug, Serialize)]
pub struct FaultAnswer<'a> {
    /// Relative to where the question is asked, if it is below.
    pub file: String,
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) severity: &'static str,
    pub(crate) code: &'static str,
    pub(crate) message: &'a str,
    pub(crate) help: Option<String>,
}

impl Validation {
    /// Adds what will be special about the next runs: a schedule that was edited, runs that are to be caught up.
    pub fn foretell(&mut self, now: Timestamp) {
        let is_good = |file: &&CheckedFile| file.faults.iter().all(|fault| fault.severity != Severity::Error);
        let mut homes: BTreeMap<&Path, Vec<&Dag>> = BTreeMap::new();
        for (home, dag) in self.files.iter().filter(is_good).filter_map(|file| file.dag.as_ref()) {
            homes.entry(home).or_default().push(dag);
        }
        let mut notes = Vec::new();
        for (home, dags) in homes {
            // Without its history a DAG would look as if it had never run.
            match foretold(&Home::at(home), &dags, now) {
                Ok(found) => notes.extend(found),
                Err(error) => notes.push(format!("what the next runs will be is not known: {error}")),
            }
        }
        self.notes.extend(notes);
    }

    /// How many faults of this severity there are.
    pub fn count(&self, severity: Severity) -> usize {
        self.files.iter().flat_map(|file| &file.faults).filter(|fault| fault.severity == severity).count()
    }

    /// Every fault; `here` is where the question is asked.
    pub fn faults(&self, here: &Path) -> Vec<FaultAnswer<'_>> {
        let mut answers = Vec::new();
        for file in &self.files {
            for fault in &file.faults {
                let (line, column) = fault.position(&file.text);
                answers.push(FaultAnswer {
                    file: shown(&file.path, here).display().to_string(),
                    line,
                    column,
                    severity: fault.severity.as_str(),
                    code: fault.code,
                    message: &fault.message,
                    help: if fault.help.is_empty() { None } else { Some(fault.help.join("\n")) },
                });
            }
        }
        answers
    }
}

/// A path below the current folder is shown without it.
pub fn shown<'p>(path: &'p Path, here: &Path) -> &'p Path {
    if here.as_os_str().is_empty() { path } else { path.strip_prefix(here).unwrap_or(path) }
}

/// Looks at every file of the paths: DAG files, crondag.toml files, folders of DAG files, homes.
pub fn validate(paths: &[PathBuf]) -> Validation {
    let mut work = Work::default();
    for path in paths {
        work.path(path);
    }
    work.same_ids();
    work.awaited();
    Validation { files: work.files, zone: work.zone, notes: Vec::new() }
}

/// The settings that DAG files are read against.
struct Settings {
    config: Config,
    is_good: bool,
}

#[derive(Default)]
struct Work {
    files: Vec<CheckedFile>,
    zone: Option<String>,
    /// By home; `None` for files that are in no home.
    settings: BTreeMap<Option<PathBuf>, Settings>,
    /// What was looked at, so that a file named twice is checked once.
    seen: BTreeSet<PathBuf>,
    /// DAG files by home and id.
    ids: BTreeMap<(Option<PathBuf>, String), Vec<usize>>,
}

impl Work {
    fn path(&mut self, path: &Path) {
        if path.is_dir() {
            if is_home(path) {
                self.exposed_folder(path);
                self.config(&path.join(CONFIG_FILE));
                if text_file::is_there(&path.join(DIAGNOSIS_FILE)) {
                    self.diagnosis(&path.join(DIAGNOSIS_FILE));
                }
                let dags = path.join("dags");
                if text_file::is_there(&dags) {
                    self.exposed_folder(&dags);
                    self.folder(&dags);
                } else {
                    let fault = Fault::of_file("not-found", "there is no folder of DAG files")
                        .help("put it back, or make an empty one");
                    self.push(&dags, false, String::new(), vec![fault]);
                }
            } else {
                self.folder(path);
            }
        } else if path.file_name().is_some_and(|name| name == CONFIG_FILE) {
            self.config(path);
        } else if path.file_name().is_some_and(|name| name == DIAGNOSIS_FILE) {
            self.diagnosis(path);
        } else {
            self.dag(path);
        }
    }

    fn exposed_folder(&mut self, folder: &Path) {
        if let Err(exposed) = access::refuse_world_writable(folder) {
            self.push(folder, false, String::new(), vec![exposed.fault()]);
        }
    }

    fn folder(&mut self, folder: &Path) {
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let (entries, dags) = match entries.and_then(|entries| Ok((entries, catalog::dag_files_in(folder)?))) {
            Ok(read) => read,
            Err(error) => {
                let fault = Fault::of_file("unreadable", format!("cannot read the folder: {error}"))
                    .help("check who owns it and who may read it");
                self.push(folder, false, String::new(), vec![fault]);
                return;
            }
        };
        let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            if dags.binary_search(&path).is_ok() || is_misnamed(&path) {
                self.dag(&path);
            } else if path.is_dir() && catalog::dag_files_in(&path).is_ok_and(|files| !files.is_empty()) {
                let message = "DAG files in this folder are not read";
                let help = "only the files directly in the folder of DAGs are: move them up";
                let fault =
                    Fault { severity: Severity::Warning, ..Fault::of_file("ignored-folder", message).help(help) };
                self.push(&path, false, String::new(), vec![fault]);
            }
        }
    }

    fn push(&mut self, path: &Path, is_dag: bool, text: String, faults: Vec<Fault>) {
        self.files.push(CheckedFile { path: path.to_path_buf(), is_dag, text, faults, dag: None });
    }

    /// Whether the file comes for the first time.
    fn is_new(&mut self, path: &Path) -> bool {
        // A file that cannot be resolved is reported when it is read.
        self.seen.insert(fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf()))
    }

    fn config(&mut self, path: &Path) {
        if !self.is_new(path) {
            return;
        }
        let (text, mut faults) = read_text(path);
        if faults.is_empty() {
            let (config, found) = read_config_leniently(&text);
            let home = path.parent().unwrap_or(Path::new(""));
            let secrets = secrets::faults(home, &config);
            faults = found;
            faults.extend(secrets.into_iter().map(|message| Fault::of_file("bad-secret", message)));
            faults.extend(exposed(path));
            let machine = MachineZone::find();
            let (zone, source) = match &config.timezone {
                Some(zone) => (zone, CONFIG_FILE),
                None => (&machine.zone, machine.source),
            };
            self.zone.get_or_insert_with(|| format!("{} ({source})", zone_name(zone)));
            faults.extend(config.timezone.is_none().then(|| zone_fault(&machine)).flatten());
        }
        self.push(path, false, text, faults);
    }

    fn diagnosis(&mut self, path: &Path) {
        if !self.is_new(path) {
            return;
        }
        let (text, mut faults) = read_text(path);
        if faults.is_empty() {
            faults = read_diagnosis(&text).1;
            faults.extend(exposed(path));
        }
        self.push(path, false, text, faults);
    }

    fn dag(&mut self, path: &Path) {
        if !self.is_new(path) {
            return;
        }
        let (text, mut faults) = read_text(path);
        let id = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let home = home_of(path);
        let mut good = None;
        if faults.is_empty() {
            let settings = self.settings.entry(home.clone()).or_insert_with_key(|home| settings(home.as_deref()));
            let root = home.as_deref().or(path.parent()).unwrap_or(Path::new(""));
            let (dag, found) = read_dag(&id, &text, &settings.config, &|file: &Path| root.join(file).exists());
            faults = found;
            if home.is_some() && settings.is_good && settings.config.email.is_none() {
                faults.extend(dag.as_ref().and_then(mail_for_nobody));
            }
            if !settings.is_good {
                // What crondag.toml would have said is not known.
                faults.retain(|fault| !fault.is_of_config);
            } else if let (Some(home), Some(dag)) = (&home, dag) {
                good = Some((home.clone(), Box::new(dag)));
            }
        }
        faults.extend(exposed(path));
        if path.extension().is_none_or(|extension| extension != "toml") {
            faults.push(
                Fault::of_file("bad-file-name", "the name of a DAG file ends with `.toml`, in small letters")
                    .help(format!("rename it to {id}.toml")),
            );
        }
        self.ids.entry((home, id)).or_default().push(self.files.len());
        self.files.push(CheckedFile { path: path.to_path_buf(), is_dag: true, text, faults, dag: good });
    }

    fn same_ids(&mut self) {
        for ((_, id), files) in &self.ids {
            let [first, others @ ..] = files.as_slice() else { continue };
            let first = self.files[*first].path.display().to_string();
            for &other in others {
                self.files[other].faults.push(
                    Fault::of_file(
                        "duplicate-dag-id",
                        format!("two files have the id `{id}`: the other one is {first}"),
                    )
                    .help("the id is the name of the file without `.toml`: rename one of them"),
                );
            }
        }
    }
}

impl Work {
    /// What files say of one another.
    fn awaited(&mut self) {
        for checked in self.files.iter_mut().filter(|file| file.is_dag && file.text.contains("wait")) {
            let home = home_of(&checked.path);
            let folder = match &home {
                Some(home) => home.join("dags"),
                None => checked.path.parent().unwrap_or(Path::new("")).to_path_buf(),
            };
            let stem = |path: &PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            // A folder that may not be listed may still be read from.
            let names: Vec<String> =
                catalog::dag_files_in(&folder).unwrap_or_default().iter().filter_map(stem).collect();
            let settings = self.settings.entry(home).or_insert_with_key(|home| settings(home.as_deref()));
            let file = |name: &str| {
                if !names.iter().any(|known| known == name) && !folder.join(format!("{name}.toml")).exists() {
                    return OtherFile::Missing;
                }
                let (text, unreadable) = read_text(&folder.join(format!("{name}.toml")));
                let (dag, _) = read_dag(name, &text, &settings.config, &|_| true);
                dag.filter(|_| unreadable.is_empty()).map_or(OtherFile::Faulty, |dag| OtherFile::Good(Box::new(dag)))
            };
            let faults = check_awaited(&checked.text, &names, &file);
            if !faults.is_empty() {
                checked.faults.extend(faults);
                checked.faults.sort_by_key(|fault| (fault.span.start, fault.span.end));
            }
        }
    }
}

/// Tasks that name people to be told, in a home that has no way to tell them.
fn mail_for_nobody(dag: &Dag) -> Option<Fault> {
    let task = dag.tasks.iter().find(|task| !task.email.is_empty())?;
    let message = format!("task `{}` has `email`, and crondag.toml has no [email]", task.id);
    let help = "what it would tell is recorded and sent to nobody: add [email] to crondag.toml";
    Some(Fault { severity: Severity::Warning, ..Fault::of_file("no-mail", message).help(help) })
}

/// Where a home leaves the zone to a machine whose zone cannot be understood.
fn zone_fault(machine: &MachineZone) -> Option<Fault> {
    let warning = machine.warning.clone()?;
    let help = "name a zone of the tz database: timezone = \"Asia/Shanghai\"";
    Some(Fault { severity: Severity::Warning, ..Fault::of_file("machine-zone", warning).help(help) })
}

fn exposed(path: &Path) -> Option<Fault> {
    access::refuse_world_writable(path).err().as_ref().map(Exposed::fault)
}

/// Whether a file was meant as a DAG and is not read, because of its name.
fn is_misnamed(path: &Path) -> bool {
    let is_toml = path.extension().is_some_and(|end| end != "toml" && end.eq_ignore_ascii_case("toml"));
    is_toml && !catalog::is_hidden(path) && !path.is_dir()
}

fn foretold(home: &Home, dags: &[&Dag], now: Timestamp) -> Result<Vec<String>, StoreError> {
    let path = home.database_path();
    let store = if path.exists() { Some(Store::open_read_only(&path)?) } else { None };
    let mut found = Vec::new();
    for dag in dags {
        let row = store.as_ref().map(|store| store.dag(&dag.id)).transpose()?.flatten();
        found.extend(planner::notes(&store, dag, row.as_ref(), now)?.iter().map(ToString::to_string));
    }
    Ok(found)
}

/// The text of a file, or why there is none. A text that is not UTF-8 comes with replacement characters.
fn read_text(path: &Path) -> (String, Vec<Fault>) {
    let bytes = match text_file::bytes(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let fault = if error.kind() == io::ErrorKind::NotFound {
                Fault::of_file("not-found", "there is no such file or folder").help("check the name")
            } else {
                Fault::of_file("unreadable", format!("cannot read the file: {error}"))
                    .help("check who owns it and who may read it")
            };
            return (String::new(), vec![fault]);
        }
    };
    let help = "save the file as UTF-8";
    match text_file::decode(bytes) {
        Ok(text) => (text, Vec::new()),
        Err(NotUtf8::Utf16) => (String::new(), vec![Fault::of_file("not-utf8", "the file is UTF-16 text").help(help)]),
        Err(NotUtf8::Other { lossy, valid_up_to: at }) => {
            let span = at..at + char::REPLACEMENT_CHARACTER.len_utf8();
            let fault = Fault::error("not-utf8", span, "the file is not UTF-8 text", "this byte is no character");
            (lossy, vec![fault.help(help)])
        }
    }
}

/// The nearest folder above a file that has a crondag.toml.
fn home_of(path: &Path) -> Option<PathBuf> {
    let absolute = fs::canonicalize(path).or_else(|_| std::path::absolute(path)).ok()?;
    absolute.ancestors().skip(1).find(|folder| is_home(folder)).map(Path::to_path_buf)
}

fn settings(home: Option<&Path>) -> Settings {
    let Some(home) = home else { return Settings { config: Config::default(), is_good: true } };
    let (text, unreadable) = read_text(&home.join(CONFIG_FILE));
    let (mut config, faults) = read_config_leniently(&text);
    config.machine_zone = MachineZone::find().zone;
    let is_good = unreadable.is_empty() && !faults.iter().any(|fault| fault.severity == Severity::Error);
    Settings { config, is_good }
}
