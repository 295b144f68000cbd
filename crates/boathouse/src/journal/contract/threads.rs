//! Runs of a thread take turns, and leave their messages behind for those that come after.

use std::sync::Arc;
use std::time::Duration;

use boathouse_core::ids::{RunId, ThreadId, Timestamp};
use boathouse_core::run::event::RunState;
use tokio::task::JoinSet;

use super::samples::{HASH, NOON, append, assert_conflict, create, ended, new_run, replied};
use crate::journal::{
    Append, Journal, JournalError, Lease, NewRun, NewThread, OnThread, Retention, ThreadEnd, ThreadQuery,
    Turn, long_ago,
};

/// A thread with these messages.
pub fn new_thread(thread: &str, messages: &[&str]) -> NewThread {
    NewThread {
        thread: ThreadId::from(thread),
        crew: "contract".to_owned(),
        messages: texts(messages),
        summary: None,
        at: NOON,
    }
}

fn texts(messages: &[&str]) -> Vec<bytes::Bytes> {
    messages.iter().map(|text| bytes::Bytes::from(format!("{{\"text\":{text:?}}}"))).collect()
}

fn on_thread(thread: &str, turn: Turn) -> Option<OnThread> {
    Some(OnThread { thread: ThreadId::from(thread), turn: Some(turn), end: None })
}

/// A run that begins on a thread after so many messages.
fn begins(run: &str, thread: &str, messages: usize) -> NewRun {
    let on_thread = on_thread(thread, Turn::Begin { messages, ahead: false });
    NewRun { thread: ThreadId::from(thread), on_thread, ..new_run(run) }
}

/// A run that waits on a thread.
fn waits(run: &str, thread: &str) -> NewRun {
    let on_thread = on_thread(thread, Turn::Queue { on_thread: 3, in_all: 5 });
    NewRun { thread: ThreadId::from(thread), state: RunState::Queued, on_thread, ..new_run(run) }
}

/// The end of a run of one event, which leaves these messages behind.
fn leaves(run: &str, lease: Lease, thread: &str, messages: &[&str]) -> Append {
    let end = Some(ThreadEnd { messages: texts(messages), summary: None });
    let on_thread = Some(OnThread { thread: ThreadId::from(thread), turn: None, end });
    Append { state: RunState::Completed, on_thread, ..append(run, lease, vec![ended(2)]) }
}

/// The begin of a queued run of one event.
fn turn(run: &str, lease: Lease, thread: &str, messages: usize) -> Append {
    let on_thread = on_thread(thread, Turn::Begin { messages, ahead: false });
    Append { on_thread, ..append(run, lease, vec![replied(2, "begun")]) }
}

async fn next(journal: &dyn Journal, thread: Option<&str>) -> Vec<String> {
    let thread = thread.map(ThreadId::from);
    let next = journal.next_queued(thread.as_ref(), 99).await.unwrap();
    next.into_iter().map(|next| next.run.to_string()).collect()
}

async fn messages(journal: &dyn Journal, thread: &str) -> Vec<bytes::Bytes> {
    journal.thread_messages(&ThreadId::from(thread), 0, usize::MAX).await.unwrap()
}

#[track_caller]
fn assert_busy<T: std::fmt::Debug>(result: Result<T, JournalError>, why: &str) {
    assert!(
        matches!(result, Err(JournalError::ThreadBusy(_))),
        "{why} must find the thread busy: {result:?}"
    );
}

/// A run has the turn until it ends; what it leaves behind is there at once, in order.
pub async fn runs_of_a_thread_take_turns(journal: Arc<dyn Journal>) {
    let lease = create(&*journal, begins("a", "t", 0)).await;
    let row = journal.thread(&ThreadId::from("t")).await.unwrap().unwrap();
    assert_eq!((row.crew.as_str(), row.messages, row.queued), ("contract", 0, 0));
    assert_eq!(row.active, Some(RunId::from("a")));
    assert_busy(journal.create(begins("b", "t", 0)).await, "a second run");
    assert_eq!(journal.run(&RunId::from("b")).await.unwrap(), None, "nothing is left of it");
    create(&*journal, begins("other", "u", 0)).await;

    let late = Append { lease: Lease { epoch: 9, ..lease }, ..leaves("a", lease, "t", &["x"]) };
    assert_conflict(journal.append(late).await, "an end with a wrong lease");
    assert_eq!(messages(&*journal, "t").await, texts(&[]), "nothing is left of it");
    journal.append(leaves("a", lease, "t", &["one", "two \" \u{0} 🛶"])).await.unwrap();
    assert_eq!(messages(&*journal, "t").await, texts(&["one", "two \" \u{0} 🛶"]));
    let row = journal.thread(&ThreadId::from("t")).await.unwrap().unwrap();
    assert_eq!((row.active, row.messages), (None, 2));

    let lease = create(&*journal, begins("b", "t", 2)).await;
    journal.append(leaves("b", lease, "t", &["three"])).await.unwrap();
    assert_eq!(messages(&*journal, "t").await.len(), 3);
    let page = journal.thread_messages(&ThreadId::from("t"), 1, 1).await.unwrap();
    assert_eq!(page, texts(&["two \" \u{0} 🛶"]));
    assert_eq!(journal.pinned(&RunId::from("b"), 2).await.unwrap().len(), 2);
    assert_eq!(messages(&*journal, "nobody").await, texts(&[]));
}

/// Who has pinned another number of messages than there are, or is of another crew, does not begin.
pub async fn a_run_begins_with_what_the_thread_has_then(journal: Arc<dyn Journal>) {
    assert!(journal.put_thread(new_thread("t", &["one", "two"])).await.unwrap());
    assert!(!journal.put_thread(new_thread("t", &[])).await.unwrap(), "there is one");
    journal.put_crew(HASH, "name: contract\n", None).await.unwrap();
    for wrong in [0, 1, 3] {
        assert_busy(journal.create(begins("a", "t", wrong)).await, "a stale begin");
    }
    assert_busy(
        journal.create(NewRun { crew: "other".to_owned(), ..begins("a", "t", 2) }).await,
        "another crew",
    );
    let mut tasks = JoinSet::new();
    for run in ["a", "b", "c", "d"] {
        let journal = journal.clone();
        tasks.spawn(async move { journal.create(begins(run, "t", 2)).await });
    }
    let mut begun = 0;
    while let Some(task) = tasks.join_next().await {
        match task.unwrap() {
            Ok(_) => begun += 1,
            lost => assert_busy(lost, "every other begin"),
        }
    }
    assert_eq!(begun, 1, "of many that begin at once one does");
}

/// The first on each thread on which nobody has the turn comes next, in the order in which they were queued.
pub async fn queued_runs_keep_their_order(journal: Arc<dyn Journal>) {
    let first = create(&*journal, begins("a1", "a", 0)).await;
    for (run, thread) in [("a2", "a"), ("b1", "b"), ("a3", "a"), ("b2", "b")] {
        create(&*journal, waits(run, thread)).await;
    }
    assert_eq!(next(&*journal, None).await, ["b1"], "a thread that was made for a queued run is free");
    assert_eq!(journal.unfinished().await.unwrap(), [RunId::from("a1")], "queued runs are not at work");
    let row = journal.thread(&ThreadId::from("a")).await.unwrap().unwrap();
    assert_eq!((row.active, row.queued), (Some(RunId::from("a1")), 2));
    let (lease, _) = journal.claim(&RunId::from("a2")).await.unwrap();
    assert_busy(journal.append(turn("a2", lease, "a", 0)).await, "a begin before its turn");

    journal.append(leaves("a1", first, "a", &["one"])).await.unwrap();
    assert_eq!(next(&*journal, None).await, ["a2", "b1"]);
    assert_eq!(next(&*journal, Some("a")).await, ["a2"]);
    assert_eq!(next(&*journal, Some("c")).await, [""; 0]);
    assert_busy(journal.create(begins("a4", "a", 1)).await, "who comes later");
    let (late, _) = journal.claim(&RunId::from("a3")).await.unwrap();
    assert_busy(journal.append(turn("a3", late, "a", 1)).await, "who is second");

    assert_busy(journal.append(turn("a2", lease, "a", 0)).await, "who has pinned too little");
    journal.append(turn("a2", lease, "a", 1)).await.unwrap();
    assert_eq!(next(&*journal, None).await, ["b1"]);
    assert_eq!(journal.pinned(&RunId::from("a2"), 1).await.unwrap(), texts(&["one"]));
    let ends = Append { events: vec![ended(3)], ..leaves("a2", lease, "a", &["two"]) };
    journal.append(ends).await.unwrap();

    let ahead = on_thread("a", Turn::Begin { messages: 2, ahead: true });
    create(&*journal, NewRun { on_thread: ahead, ..begins("a5", "a", 2) }).await;
    assert_eq!(next(&*journal, None).await, ["b1"], "it went before those who wait");
    let cancelled = Append { state: RunState::Cancelled, ..append("a3", late, vec![ended(2)]) };
    journal.append(cancelled).await.unwrap();
    assert_eq!(journal.thread(&ThreadId::from("a")).await.unwrap().unwrap().queued, 0);
    assert!(journal.delete(&RunId::from("b1")).await.unwrap());
    assert_eq!(next(&*journal, None).await, ["b2"], "who is gone does not hold up the others");
}

/// Three on a thread and five in all, as the runs here say.
pub async fn queues_have_an_end(journal: Arc<dyn Journal>) {
    for run in ["a1", "a2", "a3"] {
        create(&*journal, waits(run, "a")).await;
    }
    let full = journal.create(waits("a4", "a")).await;
    assert!(matches!(full, Err(JournalError::ThreadQueueFull(_))), "{full:?}");
    create(&*journal, waits("b1", "b")).await;
    // A run that shares no thread waits for room only.
    create(&*journal, waits("c", "c")).await;
    assert_eq!(journal.thread(&ThreadId::from("c")).await.unwrap(), None, "its thread is its own");
    let full = journal.create(waits("d1", "d")).await;
    assert!(matches!(full, Err(JournalError::QueueFull)), "{full:?}");
    let (lease, _) = journal.claim(&RunId::from("c")).await.unwrap();
    journal.append(append("c", lease, vec![replied(2, "begun")])).await.unwrap();
    let both = tokio::join!(journal.create(waits("d1", "d")), journal.create(waits("e1", "e")));
    match both {
        (Ok(_), Err(JournalError::QueueFull)) | (Err(JournalError::QueueFull), Ok(_)) => {}
        both => panic!("there is room for one: {both:?}"),
    }
}

/// A run without a thread has one of its own id, which others can go on with once it has ended and the thread was made.
pub async fn a_thread_named_after_a_run_waits_for_it(journal: Arc<dyn Journal>) {
    let lease = create(&*journal, NewRun { thread: ThreadId::from("a"), ..new_run("a") }).await;
    assert_busy(journal.create(begins("b", "a", 0)).await, "who begins beside it");
    create(&*journal, waits("b", "a")).await;
    assert_eq!(journal.thread(&ThreadId::from("a")).await.unwrap(), None);
    assert_eq!(next(&*journal, None).await, [""; 0], "the run has not ended");
    let end = Append { state: RunState::Completed, ..append("a", lease, vec![ended(2)]) };
    journal.append(end).await.unwrap();
    assert_eq!(next(&*journal, None).await, ["b"]);
    let (lease, _) = journal.claim(&RunId::from("b")).await.unwrap();
    assert_busy(journal.append(turn("b", lease, "a", 0)).await, "before the thread is made");
    assert!(journal.put_thread(new_thread("a", &["one"])).await.unwrap());
    journal.append(turn("b", lease, "a", 1)).await.unwrap();
}

/// Newest first, by crew, a page at a time.
pub async fn threads_are_listed_newest_first(journal: Arc<dyn Journal>) {
    for (thread, crew, at) in [("b", "x", 5), ("d", "y", 1), ("a", "x", 5), ("e", "y", 9)] {
        let new = NewThread {
            crew: crew.to_owned(),
            at: NOON.plus_millis(at),
            summary: Some(boathouse_core::run::event::Summary { messages: 0, text: "so far".to_owned() }),
            ..new_thread(thread, &[])
        };
        assert!(journal.put_thread(new).await.unwrap());
    }
    let listed = async |query: ThreadQuery| -> Vec<String> {
        let rows = journal.threads(&query).await.unwrap();
        rows.iter().map(|row| row.thread.to_string()).collect()
    };
    let all = ThreadQuery { limit: 9, ..ThreadQuery::default() };
    assert_eq!(listed(all.clone()).await, ["e", "b", "a", "d"]);
    let before = Some((NOON.plus_millis(5), ThreadId::from("b")));
    assert_eq!(listed(ThreadQuery { before, limit: 1, ..all.clone() }).await, ["a"]);
    assert_eq!(listed(ThreadQuery { crew: Some("y".to_owned()), ..all }).await, ["e", "d"]);
    let row = journal.thread(&ThreadId::from("a")).await.unwrap().unwrap();
    assert_eq!(row.summary.map(|summary| summary.text).as_deref(), Some("so far"));
}

/// Deleting a thread breaks no run that pins its messages, and frees its id.
pub async fn a_deleted_thread_stays_for_those_who_began_on_it(journal: Arc<dyn Journal>) {
    let thread = ThreadId::from("t");
    journal.put_thread(new_thread("t", &["one"])).await.unwrap();
    let lease = create(&*journal, begins("a", "t", 1)).await;
    assert_busy(journal.delete_thread(&thread).await, "a delete");
    journal.append(leaves("a", lease, "t", &["two"])).await.unwrap();
    create(&*journal, waits("b", "t")).await;
    assert_busy(journal.delete_thread(&thread).await, "a delete while somebody waits");
    assert!(journal.delete(&RunId::from("b")).await.unwrap());
    assert!(journal.delete_thread(&thread).await.unwrap());
    assert!(!journal.delete_thread(&thread).await.unwrap(), "there is none any more");
    assert_eq!(journal.thread(&thread).await.unwrap(), None);
    assert_eq!(messages(&*journal, "t").await, texts(&[]));
    create(&*journal, begins("c", "t", 0)).await;
    assert_eq!(journal.pinned(&RunId::from("a"), 1).await.unwrap(), texts(&["one"]));
    assert_eq!(journal.pinned(&RunId::from("c"), 1).await.unwrap(), texts(&[]));
}

/// A thread outlives its runs, until it is old itself; one that was deleted goes with the last of them.
pub async fn threads_without_runs_go_when_they_are_old(journal: Arc<dyn Journal>) {
    let now = long_ago(Duration::ZERO);
    let keep = |hours: u64, runs: usize| Retention { age: Duration::from_secs(hours * 3600), runs };
    for (thread, hours) in [("old", 9), ("new", 1)] {
        let at = Timestamp(now.0 - hours * 3_600_000);
        journal.put_thread(NewThread { at, ..new_thread(thread, &["one"]) }).await.unwrap();
    }
    let lease = create(&*journal, begins("a", "used", 0)).await;
    journal.append(leaves("a", lease, "used", &["one"])).await.unwrap();
    while journal.prune(&keep(1_000_000, 99)).await.unwrap() > 0 {}
    let left = async || -> Vec<String> {
        let rows = journal.threads(&ThreadQuery { limit: 9, ..ThreadQuery::default() }).await.unwrap();
        let mut left: Vec<String> = rows.iter().map(|row| row.thread.to_string()).collect();
        left.sort();
        left
    };
    assert_eq!(left().await, ["new", "old", "used"]);
    while journal.prune(&keep(2, 99)).await.unwrap() > 0 {}
    assert_eq!(left().await, ["new"], "the run on `used` ended long ago, and its thread went after it");
    create(&*journal, begins("b", "busy", 0)).await;
    while journal.prune(&keep(0, 0)).await.unwrap() > 0 {}
    assert_eq!(left().await, ["busy"], "a thread on which a run is at work stays");
    assert!(journal.put_thread(new_thread("wanted", &["one"])).await.unwrap());
    create(&*journal, waits("w", "wanted")).await;
    while journal.prune(&keep(0, 0)).await.unwrap() > 0 {}
    assert_eq!(left().await, ["busy", "wanted"], "so does one for which a run waits");
    assert_eq!(messages(&*journal, "wanted").await, texts(&["one"]));
}
