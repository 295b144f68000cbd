//! One call of a tool, from its first attempt to a known end.
//!
//! The tool runs in a task of its own, so that code which blocks its thread stalls nobody else. The task is joined
//! or aborted before [`call`] returns; what ignores even that is counted by [`abandoned_count`].

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use boathouse_core::crew::{Effect, Settings, ToolSpec};
use boathouse_core::message::ResultStatus;
use boathouse_core::run::event::CallEnd;
use serde_json::Value;
use tokio::task::JoinError;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::{Stop, Tool, ToolCx, ToolError};

/// The pause before the first retry; it doubles for each further one.
const BACKOFF: Duration = Duration::from_millis(100);
/// The longest pause between retries.
const MAX_BACKOFF: Duration = Duration::from_secs(2);
/// How long an aborted task that had its grace already may take to be gone.
const AFTER_GRACE: Duration = Duration::from_millis(100);

static ABANDONED: AtomicU64 = AtomicU64::new(0);

/// Calls of this process, since its start, whose code went on after it was told to stop.
pub fn abandoned_count() -> u64 {
    ABANDONED.load(Ordering::Relaxed)
}

/// Bounds of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// For each attempt.
    pub timeout: Duration,
    /// For stopping, once the call was told to stop or ran out of time.
    pub grace: Duration,
    /// Bytes of output that are kept; the mark that says where it was cut comes on top.
    pub max_output_bytes: usize,
}

impl CallLimits {
    /// The tool's own limits, the crew's where it has none, and the lower cap of both on the output.
    pub fn of(spec: &ToolSpec, settings: &Settings, grace: Duration) -> CallLimits {
        CallLimits {
            timeout: Duration::from_millis(spec.timeout_ms.unwrap_or(settings.tool_timeout_ms)),
            grace,
            max_output_bytes: spec.max_output_bytes.min(settings.max_tool_output.unwrap_or(usize::MAX)),
        }
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolEnd {
    /// With a result for the model.
    Returned {
        /// Whether the tool did its work.
        status: ResultStatus,
        /// What the model is told.
        output: String,
    },
    /// It was cancelled before it had a result.
    Stopped(CallEnd),
    /// A `once` tool ended, and nobody knows whether its effect happened.
    Unknown {
        /// What became of it.
        end: CallEnd,
        /// What is known, for people.
        message: String,
    },
}

impl ToolEnd {
    fn error(output: impl Into<String>) -> ToolEnd {
        ToolEnd::Returned { status: ResultStatus::Error, output: output.into() }
    }
}

/// Makes one call of a tool, with retries where its effect and its spec allow them.
///
/// - A result, also one that arrives while the call is being stopped, is [`ToolEnd::Returned`], cut to the cap.
/// - A failure, a panic and, for `read` and `idempotent` tools, a timeout are error results. For `once` tools a
///   panic and a timeout are [`ToolEnd::Unknown`].
/// - When `cx.cancelled` fires, a [`Stop::Drop`] tool is dropped; a [`Stop::Cooperate`] tool sees its token fire and
///   has `limits.grace` to stop, else it is dropped and counts as abandoned. Code that blocks its thread through
///   the grace is abandoned too. If the call was cancelled before it began, nothing is done, and the result says so.
///
/// Nothing of the tool is alive when this returns, except what [`abandoned_count`] counts. Dropping the future
/// aborts the tool's task without waiting for it. On a runtime with a single thread, a tool that blocks its thread
/// blocks this future too.
pub async fn call(tool: Arc<dyn Tool>, arguments: &Value, mut cx: ToolCx, limits: CallLimits) -> ToolEnd {
    let spec = tool.spec().clone();
    let cancelled = cx.cancelled.clone();
    cx.grace = limits.grace;
    let mut retry = 0;
    loop {
        if cancelled.is_cancelled() {
            return ToolEnd::error("not run: cancelled");
        }
        let attempt = ToolCx { cancelled: cancelled.child_token(), ..cx.clone() };
        let end = attempt_once(&tool, arguments, attempt, &limits).await;
        let again = match (&end, spec.effect) {
            (_, Effect::Once) => false,
            (AttemptEnd::Failed(_) | AttemptEnd::Unknown(_) | AttemptEnd::Panicked(_), _) => true,
            (AttemptEnd::TimedOut(how), _) => *how != CallEnd::Abandoned,
            (AttemptEnd::Output(_) | AttemptEnd::Refused(_) | AttemptEnd::Stopped(_), _) => false,
        };
        if !again || retry >= spec.retries || cancelled.is_cancelled() {
            return end.into_tool_end(&spec, &limits);
        }
        let pause = BACKOFF.saturating_mul(1 << retry.min(10)).min(MAX_BACKOFF);
        if timeout(pause, cancelled.cancelled()).await.is_ok() {
            return end.into_tool_end(&spec, &limits);
        }
        retry += 1;
        cx.attempt += 1;
    }
}

/// How one attempt ended.
enum AttemptEnd {
    Output(String),
    Failed(String),
    Refused(String),
    Unknown(String),
    Panicked(String),
    TimedOut(CallEnd),
    Stopped(CallEnd),
}

impl AttemptEnd {
    fn into_tool_end(self, spec: &ToolSpec, limits: &CallLimits) -> ToolEnd {
        let (end, message) = match self {
            AttemptEnd::Output(output) => {
                let output = cap(output, limits.max_output_bytes);
                return ToolEnd::Returned { status: ResultStatus::Success, output };
            }
            AttemptEnd::Failed(why) | AttemptEnd::Refused(why) => {
                return ToolEnd::error(cap(why, limits.max_output_bytes));
            }
            AttemptEnd::Stopped(end) => return ToolEnd::Stopped(end),
            AttemptEnd::Unknown(why) => (CallEnd::Unknown, why),
            AttemptEnd::Panicked(why) => (CallEnd::Unknown, format!("tool {} panicked: {why}", spec.name)),
            AttemptEnd::TimedOut(how) => {
                (CallEnd::Unknown, format!("timed out after {}", in_words(limits.timeout, how)))
            }
        };
        let message = cap(message, limits.max_output_bytes);
        match spec.effect {
            Effect::Once => ToolEnd::Unknown { end, message },
            Effect::Read | Effect::Idempotent => ToolEnd::error(message),
        }
    }
}

fn in_words(time: Duration, how: CallEnd) -> String {
    let time = match time.subsec_millis() {
        0 => format!("{} s", time.as_secs()),
        _ => format!("{} ms", time.as_millis()),
    };
    match how {
        CallEnd::Terminated => format!("{time}; its processes were terminated"),
        CallEnd::Killed => format!("{time}; its processes were killed"),
        CallEnd::Abandoned => format!("{time}; it did not stop when told to"),
        CallEnd::Disconnected => format!("{time}; the server may still be at work on it"),
        CallEnd::Finished | CallEnd::Dropped | CallEnd::Unknown | CallEnd::Lost => time,
    }
}

type Joined = Result<Result<String, ToolError>, JoinError>;

async fn attempt_once(
    tool: &Arc<dyn Tool>,
    arguments: &Value,
    cx: ToolCx,
    limits: &CallLimits,
) -> AttemptEnd {
    let token = cx.cancelled.clone();
    let mut task = AbortOnDropHandle::new(tokio::spawn({
        let (tool, arguments) = (tool.clone(), arguments.clone());
        async move { tool.call(&arguments, &cx).await }.in_current_span()
    }));
    let timed_out = tokio::select! {
        biased;
        joined = &mut task => return match ended(joined, CallEnd::Dropped) {
            AttemptEnd::Stopped(_) if !token.is_cancelled() => {
                AttemptEnd::Unknown("the tool stopped, though nobody told it to".to_owned())
            }
            end => end,
        },
        () = token.cancelled() => false,
        () = tokio::time::sleep(limits.timeout) => true,
    };
    // A cooperating tool gets the grace, then all tools are aborted. An abort takes effect when the task yields.
    token.cancel();
    let (unheard, patience) = match tool.stop() {
        Stop::Drop => (CallEnd::Dropped, limits.grace),
        Stop::Cooperate => match timeout(limits.grace, &mut task).await {
            Ok(joined) => return stopped(ended(joined, CallEnd::Dropped), timed_out),
            Err(_) => (CallEnd::Abandoned, AFTER_GRACE),
        },
    };
    task.abort();
    let end = match timeout(patience, &mut task).await {
        Ok(joined) => ended(joined, unheard),
        Err(_) => AttemptEnd::Stopped(CallEnd::Abandoned),
    };
    if let AttemptEnd::Stopped(CallEnd::Abandoned) = end {
        ABANDONED.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(tool = %tool.spec().name, "a tool call went on after it was told to stop; its result will be discarded");
    }
    stopped(end, timed_out)
}

/// What an attempt that was told to stop came to: a stop after a timeout is a timeout.
fn stopped(end: AttemptEnd, timed_out: bool) -> AttemptEnd {
    match end {
        AttemptEnd::Stopped(how) if timed_out => AttemptEnd::TimedOut(how),
        end => end,
    }
}

fn ended(joined: Joined, if_aborted: CallEnd) -> AttemptEnd {
    match joined {
        Ok(Ok(output)) => AttemptEnd::Output(output),
        Ok(Err(ToolError::Failed(why))) => AttemptEnd::Failed(why),
        Ok(Err(ToolError::Refused(why))) => AttemptEnd::Refused(why),
        Ok(Err(ToolError::Unknown(why))) => AttemptEnd::Unknown(why),
        Ok(Err(ToolError::Stopped(end))) => AttemptEnd::Stopped(end),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => AttemptEnd::Panicked(panic_text(&*panic)),
            Err(_) => AttemptEnd::Stopped(if_aborted),
        },
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "no message".to_owned()
    }
}

/// The longest beginning of `text` that has at most `max` bytes and ends between two characters.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// Output cut to `max` bytes, with a mark where it was cut.
pub(crate) fn cap(mut output: String, max: usize) -> String {
    if output.len() > max {
        output.truncate(output.floor_char_boundary(max));
        output.push_str(&cut_mark(max));
    }
    output
}

/// The mark at the place where output was cut.
pub(crate) fn cut_mark(max: usize) -> String {
    format!("\n[cut here: the output was longer than {max} bytes]")
}

#[cfg(test)]
mod tests;
