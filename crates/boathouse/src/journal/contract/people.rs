//! What waits for people, and what they are told.

use std::sync::Arc;

use boathouse_core::ids::{AgentId, BranchId, CallId, RunId, ThreadId, Timestamp, WaitId};
use boathouse_core::run::event::{RunState, WaitFor};

use super::samples::{NOON, append, assert_conflict, create, ended, new_run, replied};
use crate::journal::{Append, Journal, NewRun, Notice, OpenWait, People, WaitQuery};

/// A wait for a decision about a call of `tool`, as run `run` would open it.
fn open_wait(run: &str, wait: u32, at: u64, tool: &str, expires_at: Option<Timestamp>) -> OpenWait {
    OpenWait {
        run: RunId::from(run),
        crew: "contract".to_owned(),
        thread: ThreadId::from("thread"),
        wait: WaitId(wait),
        branch: BranchId(0),
        agent: AgentId::from("writer"),
        question: None,
        what: WaitFor::Approval {
            call: CallId(u64::from(wait)),
            tool: tool.to_owned(),
            arguments: serde_json::json!({"quotes": "\" ' \\ \n 🛶", "number": 2.5, "list": [null, true]}),
            digest: "digest".to_owned(),
            expires_at,
        },
        opened_at: NOON.plus_millis(at),
    }
}

fn waiting(waits: Vec<OpenWait>) -> People {
    People { waits: Some(waits), notices: Vec::new() }
}

async fn open_waits(journal: &dyn Journal, query: WaitQuery) -> Vec<OpenWait> {
    journal
        .waits(&WaitQuery { limit: if query.limit == 0 { 99 } else { query.limit }, ..query })
        .await
        .unwrap()
}

/// What a run waits for comes and goes with its events, and with the run.
pub async fn waits_are_kept_with_their_events(journal: Arc<dyn Journal>) {
    let lease = create(&*journal, new_run("a")).await;
    let other = NewRun { people: waiting(vec![open_wait("b", 1, 9, "Send", None)]), ..new_run("b") };
    create(&*journal, other).await;
    let all = async || open_waits(&*journal, WaitQuery::default()).await;
    let question = OpenWait {
        question: Some("which one?".to_owned()),
        what: WaitFor::Answer { schema: Some(serde_json::json!({"type": "string"})) },
        ..open_wait("a", 2, 2, "", None)
    };
    let two = vec![open_wait("a", 1, 1, "Pay", Some(NOON)), question];
    let late = append("a", lease, vec![replied(3, "x")]);
    let late = journal.append(Append { people: waiting(two.clone()), ..late }).await;
    assert_conflict(late, "a wrong seq");
    assert_eq!(all().await, [open_wait("b", 1, 9, "Send", None)], "nothing is kept without its events");

    let opened = append("a", lease, vec![replied(2, "x")]);
    journal.append(Append { people: waiting(two.clone()), ..opened }).await.unwrap();
    assert_eq!(all().await, [&two[..], &[open_wait("b", 1, 9, "Send", None)]].concat());
    journal.append(append("a", lease, vec![replied(3, "nothing changes")])).await.unwrap();
    assert_eq!(all().await.len(), 3);
    let answered = append("a", lease, vec![replied(4, "x")]);
    journal.append(Append { people: waiting(two[1..].to_vec()), ..answered }).await.unwrap();
    assert_eq!(all().await[0], two[1], "the first one is answered");
    let ended = append("a", lease, vec![ended(5)]);
    journal
        .append(Append { state: RunState::Completed, people: waiting(Vec::new()), ..ended })
        .await
        .unwrap();
    assert_eq!(all().await.len(), 1);
    assert!(journal.delete(&RunId::from("b")).await.unwrap());
    assert_eq!(all().await, [], "what a deleted run waited for is gone");
}

/// Pages and filters of what waits.
pub async fn waits_are_listed_oldest_first_and_filtered(journal: Arc<dyn Journal>) {
    for (run, crew, at, tool) in
        [("a", "x", 5, "Pay"), ("b", "x", 1, "Send"), ("c", "y", 5, "Pay"), ("d", "x", 5, "Pay")]
    {
        let wait = |id: u32| OpenWait { crew: crew.to_owned(), ..open_wait(run, id, at, tool, None) };
        let people = waiting(vec![wait(1), wait(2)]);
        create(&*journal, NewRun { crew: crew.to_owned(), people, ..new_run(run) }).await;
    }
    let listed = async |query: WaitQuery| -> Vec<String> {
        open_waits(&*journal, query).await.iter().map(|wait| format!("{}{}", wait.run, wait.wait)).collect()
    };
    let all = ["b1", "b2", "a1", "a2", "c1", "c2", "d1", "d2"];
    assert_eq!(listed(WaitQuery::default()).await, all);
    let (x, pay) = (Some("x".to_owned()), Some("Pay".to_owned()));
    assert_eq!(
        listed(WaitQuery { crew: x.clone(), ..Default::default() }).await,
        ["b1", "b2", "a1", "a2", "d1", "d2"]
    );
    assert_eq!(
        listed(WaitQuery { crew: x, tool: pay, ..Default::default() }).await,
        ["a1", "a2", "d1", "d2"]
    );
    let kind = |kind: &str| WaitQuery { kind: Some(kind.to_owned()), ..Default::default() };
    assert_eq!((listed(kind("approval")).await.len(), listed(kind("answer")).await.len()), (8, 0));
    assert_eq!(
        listed(WaitQuery { tool: Some("' OR 1=1 --".to_owned()), ..Default::default() }).await,
        [""; 0]
    );
    let mut got = Vec::new();
    let mut after = None;
    loop {
        let page = open_waits(&*journal, WaitQuery { after, limit: 3, ..Default::default() }).await;
        let Some(last) = page.last() else { break };
        after = Some(last.place());
        got.extend(page.iter().map(|wait| format!("{}{}", wait.run, wait.wait)));
        assert!(got.len() <= all.len(), "no wait comes twice");
    }
    assert_eq!(got, all);
}

/// Only paused runs are to be woken.
pub async fn expiries_of_paused_runs_come_soonest_first(journal: Arc<dyn Journal>) {
    for (run, state, expires) in [
        ("late", RunState::Paused, Some(9)),
        ("never", RunState::Paused, None),
        ("soon", RunState::Paused, Some(2)),
        ("works", RunState::Running, Some(1)),
    ] {
        let expires_at = expires.map(|at| NOON.plus_millis(at));
        let people = waiting(vec![open_wait(run, 1, 0, "Pay", expires_at)]);
        create(&*journal, NewRun { state, people, ..new_run(run) }).await;
    }
    let expected = [(NOON.plus_millis(2), RunId::from("soon")), (NOON.plus_millis(9), RunId::from("late"))];
    assert_eq!(journal.expiries(9).await.unwrap(), expected);
    assert_eq!(journal.expiries(1).await.unwrap(), expected[..1]);
    let (lease, _) = journal.claim(&RunId::from("soon")).await.unwrap();
    let decided = append("soon", lease, vec![replied(2, "x")]);
    journal.append(Append { people: waiting(Vec::new()), ..decided }).await.unwrap();
    assert_eq!(journal.expiries(9).await.unwrap(), expected[1..]);
}

/// Notices are there if their events are, each once, and go one by one.
pub async fn notices_are_kept_with_their_events_until_they_are_settled(journal: Arc<dyn Journal>) {
    let notice = |id: &str, at: u64| Notice {
        id: id.to_owned(),
        url: "https://example.com/?a='b'".to_owned(),
        run: RunId::from("a"),
        body: "{\"text\":\"\\\" 🛶\"}".to_owned(),
        at: NOON.plus_millis(at),
        attempts: 0,
        next_at: NOON.plus_millis(at),
    };
    let told = |notices: Vec<Notice>| People { waits: None, notices };
    let lease = create(&*journal, NewRun { people: told(vec![notice("one", 1)]), ..new_run("a") }).await;
    let late = append("a", lease, vec![replied(3, "x")]);
    assert_conflict(
        journal.append(Append { people: told(vec![notice("no", 0)]), ..late }).await,
        "a wrong seq",
    );
    let more = append("a", lease, vec![replied(2, "x")]);
    let people = told(vec![notice("three", 3), notice("two", 2)]);
    journal.append(Append { people, ..more }).await.unwrap();
    let outbox = async || journal.outbox(&[], 9).await.unwrap();
    assert_eq!(outbox().await, [notice("one", 1), notice("two", 2), notice("three", 3)]);
    assert_eq!(journal.outbox(&[], 1).await.unwrap().len(), 1);
    let url = notice("one", 1).url;
    assert_eq!(journal.outbox(&["other", &url], 9).await.unwrap(), [], "this address is left out");

    journal.settle_notice("one", Some(NOON.plus_millis(7))).await.unwrap();
    let again = Notice { attempts: 1, next_at: NOON.plus_millis(7), ..notice("one", 1) };
    assert_eq!(outbox().await, [notice("two", 2), notice("three", 3), again.clone()]);
    journal.settle_notice("two", None).await.unwrap();
    journal.settle_notice("nothing", None).await.unwrap();
    assert!(journal.delete(&RunId::from("a")).await.unwrap());
    assert_eq!(outbox().await, [notice("three", 3), again], "what happened is told although the run is gone");
    assert_eq!(journal.trim_outbox(1).await.unwrap(), 1);
    assert_eq!(outbox().await, [notice("three", 3)], "the oldest one went");
    assert_eq!(journal.trim_outbox(1).await.unwrap(), 0);
}
