//! Many write at once, and some of them go away: each log stays whole.

use std::sync::Arc;

use boathouse_core::ids::{RunId, Seq};
use boathouse_core::run::event::{CancelReason, Event, Recorded};
use tokio::task::JoinSet;

use super::samples::{HASH, NOON, append, assert_conflict, create, log, new_run, replied, row, started};
use crate::journal::{Journal, JournalError, Lease, NewRun, Stored};

/// Many runs written at once: each log is whole, in order, and its own.
pub async fn appends_to_many_runs_do_not_mix(journal: Arc<dyn Journal>) {
    const RUNS: usize = 40;
    const APPENDS: u64 = 12;
    journal.put_crew(HASH, "name: contract\n", None).await.unwrap();
    let mut tasks = JoinSet::new();
    for number in 0..RUNS {
        let journal = journal.clone();
        tasks.spawn(async move {
            let run = format!("run-{number}");
            let lease = journal.create(new_run(&run)).await.unwrap();
            let mut seq = 1;
            for turn in 0..APPENDS {
                let events: Vec<_> = (0..=turn % 3)
                    .map(|_| {
                        seq += 1;
                        replied(seq, &format!("{run} says {seq}"))
                    })
                    .collect();
                journal.append(append(&run, lease, events)).await.unwrap();
                let acknowledged = row(&*journal, &run).await.seq;
                assert_eq!(acknowledged, Seq(seq), "an acknowledged append is seen by the next read");
            }
            (run, seq)
        });
    }
    let mut written = Vec::new();
    while let Some(done) = tasks.join_next().await {
        written.push(done.unwrap());
    }
    for (run, seq) in written {
        let mut expected = vec![started(NOON, "hello")];
        expected.extend((2..=seq).map(|seq| replied(seq, &format!("{run} says {seq}"))));
        assert_eq!(log(&*journal, &run).await, expected, "the log of {run}");
    }
}

/// Of many appends after the same event, one is written and all others conflict.
pub async fn of_appends_to_one_run_exactly_one_wins(journal: Arc<dyn Journal>) {
    let lease = create(&*journal, new_run("a")).await;
    for seq in 2..6 {
        let mut tasks = JoinSet::new();
        for writer in 0..16 {
            let journal = journal.clone();
            tasks.spawn(async move {
                let event = replied(seq, &format!("writer {writer}"));
                (event.clone(), journal.append(append("a", lease, vec![event])).await)
            });
        }
        let mut winner = None;
        while let Some(done) = tasks.join_next().await {
            match done.unwrap() {
                (event, Ok(())) => assert_eq!(winner.replace(event), None, "only one append wins"),
                (_, lost) => assert_conflict(lost, "every other append"),
            }
        }
        assert_eq!(log(&*journal, "a").await.last(), winner.as_ref(), "the winner's event is the one kept");
        assert_eq!(log(&*journal, "a").await.len() as u64, seq);
    }
}

/// Of many runs of one id, one is made and its lease holds.
pub async fn of_creates_of_one_run_exactly_one_wins(journal: Arc<dyn Journal>) {
    journal.put_crew(HASH, "name: contract\n", None).await.unwrap();
    let mut tasks = JoinSet::new();
    for writer in 0..16 {
        let journal = journal.clone();
        tasks.spawn(async move {
            let first = started(NOON, &format!("writer {writer}"));
            (first.clone(), journal.create(NewRun { events: vec![first], ..new_run("a") }).await)
        });
    }
    let mut winner = None;
    while let Some(done) = tasks.join_next().await {
        match done.unwrap() {
            (first, Ok(lease)) => assert!(winner.replace((first, lease)).is_none(), "only one is created"),
            (_, lost) => assert!(matches!(lost, Err(JournalError::Exists(_))), "{lost:?}"),
        }
    }
    let (first, lease) = winner.unwrap();
    assert_eq!(log(&*journal, "a").await, [first]);
    journal.append(append("a", lease, vec![replied(2, "x")])).await.unwrap();
}

/// Writes that fail beside others, at the same moment, leave the others alone.
pub async fn a_conflict_fails_only_its_own_run(journal: Arc<dyn Journal>) {
    journal.put_crew(HASH, "name: contract\n", None).await.unwrap();
    let mut leases = Vec::new();
    for number in 0..30 {
        leases.push(journal.create(new_run(&format!("run-{number}"))).await.unwrap());
    }
    let mut tasks = JoinSet::new();
    for (number, lease) in leases.into_iter().enumerate() {
        let journal = journal.clone();
        tasks.spawn(async move {
            let run = format!("run-{number}");
            match number % 5 {
                0 => assert_conflict(
                    journal.append(append(&run, lease, vec![replied(3, "gap")])).await,
                    "a gap",
                ),
                1 => {
                    let lease = Lease { epoch: lease.epoch + 1, ..lease };
                    let result = journal.append(append(&run, lease, vec![replied(2, "x")])).await;
                    assert_conflict(result, "a forged lease");
                }
                2 => {
                    let result = journal.append(append("nobody", lease, vec![replied(2, "x")])).await;
                    assert!(matches!(result, Err(JournalError::UnknownRun(_))), "{result:?}");
                }
                3 => {
                    let result = journal.create(new_run(&run)).await;
                    assert!(matches!(result, Err(JournalError::Exists(_))), "{result:?}");
                }
                _ => journal.append(append(&run, lease, vec![replied(2, "fine")])).await.unwrap(),
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    for number in 0..30 {
        let expected = if number % 5 == 4 { 2 } else { 1 };
        assert_eq!(log(&*journal, &format!("run-{number}")).await.len(), expected, "events of run-{number}");
    }
}

fn cancel_requested(seq: u64) -> Arc<Stored> {
    let event = Event::CancelRequested { reason: CancelReason::Requested };
    Arc::new(Stored::new(Recorded { seq: Seq(seq), at: NOON.plus_millis(seq), event }))
}

/// A caller that goes away breaks neither its own run nor others.
pub async fn a_dropped_append_happens_whole_or_not_at_all(journal: Arc<dyn Journal>) {
    let mut lease = create(&*journal, new_run("a")).await;
    let other = create(&*journal, new_run("b")).await;
    for round in 0..20 {
        let seq = row(&*journal, "a").await.seq.0;
        let events = vec![cancel_requested(seq + 1), cancel_requested(seq + 2)];
        let mut dropped = journal.append(append("a", lease, events));
        // Polled once, so that it may have been handed over, and then dropped.
        let _ = futures_util::poll!(&mut dropped);
        drop(dropped);
        journal.append(append("b", other, vec![replied(round + 2, "y")])).await.unwrap();
        let (newest, claimed) = journal.claim(&RunId::from("a")).await.unwrap();
        lease = newest;
        let read = log(&*journal, "a").await;
        assert_eq!(read.len() as u64, claimed.seq.0, "the row and the log agree");
        assert!(claimed.seq.0 == seq || claimed.seq.0 == seq + 2, "whole or not at all");
        journal.append(append("a", lease, vec![replied(claimed.seq.0 + 1, "goes on")])).await.unwrap();
    }
}
