//! Conversations in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use boathouse_core::ids::{RunId, ThreadId, Timestamp};
use bytes::Bytes;

use crate::journal::thread::{NewThread, OnThread, ThreadQuery, ThreadRow, Turn};
use crate::journal::{JournalError, Retention};

/// Threads of which no run is kept that are kept all the same.
const UNUSED: usize = 10_000;

/// Bytes of their messages.
const UNUSED_BYTES: usize = 16 << 20;

/// All threads, and the runs that wait for their turn.
#[derive(Debug, Default)]
pub(super) struct Threads {
    kept: HashMap<u64, KeptThread>,
    by_id: HashMap<ThreadId, u64>,
    by_time: BTreeSet<(Timestamp, ThreadId)>,
    /// Threads of which no run is kept and that nobody uses, those that were used first in front.
    unused: BTreeSet<(Timestamp, u64)>,
    /// Bytes of their messages.
    unused_bytes: usize,
    next_key: u64,
    /// Queued runs in the order in which they came.
    queue: BTreeMap<u64, (RunId, ThreadId)>,
    /// Their places, by thread.
    waiting: HashMap<ThreadId, BTreeSet<u64>>,
    next_place: u64,
}

#[derive(Debug)]
struct KeptThread {
    row: ThreadRow,
    messages: Vec<Bytes>,
    bytes: usize,
    /// Kept runs that began on it.
    runs: usize,
    /// Whether it was deleted, and is here only for them.
    deleted: bool,
}

impl KeptThread {
    /// Its place among those that nobody uses, if it is one of them.
    fn unused(&self, key: u64) -> Option<(Timestamp, u64)> {
        let unused = self.runs == 0 && self.row.active.is_none();
        unused.then_some((self.row.updated_at, key))
    }
}

/// What the runs of a thread are asked before one begins or is queued.
pub(super) struct Asked<'a> {
    pub(super) run: &'a RunId,
    pub(super) crew: &'a str,
    pub(super) on: &'a OnThread,
    /// Whether a run has the thread's id.
    pub(super) named_after_run: bool,
}

impl Threads {
    pub(super) fn row(&self, thread: &ThreadId) -> Option<ThreadRow> {
        self.get(thread).map(|kept| self.with_queue(&kept.row))
    }

    fn get(&self, thread: &ThreadId) -> Option<&KeptThread> {
        self.by_id.get(thread).and_then(|key| self.kept.get(key))
    }

    fn with_queue(&self, row: &ThreadRow) -> ThreadRow {
        ThreadRow { queued: self.waiting.get(&row.thread).map_or(0, BTreeSet::len), ..row.clone() }
    }

    pub(super) fn rows(&self, query: &ThreadQuery) -> Vec<ThreadRow> {
        let newest_first = match &query.before {
            Some(before) => self.by_time.range(..before).rev(),
            None => self.by_time.range::<(Timestamp, ThreadId), _>(..).rev(),
        };
        newest_first
            .filter_map(|(_, thread)| self.get(thread))
            .filter(|kept| query.crew.as_ref().is_none_or(|crew| *crew == kept.row.crew))
            .take(query.limit)
            .map(|kept| self.with_queue(&kept.row))
            .collect()
    }

    pub(super) fn messages(&self, thread: &ThreadId, after: usize, limit: usize) -> Vec<Bytes> {
        self.get(thread).map_or_else(Vec::new, |kept| page(&kept.messages, after, limit))
    }

    pub(super) fn pinned(&self, key: u64, count: usize) -> Vec<Bytes> {
        self.kept.get(&key).map_or_else(Vec::new, |kept| page(&kept.messages, 0, count))
    }

    pub(super) fn put(&mut self, new: NewThread) -> bool {
        if self.by_id.contains_key(&new.thread) {
            return false;
        }
        let row = ThreadRow {
            thread: new.thread.clone(),
            crew: new.crew,
            messages: new.messages.len(),
            summary: new.summary,
            active: None,
            queued: 0,
            created_at: new.at,
            updated_at: new.at,
        };
        self.next_key += 1;
        self.by_id.insert(new.thread.clone(), self.next_key);
        self.by_time.insert((new.at, new.thread));
        let bytes = new.messages.iter().map(Bytes::len).sum();
        let kept = KeptThread { row, messages: new.messages, bytes, runs: 0, deleted: false };
        self.kept.insert(self.next_key, kept);
        self.unused.insert((new.at, self.next_key));
        self.unused_bytes += bytes;
        self.forget_unused(None);
        true
    }

    pub(super) fn delete(&mut self, thread: &ThreadId) -> Result<bool, JournalError> {
        let Some(key) = self.by_id.get(thread).copied() else { return Ok(false) };
        if self.row(thread).is_some_and(|row| row.is_busy()) {
            return Err(JournalError::ThreadBusy(thread.clone()));
        }
        self.take_name(key);
        self.change(key, |kept| kept.deleted = true);
        Ok(true)
    }

    /// Whether a run may begin on its thread or wait there.
    pub(super) fn check(&self, asked: &Asked<'_>) -> Result<(), JournalError> {
        let Some(turn) = asked.on.turn else { return Ok(()) };
        let thread = &asked.on.thread;
        let kept = self.get(thread);
        let other_crew = kept.is_some_and(|kept| kept.row.crew != asked.crew);
        let own_place = self.place_of(asked.run, thread);
        let waiting = self.waiting.get(thread);
        let before = waiting.map_or(0, |places| places.range(..own_place.unwrap_or(u64::MAX)).count());
        match turn {
            Turn::Begin { messages, ahead } => {
                let fits = match kept {
                    Some(kept) => {
                        let free = kept.row.active.is_none() && !other_crew && kept.row.messages == messages;
                        free || kept.row.active.as_ref() == Some(asked.run)
                    }
                    None => messages == 0 && !asked.named_after_run,
                };
                let first = ahead || before == 0;
                if fits && first { Ok(()) } else { Err(JournalError::ThreadBusy(thread.clone())) }
            }
            Turn::Queue { .. } if other_crew => Err(JournalError::ThreadBusy(thread.clone())),
            Turn::Queue { on_thread, .. } if before >= on_thread => {
                Err(JournalError::ThreadQueueFull(thread.clone()))
            }
            Turn::Queue { in_all, .. } if self.queue.len() >= in_all => Err(JournalError::QueueFull),
            Turn::Queue { .. } => Ok(()),
        }
    }

    /// Does to the thread what was checked. Gives the thread's key if the run began on it.
    pub(super) fn effect(&mut self, asked: &Asked<'_>, at: Timestamp) -> Option<u64> {
        let thread = &asked.on.thread;
        let mut began = None;
        if let Some(turn) = asked.on.turn {
            let own = thread.as_str() == asked.run.as_str();
            if !own && !asked.named_after_run {
                let (thread, crew) = (thread.clone(), asked.crew.to_owned());
                self.put(NewThread { thread, crew, messages: Vec::new(), summary: None, at });
            }
            match turn {
                Turn::Begin { .. } => {
                    began = self.by_id.get(thread).copied().filter(|_| !own);
                    if let Some(key) = began {
                        self.change(key, |kept| {
                            kept.row.active = Some(asked.run.clone());
                            kept.row.updated_at = at;
                            kept.runs += 1;
                        });
                    }
                }
                Turn::Queue { .. } => {
                    self.next_place += 1;
                    self.queue.insert(self.next_place, (asked.run.clone(), thread.clone()));
                    self.waiting.entry(thread.clone()).or_default().insert(self.next_place);
                }
            }
        }
        if let Some(end) = &asked.on.end
            && let Some(key) = self.by_id.get(thread).copied()
            && self.kept.get(&key).is_some_and(|kept| kept.row.active.as_ref() == Some(asked.run))
        {
            self.change(key, |kept| {
                kept.messages.extend(end.messages.iter().cloned());
                kept.bytes += end.messages.iter().map(Bytes::len).sum::<usize>();
                kept.row.messages = kept.messages.len();
                kept.row.active = None;
                kept.row.updated_at = at;
                if end.summary.is_some() {
                    kept.row.summary.clone_from(&end.summary);
                }
            });
        }
        began
    }

    /// Takes a run out of the queue: it has begun, ended or gone.
    pub(super) fn leave_queue(&mut self, run: &RunId, thread: &ThreadId) {
        let Some(place) = self.place_of(run, thread) else { return };
        self.queue.remove(&place);
        if let Some(places) = self.waiting.get_mut(thread) {
            places.remove(&place);
            if places.is_empty() {
                self.waiting.remove(thread);
            }
        }
    }

    fn place_of(&self, run: &RunId, thread: &ThreadId) -> Option<u64> {
        let mut places = self.waiting.get(thread)?.iter().copied();
        places.find(|place| self.queue.get(place).is_some_and(|(queued, _)| queued == run))
    }

    /// Queued runs that are the first on their threads, and nobody has the turn there.
    pub(super) fn next_queued(&self, of: Option<&ThreadId>) -> impl Iterator<Item = &(RunId, ThreadId)> {
        let of = of.cloned();
        let places: Box<dyn Iterator<Item = u64>> = match of {
            Some(thread) => {
                Box::new(self.waiting.get(&thread).and_then(BTreeSet::first).copied().into_iter())
            }
            None => Box::new(self.queue.keys().copied()),
        };
        places.filter_map(|place| {
            let entry = self.queue.get(&place)?;
            let first = self.waiting.get(&entry.1).and_then(BTreeSet::first) == Some(&place);
            let free = self.get(&entry.1).is_none_or(|kept| kept.row.active.is_none());
            (first && free).then_some(entry)
        })
    }

    /// A run that began on a thread was forgotten.
    pub(super) fn forget_run(&mut self, key: u64) {
        self.change(key, |kept| kept.runs = kept.runs.saturating_sub(1));
        self.forget_unused(None);
    }

    /// Forgets threads of which no run is left, if they are too old or too many. Returns how many.
    pub(super) fn prune(&mut self, keep: &Retention) -> usize {
        self.forget_unused(Some(keep))
    }

    fn change(&mut self, key: u64, change: impl FnOnce(&mut KeptThread)) {
        let Some(kept) = self.kept.get_mut(&key) else { return };
        if let Some(place) = kept.unused(key) {
            self.unused.remove(&place);
            self.unused_bytes -= kept.bytes;
        }
        change(kept);
        if let Some(place) = kept.unused(key) {
            if kept.deleted {
                self.kept.remove(&key);
            } else {
                self.unused_bytes += kept.bytes;
                self.unused.insert(place);
            }
        }
    }

    fn take_name(&mut self, key: u64) {
        let Some(kept) = self.kept.get(&key).filter(|kept| !kept.deleted) else { return };
        self.by_id.remove(&kept.row.thread);
        self.by_time.remove(&(kept.row.created_at, kept.row.thread.clone()));
    }

    fn forget_unused(&mut self, keep: Option<&Retention>) -> usize {
        let before = keep.map_or(Timestamp(i64::MIN), Retention::ended_before);
        let most = keep.map_or(UNUSED, |keep| keep.runs.min(UNUSED));
        let mut goes = Vec::new();
        let (mut left, mut bytes) = (self.unused.len(), self.unused_bytes);
        for (used, key) in &self.unused {
            if *used >= before && left <= most && (bytes <= UNUSED_BYTES || left == 1) {
                break;
            }
            let Some(kept) = self.kept.get(key) else { continue };
            if !self.waiting.contains_key(&kept.row.thread) {
                goes.push((*used, *key));
                left -= 1;
                bytes -= kept.bytes;
            }
        }
        for (used, key) in &goes {
            self.take_name(*key);
            self.unused.remove(&(*used, *key));
            self.kept.remove(key);
        }
        self.unused_bytes = bytes;
        goes.len()
    }
}

fn page(messages: &[Bytes], after: usize, limit: usize) -> Vec<Bytes> {
    messages.iter().skip(after).take(limit).cloned().collect()
}
