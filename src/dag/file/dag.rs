//! A DAG file, from its text to a [`Dag`].

use std::collections::HashMap;
use std::path::Path;

use jiff::tz::TimeZone;
use toml::de::DeTable;

use super::document::{parse, settle};
use super::edges::Edges;
use super::fault::{Fault, Severity};
use super::field::DAG;
use super::newline;
use super::reader::{At, Open, Reader};
use super::surroundings::Surroundings;
use super::task::{self, Defaults};
use super::unknown_key::unknown_key;
use super::value::bad_variable;
use crate::dag::graph::Graph;
use crate::dag::model::{Action, Overlap, Task};
use crate::dag::schedule::DateBound;
use crate::dag::template::Checker;
use crate::dag::{Config, Dag, DagId};

/// Reads a DAG file.
///
/// `id` is the stem of the file's name. `exists` is asked about paths as the file has them, relative to the home or
/// absolute. The DAG is `None` when any fault is an error; warnings may come with a DAG. Faults are sorted by place.
pub fn read_dag(id: &str, text: &str, config: &Config, exists: &dyn Fn(&Path) -> bool) -> (Option<Dag>, Vec<Fault>) {
    newline::normalised(text, |text| read_text(id, text, config, exists))
}

fn read_text(id: &str, text: &str, config: &Config, exists: &dyn Fn(&Path) -> bool) -> (Option<Dag>, Vec<Fault>) {
    let mut reader = Reader::new(text, unknown_key);
    let id = match DagId::new(id) {
        Ok(id) => Some(id),
        Err(wrong) => {
            reader.push(
                Fault::of_file(
                    "bad-dag-id",
                    format!("`{}` cannot be the id of a DAG", id.replace(char::is_control, "?")),
                )
                .help(wrong.to_string())
                .help("the id is the name of the file without `.toml`: rename the file"),
            );
            None
        }
    };
    let root = parse(&mut reader);
    let dag = read(&mut reader, root.get_ref(), id, config, exists);
    let faults = settle(text, reader.faults);
    let is_good = !faults.iter().any(|fault| fault.severity == Severity::Error);
    (dag.filter(|_| is_good), faults)
}

fn read<'f>(
    reader: &mut Reader<'f>,
    root: &DeTable<'f>,
    id: Option<DagId>,
    config: &Config,
    exists: &dyn Fn(&Path) -> bool,
) -> Option<Dag> {
    let is_blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    if root.is_empty() && reader.faults.is_empty() && reader.text.trim_start_matches('\u{feff}').lines().all(is_blank) {
        reader.push(
            Fault::of_file("no-tasks", "the file is empty, and a DAG needs at least one task")
                .help("write for example\n[tasks.hello]\nshell = \"echo hello\""),
        );
        return None;
    }
    let open = reader.open(&DAG, root, 0..0);
    let zone = reader.zone(&open, "timezone");
    let timezone = zone.unwrap_or_else(|| config.default_zone().clone());
    let params = reader.values(&open, "params").unwrap_or_default();
    reader.checker = Some(Checker::new(&params, &config.vars, config.secrets.keys()));
    let start_date = reader.date(&open, "start_date");
    let end_date = reader.date(&open, "end_date");
    let catchup = reader.flag(&open, "catchup").unwrap_or(false);
    let max_active_runs = reader.count(&open, "max_active_runs");
    let overlap = overlap(reader, &open, catchup, max_active_runs);
    check_bounds(reader, start_date.as_ref(), end_date.as_ref(), &timezone);
    let dag = Dag {
        id: id?,
        description: reader.text(&open, "description").map(|text| text.value),
        owner: reader.text(&open, "owner").map(|text| text.value),
        tags: reader.list(&open, "tags"),
        schedule: reader.schedule(&open, "schedule"),
        timezone,
        start_date: start_date.map(|date| date.value),
        end_date: end_date.map(|date| date.value),
        catchup,
        jitter: reader.span_of_time(&open, "jitter"),
        max_active_runs: max_active_runs.unwrap_or(16),
        overlap,
        max_active_tasks: reader.count(&open, "max_active_tasks").unwrap_or(16),
        run_timeout: reader.span_of_time(&open, "run_timeout"),
        params,
        env: reader.text_map(&open, "env", bad_variable).unwrap_or_default(),
        tasks: Vec::new(),
        graph: Graph::default(),
    };
    warn_of_catchup(reader, &open, &dag);
    let defaults = match open.get("defaults").cloned() {
        Some(entry) => reader.table(&entry).map(|open| task::read_defaults(reader, &open)).unwrap_or_default(),
        None => Defaults::default(),
    };
    let surroundings = Surroundings { dag: dag.id.as_str(), config, spark: &defaults.spark, exists, checks: &[] };
    let (tasks, graph) = read_tasks(reader, &open, &defaults, &surroundings)?;
    warn_of_baselines(reader, &open, &dag, &tasks);
    Some(Dag { tasks, graph, ..dag })
}

fn check_bounds(reader: &mut Reader<'_>, start: Option<&At<DateBound>>, end: Option<&At<DateBound>>, zone: &TimeZone) {
    if let (Some(start), Some(end)) = (start, end)
        && end.value.last_instant(zone) < start.value.first_instant(zone)
    {
        reader.push(
            Fault::error(
                "end-before-start",
                end.span.clone(),
                "`end_date` is before `start_date`, so this DAG never runs",
                "the last logical date",
            )
            .also(start.span.clone(), "the first logical date")
            .help("correct one of the two, or leave `end_date` out"),
        );
    }
}

/// Whoever says that several runs may run at once wants them to.
fn overlap<'f>(reader: &mut Reader<'f>, open: &Open<'_, 'f>, catchup: bool, max_active_runs: Option<u32>) -> Overlap {
    let Some(word) = reader.choice(open, "overlap") else {
        return if max_active_runs.is_some_and(|most| most > 1) { Overlap::Allow } else { Overlap::Wait };
    };
    let overlap = Overlap::parse(word.value).unwrap_or_default();
    let leaves_out = match overlap {
        Overlap::Skip | Overlap::Replace => true,
        Overlap::Wait | Overlap::Allow => false,
    };
    if catchup
        && leaves_out
        && let Some(entry) = open.get("catchup")
    {
        let message = format!("`overlap = \"{}\"` leaves out runs that `catchup = true` promises", word.value);
        reader.push(
            Fault::error("overlap-with-catchup", word.span, message, "a run that finds another going on is not done")
                .also(entry.key.clone(), "every interval is to run")
                .help("write overlap = \"wait\", or leave `catchup` out"),
        );
    }
    overlap
}

fn warn_of_catchup(reader: &mut Reader<'_>, open: &Open<'_, '_>, dag: &Dag) {
    if let Some(entry) = open.get("catchup")
        && dag.catchup
        && dag.schedule.is_some()
        && open.lacks("start_date")
    {
        let message = "`catchup` without `start_date`";
        reader.push(
            Fault::warning("catchup-without-start", entry.key.clone(), message, "from when on?")
                .help("only intervals after the file was first seen are caught up: set `start_date`"),
        );
    }
}

/// A baseline is made of the dates before: they must have been checked before.
fn warn_of_baselines(reader: &mut Reader<'_>, open: &Open<'_, '_>, dag: &Dag, tasks: &[Task]) {
    if dag.max_active_runs == 1 {
        return;
    }
    let needs_past = |task: &Task| match &task.action {
        Action::Check(check) => check.rules.rules.iter().any(|rule| rule.max_change.or(rule.max_deviations).is_some()),
        _ => false,
    };
    let Some(task) = tasks.iter().find(|task| needs_past(task) && !task.depends_on_past) else { return };
    let place = open.get("max_active_runs").or_else(|| open.get("tasks")).map_or(0..0, |entry| entry.key.clone());
    let message = format!("check `{}` compares dates, and dates may run side by side or out of order", task.id);
    reader.push(
        Fault::warning("check-out-of-order", place, message, "its baseline depends on which date is checked first")
            .help(format!("write max_active_runs = 1 for the DAG, or depends_on_past = true for `{}`", task.id)),
    );
}

fn read_tasks<'f>(
    reader: &mut Reader<'f>,
    open: &Open<'_, 'f>,
    defaults: &Defaults,
    surroundings: &Surroundings<'_>,
) -> Option<(Vec<Task>, Graph)> {
    let tables = if let Some(entry) = open.get("tasks").cloned() {
        let before = reader.faults.len();
        let tables = reader.tables(&entry);
        if tables.is_empty() && reader.faults.len() == before {
            reader.push(no_tasks(entry.key));
        }
        tables
    } else {
        if open.lacks("tasks") {
            reader.push(no_tasks(0..0));
        }
        Vec::new()
    };
    let index: HashMap<&str, usize> = tables.iter().enumerate().map(|(index, (name, _))| (name.value, index)).collect();
    let mut edges = Edges::new(&index, tables.iter().map(|(name, _)| name.value.to_owned()).collect());
    for (chain, places) in reader.strings_with_places(open, "order") {
        edges.add_chain(reader, &chain, &places);
    }
    let has_check = |table: &Option<Open<'_, '_>>| table.as_ref().is_some_and(|table| table.get("check").is_some());
    let checks: Vec<&str> = tables.iter().filter(|(_, table)| has_check(table)).map(|(name, _)| name.value).collect();
    let surroundings = &Surroundings { checks: &checks, ..*surroundings };
    let mut tasks = Vec::with_capacity(tables.len());
    for (position, (name, table)) in tables.iter().enumerate() {
        let Some(table) = table else { continue };
        let after = reader.task_ids(table, "after");
        edges.add_after(reader, position, &after);
        tasks.extend(task::read_task(reader, name, table, defaults, surroundings));
    }
    let graph = edges.graph(reader)?;
    if tasks.len() < tables.len() {
        return None;
    }
    let place = |task: usize| {
        let (name, table) = &tables[task];
        table.as_ref().and_then(|table| table.get("trigger_rule")).map_or(name.span.clone(), |rule| rule.value.span())
    };
    warn_of_runs_that_cannot_fail(reader, &tasks, &graph, &place);
    Some((tasks, graph))
}

/// The leaves of a DAG decide how its runs end. If all of them start after failures as well, no failure upstream is seen.
fn warn_of_runs_that_cannot_fail(
    reader: &mut Reader<'_>,
    tasks: &[Task],
    graph: &Graph,
    place: &dyn Fn(usize) -> std::ops::Range<usize>,
) {
    let leaves: Vec<usize> = (0..tasks.len()).filter(|&task| graph.is_leaf(task)).collect();
    let is_blind = |&leaf: &usize| !graph.upstream(leaf).is_empty() && !tasks[leaf].trigger_rule.minds_failures();
    let Some(&first) = leaves.first().filter(|_| leaves.iter().all(is_blind)) else { return };
    let names: Vec<String> = leaves.iter().map(|&leaf| format!("`{}`", tasks[leaf].id)).collect();
    let decides = if names.len() == 1 { "decides" } else { "decide" };
    let message =
        format!("a run of this DAG succeeds whatever fails before {}, which {decides} how it ends", names.join(", "));
    let above: Vec<String> = graph.upstream(first).iter().map(|&task| format!("\"{}\"", tasks[task].id)).collect();
    reader.push(
        Fault::warning("run-cannot-fail", place(first), message, "a failure upstream does not make it fail")
            .help("the failed tasks are shown beside the run's state all the same")
            .help(format!(
                "for runs that fail, let another task wait for those that must succeed, as\n[tasks.all_good]\nafter = [{}]\nshell = \"true\"",
                above.join(", ")
            )),
    );
}

fn no_tasks(at: std::ops::Range<usize>) -> Fault {
    let message = "this DAG has no tasks";
    let fault = if at.is_empty() {
        Fault::of_file("no-tasks", message)
    } else {
        Fault::error("no-tasks", at, message, "expected at least one [tasks.NAME]")
    };
    fault.help("write for example\n[tasks.hello]\nshell = \"echo hello\"")
}
