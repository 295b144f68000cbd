//! One watcher's place in a run.

use std::future::poll_fn;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use boathouse_core::ids::{RunId, Seq};
use boathouse_core::run::event::Event;

use super::{Feed, Item, State};
use crate::journal::{Journal, JournalError, Stored};

/// Events read from the journal at a time.
const PAGE: usize = 256;

/// One watcher of one run.
pub struct Watch {
    journal: Arc<dyn Journal>,
    run: RunId,
    /// The last event given, or where the watcher began.
    seq: Seq,
    source: Source,
}

enum Source {
    Live(Slot),
    /// The log as it is kept; `done` once all of it was given.
    Stored {
        done: bool,
    },
}

/// A reader's registration; ends when dropped.
struct Slot {
    feed: Arc<Feed>,
    index: usize,
    /// To be told of a gap before anything else.
    gap: bool,
}

/// What a feed knows of one reader.
pub(super) struct Reader {
    deltas: bool,
    /// Where it goes on in the ring, if it reads deltas and has caught up. Until then it reads events only, and then
    /// gets a snapshot.
    pub(super) cursor: Option<u64>,
    /// Set while it waits.
    pub(super) waker: Option<Waker>,
    /// It was told, or will see, that the run rests.
    pub(super) knows_rest: bool,
}

impl Reader {
    /// Whether it reads deltas as they come.
    pub(super) fn is_joined(&self) -> bool {
        self.cursor.is_some()
    }
}

/// What a reader does next.
enum Step {
    Give(Vec<Item>),
    ReadJournal { limit: usize },
    End,
}

impl Watch {
    /// Watches a run through its feed: events after `after`, and deltas if `deltas`. Counts as a watcher until it is
    /// dropped. `journal` must hold the events that were published before the feed was made.
    pub fn live(feed: Arc<Feed>, journal: Arc<dyn Journal>, run: RunId, after: Seq, deltas: bool) -> Watch {
        let index = feed.lock().enter(deltas, after);
        Watch { journal, run, seq: after, source: Source::Live(Slot { feed, index, gap: false }) }
    }

    /// Reads a run that nobody drives: the events that are kept after `after`, then the end.
    pub fn stored(journal: Arc<dyn Journal>, run: RunId, after: Seq) -> Watch {
        Watch { journal, run, seq: after, source: Source::Stored { done: false } }
    }

    /// What has come since the last call, waiting for the first of it; `None` once the run's last event was given, or
    /// no more can come because nobody drives the run.
    ///
    /// Everything that is ready comes at once, in order; old events come from the journal a page at a time. Nothing at
    /// all comes, as an empty list, when the run has come to rest after everything was given: ask
    /// [`Watch::at_rest`]. Cancel safe: nothing is lost if the future is dropped. After an error it may be called
    /// again.
    pub async fn next(&mut self) -> Result<Option<Vec<Item>>, JournalError> {
        loop {
            let step = match &mut self.source {
                Source::Live(slot) => {
                    let Slot { feed, index, gap } = slot;
                    poll_fn(|cx| feed.lock().poll_read(*index, &mut self.seq, gap, cx)).await
                }
                Source::Stored { done: true } => Step::End,
                Source::Stored { done: false } => Step::ReadJournal { limit: PAGE },
            };
            match step {
                Step::Give(items) => return Ok(Some(items)),
                Step::End => return Ok(None),
                Step::ReadJournal { limit } => {
                    let page = self.journal.read(&self.run, self.seq, limit).await?;
                    if let Some(items) = self.take_page(page)? {
                        return Ok(Some(items));
                    }
                }
            }
        }
    }

    /// Whether the run is paused or ended and everything of it has been given: nothing comes without a command.
    pub fn at_rest(&self) -> bool {
        match &self.source {
            Source::Stored { done } => *done,
            Source::Live(slot) => {
                let state = slot.feed.lock();
                let Some(Some(reader)) = state.readers.get(slot.index) else { return true };
                let given = match reader.cursor {
                    Some(cursor) => cursor == state.ring.end(),
                    None => !reader.deltas || state.is_over(),
                };
                (state.at_rest || state.is_over()) && given && self.seq >= state.head
            }
        }
    }

    /// The last event that was given, or where the watcher began.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Moves on by a page of the journal.
    fn take_page(&mut self, page: Vec<Arc<Stored>>) -> Result<Option<Vec<Item>>, JournalError> {
        let Some(last) = page.last() else {
            return match &mut self.source {
                Source::Stored { done } => {
                    *done = true;
                    Ok(None)
                }
                // Events that were published are gone: the run was deleted.
                Source::Live(_) => Err(JournalError::UnknownRun(self.run.clone())),
            };
        };
        self.seq = last.recorded.seq;
        let mut items = Vec::with_capacity(page.len() + 1);
        match &mut self.source {
            Source::Stored { done } => *done = matches!(last.recorded.event, Event::RunEnded { .. }),
            Source::Live(slot) => {
                if mem::take(&mut slot.gap) {
                    items.push(Item::Gap);
                }
            }
        }
        items.extend(page.into_iter().map(Item::Event));
        Ok(Some(items))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let waker = self.feed.lock().leave(self.index);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl State {
    /// Who has all events and misses nothing of a reply joins at once: no delta passes before its first read.
    fn enter(&mut self, deltas: bool, after: Seq) -> usize {
        self.abandoned = false;
        let joins = deltas && after >= self.head && self.replies.is_empty();
        self.delta_readers += usize::from(joins);
        let cursor = joins.then(|| self.ring.end());
        let reader = Reader { deltas, cursor, waker: None, knows_rest: false };
        match self.readers.iter().position(Option::is_none) {
            Some(free) => {
                self.readers[free] = Some(reader);
                free
            }
            None => {
                self.readers.push(Some(reader));
                self.readers.len() - 1
            }
        }
    }

    /// Gives whom to tell that nobody watches any more.
    fn leave(&mut self, index: usize) -> Option<Waker> {
        let reader = self.readers.get_mut(index).and_then(Option::take)?;
        if reader.is_joined() {
            self.delta_readers -= 1;
            if self.delta_readers == 0 {
                self.ring.forget_deltas_before(u64::MAX);
            }
        }
        if self.watchers() > 0 || self.at_rest || self.is_over() {
            return None;
        }
        self.abandoned = true;
        self.on_abandoned.take()
    }

    fn poll_read(&mut self, index: usize, seq: &mut Seq, gap: &mut bool, cx: &mut Context<'_>) -> Poll<Step> {
        let Some(Some(reader)) = self.readers.get_mut(index) else { return Poll::Ready(Step::End) };
        let missing = *seq < self.head && self.ring.first().is_none_or(|first| seq.next() < first);
        if let Some(cursor) = reader.cursor {
            let lost = cursor < self.ring.lost();
            if lost || missing {
                *gap |= lost;
                reader.cursor = None;
                self.delta_readers -= 1;
            }
        }
        if missing {
            let behind = usize::try_from(self.head.0 - seq.0).unwrap_or(PAGE);
            return Poll::Ready(Step::ReadJournal { limit: behind.min(PAGE) });
        }

        let mut items = Vec::new();
        match reader.cursor {
            Some(cursor) if cursor < self.ring.end() => {
                self.ring.all_after(*seq, cursor, self.delta_readers == 1, &mut items);
            }
            Some(_) => {}
            None => {
                if mem::take(gap) {
                    items.push(Item::Gap);
                }
                self.ring.events_after(*seq, &mut items);
                if reader.deltas {
                    items.extend(self.replies.iter().map(|reply| Item::Snapshot {
                        call: reply.call,
                        attempt: reply.attempt,
                        text: reply.text.clone(),
                    }));
                    self.delta_readers += 1;
                }
            }
        }
        if reader.deltas {
            reader.cursor = Some(self.ring.end());
        }
        *seq = (*seq).max(self.head);

        let over = self.ended || self.closed;
        if !items.is_empty() || (self.at_rest && !over && !reader.knows_rest) {
            reader.knows_rest = self.at_rest;
            return Poll::Ready(Step::Give(items));
        }
        if over {
            return Poll::Ready(Step::End);
        }
        match &mut reader.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}
