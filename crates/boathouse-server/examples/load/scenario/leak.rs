//! What is left of runs that were cancelled in full flight: nothing.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::crews;
use crate::http::{Connection, Failure, Result};
use crate::lab::{Journal, Lab, start};
use crate::process::{Held, Process};

/// Time for threads that the runtime keeps in reserve, and for idle connections, to go.
const SETTLES_WITHIN: Duration = Duration::from_secs(120);

pub(crate) async fn run(lab: &Lab, batches: usize, runs: u64) -> Result<()> {
    println!(
        "{batches} batches of {runs} runs with a group of three agents, all cancelled while the models speak\n"
    );
    let dirs = [crews::parallel(lab.dir.path())?];
    let server = lab.boathouse(&dirs, Journal::Sqlite).await?;
    // Threads and files that are made at first use are no leak.
    batch(&server, 8).await?;
    let before = settled(&server, None).await?;
    println!("before:  {before:?} {:.1} MiB", server.memory()?.now);
    for number in 1..=batches {
        let took = batch(&server, runs).await?;
        let after = settled(&server, Some(before)).await?;
        println!(
            "batch {number}: {after:?} {:.1} MiB; cancelled in {:.2} s; {}; {} open at the upstream",
            server.memory()?.now,
            took.as_secs_f64(),
            if after == before { "as before" } else { "NOT as before" },
            lab.upstream_count("open").await?,
        );
    }
    Ok(())
}

/// Runs and cancels; gives how long the cancelling took.
async fn batch(server: &Process, runs: u64) -> Result<Duration> {
    let address = server.address;
    let mut starting = JoinSet::new();
    for number in 0..runs {
        starting.spawn(async move {
            let mut connection = Connection::open(address).await?;
            let run = start(&mut connection, "parallel", number).await?;
            Ok::<_, Failure>((connection, run))
        });
    }
    let mut started = Vec::new();
    while let Some(run) = starting.join_next().await {
        started.push(run??);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    let mut cancelling = JoinSet::new();
    for (mut connection, run) in started {
        cancelling.spawn(async move {
            let told = connection.fetch("POST", &format!("/v1/runs/{run}/cancel?wait=true"), "{}").await?;
            let told: serde_json::Value = serde_json::from_slice(&told)?;
            if told["state"] == "cancelled" {
                Ok(())
            } else {
                Err(Failure::from(format!("not cancelled: {told}")))
            }
        });
    }
    while let Some(done) = cancelling.join_next().await {
        done??;
    }
    Ok(began.elapsed())
}

/// What the process holds once it holds `wanted`, or the same for five seconds, or time is up.
async fn settled(server: &Process, wanted: Option<Held>) -> Result<Held> {
    let began = Instant::now();
    let (mut held, mut since) = (server.held()?, Instant::now());
    loop {
        let quiet = wanted.is_none() && since.elapsed() > Duration::from_secs(15);
        if Some(held) == wanted || quiet || began.elapsed() > SETTLES_WITHIN {
            return Ok(held);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = server.held()?;
        if now != held {
            (held, since) = (now, Instant::now());
        }
    }
}
