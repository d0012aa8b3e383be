//! `crondag list_tasks`

use std::process::ExitCode;

use super::context::Global;
use super::error::CliError;
use super::output::{Page, Tone, print_json};
use crate::app::query::graph::{TreeLine, tasks_of_dag, tree};

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
        for line in tree(&dag) {
            show(&line, &mut page);
        }
    } else {
        for task in tasks_of_dag(&dag) {
            page.line(task.task_id.as_str());
        }
    }
    page.print()?;
    Ok(ExitCode::SUCCESS)
}

/// A task behind the branches that lead to it; `...` stands for what was shown below it before.
fn show(line: &TreeLine, page: &mut Page) {
    let mut branch = String::new();
    if let Some((own, above)) = line.is_last.split_last() {
        branch.extend(above.iter().map(|is_last| if *is_last { "   " } else { "│  " }));
        branch.push_str(if *own { "└─ " } else { "├─ " });
    }
    let branch = page.paint(Tone::Dim, &branch);
    let id = &line.task_id;
    if line.is_again {
        let more = page.paint(Tone::Dim, "...");
        page.line(format!("{branch}{id} {more}"));
    } else {
        page.line(format!("{branch}{id}"));
    }
}
