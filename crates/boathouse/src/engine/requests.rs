//! Requests with an idempotency key: carried out once, told again as often as they are asked.

use std::sync::Arc;

use boathouse_core::ids::{RunId, Seq, WaitId};
use boathouse_core::run::admit::Command;
use boathouse_core::run::event::Answer;

use crate::feed::Watch;
use crate::journal::{JournalError, RequestKey};

use super::shared::Shared;
use super::{CommandError, Engine, StartError, StartRun};

/// What a request with a key did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The run that it started or changed.
    pub run: RunId,
    /// The run's last event once the request had been carried out: [`Engine::run_at`] gives the run as it was then.
    pub seq: Seq,
    /// Whether that was before: now nothing was done.
    pub replayed: bool,
}

/// A key that cannot be used now.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// It stands for another request.
    #[error("this idempotency key was used for a request with another body")]
    OtherBody,
    /// Its request is being carried out.
    #[error("the request with this idempotency key is being carried out")]
    InProgress,
}

/// A request that is being carried out: no other one with its key begins before this and its clones are dropped.
#[derive(Clone)]
pub(crate) struct OpenRequest {
    open: Arc<Opened>,
}

struct Opened {
    shared: Arc<Shared>,
    key: RequestKey,
}

impl OpenRequest {
    pub(super) fn new(shared: Arc<Shared>, key: RequestKey) -> OpenRequest {
        OpenRequest { open: Arc::new(Opened { shared, key }) }
    }

    /// Its key.
    pub(crate) fn key(&self) -> &RequestKey {
        &self.open.key
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.shared.close_request(&self.key);
    }
}

/// What is known of a request before it is carried out.
pub(super) enum Known {
    Done(Done),
    New(OpenRequest),
}

impl Engine {
    /// [`Engine::start`] or [`Engine::start_watched`], at most once per key: if the request was carried out before,
    /// says what it did; then there is no watch. What it did is kept in the same transaction as the run, for
    /// [`crate::journal::REQUESTS_KEPT`].
    pub async fn start_once(
        &self,
        run: StartRun,
        deltas: Option<bool>,
        key: RequestKey,
    ) -> Result<(Done, Option<Watch>), StartError> {
        let open = match self.known::<StartError>(key.clone()).await? {
            Known::Done(done) => return Ok((done, None)),
            Known::New(open) => open,
        };
        match self.begin(run, deltas, Some(open)).await {
            Ok((_, watch)) => Ok((self.done(&key, false).await?, watch)),
            // Another process was faster.
            Err(StartError::Journal(JournalError::Repeated(_))) => Ok((self.done(&key, true).await?, None)),
            Err(error) => Err(error),
        }
    }

    /// [`Engine::answer`], at most once per key.
    pub async fn answer_once(
        &self,
        run: &RunId,
        wait: Option<WaitId>,
        answer: Answer,
        key: RequestKey,
    ) -> Result<Done, CommandError> {
        self.command_once(run, Command::Answer { wait, answer }, key).await
    }

    /// A command, at most once per key.
    pub(super) async fn command_once(
        &self,
        run: &RunId,
        command: Command,
        key: RequestKey,
    ) -> Result<Done, CommandError> {
        let open = match self.known::<CommandError>(key.clone()).await? {
            Known::Done(done) => return Ok(done),
            Known::New(open) => open,
        };
        self.command(run, command, Some(open)).await?;
        // A command that found everything as it wants it has written nothing, not even its key.
        match self.shared().journal.request(&key.scope, &key.key).await? {
            Some(kept) => Ok(Done { run: kept.run, seq: kept.seq, replayed: false }),
            None => {
                let row = self.shared().journal.run(run).await?;
                let row = row.ok_or_else(|| CommandError::UnknownRun(run.clone()))?;
                Ok(Done { run: run.clone(), seq: row.seq, replayed: false })
            }
        }
    }

    pub(super) async fn known<E: From<RequestError> + From<JournalError>>(
        &self,
        key: RequestKey,
    ) -> Result<Known, E> {
        // Opened first: what was carried out by then is in the journal.
        let open = self.shared().open_request(key).ok_or(RequestError::InProgress)?;
        match self.shared().journal.request(&open.key().scope, &open.key().key).await? {
            Some(kept) if kept.body != open.key().body => Err(RequestError::OtherBody.into()),
            Some(kept) => Ok(Known::Done(Done { run: kept.run, seq: kept.seq, replayed: true })),
            None => Ok(Known::New(open)),
        }
    }

    pub(super) async fn done(&self, key: &RequestKey, replayed: bool) -> Result<Done, JournalError> {
        let kept = self.shared().journal.request(&key.scope, &key.key).await?;
        let lost =
            || JournalError::Corrupt("a request that was carried out is not in the journal".to_owned());
        kept.map(|kept| Done { run: kept.run, seq: kept.seq, replayed }).ok_or_else(lost)
    }
}
