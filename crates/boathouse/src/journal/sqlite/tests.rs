//! What only the inside can arrange: a file without room, and a memory too small for a run.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::journal::contract::{self, append, new_run, replied};

async fn open(path: &Path, recent: Option<Recent>, setup: &'static str) -> SqliteJournal {
    let path = schema::make_file(path).unwrap();
    let mut connection = schema::connect(&path).await.unwrap();
    schema::migrate(&mut connection, &path).await.unwrap();
    sqlx::raw_sql(setup).execute(&mut connection).await.unwrap();
    SqliteJournal::on(path, connection, recent, None)
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
    let journal = open(&folder.path().join("a.db"), None, "PRAGMA max_page_count = 100").await;
    let (big, small) = (RunId::from("big"), RunId::from("small"));
    let lease = journal.create(new_run("big")).await.unwrap();
    let other = journal.create(new_run("small")).await.unwrap();
    let text = "x".repeat(20_000);
    let mut written = 1;
    let refused = loop {
        let event = replied(written + 1, &text);
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

    // Both are queued before the writer runs, so they share a transaction, and so its fate.
    let (large, little) = tokio::join!(
        journal.append(append("big", lease, vec![replied(written + 1, &text)])),
        journal.append(append("small", other, vec![replied(2, "y")])),
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
    journal.append(append("small", other, vec![replied(2, &text)])).await.unwrap();
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
