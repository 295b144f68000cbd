//! A journal in one SQLite file.
//!
//! One thread owns the only connection that writes. It takes everything that is queued, commits it in one transaction
//! with `synchronous=FULL`, and acknowledges it then: the more runs write at once, the fewer transactions each costs.
//! A few other connections read. Events of runs at work are also kept in memory, so that their readers need no query.

mod batch;
mod blobs;
mod chores;
mod events;
mod lock;
mod people;
mod recent;
mod runs;
mod schema;
mod threads;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use boathouse_core::ids::{RunId, Seq, ThreadId, Timestamp};
use bytes::Bytes;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use tokio::sync::oneshot;

use super::{
    Append, DoneRequest, Journal, JournalError, KeptCrew, Lease, NewRun, NewThread, Next, Notice, OpenWait,
    REQUESTS_KEPT, Retention, RunQuery, RunRow, Stored, ThreadQuery, ThreadRow, WaitQuery, follows, long_ago,
};
use chores::Chore;
use events::MAX_SEQ;
use lock::ServerLock;
use recent::Recent;
use threads::{Messages, ThreadChange};
use writer::{Write, Writer};

/// Keeps events in a SQLite file, beside which SQLite keeps `-wal` and `-shm` files and we a `.lock` file.
///
/// An acknowledged write is on the disk. One process serves a file at a time. Close it with [`Journal::close`];
/// dropping it instead is safe for the file, but writes that nobody waits for any more may be left out.
#[derive(Debug)]
pub struct SqliteJournal {
    path: PathBuf,
    writer: Writer,
    readers: SqlitePool,
    /// `None` where another process may write to the file.
    recent: Option<Arc<Recent>>,
    /// This process, to others that share the file; empty if it has the file for itself.
    process: Arc<str>,
    lease: Option<Duration>,
    lock: Mutex<Option<ServerLock>>,
    closed: AtomicBool,
}

impl SqliteJournal {
    /// Opens a journal, or makes a new one; the folder must exist. Must be called inside a tokio runtime.
    ///
    /// [`JournalError::Unavailable`] if the folder is missing, the file cannot be written, or another process serves
    /// it; [`JournalError::Corrupt`] if it is something else than a journal; [`JournalError::NeedsUpgrade`] if a newer
    /// version wrote it.
    pub async fn open(path: impl AsRef<Path>) -> Result<SqliteJournal, JournalError> {
        let path = schema::make_file(path.as_ref())?;
        let lock = ServerLock::take(&path)?;
        Self::start(path, lock).await
    }

    /// Opens a journal that other processes may have open at the same time, each of them in this way. A process that
    /// has not beaten ([`Journal::beat`]) for `lease` holds no run any more.
    pub async fn open_shared(path: impl AsRef<Path>, lease: Duration) -> Result<SqliteJournal, JournalError> {
        let path = schema::make_file(path.as_ref())?;
        let lock = ServerLock::share(&path)?;
        let mut connection = Self::connect(&path).await?;
        let process: Arc<str> = uuid::Uuid::now_v7().simple().to_string().into();
        let beat = Chore::Beat { process: process.to_string(), lease };
        beat.run(&mut connection).await.map_err(schema::error)?;
        let shared = Self::on(path, connection, None, Some(lock))?;
        Ok(SqliteJournal { process, lease: Some(lease), ..shared })
    }

    async fn start(path: PathBuf, lock: ServerLock) -> Result<SqliteJournal, JournalError> {
        let mut connection = Self::connect(&path).await?;
        schema::begin_alone(&mut connection, &path).await?;
        Self::on(path, connection, Some(Recent::default()), Some(lock))
    }

    async fn connect(path: &Path) -> Result<SqliteConnection, JournalError> {
        let mut connection = schema::connect(path).await?;
        schema::migrate(&mut connection, path).await?;
        Ok(connection)
    }

    fn on(
        path: PathBuf,
        connection: SqliteConnection,
        recent: Option<Recent>,
        lock: Option<ServerLock>,
    ) -> Result<SqliteJournal, JournalError> {
        let recent = recent.map(Arc::new);
        let readers = schema::readers(&path);
        let writer = Writer::start(path.clone(), connection, recent.clone())
            .map_err(|error| JournalError::Unavailable(format!("its thread cannot be started: {error}")))?;
        Ok(SqliteJournal {
            path,
            writer,
            readers,
            recent,
            process: "".into(),
            lease: None,
            lock: Mutex::new(lock),
            closed: AtomicBool::new(false),
        })
    }

    async fn chore(&self, chore: Chore) -> Result<(), JournalError> {
        self.write(|done| Write::Chore { chore, done }).await
    }

    /// The file, as an absolute path without symbolic links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn readers(&self) -> Result<&SqlitePool, JournalError> {
        if self.closed.load(Ordering::Acquire) { Err(JournalError::Closed) } else { Ok(&self.readers) }
    }

    async fn write<T>(
        &self,
        write: impl FnOnce(oneshot::Sender<Result<T, JournalError>>) -> Write,
    ) -> Result<T, JournalError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(JournalError::Closed);
        }
        let (done, outcome) = oneshot::channel();
        self.writer.send(write(done)).await?;
        outcome.await.unwrap_or(Err(JournalError::Closed))
    }
}

#[async_trait]
impl Journal for SqliteJournal {
    async fn create(&self, new: NewRun) -> Result<Lease, JournalError> {
        if !follows(&new.events, Seq(0)) {
            return Err(JournalError::Conflict(new.run));
        }
        let lease = Lease { epoch: 1, id: uuid::Uuid::now_v7() };
        let cuts = blobs::cut_all(&new.events);
        self.write(|done| Write::Create { new, cuts, lease, holder: self.process.clone(), done }).await
    }

    async fn append(&self, append: Append) -> Result<(), JournalError> {
        let after = append.events.first().and_then(|first| first.recorded.seq.0.checked_sub(1));
        match after {
            Some(after) if after <= MAX_SEQ && follows(&append.events, Seq(after)) => {
                let cuts = blobs::cut_all(&append.events);
                self.write(|done| Write::Append { append, cuts, after: Seq(after), done }).await
            }
            Some(_) | None => Err(JournalError::Conflict(append.run)),
        }
    }

    async fn claim(&self, run: &RunId) -> Result<(Lease, RunRow), JournalError> {
        let run = run.clone();
        let (lease, holder) = (uuid::Uuid::now_v7(), self.process.clone());
        self.write(|done| Write::Claim { run, lease, holder, done }).await
    }

    async fn read(&self, run: &RunId, after: Seq, limit: usize) -> Result<Vec<Arc<Stored>>, JournalError> {
        let readers = self.readers()?;
        if let Some(events) = self.recent.as_ref().and_then(|recent| recent.read(run, after, limit)) {
            return Ok(events);
        }
        events::read(readers, run, after, limit).await
    }

    async fn run(&self, run: &RunId) -> Result<Option<RunRow>, JournalError> {
        let readers = self.readers()?;
        if let Some(row) = self.recent.as_ref().and_then(|recent| recent.row(run)) {
            return Ok(Some(row));
        }
        runs::row(readers, run).await
    }

    async fn runs(&self, query: &RunQuery) -> Result<Vec<RunRow>, JournalError> {
        runs::rows(self.readers()?, query).await
    }

    async fn unfinished(&self) -> Result<Vec<RunId>, JournalError> {
        runs::unfinished(self.readers()?, &self.process).await
    }

    async fn next_queued(&self, thread: Option<&ThreadId>, limit: usize) -> Result<Vec<Next>, JournalError> {
        threads::next_queued(self.readers()?, thread, limit).await
    }

    async fn thread(&self, thread: &ThreadId) -> Result<Option<ThreadRow>, JournalError> {
        threads::row(self.readers()?, thread).await
    }

    async fn threads(&self, query: &ThreadQuery) -> Result<Vec<ThreadRow>, JournalError> {
        threads::rows(self.readers()?, query).await
    }

    async fn thread_messages(
        &self,
        thread: &ThreadId,
        after: usize,
        limit: usize,
    ) -> Result<Vec<Bytes>, JournalError> {
        threads::messages(self.readers()?, Messages::OfThread(thread), after, limit).await
    }

    async fn pinned(&self, run: &RunId, count: usize) -> Result<Vec<Bytes>, JournalError> {
        threads::messages(self.readers()?, Messages::PinnedBy(run), 0, count).await
    }

    async fn put_thread(&self, new: NewThread) -> Result<bool, JournalError> {
        self.write(|done| Write::Thread { change: ThreadChange::Put(new), done }).await
    }

    async fn delete_thread(&self, thread: &ThreadId) -> Result<bool, JournalError> {
        let change = ThreadChange::Delete(thread.clone());
        self.write(|done| Write::Thread { change, done }).await
    }

    async fn waits(&self, query: &WaitQuery) -> Result<Vec<OpenWait>, JournalError> {
        people::waits(self.readers()?, query).await
    }

    async fn expiries(&self, limit: usize) -> Result<Vec<(Timestamp, RunId)>, JournalError> {
        people::expiries(self.readers()?, &self.process, limit).await
    }

    async fn outbox(&self, except: &[&str], limit: usize) -> Result<Vec<Notice>, JournalError> {
        people::outbox(self.readers()?, &self.process, except, limit).await
    }

    async fn settle_notice(&self, id: &str, again: Option<Timestamp>) -> Result<(), JournalError> {
        self.chore(Chore::SettleNotice { id: id.to_owned(), again }).await
    }

    async fn trim_outbox(&self, keep: usize) -> Result<usize, JournalError> {
        let row = sqlx::query("SELECT count(*) FROM outbox")
            .fetch_one(self.readers()?)
            .await
            .map_err(schema::error)?;
        let kept = usize::try_from(row.try_get::<i64, _>(0).map_err(schema::error)?).unwrap_or(0);
        let many = kept.saturating_sub(keep);
        if many > 0 {
            self.chore(Chore::TrimOutbox { keep: to_limit(keep) }).await?;
        }
        Ok(many)
    }

    async fn delete(&self, run: &RunId) -> Result<bool, JournalError> {
        let run = run.clone();
        self.write(|done| Write::Delete { run, done }).await
    }

    async fn put_crew(&self, hash: &str, source: &str, dir: Option<&str>) -> Result<(), JournalError> {
        let crew = KeptCrew { source: source.to_owned(), dir: dir.map(str::to_owned) };
        self.write(|done| Write::PutCrew { hash: hash.to_owned(), crew, done }).await
    }

    async fn crew(&self, hash: &str) -> Result<Option<KeptCrew>, JournalError> {
        let row = sqlx::query("SELECT source, dir FROM crews WHERE hash = $1")
            .bind(hash)
            .fetch_optional(self.readers()?)
            .await
            .map_err(schema::error)?;
        row.map(|row| Ok(KeptCrew { source: row.try_get(0)?, dir: row.try_get(1)? }))
            .transpose()
            .map_err(schema::error)
    }

    async fn request(&self, scope: &str, key: &str) -> Result<Option<DoneRequest>, JournalError> {
        let row =
            sqlx::query("SELECT body, run, seq, at FROM requests WHERE scope = $1 AND key = $2 AND at > $3")
                .bind(scope)
                .bind(key)
                .bind(long_ago(REQUESTS_KEPT).0)
                .fetch_optional(self.readers()?)
                .await
                .map_err(schema::error)?;
        let Some(row) = row else { return Ok(None) };
        let number = |column: usize| row.try_get::<i64, _>(column).map_err(schema::error);
        Ok(Some(DoneRequest {
            body: row.try_get(0).map_err(schema::error)?,
            run: RunId::from(row.try_get::<String, _>(1).map_err(schema::error)?),
            seq: Seq(number(2)?.cast_unsigned()),
            at: Timestamp(number(3)?),
        }))
    }

    async fn prune(&self, keep: &Retention) -> Result<usize, JournalError> {
        self.chore(Chore::ForgetRequests { before: long_ago(REQUESTS_KEPT) }).await?;
        let runs = runs::prunable(self.readers()?, keep.ended_before(), keep.runs).await?;
        // Asked for together, they share a transaction.
        futures_util::future::try_join_all(runs.iter().map(|run| self.delete(run))).await?;
        let threads = threads::prunable(self.readers()?, keep.ended_before(), keep.runs).await?;
        let pruned = runs.len() + threads.len();
        if !threads.is_empty() {
            self.chore(Chore::ForgetThreads { keys: threads }).await?;
        }
        Ok(pruned)
    }

    fn lease(&self) -> Option<Duration> {
        self.lease
    }

    async fn beat(&self) -> Result<(), JournalError> {
        let Some(lease) = self.lease else { return Ok(()) };
        self.chore(Chore::Beat { process: self.process.to_string(), lease }).await
    }

    async fn drop_crews(&self, except: &[Arc<str>]) -> Result<(), JournalError> {
        if self.lease.is_some() {
            return Ok(());
        }
        let rows = sqlx::query(
            "SELECT hash FROM crews WHERE NOT EXISTS (SELECT 1 FROM runs WHERE crew_hash = crews.hash)",
        )
        .fetch_all(self.readers()?)
        .await
        .map_err(schema::error)?;
        let mut hashes: Vec<String> =
            rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(schema::error)?;
        hashes.retain(|hash| !except.iter().any(|kept| **kept == **hash));
        if hashes.is_empty() { Ok(()) } else { self.chore(Chore::DropCrews { hashes }).await }
    }

    fn is_durable(&self) -> bool {
        true
    }

    async fn check(&self) -> Result<(), JournalError> {
        self.chore(Chore::Check).await
    }

    async fn close(&self) {
        if self.lease.is_some() {
            // If it cannot be written, the others wait until the lease has ended.
            let _ = self.chore(Chore::Leave { process: self.process.to_string() }).await;
        }
        self.closed.store(true, Ordering::Release);
        self.readers.close().await;
        self.writer.close().await;
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

fn to_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
