//! A process under test, and what Linux knows of it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::http::Result;

/// A server in a process of its own. Killed when dropped.
pub(crate) struct Process {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// From the start of the process to the line that says where it listens.
    pub(crate) started_in: Duration,
    pid: u32,
    child: Child,
    _stdout: Lines<BufReader<ChildStdout>>,
}

/// Memory in MiB.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) now: f64,
    pub(crate) peak: f64,
}

/// What a process holds open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) files: usize,
    pub(crate) sockets: usize,
    pub(crate) threads: usize,
    pub(crate) children: usize,
}

impl Process {
    /// Starts a program that prints `http://<address>` once it listens. What it logs goes to a file.
    pub(crate) async fn start(mut command: Command, log: &Path) -> Result<Process> {
        let began = Instant::now();
        let log = std::fs::File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn()?;
        let pid = child.id().ok_or("the process is gone")?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no stdout")?).lines();
        while let Some(line) = lines.next_line().await? {
            let Some((_, rest)) = line.split_once("http://") else { continue };
            let address = rest.split_whitespace().next().unwrap_or_default().trim_end_matches('/').parse()?;
            return Ok(Process { address, started_in: began.elapsed(), pid, child, _stdout: lines });
        }
        Err(format!("{command:?} ended before it listened").into())
    }

    /// Kills it, as a crash would, and waits until it is gone.
    pub(crate) async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Processor time in user and system mode, all threads. Source: proc_pid_stat(5); 100 ticks are a second.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = self.read("stat")?;
        // The name, which may hold anything, is in parentheses; the fields after it begin with the third.
        let fields: Vec<&str> =
            stat.rsplit_once(')').ok_or("unreadable stat")?.1.split_whitespace().collect();
        let ticks = |field: usize| -> Result<u64> { Ok(fields.get(field - 3).ok_or("short stat")?.parse()?) };
        Ok(Duration::from_millis((ticks(14)? + ticks(15)?) * 10))
    }

    /// Resident memory now, and the most it was since [`Process::forget_peak`].
    pub(crate) fn memory(&self) -> Result<Memory> {
        let status = self.read("status")?;
        let kib = |name: &str| -> Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
            Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
        };
        Ok(Memory { now: kib("VmRSS:")?, peak: kib("VmHWM:")? })
    }

    /// Source: proc_pid_clear_refs(5).
    pub(crate) fn forget_peak(&self) -> Result<()> {
        Ok(std::fs::write(format!("/proc/{}/clear_refs", self.pid), "5")?)
    }

    pub(crate) fn held(&self) -> Result<Held> {
        let mut held = Held { files: 0, sockets: 0, threads: 0, children: 0 };
        for file in std::fs::read_dir(format!("/proc/{}/fd", self.pid))? {
            held.files += 1;
            let target = std::fs::read_link(file?.path()).unwrap_or_default();
            held.sockets += usize::from(target.to_string_lossy().starts_with("socket:"));
        }
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.pid))? {
            held.threads += 1;
            let children = std::fs::read_to_string(thread?.path().join("children")).unwrap_or_default();
            held.children += children.split_whitespace().count();
        }
        Ok(held)
    }

    fn read(&self, name: &str) -> Result<String> {
        Ok(std::fs::read_to_string(format!("/proc/{}/{name}", self.pid))?)
    }
}
