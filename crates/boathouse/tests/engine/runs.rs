//! Runs from start to end, and those who watch.

use std::sync::Arc;
use std::time::Duration;

use boathouse::core::ids::{RunId, Seq};
use boathouse::core::message::Reply;
use boathouse::core::run::event::{CallErrorKind, CancelReason, Event, OnDisconnect, Outcome, RunState};
use boathouse::core::run::request::ModelRequest;
use boathouse::engine::{Engine, StartError, StartRun};
use boathouse::feed::Watch;
use boathouse::journal::memory::MemoryJournal;
use boathouse::provider::{Deltas, Provider, ProviderError, Providers};

use super::support::*;

const HI: &str = r#"rules: [{ reply: "hi there, you" }]"#;

#[tokio::test]
async fn a_run_completes_and_is_in_the_journal_with_two_appends_for_one_call() {
    let world = World::new();
    let engine = world.engine(ONE, HI).await;
    let run = engine.start(start("one")).await.expect("it starts");
    let view = engine.wait(&run).await.expect("it ends");
    assert_eq!(view.outcome, Some(Outcome::Completed { output: "hi there, you".to_owned() }));
    assert_eq!(view.state, RunState::Completed);
    let types: Vec<Seq> = log(&engine, &run).await.iter().map(|recorded| recorded.seq).collect();
    assert_eq!(types, [Seq(1), Seq(2), Seq(3), Seq(4)]);
    engine.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_watcher_from_the_start_gets_each_event_once_and_the_text_as_it_comes() {
    let world = World::new();
    let engine = world.engine(LINE, LINE_SCRIPT).await;
    let (run, watch) = engine.start_watched(start("line"), true).await.expect("it starts");
    let (types, text) = read_until_rest(watch).await;
    assert_eq!(types.last().map(String::as_str), Some("wait_opened"));
    assert_eq!(text, "lookingwhich one?");
    let logged = log(&engine, &run).await;
    assert_eq!(types.len(), logged.len());
    let late =
        engine.watch(&run, Seq(2), true).await.expect("the journal works").expect("there is such a run");
    assert_eq!(read_all(late).await.0.len(), logged.len() - 2, "who comes late gets the rest");
}

async fn read_until_rest(mut watch: Watch) -> (Vec<String>, String) {
    let (mut types, mut text) = (Vec::new(), String::new());
    while let Some(items) = watch.next().await.expect("the journal can be read") {
        for item in items {
            match item {
                boathouse::feed::Item::Event(stored) => {
                    let json: serde_json::Value = serde_json::from_slice(&stored.json).expect("JSON");
                    types.push(json["type"].as_str().expect("a type").to_owned());
                }
                boathouse::feed::Item::Delta(data) => {
                    let json: serde_json::Value = serde_json::from_slice(&data).expect("JSON");
                    text.push_str(json["text"].as_str().expect("text"));
                }
                boathouse::feed::Item::Snapshot { .. } | boathouse::feed::Item::Gap => {}
            }
        }
        if watch.at_rest() {
            break;
        }
    }
    (types, text)
}

#[tokio::test]
async fn who_joins_in_the_middle_of_a_reply_gets_what_was_said_so_far() {
    let world = World::new();
    let (held, mut requests) = Held::new();
    let providers = Providers::new().with("scripted", Arc::new(held.clone()));
    let engine = world.engine_with(MemoryJournal::new(), providers, ONE, HI).await;
    let run = engine.start(start("one")).await.expect("it starts");
    requests.asked.recv().await.expect("the model is asked");
    let watch =
        engine.watch(&run, Seq(0), true).await.expect("the journal works").expect("there is such a run");
    held.release("a");
    let (types, text) = read_all(watch).await;
    assert_eq!(types, ["run_started", "call_started", "model_replied", "run_ended"]);
    assert_eq!(text, "thinking");
}

#[tokio::test]
async fn a_start_that_cannot_work_is_refused_and_leaves_nothing() {
    let world = World::new();
    let engine = world.engine(ONE, HI).await;
    let unknown = engine.start(start("onee")).await.expect_err("no such crew");
    assert_eq!(unknown.to_string(), "no crew named `onee`; did you mean `one`?");
    let mut empty = start("one");
    empty.input = "  ".to_owned();
    assert!(matches!(engine.start(empty).await, Err(StartError::EmptyInput)));
    let mut nobody = start("one");
    nobody.start_at = Some("b".into());
    assert!(matches!(engine.start(nobody).await, Err(StartError::UnknownAgent { .. })));
    let query = boathouse::journal::RunQuery { limit: 10, ..Default::default() };
    assert!(engine.runs(&query).await.expect("the journal works").is_empty());
}

#[tokio::test]
async fn the_engines_start_agent_is_used_unless_a_run_names_its_own() {
    let world = World::new();
    let engine = world.engine(LINE, LINE_SCRIPT).await;
    engine.set_start_agent("second".into());
    assert_eq!(engine.start_agent(), Some("second".into()));
    let run = engine.start(start("line")).await.expect("it starts");
    assert_eq!(
        finish(&engine, &run).await.outcome,
        Some(Outcome::Completed { output: "sent: send of c".to_owned() })
    );
    let mut first = start("line");
    first.start_at = Some("first".into());
    let run = engine.start(first).await.expect("it starts");
    assert_eq!(engine.wait(&run).await.expect("it rests").state, RunState::Paused);
    engine.set_start_agent("nobody".into());
    assert!(matches!(engine.start(start("line")).await, Err(StartError::UnknownAgent { .. })));
    engine.clear_start_agent();
    assert!(engine.start(start("line")).await.is_ok());
}

#[tokio::test]
async fn a_failed_try_is_made_again_and_its_text_is_not_in_the_reply() {
    let world = World::new();
    let script = r#"
rules:
  - { attempt: 1, reply: "half a ", error: { kind: server, message: "went away" } }
  - { reply: "whole" }
"#;
    let engine = world.engine(ONE, script).await;
    let run = engine.start(start("one")).await.expect("it starts");
    assert_eq!(finish(&engine, &run).await.outcome, Some(Outcome::Completed { output: "whole".to_owned() }));
    let failed =
        log(&engine, &run).await.into_iter().filter(|r| matches!(r.event, Event::AttemptFailed { .. }));
    assert_eq!(failed.count(), 1);
}

struct Panics;

#[async_trait::async_trait]
impl Provider for Panics {
    async fn reply(&self, _: &ModelRequest, _: &dyn Deltas) -> Result<Reply, ProviderError> {
        panic!("a bug in a provider")
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_panics_fails_its_run_alone() {
    let world = World::new();
    let providers = Providers::new().with("scripted", Arc::new(Panics));
    let engine = world.engine_with(MemoryJournal::new(), providers, ONE, HI).await;
    let run = engine.start(start("one")).await.expect("it starts");
    let Some(Outcome::Failed { code, error }) = engine.wait(&run).await.expect("it ends").outcome else {
        panic!("the run failed")
    };
    assert_eq!(
        (code.as_str(), error.as_str()),
        ("model_failed", "the provider panicked: a bug in a provider")
    );
}

#[tokio::test]
async fn a_provider_that_is_not_there_fails_the_run_and_says_so() {
    let world = World::new();
    let crew = ONE.replace("provider: scripted", "provider: held");
    let engine = world.engine_with(MemoryJournal::new(), Providers::new(), &crew, HI).await;
    let run = engine.start(start("one")).await.expect("it starts");
    let Some(Outcome::Failed { error, .. }) = engine.wait(&run).await.expect("it ends").outcome else {
        panic!("the run failed")
    };
    assert!(error.contains("held"), "{error}");
    let kinds = log(&engine, &run).await.into_iter().filter_map(|recorded| match recorded.event {
        Event::AttemptFailed { error, .. } => Some(error.kind),
        _ => None,
    });
    assert_eq!(kinds.collect::<Vec<_>>(), [CallErrorKind::Config]);
}

#[tokio::test(start_paused = true)]
async fn the_time_limit_ends_a_run_and_drops_its_request() {
    let world = World::new();
    let (held, mut requests) = Held::new();
    let providers = Providers::new().with("scripted", Arc::new(held));
    let crew = format!("{ONE}settings: {{ timeout_seconds: 7 }}\n");
    let engine = world.engine_with(MemoryJournal::new(), providers, &crew, HI).await;
    let before = tokio::time::Instant::now();
    let run = engine.start(start("one")).await.expect("it starts");
    let view = engine.wait(&run).await.expect("it ends");
    assert_eq!(
        view.outcome,
        Some(Outcome::LimitReached { limit: "timeout_seconds".to_owned(), output: String::new() })
    );
    assert_eq!(before.elapsed().as_secs(), 7);
    assert_eq!(requests.dropped.try_recv().expect("the request was dropped"), "a");
}

/// A run at its model, which is to be cancelled with its last reader: the one that is given.
async fn watched_to_its_end() -> (World, Engine, Held, RunId, Watch) {
    let world = World::new();
    let (held, mut requests) = Held::new();
    let providers = Providers::new().with("scripted", Arc::new(held.clone()));
    let engine = world.engine_with(MemoryJournal::new(), providers, ONE, HI).await;
    let watched = StartRun { on_disconnect: OnDisconnect::Cancel, ..start("one") };
    let (run, watch) = engine.start_watched(watched, true).await.expect("it starts");
    requests.asked.recv().await.expect("the model is asked");
    (world, engine, held, run, watch)
}

#[tokio::test(start_paused = true)]
async fn a_run_that_nobody_watches_any_more_is_cancelled_after_the_grace_if_it_says_so() {
    let (_world, engine, held, run, watch) = watched_to_its_end().await;
    let before = tokio::time::Instant::now();
    drop(watch);
    let view = engine.wait(&run).await.expect("it ends");
    assert!(matches!(view.outcome, Some(Outcome::Cancelled { reason: CancelReason::Disconnected, .. })));
    assert_eq!(before.elapsed().as_secs(), 5);

    let (run, watch) = engine.start_watched(start("one"), true).await.expect("it starts");
    drop(watch);
    held.release("a");
    assert_eq!(engine.wait(&run).await.expect("it ends").state, RunState::Completed, "by default it goes on");
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_readers_a_shutdown_sends_away_is_not_cancelled() {
    let (_world, engine, held, run, watch) = watched_to_its_end().await;
    engine.keep_left_runs();
    drop(watch);
    // Far beyond the grace, and within the run's time.
    tokio::time::advance(Duration::from_secs(60)).await;
    held.release("a");
    assert_eq!(engine.wait(&run).await.expect("it ends").state, RunState::Completed);
}

#[tokio::test]
async fn an_engine_that_is_dropped_leaves_no_request_behind() {
    let world = World::new();
    let (held, mut requests) = Held::new();
    let providers = Providers::new().with("scripted", Arc::new(held));
    let engine = world.engine_with(MemoryJournal::new(), providers, ONE, HI).await;
    engine.start(start("one")).await.expect("it starts");
    requests.asked.recv().await.expect("the model is asked");
    drop(engine);
    assert_eq!(requests.dropped.recv().await.expect("the request was dropped"), "a");
}

#[tokio::test]
async fn after_shutdown_nothing_starts() {
    let world = World::new();
    let engine: Engine = world.engine_on(MemoryJournal::new(), ONE, HI).await;
    engine.shutdown(Duration::from_secs(1)).await;
    assert!(matches!(engine.start(start("one")).await, Err(StartError::ShuttingDown)));
}
