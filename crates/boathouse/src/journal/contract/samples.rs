//! Runs and events of nobody, to put into a journal, and short ways to ask for them.

use std::sync::Arc;

use boathouse_core::ids::{AgentId, BranchId, CallId, RunId, Seq, ThreadId, Timestamp};
use boathouse_core::message::{Finish, Reply, Usage};
use boathouse_core::run::event::{Event, OnDisconnect, Outcome, Recorded, RunLimits, RunStarted, RunState};

use crate::journal::{Append, Journal, JournalError, Lease, NewRun, People, RunQuery, RunRow, Stored};

pub(super) const HASH: &str = "sha256:contract";
pub(super) const NOON: Timestamp = Timestamp(1_750_000_000_000);

/// The first event of a run.
pub fn started(at: Timestamp, input: &str) -> Arc<Stored> {
    let event = Event::RunStarted(Box::new(RunStarted {
        format: boathouse_core::run::event::FORMAT,
        crew: "contract".to_owned(),
        crew_hash: HASH.to_owned(),
        thread: ThreadId::from("thread"),
        input: input.to_owned(),
        history: Vec::new(),
        start_at: None,
        vars: Default::default(),
        metadata: Default::default(),
        limits: RunLimits::default(),
        on_disconnect: OnDisconnect::Continue,
        verbose: false,
        forked_from: None,
        pinned: None,
        queued: None,
    }));
    Arc::new(Stored::new(Recorded { seq: Seq(1), at, event }))
}

/// A reply with a given text, as event `seq`, one millisecond after [`started`]'s for each number.
pub fn replied(seq: u64, text: &str) -> Arc<Stored> {
    let event = Event::ModelReplied {
        call: CallId(seq),
        attempt: 1,
        branch: BranchId::MAIN,
        agent: AgentId::from("writer"),
        reply: Reply { text: text.to_owned(), calls: Vec::new(), usage: None, finish: Finish::Stop },
        took_ms: 12,
    };
    Arc::new(Stored::new(Recorded { seq: Seq(seq), at: NOON.plus_millis(seq), event }))
}

pub(super) fn ended(seq: u64) -> Arc<Stored> {
    let outcome = Outcome::Completed { output: "done".to_owned() };
    let event = Event::RunEnded { outcome, usage: Usage::default() };
    Arc::new(Stored::new(Recorded { seq: Seq(seq), at: NOON.plus_millis(seq), event }))
}

/// A run of one event.
pub fn new_run(run: &str) -> NewRun {
    NewRun {
        run: RunId::from(run),
        crew: "contract".to_owned(),
        crew_hash: HASH.into(),
        thread: ThreadId::from("thread"),
        state: RunState::Running,
        events: vec![started(NOON, "hello")],
        request: None,
        on_thread: None,
        people: People::default(),
    }
}

/// Events for a run in state `running`.
pub fn append(run: &str, lease: Lease, events: Vec<Arc<Stored>>) -> Append {
    Append {
        run: RunId::from(run),
        lease,
        state: RunState::Running,
        events,
        requests: Vec::new(),
        on_thread: None,
        people: People::default(),
    }
}

pub(super) async fn create(journal: &dyn Journal, run: NewRun) -> Lease {
    journal.put_crew(HASH, "name: contract\n", None).await.unwrap();
    journal.create(run).await.unwrap()
}

pub(super) async fn create_at(journal: &dyn Journal, run: &str, at: Timestamp) -> Lease {
    create(journal, NewRun { events: vec![started(at, "hello")], ..new_run(run) }).await
}

pub(super) async fn log(journal: &dyn Journal, run: &str) -> Vec<Arc<Stored>> {
    journal.read(&RunId::from(run), Seq(0), usize::MAX).await.unwrap()
}

pub(super) async fn row(journal: &dyn Journal, run: &str) -> RunRow {
    journal.run(&RunId::from(run)).await.unwrap().unwrap()
}

pub(super) async fn listed(journal: &dyn Journal, query: RunQuery) -> Vec<String> {
    let rows = journal.runs(&query).await.unwrap();
    rows.into_iter().map(|row| row.run.to_string()).collect()
}

#[track_caller]
pub(super) fn assert_conflict<T: std::fmt::Debug>(result: Result<T, JournalError>, why: &str) {
    assert!(matches!(result, Err(JournalError::Conflict(_))), "{why} must be a conflict, is {result:?}");
}
