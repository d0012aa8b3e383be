//! Every fault of a file, as a user sees it: `tests/faults/NAME.toml` and its rendered page `NAME.txt`.
//!
//! Files that begin with `config_` are read as crondag.toml, those with `diagnosis_` as diagnosis.toml. `UPDATE=1 cargo test --test faults` writes the pages anew.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::path::{Path, PathBuf};
use std::{env, fs};

use crondag::cli::diagnostic::{Style, render};
use crondag::dag::Config;
use crondag::dag::file::{Fault, Severity, read_config, read_dag, read_diagnosis};

/// The home that the cases stand in.
fn config() -> Config {
    let text = "
        timezone = 'UTC'
        [pools]
        yarn = 4
        mysql = 2
        [vars]
        bucket = 'raw'
        [secrets]
        DB_PASSWORD = { env = 'DB_PASSWORD' }
        [connections.warehouse]
        type = 'sqlite'
        path = 'warehouse.db'
    ";
    let (config, faults) = read_config(text);
    assert_eq!(faults, []);
    config.unwrap()
}

fn read(name: &str, text: &str) -> (bool, Vec<Fault>) {
    if name.starts_with("config_") {
        let (config, faults) = read_config(text);
        (config.is_some(), faults)
    } else if name.starts_with("diagnosis_") {
        let faults = read_diagnosis(text).1;
        (!faults.iter().any(|fault| fault.severity == Severity::Error), faults)
    } else {
        let (dag, faults) = read_dag(name, text, &config(), &|path: &Path| path.starts_with("jobs"));
        (dag.is_some(), faults)
    }
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    cases.sort();
    cases
}

#[test]
fn every_fault_is_shown_as_expected() {
    let mut differences = Vec::new();
    for path in cases() {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let (is_good, faults) = read(name, &text);
        let has_errors = faults.iter().any(|fault| fault.severity == Severity::Error);
        assert_eq!(is_good, !has_errors, "{name}: a file is good without errors, whatever its warnings");
        let file = if name.starts_with("config_") {
            "crondag.toml".to_owned()
        } else if name.starts_with("diagnosis_") {
            "diagnosis.toml".to_owned()
        } else {
            format!("dags/{name}.toml")
        };
        let page = render(&faults, Path::new(&file), &text, Style::PLAIN);
        let expected_path = path.with_extension("txt");
        if env::var_os("UPDATE").is_some() {
            fs::write(&expected_path, &page).unwrap();
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if page != expected {
            differences.push(format!("--- expected {name}\n{expected}\n+++ found\n{page}\n"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.concat());
}
