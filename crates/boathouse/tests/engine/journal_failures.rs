//! A journal that cannot write for a while: nothing new starts, outcomes are kept, nothing is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use boathouse::core::ids::{RunId, Seq, ThreadId, Timestamp};
use boathouse::core::run::event::{CancelReason, Event, Outcome, RunState};
use boathouse::engine::{CommandError, RunView, StartError, StartRun, WhenBusy};
use boathouse::journal::memory::MemoryJournal;
use boathouse::journal::{
    Append, DoneRequest, Journal, JournalError, KeptCrew, Lease, NewRun, NewThread, Next, Notice, OpenWait,
    Retention, RunQuery, RunRow, Stored, ThreadQuery, ThreadRow, WaitQuery,
};
use boathouse::provider::Providers;
use bytes::Bytes;

use super::support::*;
use super::threads::{queued_behind, state};

/// Which appends fail, and how.
#[derive(Clone, Copy)]
enum Failure {
    /// Nothing is written.
    Lost,
    /// It is written, and nobody is told.
    Unheard,
}

/// A journal whose appends fail a few times each, whose first claims fail, or whose creates always do.
struct Failing {
    inner: MemoryJournal,
    failure: Failure,
    per_append: usize,
    failed: AtomicUsize,
    failing_claims: AtomicUsize,
    create: bool,
}

impl Failing {
    fn new(failure: Failure, per_append: usize) -> Failing {
        Failing {
            inner: MemoryJournal::new(),
            failure,
            per_append,
            failed: AtomicUsize::new(0),
            failing_claims: AtomicUsize::new(0),
            create: true,
        }
    }
}

#[async_trait]
impl Journal for Failing {
    async fn create(&self, run: NewRun) -> Result<Lease, JournalError> {
        if self.create {
            self.inner.create(run).await
        } else {
            Err(JournalError::Unavailable("disk full".to_owned()))
        }
    }

    async fn append(&self, append: Append) -> Result<(), JournalError> {
        if self.failed.fetch_add(1, Ordering::SeqCst) % (self.per_append + 1) < self.per_append {
            if matches!(self.failure, Failure::Unheard) {
                let _ = self.inner.append(append).await;
            }
            return Err(JournalError::Unavailable("disk full".to_owned()));
        }
        self.inner.append(append).await
    }

    async fn claim(&self, run: &RunId) -> Result<(Lease, RunRow), JournalError> {
        let left =
            self.failing_claims.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match left {
            Ok(_) => Err(JournalError::Unavailable("disk full".to_owned())),
            Err(_) => self.inner.claim(run).await,
        }
    }

    async fn read(&self, run: &RunId, after: Seq, limit: usize) -> Result<Vec<Arc<Stored>>, JournalError> {
        self.inner.read(run, after, limit).await
    }

    async fn run(&self, run: &RunId) -> Result<Option<RunRow>, JournalError> {
        self.inner.run(run).await
    }

    async fn runs(&self, query: &RunQuery) -> Result<Vec<RunRow>, JournalError> {
        self.inner.runs(query).await
    }

    async fn waits(&self, query: &WaitQuery) -> Result<Vec<OpenWait>, JournalError> {
        self.inner.waits(query).await
    }

    async fn expiries(&self, limit: usize) -> Result<Vec<(Timestamp, RunId)>, JournalError> {
        self.inner.expiries(limit).await
    }

    async fn outbox(&self, except: &[&str], limit: usize) -> Result<Vec<Notice>, JournalError> {
        self.inner.outbox(except, limit).await
    }

    async fn settle_notice(&self, id: &str, again: Option<Timestamp>) -> Result<(), JournalError> {
        self.inner.settle_notice(id, again).await
    }

    async fn trim_outbox(&self, keep: usize) -> Result<usize, JournalError> {
        self.inner.trim_outbox(keep).await
    }

    async fn unfinished(&self) -> Result<Vec<RunId>, JournalError> {
        self.inner.unfinished().await
    }

    async fn next_queued(&self, thread: Option<&ThreadId>, limit: usize) -> Result<Vec<Next>, JournalError> {
        self.inner.next_queued(thread, limit).await
    }

    async fn thread(&self, thread: &ThreadId) -> Result<Option<ThreadRow>, JournalError> {
        self.inner.thread(thread).await
    }

    async fn threads(&self, query: &ThreadQuery) -> Result<Vec<ThreadRow>, JournalError> {
        self.inner.threads(query).await
    }

    async fn thread_messages(
        &self,
        thread: &ThreadId,
        after: usize,
        limit: usize,
    ) -> Result<Vec<Bytes>, JournalError> {
        self.inner.thread_messages(thread, after, limit).await
    }

    async fn pinned(&self, run: &RunId, count: usize) -> Result<Vec<Bytes>, JournalError> {
        self.inner.pinned(run, count).await
    }

    async fn put_thread(&self, new: NewThread) -> Result<bool, JournalError> {
        self.inner.put_thread(new).await
    }

    async fn delete_thread(&self, thread: &ThreadId) -> Result<bool, JournalError> {
        self.inner.delete_thread(thread).await
    }

    async fn delete(&self, run: &RunId) -> Result<bool, JournalError> {
        self.inner.delete(run).await
    }

    async fn request(&self, scope: &str, key: &str) -> Result<Option<DoneRequest>, JournalError> {
        self.inner.request(scope, key).await
    }

    async fn prune(&self, keep: &Retention) -> Result<usize, JournalError> {
        self.inner.prune(keep).await
    }

    async fn drop_crews(&self, except: &[Arc<str>]) -> Result<(), JournalError> {
        self.inner.drop_crews(except).await
    }

    async fn put_crew(&self, hash: &str, source: &str, dir: Option<&str>) -> Result<(), JournalError> {
        self.inner.put_crew(hash, source, dir).await
    }

    async fn crew(&self, hash: &str) -> Result<Option<KeptCrew>, JournalError> {
        self.inner.crew(hash).await
    }

    fn is_durable(&self) -> bool {
        self.inner.is_durable()
    }

    async fn check(&self) -> Result<(), JournalError> {
        self.inner.check().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_outlasts_a_journal_that_fails_for_a_while() {
    for failure in [Failure::Lost, Failure::Unheard] {
        let mut world = World::new();
        let engine = world.engine_on(Failing::new(failure, 3), LINE, LINE_SCRIPT).await;
        let run = engine.start(start("line")).await.expect("it starts");
        let view = finish(&engine, &run).await;
        assert_eq!(view.outcome, Some(Outcome::Completed { output: "sent: send of c".to_owned() }));
        assert_eq!(world.sent(), 1);
        let seqs: Vec<u64> = log(&engine, &run).await.iter().map(|recorded| recorded.seq.0).collect();
        assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn a_queued_run_begins_once_although_its_begin_was_not_heard_of() {
    let world = World::new();
    let engine = world
        .engine_on(Failing::new(Failure::Unheard, 1), ONE, "rules: [{ reply: hi, delay_ms: 1000 }]")
        .await;
    let on = |input: &str| StartRun {
        input: input.to_owned(),
        thread: Some("t".into()),
        when_busy: WhenBusy::Enqueue,
        ..start("one")
    };
    let first = engine.start(on("one")).await.expect("it starts");
    let second = engine.start(on("two")).await.expect("it waits");
    for run in [&first, &second] {
        assert!(finish(&engine, run).await.outcome.is_some());
    }
    let begun = log(&engine, &second).await;
    let begun = begun.iter().filter(|recorded| matches!(recorded.event, Event::Begun { .. })).count();
    assert_eq!(begun, 1);
    let said = engine.thread_messages(&"t".into(), 0, 99).await.expect("it can be read");
    let said: Vec<String> = said.iter().map(|message| message.content()).collect();
    assert_eq!(said, ["one", "hi", "two", "hi"]);
}

#[tokio::test]
async fn a_run_that_cannot_be_kept_does_not_start() {
    let world = World::new();
    let journal = Failing { create: false, ..Failing::new(Failure::Lost, 0) };
    let engine = world.engine_on(journal, LINE, LINE_SCRIPT).await;
    let refused = engine.start(start("line")).await.expect_err("it cannot be kept");
    assert!(matches!(refused, StartError::Journal(JournalError::Unavailable(_))), "{refused}");
    let query = RunQuery { limit: 10, ..RunQuery::default() };
    assert!(engine.runs(&query).await.expect("it can be read").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_queued_run_that_nobody_reads_is_cancelled_once_the_journal_can_again() {
    let journal = Failing { failing_claims: AtomicUsize::new(3), ..Failing::new(Failure::Lost, 0) };
    let (_world, engine, _held, _requests, first, (second, watch)) =
        queued_behind(WhenBusy::Enqueue, journal).await;
    drop(watch);
    // Three times it could not be, each after the grace of five seconds.
    tokio::time::sleep(Duration::from_secs(19)).await;
    assert_eq!(state(&engine, &second).await, RunState::Queued);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let gone = engine.run(&second).await.expect("it can be read").expect("there is one");
    let Some(Outcome::Cancelled { reason, .. }) = gone.outcome else { panic!("{gone:?}") };
    assert_eq!(reason, CancelReason::Disconnected);
    assert_eq!(state(&engine, &first).await, RunState::Running, "nobody waited for its turn");
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_is_told_that_nothing_can_be_put_down_and_a_cancel_is_put_down_later() {
    let world = World::new();
    let (held, mut requests) = Held::new();
    let providers = Providers::new().with("scripted", Arc::new(held));
    // The run's begin is the create; its first append is the pause.
    let engine = world.engine_with(Failing::new(Failure::Lost, 20), providers, ONE, "").await;
    let run = engine.start(start("one")).await.expect("it starts");
    requests.asked.recv().await.expect("the model is asked");
    let before = tokio::time::Instant::now();
    let refused = |told: Result<RunView, CommandError>| {
        let told = told.expect_err("it cannot be put down");
        assert!(matches!(told, CommandError::Journal(JournalError::Unavailable(_))), "{told}");
    };
    refused(engine.pause(&run).await);
    assert!(before.elapsed() < Duration::from_secs(4), "soon: {:?}", before.elapsed());
    refused(engine.resume(&run).await);
    refused(engine.cancel(&run, CancelReason::Requested, true).await);
    assert!(before.elapsed() < Duration::from_secs(10), "soon: {:?}", before.elapsed());
    assert_eq!(requests.dropped.recv().await.expect("the request was dropped"), "a");
    assert_eq!(engine.wait(&run).await.expect("it ends").state, RunState::Cancelled);
    let log = log(&engine, &run).await;
    let (mut paused, mut resumed) = (0, 0);
    for recorded in &log {
        match recorded.event {
            Event::PauseRequested {} => paused += 1,
            Event::Resumed {} => resumed += 1,
            _ => {}
        }
    }
    assert_eq!((paused, resumed), (1, 0), "what was decided is put down, what was not is not: {log:?}");
}
