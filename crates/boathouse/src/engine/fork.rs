//! New runs that begin at a step of another one.

use boathouse_core::ids::{RunId, Seq, ThreadId, Timestamp};
use boathouse_core::run::event::Recorded;
use boathouse_core::run::fork::{self, Edits, Fork, ForkRefused, Fresh, Parent};

use crate::clock::Clock;
use crate::journal::{JournalError, RequestKey};

use super::requests::{Known, OpenRequest};
use super::shared::{Begun, NotBegun, Start};
use super::start::MAX_QUEUED_ON_THREAD;
use super::{Done, Engine, RequestError, did_you_mean};

/// A new run that is forked from another.
#[derive(Clone, Debug)]
pub struct ForkRun {
    /// The run that it comes from. It is not changed, and may be deleted afterwards.
    pub run: RunId,
    /// Where it begins.
    pub from: ForkPoint,
    /// What it does otherwise.
    pub edits: Edits,
}

/// Where a fork begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForkPoint {
    /// At the last step that the edits speak of, or from which things can go otherwise.
    #[default]
    Last,
    /// After this event. No call may be in flight there.
    At(Seq),
    /// Where a run that failed, reached a limit or was cancelled can be tried again. Calls that may be made only once
    /// are not made again.
    Retry,
}

/// A fork that was not made. Nothing of it exists.
#[derive(Debug, thiserror::Error)]
pub enum ForkError {
    /// There is no such run.
    #[error("no run {0}")]
    UnknownRun(RunId),
    /// A model of a provider that does not exist.
    #[error("there is no provider `{provider}`{hint}")]
    UnknownProvider {
        /// What was asked for.
        provider: String,
        /// A suggestion, or nothing.
        hint: String,
    },
    /// The run cannot be forked so.
    #[error(transparent)]
    Refused(#[from] ForkRefused),
    /// Too many runs are at work, and too many wait.
    #[error("too many runs are at work, and {0} wait to begin")]
    TooManyRuns(usize),
    /// The engine is shutting down.
    #[error("the engine is shutting down")]
    ShuttingDown,
    /// Its idempotency key cannot be used.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The run could not be read or kept.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Engine {
    /// Starts a run that begins as another one did, up to a step of it. It is in the journal when this returns;
    /// dropping the future does not stop it. If there is no room, it waits for its turn as other runs do.
    ///
    /// The new run is of the same version of the crew, in a conversation of its own, and its time begins now.
    pub async fn fork(&self, fork: ForkRun) -> Result<RunId, ForkError> {
        self.begin_fork(fork, None).await
    }

    /// [`Engine::fork`], at most once per key.
    pub async fn fork_once(&self, fork: ForkRun, key: RequestKey) -> Result<Done, ForkError> {
        let open = match self.known::<ForkError>(key.clone()).await? {
            Known::Done(done) => return Ok(done),
            Known::New(open) => open,
        };
        match self.begin_fork(fork, Some(open)).await {
            Ok(_) => Ok(self.done(&key, false).await?),
            // Another process was faster.
            Err(ForkError::Journal(JournalError::Repeated(_))) => Ok(self.done(&key, true).await?),
            Err(error) => Err(error),
        }
    }

    async fn begin_fork(&self, fork: ForkRun, request: Option<OpenRequest>) -> Result<RunId, ForkError> {
        self.check_providers(&fork.edits)?;
        let ForkRun { run, from, edits } = fork;
        let row = self.shared().journal.run(&run).await?;
        let row = row.ok_or_else(|| ForkError::UnknownRun(run.clone()))?;
        let crew = self.shared().version(&row.crew_hash, &row.crew).await?;
        let log = self.shared().read_log(&run).await?;
        let id = RunId::from(uuid::Uuid::now_v7().to_string());
        let clock = Clock::new(Timestamp(0));
        let parent = Parent { run, crew, log: &log };
        let fresh = Fresh { thread: ThreadId::from(id.as_str()), run: id.clone(), now: clock.now() };
        let forked = match from {
            ForkPoint::Last => fork::fork(&parent, &fresh, None, &edits)?,
            ForkPoint::At(seq) => fork::fork(&parent, &fresh, Some(seq), &edits)?,
            ForkPoint::Retry => fork::retry(&parent, &fresh, &edits)?,
        };
        let Fork { run, log } = forked;
        let start = Start { run, log, clock, deltas: None, request, turn: None };
        let Begun { created, .. } = match self.shared().begin(start) {
            Ok(begun) => begun,
            Err(NotBegun::NoRoom(start)) => return self.queue_fork(*start).await,
            Err(NotBegun::Closing) => return Err(ForkError::ShuttingDown),
            Err(NotBegun::Journal(error)) => return Err(error.into()),
        };
        created.await.map_err(|_| ForkError::ShuttingDown)??;
        Ok(id)
    }

    async fn queue_fork(&self, start: Start) -> Result<RunId, ForkError> {
        let Start { run, log, .. } = start;
        let id = run.id().clone();
        let Fork { run, log } = Fork { run, log }.queued().map_err(ForkRefused::from)?;
        match self.shared().queue(Start { run, log, ..start }, MAX_QUEUED_ON_THREAD).await {
            Ok(_) => Ok(id),
            Err(NotBegun::NoRoom(_) | NotBegun::Closing) => Err(ForkError::ShuttingDown),
            Err(NotBegun::Journal(JournalError::QueueFull)) => {
                Err(ForkError::TooManyRuns(self.shared().max_queued))
            }
            Err(NotBegun::Journal(error)) => Err(error.into()),
        }
    }

    fn check_providers(&self, edits: &Edits) -> Result<(), ForkError> {
        let known = self.catalog().providers;
        let mut models = edits.model.iter().chain(edits.models.values());
        match models.find(|model| !known.contains(&model.provider)) {
            None => Ok(()),
            Some(model) => Err(ForkError::UnknownProvider {
                hint: did_you_mean(&model.provider, known.iter().map(String::as_str)),
                provider: model.provider.clone(),
            }),
        }
    }
}

impl super::shared::Shared {
    /// The events of a run, from the first.
    async fn read_log(&self, run: &RunId) -> Result<Vec<Recorded>, JournalError> {
        let stored = crate::log_file::read_events(&*self.journal, run).await?;
        if stored.is_empty() {
            return Err(JournalError::UnknownRun(run.clone()));
        }
        Ok(stored.iter().map(|stored| stored.recorded.clone()).collect())
    }
}
