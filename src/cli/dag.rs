//! `crondag dag`

use std::process::ExitCode;

use clap::Subcommand;

use super::confirm::{confirm, who};
use super::context::Global;
use super::error::CliError;
use super::output::{Page, print_json};
use crate::app::App;
use crate::app::request::history::{self, runs};
use crate::dag::DagId;

/// Options of `dag`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag dag rename userprofile tags\n  crondag dag delete userprofile")]
pub struct Args {
    #[command(subcommand)]
    command: Dag,
}

#[derive(Debug, Subcommand)]
enum Dag {
    /// Give a DAG another name: its file, its runs, its logs and what its checks recorded
    #[command(after_help = "Example:\n  crondag dag rename userprofile tags")]
    Rename {
        /// The DAG
        dag: String,
        /// The name that it gets
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove the runs and logs of a DAG; its file stays, and goes on from where it is
    #[command(
        after_help = "Example:\n  crondag dag delete userprofile\n  crondag dag delete userprofile --with-file -y"
    )]
    Delete {
        /// The DAG
        dag: String,
        /// Also its file
        #[arg(long)]
        with_file: bool,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    match &args.command {
        Dag::Rename { dag, name, json } => rename(&app, dag, name, *json),
        Dag::Delete { dag, with_file, yes, json } => delete(&app, dag, (*with_file, *yes, *json)),
    }
}

fn rename(app: &App, dag: &str, name: &str, json: bool) -> Result<ExitCode, CliError> {
    let plan = history::plan_rename(app, dag, name)?;
    let receipt = history::rename(app, plan, &who())?;
    if json {
        print_json(&[&receipt])?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut page = Page::new();
    let (from, to) = (&receipt.from, &receipt.to);
    page.line(format!("{from} is {to} now, with {}", runs(receipt.runs)));
    if receipt.file {
        page.line(format!("renamed: dags/{from}.toml to dags/{to}.toml"));
    }
    for other in &receipt.waiting {
        page.line(format!("dags/{other}.toml still waits for {from}: correct it"));
    }
    page.next("crondag validate");
    page.print()?;
    Ok(ExitCode::SUCCESS)
}

fn delete(app: &App, dag: &str, (with_file, yes, json): (bool, bool, bool)) -> Result<ExitCode, CliError> {
    let plan = history::plan_delete(app, dag, with_file)?;
    let and_file = |dag_id: &DagId, is_meant: bool| {
        if is_meant { format!(" and the file dags/{dag_id}.toml") } else { String::new() }
    };
    let (dag_id, file) = (&plan.dag_id, and_file(&plan.dag_id, plan.file.is_some() && plan.deletes_file));
    let what = runs(plan.runs);
    confirm(&format!("Remove {what} of {dag_id}, their logs and what its checks recorded{file}?"), yes)?;
    let receipt = history::delete(app, plan, &who())?;
    if json {
        print_json(&[&receipt])?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut page = Page::new();
    let dag_id = &receipt.dag_id;
    page.line(format!("removed: {} of {dag_id}{}", runs(receipt.runs), and_file(dag_id, receipt.file_is_gone)));
    if receipt.file.is_some() && !receipt.file_is_gone {
        page.line(format!("dags/{dag_id}.toml stays, and goes on from where it is"));
    }
    page.next("crondag list_dags");
    page.print()?;
    Ok(ExitCode::SUCCESS)
}
