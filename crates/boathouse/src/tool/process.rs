//! A subprocess from its start until nothing of its process group is alive.
//!
//! The program leads a process group of its own, gets no input, and its output is read to the end while only a
//! bounded part of it is kept. When the program has ended, what is left of its group is killed: a call has an end.
//! A process that leaves the group on purpose (`setsid`) is not followed, and cannot make the call hang.

use std::convert::Infallible;
use std::future::pending;
use std::io::ErrorKind;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use boathouse_core::run::event::CallEnd;
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, test_kill_process_group, waitpgid};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::{ToolCx, ToolError};

/// How long output that is already on its way may take, once the whole group is killed.
const DRAIN: Duration = Duration::from_millis(250);
/// How long killed processes may take to be gone; only ones that are stuck in the kernel take longer.
const GONE: Duration = Duration::from_millis(500);
/// Pauses between looks at a group that is about to end: the first, and the longest.
const LOOK: Duration = Duration::from_millis(1);
const MAX_LOOK: Duration = Duration::from_millis(50);

/// What a program that ended by itself left.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a program until it ends, keeping at most `max_bytes` of each of its outputs.
///
/// When `cx.cancelled` fires, the group gets SIGTERM, then three quarters of `cx.grace`, then SIGKILL; the answer is
/// [`ToolError::Stopped`] with [`CallEnd::Terminated`] or [`CallEnd::Killed`]. A program that cannot be started is
/// [`ToolError::Refused`]. Dropping the future kills the group at once.
pub(crate) async fn run(mut command: Command, max_bytes: usize, cx: &ToolCx) -> Result<Ended, ToolError> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null());
    let (mut child, mut group) = start(command)?;
    let mut stdout = Kept::new(child.stdout.take(), max_bytes);
    let mut stderr = Kept::new(child.stderr.take(), max_bytes);

    let status = tokio::select! {
        biased;
        status = child.wait() => Some(status),
        () = cx.cancelled.cancelled() => None,
        never = read_for_ever(&mut stdout, &mut stderr) => match never {},
    };
    if let Some(status) = status {
        group.signal(Signal::KILL);
        let _ = timeout(DRAIN, read_to_end(&mut stdout, &mut stderr)).await;
        let _ = timeout(GONE, group.gone()).await;
        group.forget();
        let status = status.map_err(|error| {
            ToolError::Unknown(format!("`{program}` was started, but its end could not be seen: {error}"))
        })?;
        return Ok(Ended { status, stdout: stdout.into_text(), stderr: stderr.into_text() });
    }

    group.signal(Signal::TERM);
    let terminated = async {
        let _ = tokio::join!(child.wait(), read_to_end(&mut stdout, &mut stderr));
        group.gone().await;
    };
    let end = match timeout(cx.grace * 3 / 4, terminated).await {
        Ok(()) => CallEnd::Terminated,
        Err(_) => {
            group.signal(Signal::KILL);
            let _ = child.wait().await;
            let _ = timeout(GONE.min(cx.grace / 8), group.gone()).await;
            CallEnd::Killed
        }
    };
    group.forget();
    Err(ToolError::Stopped(end))
}

/// Starts a program that leads a group of its own, with pipes for its outputs. What cannot be started is
/// [`ToolError::Refused`].
pub(super) fn start(mut command: Command) -> Result<(Child, Group), ToolError> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let child = command.spawn().map_err(|error| cannot_start(&program, &error))?;
    // Its id is known until it has been waited for.
    let group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    Ok((child, group))
}

fn cannot_start(program: &str, error: &std::io::Error) -> ToolError {
    let why = match error.kind() {
        ErrorKind::NotFound => "no such program or working directory on this machine".to_owned(),
        ErrorKind::PermissionDenied => "it may not be executed".to_owned(),
        _ => error.to_string(),
    };
    ToolError::Refused(format!("cannot start `{program}`: {why}"))
}

/// A process group; killed when dropped, unless it was forgotten.
pub(super) struct Group(Option<Pid>);

impl Group {
    /// Errors are no news: the group is gone, or holds only processes of other users.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, signal);
        }
    }

    /// Waits until no process of the group runs. To be called when its leader has been waited for.
    pub(super) async fn gone(&self) {
        let Some(group) = self.0 else { return };
        let mut pause = LOOK;
        loop {
            // Where we are process 1, or a subreaper, the leader's orphans are our children.
            while let Ok(Some(_)) = waitpgid(group, WaitOptions::NOHANG) {}
            if test_kill_process_group(group) == Err(rustix::io::Errno::SRCH) || only_zombies(group) {
                return;
            }
            sleep(pause).await;
            pause = (pause * 2).min(MAX_LOOK);
        }
    }

    pub(super) fn forget(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Whether all that is left of a group has ended and only waits for process 1 to collect it, which may take seconds
/// in a container. Source: proc_pid_stat(5). False where there is no `/proc`.
fn only_zombies(group: Pid) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else { return false };
    let mut seen = false;
    for process in processes.flatten() {
        let is_process = process.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit);
        let Some(stat) = is_process.then(|| std::fs::read(process.path().join("stat")).ok()).flatten() else {
            continue;
        };
        // `pid (name) state ppid pgrp ...`; the name may hold anything, also parentheses.
        let stat = String::from_utf8_lossy(&stat);
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        let mut fields = rest.split(' ');
        let (state, pgrp) = (fields.next(), fields.nth(1).and_then(|pgrp| pgrp.parse().ok()));
        if pgrp == Some(group.as_raw_nonzero().get()) {
            if !matches!(state, Some("Z" | "X")) {
                return false;
            }
            seen = true;
        }
    }
    seen
}

/// The beginning of what a pipe gave.
pub(super) struct Kept<R> {
    pipe: Option<R>,
    bytes: Vec<u8>,
    max: usize,
    more: bool,
}

impl<R: AsyncRead + Unpin> Kept<R> {
    pub(super) fn new(pipe: Option<R>, max: usize) -> Kept<R> {
        Kept { pipe, bytes: Vec::new(), max, more: false }
    }

    /// Reads on to the end of the pipe. Dropping the future loses nothing; it may be called again.
    pub(super) async fn read_to_end(&mut self) {
        let mut chunk = [0; 8192];
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut chunk).await {
                Ok(0) => self.pipe = None,
                Ok(n) => {
                    let room = self.max - self.bytes.len();
                    self.bytes.extend_from_slice(&chunk[..n.min(room)]);
                    self.more |= n > room;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.pipe = None,
            }
        }
    }

    /// As text: what is not UTF-8, and zero bytes, become U+FFFD. Where something is missing, a mark says so.
    pub(super) fn into_text(self) -> String {
        let mut text = String::from_utf8_lossy(&self.bytes).replace('\0', "\u{FFFD}");
        if self.more {
            text.truncate(text.trim_end_matches('\u{FFFD}').len());
            text.push_str(&super::call::cut_mark(self.max));
        }
        text
    }
}

async fn read_to_end<A, B>(stdout: &mut Kept<A>, stderr: &mut Kept<B>)
where
    A: AsyncRead + Unpin,
    B: AsyncRead + Unpin,
{
    tokio::join!(stdout.read_to_end(), stderr.read_to_end());
}

async fn read_for_ever<A, B>(stdout: &mut Kept<A>, stderr: &mut Kept<B>) -> Infallible
where
    A: AsyncRead + Unpin,
    B: AsyncRead + Unpin,
{
    read_to_end(stdout, stderr).await;
    pending().await
}
