//! `crondag show`

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::ValueEnum;

use super::context::Global;
use super::error::CliError;
use super::layout::width;
use super::output::{Cell, Page, Table, Tone, print_json};
use crate::app::query::graph::{of_run, tasks_of_dag};
use crate::dag::{Dag, TaskId, TaskState, TriggerRule};

/// Options of `show`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  crondag show userprofile\n  crondag show userprofile 20180701     with the states of that run\n  \
                        crondag show userprofile --format dot | dot -Tsvg > userprofile.svg"
)]
pub struct Args {
    /// The DAG
    dag: String,
    /// Colour the tasks by their states in this run
    #[arg(value_name = "DATE|RUN_ID")]
    run: Option<String>,
    /// What to draw it as
    #[arg(long, default_value = "text")]
    format: Format,
    /// Print the tasks and their edges as JSON
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For the terminal
    Text,
    /// For Graphviz
    Dot,
    /// For Markdown
    Mermaid,
}

type States = BTreeMap<TaskId, TaskState>;

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let (dag, heading, states) = match &args.run {
        None => (app.dag(&args.dag)?, None, None),
        Some(run) => {
            let graph = of_run(&app, &app.dag_id(&args.dag)?, run)?;
            let heading = format!("{}: {}", graph.logical_date.minute(), graph.state);
            (graph.dag, Some(heading), Some(graph.states))
        }
    };
    if args.json {
        print_json(&tasks_of_dag(&dag))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut page = Page::new();
    match args.format {
        Format::Text => text(&dag, heading.as_deref(), states.as_ref(), &mut page),
        Format::Dot => dot(&dag, states.as_ref(), &mut page),
        Format::Mermaid => mermaid(&dag, states.as_ref(), &mut page),
    }
    page.print()?;
    Ok(ExitCode::SUCCESS)
}

/// The graph in layers, a task's layer being the longest way to it; each task with what it waits for.
fn text(dag: &Dag, heading: Option<&str>, states: Option<&States>, page: &mut Page) {
    let schedule = dag.schedule.as_ref().map_or("no schedule", |schedule| schedule.text());
    let name = page.paint(Tone::Bold, dag.id.as_str());
    page.line(format!("{name}  {schedule} ({})", crate::app::times::zone_name(&dag.timezone)));
    if let Some(description) = &dag.description {
        page.line(description);
    }
    if let Some(heading) = heading {
        page.line(heading);
    }
    page.gap();
    let layers = layers(dag);
    let widest = dag.tasks.iter().map(|task| width(task.id.as_str())).max().unwrap_or(0);
    let mut table = Table::new(&["layer", "task", "runs", "state", "waits for"]).without_at_need(&["runs"]);
    for (number, layer) in layers.iter().enumerate() {
        for (nth, &index) in layer.iter().enumerate() {
            let task = &dag.tasks[index];
            let corner = match (nth, layer.len()) {
                (_, 1) => "─",
                (0, _) => "┌",
                (nth, len) if nth + 1 == len => "└",
                _ => "├",
            };
            let label = if nth == 0 { (number + 1).to_string() } else { String::new() };
            let upstream: Vec<&str> =
                dag.graph.upstream(index).iter().map(|&task| dag.tasks[task].id.as_str()).collect();
            let mut waits = upstream.join(", ");
            if task.trigger_rule != TriggerRule::default() {
                let rule = task.trigger_rule.as_str();
                waits = if waits.is_empty() { format!("nothing ({rule})") } else { format!("{waits} ({rule})") };
            }
            let state = states.map(|states| states.get(&task.id).copied().unwrap_or(TaskState::None));
            table.row(vec![
                Cell::new(format!("{label:>4} {corner}"), Tone::Dim),
                Cell::new(format!("{:widest$}", task.id.as_str()), state.map_or(Tone::Plain, Tone::of_task)),
                Cell::new(task.action.kind().as_str(), Tone::Dim),
                match state {
                    None => "".into(),
                    Some(TaskState::None) => Cell::new("-", Tone::Dim),
                    Some(state) => Cell::new(state.as_str(), Tone::of_task(state)),
                },
                if waits.is_empty() { Cell::new("nothing", Tone::Dim) } else { waits.into() },
            ]);
        }
    }
    page.table(&table);
}

/// The tasks by the length of the longest way to them, each layer in the order of the file.
fn layers(dag: &Dag) -> Vec<Vec<usize>> {
    let mut depth = vec![0; dag.tasks.len()];
    for &task in dag.graph.order() {
        depth[task] = dag.graph.upstream(task).iter().map(|&above| depth[above] + 1).max().unwrap_or(0);
    }
    let mut layers = vec![Vec::new(); depth.iter().max().map_or(0, |deepest| deepest + 1)];
    for (task, &depth) in depth.iter().enumerate() {
        layers[depth].push(task);
    }
    layers
}

fn fill(state: TaskState) -> Option<&'static str> {
    match state {
        TaskState::None => None,
        TaskState::Running => Some("#a5f3fc"),
        TaskState::UpForRetry => Some("#fde68a"),
        TaskState::UpForReschedule => Some("#ddd6fe"),
        TaskState::Success => Some("#bbf7d0"),
        TaskState::Failed => Some("#fecaca"),
        TaskState::Skipped => Some("#fbcfe8"),
        TaskState::UpstreamFailed => Some("#fed7aa"),
    }
}

fn edges(dag: &Dag) -> impl Iterator<Item = (usize, usize)> + '_ {
    dag.graph.order().iter().flat_map(|&from| dag.graph.downstream(from).iter().map(move |&to| (from, to)))
}

fn dot(dag: &Dag, states: Option<&States>, page: &mut Page) {
    // Ids hold letters, digits, `_`, `-` and `.` only, so quotes suffice.
    page.raw(format!("digraph \"{}\" {{", dag.id));
    page.raw("  rankdir=LR;");
    page.raw("  node [shape=box, style=\"rounded,filled\", fillcolor=white, fontname=\"sans-serif\"];");
    for &index in dag.graph.order() {
        let task = &dag.tasks[index];
        let mut attributes = Vec::new();
        if task.trigger_rule != TriggerRule::default() {
            attributes.push(format!("label=\"{}\\n{}\"", task.id, task.trigger_rule.as_str()));
        }
        if let Some(colour) = states.and_then(|states| states.get(&task.id)).and_then(|&state| fill(state)) {
            attributes.push(format!("fillcolor=\"{colour}\""));
        }
        let attributes = if attributes.is_empty() { String::new() } else { format!(" [{}]", attributes.join(", ")) };
        page.raw(format!("  \"{}\"{attributes};", task.id));
    }
    for (from, to) in edges(dag) {
        page.raw(format!("  \"{}\" -> \"{}\";", dag.tasks[from].id, dag.tasks[to].id));
    }
    page.raw("}");
}

fn mermaid(dag: &Dag, states: Option<&States>, page: &mut Page) {
    page.raw("flowchart LR");
    for &index in dag.graph.order() {
        let task = &dag.tasks[index];
        let rule = if task.trigger_rule == TriggerRule::default() {
            String::new()
        } else {
            format!("<br/><i>{}</i>", task.trigger_rule.as_str())
        };
        // Mermaid has reserved words such as `end`; numbered nodes cannot meet them.
        page.raw(format!("  t{index}[\"{}{rule}\"]", task.id));
        if let Some(colour) = states.and_then(|states| states.get(&task.id)).and_then(|&state| fill(state)) {
            page.raw(format!("  style t{index} fill:{colour}"));
        }
    }
    for (from, to) in edges(dag) {
        page.raw(format!("  t{from} --> t{to}"));
    }
}
