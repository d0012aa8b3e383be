//! The command line: one file per command, each of which parses, calls and prints. Nothing is decided here that another
//! front end would have to decide again.

mod alike;
mod attempts;
mod backfill;
mod checks;
mod clear;
mod completions;
mod confirm;
mod context;
mod dag;
mod db;
mod diagnose;
pub mod diagnostic;
mod ended;
mod error;
mod excerpt;
mod explain;
mod gate;
mod import;
mod init;
mod layout;
mod list_dags;
mod list_tasks;
mod logs;
mod man;
mod mark;
mod next;
mod output;
mod pause;
mod render;
mod runs;
mod scheduler;
pub mod schema;
mod show;
mod status;
mod still;
mod stop;
mod stuck;
mod table;
mod tasks;
mod test;
mod tick;
mod trigger;
pub mod validate;

use std::env;
use std::ffi::OsStr;
use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use self::layout::{Layout, wants_colour};
use self::output::{say, write_out};
use crate::app::request::pause::Schedule;
use crate::home::Home;
pub use context::Global;
pub use error::CliError;

const HELP: &str = "\
Examples:
  crondag init etl && cd etl      make a home with a small DAG
  crondag test hello greet 20180701
  crondag backfill -s 20180701 -e 20180707 hello
  * * * * * crondag --home /path/to/etl tick      the one line in the crontab

Exit codes: 0 done, 1 a run or task failed, 2 wrong usage or a faulty file, 3 database, lock or disk.";

/// Takes the place of crontab for ETL: DAG files in TOML, one line in the crontab
#[derive(Debug, Parser)]
#[command(name = "crondag", version, after_help = HELP, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a home with a small, commented DAG that runs
    Init(init::Args),
    /// Check all DAG files and crondag.toml, and show every fault
    Validate(validate::Args),
    /// Print the JSON Schema of DAG files or of crondag.toml
    Schema(schema::Args),
    /// List the DAGs
    #[command(name = "list_dags", alias = "list-dags")]
    ListDags(list_dags::Args),
    /// List the tasks of a DAG
    #[command(name = "list_tasks", alias = "list-tasks")]
    ListTasks(list_tasks::Args),
    /// Draw the graph of a DAG
    Show(show::Args),
    /// Show when a DAG starts next, and for which data
    Next(next::Args),
    /// Show exactly what a task would run
    Render(render::Args),
    /// Run one task here and now; nothing is recorded
    Test(test::Args),
    /// Run every data interval of a range
    Backfill(backfill::Args),
    /// One scheduler step, for the crontab: starts what is due and ends at once
    Tick(tick::Args),
    /// Stay and tick by itself, where there is no cron
    Scheduler(scheduler::Args),
    /// Start a run by hand
    #[command(alias = "trigger_dag", alias = "trigger-dag")]
    Trigger(trigger::Args),
    /// Stop scheduling a DAG
    Pause(pause::Args),
    /// Schedule a DAG again
    Unpause(pause::Args),
    /// Do tasks of a run again
    Clear(clear::Args),
    /// Set the state of a run's tasks
    Mark(mark::Args),
    /// End a run: its tasks are stopped
    ///
    /// What runs fails, what has not begun is skipped. All processes of an attempt get TERM and, after `kill_grace`, KILL. What they have
    /// written stays. `clear --failed` starts again what was cut off.
    Stop(stop::Args),
    /// List runs
    Runs(runs::Args),
    /// List the tasks of a run
    Tasks(tasks::Args),
    /// List attempts of tasks: when, how long, at what cost, with what end
    Attempts(attempts::Args),
    /// Print what a task printed
    Logs(logs::Args),
    /// Say why a task failed: the probable cause, the evidence, what to do
    Diagnose(diagnose::Args),
    /// Show what checks have recorded, with verdicts and histories
    Checks(checks::Args),
    /// Say whether a gate is open for a date, or overrule it
    Gate(gate::Args),
    /// Show what goes on and what needs a look
    Status(status::Args),
    /// Say why a task is not running, and what would change that
    Explain(explain::Args),
    /// Rename a DAG with its history, or remove its history
    Dag(dag::Args),
    /// Back up or check the database
    Db(db::Args),
    /// Make DAG files of what another scheduler runs
    Import(import::Args),
    /// Print the completions of a shell
    Completions(completions::Args),
    /// Print the manual, or write it as man pages
    Man(man::Args),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let first = env::args_os().nth(1);
    // The inner programs come first: nobody types them, and they must not pay for the parser.
    let first = first.as_deref().and_then(OsStr::to_str);
    if first.is_some_and(|first| first.starts_with("__")) {
        crate::runner::attempt::local::sys::close_inherited();
    }
    match first {
        Some("__spawner") => return crate::runner::attempt::local::spawner::main(),
        Some("__exec") => return crate::runner::attempt::local::run_as::main(),
        Some("__driver") => return scheduler::driver(),
        Some(name) => {
            if let Some(status) = crate::runner::actions::inner_program(name) {
                return status;
            }
        }
        None => {}
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refusal) => return answer(&refusal),
    };
    match run(&cli) {
        Ok(code) => code,
        Err(error) => {
            // The exit code says it also where nobody can be told.
            say(error.to_string());
            error.exit_code()
        }
    }
}

/// What the parser says instead of a command line: the help that was asked for, or what is wrong. It breaks texts between
/// words, but neither the line of usage nor lists of values.
fn answer(refusal: &clap::Error) -> ExitCode {
    let rendered = refusal.render();
    let is_coloured = if refusal.use_stderr() { wants_colour(&io::stderr()) } else { wants_colour(&io::stdout()) };
    let text = if is_coloured { rendered.ansi().to_string() } else { rendered.to_string() };
    let text = text.trim_end();
    if refusal.use_stderr() {
        say(text);
    } else if let Err(error) = write_out(&format!("{}\n", Layout::of(&io::stdout()).text(text))) {
        say(error.to_string());
        return error.exit_code();
    }
    ExitCode::from(u8::try_from(refusal.exit_code()).unwrap_or(2))
}

fn run(cli: &Cli) -> Result<ExitCode, CliError> {
    let global = &cli.global;
    match &cli.command {
        Command::Init(args) => init::run(args),
        Command::Validate(args) => Ok(validate::run(args, || Home::find(global.home.as_deref()))),
        Command::Schema(args) => Ok(schema::run(args)),
        Command::ListDags(args) => list_dags::run(args, global),
        Command::ListTasks(args) => list_tasks::run(args, global),
        Command::Show(args) => show::run(args, global),
        Command::Next(args) => next::run(args, global),
        Command::Render(args) => render::run(args, global),
        Command::Test(args) => test::run(args, global),
        Command::Backfill(args) => backfill::run(args, global),
        Command::Tick(args) => tick::run(args, global),
        Command::Scheduler(args) => scheduler::run(args, global),
        Command::Trigger(args) => trigger::run(args, global),
        Command::Pause(args) => pause::run(args, global, Schedule::Paused),
        Command::Unpause(args) => pause::run(args, global, Schedule::Resumed),
        Command::Clear(args) => clear::run(args, global),
        Command::Mark(args) => mark::run(args, global),
        Command::Stop(args) => stop::run(args, global),
        Command::Runs(args) => runs::run(args, global),
        Command::Tasks(args) => tasks::run(args, global),
        Command::Attempts(args) => attempts::run(args, global),
        Command::Logs(args) => logs::run(args, global),
        Command::Diagnose(args) => diagnose::run(args, global),
        Command::Checks(args) => checks::run(args, global),
        Command::Gate(args) => gate::run(args, global),
        Command::Status(args) => status::run(args, global),
        Command::Explain(args) => explain::run(args, global),
        Command::Dag(args) => dag::run(args, global),
        Command::Db(args) => db::run(args, global),
        Command::Import(args) => import::run(args),
        Command::Completions(args) => completions::run(args, command()),
        Command::Man(args) => man::run(args, command()),
    }
}

/// The parser as data, for completions and the manual.
fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::command;

    #[test]
    fn the_parser_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        for command in command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "{}", command.get_name());
        }
    }
}
