//! The newest events of runs that have not ended, so that who watches them needs no query.
//!
//! Right only while one process writes to the file: what is here is exactly what has been committed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use boathouse_core::ids::{RunId, Seq};

use crate::journal::{Append, NewRun, RunRow, Stored};

/// Bytes of events that are usually kept, over all runs.
const BYTES: usize = 32 << 20;

/// What a run costs beside its events.
const RUN_BYTES: usize = 1 << 10;

/// The runs that were written to last, up to a number of bytes.
#[derive(Debug)]
pub(super) struct Recent {
    limit: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    runs: HashMap<RunId, RecentRun>,
    /// Runs in the order in which they were written to.
    order: BTreeMap<u64, RunId>,
    clock: u64,
    bytes: usize,
}

#[derive(Debug)]
struct RecentRun {
    row: RunRow,
    /// The last ones, up to the row's `seq`; not always from the first.
    events: Vec<Arc<Stored>>,
    bytes: usize,
    place: u64,
}

impl Default for Recent {
    fn default() -> Recent {
        Recent::keeping(BYTES)
    }
}

impl Recent {
    pub(super) fn keeping(bytes: usize) -> Recent {
        Recent { limit: bytes, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn created(&self, new: NewRun) {
        let Some(row) = new.row() else { return };
        self.kept().put(row, new.events, self.limit);
    }

    pub(super) fn claimed(&self, row: &RunRow) {
        let mut kept = self.kept();
        if !kept.runs.contains_key(&row.run) {
            kept.put(row.clone(), Vec::new(), self.limit);
        }
    }

    pub(super) fn appended(&self, append: Append) {
        let mut kept = self.kept();
        let kept = &mut *kept;
        // A run that has ended is read seldom, and from the file.
        if append.state.is_ended() {
            return kept.remove(&append.run);
        }
        let (Some(run), Some(last)) = (kept.runs.get_mut(&append.run), append.events.last()) else { return };
        run.row.state = append.state;
        run.row.seq = last.recorded.seq;
        run.row.updated_at = last.recorded.at;
        let bytes = bytes(&append.events);
        run.bytes += bytes;
        kept.bytes += bytes;
        run.events.extend(append.events);
        kept.clock += 1;
        if let Some(run_id) = kept.order.remove(&run.place) {
            kept.order.insert(kept.clock, run_id);
        }
        run.place = kept.clock;
        kept.shrink(self.limit);
    }

    pub(super) fn deleted(&self, run: &RunId) {
        self.kept().remove(run);
    }

    /// The events after `after`; `None` if they must be read from the file.
    pub(super) fn read(&self, run: &RunId, after: Seq, limit: usize) -> Option<Vec<Arc<Stored>>> {
        let kept = self.kept();
        let run = kept.runs.get(run)?;
        let count = run.row.seq.0.saturating_sub(after.0).min(usize::MAX as u64) as usize;
        let from = run.events.len().checked_sub(count)?;
        Some(run.events[from..].iter().take(limit).cloned().collect())
    }

    pub(super) fn row(&self, run: &RunId) -> Option<RunRow> {
        self.kept().runs.get(run).map(|run| run.row.clone())
    }
}

impl Kept {
    fn put(&mut self, row: RunRow, events: Vec<Arc<Stored>>, limit: usize) {
        self.remove(&row.run);
        self.clock += 1;
        let bytes = bytes(&events) + RUN_BYTES;
        self.bytes += bytes;
        self.order.insert(self.clock, row.run.clone());
        self.runs.insert(row.run.clone(), RecentRun { row, events, bytes, place: self.clock });
        self.shrink(limit);
    }

    fn remove(&mut self, run: &RunId) {
        if let Some(gone) = self.runs.remove(run) {
            self.order.remove(&gone.place);
            self.bytes -= gone.bytes;
        }
    }

    fn shrink(&mut self, limit: usize) {
        while self.bytes > limit {
            let Some((_, oldest)) = self.order.pop_first() else { return };
            if let Some(gone) = self.runs.remove(&oldest) {
                self.bytes -= gone.bytes;
            }
        }
    }
}

fn bytes(events: &[Arc<Stored>]) -> usize {
    events.iter().map(|event| event.json.len() + size_of::<Stored>()).sum()
}
