//! Conversations: what was said on them, and which run has the turn.

use std::sync::Arc;

use boathouse_core::Run;
use boathouse_core::ids::{RunId, Seq, ThreadId, Timestamp};
use boathouse_core::message::Message;

use crate::clock::Clock;
use crate::journal::thread::{decode, encode};
use crate::journal::{JournalError, NewThread, ThreadEnd, ThreadQuery, ThreadRow};

use super::Engine;
use super::shared::Shared;

/// A thread that was not made.
#[derive(Debug, thiserror::Error)]
pub enum ThreadError {
    /// No such crew.
    #[error("no crew named `{name}`{hint}")]
    UnknownCrew {
        /// What was asked for.
        name: String,
        /// A suggestion, or nothing.
        hint: String,
    },
    /// There is one of this id.
    #[error("thread {0} exists already")]
    Exists(ThreadId),
    /// The journal could not do its job.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Engine {
    /// Makes a thread of a crew that is served, with what was said before. Without an id it gets one.
    pub async fn create_thread(
        &self,
        crew: &str,
        thread: Option<ThreadId>,
        messages: &[Message],
    ) -> Result<ThreadRow, ThreadError> {
        let crews = self.crews();
        let Some(crew) = crews.iter().find(|served| served.name == crew) else {
            let names = crews.iter().map(|crew| crew.name.as_str());
            return Err(ThreadError::UnknownCrew {
                hint: super::did_you_mean(crew, names),
                name: crew.to_owned(),
            });
        };
        let thread = thread.unwrap_or_else(|| ThreadId::from(uuid::Uuid::now_v7().to_string()));
        if self.thread(&thread).await?.is_some() {
            return Err(ThreadError::Exists(thread));
        }
        let new = NewThread {
            thread: thread.clone(),
            crew: crew.name.clone(),
            messages: messages.iter().map(encode).collect(),
            summary: None,
            at: Clock::new(Timestamp(0)).now(),
        };
        match self.journal().put_thread(new).await? {
            true => self.thread(&thread).await?.ok_or(ThreadError::Exists(thread)),
            false => Err(ThreadError::Exists(thread)),
        }
    }

    /// One thread; `None` if there is none. A run that was started without a thread has one of its own id.
    pub async fn thread(&self, thread: &ThreadId) -> Result<Option<ThreadRow>, JournalError> {
        match self.journal().thread(thread).await? {
            Some(row) => Ok(Some(row)),
            None => Ok(self.shared().named_after_run(thread).await?.map(|(row, _)| row)),
        }
    }

    /// Threads that were named by whoever started a run or made them, the newest first.
    pub async fn threads(&self, query: &ThreadQuery) -> Result<Vec<ThreadRow>, JournalError> {
        self.journal().threads(query).await
    }

    /// Messages of a thread after the first `after`, at most `limit`: those of runs that have ended.
    pub async fn thread_messages(
        &self,
        thread: &ThreadId,
        after: usize,
        limit: usize,
    ) -> Result<Vec<Message>, JournalError> {
        let kept = match self.journal().thread(thread).await? {
            Some(_) => self.journal().thread_messages(thread, after, limit).await?,
            None => {
                let named = self.shared().named_after_run(thread).await?;
                let end = named.and_then(|(_, run)| run).map(|run| ThreadEnd::of(&run)).unwrap_or_default();
                end.messages.into_iter().skip(after).take(limit).collect()
            }
        };
        kept.iter().map(|message| decode(message)).collect()
    }

    /// Deletes a thread. Its runs stay; what they began with goes with the last of them. Returns whether there was a
    /// thread that is kept beside its run.
    ///
    /// [`JournalError::ThreadBusy`] if a run has not ended there, or waits for its turn.
    pub async fn delete_thread(&self, thread: &ThreadId) -> Result<bool, JournalError> {
        self.journal().delete_thread(thread).await
    }
}

impl Shared {
    /// The thread that somebody wants to go on with, if there is one. A thread that is only named after a run is made of
    /// that run first, once it has ended; until then it is busy with it.
    pub(super) async fn thread_row(&self, thread: &ThreadId) -> Result<Option<ThreadRow>, JournalError> {
        if let Some(row) = self.journal.thread(thread).await? {
            return Ok(Some(row));
        }
        match self.named_after_run(thread).await? {
            None => Ok(None),
            Some((row, None)) => Ok(Some(row)),
            Some((row, Some(run))) => {
                let ThreadEnd { messages, summary } = ThreadEnd::of(&run);
                let (thread, crew, at) = (row.thread, row.crew, run.last_at());
                self.journal
                    .put_thread(NewThread { thread: thread.clone(), crew, messages, summary, at })
                    .await?;
                self.journal.thread(&thread).await
            }
        }
    }

    /// A thread that is not kept beside the run whose id it has, and the run if it has ended.
    async fn named_after_run(
        &self,
        thread: &ThreadId,
    ) -> Result<Option<(ThreadRow, Option<Run>)>, JournalError> {
        let Some(row) = self.journal.run(&RunId::from(thread.as_str())).await? else { return Ok(None) };
        if row.thread != *thread {
            return Ok(None);
        }
        let run = match row.state.is_ended() {
            true => Some(self.replay(&row, Seq(u64::MAX)).await?),
            false => None,
        };
        let thread = ThreadRow {
            thread: row.thread.clone(),
            crew: row.crew.clone(),
            messages: run.as_ref().map_or(0, |run| run.additions().count()),
            summary: None,
            active: run.is_none().then(|| row.run.clone()),
            queued: 0,
            created_at: row.created_at,
            updated_at: row.updated_at,
        };
        Ok(Some((thread, run)))
    }
}

/// Messages as a run begins with them.
pub(super) fn history(
    kept: Result<Vec<bytes::Bytes>, JournalError>,
) -> Result<rpds::VectorSync<Arc<Message>>, JournalError> {
    kept?.iter().map(|message| decode(message).map(Arc::new)).collect()
}
