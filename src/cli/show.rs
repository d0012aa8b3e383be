//! `crondag show`

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::ValueEnum;

use super::context::Global;
use super::error::CliError;
use super::layout::width;
use super::output::{Cell, Page, Table, Tone, print_json};
use crate::app::query::graph::{GraphAnswer, GraphEdge, TaskDefinition, graph};
use crate::dag::{TaskId, TaskState};

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

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let graph = graph(&app, &args.dag, args.run.as_deref())?;
    if args.json {
        let tasks: Vec<&TaskDefinition> = graph.tasks.iter().map(|task| &task.definition).collect();
        print_json(&tasks)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut page = Page::new();
    match args.format {
        Format::Text => text(&graph, &mut page),
        Format::Dot => dot(&graph, &mut page),
        Format::Mermaid => mermaid(&graph, &mut page),
    }
    page.print()?;
    Ok(ExitCode::SUCCESS)
}

/// The graph in layers, each task with what it waits for.
fn text(graph: &GraphAnswer, page: &mut Page) {
    let schedule = graph.schedule.as_deref().unwrap_or("no schedule");
    let name = page.paint(Tone::Bold, graph.dag_id.as_str());
    page.line(format!("{name}  {schedule} ({})", graph.timezone));
    if let Some(description) = &graph.description {
        page.line(description);
    }
    if let Some(run) = &graph.run {
        page.line(format!("{}: {}", run.logical_date.minute(), run.state));
    }
    page.gap();
    let widest = graph.tasks.iter().map(|task| width(task.definition.task_id.as_str())).max().unwrap_or(0);
    let mut table = Table::new(&["layer", "task", "runs", "state", "waits for"]).without_at_need(&["runs"]);
    for (number, layer) in graph.layers().iter().enumerate() {
        for (nth, task) in layer.iter().enumerate() {
            let corner = match (nth, layer.len()) {
                (_, 1) => "─",
                (0, _) => "┌",
                (nth, len) if nth + 1 == len => "└",
                _ => "├",
            };
            let label = if nth == 0 { (number + 1).to_string() } else { String::new() };
            let TaskDefinition { task_id, action, trigger_rule: rule, upstream, .. } = &task.definition;
            let mut waits = upstream.iter().map(TaskId::as_str).collect::<Vec<_>>().join(", ");
            if task.has_own_rule {
                waits = if waits.is_empty() { format!("nothing ({rule})") } else { format!("{waits} ({rule})") };
            }
            table.row(vec![
                Cell::new(format!("{label:>4} {corner}"), Tone::Dim),
                Cell::new(format!("{:widest$}", task_id.as_str()), task.state.map_or(Tone::Plain, Tone::of_task)),
                Cell::new(*action, Tone::Dim),
                match task.state {
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

fn dot(graph: &GraphAnswer, page: &mut Page) {
    // Ids hold letters, digits, `_`, `-` and `.` only, so quotes suffice.
    page.raw(format!("digraph \"{}\" {{", graph.dag_id));
    page.raw("  rankdir=LR;");
    page.raw("  node [shape=box, style=\"rounded,filled\", fillcolor=white, fontname=\"sans-serif\"];");
    for task in &graph.tasks {
        let TaskDefinition { task_id, trigger_rule, .. } = &task.definition;
        let mut attributes = Vec::new();
        if task.has_own_rule {
            attributes.push(format!("label=\"{task_id}\\n{trigger_rule}\""));
        }
        if let Some(colour) = task.state.and_then(fill) {
            attributes.push(format!("fillcolor=\"{colour}\""));
        }
        let attributes = if attributes.is_empty() { String::new() } else { format!(" [{}]", attributes.join(", ")) };
        page.raw(format!("  \"{task_id}\"{attributes};"));
    }
    let ids: BTreeMap<usize, &TaskId> =
        graph.tasks.iter().map(|task| (task.number, &task.definition.task_id)).collect();
    for GraphEdge { from, to } in &graph.edges {
        page.raw(format!("  \"{}\" -> \"{}\";", ids[from], ids[to]));
    }
    page.raw("}");
}

fn mermaid(graph: &GraphAnswer, page: &mut Page) {
    page.raw("flowchart LR");
    for task in &graph.tasks {
        let TaskDefinition { task_id, trigger_rule, .. } = &task.definition;
        let rule = if task.has_own_rule { format!("<br/><i>{trigger_rule}</i>") } else { String::new() };
        // Mermaid has reserved words such as `end`; numbered nodes cannot meet them.
        let number = task.number;
        page.raw(format!("  t{number}[\"{task_id}{rule}\"]"));
        if let Some(colour) = task.state.and_then(fill) {
            page.raw(format!("  style t{number} fill:{colour}"));
        }
    }
    for GraphEdge { from, to } in &graph.edges {
        page.raw(format!("  t{from} --> t{to}"));
    }
}
