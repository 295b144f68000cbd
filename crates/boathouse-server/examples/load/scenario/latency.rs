//! What many runs at once add to the time that their models take.

use crate::crews;
use crate::http::Result;
use crate::lab::{Door, Journal, Lab, drive, millis, percentile};
use crate::process::Process;

async fn measure(name: &str, process: &Process, door: Door, runs: usize) -> Result<()> {
    process.forget_peak()?;
    let before = process.cpu()?;
    let driven = drive(process.address, door, runs, runs as u64).await?;
    let cpu = process.cpu()? - before;
    let mut first: Vec<f64> = driven.runs.iter().map(|run| millis(run.first_piece)).collect();
    let mut whole: Vec<f64> = driven.runs.iter().map(|run| millis(run.whole)).collect();
    println!(
        "{name:<20} first piece {:>7.1} ms median {:>7.1} p99   run {:>7.1} ms median {:>7.1} p99   {:>5.2} s CPU {:>6.1} MiB peak {} errors",
        percentile(&mut first, 0.5),
        percentile(&mut first, 0.99),
        percentile(&mut whole, 0.5),
        percentile(&mut whole, 0.99),
        cpu.as_secs_f64(),
        process.memory()?.peak,
        driven.errors.len(),
    );
    if let Some(error) = driven.errors.first() {
        println!("{:20} {error}", "");
    }
    Ok(())
}

pub(crate) async fn run(lab: &Lab, runs: usize, rounds: usize) -> Result<()> {
    println!(
        "{runs} runs at once; the model's first piece comes after 200 ms, 39 more and the end every 20 ms: 1000 ms\n"
    );
    let dirs = [crews::slow(lab.dir.path())?];
    let relay = lab.relay().await?;
    let memory = lab.boathouse(&dirs, Journal::Memory).await?;
    let sqlite = lab.boathouse(&dirs, Journal::Sqlite).await?;
    for _ in 0..rounds {
        measure("relay", &relay, Door::Relay { model: "plain-200-20", whole: false }, runs).await?;
        measure("boathouse, memory", &memory, Door::Native { crew: "slow" }, runs).await?;
        measure("boathouse, SQLite", &sqlite, Door::Native { crew: "slow" }, runs).await?;
    }
    Ok(())
}
