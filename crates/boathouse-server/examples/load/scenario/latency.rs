//! What many runs at once add to the time that their models take.

use std::time::Duration;

use crate::crews;
use crate::http::Result;
use crate::lab::{Door, Journal, Lab, drive_in_steps, millis, percentile};
use crate::process::Process;

/// What a run's model takes.
const MODEL: Duration = Duration::from_secs(1);
/// Runs of each client, one after the other.
const RUNS_EACH: u64 = 3;

struct Load {
    clients: usize,
    /// From the first client's start to the last one's.
    ramp: Duration,
}

impl Load {
    async fn measure(&self, name: &str, process: &Process, door: Door) -> Result<()> {
        process.forget_peak()?;
        let before = process.cpu()?;
        let runs = self.clients as u64 * RUNS_EACH;
        let driven = drive_in_steps(process.address, door, self.clients, runs, self.ramp).await?;
        let cpu = process.cpu()? - before;
        let mut first: Vec<f64> = driven.runs.iter().map(|run| millis(run.first_piece)).collect();
        let mut whole: Vec<f64> = driven.runs.iter().map(|run| millis(run.whole)).collect();
        println!(
            "{name:<20} first piece {:>7.1} ms median {:>7.1} p99   run {:>7.1} ms median {:>7.1} p99   {:>5.2} ms CPU/run {:>6.1} MiB peak {} errors",
            percentile(&mut first, 0.5),
            percentile(&mut first, 0.99),
            percentile(&mut whole, 0.5),
            percentile(&mut whole, 0.99),
            millis(cpu) / runs as f64,
            process.memory()?.peak,
            driven.errors.len(),
        );
        if let Some(error) = driven.errors.first() {
            println!("{:20} {error}", "");
        }
        Ok(())
    }
}

pub(crate) async fn run(lab: &Lab, clients: usize, rounds: usize, together: bool) -> Result<()> {
    let (ramp, starts) = match together {
        true => (Duration::ZERO, "all at the same moment"),
        false => (MODEL, "one after the other within the first second"),
    };
    println!(
        "{clients} runs at once: so many clients start {starts}, each with {RUNS_EACH} runs in turn; the model's first piece comes after 200 ms, 39 more and the end every 20 ms: 1000 ms\n"
    );
    let load = Load { clients, ramp };
    let dirs = [crews::slow(lab.dir.path())?];
    let relay = lab.relay().await?;
    let memory = lab.boathouse(&dirs, Journal::Memory).await?;
    let sqlite = lab.boathouse(&dirs, Journal::Sqlite).await?;
    for _ in 0..rounds {
        load.measure("relay", &relay, Door::Relay { model: "plain-200-20", whole: false }).await?;
        load.measure("boathouse, memory", &memory, Door::Native { crew: "slow" }).await?;
        load.measure("boathouse, SQLite", &sqlite, Door::Native { crew: "slow" }).await?;
    }
    Ok(())
}
