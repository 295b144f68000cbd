//! The newest events and deltas of a run, in the order in which they came.

use std::collections::VecDeque;
use std::sync::Arc;

use boathouse_core::ids::Seq;
use bytes::Bytes;

use super::Item;
use crate::journal::Stored;

/// How much of a run is kept in memory for its watchers; what is older is read from the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedLimits {
    /// At most so many events. At least one is kept.
    pub events: usize,
    /// At most so many bytes of events, beside the newest.
    pub event_bytes: usize,
    /// At most so many deltas that some watcher has not been given yet. At least one is kept.
    pub deltas: usize,
    /// At most so many bytes of them, beside the newest.
    pub delta_bytes: usize,
}

impl Default for FeedLimits {
    /// 256 events or 256 KiB, 1024 deltas or 128 KiB.
    fn default() -> FeedLimits {
        FeedLimits { events: 256, event_bytes: 256 * 1024, deltas: 1024, delta_bytes: 128 * 1024 }
    }
}

/// Events and deltas in two queues; every entry has a place in their common order.
pub(super) struct Ring {
    limits: FeedLimits,
    /// With consecutive numbers.
    events: VecDeque<(u64, Arc<Stored>)>,
    event_bytes: usize,
    deltas: VecDeque<(u64, Bytes)>,
    delta_bytes: usize,
    /// The place of the next entry.
    end: u64,
    /// Deltas before this place were dropped for want of room.
    lost: u64,
}

impl Ring {
    pub(super) fn new(limits: FeedLimits) -> Ring {
        Ring {
            limits,
            events: VecDeque::new(),
            event_bytes: 0,
            deltas: VecDeque::new(),
            delta_bytes: 0,
            end: 0,
            lost: 0,
        }
    }

    /// The place of the next entry.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Deltas before this place may be missing.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// The oldest event.
    pub(super) fn first(&self) -> Option<Seq> {
        self.events.front().map(|(_, stored)| stored.recorded.seq)
    }

    pub(super) fn push_event(&mut self, stored: Arc<Stored>) {
        self.event_bytes += stored.json.len();
        self.events.push_back((self.end, stored));
        self.end += 1;
        while self.events.len() > 1
            && (self.events.len() > self.limits.events || self.event_bytes > self.limits.event_bytes)
        {
            if let Some((_, old)) = self.events.pop_front() {
                self.event_bytes -= old.json.len();
            }
        }
    }

    pub(super) fn push_delta(&mut self, data: Bytes) {
        self.delta_bytes += data.len();
        self.deltas.push_back((self.end, data));
        self.end += 1;
        while self.deltas.len() > 1
            && (self.deltas.len() > self.limits.deltas || self.delta_bytes > self.limits.delta_bytes)
        {
            if let Some((place, old)) = self.deltas.pop_front() {
                self.delta_bytes -= old.len();
                self.lost = place + 1;
            }
        }
    }

    pub(super) fn forget_events(&mut self) {
        self.events.clear();
        self.event_bytes = 0;
    }

    /// Lets go of deltas that nobody needs; they do not count as lost.
    pub(super) fn forget_deltas_before(&mut self, place: u64) {
        while let Some((at, _)) = self.deltas.front()
            && *at < place
        {
            if let Some((_, old)) = self.deltas.pop_front() {
                self.delta_bytes -= old.len();
            }
        }
    }

    /// Gives the events after `seq`.
    pub(super) fn events_after(&self, seq: Seq, items: &mut Vec<Item>) {
        let from = self.index_after(seq);
        items.extend(self.events.range(from..).map(|(_, stored)| Item::Event(stored.clone())));
    }

    /// Gives the events after `seq` and the deltas from `cursor` on, in their order. `sole` says that nobody else
    /// needs these deltas.
    pub(super) fn all_after(&mut self, seq: Seq, cursor: u64, sole: bool, items: &mut Vec<Item>) {
        let mut event = self.index_after(seq);
        let from = self.deltas.partition_point(|(place, _)| *place < cursor);
        items.reserve(self.events.len() - event + self.deltas.len() - from);
        let mut events_until = |place: u64, items: &mut Vec<Item>| {
            while let Some((at, stored)) = self.events.get(event)
                && *at < place
            {
                items.push(Item::Event(stored.clone()));
                event += 1;
            }
        };
        if sole {
            for (place, data) in self.deltas.drain(..).skip(from) {
                events_until(place, items);
                items.push(Item::Delta(data));
            }
            self.delta_bytes = 0;
        } else {
            for (place, data) in self.deltas.range(from..) {
                events_until(*place, items);
                items.push(Item::Delta(data.clone()));
            }
        }
        events_until(u64::MAX, items);
    }

    /// Where the first event after `seq` is, or would be.
    fn index_after(&self, seq: Seq) -> usize {
        let Some(first) = self.first() else { return 0 };
        let skip = seq.next().0.saturating_sub(first.0);
        usize::try_from(skip).unwrap_or(usize::MAX).min(self.events.len())
    }
}
