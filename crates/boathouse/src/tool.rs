//! Tools: what agents can call.
//!
//! A tool is anything behind the trait [`Tool`]. [`Tools`] holds the ones that the program registered, and
//! [`tool_for`] finds or builds the one that a crew's definition means. [`call()`] makes one call of it: with
//! checked arguments, a timeout, a cap on the output, and a known end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use boathouse_core::crew::ToolSpec;
use boathouse_core::ids::{AgentId, CallId, RunId};
use boathouse_core::message::Message;
use boathouse_core::run::event::CallEnd;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub(crate) mod arguments;
mod builtin;
pub mod call;
pub mod command;
pub mod function;
pub mod http;
pub mod mcp;
mod process;
mod program;
pub mod registry;

pub use call::{CallLimits, ToolEnd, abandoned_count, call};
pub use function::{FunctionTool, function};
pub use registry::{RegisterError, Tools, tool_for};

/// Something an agent can call.
#[async_trait]
pub trait Tool: Send + Sync + 'static {
    /// What models and the loop need to know.
    fn spec(&self) -> &Arc<ToolSpec>;

    /// Makes one call. The arguments have been checked against the schema if the tool came from [`Tools::get`] or
    /// [`tool_for`], as all tools of a run do.
    ///
    /// A tool whose [`Tool::stop`] is [`Stop::Drop`] is cancelled by dropping this future. One that answers
    /// [`Stop::Cooperate`] must watch [`ToolCx::cancelled`] and return [`ToolError::Stopped`] soon after it fires.
    async fn call(&self, arguments: &Value, cx: &ToolCx) -> Result<String, ToolError>;

    /// How a call is stopped.
    fn stop(&self) -> Stop {
        Stop::Drop
    }
}

/// How a call of a tool is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// By dropping its future.
    Drop,
    /// By telling it, and waiting for it; its future is dropped only if it does not listen within the grace.
    Cooperate,
}

/// What a call knows of where it is made.
#[derive(Clone, Debug)]
pub struct ToolCx {
    /// The run.
    pub run: RunId,
    /// The call: the same over all attempts.
    pub call: CallId,
    /// The try, from 1.
    pub attempt: u32,
    /// Whose call it is.
    pub agent: AgentId,
    /// The same for every attempt of the call, and for no other call: `<run>-<call>`.
    pub idempotency_key: String,
    /// The crew's folder, where the crew came from one.
    pub crew_dir: Option<PathBuf>,
    /// The conversation as the agent's branch has it.
    pub history: rpds::VectorSync<Arc<Message>>,
    /// Fires when the call is to stop.
    pub cancelled: CancellationToken,
    /// How long a [`Stop::Cooperate`] tool has, from then on, to stop what it started. [`call()`] sets it.
    pub grace: Duration,
}

/// A tool call that gave no output.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ToolError {
    /// The tool did not do its work, and it is known what it did: the model gets this text.
    #[error("{0}")]
    Failed(String),
    /// The call cannot be made as it was asked for: nothing was done, and the same call would be refused again.
    /// It is never retried. The model gets this text.
    #[error("{0}")]
    Refused(String),
    /// The call ended, but whether its effect happened is not known.
    #[error("{0}")]
    Unknown(String),
    /// It was told to stop, and has.
    #[error("stopped")]
    Stopped(CallEnd),
}

impl From<String> for ToolError {
    /// A failure with this text.
    fn from(why: String) -> ToolError {
        ToolError::Failed(why)
    }
}

impl From<&str> for ToolError {
    /// A failure with this text.
    fn from(why: &str) -> ToolError {
        ToolError::Failed(why.to_owned())
    }
}
