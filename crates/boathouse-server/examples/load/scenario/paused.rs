//! Very many paused runs in one file: the server starts as fast as with none, and each can be answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::crews;
use crate::http::{Connection, Failure, Result};
use crate::lab::{Door, Journal, Lab, millis};

const CLIENTS: u64 = 32;

pub(crate) async fn run(lab: &Lab, runs: u64) -> Result<()> {
    let dirs = [crews::asking(lab.dir.path())?];
    let server = lab.boathouse(&dirs, Journal::Sqlite).await?;
    let address = server.address;
    let began = Instant::now();
    let paused = Arc::new(Mutex::new(Vec::new()));
    each(runs, CLIENTS, {
        let paused = paused.clone();
        move |number| {
            let paused = paused.clone();
            async move {
                let door = Door::Native { crew: "ask" };
                let mut connection = Connection::open(address).await?;
                let path = format!("{}?wait=true", door.path());
                let run = told(&connection.fetch("POST", &path, door.body(number)).await?, "paused")?;
                paused.lock().await.push(run);
                Ok(())
            }
        }
    })
    .await?;
    println!("{runs} runs were paused in {:.1} s", began.elapsed().as_secs_f64());
    server.kill().await?;

    let began = Instant::now();
    let server = lab.boathouse(&dirs, Journal::Kept).await?;
    let listening = server.started_in;
    let address = server.address;
    Connection::open(address).await?.fetch("GET", "/v1/runs?state=paused", "").await?;
    let served = began.elapsed();
    tokio::time::sleep(Duration::from_secs(2)).await;
    println!(
        "with them, from start to listening {:.0} ms, to the first request served {:.0} ms; {:.1} MiB; {:.1} MiB of journal",
        millis(listening),
        millis(served),
        server.memory()?.now,
        lab.journal_bytes() as f64 / 1024.0 / 1024.0,
    );

    let began = Instant::now();
    each(runs, CLIENTS, move |number| {
        let paused = paused.clone();
        async move {
            let run = paused.lock().await.get(number as usize).cloned().ok_or("a run was not paused")?;
            let mut connection = Connection::open(address).await?;
            let answer = json!({"text": "the blue one"}).to_string();
            connection.fetch("POST", &format!("/v1/runs/{run}/answer"), answer).await?;
            loop {
                let shown = connection.fetch("GET", &format!("/v1/runs/{run}"), "").await?;
                if told(&shown, "completed").is_ok() {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    })
    .await?;
    println!(
        "each was answered and has completed, in {:.1} s; {:.1} MiB then",
        began.elapsed().as_secs_f64(),
        server.memory()?.now
    );
    Ok(())
}

/// The id of a run that must be in this state.
fn told(body: &[u8], state: &str) -> Result<String> {
    let run: Value = serde_json::from_slice(body)?;
    if run["state"] == state {
        Ok(run["id"].as_str().ok_or("a run without an id")?.to_owned())
    } else {
        Err(format!("not {state}: {run}").into())
    }
}

/// Does something for each number, with so many clients.
async fn each<F, A>(numbers: u64, clients: u64, work: F) -> Result<()>
where
    F: Fn(u64) -> A + Clone + Send + 'static,
    A: Future<Output = Result<()>> + Send + 'static,
{
    let mut working = JoinSet::new();
    for client in 0..clients {
        let work = work.clone();
        working.spawn(async move {
            for number in (client..numbers).step_by(clients as usize) {
                work(number).await?;
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(done) = working.join_next().await {
        done??;
    }
    Ok(())
}
