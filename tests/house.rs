//! The house as docs/architecture.md draws it: which folder may use which, what belongs to one folder alone, and no circles
//! between files.
//!
//! It reads the sources as text: `use` trees and paths that begin with `crate`, `super`, `self` or a module of the same file.
//! What stands under `#[cfg(test)]` does not count, nor does a `pub use` that only gives a name another home.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use regex::Regex;

/// Each folder or file of `src/`, and what it may use besides itself. What is not named may use everything.
const MAY_USE: &[(&str, &[&str])] = &[
    ("dag", &[]),
    ("access", &["dag"]),
    ("mask", &[]),
    ("machine_zone", &["dag", "text_file"]),
    ("text_file", &[]),
    ("home", &["access", "text_file"]),
    ("check", &["dag"]),
    ("diagnose", &["dag"]),
    ("store", &["dag"]),
    ("notify", &["dag", "check", "diagnose", "store", "mask", "text_file"]),
    ("runner/engine", &["dag"]),
    ("runner/driver_log", &["home"]),
    (
        "runner/attempt",
        &["dag", "mask", "access", "machine_zone", "text_file", "runner/race_delay", "runner/backoff", "runner/random"],
    ),
    ("runner", &["dag", "check", "diagnose", "store", "notify", "mask", "access", "home", "machine_zone", "text_file"]),
    ("import", &["dag"]),
    // A question orders nothing.
    (
        "app/query",
        &[
            "dag",
            "diagnose",
            "store",
            "runner",
            "access",
            "home",
            "machine_zone",
            "text_file",
            "app/mod.rs",
            "app/catalog.rs",
            "app/crontab_line.rs",
            "app/error.rs",
            "app/next_step.rs",
            "app/params.rs",
            "app/select.rs",
            "app/times.rs",
        ],
    ),
    ("app", &["import", "dag", "store", "runner", "home", "machine_zone", "text_file"]),
    // What it prints and orders comes from `app`; `test` and the inner programs run attempts, and it is the driver's and the
    // scheduler's process.
    (
        "cli",
        &[
            "app",
            "import",
            "dag",
            "check",
            "diagnose",
            "mask",
            "home",
            // For the progress of a run, which is a row.
            "store/runs.rs",
            "runner/actions",
            "runner/attempt",
            "runner/driver",
            "runner/driver_log",
        ],
    ),
];

/// Words of the sources that belong to some folders alone.
const BELONGS: &[(&str, &[&str])] = &[
    // What is unsafe is all in `sys`, the parser of statements too.
    (r"\brusqlite::", &["store", "runner/actions/sql/sqlite.rs", "runner/attempt/local/sys.rs"]),
    (r"\bclap::|derive\(.*Parser", &["cli"]),
    // Front ends ask `app`, which opens the database and lists the DAG files for all of them.
    (r"\bStore::open\w*|\bstore_for_writing\b|\bread_dir\b", &["app", "store", "runner"]),
    // Inner programs speak to their logs and the driver to its own.
    (r"\be?print(ln)?!", &["cli", "runner/actions", "runner/attempt"]),
    (r"\bindicatif::", &["cli"]),
];

/// Words that a folder must not have, and its files that may for all that.
const NOT_IN: &[(&str, &str, &[&str])] = &[
    // What a command reads and writes is read and written by `app`.
    (
        "cli",
        r"\bfs::|\bFile::|\bOpenOptions\b",
        &[
            // Its pages are made of the command line, which only `cli` knows.
            "cli/man.rs",
        ],
    ),
];

#[derive(Default)]
struct Source {
    /// The module's path: `runner`, `engine`, `run`.
    module: Vec<String>,
    code: String,
    uses: Vec<Vec<String>>,
    /// What a `pub use` gives a name here, and where it comes from.
    names: Vec<(String, Vec<String>)>,
}

type Sources = BTreeMap<String, Source>;

static SOURCES: LazyLock<Sources> = LazyLock::new(read_sources);

#[test]
fn arrows_never_run_back() {
    let sources = &*SOURCES;
    let (mut back, mut used) = (Vec::new(), BTreeSet::new());
    for (file, targets) in arrows(sources) {
        let Some((folder, may_use)) = rule_of(&file) else { continue };
        for target in targets {
            if belongs_to(&target, folder) {
                continue;
            }
            let allowed: Vec<&str> = may_use.iter().copied().filter(|allowed| belongs_to(&target, allowed)).collect();
            if allowed.is_empty() {
                back.push(format!("{file} -> {target}"));
            }
            used.extend(allowed.into_iter().map(|allowed| (folder, allowed)));
        }
    }
    assert!(back.is_empty(), "arrows that run back:\n{back:#?}");
    let unused: Vec<String> = MAY_USE
        .iter()
        .flat_map(|(folder, may_use)| may_use.iter().map(move |allowed| (*folder, *allowed)))
        .filter(|allowed| !used.contains(allowed))
        .map(|(folder, allowed)| format!("{folder} -> {allowed}"))
        .collect();
    assert!(unused.is_empty(), "nobody goes these ways, take them out of the list:\n{unused:#?}");
}

#[test]
fn what_belongs_to_one_folder_is_nowhere_else() {
    let sources = &*SOURCES;
    let mut strays = Vec::new();
    for (word, homes) in BELONGS {
        let word = Regex::new(word).unwrap();
        for (file, source) in sources {
            if word.is_match(&source.code) && !homes.iter().any(|home| belongs_to(file, home)) {
                strays.push(format!("{file}: {}", word.find(&source.code).unwrap().as_str()));
            }
        }
        for home in *homes {
            let has_it = |(file, source): (&String, &Source)| belongs_to(file, home) && word.is_match(&source.code);
            assert!(sources.iter().any(has_it), "{home} has no {word}: take it out of the list");
        }
    }
    for (folder, word, exceptions) in NOT_IN {
        let word = Regex::new(word).unwrap();
        let has_it = |file: &&String| word.is_match(&sources[*file].code);
        let found: Vec<&String> = sources.keys().filter(|file| belongs_to(file, folder)).filter(has_it).collect();
        for exception in *exceptions {
            assert!(
                found.iter().any(|file| file == exception),
                "{exception} has no such word: take it out of the list"
            );
        }
        strays.extend(
            found.iter().filter(|file| !exceptions.contains(&file.as_str())).map(|file| format!("{file}: {word}")),
        );
    }
    assert!(strays.is_empty(), "{strays:#?}");
}

#[test]
fn no_files_use_one_another_in_a_circle() {
    let sources = &*SOURCES;
    let arrows = arrows(sources);
    let found = circles(&arrows);
    let mut text = String::new();
    for circle in &found {
        writeln!(text, "\na circle of {} files:", circle.len()).unwrap();
        for file in circle {
            let within: Vec<&str> = arrows[file].iter().filter(|to| circle.contains(*to)).map(String::as_str).collect();
            writeln!(text, "  {file} -> {}", within.join(", ")).unwrap();
        }
    }
    assert!(text.is_empty(), "{text}");
}

/// The same, seen from above: what stands in one folder, files and folders as wholes.
#[test]
fn no_rooms_of_a_floor_use_one_another_in_a_circle() {
    let arrows = arrows(&SOURCES);
    let folders: BTreeSet<&str> =
        arrows.keys().flat_map(|file| file.match_indices('/').map(|(at, _)| &file[..=at])).collect();
    let mut text = String::new();
    for folder in folders.into_iter().chain([""]) {
        let room = |file: &str| -> Option<String> {
            let rest = file.strip_prefix(folder)?;
            Some(rest.split_once('/').map_or(rest, |(room, _)| room).to_owned())
        };
        let mut of_rooms: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut ties: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for (file, targets) in &arrows {
            let Some(from) = room(file) else { continue };
            let entry = of_rooms.entry(from.clone()).or_default();
            for target in targets {
                if let Some(to) = room(target).filter(|to| *to != from) {
                    ties.entry((from.clone(), to.clone())).or_default().push(format!("{file} -> {target}"));
                    entry.insert(to);
                }
            }
        }
        for circle in circles(&of_rooms) {
            writeln!(text, "\nin src/{folder}: a circle of {circle:?}").unwrap();
            for ((from, to), files) in &ties {
                if circle.contains(from) && circle.contains(to) {
                    writeln!(text, "  {from} -> {to}: {}", files.join(", ")).unwrap();
                }
            }
        }
    }
    assert!(text.is_empty(), "{text}");
}

#[test]
fn links_and_named_pages_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("Cargo.toml")];
    for folder in ["docs", "examples", "src", "install"] {
        below(&root.join(folder), &["md", "rs", "sh"], &mut pages);
    }
    let entries = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    pages.extend(entries.filter(|path| path.extension().is_some_and(|end| end == "md")));
    let link = Regex::new(r"\]\(([^)#\s]+)(?:#[^)]*)?\)").unwrap();
    let named = Regex::new(r"\bdocs/[\w/.-]*\w").unwrap();
    let mut dead = Vec::new();
    for page in &pages {
        let text = fs::read_to_string(page).unwrap();
        let is_page = page.extension().is_some_and(|end| end == "md");
        let links = link
            .captures_iter(&text)
            .map(|found| found.get(1).unwrap().as_str())
            .filter(|to| is_page && !to.contains(':'));
        let beside = links.map(|to| (to, page.parent().unwrap().join(to)));
        let from_root = named.find_iter(&text).map(|found| (found.as_str(), root.join(found.as_str())));
        for (to, path) in beside.chain(from_root) {
            if !path.exists() {
                dead.push(format!("{}: {to}", page.strip_prefix(root).unwrap().display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

/// CONTRIBUTING.md sends nobody to a file that has moved. `NAME` and `NNNN` stand for what is to be made.
#[test]
fn the_files_that_contributing_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("CONTRIBUTING.md")).unwrap();
    let named = Regex::new(r"`((?:\./|\.ci/|src/|tests/|docs/|install/)[\w/.-]*)`").unwrap();
    let paths: BTreeSet<&str> = named.captures_iter(&text).map(|found| found.get(1).unwrap().as_str()).collect();
    assert!(paths.len() > 40, "{paths:?}");
    let is_there = |path: &str| {
        let folder = path.contains("NAME") || path.contains("NNNN");
        let path = root.join(path);
        if folder { path.parent().unwrap().is_dir() } else { path.exists() }
    };
    let gone: Vec<_> = paths.iter().filter(|path| !is_there(path)).collect();
    assert!(gone.is_empty(), "{gone:?}");
}

/// A stage of `install/test.sh` is not left out because a file on which it depends has moved.
#[test]
fn the_files_that_decide_whether_a_stage_runs_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = Command::new(root.join("install/test.sh")).arg("--files").output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let stages: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(stages.iter().any(|stage| stage[0] == "spark" && stage.len() > 10), "{listed}");
    let named = stages.iter().flat_map(|stage| stage[1..].iter().map(move |path| (stage[0], *path)));
    let gone: Vec<_> = named.filter(|(_, path)| !root.join(path).exists()).collect();
    assert!(gone.is_empty(), "{gone:?}");
}

/// Whether the reading of sources, on which all of this rests, sees what it should.
#[test]
fn the_sources_are_read_as_they_are() {
    let code = without_tests(&without_comments_and_texts(
        "use crate::a::{b, c::{self, d as e}}; // crate::no\nfn f<'a>() { super::g::h('\"', \"crate::no\"); }\n\
         #[cfg(test)]\nmod tests { use crate::no; }\nuse self::last;",
    ));
    let mut source = Source { code, ..Source::default() };
    read_uses(&mut source);
    let uses: Vec<String> = source.uses.iter().map(|path| path.join("::")).collect();
    assert_eq!(uses, ["crate::a::b", "crate::a::c", "crate::a::c::d", "self::last", "super::g::h"]);
    assert!(SOURCES.len() > 100);
}

// ---- reading --------------------------------------------------------------------------------------------------------

fn read_sources() -> Sources {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    below(&root, &["rs"], &mut files);
    let mut sources = Sources::new();
    for path in files {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let mut module: Vec<String> = name.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if module.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
            module.pop();
        }
        // A module that is wholly of tests.
        if ["tests", "query_plans"].contains(&module.last().map_or("", String::as_str)) || name == "main.rs" {
            continue;
        }
        let mut source =
            Source { module, code: without_tests(&without_comments_and_texts(&text)), ..Source::default() };
        read_uses(&mut source);
        sources.insert(name, source);
    }
    sources
}

fn below(folder: &Path, ends: &[&str], files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            below(&path, ends, files);
        } else if path.extension().is_some_and(|end| ends.iter().any(|&wanted| end == wanted)) {
            files.push(path);
        }
    }
}

fn without_comments_and_texts(text: &str) -> String {
    let skipped = Regex::new(
        r#"(?sx) //[^\n]* | /\*.*?\*/ | b?r\#\#"  .*? "\#\# | b?r\#" .*? "\# | b?r" [^"]* " | b?" (?:\\.|[^"\\])* " | b?'(?:\\.[^']*|[^'\\])' "#,
    )
    .unwrap();
    skipped.replace_all(text, " ").into_owned()
}

/// Without the items that are compiled for tests only.
fn without_tests(code: &str) -> String {
    let mut rest = code;
    let mut kept = String::new();
    while let Some(at) = rest.find("#[cfg(test)]") {
        kept.push_str(&rest[..at]);
        let item = &rest[at..];
        let mut depth = 0;
        let mut end = item.len();
        for (at, c) in item.char_indices().skip("#[cfg(test)]".len()) {
            match c {
                '{' | '[' | '(' => depth += 1,
                '}' | ']' | ')' => depth -= 1,
                _ => {}
            }
            if depth == 0 && (c == '}' || c == ';') {
                end = at + 1;
                break;
            }
        }
        rest = &item[end..];
    }
    kept + rest
}

fn read_uses(source: &mut Source) {
    let statement = Regex::new(r"(?s)\b(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);").unwrap();
    let code = source.code.clone();
    for found in statement.captures_iter(&code) {
        let mut paths = Vec::new();
        expand(&found[2], &[], &mut paths);
        for (path, name) in paths {
            if found.get(1).is_some() {
                source.names.push((name, path));
            } else {
                source.uses.push(path);
            }
        }
    }
    let rest =
        Regex::new(r"pub\(in [^)]*\)").unwrap().replace_all(&statement.replace_all(&code, ""), "pub").into_owned();
    let inline = Regex::new(r"\b(?:crate|super|self)(?:\s*::\s*\w+)+").unwrap();
    let segments = |path: &str| path.split("::").map(|part| part.trim().to_owned()).collect::<Vec<_>>();
    source.uses.extend(inline.find_iter(&rest).map(|found| segments(found.as_str())));
    let module = Regex::new(r"\bmod\s+(\w+)\s*;").unwrap();
    for child in module.captures_iter(&rest) {
        let of_child = Regex::new(&format!(r"(?:^|[^:\w])({}(?:::\w+)+)", &child[1])).unwrap();
        for found in of_child.captures_iter(&rest) {
            source.uses.push([vec!["self".to_owned()], segments(&found[1])].concat());
        }
    }
}

/// The paths of a `use` tree, each with the name that it has from then on.
fn expand(tree: &str, before: &[String], paths: &mut Vec<(Vec<String>, String)>) {
    let tree = tree.trim();
    if tree.is_empty() {
        return;
    }
    if let Some((head, inner)) = tree.split_once('{') {
        let head: Vec<String> =
            head.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let before = [before, &head].concat();
        let inner = &inner[..inner.rfind('}').unwrap()];
        let (mut depth, mut start) = (0, 0);
        for (at, c) in inner.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    expand(&inner[start..at], &before, paths);
                    start = at + 1;
                }
                _ => {}
            }
        }
        expand(&inner[start..], &before, paths);
        return;
    }
    let (path, name) = tree.split_once(" as ").map_or((tree, None), |(path, name)| (path, Some(name.trim())));
    let mut path: Vec<String> =
        [before, &path.split("::").map(|part| part.trim().to_owned()).collect::<Vec<_>>()].concat();
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let name = name.map_or_else(|| path.last().unwrap().clone(), str::to_owned);
    paths.push((path, name));
}

// ---- the graph ------------------------------------------------------------------------------------------------------

/// Which files each file uses.
fn arrows(sources: &Sources) -> BTreeMap<String, BTreeSet<String>> {
    let by_module: BTreeMap<&[String], &String> =
        sources.iter().map(|(file, source)| (source.module.as_slice(), file)).collect();
    sources
        .iter()
        .map(|(file, source)| {
            let targets = source.uses.iter().filter_map(|path| target(path, source, sources, &by_module, 0));
            (file.clone(), targets.filter(|to| to != file && to != "lib.rs").collect())
        })
        .collect()
}

fn target(
    path: &[String],
    from: &Source,
    sources: &Sources,
    by_module: &BTreeMap<&[String], &String>,
    depth: usize,
) -> Option<String> {
    let mut at = from.module.clone();
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" => {
            at.clear();
            rest = &path[1..];
        }
        "self" => rest = &path[1..],
        "super" => {
            while let Some((_, tail)) = rest.split_first().filter(|(first, _)| *first == "super") {
                at.pop();
                rest = tail;
            }
        }
        child => {
            at.push(child.to_owned());
            by_module.get(at.as_slice())?;
            rest = &path[1..];
        }
    }
    while let Some((next, tail)) = rest.split_first() {
        at.push(next.clone());
        if by_module.contains_key(at.as_slice()) {
            rest = tail;
        } else {
            at.pop();
            break;
        }
    }
    let file = *by_module.get(at.as_slice())?;
    let here = &sources[file];
    let renamed = rest.first().filter(|_| depth < 8).and_then(|name| {
        let (_, origin) = here.names.iter().find(|(other, _)| other == name)?;
        target(origin, here, sources, by_module, depth + 1)
    });
    Some(renamed.unwrap_or_else(|| file.clone()))
}

fn belongs_to(file: &str, folder: &str) -> bool {
    file == folder || file == format!("{folder}.rs") || file.starts_with(&format!("{folder}/"))
}

/// The narrowest rule that is of a file.
fn rule_of(file: &str) -> Option<(&'static str, &'static [&'static str])> {
    let of_it = MAY_USE.iter().filter(|(folder, _)| belongs_to(file, folder));
    of_it.max_by_key(|(folder, _)| folder.len()).copied()
}

/// The files that reach one another, for each such set of more than one.
fn circles(arrows: &BTreeMap<String, BTreeSet<String>>) -> Vec<BTreeSet<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> = arrows.keys().map(|file| (file, reach(file, arrows))).collect();
    let mut found: Vec<BTreeSet<String>> = Vec::new();
    for file in arrows.keys() {
        if found.iter().any(|circle| circle.contains(file)) {
            continue;
        }
        let circle: BTreeSet<String> =
            reached[file].iter().filter(|other| reached[**other].contains(file)).map(|&other| other.clone()).collect();
        if circle.len() > 1 {
            found.push(circle);
        }
    }
    found
}

fn reach<'a>(file: &String, arrows: &'a BTreeMap<String, BTreeSet<String>>) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&String> = arrows[file].iter().collect();
    while let Some(next) = open.pop() {
        if reached.insert(next) {
            open.extend(arrows.get(next).into_iter().flatten());
        }
    }
    reached
}
