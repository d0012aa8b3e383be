//! `docs/reference/commands.md` is what the program itself says. `UPDATE=1 cargo test --test commands_page` writes it anew.

#![allow(clippy::unwrap_used)] // a test may fail

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

fn help(args: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_crondag")).args(args).arg("--help").env("COLUMNS", "100").output().unwrap();
    assert!(output.status.success(), "{args:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_page_of_commands_is_current() {
    let top = help(&[]);
    let mut page = format!(
        "# Commands\n\n<!-- Made by `UPDATE=1 cargo test --test commands_page`; do not edit. -->\n\n```\n{}\n```\n",
        top.trim_end()
    );
    let names = top
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help");
    let mut count = 0;
    for name in names {
        write!(page, "\n## {name}\n\n```\n{}\n```\n", help(&[name]).trim_end()).unwrap();
        count += 1;
    }
    assert!(count > 20, "{count}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/commands.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == page, "docs/reference/commands.md is stale: run `UPDATE=1 cargo test --test commands_page`");
}
