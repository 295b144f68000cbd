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

pub(crate) async fn run(lab: &Lab, runs: u64, clients: usize, shape: Option<&str>) -> Result<()> {
    println!(
        "{runs} runs, {clients} clients; processor time of the server's process alone. The model writes its reply at once; piece by piece: each piece by itself, without a pause; paced: with 2 ms between\n"
    );
    let dir = lab.dir.path();
    // Boathouse joins the pieces that have come together; the relay writes each by itself.
    let mut shapes = vec![
        ("one call", "plain", "one"),
        ("one call, piece by piece", "plain-0-0", "one-pieces"),
        ("one call, paced", "plain-2-2", "one-paced"),
        ("five calls, four tool calls", "tools", "five"),
        ("five calls, piece by piece", "tools-0-0", "five-pieces"),
    ];
    shapes.retain(|(_, _, crew)| shape.is_none_or(|shape| shape == *crew));
    if shapes.is_empty() {
        return Err("there is no such shape; see --help".into());
    }
    let dirs = shapes
        .iter()
        .map(|(_, model, crew)| match model.starts_with("tools") {
            true => crews::five(dir, crew, model),
            false => crews::one(dir, crew, model),
        })
        .collect::<Result<Vec<_>>>()?;

    let mut pieces = Vec::new();
    let mut wholes = Vec::new();
    let relay = lab.relay().await?;
    for (name, model, _) in &shapes {
        let door = Door::Relay { model, whole: false };
        pieces.push(measure(&format!("relay, {name}"), &relay, door, clients, runs).await?);
    }
    for (name, model, _) in &shapes {
        let door = Door::Relay { model, whole: true };
        wholes.push(measure(&format!("relay --whole, {name}"), &relay, door, clients, runs).await?);
    }
    drop(relay);

    for (journal, name) in [(Journal::Memory, "memory"), (Journal::Sqlite, "SQLite")] {
        let server = lab.boathouse(&dirs, journal).await?;
        for ((shape, _, crew), relay) in shapes.iter().zip(&pieces) {
            let door = Door::Native { crew };
            let cpu = measure(&format!("native, {name}, {shape}"), &server, door, clients, runs).await?;
            println!("{:44} {:>8.2} x the relay", "", cpu / relay);
        }
    }
    let server = lab.boathouse(&dirs, Journal::Memory).await?;
    for ((shape, _, crew), (relay, whole)) in shapes.iter().zip(pieces.iter().zip(&wholes)) {
        let door = Door::Go { crew };
        let cpu = measure(&format!("Go endpoint, memory, {shape}"), &server, door, clients, runs).await?;
        println!("{:44} {:>8.2} x the relay, {:.2} x the relay --whole", "", cpu / relay, cpu / whole);
    }
    Ok(())
}
