//! The processes of an experiment, and the clients that drive them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::http::{self, Connection, Result};
use crate::process::Process;

/// A folder, a fake upstream, and what is started beside it.
pub(crate) struct Lab {
    pub(crate) dir: TempDir,
    pub(crate) upstream: Process,
    boathouse: PathBuf,
    /// SQLite journals so far; each server gets one of its own.
    journals: AtomicU64,
}

/// Where runs are kept.
#[derive(Clone, Copy)]
pub(crate) enum Journal {
    Memory,
    Sqlite,
    /// The newest SQLite journal, as the last server left it.
    Kept,
}

impl Lab {
    /// `boathouse` is the binary under test; else the one that was built beside this program.
    pub(crate) async fn new(boathouse: Option<PathBuf>) -> Result<Lab> {
        let me = std::env::current_exe()?;
        let beside = || me.parent().and_then(Path::parent).map(|dir| dir.join("boathouse"));
        let boathouse = boathouse.or_else(beside).ok_or("this program lies in no folder")?;
        if cfg!(debug_assertions) {
            eprintln!("warning: this is a debug build; its figures mean nothing");
        }
        let dir = TempDir::new()?;
        let mut command = Command::new(me);
        command.arg("upstream");
        let upstream = Process::start(command, &dir.path().join("upstream.log")).await?;
        Ok(Lab { dir, upstream, boathouse, journals: AtomicU64::new(0) })
    }

    pub(crate) async fn relay(&self) -> Result<Process> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("relay").arg(self.upstream.address.to_string());
        Process::start(command, &self.dir.path().join("relay.log")).await
    }

    /// `boathouse serve`, with a fresh journal unless it is to keep the last one.
    pub(crate) async fn boathouse(&self, crews: &[PathBuf], journal: Journal) -> Result<Process> {
        self.boathouse_with(crews, journal, &[]).await
    }

    /// The same with further arguments.
    pub(crate) async fn boathouse_with(
        &self,
        crews: &[PathBuf],
        journal: Journal,
        arguments: &[&str],
    ) -> Result<Process> {
        let mut command = Command::new(&self.boathouse);
        command.arg("serve").args(crews).args(arguments).args(["--port", "0", "--journal"]);
        match journal {
            Journal::Memory => command.arg("memory"),
            Journal::Sqlite => {
                self.journals.fetch_add(1, Ordering::Relaxed);
                command.arg(&self.journal_files()[0])
            }
            Journal::Kept => command.arg(&self.journal_files()[0]),
        };
        command
            .env("OPENAI_BASE_URL", format!("http://{}/v1", self.upstream.address))
            .env("OPENAI_API_KEY", "dummy")
            .env("BOATHOUSE_LOG", "warn")
            .current_dir(self.dir.path());
        let log = self.dir.path().join("boathouse.log");
        Process::start(command, &log).await.map_err(|error| {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            format!("{}: {error}\n{said}", self.boathouse.display()).into()
        })
    }

    /// What `boathouse` has logged.
    pub(crate) fn logged(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("boathouse.log")).unwrap_or_default()
    }

    /// Bytes of the newest SQLite journal, its log included.
    pub(crate) fn journal_bytes(&self) -> u64 {
        self.journal_files().iter().filter_map(|file| file.metadata().ok()).map(|data| data.len()).sum()
    }

    fn journal_files(&self) -> [PathBuf; 3] {
        let number = self.journals.load(Ordering::Relaxed);
        ["", "-wal", "-shm"].map(|end| self.dir.path().join(format!("runs-{number}.db{end}")))
    }

    /// A number that the upstream counts: `started`, `finished`, `dropped`, `open`.
    pub(crate) async fn upstream_count(&self, name: &str) -> Result<u64> {
        let mut connection = Connection::open(self.upstream.address).await?;
        let told: serde_json::Value = serde_json::from_slice(&connection.fetch("GET", "/stats", "").await?)?;
        Ok(told[name].as_u64().ok_or("no such counter")?)
    }
}

/// How a run is asked for, and how its stream ends when all went well.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Door {
    /// The relay, asked for a script.
    Relay { model: &'static str, whole: bool },
    /// `POST /v1/crews/{crew}/runs` with a stream of events and deltas.
    Native { crew: &'static str },
    /// `POST /api/crew/stream`.
    Go { crew: &'static str },
}

impl Door {
    pub(crate) fn path(self) -> String {
        match self {
            Door::Relay { .. } => "/run".to_owned(),
            Door::Native { crew } => format!("/v1/crews/{crew}/runs"),
            Door::Go { crew } => format!("/api/crew/stream?crew={crew}"),
        }
    }

    /// The request's body; the run's words hold its number.
    pub(crate) fn body(self, number: u64) -> String {
        let input = format!("Tell me about probe-{number} in forty words.");
        match self {
            Door::Relay { model, whole } => json!({"model": model, "input": input, "whole": whole}),
            Door::Native { .. } => json!({"input": input}),
            Door::Go { .. } => json!({"query": input}),
        }
        .to_string()
    }

    fn is_done(self, stream: &[u8]) -> bool {
        let last = &stream[stream.len().saturating_sub(4096)..];
        match self {
            Door::Relay { .. } | Door::Go { .. } => http::find(last, b"\"type\":\"done\"").is_some(),
            Door::Native { .. } => {
                http::find(last, b"\"type\":\"run_ended\",\"state\":\"completed\"").is_some()
            }
        }
    }

    /// What tells a piece of text: whichever comes first. A reader that comes late is given the reply as it is by then.
    fn pieces(self) -> &'static [&'static [u8]] {
        match self {
            Door::Relay { whole: false, .. } => &[b"\"type\":\"delta\""],
            Door::Relay { whole: true, .. } => &[b"\"type\":\"reply\""],
            Door::Native { .. } => {
                &[b"\"type\":\"delta\"", b"\"type\":\"reply_snapshot\"", b"\"type\":\"model_replied\""]
            }
            Door::Go { .. } => &[b"\"type\":\"agent_response\""],
        }
    }
}

/// One run as its client saw it.
pub(crate) struct Seen {
    pub(crate) number: u64,
    pub(crate) first_piece: Duration,
    pub(crate) whole: Duration,
    pub(crate) bytes: Vec<u8>,
}

/// Asks for a run and reads its stream to the end.
pub(crate) async fn ask(connection: &mut Connection, door: Door, number: u64) -> Result<Seen> {
    let began = Instant::now();
    let response = connection.send("POST", &door.path(), "text/event-stream", door.body(number)).await?;
    let mut body = response.into_body();
    let mut bytes = Vec::with_capacity(8192);
    let mut first_piece = None;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        bytes.extend_from_slice(&data);
        if first_piece.is_none() && door.pieces().iter().any(|mark| http::find(&bytes, mark).is_some()) {
            first_piece = Some(began.elapsed());
        }
    }
    let whole = began.elapsed();
    match first_piece {
        Some(first_piece) if door.is_done(&bytes) => Ok(Seen { number, first_piece, whole, bytes }),
        _ => {
            let end = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(600)..]).into_owned();
            Err(format!("the stream of run {number} did not end well; its last bytes: {end}").into())
        }
    }
}

/// Starts a run that nobody watches; gives its id.
pub(crate) async fn start(connection: &mut Connection, crew: &'static str, number: u64) -> Result<String> {
    let door = Door::Native { crew };
    let started = connection.fetch("POST", &door.path(), door.body(number)).await?;
    let started: serde_json::Value = serde_json::from_slice(&started)?;
    Ok(started["id"].as_str().ok_or("a run without an id")?.to_owned())
}

/// What many runs took.
pub(crate) struct Driven {
    pub(crate) wall: Duration,
    pub(crate) runs: Vec<Seen>,
    pub(crate) errors: Vec<String>,
}

/// Drives `runs` runs with so many clients, each with one connection and one run at a time. With as many clients as
/// runs all begin at once.
pub(crate) async fn drive(address: SocketAddr, door: Door, clients: usize, runs: u64) -> Result<Driven> {
    drive_in_steps(address, door, clients, runs, Duration::ZERO).await
}

/// The same, where the clients begin one after the other, `ramp` between the first and the last.
pub(crate) async fn drive_in_steps(
    address: SocketAddr,
    door: Door,
    clients: usize,
    runs: u64,
    ramp: Duration,
) -> Result<Driven> {
    let mut connections = Vec::with_capacity(clients);
    for _ in 0..clients {
        connections.push(Connection::open(address).await?);
    }
    let next = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut working = JoinSet::new();
    for (place, mut connection) in connections.into_iter().enumerate() {
        let next = next.clone();
        let start = began + ramp.mul_f64(place as f64 / clients as f64);
        working.spawn(async move {
            tokio::time::sleep_until(start.into()).await;
            let mut seen = Vec::new();
            let mut errors = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= runs {
                    return (seen, errors);
                }
                match ask(&mut connection, door, number).await {
                    Ok(run) => seen.push(run),
                    Err(error) => {
                        errors.push(error.to_string());
                        match Connection::open(address).await {
                            Ok(fresh) => connection = fresh,
                            Err(_) => return (seen, errors),
                        }
                    }
                }
            }
        });
    }
    let mut driven = Driven { wall: Duration::ZERO, runs: Vec::new(), errors: Vec::new() };
    while let Some(done) = working.join_next().await {
        let (seen, errors) = done?;
        driven.runs.extend(seen);
        driven.errors.extend(errors);
    }
    driven.wall = began.elapsed();
    Ok(driven)
}

/// The value below which the share `p` of all lies.
pub(crate) fn percentile(values: &mut [f64], p: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = ((values.len() as f64 * p).ceil() as usize).clamp(1, values.len().max(1)) - 1;
    values.get(place).copied().unwrap_or(f64::NAN)
}

/// Milliseconds.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
