//! How long the model is paid for after nobody wants the reply.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::task::JoinSet;

use crate::crews;
use crate::http::{Connection, Failure, Result};
use crate::lab::{Door, Journal, Lab, percentile, start};

/// A reply takes a second; its first piece comes after 200 ms.
const IN_THE_MIDST: Duration = Duration::from_millis(400);

/// How the run is given up.
#[derive(Clone, Copy)]
enum How {
    /// The client closes its connection to the Go endpoint.
    Gone,
    /// `POST /v1/runs/{id}/cancel`.
    Told,
}

fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

/// Begins a run, lets the model speak for a while, and gives the run up. Gives the time of that.
async fn give_up(address: SocketAddr, number: u64, how: How) -> Result<u128> {
    let mut connection = Connection::open(address).await?;
    match how {
        How::Gone => {
            let door = Door::Go { crew: "slow" };
            let response =
                connection.send("POST", &door.path(), "text/event-stream", door.body(number)).await?;
            tokio::time::sleep(IN_THE_MIDST).await;
            let at = now();
            drop((response, connection));
            Ok(at)
        }
        How::Told => {
            let run = start(&mut connection, "slow", number).await?;
            tokio::time::sleep(IN_THE_MIDST).await;
            let at = now();
            connection.fetch("POST", &format!("/v1/runs/{run}/cancel"), "{}").await?;
            Ok(at)
        }
    }
}

async fn measure(lab: &Lab, address: SocketAddr, name: &str, from: u64, times: u64, how: How) -> Result<()> {
    const AT_ONCE: u64 = 25;
    let mut given_up = HashMap::new();
    for batch in (from..from + times).step_by(AT_ONCE as usize) {
        let mut working = JoinSet::new();
        for number in batch..(batch + AT_ONCE).min(from + times) {
            working.spawn(async move { Ok::<_, Failure>((number, give_up(address, number, how).await?)) });
        }
        while let Some(done) = working.join_next().await {
            let (number, at) = done??;
            given_up.insert(number, at);
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut connection = Connection::open(lab.upstream.address).await?;
    let drops: HashMap<String, String> =
        serde_json::from_slice(&connection.fetch("GET", "/drops", "").await?)?;
    let mut took = Vec::new();
    for (number, at) in &given_up {
        if let Some(dropped) = drops.get(&number.to_string()) {
            took.push(dropped.parse::<u128>()?.saturating_sub(*at) as f64 / 1e6);
        }
    }
    println!(
        "{name}: {} of {times} model requests were dropped; after {:.2} ms median, {:.2} p99, {:.2} at most",
        took.len(),
        percentile(&mut took, 0.5),
        percentile(&mut took, 0.99),
        percentile(&mut took, 1.0),
    );
    Ok(())
}

pub(crate) async fn run(lab: &Lab, times: u64) -> Result<()> {
    let dirs = [crews::slow(lab.dir.path())?];
    let server = lab.boathouse(&dirs, Journal::Sqlite).await?;
    measure(lab, server.address, "client of the Go endpoint gone", 0, times, How::Gone).await?;
    measure(lab, server.address, "run cancelled over /v1", times, times, How::Told).await?;
    println!("open at the upstream: {}", lab.upstream_count("open").await?);
    Ok(())
}
