//! What a server takes that does nothing, and how soon it serves.

use std::time::{Duration, Instant};

use crate::crews;
use crate::http::{Connection, Result};
use crate::lab::{Door, Journal, Lab, ask, millis, percentile};

pub(crate) async fn run(lab: &Lab, times: usize) -> Result<()> {
    let dirs = [crews::one(lab.dir.path(), "one", "plain")?];
    for (journal, name) in [(Journal::Memory, "memory"), (Journal::Sqlite, "SQLite")] {
        let (mut listening, mut answered, mut served) = (Vec::new(), Vec::new(), Vec::new());
        let mut idle = Vec::new();
        for time in 0..times {
            let began = Instant::now();
            let server = lab.boathouse(&dirs, journal).await?;
            listening.push(millis(server.started_in));
            let mut connection = Connection::open(server.address).await?;
            connection.fetch("GET", "/v1/crews", "").await?;
            answered.push(millis(began.elapsed()));
            if time == 0 {
                tokio::time::sleep(Duration::from_secs(2)).await;
                idle.push(server.memory()?.now);
                let before = server.cpu()?;
                tokio::time::sleep(Duration::from_secs(5)).await;
                println!("{name}: {:.0} ms CPU in 5 idle seconds", millis(server.cpu()? - before));
            }
            let began = Instant::now();
            ask(&mut connection, Door::Native { crew: "one" }, 0).await?;
            served.push(millis(began.elapsed()));
        }
        println!(
            "{name}: idle {:.1} MiB; from start to listening {:.1} ms, to the first request served {:.1} ms; a first run {:.1} ms (medians of {times})",
            idle.first().copied().unwrap_or_default(),
            percentile(&mut listening, 0.5),
            percentile(&mut answered, 0.5),
            percentile(&mut served, 0.5),
        );
    }
    Ok(())
}
