//! Forks through the real engine, on SQLite.

use std::time::Duration;

use crate::support::*;
use boathouse::core::ids::{RunId, Seq};
use boathouse::core::run::event::{Answer, Event, RunState};
use boathouse::core::run::fork::Edits;
use boathouse::engine::{Engine, ForkPoint, ForkRun, Recovery};
use boathouse::feed::Item;

async fn fork(engine: &Engine, run: &RunId, from: ForkPoint, edits: Edits) -> RunId {
    let fork = ForkRun { run: run.clone(), from, edits };
    engine.fork(fork).await.expect("it can be forked")
}

#[tokio::test]
async fn a_fork_outlives_its_parent_and_the_process() {
    let mut world = World::new();
    let engine = world.engine(LINE, LINE_SCRIPT).await;
    let run = engine.start(start("line")).await.expect("it starts");
    finish(&engine, &run).await;
    let parent = log(&engine, &run).await;
    while world.made.try_recv().is_ok() {}

    let answer = Some((None, Answer::Text { text: "the other".to_owned() }));
    let new = fork(&engine, &run, ForkPoint::Last, Edits { answer, ..Edits::default() }).await;
    finish(&engine, &new).await;
    let paused = fork(&engine, &run, ForkPoint::At(Seq(1)), Edits::default()).await;
    assert_eq!(engine.wait(&paused).await.expect("it is there").state, RunState::Paused);
    engine.delete(&run).await.expect("it has ended");
    engine.shutdown(Duration::ZERO).await;

    // Another process: what it knows is in the file.
    let engine = world.engine(LINE, LINE_SCRIPT).await;
    let again = finish(&engine, &paused).await;
    assert_eq!(again.state, RunState::Completed);
    assert_eq!(end(&log(&engine, &paused).await), end(&parent));
    let forked = log(&engine, &new).await;
    let Event::RunStarted(started) = &forked[0].event else { panic!("it begins") };
    assert_eq!(started.forked_from.as_ref().map(|from| &from.run), Some(&run));
    assert!(forked.iter().any(|recorded| matches!(
        &recorded.event,
        Event::Answered { answer: Answer::Text { text }, .. } if text == "the other"
    )));
    // Each run has idempotency keys of its own, also for calls of the same number.
    let mut keys = Vec::new();
    while let Ok(call) = world.made.try_recv() {
        keys.push(call.rsplit(' ').next().expect("it ends with its key").to_owned());
    }
    assert!(
        keys.iter().all(|key| key.starts_with(new.as_str()) || key.starts_with(paused.as_str())),
        "{keys:?}"
    );
    assert!(keys.iter().any(|key| key.starts_with(new.as_str())));
    assert!(keys.iter().any(|key| key.starts_with(paused.as_str())));
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn who_watches_a_fork_sees_its_whole_log() {
    let world = World::new();
    let engine = world.engine(LINE, LINE_SCRIPT).await;
    let run = engine.start(start("line")).await.expect("it starts");
    engine.wait(&run).await.expect("it is there");
    let new = fork(&engine, &run, ForkPoint::At(Seq(3)), Edits::default()).await;
    let mut watch = engine.watch(&new, Seq(0), false).await.expect("it is there").expect("it is there");
    let mut types = Vec::new();
    while !watch.at_rest() {
        for item in watch.next().await.expect("it can be read").expect("more comes before it rests") {
            let Item::Event(stored) = item else { continue };
            let json: serde_json::Value = serde_json::from_slice(&stored.json).expect("events are JSON");
            types.push(json["type"].as_str().expect("they have a type").to_owned());
        }
    }
    let whole: Vec<String> = log(&engine, &new)
        .await
        .iter()
        .map(|recorded| {
            serde_json::to_value(&recorded.event).expect("it is JSON")["type"]
                .as_str()
                .expect("it has one")
                .to_owned()
        })
        .collect();
    assert_eq!(types, whole);
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn an_engine_that_recovers_when_asked_leaves_other_runs_alone() {
    let mut world = World::new();
    let (held, mut requests) = Held::new();
    let providers = boathouse::provider::Providers::new().with("scripted", std::sync::Arc::new(held));
    let engine = world.engine_with(world.sqlite().await, providers, LINE, LINE_SCRIPT).await;
    let run = engine.start(start("line")).await.expect("it starts");
    let other = engine.start(start("line")).await.expect("it starts");
    for _ in 0..2 {
        requests.asked.recv().await.expect("a model is asked");
    }
    engine.shutdown(Duration::ZERO).await;

    let engine = Engine::builder()
        .journal(world.sqlite().await)
        .tools(world.tools())
        .recovery(Recovery::WhenAsked)
        .start()
        .await
        .expect("it starts");
    let cancelled = engine.cancel(&run, boathouse::core::run::event::CancelReason::Requested, true).await;
    assert_eq!(cancelled.expect("it is there").state, RunState::Cancelled);
    let row = engine.journal().run(&other).await.expect("it can be read").expect("it is there");
    assert_eq!(row.state, RunState::Running, "nobody has told it anything");
    assert_eq!(log(&engine, &other).await.len() as u64, row.seq.0);
    assert!(world.made.try_recv().is_err());
    engine.shutdown(Duration::ZERO).await;
}
