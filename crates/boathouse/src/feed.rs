//! Events and deltas to whoever watches a run.
//!
//! One [`Feed`] belongs to one run and outlives its drivers: the engine keeps it while the run is driven or watched.
//! Events come here after their commit, deltas as they arrive from the model. Readers take them from a bounded
//! ring; whoever is not served by it any more is served from the journal. A reader never slows the publisher:
//! publishing is one short lock, and wakes only those who wait.

use std::future::{Future, poll_fn};
use std::sync::{Arc, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use boathouse_core::ids::{CallId, Seq};
use boathouse_core::run::event::Event;
use bytes::{BufMut, Bytes, BytesMut};
use tokio::time::sleep;

use crate::journal::Stored;
use crate::sync::{Mutex, MutexGuard};

mod ring;
mod watch;

#[cfg(test)]
mod tests;

pub use ring::FeedLimits;
pub use watch::Watch;

use ring::Ring;
use watch::Reader;

/// What a watcher is given.
#[derive(Clone, Debug)]
pub enum Item {
    /// An event, committed.
    Event(Arc<Stored>),
    /// A piece of a reply in flight: `data` is one JSON object
    /// `{"type":"delta","call":3,"attempt":1,"offset":0,"text":"..."}`, encoded once for all watchers. `offset` counts
    /// bytes of UTF-8.
    Delta(Bytes),
    /// The whole text so far of a reply in flight; replaces what was shown of it.
    Snapshot {
        /// The call.
        call: CallId,
        /// The try.
        attempt: u32,
        /// The text so far.
        text: String,
    },
    /// The watcher fell behind what is kept in memory: deltas were lost; events follow from the journal, and a snapshot.
    Gap,
}

/// What a run has to say, on its way to its watchers.
///
/// The engine makes one per run; people read it through a [`Watch`].
pub struct Feed {
    state: Mutex<State>,
}

struct State {
    /// The last event published.
    head: Seq,
    ring: Ring,
    /// Replies in flight, with their text so far.
    replies: Vec<ReplyText>,
    /// Readers by slot.
    readers: Vec<Option<Reader>>,
    /// Readers that want deltas and have joined.
    delta_readers: usize,
    /// The run is paused.
    at_rest: bool,
    /// The run's last event was published.
    ended: bool,
    /// Nothing more will be published here.
    closed: bool,
    /// The last watcher has gone, and nobody has come back.
    abandoned: bool,
    /// Who wants to be told of that.
    on_abandoned: Option<Waker>,
    /// Where deltas are encoded; many share one allocation.
    scratch: BytesMut,
}

struct ReplyText {
    call: CallId,
    attempt: u32,
    text: String,
}

impl Feed {
    /// A feed for a run whose last event so far is `head` (0 for a new run).
    pub fn new(head: Seq) -> Feed {
        Feed::with_limits(head, FeedLimits::default())
    }

    /// A feed that keeps another number of events and deltas.
    pub fn with_limits(head: Seq, limits: FeedLimits) -> Feed {
        Feed {
            state: Mutex::new(State {
                head,
                ring: Ring::new(limits),
                replies: Vec::new(),
                readers: Vec::new(),
                delta_readers: 0,
                at_rest: false,
                ended: false,
                closed: false,
                abandoned: false,
                on_abandoned: None,
                scratch: BytesMut::new(),
            }),
        }
    }

    /// Gives events to the watchers. They must be committed, and come in the order of the log.
    ///
    /// Events that were published before are skipped. A hole in the numbers is filled from the journal.
    pub fn publish(&self, events: &[Arc<Stored>]) {
        let wakers = {
            let mut state = self.lock();
            for stored in events {
                state.publish(stored);
            }
            state.forget_read_deltas();
            state.waiting(|_| true)
        };
        wakers.wake();
    }

    /// Says that the journal holds events up to `head` that were not published here.
    pub fn skip_to(&self, head: Seq) {
        let wakers = {
            let mut state = self.lock();
            if head <= state.head {
                return;
            }
            state.head = head;
            state.ring.forget_events();
            state.waiting(|_| true)
        };
        wakers.wake();
    }

    /// Gives the next piece of a reply in flight to the watchers.
    ///
    /// The text so far is kept for those who join until an event ends the try. A piece of a try that is over is
    /// ignored.
    pub fn delta(&self, call: CallId, attempt: u32, text: &str) {
        if text.is_empty() {
            return;
        }
        let wakers = {
            let mut state = self.lock();
            let Some(offset) = state.lengthen(call, attempt, text) else { return };
            if state.delta_readers == 0 {
                return;
            }
            let data = encode(&mut state.scratch, call, attempt, offset, text);
            state.ring.push_delta(data);
            state.waiting(|reader| reader.is_joined())
        };
        wakers.wake();
    }

    /// Says whether the run is paused. Watchers that have been given everything are woken.
    ///
    /// Publish the events that led there first.
    pub fn set_rest(&self, at_rest: bool) {
        let wakers = {
            let mut state = self.lock();
            if state.at_rest == at_rest {
                return;
            }
            state.at_rest = at_rest;
            for reader in state.readers.iter_mut().flatten() {
                reader.knows_rest = false;
            }
            if at_rest { state.waiting(|_| true) } else { Wakers::default() }
        };
        wakers.wake();
    }

    /// Says that nothing more comes: the run has ended, or whoever drove it is gone for good. Watchers are given what
    /// there is, then the end.
    pub fn close(&self) {
        let wakers = {
            let mut state = self.lock();
            state.closed = true;
            state.replies.clear();
            state.waiting(|_| true)
        };
        wakers.wake();
    }

    /// How many watch.
    pub fn watchers(&self) -> usize {
        self.lock().watchers()
    }

    /// Completes when the last watcher has gone, also if that was before the call, as long as nobody has come back. A
    /// watcher that goes while the run is at rest or over does not count.
    ///
    /// Cancel safe. One at a time: a second future takes the first one's place.
    pub fn abandoned(&self) -> impl Future<Output = ()> + Send + '_ {
        poll_fn(|cx| {
            let mut state = self.lock();
            if state.abandoned {
                return Poll::Ready(());
            }
            match &mut state.on_abandoned {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            Poll::Pending
        })
    }

    /// Completes when the last watcher has been gone for the grace.
    ///
    /// Cancel safe: asked again, it begins with the grace again. As [`Feed::abandoned`], one at a time.
    pub(crate) async fn left_for(&self, grace: Duration) {
        loop {
            self.abandoned().await;
            sleep(grace).await;
            if self.watchers() == 0 {
                return;
            }
        }
    }

    /// A panic while the lock is held would leave at worst a missing entry, so the state stays usable.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn publish(&mut self, stored: &Arc<Stored>) {
        let seq = stored.recorded.seq;
        if seq <= self.head || self.closed {
            return;
        }
        if seq != self.head.next() {
            self.ring.forget_events();
        }
        self.head = seq;
        match &stored.recorded.event {
            Event::ModelReplied { call, .. } | Event::CallStopped { call, .. } => {
                self.replies.retain(|reply| reply.call != *call);
            }
            Event::AttemptFailed { call, attempt, .. } => {
                self.replies.retain(|reply| reply.call != *call || reply.attempt > *attempt);
            }
            Event::TakenOver { .. } => self.replies.clear(),
            Event::RunEnded { .. } => {
                self.replies.clear();
                self.ended = true;
            }
            _ => {}
        }
        self.ring.push_event(stored.clone());
    }

    /// Adds to the text of a reply in flight; gives the length before, or `None` if the try is over.
    fn lengthen(&mut self, call: CallId, attempt: u32, text: &str) -> Option<usize> {
        if self.is_over() {
            return None;
        }
        let Some(reply) = self.replies.iter_mut().find(|reply| reply.call == call) else {
            self.replies.push(ReplyText { call, attempt, text: text.to_owned() });
            return Some(0);
        };
        if attempt < reply.attempt {
            return None;
        }
        if attempt > reply.attempt {
            reply.attempt = attempt;
            reply.text.clear();
        }
        let offset = reply.text.len();
        reply.text.push_str(text);
        Some(offset)
    }

    fn is_over(&self) -> bool {
        self.ended || self.closed
    }

    fn watchers(&self) -> usize {
        self.readers.iter().flatten().count()
    }

    /// Lets go of deltas that every reader has been given.
    fn forget_read_deltas(&mut self) {
        if let Some(oldest) = self.readers.iter().flatten().filter_map(|reader| reader.cursor).min() {
            self.ring.forget_deltas_before(oldest);
        }
    }

    /// Takes the wakers of the readers that wait.
    fn waiting(&mut self, which: impl Fn(&Reader) -> bool) -> Wakers {
        let mut wakers = Wakers::default();
        for reader in self.readers.iter_mut().flatten() {
            if which(reader)
                && let Some(waker) = reader.waker.take()
            {
                wakers.add(waker);
            }
        }
        wakers
    }
}

/// Wakers to call once the lock is free. One needs no allocation.
#[derive(Default)]
struct Wakers {
    first: Option<Waker>,
    rest: Vec<Waker>,
}

impl Wakers {
    fn add(&mut self, waker: Waker) {
        match self.first {
            None => self.first = Some(waker),
            Some(_) => self.rest.push(waker),
        }
    }

    fn wake(self) {
        self.first.into_iter().chain(self.rest).for_each(Waker::wake);
    }
}

/// How much is allocated at a time for encoded deltas.
const SCRATCH_BYTES: usize = 1024;

/// Writes the JSON of one delta.
fn encode(scratch: &mut BytesMut, call: CallId, attempt: u32, offset: usize, text: &str) -> Bytes {
    let room = text.len() + 96;
    if scratch.capacity() < room {
        scratch.reserve(room.max(SCRATCH_BYTES));
    }
    let mut number = |name: &[u8], value: u64| {
        scratch.put_slice(name);
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut rest = value;
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        scratch.put_slice(&digits[at..]);
    };
    number(br#"{"type":"delta","call":"#, call.0);
    number(br#","attempt":"#, u64::from(attempt));
    number(br#","offset":"#, offset as u64);
    scratch.put_slice(br#","text":"#);
    let written = serde_json::to_writer(scratch.writer(), text);
    debug_assert!(written.is_ok(), "a str is valid JSON, and memory takes every byte");
    scratch.put_u8(b'}');
    scratch.split().freeze()
}
