//! What is asked of people, and what they answer.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{CallId, Timestamp};
use crate::run::approval;

use super::CallEnd;

/// What a wait is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum WaitFor {
    /// An answer to what the agent said last.
    Answer {
        /// JSON Schema that it must fit; `None` takes any text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        schema: Option<Value>,
    },
    /// Leave to make a tool call, which has not been made.
    Approval {
        /// The call.
        call: CallId,
        /// Its tool.
        tool: String,
        /// Its arguments, as the agent asked for them.
        arguments: Value,
        /// Their digest, which a decision may name.
        digest: String,
        /// When it counts as rejected, by the clock on the wall; `None` waits for ever.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Timestamp>,
    },
    /// A decision about a `once` call of which nobody knows whether it happened.
    UnknownOutcome {
        /// The call.
        call: CallId,
        /// Its tool.
        tool: String,
        /// Its arguments.
        arguments: Value,
        /// What is known of it.
        end: CallEnd,
    },
}

impl WaitFor {
    /// The word for its kind, as in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            WaitFor::Answer { .. } => "answer",
            WaitFor::Approval { .. } => "approval",
            WaitFor::UnknownOutcome { .. } => "unknown_outcome",
        }
    }

    /// The tool whose call is to be decided about; `None` for a question of an agent.
    pub fn tool(&self) -> Option<&str> {
        match self {
            WaitFor::Answer { .. } => None,
            WaitFor::Approval { tool, .. } | WaitFor::UnknownOutcome { tool, .. } => Some(tool),
        }
    }

    /// The digest of the call's arguments; `None` for a question of an agent.
    pub fn digest(&self) -> Option<String> {
        match self {
            WaitFor::Answer { .. } => None,
            WaitFor::Approval { digest, .. } => Some(digest.clone()),
            WaitFor::UnknownOutcome { arguments, .. } => Some(approval::digest(arguments)),
        }
    }

    /// When nobody can answer any more.
    pub fn expires_at(&self) -> Option<Timestamp> {
        match self {
            WaitFor::Approval { expires_at, .. } => *expires_at,
            WaitFor::Answer { .. } | WaitFor::UnknownOutcome { .. } => None,
        }
    }

    /// Nobody could answer for so many milliseconds.
    pub(in crate::run) fn put_off(&mut self, millis: u64) {
        match self {
            WaitFor::Approval { expires_at: Some(at), .. } => *at = at.plus_millis(millis),
            WaitFor::Approval { expires_at: None, .. }
            | WaitFor::Answer { .. }
            | WaitFor::UnknownOutcome { .. } => {}
        }
    }
}

/// What a person said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Answer {
    /// Text for the agent that asked.
    Text {
        /// The text.
        text: String,
    },
    /// The unknown call is to be made again.
    Rerun {},
    /// The unknown call was done, with this result.
    Done {
        /// What the model is told.
        output: String,
    },
    /// The unknown call is to count as failed.
    Fail {},
    /// The call may be made.
    Approve {},
    /// The call may be made with these arguments. See [`Answer::edit`].
    Edit {
        /// They take the place of the agent's.
        arguments: Value,
        /// Their digest.
        digest: String,
    },
    /// The call is not made.
    Reject {
        /// Why, for the model.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The call is not made, and this is its result.
    Respond {
        /// What the model is told.
        output: String,
    },
}

impl Answer {
    /// The call may be made with these arguments.
    pub fn edit(arguments: Value) -> Answer {
        let digest = approval::digest(&arguments);
        Answer::Edit { arguments, digest }
    }
}
