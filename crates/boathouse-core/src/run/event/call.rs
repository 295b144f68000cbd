//! Calls of models and tools: what is asked, why a try failed, and how a call ends.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::crew::{Effect, Model};
use crate::ids::Timestamp;
use crate::message::{ToolCall, ToolResult};

/// What a call is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CallKind {
    /// To a model.
    Model {
        /// Which.
        #[serde(flatten)]
        model: Model,
        /// What was sent, so that a rebuilt prompt can be compared.
        prompt: PromptMark,
        /// What the reply is for.
        #[serde(default, skip_serializing_if = "Purpose::is_reply")]
        purpose: Purpose,
    },
    /// To a tool.
    Tool {
        /// Its name.
        tool: String,
        /// Its arguments.
        arguments: Value,
        /// Whether it may be made again.
        effect: Effect,
    },
}

/// What a model's reply is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// The agent's next words.
    #[default]
    Reply,
    /// To stand for old messages in prompts.
    Summary,
}

impl Purpose {
    fn is_reply(&self) -> bool {
        *self == Purpose::Reply
    }
}

/// The fingerprint of a prompt; prompts themselves are rebuilt from the run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptMark {
    /// First 16 bytes of its SHA-256, in hexadecimal.
    pub hash: String,
    /// Bytes of text in it.
    pub bytes: usize,
    /// Version of the code that builds prompts.
    pub revision: u32,
}

/// A tool call of a round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedCall {
    /// The call.
    #[serde(flatten)]
    pub call: ToolCall,
    /// Its result, where it is not to be made: an unknown tool, unreadable arguments, a transfer, a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<ToolResult>,
    /// Whether a person must approve it before it is made.
    #[serde(default, skip_serializing_if = "is_false")]
    pub approval: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references over")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Why a try failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallError {
    /// Of what sort.
    pub kind: CallErrorKind,
    /// What happened, for people.
    pub message: String,
    /// The peer asked us to wait so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// Of what sort a failure is. It decides whether another try makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallErrorKind {
    /// No connection.
    Connect,
    /// It took too long.
    Timeout,
    /// Too many requests.
    RateLimited,
    /// The peer failed (5xx).
    Server,
    /// The reply ended before its end.
    Truncated,
    /// The reply could not be read.
    Protocol,
    /// The key was refused.
    Auth,
    /// The request was refused (4xx).
    Rejected,
    /// It is not set up: no such provider, no key, no rule.
    Config,
}

impl CallErrorKind {
    /// Whether the same request may succeed later.
    pub fn is_transient(self) -> bool {
        use CallErrorKind::*;
        match self {
            Connect | Timeout | RateLimited | Server | Truncated | Protocol => true,
            Auth | Rejected | Config => false,
        }
    }
}

/// What comes after a failed try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum NextAttempt {
    /// The same again, not before `at`.
    Again {
        /// When.
        at: Timestamp,
    },
    /// The next model of the agent.
    Backup {},
    /// Nothing.
    GiveUp {},
}

/// What became of a call that gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallEnd {
    /// It came to its end within the grace.
    Finished,
    /// It was dropped: our own code, no longer polled.
    Dropped,
    /// Its connection was closed; what the peer does is the peer's.
    Disconnected,
    /// Its processes ended after SIGTERM.
    Terminated,
    /// Its processes were killed.
    Killed,
    /// In-process code that ignores cancellation; its late result is discarded.
    Abandoned,
    /// It timed out, was cut or crashed after its effect may have happened.
    Unknown,
    /// The process that made it ended first, in a crash or a shutdown.
    Lost,
}
