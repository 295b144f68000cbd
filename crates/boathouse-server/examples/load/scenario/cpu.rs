//! What a run costs in processor time, beside the bare relay.

use crate::crews;
use crate::http::{Result, count};
use crate::lab::{Door, Journal, Lab, drive, millis};
use crate::process::Process;

/// A server's cost of one run in milliseconds of processor time.
async fn measure(name: &str, process: &Process, door: Door, clients: usize, runs: u64) -> Result<f64> {
    let warm = drive(process.address, door, clients, (runs / 20).max(1)).await?;
    if let Some(error) = warm.errors.first() {
        return Err(error.clone().into());
    }
    process.forget_peak()?;
    let before = process.cpu()?;
    let driven = drive(process.address, door, clients, runs).await?;
    let cpu = millis(process.cpu()? - before) / runs as f64;
    let pieces: usize = driven.runs.iter().map(|run| count(&run.bytes, b"\"type\":\"delta\"")).sum();
    let bytes: usize = driven.runs.iter().map(|run| run.bytes.len()).sum();
    println!(
        "{name:<44} {cpu:>8.3} ms CPU/run {:>8.0} runs/s {:>6.1} deltas/run {:>7} bytes/run {:>7.1} MiB peak {} errors",
        driven.runs.len() as f64 / driven.wall.as_secs_f64(),
        pieces as f64 / runs as f64,
        bytes as u64 / runs,
        process.memory()?.peak,
        driven.errors.len(),
    );
    if let Some(error) = driven.errors.first() {
        println!("{:44} {error}", "");
    }
    Ok(cpu)
}

pub(crate) async fn run(lab: &Lab, runs: u64, clients: usize) -> Result<()> {
    println!(
        "{runs} runs, {clients} clients, no pauses (paced: 2 ms between pieces); processor time of the server's process alone\n"
    );
    let dirs = [crews::one(lab.dir.path())?, crews::paced(lab.dir.path())?, crews::five(lab.dir.path())?];
    // Without a pause pieces pile up, and Boathouse joins what has come together; paced they come one by one.
    let shapes = [
        ("one call", "plain", "one"),
        ("one call, paced", "plain-2-2", "paced"),
        ("five calls, four tool calls", "tools", "five"),
    ];

    let mut pieces = Vec::new();
    let mut wholes = Vec::new();
    let relay = lab.relay().await?;
    for (name, model, _) in shapes {
        let door = Door::Relay { model, whole: false };
        pieces.push(measure(&format!("relay, {name}"), &relay, door, clients, runs).await?);
    }
    for (name, model, _) in shapes {
        let door = Door::Relay { model, whole: true };
        wholes.push(measure(&format!("relay --whole, {name}"), &relay, door, clients, runs).await?);
    }
    drop(relay);

    for (journal, name) in [(Journal::Memory, "memory"), (Journal::Sqlite, "SQLite")] {
        let server = lab.boathouse(&dirs, journal).await?;
        for ((shape, _, crew), relay) in shapes.into_iter().zip(&pieces) {
            let door = Door::Native { crew };
            let cpu = measure(&format!("native, {name}, {shape}"), &server, door, clients, runs).await?;
            println!("{:44} {:>8.2} x the relay", "", cpu / relay);
        }
    }
    let server = lab.boathouse(&dirs, Journal::Memory).await?;
    for ((shape, _, crew), (relay, whole)) in shapes.into_iter().zip(pieces.iter().zip(&wholes)) {
        let door = Door::Go { crew };
        let cpu = measure(&format!("Go endpoint, memory, {shape}"), &server, door, clients, runs).await?;
        println!("{:44} {:>8.2} x the relay, {:.2} x the relay --whole", "", cpu / relay, cpu / whole);
    }
    Ok(())
}
