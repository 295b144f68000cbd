//! Runs that wait for their turn: on their thread, or for room.
//!
//! The queue is in the journal: runs in the state `queued`, in the order in which they came. What is here only knows
//! when to look: a run has ended, there is room again, or time has passed. Looking once too often changes nothing,
//! because a run begins by an append that the journal refuses if its turn has not come.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use boathouse_core::Run;
use boathouse_core::ids::{RunId, Seq, ThreadId};
use boathouse_core::run::admit::Command;
use boathouse_core::run::event::{CancelReason, Event, OnDisconnect, Pinned, RunState};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::driver::Ask;
use crate::feed::{Feed, Watch};
use crate::journal::{JournalError, NewRun, Next, OnThread, People, RunQuery, Stored, Turn};

use super::CommandError;
use super::shared::{NotBegun, Shared, Start};
use super::start::pin;
use super::threads::history;

/// Runs that are begun at once.
const PAGE: usize = 100;

/// When to look for runs whose turn has come.
#[derive(Default)]
pub(super) struct Turns {
    /// Told when there is something to look for.
    wake: Arc<Notify>,
    /// Whether to look on all threads.
    everywhere: bool,
    /// Threads to look at.
    threads: HashSet<ThreadId>,
    /// Whether runs wait for room: then whoever comes waits behind them.
    pub(super) short_of_room: bool,
    /// Queued runs that are watched here. If another process begins them, their watches end.
    watched: HashSet<RunId>,
    /// Queued runs that are cancelled when their last reader goes, with what ends the looking: once a run is driven its
    /// driver does that.
    left: HashMap<RunId, DropGuard>,
    /// Threads on which somebody is about to begin before those who wait.
    held: HashMap<ThreadId, usize>,
}

impl Turns {
    /// A run has stopped being driven.
    pub(super) fn made_room(&mut self) {
        if self.short_of_room {
            self.everywhere = true;
            self.wake.notify_one();
        }
    }

    /// A run is going to be driven.
    pub(super) fn is_driven(&mut self, run: &RunId) {
        self.left.remove(run);
    }

    fn look(&mut self, thread: Option<ThreadId>) {
        match thread {
            Some(thread) => drop(self.threads.insert(thread)),
            None => self.everywhere = true,
        }
        self.wake.notify_one();
    }
}

/// Keeps those who wait on a thread waiting, until it is dropped.
pub(super) struct Held {
    shared: Arc<Shared>,
    thread: ThreadId,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut table = self.shared.table();
        if let Some(count) = table.turns.held.get_mut(&self.thread) {
            *count -= 1;
            if *count == 0 {
                table.turns.held.remove(&self.thread);
                table.turns.look(Some(self.thread.clone()));
            }
        }
    }
}

impl Shared {
    /// Lets nobody who waits on the thread begin until what this returns is dropped.
    pub(super) fn hold(self: &Arc<Self>, thread: &ThreadId) -> Held {
        *self.table().turns.held.entry(thread.clone()).or_default() += 1;
        Held { shared: self.clone(), thread: thread.clone() }
    }

    /// Puts a run into the queue, whose state is `queued`; at most `on_thread` wait on its thread. It is in the journal when
    /// this returns; dropping the future changes nothing of that.
    pub(super) async fn queue(
        self: &Arc<Self>,
        start: Start,
        on_thread: usize,
    ) -> Result<Option<Watch>, NotBegun> {
        let Start { run, log, deltas, request, .. } = start;
        let (id, started) = (run.id().clone(), run.started().clone());
        let events: Vec<_> = log.into_iter().map(|recorded| Arc::new(Stored::new(recorded))).collect();
        let turn = Some(Turn::Queue { on_thread, in_all: self.max_queued });
        let new = NewRun {
            run: id.clone(),
            crew: run.crew().name.clone(),
            crew_hash: run.crew().hash.clone(),
            thread: started.thread.clone(),
            state: RunState::Queued,
            events: events.clone(),
            request: request.as_ref().map(|request| request.key().clone()),
            on_thread: Some(OnThread { thread: started.thread.clone(), turn, end: None }),
            // Nobody can decide before it begins.
            people: People::default(),
        };
        let feed = self.feed_to_wait_on(&id, Seq(0)).ok_or(NotBegun::Closing)?;
        let watch =
            deltas.map(|deltas| Watch::live(feed.clone(), self.journal.clone(), id.clone(), Seq(0), deltas));
        let shared = self.clone();
        let kept = self.drivers.spawn(async move {
            let created = shared.journal.create(new).await;
            drop(request);
            if created.is_ok() {
                feed.publish(&events);
                shared.cancel_when_left(&id, started.on_disconnect, feed);
                shared.queued(started.thread.clone());
            }
            created
        });
        kept.await.map_err(|_| NotBegun::Closing)??;
        Ok(watch)
    }

    /// A run was queued: its turn may have come meanwhile.
    fn queued(&self, thread: ThreadId) {
        self.any_queued.store(true, Ordering::SeqCst);
        self.table().turns.look(Some(thread));
    }

    /// A run has ended: its thread may be another's. Nothing is looked for where nobody waits.
    pub(super) fn free(&self, run: &Run) {
        if self.any_queued.load(Ordering::SeqCst) {
            self.table().turns.look(Some(run.started().thread.clone()));
        }
    }

    /// Looks whether there are queued runs, whoever queued them, and begins those whose turn has come.
    pub(super) async fn look_at_queue(&self) {
        // Forgotten before the look, so that what is queued meanwhile is not.
        self.any_queued.store(false, Ordering::SeqCst);
        let query = RunQuery { state: Some(RunState::Queued), limit: 1, ..RunQuery::default() };
        let none = self.journal.runs(&query).await.is_ok_and(|queued| queued.is_empty());
        if !none {
            self.any_queued.store(true, Ordering::SeqCst);
            self.table().turns.look(None);
        }
    }

    /// Begins queued runs whose turn has come, again and again.
    pub(super) async fn give_turns(self: Arc<Self>) {
        let wake = self.table().turns.wake.clone();
        loop {
            wake.notified().await;
            let threads = {
                let mut table = self.table();
                let everywhere = std::mem::take(&mut table.turns.everywhere) || table.turns.short_of_room;
                let threads = std::mem::take(&mut table.turns.threads);
                if everywhere { Vec::from([None]) } else { threads.into_iter().map(Some).collect() }
            };
            for thread in threads {
                if let Err(error) = self.give_turns_on(thread.as_ref()).await {
                    tracing::debug!(%error, "queued runs cannot be looked for now");
                }
            }
        }
    }

    async fn give_turns_on(self: &Arc<Self>, thread: Option<&ThreadId>) -> Result<(), JournalError> {
        // Those that do not begin now are found again with every page.
        let mut passed = 0;
        loop {
            let room = {
                let mut table = self.table();
                let room = self.max_active.saturating_sub(table.live.len());
                table.turns.short_of_room = room == 0;
                room
            };
            if room == 0 {
                return Ok(());
            }
            let page = room.min(PAGE);
            let next = self.journal.next_queued(thread, page + passed).await?;
            let found = next.len();
            let begun: Vec<_> =
                next.into_iter().filter_map(|next| self.begin_queued(next)).take(page).collect();
            let begun = futures_util::future::join_all(begun).await;
            let begun = begun.iter().filter(|begun| matches!(begun, Ok(Ok(())))).count();
            if found < page + passed {
                return Ok(());
            }
            passed = found - begun;
        }
    }

    /// Gives a queued run a driver; tells when it has begun, or could not.
    fn begin_queued(self: &Arc<Self>, next: Next) -> Option<oneshot::Receiver<Result<(), JournalError>>> {
        let (feed, commands) = {
            let mut table = self.table();
            let taken = table.live.contains_key(&next.run) || table.given_up.contains(&next.run);
            if taken || table.turns.held.contains_key(&next.thread) {
                return None;
            }
            table.enter(&next.run)?
        };
        let (begun, when_begun) = oneshot::channel();
        self.take_over(next.run, feed, super::takeover::Waiting::new(commands), Some(begun));
        Some(when_begun)
    }

    /// Ends the watches of runs that were queued and that another process has begun: nothing of them comes here.
    pub(super) async fn let_go_of_watched(&self) -> Result<(), JournalError> {
        let watched: Vec<RunId> = self.table().turns.watched.iter().cloned().collect();
        for run in watched {
            let row = self.journal.run(&run).await?;
            if row.is_some_and(|row| row.state == RunState::Queued) {
                continue;
            }
            let mut table = self.table();
            table.turns.watched.remove(&run);
            table.turns.left.remove(&run);
            let driven = table.live.contains_key(&run);
            drop(table);
            if let Some(feed) = self.feed(&run).filter(|_| !driven) {
                feed.close();
            }
        }
        Ok(())
    }

    /// Cancels a queued run when its last reader has been gone for the grace, if it wants that; until it is driven.
    pub(super) fn cancel_when_left(self: &Arc<Self>, run: &RunId, wants: OnDisconnect, feed: Arc<Feed>) {
        if wants != OnDisconnect::Cancel {
            return;
        }
        let driven = CancellationToken::new();
        {
            let mut table = self.table();
            if table.live.contains_key(run) {
                return;
            }
            table.turns.left.insert(run.clone(), driven.clone().drop_guard());
        }
        let (shared, run) = (self.clone(), run.clone());
        self.spawn_keeper(async move {
            tokio::select! {
                () = shared.left(&feed) => {}
                () = driven.cancelled() => return,
            }
            let command = Box::new(Command::Cancel { reason: CancelReason::Disconnected });
            let (done, cancelled) = oneshot::channel();
            // When the engine closes the run stays queued.
            if shared.send(&run, Ask { command, done, request: None }).is_err() {
                return;
            }
            if let Ok(Err(CommandError::Journal(JournalError::Unavailable(_)))) = cancelled.await {
                // Somebody may come back meanwhile.
                shared.cancel_when_left(&run, wants, feed);
            }
        });
    }

    /// What a queued run begins with, now that its turn has come.
    pub(super) async fn turn(&self, run: Run) -> Result<(Run, Option<Turn>, Option<Pinned>), JournalError> {
        if !run.shares_thread() {
            return Ok((run, None, None));
        }
        let thread = run.started().thread.clone();
        let row = self.thread_row(&thread).await?;
        let pinned = row.as_ref().map(pin).unwrap_or_default();
        let messages = pinned.messages;
        let said = history(self.journal.thread_messages(&thread, 0, messages).await)?;
        Ok((run.on_thread(said), Some(Turn::Begin { messages, ahead: false }), Some(pinned)))
    }

    /// The feed of a run that is queued, or about to be; `None` when the engine closes.
    pub(super) fn feed_to_wait_on(&self, run: &RunId, seq: Seq) -> Option<Arc<Feed>> {
        let feed = self.make_feed(run, seq)?;
        if self.journal.lease().is_some() {
            self.table().turns.watched.insert(run.clone());
        }
        Some(feed)
    }

    /// The feed of a run that waits for its turn: it outlives the waiting as long as somebody watches. `None` if it does
    /// not wait any more.
    pub(super) async fn feed_of_queued(
        self: &Arc<Self>,
        run: &RunId,
        seq: Seq,
    ) -> Result<Option<Arc<Feed>>, JournalError> {
        let Some(feed) = self.feed_to_wait_on(run, seq) else { return Ok(None) };
        // From now on whoever drives it does so on this feed; before, it may have come and gone.
        let driven = self.table().live.contains_key(run);
        let row = self.journal.run(run).await?;
        let queued = row.is_some_and(|row| row.state == RunState::Queued);
        if queued {
            let first = self.journal.read(run, Seq(0), 1).await?;
            if let Some(Event::RunStarted(started)) = first.first().map(|stored| &stored.recorded.event) {
                self.cancel_when_left(run, started.on_disconnect, feed.clone());
            }
        }
        Ok((driven || queued || self.table().live.contains_key(run)).then_some(feed))
    }
}
