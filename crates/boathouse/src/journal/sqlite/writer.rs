//! The thread that writes.

use std::collections::{HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use boathouse_core::ids::{RunId, Seq, ThreadId};
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::batch::{Outcome, Transactions};
use super::blobs::Cut;
use super::chores::Chore;
use super::recent::Recent;
use super::schema;
use super::threads::ThreadChange;
use crate::journal::{Append, JournalError, KeptCrew, Lease, NewRun, OnThread, RequestKey, RunRow, Stored};

/// Writes that may wait; more wait at the caller.
const QUEUE: usize = 1024;

/// Writes of one transaction.
const BATCH: usize = 512;

/// Bytes of events from which on a transaction takes no more writes.
const BATCH_BYTES: usize = 8 << 20;

type Done<T> = oneshot::Sender<Result<T, JournalError>>;

/// Something to write, and whom to tell.
pub(super) enum Write {
    Create {
        new: NewRun,
        /// Those of its events that have long texts.
        cuts: Vec<(usize, Cut)>,
        lease: Lease,
        /// The process that holds the run.
        holder: Arc<str>,
        done: Done<Lease>,
    },
    /// The events are numbered from `after` + 1.
    Append {
        append: Append,
        cuts: Vec<(usize, Cut)>,
        after: Seq,
        done: Done<()>,
    },
    Claim {
        run: RunId,
        lease: uuid::Uuid,
        holder: Arc<str>,
        done: Done<(Lease, RunRow)>,
    },
    Delete {
        run: RunId,
        done: Done<bool>,
    },
    PutCrew {
        hash: String,
        crew: KeptCrew,
        done: Done<()>,
    },
    /// A change to a thread alone; it goes alone, like a chore.
    Thread {
        change: ThreadChange,
        done: Done<bool>,
    },
    Chore {
        chore: Chore,
        done: Done<()>,
    },
    /// Writes what is queued, and ends.
    Close,
}

impl Write {
    pub(super) fn run(&self) -> Option<&RunId> {
        match self {
            Write::Create { new, .. } => Some(&new.run),
            Write::Append { append, .. } => Some(&append.run),
            Write::Claim { run, .. } | Write::Delete { run, .. } => Some(run),
            Write::PutCrew { .. } | Write::Thread { .. } | Write::Chore { .. } | Write::Close => None,
        }
    }

    /// What it does to a thread beside its events.
    pub(super) fn on_thread(&self) -> Option<&OnThread> {
        match self {
            Write::Create { new, .. } => new.on_thread.as_ref(),
            Write::Append { append, .. } => append.on_thread.as_ref(),
            Write::Claim { .. }
            | Write::Delete { .. }
            | Write::PutCrew { .. }
            | Write::Thread { .. }
            | Write::Chore { .. }
            | Write::Close => None,
        }
    }

    /// Its events.
    pub(super) fn events(&self) -> &[Arc<Stored>] {
        match self {
            Write::Create { new, .. } => &new.events,
            Write::Append { append, .. } => &append.events,
            Write::Claim { .. }
            | Write::Delete { .. }
            | Write::PutCrew { .. }
            | Write::Thread { .. }
            | Write::Chore { .. }
            | Write::Close => &[],
        }
    }

    /// The requests that it carries out.
    fn requests(&self) -> &[RequestKey] {
        match self {
            Write::Create { new, .. } => new.request.as_slice(),
            Write::Append { append, .. } => &append.requests,
            Write::Claim { .. }
            | Write::Delete { .. }
            | Write::PutCrew { .. }
            | Write::Thread { .. }
            | Write::Chore { .. }
            | Write::Close => &[],
        }
    }

    /// Bytes of its events.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Write::PutCrew { crew, .. } => crew.source.len(),
            other => other.events().iter().map(|event| event.json.len()).sum(),
        }
    }

    /// Whether it has a transaction of its own.
    fn goes_alone(&self) -> bool {
        matches!(self, Write::Chore { .. } | Write::Thread { .. })
    }

    /// Tells the caller that nothing was written. A caller that has gone does not hear it.
    fn fail(self, error: JournalError) {
        match self {
            Write::Create { done, .. } => drop(done.send(Err(error))),
            Write::Claim { done, .. } => drop(done.send(Err(error))),
            Write::Delete { done, .. } | Write::Thread { done, .. } => drop(done.send(Err(error))),
            Write::Append { done, .. } | Write::PutCrew { done, .. } | Write::Chore { done, .. } => {
                drop(done.send(Err(error)));
            }
            Write::Close => {}
        }
    }

    /// Tells the caller what became of it, once it is committed.
    fn finish(self, outcome: Outcome, recent: Option<&Recent>) {
        match (self, outcome) {
            (Write::Create { new, lease, done, .. }, Outcome::Written) => {
                if let Some(recent) = recent {
                    recent.created(new);
                }
                drop(done.send(Ok(lease)));
            }
            (Write::Append { append, done, .. }, Outcome::Written) => {
                if let Some(recent) = recent {
                    recent.appended(append);
                }
                drop(done.send(Ok(())));
            }
            (Write::Claim { lease, done, .. }, Outcome::Claimed(epoch, row)) => {
                if let Some(recent) = recent {
                    recent.claimed(&row);
                }
                drop(done.send(Ok((Lease { epoch, id: lease }, *row))));
            }
            (Write::Delete { run, done }, outcome) => {
                if let Some(recent) = recent {
                    recent.deleted(&run);
                }
                drop(done.send(Ok(matches!(outcome, Outcome::Written))));
            }
            (Write::PutCrew { done, .. } | Write::Chore { done, .. }, _) => drop(done.send(Ok(()))),
            (Write::Thread { .. } | Write::Close, _) => {}
            (write @ (Write::Create { .. } | Write::Append { .. } | Write::Claim { .. }), outcome) => {
                let Some(run) = write.run().cloned() else { return };
                let thread = || {
                    let on = write.on_thread().map(|on| on.thread.clone());
                    on.unwrap_or_else(|| ThreadId::from(run.as_str()))
                };
                let error = match outcome {
                    Outcome::ThreadBusy => JournalError::ThreadBusy(thread()),
                    Outcome::ThreadQueueFull => JournalError::ThreadQueueFull(thread()),
                    Outcome::QueueFull => JournalError::QueueFull,
                    Outcome::UnknownRun => JournalError::UnknownRun(run),
                    Outcome::Exists => JournalError::Exists(run),
                    Outcome::Repeated => JournalError::Repeated(run),
                    Outcome::Held => JournalError::Held(run),
                    Outcome::Conflict | Outcome::Written | Outcome::Claimed(..) => {
                        JournalError::Conflict(run)
                    }
                };
                write.fail(error);
            }
        }
    }
}

/// The way to the thread that writes. Dropping it ends the thread, whatever is queued.
#[derive(Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Write>,
    running: TaskTracker,
    _dropped: DropGuard,
}

impl Writer {
    /// The thread is none of the runtime's: between two transactions it would wait there behind all that runs do.
    pub(super) fn start(
        path: PathBuf,
        connection: SqliteConnection,
        recent: Option<Arc<Recent>>,
    ) -> std::io::Result<Writer> {
        let (queue, queued) = mpsc::channel(QUEUE);
        let work = Work {
            path,
            connection: Some(connection),
            recent,
            transactions: Transactions::new(),
            closing: false,
        };
        let (running, dropped, runtime) = (TaskTracker::new(), CancellationToken::new(), Handle::current());
        let (runs, until) = (running.token(), dropped.clone());
        std::thread::Builder::new().name("journal".to_owned()).spawn(move || {
            runtime.block_on(until.run_until_cancelled(work.run(queued)));
            drop(runs);
        })?;
        running.close();
        Ok(Writer { queue, running, _dropped: dropped.drop_guard() })
    }

    /// Queues a write; waits while the queue is full. Once queued it is written even if the caller goes away.
    pub(super) async fn send(&self, write: Write) -> Result<(), JournalError> {
        self.queue.send(write).await.map_err(|_| JournalError::Closed)
    }

    /// Waits until what is queued has been written and the file is closed. May be called again.
    pub(super) async fn close(&self) {
        // Fails if the thread has ended already.
        let _ = self.queue.send(Write::Close).await;
        self.running.wait().await;
    }
}

struct Work {
    path: PathBuf,
    /// `None` after a failure that may have broken it; the next batch opens a new one.
    connection: Option<SqliteConnection>,
    recent: Option<Arc<Recent>>,
    transactions: Transactions,
    closing: bool,
}

impl Work {
    async fn run(mut self, mut queued: mpsc::Receiver<Write>) {
        let mut waiting = VecDeque::new();
        let mut received = Vec::new();
        loop {
            if waiting.is_empty() && queued.recv_many(&mut received, BATCH).await == 0 {
                break;
            }
            while received.len() < BATCH
                && let Ok(write) = queued.try_recv()
            {
                received.push(write);
            }
            for write in received.drain(..) {
                if matches!(write, Write::Close) {
                    self.closing = true;
                    queued.close();
                }
                waiting.push_back(write);
            }
            let batch = take_batch(&mut waiting);
            self.write(batch).await;
        }
        if let Some(connection) = self.connection.take() {
            // All that matters is committed; an error here would only be that of folding the log into the file.
            let _ = connection.close().await;
        }
    }

    async fn write(&mut self, batch: Vec<Write>) {
        if let [alone] = batch.as_slice()
            && alone.goes_alone()
        {
            for write in batch {
                // Whoever asked may have gone.
                match write {
                    Write::Chore { chore, done } => {
                        let _ = done.send(self.run_chore(&chore).await.map_err(|failure| failure.error));
                    }
                    Write::Thread { change, done } => {
                        let _ = done.send(self.change_thread(&change).await);
                    }
                    _ => {}
                }
            }
            return;
        }
        match self.commit(&batch).await {
            Ok(outcomes) => {
                for (write, outcome) in batch.into_iter().zip(outcomes) {
                    write.finish(outcome, self.recent.as_deref());
                }
            }
            // One write that SQLite will not take must not fail the others.
            Err(Failure { of_one_write: true, .. }) if batch.len() > 1 => {
                for write in batch {
                    Box::pin(self.write(vec![write])).await;
                }
            }
            Err(Failure { error, .. }) => {
                tracing::warn!(journal = %self.path.display(), writes = batch.len(), %error, "nothing of a batch could be written");
                for write in batch {
                    write.fail(error.clone());
                }
            }
        }
    }

    async fn run_chore(&mut self, chore: &Chore) -> Result<(), Failure> {
        let mut connection = self.connection().await?;
        let ready = match chore {
            // The statements that runs are written with must work, too.
            Chore::Check => self.transactions.commit(&mut connection, &[]).await.map(drop),
            Chore::Beat { .. }
            | Chore::Leave { .. }
            | Chore::ForgetRequests { .. }
            | Chore::ForgetThreads { .. }
            | Chore::SettleNotice { .. }
            | Chore::TrimOutbox { .. }
            | Chore::DropCrews { .. } => Ok(()),
        };
        let result = match ready {
            Ok(()) => chore.run(&mut connection).await,
            Err(error) => Err(error),
        };
        self.put_back(connection, result).await
    }

    async fn change_thread(&mut self, change: &ThreadChange) -> Result<bool, JournalError> {
        let mut connection = self.connection().await.map_err(|failure| failure.error)?;
        let result = change.make(&mut connection).await;
        self.put_back(connection, result).await.map_err(|failure| failure.error)?
    }

    async fn commit(&mut self, batch: &[Write]) -> Result<Vec<Outcome>, Failure> {
        let mut connection = self.connection().await?;
        let result = self.transactions.commit(&mut connection, batch).await;
        self.put_back(connection, result).await
    }

    async fn connection(&mut self) -> Result<SqliteConnection, Failure> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => schema::connect(&self.path).await.map_err(|error| Failure { error, of_one_write: false }),
        }
    }

    /// Keeps the connection for the next batch, unless the result says that it may be broken.
    async fn put_back<T>(
        &mut self,
        mut connection: SqliteConnection,
        result: Result<T, sqlx::Error>,
    ) -> Result<T, Failure> {
        match result {
            Ok(done) => {
                self.connection = Some(connection);
                Ok(done)
            }
            Err(error) => {
                // SQLite has rolled some errors back by itself; then this fails, and nothing is open all the same.
                let _ = sqlx::raw_sql("ROLLBACK").execute(&mut connection).await;
                // SQLITE_BUSY, SQLITE_FULL, SQLITE_TOOBIG, SQLITE_CONSTRAINT, SQLITE_MISMATCH leave the connection sound.
                let code = schema::code(&error);
                if matches!(code, Some(5 | 13 | 18 | 19 | 20)) {
                    self.connection = Some(connection);
                }
                Err(Failure {
                    of_one_write: matches!(code, Some(11 | 18 | 19 | 20)),
                    error: schema::error(error),
                })
            }
        }
    }
}

/// A batch of which nothing was written.
struct Failure {
    error: JournalError,
    /// Some write of the batch is to blame, and others may work.
    of_one_write: bool,
}

/// Takes what one transaction can write: at most one write for each run, each thread and each request, in the order in
/// which they came. A chore goes alone.
fn take_batch(waiting: &mut VecDeque<Write>) -> Vec<Write> {
    if waiting.len() == 1 {
        return waiting.drain(..).collect();
    }
    let mut batch = Vec::with_capacity(waiting.len());
    let mut later = VecDeque::new();
    let (mut taken, mut requests, mut threads) = (HashSet::new(), HashSet::new(), HashSet::new());
    let mut bytes = 0;
    while let Some(write) = waiting.pop_front() {
        let fits = batch.is_empty() || bytes + write.bytes() <= BATCH_BYTES;
        let chore = write.goes_alone();
        if !fits || batch.len() == BATCH || (chore && !(batch.is_empty() && later.is_empty())) {
            waiting.push_front(write);
            break;
        }
        if chore {
            return vec![write];
        }
        let known = write.run().is_some_and(|run| !taken.insert(run.clone()));
        // A request that waits its turn keeps its run's later writes waiting too: the run is taken already.
        let on_thread = write.on_thread().is_some_and(|on| !threads.insert(on.thread.clone()));
        if known || on_thread || write.requests().iter().any(|request| !requests.insert(request.clone())) {
            later.push_back(write);
            continue;
        }
        bytes += write.bytes();
        batch.push(write);
    }
    later.append(waiting);
    *waiting = later;
    batch
}
