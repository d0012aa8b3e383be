//! The promises under attack, in a simulated world: `cargo test --profile simulation --test simulation -- --seeds 2000`
//!
//! The real driver, engine, planner and store run against a simulated clock, simulated processes, people and disks, weeks
//! in a fraction of a second. Each seed is a world of its own and reproduces exactly: `--seed N`.

#![allow(clippy::pedantic)] // no interface for others
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation)] // a test may fail

mod calendar;
mod due;
mod fate;
mod host;
mod journal;
mod people;
mod processes;
mod promises;
mod random;
mod rules;
mod seed;
mod ticks;
mod version;
mod world;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use world::{Counts, Telling};

struct Args {
    from: u64,
    seeds: u64,
    tells: bool,
    /// Go on after a seed that failed.
    all: bool,
    /// Worlds that are lived at once, each in a thread of its own.
    jobs: u64,
}

const USAGE: &str = "cargo test --profile simulation --test simulation -- [--seeds N] [--from N] [--all] [--jobs N] | --seed N [--tell]";

/// What is asked for; `None` when it is another test that is.
fn args() -> Result<Option<Args>, String> {
    let jobs = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    // Where the program is not optimised, a few worlds: the others have a stage of their own.
    let mut parsed = Args { from: 1, seeds: 10, tells: false, all: false, jobs };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || {
            let text = args.next().ok_or(format!("{arg} needs a number"))?;
            text.parse::<u64>().map_err(|_| format!("{arg} {text}: not a number"))
        };
        match arg.as_str() {
            "--seeds" => parsed.seeds = number()?,
            "--from" => parsed.from = number()?,
            "--seed" => (parsed.from, parsed.seeds) = (number()?, 1),
            "--jobs" => parsed.jobs = number()?.max(1),
            "--tell" => parsed.tells = true,
            "--all" => parsed.all = true,
            // What `cargo test` passes on to every test.
            "--quiet" | "-q" | "--include-ignored" | "--nocapture" | "--exact" => {}
            "--list" | "--ignored" => return Ok(None),
            name if !name.starts_with('-') => {
                if !"simulation".contains(name) {
                    return Ok(None);
                }
            }
            other => return Err(format!("{other}: no such option; {USAGE}")),
        }
    }
    Ok(Some(parsed))
}

fn main() -> ExitCode {
    let args = match args() {
        Ok(Some(args)) => args,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let began = Instant::now();
    let next = AtomicU64::new(args.from);
    let failed = AtomicBool::new(false);
    let total = Mutex::new(Counts::new());
    let telling = if args.tells { Telling::Printed } else { Telling::Nothing };
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::SeqCst);
            if seed >= args.from + args.seeds || (failed.load(Ordering::SeqCst) && !args.all) {
                return;
            }
            match seed::live(seed, telling) {
                Ok(counts) => {
                    let mut total = total.lock().unwrap();
                    for (what, many) in counts {
                        *total.entry(what).or_default() += many;
                    }
                }
                Err(failure) => {
                    if !failed.swap(true, Ordering::SeqCst) || args.all {
                        report(seed, failure, args.tells || args.all);
                    }
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..args.jobs.min(args.seeds) {
            scope.spawn(work);
        }
        work();
    });
    if failed.load(Ordering::SeqCst) {
        return ExitCode::FAILURE;
    }
    let took = began.elapsed();
    println!("simulation: {} seeds kept the promises in {took:.1?}; in their worlds there were", args.seeds);
    print!("{}", table(&total.lock().unwrap()));
    ExitCode::SUCCESS
}

/// Three to a line.
fn table(counts: &Counts) -> String {
    let mut table = String::new();
    for (index, (what, many)) in counts.iter().enumerate() {
        let end = if index % 3 == 2 || index + 1 == counts.len() { "\n" } else { "" };
        write!(table, "{many:>10} {what:<30}{end}").unwrap();
    }
    table
}

fn report(seed: u64, mut failure: seed::Failure, is_told: bool) {
    if !is_told {
        // The same world again, this time with its journal.
        if let Err(again) = seed::live(seed, Telling::Journal) {
            failure = again;
        }
        for line in &failure.journal[failure.journal.len().saturating_sub(40)..] {
            eprintln!("  {line}");
        }
    }
    eprintln!("error: seed {seed}: {}", failure.what);
    eprintln!("next: cargo test --profile simulation --test simulation -- --seed {seed} --tell");
}
