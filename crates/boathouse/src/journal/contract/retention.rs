//! What a journal forgets, what it must keep, and what it says once it is closed.

use std::sync::Arc;
use std::time::Duration;

use boathouse_core::ids::{RunId, Seq, ThreadId, Timestamp};
use boathouse_core::run::event::{Recorded, RunState};

use super::samples::{HASH, append, assert_conflict, create, create_at, listed, log, new_run, replied};
use super::threads::new_thread;
use crate::journal::{
    Append, Journal, JournalError, Retention, RunQuery, Stored, ThreadQuery, WaitQuery, long_ago,
};

/// Nothing is left of a deleted run, and its id is free.
pub async fn a_deleted_run_is_gone(journal: Arc<dyn Journal>) {
    let lease = create(&*journal, new_run("a")).await;
    let other = create(&*journal, new_run("b")).await;
    journal.append(append("a", lease, vec![replied(2, "x")])).await.unwrap();
    journal.append(append("b", other, vec![replied(2, "y")])).await.unwrap();
    assert!(journal.delete(&RunId::from("a")).await.unwrap());
    assert!(!journal.delete(&RunId::from("a")).await.unwrap(), "there is none any more");
    assert_eq!(journal.run(&RunId::from("a")).await.unwrap(), None);
    assert_eq!(log(&*journal, "a").await, []);
    assert_eq!(listed(&*journal, RunQuery { limit: 9, ..RunQuery::default() }).await, ["b"]);
    assert_eq!(journal.unfinished().await.unwrap(), [RunId::from("b")]);
    let late = journal.append(append("a", lease, vec![replied(3, "late")])).await;
    assert!(matches!(late, Err(JournalError::UnknownRun(_))), "{late:?}");
    assert_eq!(log(&*journal, "b").await.len(), 2, "the other run stays");

    create(&*journal, new_run("a")).await;
    assert_eq!(log(&*journal, "a").await.len(), 1, "no event of the old run shows in the new one");
    assert_conflict(journal.append(append("a", lease, vec![replied(2, "x")])).await, "the old run's lease");
}

/// A crew's source is kept as first put.
pub async fn crews_are_kept_by_hash(journal: Arc<dyn Journal>) {
    let source = "name: größer\nagents: [\"'\\\"\\n]\n";
    journal.put_crew("h1", source, None).await.unwrap();
    journal.put_crew("h2", "", None).await.unwrap();
    journal.put_crew("h1", source, None).await.unwrap();
    assert_eq!(journal.crew("h1").await.unwrap().map(|kept| kept.source).as_deref(), Some(source));
    assert_eq!(journal.crew("h2").await.unwrap().map(|kept| kept.source).as_deref(), Some(""));
    assert_eq!(journal.crew("h3").await.unwrap(), None);

    let dir = async |hash| journal.crew(hash).await.unwrap().unwrap().dir;
    assert_eq!(dir("h1").await, None);
    for (told, kept) in [(Some("/srv/größer"), "/srv/größer"), (None, "/srv/größer"), (Some("/opt"), "/opt")]
    {
        journal.put_crew("h1", "", told).await.unwrap();
        assert_eq!(dir("h1").await.as_deref(), Some(kept), "the last folder that was told");
    }
    assert_eq!(journal.crew("h1").await.unwrap().unwrap().source, source);
}

/// A source that a run uses, or that is named, stays.
pub async fn crews_that_no_run_uses_can_go(journal: Arc<dyn Journal>) {
    create(&*journal, new_run("a")).await;
    journal.put_crew("served", "name: served", None).await.unwrap();
    journal.drop_crews(&["served".into()]).await.unwrap();
    assert!(journal.crew(HASH).await.unwrap().is_some(), "a run uses it");
    assert!(journal.crew("served").await.unwrap().is_some(), "it is named");
}

/// Retention by age and by number.
pub async fn of_ended_runs_the_oldest_go_and_live_ones_stay(journal: Arc<dyn Journal>) {
    let now = long_ago(Duration::ZERO);
    create_at(&*journal, "live", Timestamp(1)).await;
    // In the order in which they end.
    for (run, hours) in [("e", 9), ("a", 5), ("d", 4), ("b", 3), ("c", 3)] {
        let at = Timestamp(now.0 - hours * 3_600_000);
        let lease = create_at(&*journal, run, at).await;
        let event = Recorded { at, ..replied(2, "bye").recorded.clone() };
        let end = append(run, lease, vec![Arc::new(Stored::new(event))]);
        journal.append(Append { state: RunState::Completed, ..end }).await.unwrap();
    }
    let prune = async |hours: u64, runs: usize| {
        let keep = Retention { age: Duration::from_secs(hours * 3600), runs };
        let mut pruned = 0;
        loop {
            match journal.prune(&keep).await.unwrap() {
                0 => return pruned,
                some => pruned += some,
            }
        }
    };
    let left = async || listed(&*journal, RunQuery { limit: 99, ..RunQuery::default() }).await;
    assert_eq!(prune(10, 5).await, 0);
    assert_eq!(prune(8, 5).await, 1, "one is too old");
    assert_eq!(prune(8, 1).await, 3, "three are too many");
    assert_eq!(left().await, ["c", "live"]);
    assert_eq!(log(&*journal, "b").await, []);
    assert_eq!(prune(0, 0).await, 1);
    assert_eq!(left().await, ["live"]);
}

/// After `close` every call fails with `Closed`, and closing again is fine.
pub async fn a_closed_journal_says_so(journal: Arc<dyn Journal>) {
    let lease = create(&*journal, new_run("a")).await;
    journal.check().await.unwrap();
    journal.close().await;
    let run = RunId::from("a");
    let results = [
        ("create", journal.create(new_run("b")).await.map(drop)),
        ("append", journal.append(append("a", lease, vec![replied(2, "x")])).await),
        ("claim", journal.claim(&run).await.map(drop)),
        ("read", journal.read(&run, Seq(0), 1).await.map(drop)),
        ("run", journal.run(&run).await.map(drop)),
        ("runs", journal.runs(&RunQuery { limit: 1, ..RunQuery::default() }).await.map(drop)),
        ("unfinished", journal.unfinished().await.map(drop)),
        ("waits", journal.waits(&WaitQuery::default()).await.map(drop)),
        ("expiries", journal.expiries(1).await.map(drop)),
        ("outbox", journal.outbox(&[], 1).await.map(drop)),
        ("settle_notice", journal.settle_notice("n", None).await),
        ("trim_outbox", journal.trim_outbox(1).await.map(drop)),
        ("delete", journal.delete(&run).await.map(drop)),
        ("put_crew", journal.put_crew("h", "s", None).await),
        ("crew", journal.crew(HASH).await.map(drop)),
        ("next_queued", journal.next_queued(None, 1).await.map(drop)),
        ("thread", journal.thread(&ThreadId::from("t")).await.map(drop)),
        ("threads", journal.threads(&ThreadQuery { limit: 1, ..ThreadQuery::default() }).await.map(drop)),
        ("thread_messages", journal.thread_messages(&ThreadId::from("t"), 0, 1).await.map(drop)),
        ("pinned", journal.pinned(&run, 1).await.map(drop)),
        ("put_thread", journal.put_thread(new_thread("t", &[])).await.map(drop)),
        ("delete_thread", journal.delete_thread(&ThreadId::from("t")).await.map(drop)),
        ("check", journal.check().await),
    ];
    for (method, result) in results {
        assert!(matches!(result, Err(JournalError::Closed)), "{method} after close: {result:?}");
    }
    journal.close().await;
}
