//! Conversations: runs of a thread share a history and take turns, whatever happens in between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use boathouse::core::ids::{RunId, Seq, ThreadId};
use boathouse::core::message::{Author, Message};
use boathouse::core::run::event::{
    CancelReason, Event, OnDisconnect, Outcome, QueuedFor, Recorded, RunState,
};
use boathouse::engine::{CommandError, Engine, StartError, StartRun, WhenBusy};
use boathouse::journal::{
    Journal, JournalError, MemoryJournal, NewRun, NewThread, OnThread, RunQuery, Stored, Turn,
};
use boathouse::provider::Providers;
use tokio::task::JoinSet;

use super::support::*;

const HI: &str = "rules: [{ reply: hi }]";

fn on(thread: &str, input: &str, when_busy: WhenBusy) -> StartRun {
    StartRun { input: input.to_owned(), thread: Some(thread.into()), when_busy, ..start("one") }
}

async fn said(engine: &Engine, thread: &str) -> Vec<String> {
    let messages = engine.thread_messages(&thread.into(), 0, usize::MAX).await.expect("it can be read");
    messages.iter().map(Message::content).collect()
}

pub(super) async fn state(engine: &Engine, run: &RunId) -> RunState {
    engine.run(run).await.expect("it can be read").expect("there is one").state
}

fn pinned(log: &[Recorded]) -> Option<usize> {
    log.iter().find_map(|recorded| match &recorded.event {
        Event::RunStarted(started) => started.pinned.as_ref().map(|pinned| pinned.messages),
        Event::Begun { pinned } => pinned.as_ref().map(|pinned| pinned.messages),
        _ => None,
    })
}

/// An engine whose one agent waits to be let go.
async fn held(journal: impl Journal) -> (World, Engine, Held, Requests) {
    let world = World::new();
    let (held, requests) = Held::new();
    let providers = Providers::new().with("scripted", Arc::new(held.clone()));
    let engine = world.engine_with(journal, providers, ONE, HI).await;
    (world, engine, held, requests)
}

#[tokio::test]
async fn a_run_goes_on_with_what_was_said_on_its_thread() {
    let world = World::new();
    let engine = world.engine(ONE, r#"rules: [{ when: two, reply: "second" }, { reply: "first" }]"#).await;
    let first = engine.start(on("t", "one", WhenBusy::Reject)).await.expect("it starts");
    engine.wait(&first).await.expect("it ends");
    let second = engine.start(on("t", "two", WhenBusy::Reject)).await.expect("it starts");
    engine.wait(&second).await.expect("it ends");
    assert_eq!(said(&engine, "t").await, ["one", "first", "two", "second"]);
    assert_eq!(pinned(&log(&engine, &second).await), Some(2), "what was said before is not in the log");
    let thread = engine.thread(&"t".into()).await.expect("it can be read").expect("there is one");
    assert_eq!((thread.crew.as_str(), thread.messages, thread.is_busy()), ("one", 4, false));

    let mut with_history = on("t", "three", WhenBusy::Reject);
    with_history.history = vec![Message::text(Author::User, "other")];
    let refused = engine.start(with_history).await.expect_err("the thread has a history");
    assert!(matches!(refused, StartError::HistoryOnThread(_)), "{refused}");
    engine.add_crew(load(LINE, LINE_SCRIPT, &world.catalog())).await.expect("it is served");
    let mut other = on("t", "three", WhenBusy::Reject);
    other.crew = "line".to_owned();
    let refused = engine.start(other).await.expect_err("it is another crew's");
    assert_eq!(refused.to_string(), "thread t belongs to crew `one`");
}

#[tokio::test]
async fn a_thread_that_is_made_begins_with_its_messages() {
    let world = World::new();
    let engine = world.engine(ONE, HI).await;
    let before = [Message::text(Author::User, "hello"), Message::text(Author::Agent(None), "there")];
    let made = engine.create_thread("one", Some("t".into()), &before).await.expect("it is made");
    assert_eq!(made.messages, 2);
    let again = engine.create_thread("one", Some("t".into()), &[]).await.expect_err("there is one");
    assert_eq!(again.to_string(), "thread t exists already");
    let unknown = engine.create_thread("ones", None, &[]).await.expect_err("there is no such crew");
    assert!(unknown.to_string().contains("did you mean `one`"), "{unknown}");
    let run = engine.start(on("t", "and now?", WhenBusy::Reject)).await.expect("it starts");
    engine.wait(&run).await.expect("it ends");
    assert_eq!(said(&engine, "t").await, ["hello", "there", "and now?", "hi"]);
}

#[tokio::test]
async fn a_run_that_is_paused_keeps_its_thread_busy() {
    let world = World::new();
    let engine = world.engine(LINE, LINE_SCRIPT).await;
    let on_line = || StartRun { thread: Some("t".into()), ..start("line") };
    let run = engine.start(on_line()).await.expect("it starts");
    assert_eq!(engine.wait(&run).await.expect("it rests").state, RunState::Paused);
    let refused = engine.start(on_line()).await.expect_err("the thread is busy");
    assert!(refused.to_string().contains(run.as_str()), "who has the turn is named: {refused}");
    assert!(matches!(engine.delete_thread(&"t".into()).await, Err(JournalError::ThreadBusy(_))));
    finish(&engine, &run).await;
    engine.start(on_line()).await.expect("it is free again");
}

#[tokio::test]
async fn queued_runs_begin_in_their_order_and_are_watched_from_their_begin() {
    let (_world, engine, held, mut requests) = held(MemoryJournal::new()).await;
    let first = engine.start(on("t", "1", WhenBusy::Enqueue)).await.expect("it starts");
    requests.asked.recv().await.expect("the model is asked");
    let (second, watch) =
        engine.start_watched(on("t", "2", WhenBusy::Enqueue), true).await.expect("it waits");
    let third = engine.start(on("t", "3", WhenBusy::Enqueue)).await.expect("it waits");
    for run in [&second, &third] {
        assert_eq!(state(&engine, run).await, RunState::Queued);
    }
    let refused = engine.pause(&second).await.expect_err("it has not begun");
    assert!(matches!(refused, CommandError::Refused(_)), "{refused}");
    let query = RunQuery { state: Some(RunState::Queued), limit: 9, ..RunQuery::default() };
    assert_eq!(engine.runs(&query).await.expect("they are listed").len(), 2);
    let refused = engine.start(on("t", "4", WhenBusy::Reject)).await.expect_err("it is busy");
    assert!(
        matches!(refused, StartError::ThreadBusy { run: Some(ref run), .. } if *run == first),
        "{refused}"
    );

    let watched = tokio::spawn(read_all(watch));
    (0..3).for_each(|_| held.release("a"));
    let (types, text) = watched.await.expect("no panic");
    let expected = ["run_started", "begun", "call_started", "model_replied", "run_ended"];
    assert_eq!((types, text.as_str()), (expected.map(str::to_owned).into(), "thinking"));
    for run in [&first, &second, &third] {
        assert_eq!(engine.wait(run).await.expect("it ends").state, RunState::Completed);
    }
    let hi = "thinkinghi";
    assert_eq!(said(&engine, "t").await, ["1", hi, "2", hi, "3", hi]);
}

#[tokio::test]
async fn a_queued_run_can_be_cancelled_and_the_next_goes_first() {
    let (_world, engine, held, mut requests) = held(MemoryJournal::new()).await;
    let first = engine.start(on("t", "1", WhenBusy::Enqueue)).await.expect("it starts");
    requests.asked.recv().await.expect("the model is asked");
    let second = engine.start(on("t", "2", WhenBusy::Enqueue)).await.expect("it waits");
    let third = engine.start(on("t", "3", WhenBusy::Enqueue)).await.expect("it waits");
    let cancelled = engine.cancel(&second, CancelReason::Requested, true).await.expect("it can be cancelled");
    assert_eq!(cancelled.state, RunState::Cancelled);
    (0..2).for_each(|_| held.release("a"));
    engine.wait(&first).await.expect("it ends");
    engine.wait(&third).await.expect("it ends");
    assert_eq!(said(&engine, "t").await, ["1", "thinkinghi", "3", "thinkinghi"]);
}

#[tokio::test]
async fn at_most_a_hundred_wait_on_a_thread() {
    let (_world, engine, _held, mut requests) = held(MemoryJournal::new()).await;
    engine.start(on("t", "1", WhenBusy::Enqueue)).await.expect("it starts");
    requests.asked.recv().await.expect("the model is asked");
    for _ in 0..100 {
        engine.start(on("t", "more", WhenBusy::Enqueue)).await.expect("it waits");
    }
    let refused = engine.start(on("t", "one more", WhenBusy::Enqueue)).await.expect_err("too many");
    assert!(matches!(refused, StartError::ThreadQueueFull(_)), "{refused}");
    engine.start(on("u", "elsewhere", WhenBusy::Enqueue)).await.expect("another thread has room");
}

#[tokio::test]
async fn an_interrupt_cancels_and_goes_before_those_who_wait() {
    let (_world, engine, held, mut requests) = held(MemoryJournal::new()).await;
    let first = engine.start(on("t", "1", WhenBusy::Enqueue)).await.expect("it starts");
    requests.asked.recv().await.expect("the model is asked");
    let waiting = engine.start(on("t", "2", WhenBusy::Enqueue)).await.expect("it waits");
    let urgent = engine.start(on("t", "3", WhenBusy::Interrupt)).await.expect("it starts");
    assert_eq!(requests.dropped.recv().await.expect("the request was dropped"), "a");
    let cancelled = engine.wait(&first).await.expect("it ended");
    let Some(Outcome::Cancelled { receipt, .. }) = cancelled.outcome else { panic!("{cancelled:?}") };
    assert_eq!(receipt.len(), 1);
    assert_eq!(state(&engine, &waiting).await, RunState::Queued);
    (0..2).for_each(|_| held.release("a"));
    engine.wait(&urgent).await.expect("it ends");
    engine.wait(&waiting).await.expect("it ends");
    let hi = "thinkinghi";
    assert_eq!(
        said(&engine, "t").await,
        ["1", "3", hi, "2", hi],
        "whole messages stay, partial text does not"
    );
}

#[tokio::test]
async fn a_run_that_named_no_thread_can_be_gone_on_with_by_its_id() {
    let (_world, engine, held, mut requests) = held(MemoryJournal::new()).await;
    let first = engine.start(start("one")).await.expect("it starts");
    requests.asked.recv().await.expect("the model is asked");
    let own = first.as_str();
    let refused = engine.start(on(own, "x", WhenBusy::Reject)).await.expect_err("it has not ended");
    assert!(matches!(refused, StartError::ThreadBusy { .. }), "{refused}");
    let second = engine.start(on(own, "and?", WhenBusy::Enqueue)).await.expect("it waits");
    (0..2).for_each(|_| held.release("a"));
    engine.wait(&first).await.expect("it ends");
    engine.wait(&second).await.expect("it ends");
    let hi = "thinkinghi";
    assert_eq!(said(&engine, own).await, ["hello", hi, "and?", hi]);
    assert!(engine.threads(&Default::default()).await.expect("they are listed").is_empty(), "a limit of 0");
}

#[tokio::test]
async fn what_a_run_began_with_outlives_its_thread() {
    for durable in [false, true] {
        let world = World::new();
        let engine = match durable {
            true => world.engine(ONE, HI).await,
            false => world.engine_on(MemoryJournal::new(), ONE, HI).await,
        };
        for input in ["1", "2"] {
            let run = engine.start(on("t", input, WhenBusy::Reject)).await.expect("it starts");
            engine.wait(&run).await.expect("it ends");
        }
        let query = RunQuery { limit: 1, ..RunQuery::default() };
        let second = engine.runs(&query).await.expect("they are listed")[0].run.clone();
        assert!(engine.delete_thread(&"t".into()).await.expect("nobody uses it"));
        assert_eq!(engine.thread(&"t".into()).await.expect("it can be read"), None);
        assert_eq!(state(&engine, &second).await, RunState::Completed, "the log still folds");
        let again = engine.start(on("t", "3", WhenBusy::Reject)).await.expect("the id is free");
        engine.wait(&again).await.expect("it ends");
        assert_eq!(said(&engine, "t").await, ["3", "hi"]);
        assert_eq!(
            state(&engine, &second).await,
            RunState::Completed,
            "another thread of that id is another"
        );
    }
}

async fn with_room_for(most: usize, queued: usize) -> (World, Engine, Held, Requests) {
    let world = World::new();
    let (held, requests) = Held::new();
    let engine = Engine::builder()
        .providers(Providers::new().with("scripted", Arc::new(held.clone())))
        .tools(world.tools())
        .crew(load(ONE, HI, &world.catalog()))
        .max_active_runs(most)
        .max_queued_runs(queued)
        .start()
        .await
        .expect("it starts");
    (world, engine, held, requests)
}

#[tokio::test]
async fn runs_beyond_the_limit_wait_in_order_and_beyond_that_are_refused() {
    let (_world, engine, held, mut requests) = with_room_for(2, 3).await;
    let mut runs = Vec::new();
    for _ in 0..5 {
        runs.push(engine.start(start("one")).await.expect("it starts or waits"));
    }
    let refused = engine.start(start("one")).await.expect_err("too many");
    assert!(matches!(refused, StartError::TooManyRuns(3)), "{refused}");
    for at in 0..5 {
        let states = [RunState::Queued, RunState::Running, RunState::Completed];
        let mut seen = Vec::new();
        for run in &runs {
            let state = state(&engine, run).await;
            seen.push(states.iter().position(|known| *known == state).expect("one of these"));
        }
        assert!(seen.is_sorted_by(|a, b| a >= b), "in the order in which they came: {seen:?}");
        requests.asked.recv().await.expect("the next is asked");
        held.release("a");
        engine.wait(&runs[at]).await.expect("it ends");
    }
    let first = &log(&engine, &runs[4]).await[0];
    assert!(matches!(&first.event, Event::RunStarted(started) if started.queued == Some(QueuedFor::Room)));
    engine.start(start("one")).await.expect("there is room again");
}

/// Queued behind a run that is held: on its thread, or for room.
pub(super) async fn queued_behind(
    wait: WhenBusy,
    journal: impl Journal,
) -> (World, Engine, Held, Requests, RunId, (RunId, boathouse::feed::Watch)) {
    let world = World::new();
    let (held, mut requests) = Held::new();
    let engine = Engine::builder()
        .journal(journal)
        .providers(Providers::new().with("scripted", Arc::new(held.clone())))
        .tools(world.tools())
        .crew(load(ONE, HI, &world.catalog()))
        .max_active_runs(if wait == WhenBusy::Enqueue { 9 } else { 1 })
        .start()
        .await
        .expect("it starts");
    let first = engine.start(on("t", "1", wait)).await.expect("it starts");
    requests.asked.recv().await.expect("the model is asked");
    let thread = if wait == WhenBusy::Enqueue { "t" } else { "u" };
    let second = StartRun { on_disconnect: OnDisconnect::Cancel, ..on(thread, "2", wait) };
    let second = engine.start_watched(second, true).await.expect("it waits");
    assert_eq!(state(&engine, &second.0).await, RunState::Queued);
    (world, engine, held, requests, first, second)
}

#[tokio::test(start_paused = true)]
async fn a_queued_run_is_cancelled_when_its_last_reader_stays_away() {
    for wait in [WhenBusy::Enqueue, WhenBusy::Reject] {
        let (_world, engine, held, _requests, first, (second, watch)) =
            queued_behind(wait, MemoryJournal::new()).await;
        drop(watch);
        tokio::time::sleep(Duration::from_secs(4)).await;
        let back = engine.watch(&second, Seq(0), true).await.expect("it can be read").expect("there is one");
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(state(&engine, &second).await, RunState::Queued, "somebody came back in time");
        // A command that is refused gives it a driver for a moment.
        engine.pause(&second).await.expect_err("it has not begun");
        drop(back);
        tokio::time::sleep(Duration::from_secs(6)).await;
        let gone = engine.run(&second).await.expect("it can be read").expect("there is one");
        let Some(Outcome::Cancelled { reason, .. }) = gone.outcome else { panic!("{gone:?}") };
        assert_eq!(reason, CancelReason::Disconnected);
        assert_eq!(state(&engine, &first).await, RunState::Running, "nobody waited for its turn");
        held.release("a");
        assert_eq!(engine.wait(&first).await.expect("it ends").state, RunState::Completed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_turn_comes_just_after_its_last_reader_went_is_cancelled_too() {
    let (_world, engine, held, mut requests, _first, (second, watch)) =
        queued_behind(WhenBusy::Enqueue, MemoryJournal::new()).await;
    drop(watch);
    tokio::time::sleep(Duration::from_secs(4)).await;
    held.release("a");
    requests.asked.recv().await.expect("the second is asked");
    assert_eq!(state(&engine, &second).await, RunState::Running);
    let gone = engine.wait(&second).await.expect("it ends");
    let Some(Outcome::Cancelled { reason, .. }) = gone.outcome else { panic!("{gone:?}") };
    assert_eq!(reason, CancelReason::Disconnected);
}

#[tokio::test]
async fn a_queued_run_that_is_watched_again_after_a_restart_is_cancelled_when_left() {
    let world = World::new();
    let journal = world.sqlite().await;
    let (_made, engine, _held, _requests, first, (second, watch)) =
        queued_behind(WhenBusy::Enqueue, journal).await;
    engine.shutdown(Duration::ZERO).await;
    drop(watch);

    let (held, mut requests) = Held::new();
    let engine = Engine::builder()
        .journal(world.sqlite().await)
        .providers(Providers::new().with("scripted", Arc::new(held)))
        .tools(world.tools())
        .crew(load(ONE, HI, &world.catalog()))
        .disconnect_grace(Duration::from_millis(1))
        .start()
        .await
        .expect("it starts");
    requests.asked.recv().await.expect("the first goes on");
    assert_eq!(state(&engine, &second).await, RunState::Queued, "nobody has watched it here");
    let again = engine.watch(&second, Seq(0), true).await.expect("it can be read").expect("there is one");
    drop(again);
    // Not by waiting for the run: whoever waits is a reader.
    while state(&engine, &second).await == RunState::Queued {
        tokio::task::yield_now().await;
    }
    assert_eq!(state(&engine, &second).await, RunState::Cancelled);
    assert_eq!(state(&engine, &first).await, RunState::Running, "nobody waited for its turn");
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_run_that_waits_for_a_person_is_not_at_work() {
    let world = World::new();
    let engine = Engine::builder()
        .providers(
            Providers::new().with("scripted", Arc::new(boathouse::provider::scripted::Scripted::new())),
        )
        .tools(world.tools())
        .crew(load(LINE, LINE_SCRIPT, &world.catalog()))
        .max_active_runs(1)
        .start()
        .await
        .expect("it starts");
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(engine.start(start("line")).await.expect("it starts or waits"));
    }
    for run in &runs {
        assert_eq!(engine.wait(run).await.expect("it rests").state, RunState::Paused);
    }
    for run in &runs {
        assert!(finish(&engine, run).await.outcome.is_some());
    }
}

#[tokio::test]
async fn queued_runs_survive_a_restart_and_begin_by_themselves() {
    let world = World::new();
    let (held, mut requests) = Held::new();
    let providers = Providers::new().with("scripted", Arc::new(held.clone()));
    let engine = world.engine_with(world.sqlite().await, providers.clone(), ONE, HI).await;
    let mut runs = Vec::new();
    for input in ["1", "2", "3"] {
        runs.push(engine.start(on("t", input, WhenBusy::Enqueue)).await.expect("it starts or waits"));
    }
    requests.asked.recv().await.expect("the model is asked");
    engine.shutdown(Duration::ZERO).await;
    let engine = world.engine_with(world.sqlite().await, providers, ONE, HI).await;
    assert_eq!(state(&engine, &runs[1]).await, RunState::Queued);
    (0..3).for_each(|_| held.release("a"));
    for run in &runs {
        assert_eq!(engine.wait(run).await.expect("it ends").state, RunState::Completed);
    }
    let hi = "thinkinghi";
    assert_eq!(said(&engine, "t").await, ["1", hi, "2", hi, "3", hi]);
}

/// Puts the first `events` of a threaded run's log into the journal, as a crash after them would leave it.
async fn crashed_on_thread(world: &World, run: &RunId, log: &[Recorded], engine: &Engine) {
    let served = engine.crews()[0].clone();
    let journal = world.sqlite().await;
    let source = serde_json::to_string(&served.source).expect("a source is JSON");
    journal.put_crew(&served.hash, &source, None).await.expect("the journal works");
    let thread = ThreadId::from("t");
    let queued = matches!(&log[0].event, Event::RunStarted(started) if started.queued.is_some());
    let turn = match pinned(log) {
        Some(messages) => Turn::Begin { messages, ahead: false },
        None => Turn::Queue { on_thread: 100, in_all: 100 },
    };
    let state = match &log[log.len() - 1].event {
        Event::WaitOpened { .. } => RunState::Paused,
        Event::RunStarted(_) if queued => RunState::Queued,
        _ => RunState::Running,
    };
    let new = NewRun {
        run: run.clone(),
        crew: served.name.clone(),
        crew_hash: served.hash.clone(),
        thread: thread.clone(),
        state,
        events: log.iter().cloned().map(|recorded| Arc::new(Stored::new(recorded))).collect(),
        request: None,
        on_thread: Some(OnThread { thread, turn: Some(turn), end: None }),
        people: Default::default(),
    };
    journal.create(new).await.expect("the journal works");
    journal.close().await;
}

/// Two runs of a thread, the second queued behind the first; a crash after every event of either.
#[tokio::test]
async fn a_crash_after_every_event_of_two_runs_on_a_thread_ends_the_same() {
    let on_line = |when_busy| StartRun { thread: Some("t".into()), when_busy, ..start("line") };
    let world = World::new();
    let engine = world.engine(LINE, LINE_SCRIPT).await;
    let first = engine.start(on_line(WhenBusy::Enqueue)).await.expect("it starts");
    let second = engine.start(on_line(WhenBusy::Enqueue)).await.expect("it waits");
    finish(&engine, &first).await;
    finish(&engine, &second).await;
    let (whole, next) = (log(&engine, &first).await, log(&engine, &second).await);
    let expected = said(&engine, "t").await;
    assert_eq!(pinned(&next), Some(expected.len() / 2), "it pinned what the first one left");

    for events in 1..whole.len() {
        let again = World::new();
        crashed_on_thread(&again, &first, &whole[..events], &engine).await;
        crashed_on_thread(&again, &second, &next[..1], &engine).await;
        let restarted = again.engine(LINE, LINE_SCRIPT).await;
        finish(&restarted, &first).await;
        finish(&restarted, &second).await;
        assert_eq!(said(&restarted, "t").await, expected, "after event {events} of the first");
        assert_eq!(begun(&log(&restarted, &second).await), 1);
        restarted.shutdown(Duration::from_secs(5)).await;
    }
    for events in 1..next.len() {
        let again = World::new();
        // The first one has ended, and left what it said.
        let journal = again.sqlite().await;
        let new = NewThread {
            thread: "t".into(),
            crew: "line".to_owned(),
            messages: ended(&engine, expected.len() / 2).await,
            summary: None,
            at: whole[0].at,
        };
        assert!(journal.put_thread(new).await.expect("the journal works"));
        journal.close().await;
        crashed_on_thread(&again, &second, &next[..events], &engine).await;
        let restarted = again.engine(LINE, LINE_SCRIPT).await;
        finish(&restarted, &second).await;
        assert_eq!(said(&restarted, "t").await, expected, "after event {events} of the second");
        assert_eq!(begun(&log(&restarted, &second).await), 1);
        restarted.shutdown(Duration::from_secs(5)).await;
    }
}

async fn ended(engine: &Engine, count: usize) -> Vec<bytes::Bytes> {
    engine.journal().thread_messages(&"t".into(), 0, count).await.expect("it can be read")
}

fn begun(log: &[Recorded]) -> usize {
    log.iter().filter(|recorded| matches!(recorded.event, Event::Begun { .. })).count()
}

/// What a run added to its thread: where it began, its input, and how many messages.
async fn added(engine: &Engine, run: &RunId) -> (usize, String, usize) {
    let logged = log(engine, run).await;
    let Event::RunStarted(started) = &logged[0].event else { panic!("a log begins with its start") };
    let replied =
        logged.iter().filter(|recorded| matches!(recorded.event, Event::ModelReplied { .. })).count();
    let pins = pinned(&logged).expect("whatever was accepted has begun");
    (pins, started.input.clone(), 1 + replied)
}

/// Two thousand inputs at once on a hundred threads that are all busy. On one half of them some inputs would rather be refused
/// than wait, on the other half some interrupt.
async fn inputs_at_once(journal: impl Journal) {
    const INPUTS: usize = 2_000;
    const THREADS: usize = 100;
    let (_world, engine, held, mut requests) = held(journal).await;
    let mut accepted: BTreeMap<String, Vec<RunId>> = BTreeMap::new();
    for thread in (0..THREADS).map(|thread| format!("t{thread:02}")) {
        let first = engine.start(on(&thread, "first", WhenBusy::Reject)).await.expect("it starts");
        requests.asked.recv().await.expect("the model is asked");
        accepted.insert(thread, vec![first]);
    }
    let mut tasks = JoinSet::new();
    for number in 0..INPUTS {
        let engine = engine.clone();
        tasks.spawn(async move {
            let (place, thread) = (number / THREADS, number % THREADS);
            let when_busy = match (place % 2, thread < THREADS / 2) {
                (0, _) => WhenBusy::Enqueue,
                (_, true) => WhenBusy::Reject,
                (_, false) => WhenBusy::Interrupt,
            };
            let thread = format!("t{thread:02}");
            let came = engine.start(on(&thread, &format!("input {number}"), when_busy)).await;
            (thread, when_busy, came)
        });
    }
    let mut refused = 0;
    while let Some(task) = tasks.join_next().await {
        match task.expect("no panic") {
            (thread, WhenBusy::Enqueue | WhenBusy::Interrupt, Ok(run)) => {
                accepted.get_mut(&thread).expect("one of them").push(run);
            }
            (_, WhenBusy::Reject, Err(StartError::ThreadBusy { .. })) => refused += 1,
            (thread, when_busy, came) => panic!("{thread}, {when_busy:?}: {came:?}"),
        }
    }
    assert_eq!(refused, INPUTS / 4, "each that would not wait, as all threads are busy");
    (0..INPUTS).for_each(|_| held.release("a"));

    for (number, (thread, runs)) in accepted.into_iter().enumerate() {
        for run in &runs {
            let view = engine.wait(run).await.expect("it ends");
            assert!(view.state.is_ended(), "{view:?}");
        }
        let query = RunQuery { thread: Some(thread.as_str().into()), limit: 99, ..RunQuery::default() };
        let rows = engine.runs(&query).await.expect("they are listed");
        assert_eq!(rows.len(), runs.len(), "what was refused is nowhere");
        let mut began = Vec::new();
        for row in &rows {
            began.push(added(&engine, &row.run).await);
        }
        // Which of them came first nobody can say, as they came at once.
        began.sort();
        // The runs follow each other without a gap: each began where the one before had ended, and there is nothing else.
        let messages =
            engine.thread_messages(&thread.as_str().into(), 0, usize::MAX).await.expect("it can be read");
        let mut place = 0;
        for (pins, input, added) in began {
            assert_eq!(pins, place, "{thread}: a run begins where the one before it ended");
            assert_eq!((&messages[place].from, messages[place].content()), (&Author::User, input));
            if added == 2 {
                assert_eq!(messages[place + 1].from, Author::Agent(Some("a".into())));
            }
            assert!(added == 2 || number >= THREADS / 2, "only an interrupt leaves an input without a reply");
            place += added;
        }
        assert_eq!(place, messages.len(), "nothing else is on {thread}");
        let row =
            engine.thread(&thread.as_str().into()).await.expect("it can be read").expect("there is one");
        assert!(!row.is_busy());
    }
    engine.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_inputs_on_a_hundred_threads_leave_each_history_valid_and_in_order() {
    inputs_at_once(MemoryJournal::new()).await;
    inputs_at_once(World::new().sqlite().await).await;
}
