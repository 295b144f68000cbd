//! Where events are kept.
//!
//! A journal is append-only per run and fenced: [`Journal::append`] succeeds only for whoever holds the newest lease
//! and knows the last event. Nothing is performed, published or acknowledged before the append has returned.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use boathouse_core::ids::{RunId, Seq, ThreadId, Timestamp};
use boathouse_core::run::event::{Recorded, RunState};
use bytes::Bytes;

pub mod contract;
pub mod memory;
mod outbox;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod thread;
mod waits;

pub use memory::MemoryJournal;
pub use outbox::Notice;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteJournal;
pub use thread::{NewThread, Next, OnThread, ThreadEnd, ThreadQuery, ThreadRow, Turn};
pub use waits::{OpenWait, WaitPlace, WaitQuery};

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
    ///
    /// [`JournalError::Held`] if another process holds it and has not missed its heartbeat.
    async fn claim(&self, run: &RunId) -> Result<(Lease, RunRow), JournalError>;

    /// Events after `after`, in order, at most `limit`. Empty for an unknown run.
    async fn read(&self, run: &RunId, after: Seq, limit: usize) -> Result<Vec<Arc<Stored>>, JournalError>;

    /// One run; `None` if there is none.
    async fn run(&self, run: &RunId) -> Result<Option<RunRow>, JournalError>;

    /// Runs, newest first.
    async fn runs(&self, query: &RunQuery) -> Result<Vec<RunRow>, JournalError>;

    /// Runs that are `running` and not held by another process, oldest first: those that must go on here.
    async fn unfinished(&self) -> Result<Vec<RunId>, JournalError>;

    /// Queued runs whose turn has come, on this thread or on any, in the order in which they were queued, at most
    /// `limit`: each is the first on its thread, and no run has the turn there.
    async fn next_queued(&self, thread: Option<&ThreadId>, limit: usize) -> Result<Vec<Next>, JournalError>;

    /// One thread; `None` if there is none. Runs whose thread has their own id have none here, until it is made.
    async fn thread(&self, thread: &ThreadId) -> Result<Option<ThreadRow>, JournalError>;

    /// Threads, the newest first.
    async fn threads(&self, query: &ThreadQuery) -> Result<Vec<ThreadRow>, JournalError>;

    /// Messages of a thread after the first `after`, in order, at most `limit`. Empty for an unknown thread.
    async fn thread_messages(
        &self,
        thread: &ThreadId,
        after: usize,
        limit: usize,
    ) -> Result<Vec<Bytes>, JournalError>;

    /// The first `count` messages of the thread that a run began on, also if the thread was deleted since.
    async fn pinned(&self, run: &RunId, count: usize) -> Result<Vec<Bytes>, JournalError>;

    /// Makes a thread. Returns whether it was made: not if there is one of this id.
    async fn put_thread(&self, new: NewThread) -> Result<bool, JournalError>;

    /// Forgets a thread: its messages go with the last run that pins them. Returns whether there was one.
    ///
    /// [`JournalError::ThreadBusy`] if a run has the turn there, or waits for it.
    async fn delete_thread(&self, thread: &ThreadId) -> Result<bool, JournalError>;

    /// What waits for a person, oldest first.
    async fn waits(&self, query: &WaitQuery) -> Result<Vec<OpenWait>, JournalError>;

    /// When waits of paused runs expire, soonest first, at most `limit`; not those of runs that another process holds.
    async fn expiries(&self, limit: usize) -> Result<Vec<(Timestamp, RunId)>, JournalError>;

    /// Notices that wait to be delivered, the next one first, at most `limit`; not those to the addresses `except`, nor
    /// those of another process that lives.
    async fn outbox(&self, except: &[&str], limit: usize) -> Result<Vec<Notice>, JournalError>;

    /// Forgets a notice, or, with `again`, counts a failed attempt and keeps it for another one then.
    async fn settle_notice(&self, id: &str, again: Option<Timestamp>) -> Result<(), JournalError>;

    /// Forgets the oldest notices beyond so many. Returns how many went.
    async fn trim_outbox(&self, keep: usize) -> Result<usize, JournalError>;

    /// Forgets a run and its events, and what it waits for. Returns whether there was one.
    async fn delete(&self, run: &RunId) -> Result<bool, JournalError>;

    /// What a request with this key did, if it was carried out within [`REQUESTS_KEPT`].
    async fn request(&self, scope: &str, key: &str) -> Result<Option<DoneRequest>, JournalError>;

    /// Forgets some of what `keep` does not keep, little at a time so that writes are not held up: ended runs, those
    /// that ended first in front, threads of which no run is left, and old request keys. Returns how many runs and threads
    /// went; call it again until it is 0.
    async fn prune(&self, keep: &Retention) -> Result<usize, JournalError>;

    /// How long this process holds its runs after its last [`Journal::beat`]; `None` where nobody can take them from
    /// it while it lives.
    fn lease(&self) -> Option<Duration> {
        None
    }

    /// Says that this process lives, for all its runs at once.
    async fn beat(&self) -> Result<(), JournalError> {
        Ok(())
    }

    /// Keeps a crew's source under its hash, and the folder that it was read from. Keeping it again changes at most the
    /// folder.
    async fn put_crew(&self, hash: &str, source: &str, dir: Option<&str>) -> Result<(), JournalError>;

    /// The crew kept under a hash.
    async fn crew(&self, hash: &str) -> Result<Option<KeptCrew>, JournalError>;

    /// Forgets the sources of crews that no run uses, except these, if no other process may need them.
    async fn drop_crews(&self, except: &[Arc<str>]) -> Result<(), JournalError>;

    /// Whether runs outlive the process.
    fn is_durable(&self) -> bool;

    /// Tries whether the journal can be written, by writing; for readiness.
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
        // Without the room that its text grew in: it is kept for long.
        let json = Bytes::from(recorded.to_json().into_boxed_str().into_boxed_bytes());
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
    /// The request that starts it: if one of this key was carried out already, [`JournalError::Repeated`].
    pub request: Option<RequestKey>,
    /// What its events do to its thread, if that is shared or the run is queued.
    pub on_thread: Option<OnThread>,
    /// What people have to do with these events.
    pub people: People,
}

impl NewRun {
    /// The row that the run begins with; `None` without events.
    pub fn row(&self) -> Option<RunRow> {
        let (first, last) = (self.events.first()?, self.events.last()?);
        Some(RunRow {
            run: self.run.clone(),
            crew: self.crew.clone(),
            crew_hash: self.crew_hash.clone(),
            thread: self.thread.clone(),
            state: self.state,
            seq: last.recorded.seq,
            created_at: first.recorded.at,
            updated_at: last.recorded.at,
        })
    }
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
    /// Requests that these events carry out.
    pub requests: Vec<RequestKey>,
    /// What they do to the run's thread.
    pub on_thread: Option<OnThread>,
    /// What people have to do with these events.
    pub people: People,
}

/// What is kept with events for people: what waits for them, and what they are told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct People {
    /// All that the run waits for after the events, if that has changed.
    pub waits: Option<Vec<OpenWait>>,
    /// Notices that tell of the events.
    pub notices: Vec<Notice>,
}

/// How long a journal knows what a request with a key did.
pub const REQUESTS_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// A request that must not be carried out twice.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestKey {
    /// What the key counts for: a method and a path.
    pub scope: String,
    /// The client's word for the request.
    pub key: String,
    /// A fingerprint of the body.
    pub body: String,
}

impl RequestKey {
    /// The key of a request. Bodies that are the same JSON are the same body.
    pub fn new(scope: impl Into<String>, key: impl Into<String>, body: &[u8]) -> RequestKey {
        use sha2::Digest;
        let json =
            serde_json::from_slice::<serde_json::Value>(body).map(|json| json.to_string().into_bytes());
        let digest = sha2::Sha256::digest(json.as_deref().unwrap_or(body));
        let body = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        RequestKey { scope: scope.into(), key: key.into(), body }
    }
}

/// What a request with a key did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoneRequest {
    /// The fingerprint of its body.
    pub body: String,
    /// The run that it started or changed.
    pub run: RunId,
    /// The run's last event once it had been carried out.
    pub seq: Seq,
    /// When.
    pub at: Timestamp,
}

/// Which ended runs are kept, and which threads without runs: the bounds are the same. Runs that have not ended, and
/// their threads, always are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Those that ended so long ago at most.
    pub age: Duration,
    /// So many at most, the last that ended.
    pub runs: usize,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention { age: Duration::from_secs(30 * 24 * 60 * 60), runs: 100_000 }
    }
}

impl Retention {
    /// Runs that ended before this are too old.
    fn ended_before(&self) -> Timestamp {
        long_ago(self.age)
    }
}

/// The time so long ago.
fn long_ago(age: Duration) -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(now.saturating_sub(age).as_millis()).unwrap_or(i64::MAX))
}

/// Leave to write to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Goes up with every claim.
    pub epoch: u64,
    /// Fresh and random for every claim.
    pub id: uuid::Uuid,
}

/// A crew version that the journal keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptCrew {
    /// Its files, as JSON: name to text.
    pub source: String,
    /// The folder that it was read from, the last time; `None` if from none.
    pub dir: Option<String>,
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
    /// Another process holds the run.
    #[error("run {0} is held by another process")]
    Held(RunId),
    /// The request that should start this run was carried out before.
    #[error("the request that should start run {0} was carried out before")]
    Repeated(RunId),
    /// Another run has the turn on this thread, or goes first.
    #[error("thread {0} is busy")]
    ThreadBusy(ThreadId),
    /// Too many runs wait on this thread.
    #[error("too many runs wait on thread {0}")]
    ThreadQueueFull(ThreadId),
    /// Too many runs wait in all.
    #[error("too many runs wait to begin")]
    QueueFull,
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
