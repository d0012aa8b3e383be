//! Crontabs that become DAG files.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed
#![allow(clippy::needless_raw_string_hashes)] // as snapbox writes them

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use common::Home;
use crondag::import::crontab::{Import, Surroundings, import};
use snapbox::str;

fn read(crontab: &str, chain: bool) -> Import {
    let homes = [("ana", "/home/ana"), ("root", "/root"), ("etl", "/home/etl")];
    let programs = ["cd", "python3", "bash", "curl", "flock", "sleep", "nice", "docker", "mail", "find"];
    import(
        crontab,
        &Surroundings {
            user: "ana",
            home_of: &|user| homes.iter().find(|(name, _)| *name == user).map(|(_, home)| (*home).to_owned()),
            is_program: &|program| programs.contains(&program),
            chain,
            taken: BTreeSet::new(),
        },
    )
}

/// The files and the notes, as text.
fn page(import: &Import) -> String {
    let files = import
        .dags
        .iter()
        .map(|dag| format!("--- {}{}\n{}", dag.dag_id, if dag.is_paused { " (paused)" } else { "" }, dag.text));
    let notes = import.notes.iter().map(|note| format!("{} {:?}: {}\n", note.line, note.weight, note.text));
    files.chain(["--- notes\n".to_owned()]).chain(notes).collect()
}

#[test]
fn every_shape_of_a_crontab_is_carried_over_or_said() {
    for name in ["pipeline", "system"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import/crontab");
        let crontab = std::fs::read_to_string(folder.join(format!("{name}.crontab"))).unwrap();
        let expected =
            snapbox::Data::read_from(&folder.join(format!("{name}.txt")), Some(snapbox::data::DataFormat::Text));
        snapbox::Assert::new().action_env("SNAPSHOTS").eq(page(&read(&crontab, false)), expected);
    }
}

#[test]
fn staggered_jobs_become_one_dag_where_that_is_asked_for() {
    let crontab =
        "# load\n0 1 * * * /etl/load.sh\n# tags wait for load\n30 1 * * * /etl/tags.sh\n0 9 * * * /etl/other.sh\n";
    snapbox::assert_data_eq!(
        page(&read(crontab, true)),
        str![[r#"
--- load
# crontab, line 2: 0 1 * * * /etl/load.sh
# crontab, line 4: 30 1 * * * /etl/tags.sh
schedule = "0 1 * * *"

[tasks.load]
description = "load"
shell       = "/etl/load.sh"
working_dir = "/home/ana"

[tasks.tags]
description = "tags wait for load"
after       = "load"
shell       = "/etl/tags.sh"
working_dir = "/home/ana"
--- other
# crontab, line 5: 0 9 * * * /etl/other.sh
schedule = "0 9 * * *"

[tasks.other]
shell       = "/etl/other.sh"
working_dir = "/home/ana"
--- notes
2 Changed: lines 2, 4 are one DAG: each waits for the one before, not for the clock

"#]]
    );
    assert_eq!(read(crontab, false).dags.len(), 3);
}

#[test]
fn what_is_imported_is_valid_and_what_was_switched_off_stays_off() {
    let home = Home::new().with("tab", "0 1 * * * echo \"$(date +\\%Y)\" > /dev/null\n#0 2 * * * /opt/old.sh\n");
    home.run("import crontab tab --user root --into .").success();
    home.run("validate").success();
    home.run("test echo echo 20180701").success().stdout_eq("[..]\n");
    let rows = home.json("list_dags --json");
    let paused: Vec<(&str, bool)> =
        rows.iter().map(|row| (row["dag_id"].as_str().unwrap(), row["is_paused"].as_bool().unwrap())).collect();
    assert_eq!(paused, [("echo", false), ("old", true)]);
    // A second import takes other names and writes over nothing.
    home.run("import crontab tab --user root --into .").success();
    assert!(home.has("dags/echo_2.toml"));
}

#[test]
fn what_is_no_crontab_is_told() {
    let home = Home::new().with("prose", "");
    home.run("import crontab prose").code(2).stderr_eq(str![[r#"
error: there is no job in this crontab
next: name the file of a crontab, or `-` for standard input

"#]]);
    home.run("import crontab nowhere").code(3).stderr_eq(str![[r#"
error: cannot read nowhere: No such file or directory (os error 2)
next: check its name and who may read it

"#]]);
}

/// A command with other letters in place of some would be another command.
#[test]
fn an_installed_crontab_that_is_not_utf_8_is_not_guessed_at() {
    let home = Home::new();
    home.program("bin/crontab", "#!/bin/sh\nprintf '0 1 * * * /opt/\\374ber.sh\\n'\n");
    let path = format!("{}:/usr/bin:/bin", home.file("bin").display());
    home.run_command(home.command("import crontab").env("PATH", path)).code(2).stderr_eq(str![[r#"
error: what `crontab -l` prints cannot be read: it is not UTF-8 text: save it as UTF-8
next: write it into a file as UTF-8, and name that

"#]]);
}
