//! One `boathouse serve` in a process of its own.

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::Failure;

/// How servers are started.
#[derive(Clone)]
pub(crate) struct Recipe {
    pub(crate) boathouse: PathBuf,
    pub(crate) dir: PathBuf,
    pub(crate) crews: Vec<PathBuf>,
    pub(crate) lease: Duration,
}

/// A server. Killed when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Child,
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Recipe {
    /// Starts one that dies at a crash point, if one is named; `None` if it died before it listened.
    pub(crate) async fn start(
        &self,
        place: usize,
        crash_at: Option<&str>,
    ) -> Result<Option<Server>, Failure> {
        let mut tries = 0;
        loop {
            match self.try_start(place, crash_at).await {
                // A server that is stopped in the middle of a write keeps the file for as long.
                Err(error) if tries < 5 && error.to_string().contains("database is locked") => tries += 1,
                started => return started,
            }
        }
    }

    async fn try_start(&self, place: usize, crash_at: Option<&str>) -> Result<Option<Server>, Failure> {
        let log = std::fs::File::options().create(true).append(true).open(self.log(place))?;
        let mut command = Command::new(&self.boathouse);
        command.arg("serve").args(&self.crews).args(["--port", "0", "--shared-file", "--lease-ms"]);
        command.arg(self.lease.as_millis().to_string()).arg("--journal").arg(self.journal());
        command.current_dir(&self.dir).env("BOATHOUSE_LOG", "warn").kill_on_drop(true);
        if let Some(at) = crash_at {
            command.env("BOATHOUSE_CRASH_AT", at);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no stdout")?).lines();
        while let Some(line) = lines.next_line().await? {
            let Some((_, rest)) = line.split_once("http://") else { continue };
            let address = rest.split_whitespace().next().unwrap_or_default().parse()?;
            return Ok(Some(Server { address, child, _stdout: lines }));
        }
        let status = child.wait().await?;
        if status.signal() == Some(Signal::KILL.as_raw()) {
            return Ok(None);
        }
        let said = std::fs::read_to_string(self.log(place))?;
        let last: Vec<&str> = said.lines().rev().take(4).collect();
        Err(format!("a server would not start: {status}; its last words, backwards: {last:#?}").into())
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.dir.join("runs.db")
    }

    pub(crate) fn log(&self, place: usize) -> PathBuf {
        self.dir.join(format!("server-{place}.log"))
    }
}

impl Server {
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(pid) = pid {
            // It may have died at its crash point.
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits until it has died of SIGKILL; another end is a failure.
    pub(crate) async fn died(&mut self) -> Result<(), Failure> {
        let status = self.child.wait().await?;
        if status.signal() == Some(Signal::KILL.as_raw()) {
            Ok(())
        } else {
            Err(format!("a server ended by itself: {status}").into())
        }
    }
}

/// Whether the binary was built with crash points: one that was not ignores the variable, and ends for want of a folder.
pub(crate) async fn has_crash_points(boathouse: &Path) -> Result<(), Failure> {
    let said = Command::new(boathouse)
        .args(["serve", "/nowhere", "--journal", "memory"])
        .env("BOATHOUSE_CRASH_AT", "nowhere")
        .output()
        .await?;
    if String::from_utf8_lossy(&said.stderr).contains("no crash point") {
        return Ok(());
    }
    Err(format!("{} has no crash points; build it with --features crash-points", boathouse.display()).into())
}
