//! A journal in memory: for trying things out, for tests, and for servers whose runs need not outlive them.
//!
//! It keeps every run that has not ended, and a bounded number of those that have.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use boathouse_core::ids::{RunId, Seq, ThreadId, Timestamp};
use boathouse_core::run::event::RunState;
use bytes::Bytes;

use super::{
    Append, DoneRequest, Journal, JournalError, KeptCrew, Lease, NewRun, NewThread, Next, Notice, OnThread,
    OpenWait, REQUESTS_KEPT, RequestKey, Retention, RunQuery, RunRow, Stored, ThreadQuery, ThreadRow,
    WaitQuery, follows, long_ago,
};

mod events;
mod people;
mod threads;

use events::Events;
use people::PeopleTables;
use threads::{Asked, Threads};

/// Ended runs that [`MemoryJournal::new`] keeps.
pub const DEFAULT_ENDED_RUNS: usize = 10_000;

/// Bytes of the events of ended runs that are kept.
const ENDED_BYTES: usize = 16 * 1024 * 1024;

/// Request keys that are kept.
const REQUESTS: usize = 100_000;

/// Crew sources that are kept although no run uses them.
const UNUSED_CREWS: usize = 1_000;

/// Keeps events in memory. All methods return without waiting for anything but a short lock.
///
/// Runs that have not ended are never dropped. Of the ended ones the newest are kept (10,000 unless
/// [`MemoryJournal::keeping`] says otherwise, and at most 16 MiB of their events); with an older one go its events.
/// Crew sources that no kept run uses are dropped once there are more than 1,000 of them, oldest first. Of request
/// keys the newest 100,000 are known. Of threads of which no run is kept the 10,000 that were used last stay, and at
/// most 16 MiB of their messages.
#[derive(Debug)]
pub struct MemoryJournal {
    keep_ended: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    closed: bool,
    runs: HashMap<RunId, KeptRun>,
    /// The order of [`Journal::runs`] and [`Journal::unfinished`].
    by_time: BTreeSet<(Timestamp, RunId)>,
    /// Ended runs in the order in which they ended.
    ended: BTreeMap<u64, RunId>,
    /// Bytes of their events.
    ended_bytes: usize,
    crews: HashMap<Arc<str>, PutCrew>,
    threads: Threads,
    people: PeopleTables,
    /// By scope and key.
    requests: HashMap<(String, String), DoneRequest>,
    /// Their keys, oldest first.
    requests_by_time: BTreeSet<(Timestamp, String, String)>,
    /// Counts ends and puts of crews, so that the oldest can be told.
    clock: u64,
}

#[derive(Debug)]
struct KeptRun {
    row: RunRow,
    lease: Lease,
    events: Events,
    /// Its place in [`Kept::ended`].
    ended: Option<u64>,
    /// The thread that it began on.
    thread: Option<u64>,
}

#[derive(Debug)]
struct PutCrew {
    crew: KeptCrew,
    put: u64,
}

impl Default for MemoryJournal {
    fn default() -> MemoryJournal {
        MemoryJournal::new()
    }
}

impl MemoryJournal {
    /// An empty journal that keeps [`DEFAULT_ENDED_RUNS`] ended runs.
    pub fn new() -> MemoryJournal {
        MemoryJournal::keeping(DEFAULT_ENDED_RUNS)
    }

    /// An empty journal that keeps at most so many ended runs. With 0 a run is gone as soon as it has ended.
    pub fn keeping(ended_runs: usize) -> MemoryJournal {
        MemoryJournal { keep_ended: ended_runs, kept: Mutex::default() }
    }

    fn open(&self) -> Result<MutexGuard<'_, Kept>, JournalError> {
        // No code below panics between two changes that belong together, so a poisoned lock guards sound data.
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.closed { Err(JournalError::Closed) } else { Ok(kept) }
    }
}

impl Kept {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Keeps the list of ended runs in step with a run's state. Returns the runs that had to go; the caller drops
    /// them after the lock.
    fn settle(&mut self, run: &RunId, state: RunState, keep_ended: usize) -> Vec<KeptRun> {
        let clock = self.tick();
        let Some(kept) = self.runs.get_mut(run) else { return Vec::new() };
        match (kept.ended, state.is_ended()) {
            (None, true) => {
                kept.ended = Some(clock);
                kept.events.pack();
                self.ended_bytes += kept.events.packed_bytes();
                self.ended.insert(clock, run.clone());
            }
            (Some(place), false) => {
                kept.ended = None;
                self.ended.remove(&place);
            }
            (None, false) | (Some(_), true) => return Vec::new(),
        }
        let mut gone = Vec::new();
        while self.ended.len() > keep_ended || (self.ended_bytes > ENDED_BYTES && self.ended.len() > 1) {
            let Some((_, oldest)) = self.ended.pop_first() else { break };
            gone.extend(self.forget(&oldest));
        }
        gone
    }

    /// What a request did, if that is still known.
    fn request(&self, scope: &str, key: &str, since: Timestamp) -> Option<&DoneRequest> {
        let done = self.requests.get(&(scope.to_owned(), key.to_owned()));
        done.filter(|done| done.at > since)
    }

    fn keep_request(&mut self, request: RequestKey, run: &RunId, seq: Seq, at: Timestamp) {
        let RequestKey { scope, key, body } = request;
        let done = DoneRequest { body, run: run.clone(), seq, at };
        if let Some(before) = self.requests.insert((scope.clone(), key.clone()), done) {
            self.requests_by_time.remove(&(before.at, scope.clone(), key.clone()));
        }
        self.requests_by_time.insert((at, scope, key));
        while self.requests.len() > REQUESTS
            && let Some((_, scope, key)) = self.requests_by_time.pop_first()
        {
            self.requests.remove(&(scope, key));
        }
    }

    fn forget(&mut self, run: &RunId) -> Option<KeptRun> {
        let gone = self.runs.remove(run)?;
        self.people.forget(run);
        self.by_time.remove(&(gone.row.created_at, run.clone()));
        if let Some(place) = gone.ended {
            self.ended.remove(&place);
            self.ended_bytes -= gone.events.packed_bytes();
        }
        if let Some(thread) = gone.thread {
            self.threads.forget_run(thread);
        }
        self.threads.leave_queue(run, &gone.row.thread);
        Some(gone)
    }

    /// Whether a run has the id of a thread, which is its own then.
    fn is_run(&self, on: &OnThread) -> bool {
        self.runs.get(on.thread.as_str()).is_some_and(|named| named.row.thread == on.thread)
    }

    /// Drops the oldest crew sources that no run uses, down to half of the cap, so that this is rare.
    fn drop_unused_crews(&mut self) {
        let used: std::collections::HashSet<&str> =
            self.runs.values().map(|run| &*run.row.crew_hash).collect();
        let mut unused: Vec<(u64, Arc<str>)> = self
            .crews
            .iter()
            .filter(|(hash, _)| !used.contains(&***hash))
            .map(|(hash, crew)| (crew.put, hash.clone()))
            .collect();
        if unused.len() <= UNUSED_CREWS {
            return;
        }
        unused.sort_unstable();
        for (_, hash) in &unused[..unused.len() - UNUSED_CREWS / 2] {
            self.crews.remove(hash);
        }
    }
}

fn new_lease(epoch: u64) -> Lease {
    Lease { epoch, id: uuid::Uuid::now_v7() }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn create(&self, new: NewRun) -> Result<Lease, JournalError> {
        let (Some(row), true) = (new.row(), follows(&new.events, Seq(0))) else {
            return Err(JournalError::Conflict(new.run));
        };
        let lease = new_lease(1);
        let place = (row.created_at, new.run.clone());
        let gone = {
            let mut kept = self.open()?;
            if kept.runs.contains_key(&new.run) {
                return Err(JournalError::Exists(new.run));
            }
            let on_thread = new.on_thread.as_ref();
            let asked = on_thread.map(|on| Asked {
                run: &new.run,
                crew: &new.crew,
                on,
                named_after_run: kept.is_run(on),
            });
            if let Some(asked) = &asked {
                kept.threads.check(asked)?;
            }
            if let Some(request) = new.request {
                let since = Timestamp(row.created_at.0.saturating_sub(REQUESTS_KEPT.as_millis() as i64));
                if kept.request(&request.scope, &request.key, since).is_some() {
                    return Err(JournalError::Repeated(new.run));
                }
                kept.keep_request(request, &new.run, row.seq, row.updated_at);
            }
            let at = row.updated_at;
            let thread = asked.and_then(|asked| kept.threads.effect(&asked, at));
            kept.by_time.insert(place);
            kept.people.keep(&new.run, new.people);
            kept.runs.insert(
                new.run.clone(),
                KeptRun { row, lease, events: Events::Live(new.events), ended: None, thread },
            );
            if new.state.is_ended() { kept.settle(&new.run, new.state, self.keep_ended) } else { Vec::new() }
        };
        drop(gone);
        Ok(lease)
    }

    async fn append(&self, append: Append) -> Result<(), JournalError> {
        let gone = {
            let mut kept = self.open()?;
            let Some(run) = kept.runs.get_mut(&append.run) else {
                return Err(JournalError::UnknownRun(append.run));
            };
            let Some(last) = append.events.last() else { return Err(JournalError::Conflict(append.run)) };
            if run.lease != append.lease || !follows(&append.events, run.row.seq) {
                return Err(JournalError::Conflict(append.run));
            }
            let (seq, at) = (last.recorded.seq, last.recorded.at);
            let was_queued = run.row.state == RunState::Queued;
            let (crew, thread) = (run.row.crew.clone(), run.row.thread.clone());
            let mut began = run.thread;
            if let Some(on) = &append.on_thread {
                let named_after_run = kept.is_run(on);
                let asked = Asked { run: &append.run, crew: &crew, on, named_after_run };
                kept.threads.check(&asked)?;
                began = kept.threads.effect(&asked, at).or(began);
            }
            if was_queued && append.state != RunState::Queued {
                kept.threads.leave_queue(&append.run, &thread);
            }
            let Some(run) = kept.runs.get_mut(&append.run) else {
                return Err(JournalError::UnknownRun(append.run));
            };
            run.thread = began;
            let packed = run.events.packed_bytes();
            run.events.extend(append.events)?;
            (run.row.seq, run.row.updated_at, run.row.state) = (seq, at, append.state);
            let settled = run.ended.is_some() == append.state.is_ended();
            kept.ended_bytes -= packed;
            kept.people.keep(&append.run, append.people);
            for request in append.requests {
                kept.keep_request(request, &append.run, seq, at);
            }
            if !settled { kept.settle(&append.run, append.state, self.keep_ended) } else { Vec::new() }
        };
        drop(gone);
        Ok(())
    }

    async fn claim(&self, run: &RunId) -> Result<(Lease, RunRow), JournalError> {
        let mut kept = self.open()?;
        let kept = kept.runs.get_mut(run).ok_or_else(|| JournalError::UnknownRun(run.clone()))?;
        kept.lease = new_lease(kept.lease.epoch + 1);
        Ok((kept.lease, kept.row.clone()))
    }

    async fn read(&self, run: &RunId, after: Seq, limit: usize) -> Result<Vec<Arc<Stored>>, JournalError> {
        // Events are numbered from 1 without gaps, so `after` is also a count.
        let after = usize::try_from(after.0).unwrap_or(usize::MAX);
        let page = self.open()?.runs.get(run).map(|kept| kept.events.page(after, limit));
        page.map_or(Ok(Vec::new()), events::Page::read)
    }

    async fn run(&self, run: &RunId) -> Result<Option<RunRow>, JournalError> {
        Ok(self.open()?.runs.get(run).map(|kept| kept.row.clone()))
    }

    async fn runs(&self, query: &RunQuery) -> Result<Vec<RunRow>, JournalError> {
        let kept = self.open()?;
        let wanted = |row: &RunRow| {
            query.crew.as_ref().is_none_or(|crew| *crew == row.crew)
                && query.state.is_none_or(|state| state == row.state)
                && query.thread.as_ref().is_none_or(|thread| *thread == row.thread)
        };
        let newest_first = match &query.before {
            Some(before) => kept.by_time.range(..before).rev(),
            None => kept.by_time.range::<(Timestamp, RunId), _>(..).rev(),
        };
        Ok(newest_first
            .filter_map(|(_, run)| kept.runs.get(run))
            .map(|kept| &kept.row)
            .filter(|row| wanted(row))
            .take(query.limit)
            .cloned()
            .collect())
    }

    async fn unfinished(&self) -> Result<Vec<RunId>, JournalError> {
        let kept = self.open()?;
        let goes_on =
            |run: &&RunId| kept.runs.get(*run).is_some_and(|kept| kept.row.state == RunState::Running);
        Ok(kept.by_time.iter().map(|(_, run)| run).filter(goes_on).cloned().collect())
    }

    async fn next_queued(&self, thread: Option<&ThreadId>, limit: usize) -> Result<Vec<Next>, JournalError> {
        let kept = self.open()?;
        let free = |(run, thread): &&(RunId, ThreadId)| {
            let named = kept.runs.get(thread.as_str());
            let own = named.filter(|named| named.row.thread == *thread && named.row.run != *run);
            own.is_none_or(|own| own.row.state.is_ended())
        };
        let next = kept.threads.next_queued(thread).filter(free).take(limit);
        Ok(next.map(|(run, thread)| Next { run: run.clone(), thread: thread.clone() }).collect())
    }

    async fn thread(&self, thread: &ThreadId) -> Result<Option<ThreadRow>, JournalError> {
        Ok(self.open()?.threads.row(thread))
    }

    async fn threads(&self, query: &ThreadQuery) -> Result<Vec<ThreadRow>, JournalError> {
        Ok(self.open()?.threads.rows(query))
    }

    async fn thread_messages(
        &self,
        thread: &ThreadId,
        after: usize,
        limit: usize,
    ) -> Result<Vec<Bytes>, JournalError> {
        Ok(self.open()?.threads.messages(thread, after, limit))
    }

    async fn pinned(&self, run: &RunId, count: usize) -> Result<Vec<Bytes>, JournalError> {
        let kept = self.open()?;
        let thread = kept.runs.get(run).and_then(|kept| kept.thread);
        Ok(thread.map_or_else(Vec::new, |thread| kept.threads.pinned(thread, count)))
    }

    async fn put_thread(&self, new: NewThread) -> Result<bool, JournalError> {
        Ok(self.open()?.threads.put(new))
    }

    async fn delete_thread(&self, thread: &ThreadId) -> Result<bool, JournalError> {
        self.open()?.threads.delete(thread)
    }

    async fn waits(&self, query: &WaitQuery) -> Result<Vec<OpenWait>, JournalError> {
        Ok(self.open()?.people.waits(query))
    }

    async fn expiries(&self, limit: usize) -> Result<Vec<(Timestamp, RunId)>, JournalError> {
        let kept = self.open()?;
        let paused = |run: &RunId| kept.runs.get(run).is_some_and(|kept| kept.row.state == RunState::Paused);
        Ok(kept.people.expiries().filter(|(_, run)| paused(run)).take(limit).cloned().collect())
    }

    async fn outbox(&self, except: &[&str], limit: usize) -> Result<Vec<Notice>, JournalError> {
        Ok(self.open()?.people.outbox(except, limit))
    }

    async fn settle_notice(&self, id: &str, again: Option<Timestamp>) -> Result<(), JournalError> {
        self.open()?.people.settle_notice(id, again);
        Ok(())
    }

    async fn trim_outbox(&self, keep: usize) -> Result<usize, JournalError> {
        Ok(self.open()?.people.trim_outbox(keep))
    }

    async fn delete(&self, run: &RunId) -> Result<bool, JournalError> {
        let gone = self.open()?.forget(run);
        Ok(gone.is_some())
    }

    async fn request(&self, scope: &str, key: &str) -> Result<Option<DoneRequest>, JournalError> {
        Ok(self.open()?.request(scope, key, long_ago(REQUESTS_KEPT)).cloned())
    }

    async fn prune(&self, keep: &Retention) -> Result<usize, JournalError> {
        let gone = {
            let mut kept = self.open()?;
            let before = keep.ended_before();
            let old: Vec<RunId> = kept
                .ended
                .values()
                .enumerate()
                .take_while(|(place, run)| {
                    kept.ended.len() - place > keep.runs
                        || kept.runs.get(*run).is_some_and(|kept| kept.row.updated_at < before)
                })
                .map(|(_, run)| run.clone())
                .take(100)
                .collect();
            let runs = old.iter().filter_map(|run| kept.forget(run)).collect::<Vec<_>>();
            (runs, kept.threads.prune(keep))
        };
        Ok(gone.0.len() + gone.1)
    }

    async fn put_crew(&self, hash: &str, source: &str, dir: Option<&str>) -> Result<(), JournalError> {
        let mut kept = self.open()?;
        let put = kept.tick();
        if let Some(crew) = kept.crews.get_mut(hash) {
            crew.put = put;
            if let Some(dir) = dir {
                crew.crew.dir = Some(dir.to_owned());
            }
            return Ok(());
        }
        let crew = KeptCrew { source: source.to_owned(), dir: dir.map(str::to_owned) };
        kept.crews.insert(hash.into(), PutCrew { crew, put });
        if kept.crews.len() > UNUSED_CREWS {
            kept.drop_unused_crews();
        }
        Ok(())
    }

    async fn crew(&self, hash: &str) -> Result<Option<KeptCrew>, JournalError> {
        Ok(self.open()?.crews.get(hash).map(|put| put.crew.clone()))
    }

    async fn drop_crews(&self, _except: &[Arc<str>]) -> Result<(), JournalError> {
        Ok(())
    }

    fn is_durable(&self) -> bool {
        false
    }

    async fn check(&self) -> Result<(), JournalError> {
        self.open().map(|_| ())
    }

    async fn close(&self) {
        let gone = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *kept, Kept { closed: true, ..Kept::default() })
        };
        drop(gone);
    }
}
