//! Answers, pause and resume, and cancel with its receipt, to runs that are driven and to runs that rest.

use std::sync::Arc;
use std::time::Duration;

use boathouse::core::ids::RunId;
use boathouse::core::run::admit::Refused;
use boathouse::core::run::event::{Answer, CallEnd, CancelReason, Event, Outcome, RunState};
use boathouse::engine::CommandError;
use boathouse::journal::memory::MemoryJournal;
use boathouse::provider::Providers;

use super::support::*;

fn text(text: &str) -> Answer {
    Answer::Text { text: text.to_owned() }
}

#[tokio::test]
async fn a_paused_run_goes_on_with_an_answer() {
    let mut world = World::new();
    let engine = world.engine(LINE, LINE_SCRIPT).await;
    let run = engine.start(start("line")).await.expect("it starts");
    let view = engine.wait(&run).await.expect("it rests");
    assert_eq!(view.waits[0].question, "which one?");
    engine.answer(&run, None, text("that one")).await.expect("it waits");
    let view = engine.wait(&run).await.expect("it ends");
    assert_eq!(view.outcome, Some(Outcome::Completed { output: "sent: send of c".to_owned() }));
    assert_eq!(world.sent(), 1);
}

#[tokio::test]
async fn of_many_answers_at_once_exactly_one_is_taken() {
    let mut world = World::new();
    let engine = world.engine(LINE, LINE_SCRIPT).await;
    let run = engine.start(start("line")).await.expect("it starts");
    let view = engine.wait(&run).await.expect("it rests");
    let wait = view.waits[0].wait;
    let answers = (0..16).map(|at| {
        let (engine, run) = (engine.clone(), run.clone());
        tokio::spawn(async move { engine.answer(&run, Some(wait), text(&format!("answer {at}"))).await })
    });
    let answers: Vec<_> = answers.collect();
    let mut taken = 0;
    for answer in answers {
        match answer.await.expect("no panic") {
            Ok(()) => taken += 1,
            Err(CommandError::Refused(Refused::AlreadyAnswered(_) | Refused::Ended)) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(taken, 1);
    finish(&engine, &run).await;
    assert_eq!(world.sent(), 1);
}

#[tokio::test]
async fn commands_to_what_is_not_there_say_so() {
    let world = World::new();
    let engine = world.engine(ONE, r#"rules: [{ reply: hi }]"#).await;
    let nowhere = RunId::from("nowhere");
    assert!(matches!(engine.answer(&nowhere, None, text("x")).await, Err(CommandError::UnknownRun(_))));
    assert!(matches!(engine.wait(&nowhere).await, Err(CommandError::UnknownRun(_))));
    assert!(engine.watch(&nowhere, boathouse::core::ids::Seq(0), true).await.expect("it works").is_none());
    let run = engine.start(start("one")).await.expect("it starts");
    engine.wait(&run).await.expect("it ends");
    assert!(matches!(engine.pause(&run).await, Err(CommandError::Refused(Refused::Ended))));
    let view = engine.cancel(&run, CancelReason::Requested, true).await.expect("nothing to do");
    assert_eq!(view.state, RunState::Completed);
    engine.delete(&run).await.expect("it has ended");
    assert!(engine.run(&run).await.expect("it works").is_none());
    assert!(matches!(engine.delete(&run).await, Err(CommandError::UnknownRun(_))));
}

#[tokio::test]
async fn a_cancel_drops_the_requests_of_every_branch_and_its_receipt_names_them() {
    let world = World::new();
    let (held, mut requests) = Held::new();
    held.release("desk");
    let providers = Providers::new().with("scripted", Arc::new(held));
    let engine = world.engine_with(world.sqlite().await, providers, GROUP, GROUP_SCRIPT).await;
    let run = engine.start(start("group")).await.expect("it starts");
    for _ in 0..4 {
        requests.asked.recv().await.expect("all are asked");
    }
    let view = engine.cancel(&run, CancelReason::Requested, true).await.expect("it can be cancelled");
    let Some(Outcome::Cancelled { reason, receipt }) = view.outcome else { panic!("{:?}", view.state) };
    assert_eq!(reason, CancelReason::Requested);
    let mut named: Vec<String> =
        receipt.iter().map(|line| format!("{} {:?}", line.agent, line.end)).collect();
    named.sort();
    assert_eq!(named, ["a Disconnected", "b Disconnected", "c Disconnected"]);
    let mut dropped: Vec<String> = std::iter::from_fn(|| requests.dropped.try_recv().ok()).collect();
    dropped.sort();
    assert_eq!(dropped, ["a", "b", "c"], "nothing is in flight once the end is recorded");
}

/// A crew whose command runs until it is stopped, after it has told that it runs.
fn sleeper(fifo: &std::path::Path) -> String {
    format!(
        r#"
name: sleeper
agents:
  - {{ id: a, provider: scripted, model: any, tools: [nap] }}
tools:
  nap:
    description: Sleeps
    effect: read
    command: {{ argv: [sh, -c, "sleep 600 & echo $$ > {fifo}; wait"] }}
"#,
        fifo = fifo.display()
    )
}

#[tokio::test]
async fn a_cancel_ends_a_subprocess_with_its_whole_group() {
    let world = World::new();
    let fifo = world.dir.path().join("running");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs").success());
    let script = r#"rules: [{ reply: "", tools: [{ name: nap }] }]"#;
    let engine = world.engine(&sleeper(&fifo), script).await;
    let run = engine.start(start("sleeper")).await.expect("it starts");
    let group = tokio::task::spawn_blocking(move || std::fs::read_to_string(fifo)).await.expect("no panic");
    let group: i32 = group.expect("the command tells its id").trim().parse().expect("an id");
    assert!(alive(group));
    let view = engine.cancel(&run, CancelReason::Requested, true).await.expect("it can be cancelled");
    let Some(Outcome::Cancelled { receipt, .. }) = view.outcome else { panic!("{:?}", view.state) };
    assert_eq!((receipt[0].tool.as_deref(), receipt[0].end), (Some("nap"), CallEnd::Terminated));
    assert!(!alive(group), "no process of the group is left");
}

/// Whether a process of the group is there, zombies aside.
fn alive(group: i32) -> bool {
    let processes = std::fs::read_dir("/proc").expect("proc is there").filter_map(Result::ok);
    processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok()).any(|stat| {
        let Some((_, rest)) = stat.rsplit_once(')') else { return false };
        let mut fields = rest.split_whitespace();
        let (state, group_of) = (fields.next(), fields.nth(1));
        state != Some("Z") && group_of == Some(group.to_string().as_str())
    })
}

#[tokio::test]
async fn an_operators_pause_lets_the_reply_in_flight_end_and_starts_nothing_until_resumed() {
    let world = World::new();
    let (held, mut requests) = Held::new();
    let providers = Providers::new().with("scripted", Arc::new(held.clone()));
    let engine = world.engine_with(MemoryJournal::new(), providers, GROUP, GROUP_SCRIPT).await;
    let run = engine.start(start("group")).await.expect("it starts");
    requests.asked.recv().await.expect("the desk is asked");
    assert_eq!(engine.pause(&run).await.expect("it runs").state, RunState::Running);
    held.release("desk");
    assert_eq!(engine.wait(&run).await.expect("it rests").state, RunState::Paused);
    assert!(requests.asked.try_recv().is_err(), "nobody else was asked");
    for agent in ["a", "a", "b", "c", "c", "closer"] {
        held.release(agent);
    }
    engine.resume(&run).await.expect("it is paused");
    assert_eq!(
        finish(&engine, &run).await.outcome,
        Some(Outcome::Completed { output: "thinkingclosed".to_owned() })
    );
}

#[tokio::test(start_paused = true)]
async fn shutdown_with_a_journal_in_memory_cancels_what_is_left_after_the_grace() {
    let world = World::new();
    let (held, mut requests) = Held::new();
    let providers = Providers::new().with("scripted", Arc::new(held));
    let engine = world.engine_with(MemoryJournal::new(), providers, ONE, "rules: []").await;
    let (_, watch) = engine.start_watched(start("one"), false).await.expect("it starts");
    requests.asked.recv().await.expect("the model is asked");
    let read = tokio::spawn(read_all(watch));
    engine.shutdown(Duration::from_secs(3)).await;
    assert_eq!(requests.dropped.try_recv().expect("the request was dropped"), "a");
    let (types, _) = read.await.expect("no panic");
    assert_eq!(types.last().map(String::as_str), Some("run_ended"));
}

#[tokio::test]
async fn nothing_is_recorded_after_the_end() {
    let world = World::new();
    let engine = world.engine(LINE, LINE_SCRIPT).await;
    let run = engine.start(start("line")).await.expect("it starts");
    engine.wait(&run).await.expect("it rests");
    engine.cancel(&run, CancelReason::Requested, true).await.expect("it can be cancelled");
    let logged = log(&engine, &run).await;
    assert!(matches!(logged.last().expect("it has events").event, Event::RunEnded { .. }));
    assert!(matches!(
        engine.answer(&run, None, text("late")).await,
        Err(CommandError::Refused(Refused::Ended))
    ));
    assert_eq!(log(&engine, &run).await.len(), logged.len());
}
