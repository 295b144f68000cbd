//! Conversations as a journal keeps them: their messages, whose turn it is, and who waits.
//!
//! What a run does to its thread is written in the same transaction as the run's events: it begins, it is queued, or it
//! ends and leaves its messages behind. So between two runs of a thread nothing can get lost, and of two that would
//! begin at once one is refused.

use boathouse_core::Run;
use boathouse_core::ids::{RunId, ThreadId, Timestamp};
use boathouse_core::message::Message;
use boathouse_core::run::event::Summary;
use bytes::Bytes;

/// What is known of a thread without reading its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadRow {
    /// Its id.
    pub thread: ThreadId,
    /// The crew that it belongs to.
    pub crew: String,
    /// Messages so far: those of runs that have ended.
    pub messages: usize,
    /// What stands for the oldest of them in prompts.
    pub summary: Option<Summary>,
    /// The run that has its turn; a run that is paused keeps it.
    pub active: Option<RunId>,
    /// Runs that wait for their turn.
    pub queued: usize,
    /// When it was made.
    pub created_at: Timestamp,
    /// When a run last began or ended on it.
    pub updated_at: Timestamp,
}

impl ThreadRow {
    /// Whether a run has its turn or waits for it.
    pub fn is_busy(&self) -> bool {
        self.active.is_some() || self.queued > 0
    }
}

/// Which threads to list.
#[derive(Clone, Debug, Default)]
pub struct ThreadQuery {
    /// Only of this crew.
    pub crew: Option<String>,
    /// Only older than this place: `created_at` and id of the last thread of the page before.
    pub before: Option<(Timestamp, ThreadId)>,
    /// At most so many.
    pub limit: usize,
}

/// A thread to be made.
#[derive(Clone, Debug)]
pub struct NewThread {
    /// Its id.
    pub thread: ThreadId,
    /// The crew that it belongs to.
    pub crew: String,
    /// What it begins with: each message's JSON.
    pub messages: Vec<Bytes>,
    /// What stands for the oldest of them in prompts.
    pub summary: Option<Summary>,
    /// When.
    pub at: Timestamp,
}

/// What a run's events do to its thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnThread {
    /// The thread. The run's own, if it has the run's id: then only [`Turn::Queue`] means something.
    pub thread: ThreadId,
    /// Whether the run takes its turn with these events, or a place in the queue.
    pub turn: Option<Turn>,
    /// What it leaves behind, if it ends with these events.
    pub end: Option<ThreadEnd>,
}

/// How a run comes to its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It begins: no other run may have the turn, and the thread must have exactly so many messages, of the same crew.
    /// The thread is made if there is none, unless a run has its id: then it has to be made of that run first.
    /// [`super::JournalError::ThreadBusy`] otherwise.
    Begin {
        /// Messages that the run has pinned.
        messages: usize,
        /// Whether it may go before runs that were queued earlier.
        ahead: bool,
    },
    /// It waits. [`super::JournalError::ThreadQueueFull`] or [`super::JournalError::QueueFull`] if too many do.
    Queue {
        /// Runs that may wait on this thread, this one included.
        on_thread: usize,
        /// Runs that may wait in all, this one included.
        in_all: usize,
    },
}

/// What a run leaves behind on its thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadEnd {
    /// Each message's JSON.
    pub messages: Vec<Bytes>,
    /// What stands for the oldest messages in prompts from now on; `None` leaves it as it was.
    pub summary: Option<Summary>,
}

impl ThreadEnd {
    /// What a run that has ended leaves behind.
    pub fn of(run: &Run) -> ThreadEnd {
        ThreadEnd {
            messages: run.additions().map(|message| encode(message)).collect(),
            summary: run.summary(),
        }
    }
}

/// A queued run whose turn has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// The run.
    pub run: RunId,
    /// Its thread.
    pub thread: ThreadId,
}

/// A message as it is kept with its thread: one line of JSON.
pub fn encode(message: &Message) -> Bytes {
    // Messages are made of strings, numbers and JSON values, which always serialize.
    serde_json::to_vec(message).unwrap_or_default().into()
}

/// Reads what [`encode`] wrote.
pub fn decode(json: &[u8]) -> Result<Message, super::JournalError> {
    serde_json::from_slice(json)
        .map_err(|error| super::JournalError::Corrupt(format!("a thread's message: {error}")))
}
