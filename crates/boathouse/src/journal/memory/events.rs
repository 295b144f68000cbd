//! The events of one run in memory: as values while the run lives, as packed JSON once it has ended.

use std::sync::Arc;

use bytes::Bytes;

use crate::journal::{JournalError, Stored};

/// The events of one run, in order, from the first.
#[derive(Debug)]
pub(super) enum Events {
    Live(Vec<Arc<Stored>>),
    /// One line of JSON after the other, and where each ends.
    Packed {
        json: Bytes,
        ends: Box<[usize]>,
    },
}

/// Events to be read once the journal's lock is open again.
pub(super) enum Page {
    Ready(Vec<Arc<Stored>>),
    Packed(Vec<Bytes>),
}

impl Events {
    /// Makes values small: what was parsed is let go, and the text lies in one piece.
    pub(super) fn pack(&mut self) {
        let Events::Live(events) = self else { return };
        let mut json = Vec::with_capacity(events.iter().map(|stored| stored.json.len()).sum());
        let mut ends = Vec::with_capacity(events.len());
        for stored in events.iter() {
            json.extend_from_slice(&stored.json);
            ends.push(json.len());
        }
        *self = Events::Packed { json: json.into(), ends: ends.into() };
    }

    /// Bytes of packed JSON.
    pub(super) fn packed_bytes(&self) -> usize {
        match self {
            Events::Live(_) => 0,
            Events::Packed { json, ends } => json.len() + size_of_val(&**ends),
        }
    }

    pub(super) fn extend(&mut self, more: Vec<Arc<Stored>>) -> Result<(), JournalError> {
        if let Events::Packed { .. } = self {
            *self = Events::Live(self.page(0, usize::MAX).read()?);
        }
        if let Events::Live(events) = self {
            events.extend(more);
        }
        Ok(())
    }

    /// At most `limit` events after the first `after`.
    pub(super) fn page(&self, after: usize, limit: usize) -> Page {
        match self {
            Events::Live(events) => {
                let rest = events.get(after..).unwrap_or_default();
                Page::Ready(rest[..rest.len().min(limit)].to_vec())
            }
            Events::Packed { json, ends } => {
                let rest = ends.get(after..).unwrap_or_default();
                let mut begin = after.checked_sub(1).and_then(|at| ends.get(at)).copied().unwrap_or(0);
                let lines =
                    rest.iter().take(limit).map(|end| json.slice(std::mem::replace(&mut begin, *end)..*end));
                Page::Packed(lines.collect())
            }
        }
    }
}

impl Page {
    /// The events as values.
    pub(super) fn read(self) -> Result<Vec<Arc<Stored>>, JournalError> {
        match self {
            Page::Ready(events) => Ok(events),
            Page::Packed(lines) => {
                lines.into_iter().map(|line| Stored::from_json(line).map(Arc::new)).collect()
            }
        }
    }
}
