//! Where a branch goes, and how it and its group end.

use serde::{Deserialize, Serialize};

use crate::ids::AgentId;

/// An agent or a group that a route leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// An agent.
    Agent(AgentId),
    /// A parallel group.
    Group(String),
}

/// Why a route was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// A routing signal, as written in the crew file.
    Signal(String),
    /// A `transfer_to_...` tool.
    Transfer,
    /// `routing.defaults`.
    Default,
    /// The first of `handoff_targets`.
    HandoffTarget,
    /// `next_agent` of a parallel group.
    NextAgent,
}

/// How a branch of a group ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum BranchEnd {
    /// With its last reply.
    Completed {},
    /// With an error.
    Failed {
        /// What happened.
        error: String,
    },
    /// By a limit of its own.
    LimitReached {
        /// Which.
        limit: String,
    },
    /// By the group's timeout.
    TimedOut {},
    /// Because the group or the run no longer needed it.
    Cancelled {},
}

/// Why a group closes before all its branches have ended by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClosingReason {
    /// `join: first` or `quorum` is satisfied.
    Enough,
    /// A branch failed and the group says `fail_fast`.
    Failed,
    /// Its time is over.
    TimedOut,
}
