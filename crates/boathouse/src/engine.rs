//! The engine: starts runs, takes commands, lets people watch, and owns everything that runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use boathouse_core::crew::Crew;
use boathouse_core::ids::{AgentId, RunId, Seq, ThreadId, Timestamp, WaitId};
use boathouse_core::message::{Message, Usage};
use boathouse_core::run::event::{Answer, CancelReason, OnDisconnect, Outcome, RunLimits, RunState, WaitFor};
use serde::Serialize;
use serde_json::Value;

use crate::feed::Watch;
use crate::journal::{Journal, JournalError, RunQuery, RunRow};

/// Runs crews. Cheap to clone; all clones are one engine.
#[derive(Clone)]
pub struct Engine {
    _inner: Arc<()>,
}

/// What a run is started with.
#[derive(Clone, Debug, Default)]
pub struct StartRun {
    /// The crew's name.
    pub crew: String,
    /// What it is asked; not empty.
    pub input: String,
    /// What was said before.
    pub history: Vec<Message>,
    /// The agent to start at, instead of the crew's entry.
    pub start_at: Option<AgentId>,
    /// The conversation it belongs to; a new one if `None`.
    pub thread: Option<ThreadId>,
    /// Values for placeholders in prompts.
    pub vars: BTreeMap<String, String>,
    /// The caller's own labels.
    pub metadata: BTreeMap<String, Value>,
    /// Limits that tighten the crew's.
    pub limits: RunLimits,
    /// What happens when nobody watches any more.
    pub on_disconnect: OnDisconnect,
}

/// A run that could not be started. Nothing of it exists.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No such crew.
    #[error("no crew named `{name}`{hint}")]
    UnknownCrew {
        /// What was asked for.
        name: String,
        /// A suggestion, or nothing.
        hint: String,
    },
    /// No such agent to start at.
    #[error("crew `{crew}` has no agent `{agent}` to start at{hint}")]
    UnknownAgent {
        /// The crew.
        crew: String,
        /// What was asked for.
        agent: String,
        /// A suggestion, or nothing.
        hint: String,
    },
    /// The input is empty.
    #[error("the input is empty")]
    EmptyInput,
    /// The engine is shutting down.
    #[error("the engine is shutting down")]
    ShuttingDown,
    /// The run could not be kept.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// A command that was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no such run.
    #[error("no run {0}")]
    UnknownRun(RunId),
    /// The run is not in a state that allows it.
    #[error(transparent)]
    Refused(#[from] boathouse_core::run::admit::Refused),
    /// The engine is shutting down.
    #[error("the engine is shutting down")]
    ShuttingDown,
    /// It could not be recorded.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

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
    /// The caller's own labels.
    pub metadata: BTreeMap<String, Value>,
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

impl Engine {
    /// Serves a crew; a crew of the same name is replaced for new runs. Keeps its source in the journal.
    pub async fn add_crew(&self, _crew: Crew) -> Result<Arc<Crew>, JournalError> {
        todo!()
    }

    /// The crews that are served, in the order in which they were added.
    pub fn crews(&self) -> Vec<Arc<Crew>> {
        todo!()
    }

    /// Finds a crew by name.
    pub fn crew(&self, _name: &str) -> Option<Arc<Crew>> {
        todo!()
    }

    /// Starts a run. It is in the journal when this returns.
    pub async fn start(&self, _run: StartRun) -> Result<RunId, StartError> {
        todo!()
    }

    /// One run; `None` if there is none.
    pub async fn run(&self, _run: &RunId) -> Result<Option<RunView>, JournalError> {
        todo!()
    }

    /// Runs, newest first.
    pub async fn runs(&self, _query: &RunQuery) -> Result<Vec<RunRow>, JournalError> {
        todo!()
    }

    /// Watches a run: events after `after`, and deltas if `deltas`.
    ///
    /// `None` if there is no such run. The run is not slowed by its readers.
    pub async fn watch(
        &self,
        _run: &RunId,
        _after: Seq,
        _deltas: bool,
    ) -> Result<Option<Watch>, JournalError> {
        todo!()
    }

    /// Waits until the run rests: it has ended or is paused. Dropping the future stops only the waiting.
    pub async fn wait(&self, _run: &RunId) -> Result<RunView, CommandError> {
        todo!()
    }

    /// Answers a wait; `wait` may be left out when the run has exactly one.
    pub async fn answer(
        &self,
        _run: &RunId,
        _wait: Option<WaitId>,
        _answer: Answer,
    ) -> Result<(), CommandError> {
        todo!()
    }

    /// Tells a run to stop. Returns when the request is recorded; with `wait`, when the run has ended.
    ///
    /// Cancelling a run that has ended changes nothing.
    pub async fn cancel(
        &self,
        _run: &RunId,
        _reason: CancelReason,
        _wait: bool,
    ) -> Result<RunView, CommandError> {
        todo!()
    }

    /// Pauses a run: calls in flight end, nothing new starts.
    pub async fn pause(&self, _run: &RunId) -> Result<RunView, CommandError> {
        todo!()
    }

    /// Lets a paused run go on.
    pub async fn resume(&self, _run: &RunId) -> Result<RunView, CommandError> {
        todo!()
    }

    /// Deletes a run that has ended.
    pub async fn delete(&self, _run: &RunId) -> Result<(), CommandError> {
        todo!()
    }

    /// The journal, for readiness checks.
    pub fn journal(&self) -> &Arc<dyn Journal> {
        todo!()
    }

    /// Whether runs are logged in full, from the next run on.
    pub fn set_verbose(&self, _verbose: bool) {
        todo!()
    }

    /// What [`Engine::set_verbose`] set.
    pub fn verbose(&self) -> bool {
        todo!()
    }

    /// New runs start at this agent, unless they name one.
    pub fn set_start_agent(&self, _agent: AgentId) {
        todo!()
    }

    /// New runs start at their crew's entry again.
    pub fn clear_start_agent(&self) {
        todo!()
    }

    /// What [`Engine::set_start_agent`] set.
    pub fn start_agent(&self) -> Option<AgentId> {
        todo!()
    }

    /// Stops: refuses new runs, waits up to `grace` for runs to rest, then interrupts what is left as a crash
    /// would (with a durable journal) or cancels it (with the memory journal), and closes the journal.
    pub async fn shutdown(&self, _grace: Duration) {
        todo!()
    }
}
