//! Only whoever has the newest lease, and knows the last event, may write.

use std::sync::Arc;

use boathouse_core::ids::{RunId, Seq};

use super::samples::{NOON, append, assert_conflict, create, log, new_run, replied, row, started};
use crate::journal::{Journal, JournalError, Lease, NewRun};

/// The second run of an id is refused and changes nothing.
pub async fn a_run_is_created_once(journal: Arc<dyn Journal>) {
    let lease = create(&*journal, new_run("a")).await;
    let again = NewRun { events: vec![started(NOON, "other")], crew: "other".to_owned(), ..new_run("a") };
    let refused = journal.create(again).await;
    assert!(matches!(refused, Err(JournalError::Exists(ref run)) if run.as_str() == "a"), "{refused:?}");
    assert_eq!(log(&*journal, "a").await, new_run("a").events);
    assert_eq!(row(&*journal, "a").await.crew, "contract");
    journal.append(append("a", lease, vec![replied(2, "the first lease still holds")])).await.unwrap();
}

/// An append must follow the last event.
pub async fn a_wrong_seq_is_a_conflict(journal: Arc<dyn Journal>) {
    let lease = create(&*journal, new_run("a")).await;
    journal.append(append("a", lease, vec![replied(2, "x")])).await.unwrap();
    for seq in [0, 1, 2, 4, u64::MAX - 1] {
        assert_conflict(journal.append(append("a", lease, vec![replied(seq, "wrong")])).await, "a wrong seq");
    }
    assert_eq!(log(&*journal, "a").await, [started(NOON, "hello"), replied(2, "x")]);
    assert_eq!(row(&*journal, "a").await.seq, Seq(2));
    journal.append(append("a", lease, vec![replied(3, "the lease still holds")])).await.unwrap();
}

/// Whoever claims last may write, and nobody else.
pub async fn a_claim_voids_older_leases(journal: Arc<dyn Journal>) {
    let first = create(&*journal, new_run("a")).await;
    let (second, row) = journal.claim(&RunId::from("a")).await.unwrap();
    assert_eq!(row.seq, Seq(1), "a claim tells where the log ends");
    assert_eq!(second.epoch, first.epoch + 1);
    assert_conflict(journal.append(append("a", first, vec![replied(2, "old")])).await, "a voided lease");
    let (third, _) = journal.claim(&RunId::from("a")).await.unwrap();
    assert_eq!(third.epoch, second.epoch + 1);
    assert!(first.id != second.id && second.id != third.id && first.id != third.id, "fresh ids");
    assert_conflict(journal.append(append("a", second, vec![replied(2, "old")])).await, "a voided lease");
    journal.append(append("a", third, vec![replied(2, "new")])).await.unwrap();
    assert_eq!(log(&*journal, "a").await, [started(NOON, "hello"), replied(2, "new")]);
}

/// The right epoch with a wrong id is no lease, nor is the right id with a wrong epoch.
pub async fn a_lease_is_its_epoch_and_its_id(journal: Arc<dyn Journal>) {
    create(&*journal, new_run("a")).await;
    let (lease, _) = journal.claim(&RunId::from("a")).await.unwrap();
    let forged = Lease { id: uuid::Uuid::now_v7(), ..lease };
    assert_conflict(journal.append(append("a", forged, vec![replied(2, "x")])).await, "a foreign id");
    for epoch in [0, lease.epoch - 1, lease.epoch + 1, u64::MAX] {
        let forged = Lease { epoch, ..lease };
        assert_conflict(journal.append(append("a", forged, vec![replied(2, "x")])).await, "a foreign epoch");
    }
    journal.append(append("a", lease, vec![replied(2, "x")])).await.unwrap();
}

/// What is asked of a run that is not there.
pub async fn unknown_runs_are_told(journal: Arc<dyn Journal>) {
    let lease = create(&*journal, new_run("a")).await;
    let nobody = RunId::from("nobody");
    let appended = journal.append(append("nobody", lease, vec![replied(2, "x")])).await;
    assert!(matches!(appended, Err(JournalError::UnknownRun(ref run)) if *run == nobody), "{appended:?}");
    let claimed = journal.claim(&nobody).await;
    assert!(matches!(claimed, Err(JournalError::UnknownRun(ref run)) if *run == nobody), "{claimed:?}");
    assert_eq!(journal.run(&nobody).await.unwrap(), None);
    assert_eq!(log(&*journal, "nobody").await, []);
    assert!(!journal.delete(&nobody).await.unwrap());
    assert_eq!(journal.crew("nobody").await.unwrap(), None);
}
