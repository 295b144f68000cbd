//! Runs that were in flight when the server died go on at the next start.

use std::time::{Duration, Instant};

use crate::crews;
use crate::http::{Connection, Result};
use crate::lab::{Journal, Lab, millis, start};

pub(crate) async fn run(lab: &Lab, runs: u64) -> Result<()> {
    let dirs = [crews::endless(lab.dir.path())?];
    let server = lab.boathouse(&dirs, Journal::Sqlite).await?;
    let mut connection = Connection::open(server.address).await?;
    for number in 0..runs {
        start(&mut connection, "endless", number).await?;
    }
    reached(lab, "open", runs).await?;
    let before = lab.upstream_count("started").await?;
    server.kill().await?;
    reached(lab, "dropped", runs).await?;

    let began = Instant::now();
    let server = lab.boathouse(&dirs, Journal::Kept).await?;
    let listening = server.started_in;
    reached(lab, "started", before + 1).await?;
    let first = began.elapsed();
    reached(lab, "started", before + runs).await?;
    let all = began.elapsed();
    let memory = server.memory()?;
    println!(
        "{runs} runs in flight when the server was killed; from the next start to listening {:.0} ms, to the first run's model call {:.0} ms, to the last one's {:.0} ms; {:.1} MiB",
        millis(listening),
        millis(first),
        millis(all),
        memory.now,
    );
    Ok(())
}

/// Waits until a count at the model's server has come so far.
async fn reached(lab: &Lab, count: &str, wanted: u64) -> Result<()> {
    let began = Instant::now();
    while lab.upstream_count(count).await? < wanted {
        if began.elapsed() > Duration::from_secs(120) {
            return Err(format!("{count} never came to {wanted}").into());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}
