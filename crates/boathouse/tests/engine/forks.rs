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

#[tokio::test]
async fn a_fork_leaves_the_thread_alone_and_can_be_gone_on_with_by_its_own() {
    let world = World::new();
    let script = r#"rules: [{ when: two, reply: second }, { when: three, reply: third }, { reply: first }]"#;
    let engine = world.engine(ONE, script).await;
    let on = |thread: &str, input: &str| boathouse::engine::StartRun {
        input: input.to_owned(),
        thread: Some(thread.into()),
        ..start("one")
    };
    let said = async |thread: &str| -> Vec<String> {
        let messages = engine.thread_messages(&thread.into(), 0, usize::MAX).await.expect("it can be read");
        messages.iter().map(boathouse::core::message::Message::content).collect()
    };
    let mut runs = Vec::new();
    for input in ["one", "two"] {
        runs.push(engine.start(on("t", input)).await.expect("it starts"));
        finish(&engine, &runs[runs.len() - 1]).await;
    }
    let edits = Edits { input: Some("two again".to_owned()), ..Edits::default() };
    let new = fork(&engine, &runs[1], ForkPoint::Last, edits).await;
    finish(&engine, &new).await;
    assert!(engine.delete_thread(&"t".into()).await.expect("nobody uses it"), "the fork does not need it");
    let next = engine.start(on(new.as_str(), "three")).await.expect("it goes on");
    finish(&engine, &next).await;
    assert_eq!(said(new.as_str()).await, ["one", "first", "two again", "second", "three", "third"]);
    engine.shutdown(Duration::ZERO).await;
}

/// An engine on the world's journal that has room for one run at work, and for as many that wait.
async fn with_little_room(world: &World, held: Held, queued: usize) -> Engine {
    let providers = boathouse::provider::Providers::new().with("scripted", std::sync::Arc::new(held));
    Engine::builder()
        .journal(world.sqlite().await)
        .providers(providers)
        .tools(world.tools())
        .crew(load(LINE, LINE_SCRIPT, &world.catalog()))
        .max_active_runs(1)
        .max_queued_runs(queued)
        .start()
        .await
        .expect("it starts")
}

#[tokio::test]
async fn a_fork_and_a_retry_wait_for_room_also_through_a_restart() {
    let world = World::new();
    let (held, mut requests) = Held::new();
    let engine = with_little_room(&world, held.clone(), 2).await;
    (0..3).for_each(|_| held.release("first"));
    (0..2).for_each(|_| held.release("second"));
    let parent = engine.start(start("line")).await.expect("it starts");
    finish(&engine, &parent).await;
    while requests.asked.try_recv().is_ok() {}
    let cancelled = engine.start(start("line")).await.expect("it starts");
    requests.asked.recv().await.expect("a model is asked");
    let reason = boathouse::core::run::event::CancelReason::Requested;
    engine.cancel(&cancelled, reason, true).await.expect("it can be cancelled");

    let (held, mut requests) = Held::new();
    engine.shutdown(Duration::ZERO).await;
    let engine = with_little_room(&world, held.clone(), 2).await;
    engine.start(start("line")).await.expect("it starts");
    requests.asked.recv().await.expect("a model is asked");
    let answer = Some((None, Answer::Text { text: "the other".to_owned() }));
    let forked = fork(&engine, &parent, ForkPoint::Last, Edits { answer, ..Edits::default() }).await;
    let retried = fork(&engine, &cancelled, ForkPoint::Retry, Edits::default()).await;
    let third = ForkRun { run: parent.clone(), from: ForkPoint::Last, edits: Edits::default() };
    let refused = engine.fork(third).await.expect_err("too many wait");
    assert_eq!(refused.to_string(), "too many runs are at work, and 2 wait to begin");
    for run in [&forked, &retried] {
        let view = engine.run(run).await.expect("it can be read").expect("there is one");
        assert_eq!(view.state, RunState::Queued);
    }
    let kept = log(&engine, &forked).await;
    engine.delete(&parent).await.expect("nobody needs it");
    engine.shutdown(Duration::ZERO).await;

    let engine = with_little_room(&world, held.clone(), 2).await;
    requests.asked.recv().await.expect("the one at work goes on");
    (0..20).for_each(|_| ["first", "second"].iter().for_each(|agent| held.release(agent)));
    for run in [&forked, &retried] {
        assert_eq!(finish(&engine, run).await.state, RunState::Completed);
        let begun = log(&engine, run).await;
        let begun = begun.iter().filter(|recorded| matches!(recorded.event, Event::Begun { .. })).count();
        assert_eq!(begun, 1);
    }
    assert_eq!(log(&engine, &forked).await[..kept.len()], kept);
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_fork_that_waits_for_a_person_is_listed_once_it_has_begun() {
    let world = World::new();
    let (held, mut requests) = Held::new();
    let engine = with_little_room(&world, held.clone(), 9).await;
    held.release("first");
    held.release("first");
    let parent = engine.start(start("line")).await.expect("it starts");
    assert_eq!(engine.wait(&parent).await.expect("it rests").state, RunState::Paused);
    while requests.asked.try_recv().is_ok() {}
    let other = engine.start(start("line")).await.expect("it starts");
    requests.asked.recv().await.expect("a model is asked");
    let forked = fork(&engine, &parent, ForkPoint::Last, Edits::default()).await;
    let listed = || async {
        let query = boathouse::journal::WaitQuery { limit: 9, ..Default::default() };
        let waits = engine.waits(&query).await.expect("they are listed");
        waits.into_iter().map(|wait| wait.run).collect::<Vec<_>>()
    };
    assert_eq!(listed().await, std::slice::from_ref(&parent));
    let queued = engine.run(&forked).await.expect("it can be read").expect("there is one");
    assert!(queued.waits.is_empty() && queued.approvals.is_empty(), "it waits for its turn: {queued:?}");
    let refused = engine.answer(&forked, None, Answer::Text { text: "x".to_owned() }).await;
    assert_eq!(refused.expect_err("it has not begun").to_string(), "the run is queued: it has not begun");
    engine.cancel(&other, boathouse::core::run::event::CancelReason::Requested, true).await.expect("it ends");
    assert_eq!(engine.wait(&forked).await.expect("it rests").state, RunState::Paused);
    assert_eq!(listed().await, [parent, forked.clone()]);
    (0..20).for_each(|_| ["first", "second"].iter().for_each(|agent| held.release(agent)));
    assert_eq!(finish(&engine, &forked).await.state, RunState::Completed);
    engine.shutdown(Duration::ZERO).await;
}
