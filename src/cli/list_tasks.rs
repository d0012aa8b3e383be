//! `crondag list_tasks`

use std::process::ExitCode;

use super::context::Global;
use super::error::CliError;
use super::output::{Page, Tone, print_json};
use crate::app::query::graph::tasks_of_dag;
use crate::dag::Dag;

/// Options of `list_tasks`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag list_tasks userprofile\n  crondag list_tasks userprofile --tree")]
pub struct Args {
    /// The DAG
    dag: String,
    /// Show each task under those it waits for
    #[arg(long, conflicts_with = "json")]
    tree: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let dag = app.dag(&args.dag)?;
    if args.json {
        print_json(&tasks_of_dag(&dag))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut page = Page::new();
    if args.tree {
        tree(&dag, &mut page);
    } else {
        for &task in dag.graph.order() {
            page.line(dag.tasks[task].id.as_str());
        }
    }
    page.print()?;
    Ok(ExitCode::SUCCESS)
}

/// Roots first, each task under every task that it waits for. What hangs below a task is shown once: where it comes
/// again, `...` stands for it, because a chain of diamonds has exponentially many paths.
fn tree(dag: &Dag, page: &mut Page) {
    let mut shown = vec![false; dag.tasks.len()];
    let mut stack: Vec<(usize, String, String)> = Vec::new();
    let roots: Vec<usize> =
        dag.graph.order().iter().copied().filter(|&task| dag.graph.upstream(task).is_empty()).collect();
    for &root in roots.iter().rev() {
        stack.push((root, String::new(), String::new()));
    }
    while let Some((task, branch, below)) = stack.pop() {
        let id = dag.tasks[task].id.as_str();
        let children = dag.graph.downstream(task);
        let is_again = std::mem::replace(&mut shown[task], true);
        let branch = page.paint(Tone::Dim, &branch);
        if is_again && !children.is_empty() {
            let more = page.paint(Tone::Dim, "...");
            page.line(format!("{branch}{id} {more}"));
            continue;
        }
        page.line(format!("{branch}{id}"));
        for (nth, &child) in children.iter().enumerate().rev() {
            let (branch, further) = if nth + 1 == children.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            stack.push((child, format!("{below}{branch}"), format!("{below}{further}")));
        }
    }
}
