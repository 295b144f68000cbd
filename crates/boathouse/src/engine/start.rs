//! A run begins: at once, or in the queue.

use std::collections::BTreeMap;
use std::sync::Arc;

use boathouse_core::Run;
use boathouse_core::crew::Crew;
use boathouse_core::ids::{AgentId, RunId, Seq, ThreadId, Timestamp};
use boathouse_core::message::Message;
use boathouse_core::run::event::{
    CancelReason, Event, FORMAT, OnDisconnect, Pinned, QueuedFor, Recorded, RunLimits, RunStarted,
};
use serde_json::Value;

use crate::clock::Clock;
use crate::feed::Watch;
use crate::journal::{JournalError, ThreadRow, Turn};

use super::requests::{OpenRequest, RequestError};
use super::shared::{Begun, NotBegun, Start};
use super::threads::history;
use super::{CommandError, Engine, did_you_mean};

/// Runs that may wait on one thread.
pub const MAX_QUEUED_ON_THREAD: usize = 100;

/// What a run is started with.
#[derive(Clone, Debug, Default)]
pub struct StartRun {
    /// The crew's name.
    pub crew: String,
    /// What it is asked; not empty.
    pub input: String,
    /// What was said before. Not for a thread that has messages: those are what was said before.
    pub history: Vec<Message>,
    /// The agent to start at, instead of the crew's entry.
    pub start_at: Option<AgentId>,
    /// The conversation that it goes on with, or begins; one of its own if `None`.
    pub thread: Option<ThreadId>,
    /// What happens if another run has the turn on the thread.
    pub when_busy: WhenBusy,
    /// Values for placeholders in prompts.
    pub vars: BTreeMap<String, String>,
    /// The caller's own labels.
    pub metadata: BTreeMap<String, Value>,
    /// Limits that tighten the crew's.
    pub limits: RunLimits,
    /// What happens when nobody watches any more.
    pub on_disconnect: OnDisconnect,
}

/// What happens to a run whose thread is busy: another run has not ended there, or waits for its turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenBusy {
    /// It is not started.
    #[default]
    Reject,
    /// It waits for its turn: first in, first out, at most [`MAX_QUEUED_ON_THREAD`].
    Enqueue,
    /// The run that has the turn is cancelled; once it has stopped this one begins, before any that wait.
    Interrupt,
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
    /// Another run has the turn on the thread, or waits for it.
    #[error("thread {thread} is busy{}", .run.as_ref().map(|run| format!(": run {run} has not ended")).unwrap_or_default())]
    ThreadBusy {
        /// The thread.
        thread: ThreadId,
        /// The run that has the turn, if one has.
        run: Option<RunId>,
    },
    /// The thread is another crew's.
    #[error("thread {thread} belongs to crew `{crew}`")]
    OtherCrew {
        /// The thread.
        thread: ThreadId,
        /// Its crew.
        crew: String,
    },
    /// A history came with a thread that has one.
    #[error("thread {0} has a history of its own, and the request brings another")]
    HistoryOnThread(ThreadId),
    /// Too many runs wait on the thread.
    #[error("{MAX_QUEUED_ON_THREAD} runs wait on thread {0} already")]
    ThreadQueueFull(ThreadId),
    /// Too many runs are at work, and too many wait.
    #[error("too many runs are at work, and {0} wait to begin")]
    TooManyRuns(usize),
    /// The engine is shutting down.
    #[error("the engine is shutting down")]
    ShuttingDown,
    /// Its idempotency key cannot be used.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The run could not be kept.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// A run that was checked and has not begun.
struct Prepared {
    id: RunId,
    crew: Arc<Crew>,
    started: RunStarted,
    deltas: Option<bool>,
    request: Option<OpenRequest>,
}

/// A run that was started, and its watch if it was asked for.
type Started = (RunId, Option<Watch>);

impl Engine {
    /// Starts a run. It is in the journal when this returns; dropping the future does not stop it.
    pub async fn start(&self, run: StartRun) -> Result<RunId, StartError> {
        Ok(self.begin(run, None, None).await?.0)
    }

    /// Starts a run and watches it from its first event, with deltas if `deltas`.
    pub async fn start_watched(&self, run: StartRun, deltas: bool) -> Result<(RunId, Watch), StartError> {
        match self.begin(run, Some(deltas), None).await? {
            (run, Some(watch)) => Ok((run, watch)),
            (_, None) => Err(StartError::ShuttingDown),
        }
    }

    pub(super) async fn begin(
        &self,
        start: StartRun,
        deltas: Option<bool>,
        request: Option<OpenRequest>,
    ) -> Result<Started, StartError> {
        let when_busy = start.when_busy;
        let prepared = self.prepare(start, deltas, request)?;
        if prepared.has_own_thread() {
            return match self.begin_now(&prepared, None).await {
                Err(NotBegun::NoRoom(_)) => self.queue(prepared, QueuedFor::Room, MAX_QUEUED_ON_THREAD).await,
                Err(NotBegun::Closing) => Err(StartError::ShuttingDown),
                Err(NotBegun::Journal(error)) => Err(self.not_started(error)),
                Ok(started) => Ok(started),
            };
        }
        // Nobody who waits may slip in between the end of the run that is interrupted and the begin of this one.
        let _held = (when_busy == WhenBusy::Interrupt).then(|| self.shared().hold(&prepared.started.thread));
        self.begin_on_thread(prepared, when_busy).await
    }

    fn prepare(
        &self,
        start: StartRun,
        deltas: Option<bool>,
        request: Option<OpenRequest>,
    ) -> Result<Prepared, StartError> {
        let settings = self.shared().settings.load();
        let Some(crew) = settings.crews.get(&start.crew).cloned() else {
            let names = settings.crews.iter().map(|crew| crew.name.as_str());
            return Err(StartError::UnknownCrew { hint: did_you_mean(&start.crew, names), name: start.crew });
        };
        if start.input.trim().is_empty() {
            return Err(StartError::EmptyInput);
        }
        let start_at = start.start_at.or_else(|| settings.start_agent.clone());
        if let Some(agent) = start_at.as_ref().filter(|agent| crew.find_agent(agent.as_str()).is_none()) {
            let ids = crew.agents.iter().map(|agent| agent.id.as_str());
            return Err(StartError::UnknownAgent {
                crew: crew.name.clone(),
                agent: agent.to_string(),
                hint: did_you_mean(agent.as_str(), ids),
            });
        }
        let id = RunId::from(uuid::Uuid::now_v7().to_string());
        let started = RunStarted {
            format: FORMAT,
            crew: crew.name.clone(),
            crew_hash: crew.hash.to_string(),
            thread: start.thread.unwrap_or_else(|| ThreadId::from(id.as_str())),
            input: start.input,
            history: start.history,
            start_at,
            vars: start.vars,
            metadata: start.metadata,
            limits: start.limits,
            on_disconnect: start.on_disconnect,
            verbose: settings.verbose,
            pinned: None,
            queued: None,
            forked_from: None,
        };
        Ok(Prepared { id, crew, started, deltas, request })
    }

    async fn begin_on_thread(&self, prepared: Prepared, when_busy: WhenBusy) -> Result<Started, StartError> {
        let thread = prepared.started.thread.clone();
        loop {
            let row = self.shared().thread_row(&thread).await?;
            if let Some(row) = &row {
                prepared.check_thread(row)?;
            }
            let active = row.as_ref().and_then(|row| row.active.clone());
            let queued = row.as_ref().is_some_and(|row| row.queued > 0);
            match when_busy {
                WhenBusy::Reject if active.is_some() || queued => {
                    return Err(StartError::ThreadBusy { thread, run: active });
                }
                WhenBusy::Enqueue if active.is_some() || queued => {
                    return self.queue(prepared, QueuedFor::Thread, MAX_QUEUED_ON_THREAD).await;
                }
                WhenBusy::Interrupt if let Some(active) = &active => {
                    self.interrupt(active).await?;
                    continue;
                }
                WhenBusy::Reject | WhenBusy::Enqueue | WhenBusy::Interrupt => {}
            }
            match self.begin_now(&prepared, Some((row, when_busy))).await {
                Ok(started) => return Ok(started),
                Err(NotBegun::NoRoom(_)) => {
                    // Whoever would not wait for others on the thread waits alone.
                    let most = if when_busy == WhenBusy::Reject { 1 } else { MAX_QUEUED_ON_THREAD };
                    return match self.queue(prepared, QueuedFor::Room, most).await {
                        Err(StartError::ThreadQueueFull(thread)) if when_busy == WhenBusy::Reject => {
                            Err(StartError::ThreadBusy { thread, run: None })
                        }
                        other => other,
                    };
                }
                Err(NotBegun::Closing) => return Err(StartError::ShuttingDown),
                // Somebody was faster.
                Err(NotBegun::Journal(JournalError::ThreadBusy(_))) if when_busy != WhenBusy::Reject => {}
                Err(NotBegun::Journal(JournalError::ThreadBusy(_))) => {
                    return Err(StartError::ThreadBusy { thread, run: None });
                }
                Err(NotBegun::Journal(error)) => return Err(self.not_started(error)),
            }
        }
    }

    /// Cancels the run that has the turn, and waits until it has ended.
    async fn interrupt(&self, run: &RunId) -> Result<(), StartError> {
        match self.cancel(run, CancelReason::Requested, true).await {
            Ok(_) | Err(CommandError::UnknownRun(_)) => Ok(()),
            Err(CommandError::Journal(error)) => Err(StartError::Journal(error)),
            Err(
                CommandError::ShuttingDown
                | CommandError::NotEnded(_)
                | CommandError::Refused(_)
                | CommandError::Request(_),
            ) => Err(StartError::ShuttingDown),
        }
    }

    /// Gives the run a driver, if there is room. With a thread, it begins after what was said there.
    async fn begin_now(
        &self,
        prepared: &Prepared,
        on: Option<(Option<ThreadRow>, WhenBusy)>,
    ) -> Result<Started, NotBegun> {
        let mut started = prepared.started.clone();
        let mut said = rpds::VectorSync::new_sync();
        let mut turn = None;
        if let Some((row, when_busy)) = on {
            let pinned = row.as_ref().map_or_else(Pinned::default, pin);
            said = history(self.journal().thread_messages(&started.thread, 0, pinned.messages).await)?;
            let ahead = when_busy == WhenBusy::Interrupt;
            turn = Some(Turn::Begin { messages: pinned.messages, ahead });
            started.pinned = Some(pinned);
        }
        let clock = Clock::new(Timestamp(0));
        let first = Recorded { seq: Seq(1), at: clock.now(), event: Event::RunStarted(Box::new(started)) };
        let run = Run::begin_on(said, prepared.id.clone(), prepared.crew.clone(), &first)
            .map_err(|error| JournalError::Corrupt(error.to_string()))?;
        let (deltas, request) = (prepared.deltas, prepared.request.clone());
        let Begun { created, watch } =
            self.shared().begin(Start { run, log: vec![first], clock, deltas, request, turn })?;
        created.await.map_err(|_| NotBegun::Closing)??;
        Ok((prepared.id.clone(), watch))
    }

    /// Puts the run into the queue. It is in the journal when this returns; dropping the future changes nothing of that.
    async fn queue(
        &self,
        mut prepared: Prepared,
        why: QueuedFor,
        on_thread: usize,
    ) -> Result<Started, StartError> {
        prepared.started.queued = Some(why);
        let Prepared { id, crew, started, deltas, request } = prepared;
        let clock = Clock::new(Timestamp(0));
        let first = Recorded { seq: Seq(1), at: clock.now(), event: Event::RunStarted(Box::new(started)) };
        let run =
            Run::begin(id.clone(), crew, &first).map_err(|error| JournalError::Corrupt(error.to_string()))?;
        let start = Start { run, log: vec![first], clock, deltas, request, turn: None };
        match self.shared().queue(start, on_thread).await {
            Ok(watch) => Ok((id, watch)),
            Err(NotBegun::NoRoom(_) | NotBegun::Closing) => Err(StartError::ShuttingDown),
            Err(NotBegun::Journal(error)) => Err(self.not_started(error)),
        }
    }

    fn not_started(&self, error: JournalError) -> StartError {
        match error {
            JournalError::ThreadBusy(thread) => StartError::ThreadBusy { thread, run: None },
            JournalError::ThreadQueueFull(thread) => StartError::ThreadQueueFull(thread),
            JournalError::QueueFull => StartError::TooManyRuns(self.shared().max_queued),
            other => StartError::Journal(other),
        }
    }
}

impl Prepared {
    fn has_own_thread(&self) -> bool {
        self.started.thread.as_str() == self.id.as_str()
    }

    fn check_thread(&self, row: &ThreadRow) -> Result<(), StartError> {
        let thread = row.thread.clone();
        if row.crew != self.crew.name {
            return Err(StartError::OtherCrew { thread, crew: row.crew.clone() });
        }
        if !self.started.history.is_empty() && (row.messages > 0 || row.is_busy()) {
            return Err(StartError::HistoryOnThread(thread));
        }
        Ok(())
    }
}

/// What a run that begins on a thread now begins with.
pub(super) fn pin(row: &ThreadRow) -> Pinned {
    Pinned { messages: row.messages, summary: row.summary.clone(), said: Vec::new() }
}
