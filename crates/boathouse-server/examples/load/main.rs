//! Puts Boathouse under load, beside a bare relay that does the same model calls.
//!
//! `docs/performance.md` says how to run it and what each figure means.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

mod crews;
mod http;
mod lab;
mod process;
mod relay;
mod scenario;
mod upstream;

use http::Result;
use lab::Lab;

/// The same as the server's, so that neither is favoured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(
    name = "load",
    about = "Puts Boathouse under load, beside a bare relay",
    arg_required_else_help = true
)]
struct Args {
    /// The binary under test; else the one built beside this program
    #[arg(long, global = true, value_name = "FILE")]
    boathouse: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves a fake model until it is killed
    Upstream,
    /// Serves the bare relay until it is killed
    Relay {
        /// Where the model is
        upstream: SocketAddr,
    },
    /// Processor time of a run, beside the relay
    Cpu {
        #[arg(long, default_value_t = 10_000)]
        runs: u64,
        #[arg(long, default_value_t = 32)]
        clients: usize,
        /// Only this shape: `one`, `one-pieces`, `one-paced`, `five` or `five-pieces`
        #[arg(long, value_name = "NAME")]
        shape: Option<String>,
    },
    /// What many runs at once add to the time of their models, beside the relay
    Latency {
        #[arg(long, default_value_t = 1000)]
        runs: usize,
        /// How often each server is measured, in turn
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// All begin at the same moment, instead of one after the other within a second
        #[arg(long)]
        together: bool,
    },
    /// Memory of an idle server, and time to the first request served
    Idle {
        #[arg(long, default_value_t = 11)]
        times: usize,
    },
    /// Time from giving a run up to the end of its model request
    Cancel {
        #[arg(long, default_value_t = 500)]
        times: u64,
    },
    /// What is left of cancelled runs
    Leak {
        #[arg(long, default_value_t = 5)]
        batches: usize,
        #[arg(long, default_value_t = 500)]
        runs: u64,
    },
    /// Whether runs at once give what they give one by one
    Same {
        #[arg(long, default_value_t = 1000)]
        runs: u64,
    },
    /// Start and memory of a server with very many paused runs, and whether each can be answered
    Paused {
        #[arg(long, default_value_t = 10_000)]
        runs: u64,
    },
    /// Time from a start after a crash until the runs that were in flight go on
    Recovery {
        #[arg(long, default_value_t = 1000)]
        runs: u64,
    },
    /// Time of a run that very many slow readers watch
    Readers {
        #[arg(long, default_value_t = 1000)]
        readers: usize,
        #[arg(long, default_value_t = 500)]
        pieces: usize,
        /// Between two pieces
        #[arg(long, default_value_t = 10, value_name = "MS")]
        pace: u64,
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// Memory and file size under a steady mixed load, as a table and a picture
    Soak {
        #[arg(long, default_value_t = 20.0)]
        minutes: f64,
        /// Runs started in a second
        #[arg(long, default_value_t = 60.0)]
        rate: f64,
        /// Ended runs that the server keeps
        #[arg(long, default_value_t = 2000)]
        keep_runs: u32,
        /// Where soak.csv and soak.svg are written
        #[arg(long, default_value = "target/soak", value_name = "DIR")]
        out: PathBuf,
    },
    /// A run of very many messages
    Long {
        #[arg(long, default_value_t = 10_000)]
        messages: usize,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    match args.command {
        Command::Upstream => return upstream::run().await,
        Command::Relay { upstream } => return relay::run(upstream).await,
        _ => {}
    }
    let lab = Lab::new(args.boathouse).await?;
    let done = match args.command {
        Command::Upstream | Command::Relay { .. } => Ok(()),
        Command::Cpu { runs, clients, shape } => {
            scenario::cpu::run(&lab, runs, clients, shape.as_deref()).await
        }
        Command::Latency { runs, rounds, together } => {
            scenario::latency::run(&lab, runs, rounds, together).await
        }
        Command::Idle { times } => scenario::idle::run(&lab, times).await,
        Command::Cancel { times } => scenario::cancel::run(&lab, times).await,
        Command::Leak { batches, runs } => scenario::leak::run(&lab, batches, runs).await,
        Command::Same { runs } => scenario::same::run(&lab, runs).await,
        Command::Paused { runs } => scenario::paused::run(&lab, runs).await,
        Command::Recovery { runs } => scenario::recovery::run(&lab, runs).await,
        Command::Readers { readers, pieces, pace, rounds } => {
            scenario::readers::run(&lab, readers, pieces, pace, rounds).await
        }
        Command::Soak { minutes, rate, keep_runs, out } => {
            scenario::soak::run(&lab, minutes, rate, keep_runs, &out).await
        }
        Command::Long { messages } => scenario::long::run(&lab, messages).await,
    };
    let logged = lab.logged();
    if !logged.is_empty() {
        eprintln!("\nthe server logged:\n{}", logged.chars().take(4000).collect::<String>());
    }
    done
}
