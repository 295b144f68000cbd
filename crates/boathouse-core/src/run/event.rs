//! Events: facts about a run, in the past tense. The durable format.
//!
//! An event is never changed once a released version has written it; a new fact is a new variant or an optional
//! field. [`FORMAT`] is in the first event of each run, and a log with a higher number is refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::crew::{Effect, Model};
use crate::ids::{AgentId, BranchId, CallId, RunId, Seq, ThreadId, Timestamp, WaitId};
use crate::message::{Message, Reply, ToolCall, ToolResult, Usage};

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
        let mut json = format!("{{\"seq\":{},\"at\":\"{}\"", self.seq, self.at);
        let event_at = json.len();
        json.push_str(&serde_json::to_string(&self.event).unwrap_or_default());
        // An internally tagged enum of structs always serializes to an object with at least its tag.
        json.replace_range(event_at..event_at + 1, ",");
        json
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

/// The first event of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunStarted {
    /// [`FORMAT`] of the version that wrote it.
    pub format: u32,
    /// The crew's name.
    pub crew: String,
    /// The crew's hash.
    pub crew_hash: String,
    /// The conversation it belongs to.
    pub thread: ThreadId,
    /// What the run is asked.
    pub input: String,
    /// What was said before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Message>,
    /// Where it starts, if not at the crew's entry: from the request, else from the engine's settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_at: Option<AgentId>,
    /// Values for placeholders.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vars: BTreeMap<String, String>,
    /// The caller's own labels; never read by us.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, Value>,
    /// Limits that the request tightens.
    #[serde(default)]
    pub limits: RunLimits,
    /// What happens when nobody watches any more.
    #[serde(default)]
    pub on_disconnect: OnDisconnect,
    /// Whether the run is to be logged in full.
    #[serde(default)]
    pub verbose: bool,
    /// The run whose first events these are a copy of, if it was forked from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<ForkedFrom>,
    /// What it began with of its thread; `None` if the thread is its own, or the run was queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Pinned>,
    /// Why it did not begin at once, if it did not: then [`Event::Begun`] says when it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<QueuedFor>,
}

/// Where a fork comes from. Its log holds copies, so it does not need that run any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkedFrom {
    /// The run.
    pub run: RunId,
    /// Events up to this one are that run's, but for what the fork was to change.
    pub seq: Seq,
    /// Agents that ask another model from there on, without a backup.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<AgentId, Model>,
}

/// What a run begins with of its thread: the messages stay with the thread, and only their number is in the log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pinned {
    /// So many messages, from the first.
    pub messages: usize,
    /// What stands for the oldest of them in prompts, if an earlier run has summarised them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// The messages themselves, in logs that stand alone: those of forks, and exported ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub said: Vec<Message>,
}

/// What stands for the oldest messages of a history in prompts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// So many messages, from the first.
    pub messages: usize,
    /// What was said in them.
    pub text: String,
}

/// What a queued run waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueuedFor {
    /// Its turn on its thread.
    Thread,
    /// Fewer runs at work.
    Room,
}

/// Limits of one request. They only tighten the crew's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunLimits {
    /// At most so many hand-offs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_handoffs: Option<u32>,
    /// At most so many rounds a turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rounds: Option<u32>,
    /// At most so much active time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
}

/// What happens to a run when its last reader goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDisconnect {
    /// It goes on.
    #[default]
    Continue,
    /// It is cancelled.
    Cancel,
}

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
    /// A crash took it; it had not ended.
    Lost,
}

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
            WaitFor::UnknownOutcome { arguments, .. } => Some(super::approval::digest(arguments)),
        }
    }

    /// When nobody can answer any more.
    pub fn expires_at(&self) -> Option<Timestamp> {
        match self {
            WaitFor::Approval { expires_at, .. } => *expires_at,
            WaitFor::Answer { .. } | WaitFor::UnknownOutcome { .. } => None,
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
        let digest = super::approval::digest(&arguments);
        Answer::Edit { arguments, digest }
    }
}

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
