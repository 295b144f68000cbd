//! What a run costs in processor time, beside the bare relay.

use std::time::Duration;

use crate::crews;
use crate::http::{Result, count};
use crate::lab::{Door, Journal, Lab, drive, millis};
use crate::process::Process;

/// Turns that all servers take at a shape. A machine that others use, too, changes its pace from second to second; so
/// each server sees about the same of it.
const TURNS: u64 = 20;

/// One of a shape's servers as one kind of client sees it, and what its runs have cost.
struct Side<'a> {
    name: String,
    process: &'a Process,
    door: Door,
    cpu: Duration,
    wall: Duration,
    runs: u64,
    pieces: usize,
    bytes: usize,
    errors: Vec<String>,
}

impl<'a> Side<'a> {
    fn new(name: &str, shape: &str, process: &'a Process, door: Door) -> Side<'a> {
        let zero = Duration::ZERO;
        let name = format!("{name}, {shape}");
        Side { name, process, door, cpu: zero, wall: zero, runs: 0, pieces: 0, bytes: 0, errors: Vec::new() }
    }

    /// Lets it get to know the shape, at no cost.
    async fn warm_up(&self, clients: usize, runs: u64) -> Result<()> {
        let driven = drive(self.process.address, self.door, clients, runs).await?;
        self.process.forget_peak()?;
        driven.errors.first().map_or(Ok(()), |error| Err(error.clone().into()))
    }

    async fn take_turn(&mut self, clients: usize, runs: u64) -> Result<()> {
        let before = self.process.cpu()?;
        let driven = drive(self.process.address, self.door, clients, runs).await?;
        self.cpu += self.process.cpu()?.saturating_sub(before);
        self.wall += driven.wall;
        self.runs += driven.runs.len() as u64;
        self.pieces += driven.runs.iter().map(|run| count(&run.bytes, b"\"type\":\"delta\"")).sum::<usize>();
        self.bytes += driven.runs.iter().map(|run| run.bytes.len()).sum::<usize>();
        self.errors.extend(driven.errors);
        Ok(())
    }

    /// Processor time of a run, in milliseconds.
    fn cost(&self) -> f64 {
        millis(self.cpu) / self.runs as f64
    }

    fn print(&self, beside: &str) -> Result<()> {
        let runs = self.runs as f64;
        println!(
            "{:<42} {:>7.3} ms CPU/run  {beside:<38} {:>6.0} runs/s {:>6.1} deltas/run {:>6.0} bytes/run {:>6.1} MiB peak {} errors",
            self.name,
            self.cost(),
            runs / self.wall.as_secs_f64(),
            self.pieces as f64 / runs,
            self.bytes as f64 / runs,
            self.process.memory()?.peak,
            self.errors.len(),
        );
        if let Some(error) = self.errors.first() {
            println!("{:42} {error}", "");
        }
        Ok(())
    }
}

pub(crate) async fn run(lab: &Lab, runs: u64, clients: usize, shape: Option<&str>) -> Result<()> {
    println!(
        "{runs} runs of each server in {TURNS} turns, {clients} clients; processor time of the server's process alone. The model writes its reply at once; piece by piece: each piece by itself, without a pause; paced: with 2 ms between\n"
    );
    let dir = lab.dir.path();
    // Boathouse joins the pieces that have come together; the relay writes each by itself.
    let mut shapes = vec![
        ("one call", "plain", "one"),
        ("one call, piece by piece", "plain-0-0", "one-pieces"),
        ("one call, paced", "plain-2-2", "one-paced"),
        ("five calls", "tools", "five"),
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

    let (relay, whole) = (lab.relay().await?, lab.relay().await?);
    let memory = lab.boathouse(&dirs, Journal::Memory).await?;
    let sqlite = lab.boathouse(&dirs, Journal::Sqlite).await?;
    let go = lab.boathouse(&dirs, Journal::Memory).await?;
    for (shape, model, crew) in shapes {
        let mut sides = [
            Side::new("relay", shape, &relay, Door::Relay { model, whole: false }),
            Side::new("relay --whole", shape, &whole, Door::Relay { model, whole: true }),
            Side::new("native, memory", shape, &memory, Door::Native { crew }),
            Side::new("native, SQLite", shape, &sqlite, Door::Native { crew }),
            Side::new("Go endpoint, memory", shape, &go, Door::Go { crew }),
        ];
        for side in &sides {
            side.warm_up(clients, (runs / 20).max(1)).await?;
        }
        for turn in 0..TURNS {
            let part = runs / TURNS + u64::from(turn < runs % TURNS);
            for side in &mut sides {
                side.take_turn(clients, part).await?;
            }
        }
        let [relay, whole, memory, sqlite, go] = sides;
        let times = |side: &Side| format!("{:.2} x the relay", side.cost() / relay.cost());
        relay.print("")?;
        whole.print(&times(&whole))?;
        memory.print(&times(&memory))?;
        sqlite.print(&times(&sqlite))?;
        go.print(&format!("{}, {:.2} x the relay --whole", times(&go), go.cost() / whole.cost()))?;
        println!();
    }
    Ok(())
}
