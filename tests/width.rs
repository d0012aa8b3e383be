//! What people read at a terminal of 60, 80, 100 and 200 columns, through a real one: no line is longer than the terminal but one
//! word that cannot be broken, no word is broken, and nothing is left out but columns that the page names.

#![allow(clippy::unwrap_used)] // a test may fail

mod common;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::LazyLock;

use common::{Home, on_terminal, until};
use regex::Regex;

const WIDTHS: [u16; 4] = [60, 80, 100, 200];

const CONFIG: &str = "[pools]\nyarn = 1\n[connections.warehouse]\ntype = 'sqlite'\npath = 'warehouse.db'\n";

const TAGS: &str = "
description = 'Tags of the users of all shops, from the purchases of a day'
owner = 'data-platform-of-the-east'
schedule = '0 7 * * *'
start_date = 2018-07-01
order = ['extract >> clean >> [activity_level, purchase_power] >> merge', 'merge >> counts']
[tasks.extract]
shell = 'true'
[tasks.clean]
shell = 'echo the table of the day before is not there and nobody knows why >&2; exit 3'
retries = 1
retry_delay = '10ms'
[tasks.activity_level]
shell = 'true'
[tasks.purchase_power]
shell = 'true'
[tasks.merge]
shell = 'true'
trigger_rule = 'all_done'
[tasks.counts]
trigger_rule = 'all_done'
[tasks.counts.check]
connection = 'warehouse'
query = \"SELECT 'activity_level' AS tag, 12 AS users\"
key = ['tag']
metrics = ['users']
[tasks.counts.check.rules]
users = { min = 100 }
";

/// Fails in a word that is longer than a narrow terminal.
const LONG: &str = "
schedule = '@hourly'
start_date = 2018-07-01
[tasks.a_task_with_a_name_that_says_everything_about_what_it_does]
shell = 'exit 1'
";

const WAITS: &str = "
schedule = '@daily'
start_date = 2018-07-01
[tasks.upstream]
wait = { file = '/nowhere/warehouse/dwd_order_detail/dt={{ ds }}/_SUCCESS', for_at_most = '6h' }
[tasks.load]
after = 'upstream'
shell = 'true'
";

const FAULTY: &str = "
schedule = '0 25 * * *'
ownr = 'nobody'
[tasks.a]
shell = 'true'
after = ['nothing_of_that_name_is_in_this_file', 'b']
";

/// A home with something of each kind in it, whose driver has gone.
fn home() -> Home {
    let home = Home::new()
        .config(CONFIG)
        .dag("user_profile_tags_of_all_shops", TAGS)
        .dag("b", LONG)
        .dag("waits", WAITS)
        .dag("faulty", FAULTY)
        .has_ticked();
    home.run("backfill -s 2018-07-01 -e 2018-07-03 user_profile_tags_of_all_shops");
    home.run("backfill -s 2018-07-01T00:00 -e 2018-07-01T00:00 b").code(1);
    home.run("trigger waits --date 2018-07-01").success();
    home.run("pause b").success();
    home.run("stop waits -y").success();
    until("the driver goes", || home.driver_pid().is_none());
    home
}

/// What is asked, what is ordered in vain, and what is typed wrongly.
const PAGES: &[&str] = &[
    "status",
    "list_dags",
    "runs",
    "runs b",
    "tasks user_profile_tags_of_all_shops",
    "tasks b",
    "next user_profile_tags_of_all_shops",
    "next b -n 3",
    "explain user_profile_tags_of_all_shops 2018-07-01",
    "explain user_profile_tags_of_all_shops 2018-07-01 clean",
    "explain waits",
    "explain waits 2018-07-01 load",
    "explain b 2018-07-01",
    "checks",
    "checks user_profile_tags_of_all_shops",
    "logs user_profile_tags_of_all_shops 2018-07-01",
    "diagnose user_profile_tags_of_all_shops clean 2018-07-01",
    "list_tasks user_profile_tags_of_all_shops",
    "show user_profile_tags_of_all_shops",
    "render user_profile_tags_of_all_shops clean 2018-07-01",
    "validate",
    "trigger user_profile_tags_of_all_shops --date 2018-07-09 --param nobody=knows",
    "backfill -s 2018-07-01 -e 2018-07-02 user_profile_tags_of_all_shops",
    "backfill -s 2018-06-01 -e 2018-07-02 user_profile_tags_of_all_shops --dry-run --rerun failed",
    "backfill -s 2017-06-01 -e 2017-07-02 user_profile_tags_of_all_shops",
    "clear nobody",
    "clear user_profile_tags_of_all_shops 2018-07-01",
    "mark user_profile_tags_of_all_shops 2018-07-01 nonsense",
    "runs user_profile_tags_of_all_shop",
    "tasks user_profile_tags_of_all_shops 2019-07-01",
    "logs b a_task_with_a_name_that_says_everything_about_what_it_doe",
    "gate user_profile_tags_of_all_shops 2018-07-01",
    "db check",
    "dag rename user_profile_tags_of_all_shops waits",
    "--home /nowhere/in/particular status",
    "nonsense",
    "backfill",
    "runs --state nonsense",
];

#[test]
fn pages_and_errors_fit_the_terminal() {
    let home = home();
    let misfits: String = PAGES.iter().map(|args| misfits_of(&home, args)).collect();
    assert!(misfits.is_empty(), "{misfits}");
}

#[test]
fn the_help_of_every_command_fits_the_terminal() {
    let home = Home::new();
    let help = home.run("--help").success().out();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = listed.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    let mut misfits = misfits_of(&home, "--help") + &misfits_of(&home, "");
    let mut count = 0;
    for name in names {
        misfits += &misfits_of(&home, &format!("{name} --help"));
        misfits += &misfits_of(&home, &format!("{name} -h"));
        count += 1;
    }
    assert!(count > 20, "{help}");
    assert!(misfits.is_empty(), "{misfits}");
}

/// What does not fit, at any width, with the page in which it stands.
fn misfits_of(home: &Home, args: &str) -> String {
    let said = |columns| plain(&on_terminal(&mut home.command(args), columns).1);
    // A line of it may be broken there, but no word.
    let whole = said(500);
    let known = words(&whole);
    let mut misfits = String::new();
    for columns in WIDTHS {
        let page = said(columns);
        let wide: Vec<&str> = page.lines().filter(|line| is_too_wide(line, columns.into())).collect();
        let broken: Vec<String> = words(&page).difference(&known).cloned().collect();
        let lacks: Vec<String> = known.difference(&words(&page)).cloned().collect();
        let is_shortened = page.contains("(too narrow for:");
        if !wide.is_empty() || !broken.is_empty() || (!lacks.is_empty() && !is_shortened) || page.is_empty() {
            let _ = write!(
                misfits,
                "--- `{args}` at {columns} columns\ntoo wide: {wide:#?}\nbroken: {broken:?}\nlacks: {lacks:?}\n{page}\n"
            );
        }
    }
    misfits
}

/// Without colours.
fn plain(output: &str) -> String {
    static COLOUR: LazyLock<Regex> = LazyLock::new(|| Regex::new("\x1b\\[[0-9;]*m").unwrap());
    COLOUR.replace_all(output, "").replace('\r', "")
}

/// The words of a page but those with which it says that it is narrow, and that end a broken command; what the clock changes
/// is the same in all.
fn words(page: &str) -> BTreeSet<String> {
    static CLOCK: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[0-9][0-9.:]*(ms|s|m|h|d)?\b").unwrap());
    let note = page.find("(too narrow for:").map(|at| at..page[at..].find(')').map_or(page.len(), |end| at + end + 1));
    let mut page = page.to_owned();
    if let Some(note) = note {
        page.replace_range(note, "");
    }
    let words = page.split_whitespace().filter(|word| *word != "\\");
    words.map(|word| CLOCK.replace_all(word, "0").into_owned()).collect()
}

/// One word behind its indentation may be as long as it is, and one that a command's end follows.
fn is_too_wide(line: &str, columns: usize) -> bool {
    let width = line.chars().count();
    width > columns && line.trim_end_matches(" \\").split_whitespace().count() > 1
}

#[test]
fn what_a_backfill_draws_while_it_goes_on_fits_the_terminal() {
    for columns in WIDTHS {
        let home = Home::new()
            .dag("user_profile_tags_of_all_shops", TAGS.replace("'true'", "'sleep 0.2'"))
            .config("[connections.warehouse]\ntype = 'sqlite'\npath = 'warehouse.db'\n")
            .has_ticked();
        // Some that have ended, and some that cannot run.
        home.run("backfill -s 2018-07-02 -e 2018-07-02 user_profile_tags_of_all_shops");
        let args = "backfill -s 2018-06-25 -e 2018-07-04 user_profile_tags_of_all_shops";
        let (_, drawn) = on_terminal(&mut home.command(args), columns);
        let drawn = steps(&drawn);
        let bars = drawn.lines().filter(|line| line.contains("/3 runs, ") || line.contains(" tasks, ")).count();
        assert!(bars > 2, "{columns}: {drawn}");
        let broken: Vec<&str> = drawn.lines().filter(|line| is_broken(line, columns.into())).collect();
        assert!(broken.is_empty(), "{columns}: {broken:#?}\n{drawn}");
    }
}

/// What was drawn, each movement of the cursor a new line.
fn steps(drawn: &str) -> String {
    static MOVEMENT: LazyLock<Regex> = LazyLock::new(|| Regex::new("\x1b\\[[0-9;?]*[A-Za-ln-z]|\r").unwrap());
    plain(&MOVEMENT.replace_all(drawn, "\n")).replace("\n\n", "\n")
}

/// What is drawn is filled up with spaces and goes on in the next line of the terminal by itself: no word may stand there.
fn is_broken(line: &str, columns: usize) -> bool {
    let line: Vec<char> = line.chars().collect();
    (columns..line.len()).step_by(columns).any(|edge| line[edge - 1] != ' ' && line[edge] != ' ')
}
