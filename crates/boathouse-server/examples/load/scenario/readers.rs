//! A run that a thousand readers watch, each of which takes one byte a second, takes as long as with none.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

use crate::crews;
use crate::http::{Connection, Result};
use crate::lab::{Journal, Lab, millis, percentile, start};

/// Until the model's first piece: the time in which the readers come.
const FIRST_MS: u64 = 4000;

pub(crate) async fn run(lab: &Lab, readers: usize, pieces: usize, pace: u64, rounds: usize) -> Result<()> {
    let dirs = [crews::many(lab.dir.path(), pieces, FIRST_MS, pace)?];
    let server = lab.boathouse(&dirs, Journal::Sqlite).await?;
    let mut number = 0;
    for count in [0, readers] {
        let mut took = Vec::new();
        let before = server.memory()?.now;
        server.forget_peak()?;
        for _ in 0..rounds {
            number += 1;
            took.push(millis(watched_by(server.address, count, number).await?));
        }
        let memory = server.memory()?;
        println!(
            "{count} slow readers: a run of {pieces} pieces, {pace} ms between two, takes {:.0} ms beyond the wait for its model (median of {rounds}: {}); {:.1} MiB before, {:.1} at most",
            percentile(&mut took, 0.5) - FIRST_MS as f64,
            took.iter().map(|ms| format!("{:.0}", ms - FIRST_MS as f64)).collect::<Vec<_>>().join(", "),
            before,
            memory.peak,
        );
    }
    Ok(())
}

/// How long a run takes, from its start to the answer of the one who waits for it.
async fn watched_by(address: SocketAddr, readers: usize, number: u64) -> Result<Duration> {
    let mut connection = Connection::open(address).await?;
    let began = Instant::now();
    let run = start(&mut connection, "many", number).await?;
    let mut reading = JoinSet::new();
    for _ in 0..readers {
        reading.spawn(one_byte_a_second(address, run.clone()));
    }
    // A reader of events only, who is quick: its stream ends with the run.
    let path = format!("/v1/runs/{run}/events?deltas=false");
    let response = connection.send("GET", &path, "text/event-stream", "").await?;
    let told = http_body_util::BodyExt::collect(response.into_body()).await?.to_bytes();
    let took = began.elapsed();
    if crate::http::find(&told, b"\"run_ended\",\"state\":\"completed\"").is_none() {
        return Err("the run did not complete".into());
    }
    if let Some(Ok(Err(error))) = reading.try_join_next() {
        return Err(format!("a reader has ended: {error}").into());
    }
    reading.shutdown().await;
    Ok(took)
}

async fn one_byte_a_second(address: SocketAddr, run: String) -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    let mut socket = socket.connect(address).await?;
    let head = format!("GET /v1/runs/{run}/events HTTP/1.1\r\nhost: localhost\r\n\r\n");
    socket.write_all(head.as_bytes()).await?;
    let mut byte = [0];
    while socket.read(&mut byte).await? > 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}
