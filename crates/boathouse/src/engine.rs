//! The engine: starts runs, takes commands, lets people watch, and owns everything that runs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use boathouse_core::crew::Crew;
use boathouse_core::crew::check::Catalog;
use boathouse_core::ids::{AgentId, RunId, Seq, WaitId};
use boathouse_core::run::admit::Command;
use boathouse_core::run::event::{Answer, CancelReason, RunState};
use tokio::sync::oneshot;

use crate::crew_dir::Loaded;
use crate::driver::Ask;
use crate::feed::Watch;
use crate::journal::{Journal, JournalError, RunQuery, RunRow};

mod builder;
mod fork;
mod keeper;
mod people;
pub(crate) mod period;
pub(crate) mod requests;
pub(crate) mod shared;
mod start;
mod takeover;
mod threads;
mod turns;
mod view;

pub use builder::{EngineBuilder, Recovery};
pub use fork::{ForkError, ForkPoint, ForkRun};
pub use requests::{Done, RequestError};
pub use start::{MAX_QUEUED_ON_THREAD, StartError, StartRun, WhenBusy};
pub use threads::ThreadError;
pub use view::{RunView, WaitView};

use requests::OpenRequest;
use shared::Shared;

/// Runs crews. Cheap to clone; all clones are one engine.
///
/// It runs in the caller's runtime, and should end with [`Engine::shutdown`]. If the last clone is dropped instead,
/// runs are interrupted as by a crash.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.interrupt.cancel();
    }
}

/// A command that was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no such run.
    #[error("no run {0}")]
    UnknownRun(RunId),
    /// Only a run that has ended can be deleted.
    #[error("run {0} has not ended; cancel it first")]
    NotEnded(RunId),
    /// The run is not in a state that allows it.
    #[error(transparent)]
    Refused(#[from] boathouse_core::run::admit::Refused),
    /// The engine is shutting down.
    #[error("the engine is shutting down")]
    ShuttingDown,
    /// Its idempotency key cannot be used.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// It could not be recorded.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Engine {
    /// Begins to put an engine together.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::new()
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    /// What this engine offers to crews: its tools and providers, to check crews against.
    pub fn catalog(&self) -> Catalog {
        self.shared().catalog()
    }

    /// Serves a crew; a crew of the same name is replaced for new runs. Keeps its source in the journal.
    pub async fn add_crew(&self, crew: impl Into<Loaded>) -> Result<Arc<Crew>, JournalError> {
        let Loaded { crew, dir, .. } = crew.into();
        let crew = Arc::new(crew);
        let source =
            serde_json::to_string(&crew.source).map_err(|error| JournalError::Corrupt(error.to_string()))?;
        let _gate = self.shared().crews_gate.lock().await;
        // It is looked for from wherever the next process is started.
        let dir = dir.map(|dir| std::path::absolute(&dir).unwrap_or(dir));
        let kept = dir.as_deref().and_then(Path::to_str);
        self.shared().journal.put_crew(&crew.hash, &source, kept).await?;
        if let Some(dir) = dir {
            self.shared().set_crew_dir(&crew.name, dir);
        }
        if let Some(before) = self.shared().settings.add_crew(crew.clone()) {
            self.shared().keep_version(&before);
        }
        Ok(crew)
    }

    /// The crews that are served, in the order in which they were added.
    pub fn crews(&self) -> Vec<Arc<Crew>> {
        self.shared().settings.crews()
    }

    /// Finds a crew by name.
    pub fn crew(&self, name: &str) -> Option<Arc<Crew>> {
        self.shared().settings.crew(name)
    }

    /// One run; `None` if there is none.
    pub async fn run(&self, run: &RunId) -> Result<Option<RunView>, JournalError> {
        self.run_at(run, Seq(u64::MAX)).await
    }

    /// One run as it was at an event, or as it is if it has not come so far; `None` if there is none.
    pub async fn run_at(&self, run: &RunId, seq: Seq) -> Result<Option<RunView>, JournalError> {
        let Some(row) = self.shared().journal.run(run).await? else { return Ok(None) };
        match self.shared().replay(&row, seq).await {
            Ok(run) => Ok(Some(RunView::of(&run))),
            Err(JournalError::UnknownRun(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Runs, newest first.
    pub async fn runs(&self, query: &RunQuery) -> Result<Vec<RunRow>, JournalError> {
        self.shared().journal.runs(query).await
    }

    /// Watches a run: events after `after`, and deltas if `deltas`. The run is not slowed by its readers.
    ///
    /// `None` if there is no such run. The watch ends when the run has ended, or when it rests and all was given. That of a
    /// queued run waits for its begin.
    pub async fn watch(&self, run: &RunId, after: Seq, deltas: bool) -> Result<Option<Watch>, JournalError> {
        let journal = self.shared().journal.clone();
        if let Some(feed) = self.shared().feed(run) {
            return Ok(Some(Watch::live(feed, journal, run.clone(), after, deltas)));
        }
        let Some(row) = journal.run(run).await? else { return Ok(None) };
        if row.state == RunState::Queued
            && let Some(feed) = self.shared().feed_of_queued(run, row.seq).await?
        {
            return Ok(Some(Watch::live(feed, journal, run.clone(), after, deltas)));
        }
        Ok(Some(Watch::stored(journal, run.clone(), after)))
    }

    /// Waits until the run rests: it has begun, and has ended or is paused. Dropping the future stops only the waiting.
    pub async fn wait(&self, run: &RunId) -> Result<RunView, CommandError> {
        let mut looked = false;
        loop {
            while let Some(rest) = self.shared().until_rest(run) {
                rest.cancelled().await;
            }
            let view = self.view(run).await?;
            match view.state {
                RunState::Queued => {}
                // It may have begun since it was looked for, and have ended since it was read.
                RunState::Running if !looked || self.shared().until_rest(run).is_some() => {
                    looked = true;
                    continue;
                }
                _ => return Ok(view),
            }
            let watch = self.watch(run, view.seq, false).await?;
            let mut watch = watch.ok_or_else(|| CommandError::UnknownRun(run.clone()))?;
            // Whatever comes first: it has begun, was cancelled, or nobody here is going to hear of it.
            if watch.next().await?.is_none() && self.shared().until_rest(run).is_none() {
                return self.view(run).await;
            }
        }
    }

    /// Answers a wait; `wait` may be left out when the run has exactly one.
    pub async fn answer(
        &self,
        run: &RunId,
        wait: Option<WaitId>,
        answer: Answer,
    ) -> Result<(), CommandError> {
        self.command(run, Command::Answer { wait, answer }, None).await
    }

    /// Tells a run to stop. Returns when the request is recorded; with `wait`, when the run has ended.
    ///
    /// Cancelling a run that has ended changes nothing.
    pub async fn cancel(
        &self,
        run: &RunId,
        reason: CancelReason,
        wait: bool,
    ) -> Result<RunView, CommandError> {
        self.command(run, Command::Cancel { reason }, None).await?;
        if wait { self.wait(run).await } else { self.view(run).await }
    }

    /// Pauses a run: calls in flight end, nothing new starts.
    pub async fn pause(&self, run: &RunId) -> Result<RunView, CommandError> {
        self.command(run, Command::Pause, None).await?;
        self.view(run).await
    }

    /// Lets a paused run go on.
    pub async fn resume(&self, run: &RunId) -> Result<RunView, CommandError> {
        self.command(run, Command::Resume, None).await?;
        self.view(run).await
    }

    async fn view(&self, run: &RunId) -> Result<RunView, CommandError> {
        self.run(run).await?.ok_or_else(|| CommandError::UnknownRun(run.clone()))
    }

    async fn command(
        &self,
        run: &RunId,
        command: Command,
        request: Option<OpenRequest>,
    ) -> Result<(), CommandError> {
        let (done, outcome) = oneshot::channel();
        self.shared().send(run, Ask { command: Box::new(command), done, request })?;
        outcome.await.map_err(|_| CommandError::ShuttingDown)?
    }

    /// Deletes a run that has ended.
    pub async fn delete(&self, run: &RunId) -> Result<(), CommandError> {
        let unknown = || CommandError::UnknownRun(run.clone());
        let row = self.shared().journal.run(run).await?.ok_or_else(unknown)?;
        if !row.state.is_ended() {
            return Err(CommandError::NotEnded(run.clone()));
        }
        if self.shared().journal.delete(run).await? { Ok(()) } else { Err(unknown()) }
    }

    /// The journal, for readiness checks.
    pub fn journal(&self) -> &Arc<dyn Journal> {
        &self.shared().journal
    }

    /// Whether runs are logged in full, from the next run on.
    pub fn set_verbose(&self, verbose: bool) {
        self.shared().settings.set_verbose(verbose);
    }

    /// What [`Engine::set_verbose`] set.
    pub fn verbose(&self) -> bool {
        self.shared().settings.verbose()
    }

    /// New runs start at this agent, unless they name one. A crew that lacks it refuses its runs.
    pub fn set_start_agent(&self, agent: AgentId) {
        self.shared().settings.set_start_agent(agent);
    }

    /// New runs start at their crew's entry again.
    pub fn clear_start_agent(&self) {
        self.shared().settings.clear_start_agent();
    }

    /// What [`Engine::set_start_agent`] set.
    pub fn start_agent(&self) -> Option<AgentId> {
        self.shared().settings.start_agent()
    }

    /// From now on, that its readers leave cancels no run: call it before ending their streams, in a shutdown. Whoever goes
    /// on with a run takes it for one that nobody has read yet.
    pub fn keep_left_runs(&self) {
        self.shared().keep_left.cancel();
    }

    /// Stops: refuses new runs and commands that need a driver, waits up to `grace` for runs to rest, then interrupts
    /// what is left as a crash would (with a durable journal) or cancels it (with the memory journal), and closes the
    /// journal. Nothing of a run is alive afterwards. Calling it again does nothing more.
    pub async fn shutdown(&self, grace: Duration) {
        let shared = self.shared();
        self.keep_left_runs();
        shared.close();
        shared.drivers.close();
        if tokio::time::timeout(grace, shared.drivers.wait()).await.is_err() {
            if !shared.journal.is_durable() {
                let cancelled = shared.live().into_iter().map(|run| async move {
                    let reason = CancelReason::Shutdown;
                    // A run that ended in the meantime needs nothing.
                    let _ = self.command(&run, Command::Cancel { reason }, None).await;
                });
                futures_util::future::join_all(cancelled).await;
                // What does not stop within its grace is interrupted.
                let _ = tokio::time::timeout(shared.cancel_grace * 2, shared.drivers.wait()).await;
            }
            shared.interrupt.cancel();
            shared.drivers.wait().await;
        }
        shared.close_feeds();
        shared.keepers_end.cancel();
        shared.keepers.close();
        shared.keepers.wait().await;
        shared.tools.close().await;
        shared.journal.close().await;
    }
}

/// A suggestion for a name that does not exist, as the end of a sentence; nothing if no name is near.
fn did_you_mean<'a>(asked: &str, names: impl Iterator<Item = &'a str>) -> String {
    let near = boathouse_core::crew::problem::suggest(asked, names);
    near.map_or_else(String::new, |hint| format!("; {hint}"))
}
