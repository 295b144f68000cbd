//! Runs of one crew at once give what they give one by one.
//!
//! Every word of the model depends on all that it was sent, so that one foreign byte in a prompt shows.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::crews;
use crate::http::{Frames, Result};
use crate::lab::{Door, Journal, Lab, Seen, drive};

pub(crate) async fn run(lab: &Lab, runs: u64) -> Result<()> {
    let dirs = [crews::same(lab.dir.path())?];
    let server = lab.boathouse(&dirs, Journal::Sqlite).await?;
    let door = Door::Native { crew: "same" };
    let serial = drive(server.address, door, 1, runs).await?;
    let at_once = drive(server.address, door, runs as usize, runs).await?;
    let errors = serial.errors.len() + at_once.errors.len();
    if let Some(error) = serial.errors.iter().chain(&at_once.errors).next() {
        println!("first error: {error}");
    }
    let (expected, given) = (histories(&serial.runs)?, histories(&at_once.runs)?);
    let differing: Vec<u64> = expected
        .iter()
        .filter(|(number, history)| given.get(*number) != Some(*history))
        .map(|(n, _)| *n)
        .collect();
    let mut all: Vec<&String> = expected.values().collect();
    all.sort();
    all.dedup();
    println!(
        "{runs} runs one by one in {:.1} s, and at once in {:.1} s: {} histories of {} bytes, {} of them different from all others; {} differ between the two, {errors} errors",
        serial.wall.as_secs_f64(),
        at_once.wall.as_secs_f64(),
        expected.len(),
        expected.values().map(String::len).sum::<usize>(),
        all.len(),
        differing.len(),
    );
    if let Some(number) = differing.first() {
        println!("--- one by one\n{}", expected.get(number).map_or("", String::as_str));
        println!("--- at once\n{}", given.get(number).map_or("", String::as_str));
    }
    if differing.is_empty() && errors == 0 { Ok(()) } else { Err("the histories are not the same".into()) }
}

/// Each run's events, without times and random ids.
fn histories(runs: &[Seen]) -> Result<BTreeMap<u64, String>> {
    let mut histories = BTreeMap::new();
    for run in runs {
        let mut frames = Frames::default();
        frames.feed(&run.bytes);
        let mut history = String::new();
        while let Some(data) = frames.next() {
            let mut event: Value = serde_json::from_slice(&data)?;
            let Some(fields) = event.as_object_mut() else { continue };
            if !fields.contains_key("seq") {
                continue;
            }
            for changing in ["at", "took_ms", "thread"] {
                fields.remove(changing);
            }
            history += &event.to_string();
            history.push('\n');
        }
        histories.insert(run.number, history);
    }
    Ok(histories)
}
