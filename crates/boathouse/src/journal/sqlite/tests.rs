//! What only the inside can arrange: a file without room, and a memory too small for a run.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::journal::contract::{self, append, new_run, replied};
use sqlx::Connection;

async fn open(path: &Path, recent: Option<Recent>, setup: &'static str) -> SqliteJournal {
    let path = schema::make_file(path).unwrap();
    let mut connection = schema::connect(&path).await.unwrap();
    schema::migrate(&mut connection, &path).await.unwrap();
    sqlx::raw_sql(setup).execute(&mut connection).await.unwrap();
    SqliteJournal::on(path, connection, recent, None).expect("it starts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract_whatever_is_still_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    for bytes in [0, 3_000, 20_000] {
        let number = std::sync::atomic::AtomicU32::new(0);
        contract::check_all(async || {
            let number = number.fetch_add(1, Ordering::Relaxed);
            let path = folder.path().join(format!("{bytes}-{number}.db"));
            Arc::new(open(&path, Some(Recent::keeping(bytes)), "").await) as Arc<dyn Journal>
        })
        .await;
    }
}

#[tokio::test]
async fn a_full_disk_refuses_whole_batches_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let journal = open(&path, None, "PRAGMA max_page_count = 100").await;
    let (big, small) = (RunId::from("big"), RunId::from("small"));
    let lease = journal.create(new_run("big")).await.unwrap();
    let other = journal.create(new_run("small")).await.unwrap();
    // Long texts that are equal are kept once, so each is its own.
    let number = std::cell::Cell::new(0);
    let text = || {
        number.set(number.get() + 1);
        format!("{}{}", number.get(), "x".repeat(20_000))
    };
    let mut written = 1;
    let refused = loop {
        let event = replied(written + 1, &text());
        match journal.append(append("big", lease, vec![event])).await {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 100, "the file has room for few events");
    };
    assert!(
        matches!(refused, JournalError::Unavailable(ref why) if why.contains("full")),
        "the cause is named: {refused:?}"
    );

    // Both are queued before anything can be written, so they share a transaction, and so its fate.
    let mut holder = schema::connect(&path).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut holder).await.unwrap();
    let (_, large, little, ()) = tokio::join!(
        journal.check(),
        journal.append(append("big", lease, vec![replied(written + 1, &text())])),
        journal.append(append("small", other, vec![replied(2, "y")])),
        async { holder.close().await.unwrap() },
    );
    assert!(matches!(large, Err(JournalError::Unavailable(_))), "{large:?}");
    assert!(matches!(little, Err(JournalError::Unavailable(_))), "{little:?}");
    assert_eq!(journal.read(&small, Seq(0), 9).await.unwrap().len(), 1, "nothing is half-written");
    assert_eq!(journal.read(&big, Seq(0), 999).await.unwrap().len() as u64, written);
    assert_eq!(journal.run(&big).await.unwrap().unwrap().seq, Seq(written));

    let check = journal.check().await;
    assert!(matches!(check, Err(JournalError::Unavailable(ref why)) if why.contains("full")), "{check:?}");

    assert!(journal.delete(&big).await.unwrap(), "making room is possible");
    journal.check().await.unwrap();
    journal.append(append("small", other, vec![replied(2, &text())])).await.unwrap();
    assert_eq!(journal.read(&small, Seq(0), 9).await.unwrap().len(), 2);
    journal.close().await;
}

#[tokio::test]
async fn one_broken_run_does_not_fail_the_runs_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder.path().join("a.db"), None, "").await;
    let broken = journal.create(new_run("broken")).await.unwrap();
    let sound = journal.create(new_run("sound")).await.unwrap();
    let mut other = schema::connect(journal.path()).await.unwrap();
    sqlx::raw_sql("INSERT INTO events SELECT key, 2, 'not ours' FROM runs WHERE id = 'broken'")
        .execute(&mut other)
        .await
        .unwrap();
    let (refused, written) = tokio::join!(
        journal.append(append("broken", broken, vec![replied(2, "x")])),
        journal.append(append("sound", sound, vec![replied(2, "x")])),
    );
    assert!(matches!(refused, Err(JournalError::Corrupt(_))), "{refused:?}");
    written.unwrap();
    journal.close().await;
}

/// Rows of the table of long texts, and of their places.
async fn blobs(journal: &SqliteJournal) -> (i64, i64) {
    let mut connection = schema::connect(journal.path()).await.unwrap();
    let row = sqlx::query("SELECT (SELECT count(*) FROM blobs), (SELECT count(*) FROM blob_places)")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    (row.get(0), row.get(1))
}

/// A run of the input, with a reply of each text.
async fn talk(journal: &SqliteJournal, run: &str, input: &str, replies: &[&str]) -> Vec<Arc<Stored>> {
    let mut events = vec![contract::started(Timestamp(1_750_000_000_000), input)];
    events.extend((2..).zip(replies).map(|(seq, text)| replied(seq, text)));
    let (first, rest) = events.split_first().unwrap();
    let new = NewRun { events: vec![first.clone()], ..new_run(run) };
    let lease = journal.create(new).await.unwrap();
    if !rest.is_empty() {
        journal.append(append(run, lease, rest.to_vec())).await.unwrap();
    }
    events
}

#[tokio::test]
async fn long_texts_are_kept_once_and_go_with_the_last_run_that_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder.path().join("a.db"), None, "").await;
    let (long, other) = ("wide \"and\" länger\n".repeat(1_000), "other".repeat(5_000));
    let ask = talk(&journal, "ask", &long, &["short", &other, &long]).await;
    let same = talk(&journal, "same", &long, &["short"]).await;
    assert_eq!(blobs(&journal).await, (2, 4));
    for (run, written) in [("ask", &ask), ("same", &same)] {
        let read = journal.read(&RunId::from(run), Seq(0), 99).await.unwrap();
        assert_eq!(&read, written, "byte for byte");
    }
    let page = journal.read(&RunId::from("ask"), Seq(1), 2).await.unwrap();
    assert_eq!(page, ask[1..3], "a limit counts events, not texts");

    assert!(journal.delete(&RunId::from("ask")).await.unwrap());
    assert_eq!(blobs(&journal).await, (1, 1), "what another run has stays");
    assert_eq!(journal.read(&RunId::from("same"), Seq(0), 99).await.unwrap(), same);
    assert!(journal.delete(&RunId::from("same")).await.unwrap());
    assert_eq!(blobs(&journal).await, (0, 0), "nothing is left behind");
    journal.close().await;
}

#[tokio::test]
async fn an_append_that_is_refused_leaves_no_text_behind() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder.path().join("a.db"), None, "").await;
    let lease = journal.create(new_run("a")).await.unwrap();
    let stale = Lease { epoch: 9, ..lease };
    let long = "x".repeat(blobs::LONG);
    let refused = journal.append(append("a", stale, vec![replied(2, &long)])).await;
    assert!(matches!(refused, Err(JournalError::Conflict(_))), "{refused:?}");
    let again = NewRun { events: vec![contract::started(Timestamp(0), &long)], ..new_run("a") };
    assert!(matches!(journal.create(again).await, Err(JournalError::Exists(_))));
    assert_eq!(blobs(&journal).await, (0, 0));
    journal.close().await;
}

#[tokio::test]
async fn a_long_text_that_is_gone_is_reported_with_its_event() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder.path().join("a.db"), None, "").await;
    talk(&journal, "a", "hello", &[&"x".repeat(blobs::LONG)]).await;
    let mut other = schema::connect(journal.path()).await.unwrap();
    sqlx::raw_sql("PRAGMA foreign_keys = OFF; DELETE FROM blobs").execute(&mut other).await.unwrap();
    let read = journal.read(&RunId::from("a"), Seq(0), 9).await;
    assert!(
        matches!(&read, Err(JournalError::Corrupt(why)) if why == "event 2 of run a: one of its texts is missing"),
        "{read:?}"
    );
    journal.close().await;
}
