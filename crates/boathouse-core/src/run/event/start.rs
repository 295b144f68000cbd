//! What a run begins with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::crew::Model;
use crate::ids::{AgentId, RunId, Seq, ThreadId};
use crate::message::Message;

/// The first event of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunStarted {
    /// [`FORMAT`] of the version that wrote it.
    ///
    /// [`FORMAT`]: super::FORMAT
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
    ///
    /// [`Event::Begun`]: super::Event::Begun
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<QueuedFor>,
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
    /// The events after which it, or a fork that it comes from, waited for room to go on: [`Event::Begun`] says when it did.
    ///
    /// [`Event::Begun`]: super::Event::Begun
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queued: Vec<Seq>,
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
