//! What every journal must do, as checks that any implementation can be put through.
//!
//! ```no_run
//! # async fn example() {
//! use std::sync::Arc;
//! use boathouse::journal::{Journal, MemoryJournal, contract};
//! contract::check_all(async || Arc::new(MemoryJournal::new()) as Arc<dyn Journal>).await;
//! # }
//! ```
//!
//! A check panics with a message that names what was broken. Each check gets an empty journal of its own.
#![expect(clippy::unwrap_used, reason = "a check reports by panicking")]

use std::sync::Arc;
use std::time::Duration;

use boathouse_core::ids::{AgentId, BranchId, CallId, RunId, Seq, ThreadId, Timestamp, WaitId};
use boathouse_core::message::{Finish, Reply, Usage};
use boathouse_core::run::event::{
    CancelReason, Event, OnDisconnect, Outcome, Recorded, RunLimits, RunStarted, RunState, WaitFor,
};
use tokio::task::JoinSet;

use super::{
    Append, Journal, JournalError, Lease, NewRun, NewThread, Notice, OnThread, OpenWait, People, RequestKey,
    Retention, RunQuery, RunRow, Stored, ThreadEnd, ThreadQuery, Turn, WaitQuery, long_ago,
};

/// Runs every check, one after the other. `make` gives a new, empty journal each time.
///
/// # Panics
///
/// When the journal breaks the contract.
pub async fn check_all(make: impl AsyncFn() -> Arc<dyn Journal>) {
    events_come_back_in_order_and_byte_for_byte(make().await).await;
    reading_pages(make().await).await;
    the_row_follows_the_log(make().await).await;
    a_run_is_created_once(make().await).await;
    malformed_events_are_refused(make().await).await;
    a_wrong_seq_is_a_conflict(make().await).await;
    a_claim_voids_older_leases(make().await).await;
    a_lease_is_its_epoch_and_its_id(make().await).await;
    unknown_runs_are_told(make().await).await;
    runs_are_listed_newest_first(make().await).await;
    runs_are_filtered(make().await).await;
    pages_of_runs_join_without_gap(make().await).await;
    unfinished_runs_come_oldest_first(make().await).await;
    a_deleted_run_is_gone(make().await).await;
    crews_are_kept_by_hash(make().await).await;
    crews_that_no_run_uses_can_go(make().await).await;
    a_request_starts_one_run(make().await).await;
    a_request_is_kept_with_its_events(make().await).await;
    of_ended_runs_the_oldest_go_and_live_ones_stay(make().await).await;
    runs_of_a_thread_take_turns(make().await).await;
    a_run_begins_with_what_the_thread_has_then(make().await).await;
    queued_runs_keep_their_order(make().await).await;
    queues_have_an_end(make().await).await;
    a_thread_named_after_a_run_waits_for_it(make().await).await;
    threads_are_listed_newest_first(make().await).await;
    a_deleted_thread_stays_for_those_who_began_on_it(make().await).await;
    threads_without_runs_go_when_they_are_old(make().await).await;
    waits_are_kept_with_their_events(make().await).await;
    waits_are_listed_oldest_first_and_filtered(make().await).await;
    expiries_of_paused_runs_come_soonest_first(make().await).await;
    notices_are_kept_with_their_events_until_they_are_settled(make().await).await;
    appends_to_many_runs_do_not_mix(make().await).await;
    of_appends_to_one_run_exactly_one_wins(make().await).await;
    of_creates_of_one_run_exactly_one_wins(make().await).await;
    a_conflict_fails_only_its_own_run(make().await).await;
    a_dropped_append_happens_whole_or_not_at_all(make().await).await;
    a_closed_journal_says_so(make().await).await;
}

const HASH: &str = "sha256:contract";
const NOON: Timestamp = Timestamp(1_750_000_000_000);

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

fn cancel_requested(seq: u64) -> Arc<Stored> {
    let event = Event::CancelRequested { reason: CancelReason::Requested };
    Arc::new(Stored::new(Recorded { seq: Seq(seq), at: NOON.plus_millis(seq), event }))
}

fn ended(seq: u64) -> Arc<Stored> {
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

async fn create(journal: &dyn Journal, run: NewRun) -> Lease {
    journal.put_crew(HASH, "name: contract\n").await.unwrap();
    journal.create(run).await.unwrap()
}

async fn log(journal: &dyn Journal, run: &str) -> Vec<Arc<Stored>> {
    journal.read(&RunId::from(run), Seq(0), usize::MAX).await.unwrap()
}

async fn row(journal: &dyn Journal, run: &str) -> RunRow {
    journal.run(&RunId::from(run)).await.unwrap().unwrap()
}

async fn listed(journal: &dyn Journal, query: RunQuery) -> Vec<String> {
    let rows = journal.runs(&query).await.unwrap();
    rows.into_iter().map(|row| row.run.to_string()).collect()
}

#[track_caller]
fn assert_conflict<T: std::fmt::Debug>(result: Result<T, JournalError>, why: &str) {
    assert!(matches!(result, Err(JournalError::Conflict(_))), "{why} must be a conflict, is {result:?}");
}

/// Events are read as they were written: same order, same value, same bytes.
pub async fn events_come_back_in_order_and_byte_for_byte(journal: Arc<dyn Journal>) {
    let texts = [
        "plain",
        "",
        "quotes \" ' ` and \\ backslashes \\u0041",
        "lines\nand\r\nreturns\tand \u{1} control \u{7f}",
        "Grüße, 日本語, 🛶, e\u{301}, \u{feff}\u{2028}\u{202e}",
        "a nul \0 inside",
        "{\"json\": [1, 2.50, 1e400]}",
        "$1 ?1 %s -- ; DROP TABLE runs",
        &"long ".repeat(40_000),
    ];
    let lease = create(&*journal, new_run("a")).await;
    let mut written = vec![new_run("a").events.remove(0)];
    for (number, text) in (2..).zip(texts) {
        let event = replied(number, text);
        written.push(event.clone());
        journal.append(append("a", lease, vec![event])).await.unwrap();
    }
    let together: Vec<_> = (0..40)
        .map(|more| replied(written.len() as u64 + 1 + more, texts[more as usize % texts.len()]))
        .collect();
    written.extend(together.iter().cloned());
    journal.append(append("a", lease, together)).await.unwrap();

    let read = log(&*journal, "a").await;
    assert_eq!(read.len(), written.len(), "every event is read");
    for (read, written) in read.iter().zip(&written) {
        assert_eq!(read.json, written.json, "the bytes of event {}", written.recorded.seq);
        assert_eq!(read.recorded, written.recorded, "the value of event {}", written.recorded.seq);
    }
}

/// `read` begins after `after` and stops at `limit`.
pub async fn reading_pages(journal: Arc<dyn Journal>) {
    let lease = create(&*journal, new_run("a")).await;
    journal.append(append("a", lease, (2..=10).map(|seq| replied(seq, "x")).collect())).await.unwrap();
    let page = async |after: u64, limit: usize| -> Vec<u64> {
        let events = journal.read(&RunId::from("a"), Seq(after), limit).await.unwrap();
        events.iter().map(|event| event.recorded.seq.0).collect()
    };
    assert_eq!(page(0, 3).await, [1, 2, 3]);
    assert_eq!(page(3, 4).await, [4, 5, 6, 7]);
    assert_eq!(page(7, 100).await, [8, 9, 10]);
    assert_eq!(page(9, usize::MAX).await, [10]);
    assert_eq!(page(10, 5).await, [0; 0], "nothing after the last event");
    assert_eq!(page(u64::MAX, 5).await, [0; 0], "nothing past the end");
    assert_eq!(page(0, 0).await, [0; 0], "a limit of 0");
}

/// The row shows the state, the last seq and the times of the first and last event.
pub async fn the_row_follows_the_log(journal: Arc<dyn Journal>) {
    let mut new = new_run("a");
    new.state = RunState::Queued;
    new.events.push(replied(2, "x"));
    let lease = create(&*journal, new).await;
    let expected = RunRow {
        run: RunId::from("a"),
        crew: "contract".to_owned(),
        crew_hash: HASH.into(),
        thread: ThreadId::from("thread"),
        state: RunState::Queued,
        seq: Seq(2),
        created_at: NOON,
        updated_at: NOON.plus_millis(2),
    };
    assert_eq!(row(&*journal, "a").await, expected);

    for (seq, state) in (3..).zip([
        RunState::Running,
        RunState::Running,
        RunState::Paused,
        RunState::Running,
        RunState::Completed,
        RunState::Cancelled,
        RunState::Failed,
        RunState::LimitReached,
    ]) {
        let append = Append { state, ..append("a", lease, vec![replied(seq, "x")]) };
        journal.append(append).await.unwrap();
        let expected = RunRow { state, seq: Seq(seq), updated_at: NOON.plus_millis(seq), ..expected.clone() };
        assert_eq!(row(&*journal, "a").await, expected);
        assert_eq!(journal.runs(&RunQuery { limit: 5, ..RunQuery::default() }).await.unwrap(), [expected]);
    }
}

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

/// No events, a first event that is not number 1, or a gap: nothing is written.
pub async fn malformed_events_are_refused(journal: Arc<dyn Journal>) {
    journal.put_crew(HASH, "name: contract\n").await.unwrap();
    for events in [vec![], vec![replied(2, "x")], vec![started(NOON, "hello"), replied(3, "x")]] {
        assert_conflict(journal.create(NewRun { events, ..new_run("a") }).await, "a malformed start");
        assert_eq!(journal.run(&RunId::from("a")).await.unwrap(), None, "nothing is left of it");
        assert_eq!(log(&*journal, "a").await, []);
    }
    let lease = create(&*journal, new_run("a")).await;
    for events in [vec![], vec![replied(2, "x"), replied(4, "x")], vec![replied(2, "x"), replied(2, "x")]] {
        assert_conflict(journal.append(append("a", lease, events)).await, "malformed events");
        assert_eq!(log(&*journal, "a").await.len(), 1, "nothing is left of them");
    }
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

async fn create_at(journal: &dyn Journal, run: &str, at: Timestamp) -> Lease {
    create(journal, NewRun { events: vec![started(at, "hello")], ..new_run(run) }).await
}

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
    journal.put_crew("h1", source).await.unwrap();
    journal.put_crew("h2", "").await.unwrap();
    journal.put_crew("h1", source).await.unwrap();
    assert_eq!(journal.crew("h1").await.unwrap().as_deref(), Some(source));
    assert_eq!(journal.crew("h2").await.unwrap().as_deref(), Some(""));
    assert_eq!(journal.crew("h3").await.unwrap(), None);
}

/// Many runs written at once: each log is whole, in order, and its own.
pub async fn appends_to_many_runs_do_not_mix(journal: Arc<dyn Journal>) {
    const RUNS: usize = 40;
    const APPENDS: u64 = 12;
    journal.put_crew(HASH, "name: contract\n").await.unwrap();
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

/// A source that a run uses, or that is named, stays.
pub async fn crews_that_no_run_uses_can_go(journal: Arc<dyn Journal>) {
    create(&*journal, new_run("a")).await;
    journal.put_crew("served", "name: served").await.unwrap();
    journal.drop_crews(&["served".into()]).await.unwrap();
    assert!(journal.crew(HASH).await.unwrap().is_some(), "a run uses it");
    assert!(journal.crew("served").await.unwrap().is_some(), "it is named");
}

/// The request that starts a run is kept with it, and a second run of it is refused.
pub async fn a_request_starts_one_run(journal: Arc<dyn Journal>) {
    let request = RequestKey::new("POST /a", "k", b"{}");
    let now = long_ago(Duration::ZERO);
    let new = |run: &str| NewRun {
        request: Some(request.clone()),
        events: vec![started(now, "hello")],
        ..new_run(run)
    };
    assert_eq!(journal.request("POST /a", "k").await.unwrap(), None);
    let made = match tokio::join!(journal.create(new("one")), journal.create(new("two"))) {
        (Ok(_), Err(JournalError::Repeated(_))) => "one",
        (Err(JournalError::Repeated(_)), Ok(_)) => "two",
        both => panic!("exactly one is created: {both:?}"),
    };
    let again = journal.create(new("three")).await;
    assert!(matches!(again, Err(JournalError::Repeated(_))), "{again:?}");
    let done = journal.request("POST /a", "k").await.unwrap().unwrap();
    assert_eq!((done.run.as_str(), done.seq, done.body), (made, Seq(1), request.body.clone()));
    assert_eq!(journal.request("POST /b", "k").await.unwrap(), None, "a key counts for its address");
    assert_eq!(listed(&*journal, RunQuery { limit: 9, ..RunQuery::default() }).await, [made]);
    let other = NewRun { request: Some(RequestKey::new("POST /b", "k", b"{}")), ..new("other") };
    journal.create(other).await.unwrap();
}

/// A request is kept with the events that carry it out, and not without them.
pub async fn a_request_is_kept_with_its_events(journal: Arc<dyn Journal>) {
    let lease = create(&*journal, new_run("a")).await;
    let answer = |seq: u64| {
        let event = Recorded { at: long_ago(Duration::ZERO), ..replied(seq, "x").recorded.clone() };
        let requests = vec![RequestKey::new("POST /a/answer", "k", b"yes")];
        Append { requests, ..append("a", lease, vec![Arc::new(Stored::new(event))]) }
    };
    let late = journal.append(answer(3)).await;
    assert!(matches!(late, Err(JournalError::Conflict(_))), "{late:?}");
    assert_eq!(journal.request("POST /a/answer", "k").await.unwrap(), None, "it was not carried out");
    journal.append(answer(2)).await.unwrap();
    let done = journal.request("POST /a/answer", "k").await.unwrap().unwrap();
    assert_eq!((done.run.as_str(), done.seq), ("a", Seq(2)));
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
    journal.put_crew(HASH, "name: contract\n").await.unwrap();
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
}

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
    journal.put_crew(HASH, "name: contract\n").await.unwrap();
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
    journal.put_crew(HASH, "name: contract\n").await.unwrap();
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
        ("put_crew", journal.put_crew("h", "s").await),
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
