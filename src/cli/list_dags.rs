//! `crondag list_dags`

use std::process::ExitCode;

use serde::Serialize;

use super::context::Global;
use crate::app::App;

use super::error::CliError;
use super::output::{Cell, Page, Table, Tone, print_json};
use crate::app::times::{minute, rfc3339};
use crate::dag::schedule::Timetable;
use crate::dag::{Dag, DagId};
use crate::store::{RunFilter, RunRow, Store};

/// Options of `list_dags`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag list_dags\n  crondag list_dags --tag finance --json")]
pub struct Args {
    /// Only DAGs with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    dag_id: String,
    description: Option<String>,
    owner: Option<String>,
    tags: Vec<String>,
    schedule: Option<String>,
    timezone: Option<String>,
    is_paused: bool,
    next_fire_time: Option<String>,
    last_run_state: Option<&'static str>,
    last_run_logical_date: Option<String>,
    fault: Option<String>,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let store = app.store()?;
    let mut page = Page::new();
    let mut table = Table::new(&["dag", "schedule", "next start", "last run", "owner", "tags"]);
    let mut rows = Vec::new();
    let mut faulty = 0;
    for file in app.dag_files()? {
        let row = match (&store, &file.dag_id) {
            (Some(store), Some(id)) => store.dag(id)?,
            _ => None,
        };
        let is_paused = row.is_some_and(|row| row.is_paused);
        let last = match &file.dag_id {
            Some(id) => last_run(store.as_ref(), id)?,
            None => None,
        };
        let id = &file.name;
        match &file.dag {
            Ok(dag) => {
                if args.tag.as_ref().is_some_and(|tag| !dag.tags.contains(tag)) {
                    continue;
                }
                let next = Timetable::of(&dag).next_interval(app.now).map(|interval| interval.end);
                let next_cell = match (is_paused, next) {
                    (true, _) => Cell::new("paused", Tone::Yellow),
                    (false, Some(next)) => minute(next, &dag.timezone).into(),
                    (false, None) => Cell::new("-", Tone::Dim),
                };
                table.row(vec![
                    id.to_string().into(),
                    dag.schedule.as_ref().map_or("-", |schedule| schedule.text()).into(),
                    next_cell,
                    last_cell(last.as_ref()),
                    dag.owner.clone().unwrap_or_default().into(),
                    dag.tags.join(", ").into(),
                ]);
                rows.push(good(&app, &dag, is_paused, next.map(|next| rfc3339(next, &dag.timezone)), last.as_ref()));
            }
            // Whether it has the tag, nobody can say.
            Err(_) if args.tag.is_some() => {}
            Err(file) => {
                faulty += 1;
                let errors = file.errors();
                let what = if errors == 1 { "1 fault".to_owned() } else { format!("{errors} faults") };
                table.row(vec![
                    Cell::new(id.clone(), Tone::Red),
                    Cell::new("faulty", Tone::Red),
                    Cell::new(what, Tone::Red),
                    last_cell(last.as_ref()),
                    "".into(),
                    "".into(),
                ]);
                rows.push(Row {
                    dag_id: id.to_string(),
                    description: None,
                    owner: None,
                    tags: Vec::new(),
                    schedule: None,
                    timezone: None,
                    is_paused,
                    next_fire_time: None,
                    last_run_state: last.as_ref().map(|run| run.state.as_str()),
                    last_run_logical_date: last.as_ref().map(|run| rfc3339(run.logical_date, &app.default_zone())),
                    fault: Some(file.first()),
                });
            }
        }
    }
    if args.json {
        print_json(&rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    if table.is_empty() {
        page.line(format!("no DAG files in {}", app.home.dags_dir().display()));
        page.next("write one, then `crondag validate`");
    } else {
        page.table(&table);
    }
    if faulty > 0 {
        page.gap();
        page.next("crondag validate");
    }
    page.print()?;
    Ok(ExitCode::SUCCESS)
}

fn last_run(store: Option<&Store>, id: &DagId) -> Result<Option<RunRow>, CliError> {
    let Some(store) = store else { return Ok(None) };
    let newest = RunFilter { dag_id: Some(id.clone()), limit: Some(1), ..RunFilter::default() };
    Ok(store.runs(&newest)?.pop())
}

fn last_cell(run: Option<&RunRow>) -> Cell {
    match run {
        Some(run) => Cell::new(run.state.as_str(), Tone::of_run(run.state)),
        None => Cell::new("-", Tone::Dim),
    }
}

fn good(app: &App, dag: &Dag, is_paused: bool, next_fire_time: Option<String>, last: Option<&RunRow>) -> Row {
    let zone = dag.timezone.iana_name().or_else(|| {
        // The machine's zone may have no name; its offsets are in the times.
        app.config.timezone.as_ref().and_then(|zone| zone.iana_name())
    });
    Row {
        dag_id: dag.id.to_string(),
        description: dag.description.clone(),
        owner: dag.owner.clone(),
        tags: dag.tags.clone(),
        schedule: dag.schedule.as_ref().map(|schedule| schedule.text().to_owned()),
        timezone: zone.map(ToOwned::to_owned),
        is_paused,
        next_fire_time,
        last_run_state: last.map(|run| run.state.as_str()),
        last_run_logical_date: last.map(|run| rfc3339(run.logical_date, &dag.timezone)),
        fault: None,
    }
}
