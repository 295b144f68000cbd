//! Crashes and restarts, through the real driver on a real SQLite file: always the same end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use boathouse::core::ids::{RunId, ThreadId};
use boathouse::core::run::MAX_TAKEOVERS;
use boathouse::core::run::event::{CallKind, Event, Outcome, Recorded, RunState, WaitFor};
use boathouse::crew_dir;
use boathouse::engine::{CommandError, Engine};
use boathouse::journal::sqlite::SqliteJournal;
use boathouse::journal::{Journal, JournalError, NewRun, Stored};
use boathouse::provider::Providers;
use boathouse::tool::Tools;
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;

use super::support::*;

/// Puts the first `events` of a log into the world's journal, as a crash after them would leave it.
pub(super) async fn crashed_after(
    world: &World,
    run: &RunId,
    log: &[Recorded],
    crew: &Engine,
    state: RunState,
) {
    let served = crew.crews()[0].clone();
    let journal = world.sqlite().await;
    let source = serde_json::to_string(&served.source).expect("a source is JSON");
    journal.put_crew(&served.hash, &source, None).await.expect("the journal works");
    let new = NewRun {
        run: run.clone(),
        crew: served.name.clone(),
        crew_hash: served.hash.clone(),
        thread: ThreadId::from("thread"),
        state,
        events: log.iter().cloned().map(|recorded| Arc::new(Stored::new(recorded))).collect(),
        request: None,
        on_thread: None,
        people: Default::default(),
    };
    journal.create(new).await.expect("the journal works");
    journal.close().await;
}

async fn every_crash_point(crew: &str, script: &str, name: &str) {
    let world = World::new();
    let engine = world.engine(crew, script).await;
    let run = engine.start(start(name)).await.expect("it starts");
    finish(&engine, &run).await;
    let whole = log(&engine, &run).await;
    let expected = end(&whole);
    for events in 1..whole.len() {
        let mut again = World::new();
        let state = match &whole[events - 1].event {
            Event::WaitOpened { .. } => RunState::Paused,
            _ => RunState::Running,
        };
        crashed_after(&again, &run, &whole[..events], &engine, state).await;
        let restarted = again.engine(crew, script).await;
        restarted.wait(&run).await.expect("there is such a run");
        let asked = log(&restarted, &run).await;
        let unknown = asked.iter().skip(events).filter(|recorded| {
            matches!(&recorded.event, Event::WaitOpened { what: WaitFor::UnknownOutcome { .. }, .. })
        });
        let in_flight = once_calls_in_flight(&whole[..events]);
        assert_eq!(unknown.count(), in_flight, "after event {events}");
        finish(&restarted, &run).await;
        assert_eq!(end(&log(&restarted, &run).await), expected, "after event {events}");
        let before = whole[..events].iter().filter(|recorded| starts_send(recorded)).count();
        let all = whole.iter().filter(|recorded| starts_send(recorded)).count();
        assert_eq!(
            again.sent(),
            all - before,
            "a `once` tool is never called again silently, after event {events}"
        );
        restarted.shutdown(Duration::from_secs(5)).await;
    }
    engine.shutdown(Duration::from_secs(5)).await;
}

fn starts_send(recorded: &Recorded) -> bool {
    matches!(&recorded.event, Event::CallStarted { kind: CallKind::Tool { tool, .. }, .. } if tool == "send")
}

fn once_calls_in_flight(log: &[Recorded]) -> usize {
    let returned = log.iter().filter(|recorded| {
        let Event::ToolReturned { result, .. } = &recorded.event else { return false };
        log.iter().any(|other| {
            starts_send(other)
                && matches!(other.event, Event::CallStarted { call, .. } if call == result.call)
        })
    });
    log.iter().filter(|recorded| starts_send(recorded)).count() - returned.count()
}

#[tokio::test]
async fn a_crash_after_every_event_of_a_line_ends_the_same() {
    every_crash_point(LINE, LINE_SCRIPT, "line").await;
}

#[tokio::test]
async fn a_crash_after_every_event_of_a_group_ends_the_same() {
    every_crash_point(GROUP, GROUP_SCRIPT, "group").await;
}

/// The agents that replied, in order, and whether the run completed. The words hold figures of this machine, which change.
fn path(log: &[Recorded]) -> (Vec<String>, bool) {
    let mut path = Vec::new();
    for recorded in log {
        if let Event::ModelReplied { agent, .. } = &recorded.event
            && path.last().map(String::as_str) != Some(agent.as_str())
        {
            path.push(agent.to_string());
        }
    }
    let completed = matches!(
        log.last().map(|last| &last.event),
        Some(Event::RunEnded { outcome: Outcome::Completed { .. }, .. })
    );
    (path, completed)
}

/// An example crew on its script, without the pauses that make it pleasant to watch.
async fn example(name: &str, journal: SqliteJournal) -> Engine {
    let builder = Engine::builder().tools(Tools::builtin()).journal(journal);
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
    let (mut source, problems) = crew_dir::read(&dir);
    assert!(problems.is_empty(), "{problems:?}");
    for text in source.values_mut() {
        let quick = text.lines().filter(|line| !line.contains("delay_ms:"));
        *text = quick.map(|line| line.replace("provider: openai", "provider: scripted") + "\n").collect();
    }
    let crew = crew_dir::compile(source, name, &builder.catalog()).unwrap_or_else(|error| panic!("{error}"));
    builder.crew(crew).start().await.expect("the engine starts")
}

async fn every_crash_point_of_an_example(name: &str, input: &str) {
    let world = World::new();
    let engine = example(name, world.sqlite().await).await;
    let mut request = start(name);
    request.input = input.to_owned();
    let run = engine.start(request).await.expect("it starts");
    finish(&engine, &run).await;
    let whole = log(&engine, &run).await;
    let expected = path(&whole);
    assert_eq!(expected, (["orchestrator", "clarifier", "executor"].map(str::to_owned).into(), true));
    for events in 1..whole.len() {
        let again = World::new();
        let paused = matches!(whole[events - 1].event, Event::WaitOpened { .. });
        let state = if paused { RunState::Paused } else { RunState::Running };
        crashed_after(&again, &run, &whole[..events], &engine, state).await;
        let restarted = example(name, again.sqlite().await).await;
        finish(&restarted, &run).await;
        assert_eq!(path(&log(&restarted, &run).await), expected, "after event {events}");
        restarted.shutdown(Duration::from_secs(5)).await;
    }
    engine.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_crash_after_every_event_of_the_help_desk_ends_the_same() {
    every_crash_point_of_an_example("it-support", "My computer is very slow").await;
}

#[tokio::test]
async fn a_crash_after_every_event_of_the_vietnamese_help_desk_ends_the_same() {
    every_crash_point_of_an_example("it-support-vi", "Máy tính của tôi rất chậm").await;
}

#[tokio::test]
async fn every_order_of_a_groups_replies_with_a_crash_after_every_event_ends_the_same() {
    let orders = [
        ["a", "b", "c"],
        ["a", "c", "b"],
        ["b", "a", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["c", "b", "a"],
    ];
    let mut expected = None;
    for order in orders {
        let world = World::new();
        let (held, mut requests) = Held::new();
        let providers = Providers::new().with("scripted", Arc::new(held.clone()));
        let engine = world.engine_with(world.sqlite().await, providers.clone(), GROUP, GROUP_SCRIPT).await;
        held.release("desk");
        let run = engine.start(start("group")).await.expect("it starts");
        for _ in 0..4 {
            requests.asked.recv().await.expect("all are asked");
        }
        for agent in order {
            held.release(agent);
            if agent != "b" {
                assert_eq!(requests.asked.recv().await.expect("it goes on after its tools"), agent);
                held.release(agent);
            }
        }
        held.release("closer");
        finish(&engine, &run).await;
        let whole = log(&engine, &run).await;
        let ended = end(&whole);
        assert_eq!(*expected.get_or_insert_with(|| ended.clone()), ended, "{order:?}");
        for agent in ["desk", "a", "a", "b", "c", "c", "closer"] {
            (0..whole.len()).for_each(|_| held.release(agent));
        }
        for events in 1..whole.len() {
            let again = World::new();
            crashed_after(&again, &run, &whole[..events], &engine, RunState::Running).await;
            let restarted =
                again.engine_with(again.sqlite().await, providers.clone(), GROUP, GROUP_SCRIPT).await;
            finish(&restarted, &run).await;
            assert_eq!(end(&log(&restarted, &run).await), ended, "{order:?} after event {events}");
            restarted.shutdown(Duration::from_secs(5)).await;
        }
        engine.shutdown(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
async fn a_pause_after_every_event_ends_the_same() {
    let world = World::new();
    let engine = world.engine(LINE, LINE_SCRIPT).await;
    let run = engine.start(start("line")).await.expect("it starts");
    finish(&engine, &run).await;
    let whole = log(&engine, &run).await;
    let expected = end(&whole);
    for events in 1..whole.len() - 1 {
        let again = World::new();
        // Nobody takes up a paused run by itself: the pause comes first.
        crashed_after(&again, &run, &whole[..events], &engine, RunState::Paused).await;
        let restarted = again.engine(LINE, LINE_SCRIPT).await;
        restarted.pause(&run).await.expect("it has not ended");
        assert_eq!(restarted.wait(&run).await.expect("it rests").state, RunState::Paused);
        finish(&restarted, &run).await;
        assert_eq!(end(&log(&restarted, &run).await), expected, "after event {events}");
        restarted.shutdown(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
async fn shutdown_is_not_a_cancel_the_next_start_goes_on() {
    let world = World::new();
    let (held, mut requests) = Held::new();
    let providers = Providers::new().with("scripted", Arc::new(held.clone()));
    let engine = world.engine_with(world.sqlite().await, providers.clone(), GROUP, GROUP_SCRIPT).await;
    let run = engine.start(start("group")).await.expect("it starts");
    requests.asked.recv().await.expect("the desk is asked");
    engine.shutdown(Duration::ZERO).await;
    assert_eq!(requests.dropped.try_recv().expect("the request was dropped"), "desk");

    let engine = world.engine_with(world.sqlite().await, providers, GROUP, GROUP_SCRIPT).await;
    assert_eq!(requests.asked.recv().await.expect("the desk is asked again"), "desk");
    for agent in ["desk", "a", "a", "b", "c", "c", "closer"] {
        held.release(agent);
    }
    assert!(matches!(finish(&engine, &run).await.outcome, Some(Outcome::Completed { .. })));
    let logged = log(&engine, &run).await;
    assert!(
        logged.iter().any(|recorded| matches!(&recorded.event, Event::TakenOver { lost } if lost.len() == 1))
    );
}

#[tokio::test]
async fn a_run_keeps_the_crew_that_it_began_with_also_after_a_restart() {
    let world = World::new();
    let engine = world.engine(LINE, LINE_SCRIPT).await;
    let run = engine.start(start("line")).await.expect("it starts");
    engine.wait(&run).await.expect("it rests");
    engine.shutdown(Duration::from_secs(5)).await;

    let other = LINE_SCRIPT.replace("sent:", "other:");
    let engine = world.engine(LINE, &other).await;
    assert_eq!(
        finish(&engine, &run).await.outcome,
        Some(Outcome::Completed { output: "sent: send of c".to_owned() })
    );
    let run = engine.start(start("line")).await.expect("it starts");
    assert_eq!(
        finish(&engine, &run).await.outcome,
        Some(Outcome::Completed { output: "other: send of c".to_owned() })
    );
}

#[tokio::test]
async fn of_two_processes_only_the_newer_one_goes_on_with_a_run() {
    let mut world = World::new();
    let (held, mut requests) = Held::new();
    let providers = Providers::new().with("scripted", Arc::new(held.clone()));
    let old = world.engine_with(world.sqlite().await, providers.clone(), LINE, LINE_SCRIPT).await;
    let run = old.start(start("line")).await.expect("it starts");
    requests.asked.recv().await.expect("the model is asked");
    world.nobody_was_heard().await;
    let new = world.engine_with(world.sqlite().await, providers, LINE, LINE_SCRIPT).await;
    requests.asked.recv().await.expect("the model is asked by the new one");
    for agent in ["first", "first", "first", "first", "second", "second", "second"] {
        held.release(agent);
    }
    old.wait(&run).await.expect("the old one let go");
    finish(&new, &run).await;
    let sends = log(&new, &run).await.iter().filter(|recorded| starts_send(recorded)).count();
    assert_eq!((sends, world.sent()), (1, 1), "no effect was made twice");
}

#[tokio::test]
async fn a_run_that_another_process_drives_is_left_to_it() {
    let world = World::new();
    let (held, mut requests) = Held::new();
    let providers = Providers::new().with("scripted", Arc::new(held.clone()));
    let one = world.engine_with(world.sqlite().await, providers.clone(), LINE, LINE_SCRIPT).await;
    let run = one.start(start("line")).await.expect("it starts");
    requests.asked.recv().await.expect("the model is asked");
    let two = world.engine_with(world.sqlite().await, providers, LINE, LINE_SCRIPT).await;
    let refused = two.pause(&run).await.expect_err("it is not its own");
    assert!(matches!(refused, CommandError::Journal(JournalError::Held(_))), "{refused}");
    held.release("first");
    assert_eq!(requests.asked.recv().await.expect("the first goes on"), "first");
    one.shutdown(Duration::ZERO).await;
    two.pause(&run).await.expect("who shuts down lets its runs go");
    assert!(log(&two, &run).await.iter().all(|recorded| !matches!(recorded.event, Event::RunEnded { .. })));
}

#[tokio::test]
async fn who_was_not_heard_in_time_stops_by_itself() {
    let mut world = World::new();
    let (held, mut requests) = Held::new();
    let providers = Providers::new().with("scripted", Arc::new(held.clone()));
    let path = world.dir.path().join("runs.db");
    let journal = SqliteJournal::open_shared(&path, Duration::from_millis(300)).await.expect("it opens");
    let engine = world.engine_with(journal, providers, LINE, LINE_SCRIPT).await;
    let run = engine.start(start("line")).await.expect("it starts");
    requests.asked.recv().await.expect("the model is asked");
    // Nobody can write: neither the heartbeat nor anything else.
    let mut other =
        SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.expect("it opens");
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.expect("it locks");
    assert_eq!(requests.dropped.recv().await.expect("the call is stopped"), "first");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.expect("it unlocks");
    assert_eq!(requests.asked.recv().await.expect("it goes on by itself"), "first");
    for agent in ["first", "first", "first", "second", "second"] {
        held.release(agent);
    }
    while !finish_if_driven(&engine, &run).await {}
    assert_eq!(world.sent(), 1);
}

/// Answers and waits; whether the run has ended.
async fn finish_if_driven(engine: &Engine, run: &RunId) -> bool {
    let view = engine.wait(run).await.expect("there is such a run");
    match view.state {
        RunState::Paused => finish(engine, run).await.state.is_ended(),
        state => {
            tokio::task::yield_now().await;
            state.is_ended()
        }
    }
}

#[tokio::test]
async fn a_run_that_ends_its_processes_again_and_again_fails() {
    let world = World::new();
    let (held, mut requests) = Held::new();
    let providers = Providers::new().with("scripted", Arc::new(held.clone()));
    let mut run = None;
    for _ in 0..MAX_TAKEOVERS {
        let engine = world.engine_with(world.sqlite().await, providers.clone(), LINE, LINE_SCRIPT).await;
        if run.is_none() {
            run = Some(engine.start(start("line")).await.expect("it starts"));
        }
        requests.asked.recv().await.expect("the model is asked");
        engine.shutdown(Duration::ZERO).await;
    }
    let run = run.expect("it was started");
    let engine = world.engine_with(world.sqlite().await, providers, LINE, LINE_SCRIPT).await;
    let outcome = engine.wait(&run).await.expect("it rests").outcome;
    assert!(matches!(&outcome, Some(Outcome::Failed { code, .. }) if code == "crash_loop"), "{outcome:?}");
}
