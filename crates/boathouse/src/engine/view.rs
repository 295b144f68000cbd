//! Runs as people see them.

use std::collections::BTreeMap;
use std::sync::Arc;

use boathouse_core::Run;
use boathouse_core::ids::{AgentId, RunId, Seq, ThreadId, Timestamp, WaitId};
use boathouse_core::message::Usage;
use boathouse_core::run::event::{ForkedFrom, Outcome, RunState, WaitFor};
use serde::Serialize;
use serde_json::Value;

use crate::journal::OpenWait;

/// A run as people see it.
#[derive(Clone, Debug, Serialize)]
pub struct RunView {
    /// Its id.
    pub id: RunId,
    /// Its crew's name.
    pub crew: String,
    /// Its crew's hash.
    pub crew_hash: Arc<str>,
    /// Its conversation.
    pub thread: ThreadId,
    /// Its state.
    pub state: RunState,
    /// What it was asked.
    pub input: String,
    /// How it ended, if it has.
    pub outcome: Option<Outcome>,
    /// Tokens so far.
    pub usage: Usage,
    /// What it waits for.
    pub waits: Vec<WaitView>,
    /// Those of its waits that are tool calls to be decided about.
    pub approvals: Vec<OpenWait>,
    /// The caller's own labels.
    pub metadata: BTreeMap<String, Value>,
    /// The run that it was forked from, if it was.
    pub forked_from: Option<ForkedFrom>,
    /// Its last event.
    pub seq: Seq,
    /// When it began.
    pub created_at: Timestamp,
    /// When its last event was recorded.
    pub updated_at: Timestamp,
}

/// Something that a run waits for.
#[derive(Clone, Debug, Serialize)]
pub struct WaitView {
    /// Its id, for the answer.
    pub wait: WaitId,
    /// Whose it is.
    pub agent: AgentId,
    /// The agent's last words, as the question.
    pub question: String,
    /// For what.
    #[serde(rename = "for")]
    pub what: WaitFor,
}

impl RunView {
    /// The view of a run.
    pub fn of(run: &Run) -> RunView {
        let started = run.started();
        let waits = run.waits().iter().map(|open| WaitView {
            wait: open.wait,
            agent: open.agent.clone(),
            question: run.branch(open.branch).map_or_else(String::new, |branch| branch.last_reply.clone()),
            what: open.what.clone(),
        });
        RunView {
            id: run.id().clone(),
            crew: started.crew.clone(),
            crew_hash: run.crew().hash.clone(),
            thread: started.thread.clone(),
            state: run.state(),
            input: started.input.clone(),
            outcome: run.outcome().cloned(),
            usage: run.usage(),
            waits: waits.collect(),
            approvals: OpenWait::of(run).into_iter().filter(|wait| wait.what.tool().is_some()).collect(),
            metadata: started.metadata.clone(),
            forked_from: started.forked_from.clone(),
            seq: run.seq(),
            created_at: run.created_at(),
            updated_at: run.last_at(),
        }
    }
}
