//! Memory and file size under a steady mixed load: flat, once it is warm.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::interval;

use crate::crews;
use crate::http::{Connection, Failure, Result};
use crate::lab::{Door, Journal, Lab, ask, start};
use crate::process::Process;

/// The part of the time after which it is warm.
const WARM: f64 = 0.25;
/// Growth from the second quarter to the last that is still flat.
const FLAT: f64 = 1.05;

/// One look at the server.
struct Sample {
    seconds: f64,
    memory_mib: f64,
    journal_mib: f64,
    runs: u64,
    files: usize,
    threads: usize,
    children: usize,
}

pub(crate) async fn run(lab: &Lab, minutes: f64, rate: f64, keep_runs: u32, out: &Path) -> Result<()> {
    std::fs::create_dir_all(out)?;
    let dir = lab.dir.path();
    let crews = [
        crews::one(dir, "paced", "plain-2-2")?,
        crews::five(dir, "five", "tools")?,
        crews::same(dir)?,
        crews::asking(dir)?,
        crews::parallel(dir)?,
    ];
    let keep = keep_runs.to_string();
    let server = lab.boathouse_with(&crews, Journal::Sqlite, &["--keep-runs", &keep]).await?;
    println!("{minutes} minutes of {rate} runs a second, of which {keep_runs} are kept once they have ended");
    let (address, time) = (server.address, Duration::from_secs_f64(minutes * 60.0));
    let (done, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let began = Instant::now();
    let mut running = JoinSet::new();
    let mut starts = interval(Duration::from_secs_f64(1.0 / rate));
    let mut looks = interval(Duration::from_secs(1));
    let mut samples = Vec::new();
    let mut number = 0;
    while began.elapsed() < time {
        tokio::select! {
            _ = starts.tick() => {
                number += 1;
                let (done, failed) = (done.clone(), failed.clone());
                running.spawn(async move {
                    match one(address, number).await {
                        Ok(()) => drop(done.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => {
                            if failed.fetch_add(1, Ordering::Relaxed) < 5 {
                                eprintln!("run {number}: {error}");
                            }
                        }
                    }
                });
                while running.try_join_next().is_some() {}
            }
            _ = looks.tick() => {
                let runs = done.load(Ordering::Relaxed);
                samples.push(look(&server, lab, began.elapsed(), runs)?);
            }
        }
    }
    while running.join_next().await.is_some() {}
    std::fs::write(out.join("soak.csv"), table(&samples))?;
    std::fs::write(out.join("soak.svg"), picture(&samples))?;
    let memory = growth(&samples, |sample| sample.memory_mib);
    let journal = growth(&samples, |sample| sample.journal_mib);
    println!(
        "{} runs, {} failed; memory {}; journal {}; see {}",
        done.load(Ordering::Relaxed),
        failed.load(Ordering::Relaxed),
        memory.1,
        journal.1,
        out.join("soak.svg").display(),
    );
    if failed.load(Ordering::Relaxed) > 0 || memory.0 > FLAT || journal.0 > FLAT {
        return Err("not flat, or not without failures".into());
    }
    Ok(())
}

/// One run of the mix: streamed, with built-in tools, with programs, answered by a person, or cancelled with three at work.
async fn one(address: std::net::SocketAddr, number: u64) -> Result<()> {
    let mut connection = Connection::open(address).await?;
    match number % 8 {
        0..=2 => ask(&mut connection, Door::Native { crew: "paced" }, number).await.map(drop),
        3 | 4 => ask(&mut connection, Door::Native { crew: "five" }, number).await.map(drop),
        5 => ask(&mut connection, Door::Go { crew: "same" }, number).await.map(drop),
        6 => {
            let door = Door::Native { crew: "ask" };
            let path = format!("{}?wait=true", door.path());
            let run: Value =
                serde_json::from_slice(&connection.fetch("POST", &path, door.body(number)).await?)?;
            let run = run["id"].as_str().ok_or("a run without an id")?.to_owned();
            tokio::time::sleep(Duration::from_millis(500)).await;
            let answer = json!({"text": "the blue one"}).to_string();
            connection.fetch("POST", &format!("/v1/runs/{run}/answer"), answer).await?;
            Ok(())
        }
        _ => {
            let run = start(&mut connection, "parallel", number).await?;
            tokio::time::sleep(Duration::from_millis(150)).await;
            let path = format!("/v1/runs/{run}/cancel?wait=true");
            let told: Value = serde_json::from_slice(&connection.fetch("POST", &path, "{}").await?)?;
            if told["state"] == "cancelled" {
                Ok(())
            } else {
                Err(Failure::from(format!("not cancelled: {told}")))
            }
        }
    }
}

fn look(server: &Process, lab: &Lab, at: Duration, runs: u64) -> Result<Sample> {
    let held = server.held()?;
    Ok(Sample {
        seconds: at.as_secs_f64(),
        memory_mib: server.memory()?.now,
        journal_mib: lab.journal_bytes() as f64 / 1024.0 / 1024.0,
        runs,
        files: held.files,
        threads: held.threads,
        children: held.children,
    })
}

fn table(samples: &[Sample]) -> String {
    let mut text = "seconds,memory_mib,journal_mib,runs,files,threads,children\n".to_owned();
    for Sample { seconds, memory_mib, journal_mib, runs, files, threads, children } in samples {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{seconds:.1},{memory_mib:.2},{journal_mib:.2},{runs},{files},{threads},{children}"
        );
    }
    text
}

/// How many times the mean of the second quarter the mean of the last one is, and that in words.
fn growth(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> (f64, String) {
    let mean = |from: f64, to: f64| {
        let place = |part: f64| (samples.len() as f64 * part) as usize;
        let part = &samples[place(from)..place(to)];
        part.iter().map(&of).sum::<f64>() / part.len().max(1) as f64
    };
    let (warm, last) = (mean(WARM, 2.0 * WARM), mean(1.0 - WARM, 1.0));
    (last / warm, format!("{warm:.1} MiB in the second quarter, {last:.1} MiB in the last"))
}

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 220.0;

/// Two curves, one above the other.
fn picture(samples: &[Sample]) -> String {
    let curves = [
        curve(samples, "memory, MiB", |sample| sample.memory_mib),
        curve(samples, "journal, MiB", |sample| sample.journal_mib),
    ];
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" font-family=\"sans-serif\" font-size=\"12\">\n",
        WIDTH + 80.0,
        2.0 * (HEIGHT + 40.0)
    );
    for (place, curve) in curves.iter().enumerate() {
        let _ = writeln!(
            svg,
            "<g transform=\"translate(60 {})\">{curve}</g>",
            20.0 + place as f64 * (HEIGHT + 40.0)
        );
    }
    svg + "</svg>\n"
}

fn curve(samples: &[Sample], name: &str, of: impl Fn(&Sample) -> f64) -> String {
    let most = samples.iter().map(&of).fold(1.0, f64::max);
    let time = samples.last().map_or(1.0, |sample| sample.seconds.max(1.0));
    let points: Vec<String> = samples
        .iter()
        .map(|sample| {
            format!("{:.1},{:.1}", sample.seconds / time * WIDTH, HEIGHT - of(sample) / most * HEIGHT)
        })
        .collect();
    format!(
        "<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"none\" stroke=\"#999\"/><text x=\"4\" y=\"-4\">{name}</text>\
         <text x=\"-6\" y=\"10\" text-anchor=\"end\">{most:.0}</text><text x=\"-6\" y=\"{HEIGHT}\" text-anchor=\"end\">0</text>\
         <text x=\"{WIDTH}\" y=\"{}\" text-anchor=\"end\">{time:.0} s</text>\
         <polyline fill=\"none\" stroke=\"#06c\" stroke-width=\"1.5\" points=\"{}\"/>",
        HEIGHT + 14.0,
        points.join(" ")
    )
}
