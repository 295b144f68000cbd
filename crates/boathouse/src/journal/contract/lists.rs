//! Runs are found: by page, by what they are, and those that must go on.

use std::sync::Arc;

use boathouse_core::ids::{RunId, ThreadId, Timestamp};
use boathouse_core::run::event::RunState;

use super::samples::{NOON, append, create, create_at, ended, listed, new_run, replied, started};
use crate::journal::{Append, Journal, NewRun, RunQuery};

/// Newest first by the first event's time; runs of one time by id, last first.
pub async fn runs_are_listed_newest_first(journal: Arc<dyn Journal>) {
    for (run, at) in [("b", 5), ("d", 1), ("a", 5), ("c", 5), ("e", 9)] {
        create_at(&*journal, run, NOON.plus_millis(at)).await;
    }
    create_at(&*journal, "z", Timestamp(-1)).await;
    let all = RunQuery { limit: 100, ..RunQuery::default() };
    assert_eq!(listed(&*journal, all.clone()).await, ["e", "c", "b", "a", "d", "z"]);
    assert_eq!(listed(&*journal, RunQuery { limit: 2, ..all.clone() }).await, ["e", "c"]);
    assert_eq!(listed(&*journal, RunQuery { limit: 0, ..all }).await, [""; 0]);
}

/// Filters by crew, state and thread, alone and together.
pub async fn runs_are_filtered(journal: Arc<dyn Journal>) {
    for (number, (run, crew, thread, state)) in [
        ("a", "x", "t1", RunState::Running),
        ("b", "x", "t2", RunState::Paused),
        ("c", "y", "t1", RunState::Paused),
        ("d", "x", "t1", RunState::Completed),
        ("e", "x", "t1", RunState::Paused),
    ]
    .into_iter()
    .enumerate()
    {
        let new = NewRun {
            crew: crew.to_owned(),
            thread: ThreadId::from(thread),
            state,
            events: vec![started(NOON.plus_millis(number as u64), "hello")],
            ..new_run(run)
        };
        create(&*journal, new).await;
    }
    let all = RunQuery { limit: 100, ..RunQuery::default() };
    let (x, t1) = (Some("x".to_owned()), Some(ThreadId::from("t1")));
    let paused = Some(RunState::Paused);
    assert_eq!(listed(&*journal, RunQuery { crew: x.clone(), ..all.clone() }).await, ["e", "d", "b", "a"]);
    assert_eq!(listed(&*journal, RunQuery { thread: t1.clone(), ..all.clone() }).await, ["e", "d", "c", "a"]);
    assert_eq!(listed(&*journal, RunQuery { state: paused, ..all.clone() }).await, ["e", "c", "b"]);
    let query = RunQuery { crew: x.clone(), state: paused, ..all.clone() };
    assert_eq!(listed(&*journal, query).await, ["e", "b"]);
    let query = RunQuery { crew: x.clone(), state: paused, thread: t1.clone(), ..all.clone() };
    assert_eq!(listed(&*journal, query).await, ["e"]);
    let before = Some((NOON.plus_millis(4), RunId::from("e")));
    let query = RunQuery { crew: x, thread: t1, before, limit: 1, ..all.clone() };
    assert_eq!(listed(&*journal, query).await, ["d"]);
    let query = RunQuery { crew: Some("' OR 1=1 --".to_owned()), ..all };
    assert_eq!(listed(&*journal, query).await, [""; 0]);
}

/// Page after page by cursor gives every run once, also where many have the same time.
pub async fn pages_of_runs_join_without_gap(journal: Arc<dyn Journal>) {
    let mut expected = Vec::new();
    for at in 0..4 {
        for name in 0..7 {
            let run = format!("run-{name}");
            create_at(&*journal, &format!("{run}-{at}"), NOON.plus_millis(at / 2)).await;
            expected.push((at / 2, format!("{run}-{at}")));
        }
    }
    expected.sort();
    expected.reverse();
    let mut got = Vec::new();
    let mut before = None;
    loop {
        let query = RunQuery { before, limit: 3, ..RunQuery::default() };
        let page = journal.runs(&query).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some((last.created_at, last.run.clone()));
        got.extend(page.into_iter().map(|row| row.run.to_string()));
        assert!(got.len() <= expected.len(), "no run comes twice");
    }
    assert_eq!(got, expected.into_iter().map(|(_, run)| run).collect::<Vec<_>>());
}

/// Only queued and running runs are unfinished.
pub async fn unfinished_runs_come_oldest_first(journal: Arc<dyn Journal>) {
    for (run, at, state) in [
        ("late", 9, RunState::Running),
        ("b", 5, RunState::Queued),
        ("a", 5, RunState::Running),
        ("early", 1, RunState::Running),
        ("paused", 0, RunState::Paused),
        ("completed", 0, RunState::Completed),
        ("cancelled", 0, RunState::Cancelled),
        ("failed", 0, RunState::Failed),
        ("limit", 0, RunState::LimitReached),
    ] {
        let events = vec![started(NOON.plus_millis(at), "hello")];
        create(&*journal, NewRun { state, events, ..new_run(run) }).await;
    }
    let unfinished = async || -> Vec<String> {
        journal.unfinished().await.unwrap().iter().map(RunId::to_string).collect()
    };
    assert_eq!(unfinished().await, ["early", "a", "late"], "queued runs wait for their turn");

    let (lease, _) = journal.claim(&RunId::from("a")).await.unwrap();
    let end = Append { state: RunState::Completed, ..append("a", lease, vec![ended(2)]) };
    journal.append(end).await.unwrap();
    let (lease, _) = journal.claim(&RunId::from("paused")).await.unwrap();
    journal.append(append("paused", lease, vec![replied(2, "goes on")])).await.unwrap();
    assert_eq!(unfinished().await, ["paused", "early", "late"]);
}
