//! What stops a run, how it ends, and the state that people see of it.

use serde::{Deserialize, Serialize};

use crate::ids::{AgentId, BranchId, CallId, WaitId};

use super::CallEnd;

/// Who or what cancelled a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    /// Somebody asked for it.
    Requested,
    /// Its client went away.
    Disconnected,
    /// The process ended and keeps nothing.
    Shutdown,
}

/// A time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timer {
    /// The run's.
    Run,
    /// That of the group that this branch waits for.
    Group(BranchId),
    /// That of an approval: nobody decided in time.
    Wait(WaitId),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Outcome {
    /// As the crew meant it to.
    Completed {
        /// The last reply without its closing signal.
        output: String,
    },
    /// It was told to stop, and has.
    Cancelled {
        /// By whom or what.
        reason: CancelReason,
        /// What became of each call in flight.
        receipt: Vec<ReceiptLine>,
    },
    /// It could not go on.
    Failed {
        /// A stable word for it.
        code: String,
        /// What happened.
        error: String,
    },
    /// A limit stopped it.
    LimitReached {
        /// Which, by its name in the crew file.
        limit: String,
        /// The last reply.
        output: String,
    },
}

/// What became of one call that was in flight when a run was cancelled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReceiptLine {
    /// The call.
    pub call: CallId,
    /// The agent whose call it was.
    pub agent: AgentId,
    /// The tool's name; `None` for a model call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// What became of it.
    pub end: CallEnd,
}

/// The state that people see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Accepted, not begun: others go first.
    Queued,
    /// Working.
    Running,
    /// Waiting for a person only.
    Paused,
    /// Ended as the crew meant it to.
    Completed,
    /// Ended because it was told to stop.
    Cancelled,
    /// Ended because it could not go on.
    Failed,
    /// Ended by a limit.
    LimitReached,
}

impl RunState {
    /// Whether nothing can happen any more.
    pub fn is_ended(self) -> bool {
        match self {
            RunState::Queued | RunState::Running | RunState::Paused => false,
            RunState::Completed | RunState::Cancelled | RunState::Failed | RunState::LimitReached => true,
        }
    }

    /// The word for it, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            RunState::Queued => "queued",
            RunState::Running => "running",
            RunState::Paused => "paused",
            RunState::Completed => "completed",
            RunState::Cancelled => "cancelled",
            RunState::Failed => "failed",
            RunState::LimitReached => "limit_reached",
        }
    }
}
