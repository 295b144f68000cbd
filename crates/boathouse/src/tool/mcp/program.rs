//! An MCP server that is started here: its process group, and the lines that it writes.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rmcp::RoleClient;
use rmcp::transport::async_rw::AsyncRwTransport;
use rustix::process::Signal;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::time::timeout;

use crate::tool::process::{self, Group, Kept};
use crate::tool::{ToolError, program};

use super::MAX_MESSAGE;

/// Bytes of its standard error that are kept, for whoever wants to know why it did not start.
const MAX_STDERR: usize = 4096;
/// How long a program may take to end once its input is closed, and once more after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the end of a program may take whose output has ended.
const SOON: Duration = Duration::from_millis(500);

/// What messages come and go through.
pub(super) type Lines = AsyncRwTransport<RoleClient, Bounded<ChildStdout>, ChildStdin>;

/// A program at work. Dropping it kills its group.
pub(super) struct Program {
    child: Child,
    group: Group,
    stderr: Kept<ChildStderr>,
}

/// Starts a server in the crew's folder. What is wrong with its messages is noted in `fault`.
pub(super) fn start(
    argv: &[String],
    env: &[String],
    crew_dir: Option<&Path>,
    fault: Arc<OnceLock<String>>,
) -> Result<(Program, Lines), ToolError> {
    let Some((name, arguments)) = argv.split_first() else {
        return Err(ToolError::Refused("it has no program to start".to_owned()));
    };
    let mut command = program::command(name, env, crew_dir)?;
    command.args(arguments).stdin(Stdio::piped());
    if let Some(dir) = crew_dir {
        command.current_dir(dir);
    }
    let (mut child, group) = process::start(command)?;
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(ToolError::Failed("it has no pipes to speak through".to_owned()));
    };
    let stderr = Kept::new(child.stderr.take(), MAX_STDERR);
    let stdout = Bounded { pipe: stdout, line: 0, fault };
    // Longer lines would be skipped, and their call would wait for ever; ours end the connection.
    let lines = AsyncRwTransport::new_client(stdout, stdin).with_max_line_length(usize::MAX);
    Ok((Program { child, group, stderr }, lines))
}

impl Program {
    /// Waits for its end, and says how it came. Cancel safe.
    pub(super) async fn ended(&mut self) -> String {
        tokio::select! {
            status = self.child.wait() => in_words(status),
            // Its errors are read all the time, so that it never waits for us.
            how = async {
                self.stderr.read_to_end().await;
                std::future::pending().await
            } => how,
        }
    }

    /// How it ended, if it does so now.
    pub(super) async fn ended_by_now(&mut self) -> Option<String> {
        timeout(SOON, self.ended()).await.ok()
    }

    /// Kills it, and all that it started.
    pub(super) fn kill(&self) {
        self.group.signal(Signal::KILL);
    }

    /// Ends it: its input is closed already. Gives the beginning of its standard error.
    pub(super) async fn end(mut self) -> String {
        if timeout(PATIENCE, self.ended()).await.is_err() {
            self.group.signal(Signal::TERM);
            let _ = timeout(PATIENCE, self.ended()).await;
        }
        self.kill();
        let _ = self.child.wait().await;
        let _ = timeout(SOON, self.stderr.read_to_end()).await;
        let _ = timeout(SOON, self.group.gone()).await;
        self.group.forget();
        match self.stderr.into_text().trim_end() {
            "" => String::new(),
            text => format!("\n[stderr]\n{text}"),
        }
    }
}

fn in_words(status: io::Result<ExitStatus>) -> String {
    match status.map(|status| (status.code(), status.signal())) {
        Ok((Some(code), _)) => format!("it ended with exit code {code}"),
        Ok((None, Some(signal))) => format!("it was ended by signal {signal}"),
        Ok((None, None)) => "it ended in an unknown way".to_owned(),
        Err(error) => format!("its end could not be seen: {error}"),
    }
}

/// A pipe whose lines have a greatest length. A longer one is an error, and so the end.
pub(super) struct Bounded<R> {
    pipe: R,
    /// Bytes of the line under way.
    line: usize,
    fault: Arc<OnceLock<String>>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Bounded<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.pipe).poll_read(cx, buffer))?;
        let read = &buffer.filled()[before..];
        self.line = match memchr::memrchr(b'\n', read) {
            Some(at) => read.len() - at - 1,
            None => self.line + read.len(),
        };
        if self.line > MAX_MESSAGE {
            let what = format!("it wrote a message of more than {} MiB", MAX_MESSAGE >> 20);
            return Poll::Ready(Err(io::Error::other(self.fault.get_or_init(|| what).clone())));
        }
        Poll::Ready(Ok(()))
    }
}
