//! Kills servers, and looks whether anything was lost or done twice.
//!
//! In batches: several `boathouse serve` share one SQLite file, runs call real programs that write what they do into a
//! ledger, and the servers die at named crash points and at random moments, or are stopped for longer than their lease.
//! When it is quiet again every run is compared with what its clients were told, and with the ledger. `CONTRIBUTING.md`
//! says how to run it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use tempfile::TempDir;

mod batch;
mod chaos;
mod check;
mod client;
mod crews;
mod dice;
mod file;
mod server;
mod tally;

use batch::Plan;
use tally::Tally;

/// What went wrong with the program itself, for whoever runs it.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Batches after which every kind of fault must have happened at least once.
const ENOUGH: u64 = 4;

#[derive(Parser)]
#[command(name = "kill", about = "Kills servers, and looks whether anything was lost or done twice")]
struct Args {
    /// How long; the batch that runs then is finished
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Where chance begins; each batch prints its own seed, which repeats its choices (the moments differ)
    #[arg(long)]
    seed: Option<u64>,
    /// Servers on one file
    #[arg(long, default_value_t = 3)]
    servers: usize,
    /// Runs of a batch
    #[arg(long, default_value_t = 30)]
    runs: usize,
    /// For how long a batch kills
    #[arg(long, default_value_t = 6000, value_name = "MS")]
    chaos_ms: u64,
    /// The lease of the servers
    #[arg(long, default_value_t = 1500, value_name = "MS")]
    lease_ms: u64,
    /// The server, built with `--features crash-points`; else the one built beside this program
    #[arg(long, value_name = "FILE")]
    boathouse: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

async fn run(args: Args) -> Result<bool, Failure> {
    let me = std::env::current_exe()?;
    let beside = || me.parent().and_then(std::path::Path::parent).map(|dir| dir.join("boathouse"));
    let boathouse = args.boathouse.or_else(beside).ok_or("this program lies in no folder")?.canonicalize()?;
    server::has_crash_points(&boathouse).await?;
    let began = Instant::now();
    let time = Duration::from_secs_f64(args.minutes * 60.0);
    let first = args.seed.unwrap_or_else(dice::fresh_seed);
    let mut total = Tally::default();
    let mut batches = 0;
    while batches == 0 || began.elapsed() < time {
        let seed = first.wrapping_add(batches);
        let plan = Plan {
            boathouse: boathouse.clone(),
            seed,
            servers: args.servers,
            runs: args.runs,
            chaos: Duration::from_millis(args.chaos_ms),
            lease: Duration::from_millis(args.lease_ms),
        };
        let dir = TempDir::new()?;
        let done = batch::run(plan, dir.path()).await;
        let (tally, wrong) = match done {
            Ok(done) => done,
            Err(error) => {
                let dir = dir.keep();
                return Err(
                    format!("batch with seed {seed}: {error}; files are kept in {}", dir.display()).into()
                );
            }
        };
        batches += 1;
        println!("batch {batches}, seed {seed}: {tally}");
        total.add(&tally);
        if !wrong.is_empty() {
            let dir = dir.keep();
            println!("WRONG, {} things; files are kept in {}", wrong.len(), dir.display());
            for line in wrong.iter().take(40) {
                println!("  {line}");
            }
            return Ok(false);
        }
    }
    println!("in all, {batches} batches in {:.0} s: {total}", began.elapsed().as_secs_f64());
    let missing = total.never();
    if batches >= ENOUGH && !missing.is_empty() {
        println!("WRONG: this never happened, so nothing is proven of it: {}", missing.join(", "));
        return Ok(false);
    }
    println!("nothing was lost, and nothing was done twice");
    Ok(true)
}
