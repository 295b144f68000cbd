//! Putting down what was decided: nothing is published, acknowledged or performed before its commit.

use std::sync::Arc;
use std::time::Duration;

use boathouse_core::ids::Seq;
use boathouse_core::run::admit::Command;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

#[cfg(feature = "crash-points")]
use crate::crash::{CrashPoint, pass};
use crate::engine::CommandError;
use crate::engine::period::missed;
use crate::journal::{Append, JournalError, Lease, NewRun, OnThread, OpenWait, People, Stored, ThreadEnd};

use super::{Ask, Driver};

/// How long whoever asks for something waits for a journal that is unavailable.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a failed append waits for its next try, doubled up to the second value.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

impl Driver {
    /// Writes the batch, then publishes it, tells who waits, and acts.
    pub(super) async fn commit(&mut self) -> Result<(), JournalError> {
        if !self.batch.is_empty() {
            let events = std::mem::take(&mut self.batch);
            let people = self.people(&events);
            #[cfg(feature = "crash-points")]
            pass(CrashPoint::BeforeCommit);
            self.write(&events, &people).await?;
            #[cfg(feature = "crash-points")]
            pass(CrashPoint::AfterAppend);
            self.listed = self.run.waits().iter().map(|open| open.wait).collect();
            if !people.notices.is_empty() {
                self.shared.notices.notify_one();
            }
            self.log(&events);
            self.feed.publish(&events);
        }
        self.requests.clear();
        for done in self.acks.drain(..) {
            // Whoever asked may have gone.
            let _ = done.send(Ok(()));
        }
        // Time may have passed since: then another process may have the run, and what was to be done is its.
        if !self.period.lasts() {
            return Err(missed());
        }
        self.perform();
        Ok(())
    }

    /// What people have to do with the batch: what the run waits for now, and whom webhooks tell of it.
    fn people(&self, events: &[Arc<Stored>]) -> People {
        let open = self.run.waits();
        let changed = !open.iter().map(|open| open.wait).eq(self.listed.iter().copied());
        let waits = changed.then(|| OpenWait::of(&self.run));
        let notices = match &self.shared.webhooks {
            None => Vec::new(),
            Some(webhooks) => {
                let opened = open.iter().any(|open| !self.listed.contains(&open.wait));
                webhooks.notices(&self.run, opened, events)
            }
        };
        People { waits, notices }
    }

    /// Appends, again and again while the journal is unavailable. Meanwhile calls in flight go on, their outcomes are
    /// kept in hand, nothing new starts, and a cancel stops what is in flight at once.
    async fn write(&mut self, events: &[Arc<Stored>], people: &People) -> Result<(), JournalError> {
        let mut pause = RETRY.0;
        // Since then nothing is certain: a write that was not heard of may have been made.
        let mut failing_since: Option<Instant> = None;
        loop {
            if !self.period.lasts() {
                return Err(missed());
            }
            let (write, period) = (self.write_once(events, people), self.period.clone());
            let written = tokio::select! {
                written = self.while_calls_go_on(write) => written,
                () = period.over() => return Err(missed()),
            };
            match written {
                Ok(lease) => {
                    self.lease = Some(lease);
                    self.turn = None;
                    return Ok(());
                }
                Err(JournalError::Unavailable(why)) if self.lease.is_some() => {
                    tracing::warn!(run = %self.run.id(), %why, "the journal is unavailable; trying again");
                    if failing_since.get_or_insert_with(Instant::now).elapsed() >= PATIENCE {
                        self.put_off(&why);
                    }
                }
                Err(JournalError::Conflict(_))
                    if failing_since.is_some() && self.is_written(events).await =>
                {
                    return Ok(());
                }
                Err(other) => return Err(other),
            }
            let interrupt = self.shared.interrupt.clone();
            tokio::select! {
                () = self.while_calls_go_on(sleep(pause)) => pause = (pause * 2).min(RETRY.1),
                () = interrupt.cancelled() => {
                    return Err(JournalError::Unavailable("the process shuts down".to_owned()));
                }
                () = period.over() => return Err(missed()),
            }
        }
    }

    /// Tells whoever asked that nothing can be put down now. What is decided already, and a cancel, is put down later all
    /// the same; everything else has to be asked again.
    fn put_off(&mut self, why: &str) {
        let told = || Err(CommandError::Journal(JournalError::Unavailable(why.to_owned())));
        let is_cancel = |ask: &Ask| matches!(*ask.command, Command::Cancel { .. });
        let mut put_off: Vec<_> = self.acks.drain(..).collect();
        for mut ask in std::mem::take(&mut self.backlog) {
            if is_cancel(&ask) {
                put_off.push(std::mem::replace(&mut ask.done, oneshot::channel().0));
                self.backlog.push_back(ask);
            } else {
                put_off.push(ask.done);
            }
        }
        for done in put_off {
            // Whoever asked may have gone.
            let _ = done.send(told());
        }
    }

    /// Waits for something while calls in flight are driven and commands are heard.
    async fn while_calls_go_on<T>(&mut self, something: impl Future<Output = T>) -> T {
        let mut something = std::pin::pin!(something);
        loop {
            tokio::select! {
                biased;
                done = &mut something => return done,
                returned = self.calls.next() => self.returned.push_back(returned),
                Some(ask) = self.commands.recv() => {
                    if matches!(*ask.command, Command::Cancel { .. }) {
                        self.calls.stop(|_| true);
                    }
                    self.backlog.push_back(ask);
                }
            }
        }
    }

    fn write_once(
        &self,
        events: &[Arc<Stored>],
        people: &People,
    ) -> impl Future<Output = Result<Lease, JournalError>> + Send + use<> {
        let journal = self.shared.journal.clone();
        let (run, state, lease) = (self.run.id().clone(), self.run.state(), self.lease);
        let (crew, thread) = (self.run.crew().clone(), self.run.started().thread.clone());
        let events = events.to_vec();
        let people = people.clone();
        let requests: Vec<_> = self.requests.iter().map(|request| request.key().clone()).collect();
        let on_thread = self.on_thread();
        async move {
            match lease {
                Some(lease) => {
                    journal.append(Append { run, lease, state, events, requests, on_thread, people }).await?;
                    Ok(lease)
                }
                None => {
                    let (crew, crew_hash) = (crew.name.clone(), crew.hash.clone());
                    let request = requests.into_iter().next();
                    let new =
                        NewRun { run, crew, crew_hash, thread, state, events, request, on_thread, people };
                    journal.create(new).await
                }
            }
        }
    }

    /// What the batch does on a thread that the run shares.
    fn on_thread(&self) -> Option<OnThread> {
        let ended = self.run.state().is_ended() && self.run.shares_thread();
        if self.turn.is_none() && !ended {
            return None;
        }
        let end = ended.then(|| ThreadEnd::of(&self.run));
        Some(OnThread { thread: self.run.started().thread.clone(), turn: self.turn, end })
    }

    /// Whether an append of which we heard no good was made after all.
    async fn is_written(&mut self, events: &[Arc<Stored>]) -> bool {
        let Some(first) = events.first() else { return true };
        let after = Seq(first.recorded.seq.0 - 1);
        let found = self.shared.journal.read(self.run.id(), after, events.len() + 1).await;
        found.is_ok_and(|found| {
            found.len() == events.len() && found.iter().zip(events).all(|(kept, ours)| kept.json == ours.json)
        })
    }

    fn log(&self, events: &[Arc<Stored>]) {
        let run = self.run.id();
        for stored in events {
            let event = || String::from_utf8_lossy(&stored.json).into_owned();
            if self.run.started().verbose {
                tracing::info!(%run, event = event());
            } else if tracing::enabled!(tracing::Level::DEBUG) {
                tracing::debug!(%run, event = event());
            }
        }
    }
}
