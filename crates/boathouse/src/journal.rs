//! Where events are kept.
//!
//! A journal is append-only per run and fenced: [`Journal::append`] succeeds only for whoever holds the newest lease
//! and knows the last event. Nothing is performed, published or acknowledged before the append has returned.

use std::sync::Arc;

use async_trait::async_trait;
use boathouse_core::ids::{RunId, Seq, ThreadId, Timestamp};
use boathouse_core::run::event::{Recorded, RunState};
use bytes::Bytes;

pub mod contract;
pub mod memory;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub use memory::MemoryJournal;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteJournal;

/// Keeps the events of runs.
///
/// Every method may be cancelled by dropping its future: a write then happens whole or not at all, and the caller
/// does not know which; it must [`Journal::claim`] the run and read its log again.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Makes a run with its first events (`events[0].seq` is 1) and gives the caller its lease.
    async fn create(&self, run: NewRun) -> Result<Lease, JournalError>;

    /// Adds events. `events[0].seq` must follow the run's last event.
    ///
    /// [`JournalError::Conflict`] if it does not, or if the lease is not the run's newest.
    async fn append(&self, append: Append) -> Result<(), JournalError>;

    /// Takes the run: the epoch goes up by one and every older lease is void.
    async fn claim(&self, run: &RunId) -> Result<(Lease, RunRow), JournalError>;

    /// Events after `after`, in order, at most `limit`. Empty for an unknown run.
    async fn read(&self, run: &RunId, after: Seq, limit: usize) -> Result<Vec<Arc<Stored>>, JournalError>;

    /// One run; `None` if there is none.
    async fn run(&self, run: &RunId) -> Result<Option<RunRow>, JournalError>;

    /// Runs, newest first.
    async fn runs(&self, query: &RunQuery) -> Result<Vec<RunRow>, JournalError>;

    /// Runs that are `queued` or `running`, oldest first: at start, those that must go on.
    async fn unfinished(&self) -> Result<Vec<RunId>, JournalError>;

    /// Forgets a run and its events. Returns whether there was one.
    async fn delete(&self, run: &RunId) -> Result<bool, JournalError>;

    /// Keeps a crew's source under its hash. Keeping it again changes nothing.
    async fn put_crew(&self, hash: &str, source: &str) -> Result<(), JournalError>;

    /// The source kept under a hash.
    async fn crew(&self, hash: &str) -> Result<Option<String>, JournalError>;

    /// Whether runs outlive the process.
    fn is_durable(&self) -> bool;

    /// Answers quickly whether the journal can be written; for readiness.
    async fn check(&self) -> Result<(), JournalError>;

    /// Finishes what was accepted and closes. Later calls fail with [`JournalError::Closed`].
    async fn close(&self);
}

/// An event as it is kept: the value and its one line of JSON, made once for the journal and all readers.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The event.
    pub recorded: Recorded,
    /// [`Recorded::to_json`] of it.
    pub json: Bytes,
}

impl Stored {
    /// Encodes an event.
    pub fn new(recorded: Recorded) -> Stored {
        let json = Bytes::from(recorded.to_json());
        Stored { recorded, json }
    }

    /// Reads an event as it was kept.
    pub fn from_json(json: impl Into<Bytes>) -> Result<Stored, JournalError> {
        let json = json.into();
        let text = std::str::from_utf8(&json).map_err(|error| JournalError::Corrupt(error.to_string()))?;
        let recorded = Recorded::from_json(text).map_err(|error| JournalError::Corrupt(error.to_string()))?;
        Ok(Stored { recorded, json })
    }
}

/// A new run.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its id.
    pub run: RunId,
    /// The crew's name.
    pub crew: String,
    /// The crew's hash; its source must have been put before.
    pub crew_hash: Arc<str>,
    /// Its conversation.
    pub thread: ThreadId,
    /// The state after the events.
    pub state: RunState,
    /// Its first events; never empty.
    pub events: Vec<Arc<Stored>>,
}

/// Events to add.
#[derive(Clone, Debug)]
pub struct Append {
    /// The run.
    pub run: RunId,
    /// The writer's lease.
    pub lease: Lease,
    /// The state after the events.
    pub state: RunState,
    /// The events; never empty.
    pub events: Vec<Arc<Stored>>,
}

/// Leave to write to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Goes up with every claim.
    pub epoch: u64,
    /// Fresh and random for every claim.
    pub id: uuid::Uuid,
}

/// What is known of a run without reading its events.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRow {
    /// Its id.
    pub run: RunId,
    /// Its crew's name.
    pub crew: String,
    /// Its crew's hash.
    pub crew_hash: Arc<str>,
    /// Its conversation.
    pub thread: ThreadId,
    /// Its state.
    pub state: RunState,
    /// Its last event.
    pub seq: Seq,
    /// When its first event was recorded.
    pub created_at: Timestamp,
    /// When its last event was recorded.
    pub updated_at: Timestamp,
}

/// Which runs to list.
#[derive(Clone, Debug, Default)]
pub struct RunQuery {
    /// Only of this crew.
    pub crew: Option<String>,
    /// Only in this state.
    pub state: Option<RunState>,
    /// Only of this conversation.
    pub thread: Option<ThreadId>,
    /// Only older than this place: `created_at` and id of the last run of the page before.
    pub before: Option<(Timestamp, RunId)>,
    /// At most so many.
    pub limit: usize,
}

/// A journal that could not do its job.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// Someone else wrote or holds the run.
    #[error("run {0} was written or claimed by another process")]
    Conflict(RunId),
    /// There is no such run.
    #[error("no run {0}")]
    UnknownRun(RunId),
    /// A run of this id exists.
    #[error("run {0} exists already")]
    Exists(RunId),
    /// It may work later: the disk is full, the database is busy or away.
    #[error("the journal is unavailable: {0}")]
    Unavailable(String),
    /// What is kept cannot be read.
    #[error("the journal cannot be read: {0}")]
    Corrupt(String),
    /// It was written by a newer version.
    #[error("the journal was written by a newer version: {0}")]
    NeedsUpgrade(String),
    /// It has been closed.
    #[error("the journal is closed")]
    Closed,
}

/// Whether the events are numbered `after + 1`, `after + 2`, ... and there is at least one.
fn follows(events: &[Arc<Stored>], after: Seq) -> bool {
    let mut last = after;
    !events.is_empty()
        && events
            .iter()
            .all(|event| std::mem::replace(&mut last, event.recorded.seq).next() == event.recorded.seq)
}
