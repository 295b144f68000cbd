//! Events: facts about a run, in the past tense. The durable format.
//!
//! An event is never changed once a released version has written it; a new fact is a new variant or an optional
//! field. [`FORMAT`] is in the first event of each run, and a log with a higher number is refused.

use std::io::Write as _;

use serde::{Deserialize, Serialize};

use crate::ids::{AgentId, BranchId, CallId, Seq, Timestamp, WaitId};
use crate::message::{Reply, ToolResult, Usage};

mod branch;
mod call;
mod end;
mod start;
mod wait;

pub use branch::{BranchEnd, ClosingReason, Target, Via};
pub use call::{CallEnd, CallError, CallErrorKind, CallKind, NextAttempt, PlannedCall, PromptMark, Purpose};
pub use end::{CancelReason, Outcome, ReceiptLine, RunState, Timer};
pub use start::{ForkedFrom, OnDisconnect, Pinned, QueuedFor, RunLimits, RunStarted, Summary};
pub use wait::{Answer, WaitFor};

/// The version of this format.
pub const FORMAT: u32 = 1;

/// An event in its place in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Its number.
    pub seq: Seq,
    /// When it was recorded.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

impl Recorded {
    /// One line of JSON: `{"seq":1,"at":"...","type":"...",...}`.
    pub fn to_json(&self) -> String {
        // Memory takes every byte, and an internally tagged enum of structs always serializes: to an object with at least its
        // tag, whose brace becomes the comma.
        let mut json = Vec::with_capacity(256);
        let _ = write!(json, "{{\"seq\":{},\"at\":\"{}\"", self.seq, self.at);
        let event_at = json.len();
        let _ = serde_json::to_writer(&mut json, &self.event);
        json[event_at] = b',';
        String::from_utf8(json).unwrap_or_default()
    }

    /// Reads what [`Recorded::to_json`] wrote. Unknown fields are ignored; an unknown type is an error.
    pub fn from_json(text: &str) -> Result<Recorded, serde_json::Error> {
        #[derive(Deserialize)]
        struct Head {
            seq: Seq,
            at: Timestamp,
        }
        let Head { seq, at } = serde_json::from_str(text)?;
        Ok(Recorded { seq, at, event: serde_json::from_str(text)? })
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The run began. Always the first event, and only the first.
    RunStarted(Box<RunStarted>),
    /// The run's turn has come: it was queued, and now begins.
    Begun {
        /// What it begins with of its thread; `None` if the thread is its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pinned: Option<Pinned>,
    },
    /// Another driver took the run over from its log; what was in flight is gone.
    TakenOver {
        /// Calls that had started and not ended.
        lost: Vec<CallId>,
    },
    /// A call was about to be made: written before it is.
    CallStarted {
        /// Its id, the same over all attempts.
        call: CallId,
        /// 1 for the first try.
        attempt: u32,
        /// Where.
        branch: BranchId,
        /// Whose.
        agent: AgentId,
        /// What.
        #[serde(flatten)]
        kind: CallKind,
    },
    /// A try of a call failed; `next` says what comes.
    AttemptFailed {
        /// The call.
        call: CallId,
        /// The try.
        attempt: u32,
        /// Why.
        error: CallError,
        /// What comes next.
        next: NextAttempt,
        /// How long the try took.
        took_ms: u64,
    },
    /// A model replied.
    ModelReplied {
        /// The call.
        call: CallId,
        /// The try that succeeded.
        attempt: u32,
        /// Where.
        branch: BranchId,
        /// Who speaks.
        agent: AgentId,
        /// What it said.
        reply: Reply,
        /// How long the try took.
        took_ms: u64,
    },
    /// The tool calls of a reply were read; their round begins.
    RoundStarted {
        /// Where.
        branch: BranchId,
        /// The calls in order.
        calls: Vec<PlannedCall>,
        /// The route that a transfer among them takes once the round is over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transfer: Option<Target>,
        /// The limit that forbids the round: then all its calls are settled, and the branch ends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<String>,
    },
    /// A tool call ended with a known result.
    ToolReturned {
        /// Where.
        branch: BranchId,
        /// The call, its status and output.
        result: ToolResult,
        /// How long the last try took.
        took_ms: u64,
    },
    /// A call ended without a result: it was stopped, or nobody knows what became of it.
    CallStopped {
        /// The call.
        call: CallId,
        /// What became of it.
        end: CallEnd,
    },
    /// The agent's turn ended and another's began.
    HandedOff {
        /// Where.
        branch: BranchId,
        /// Who handed over.
        from: AgentId,
        /// To whom.
        to: AgentId,
        /// Why.
        via: Via,
    },
    /// A parallel group began.
    Forked {
        /// The branch that waits for it.
        branch: BranchId,
        /// The group.
        group: String,
        /// Who opened it.
        from: AgentId,
        /// Why.
        via: Via,
        /// Its branches, in the order of the file.
        branches: Vec<(BranchId, AgentId)>,
    },
    /// A branch of a group ended.
    BranchEnded {
        /// The branch.
        branch: BranchId,
        /// How.
        end: BranchEnd,
    },
    /// The group has what it needs, or may not go on: what is left of it is stopped.
    GroupClosing {
        /// The branch that waits for it.
        branch: BranchId,
        /// Why.
        why: ClosingReason,
    },
    /// Every branch of the group has ended, and its results are one message.
    Joined {
        /// The branch that waited.
        branch: BranchId,
        /// The group.
        group: String,
        /// The aggregate.
        output: String,
        /// How many branches completed.
        completed: u32,
        /// Agents whose branch did not complete, and why.
        failed: Vec<(AgentId, String)>,
    },
    /// The run, or a branch of it, waits for a person.
    WaitOpened {
        /// The wait.
        wait: WaitId,
        /// Where.
        branch: BranchId,
        /// Whose.
        agent: AgentId,
        /// For what.
        #[serde(rename = "for")]
        what: WaitFor,
    },
    /// A person answered a wait.
    Answered {
        /// The wait.
        wait: WaitId,
        /// What they said.
        answer: Answer,
        /// Who, in their own words; `anonymous` where nobody said so. Only decisions about calls carry it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// The history has outgrown its prompts, and what no longer fits is to be summarised: a model call follows.
    HistoryOutgrown {
        /// Where.
        branch: BranchId,
        /// Messages that are to go, since the beginning.
        messages: usize,
    },
    /// A model summarised what no longer goes into prompts.
    Summarized {
        /// The call.
        call: CallId,
        /// The try that succeeded.
        attempt: u32,
        /// Where.
        branch: BranchId,
        /// Whose model it was.
        agent: AgentId,
        /// The summary, as the reply's text.
        reply: Reply,
        /// How long the try took.
        took_ms: u64,
    },
    /// Old messages no longer go into prompts.
    HistoryTrimmed {
        /// Where.
        branch: BranchId,
        /// Messages that went, since the beginning, beside the first user message.
        dropped: usize,
        /// The call whose reply stands for them in prompts from now on, if one was to and did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        summary: Option<CallId>,
        /// Why no summary came, if one was wanted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed: Option<String>,
    },
    /// An operator asked for a pause: calls in flight end, nothing new starts.
    PauseRequested {},
    /// The pause asked for has come: nothing is in flight.
    Paused {},
    /// The operator let the run go on.
    Resumed {},
    /// The run was told to stop.
    CancelRequested {
        /// By whom or what.
        reason: CancelReason,
    },
    /// A time limit passed.
    TimedOut {
        /// Which.
        timer: Timer,
    },
    /// The run ended. Always the last event, and only the last.
    RunEnded {
        /// How.
        #[serde(flatten)]
        outcome: Outcome,
        /// Tokens of the whole run.
        usage: Usage,
    },
}
