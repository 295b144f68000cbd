//! Runs never touch each other.

use std::time::Duration;

use boathouse::core::run::event::Event;
use boathouse::journal::memory::MemoryJournal;

use super::support::*;

/// Messages as they were said, without ids and times.
fn said(log: &[boathouse::core::run::event::Recorded]) -> Vec<String> {
    let mut said = Vec::new();
    for recorded in log {
        match &recorded.event {
            Event::RunStarted(started) => said.push(started.input.clone()),
            Event::ModelReplied { branch, agent, reply, .. } => {
                said.push(format!("{branch} {agent} {}", reply.text))
            }
            Event::ToolReturned { branch, result, .. } => said.push(format!("{branch} {}", result.output)),
            Event::Joined { output, .. } => said.push(output.clone()),
            _ => {}
        }
    }
    said.sort();
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_concurrent_runs_give_what_serial_runs_give() {
    let world = World::new();
    let engine = world.engine_on(MemoryJournal::new(), GROUP, GROUP_SCRIPT).await;
    let input = |at: usize| {
        let mut run = start("group");
        run.input = format!("request {at}");
        run
    };
    let mut serial = Vec::new();
    for at in 0..200 {
        let run = engine.start(input(at)).await.expect("it starts");
        finish(&engine, &run).await;
        serial.push(said(&log(&engine, &run).await));
    }
    let concurrent = (0..200).map(|at| {
        let engine = engine.clone();
        tokio::spawn(async move {
            let run = engine.start(input(at)).await.expect("it starts");
            finish(&engine, &run).await;
            said(&log(&engine, &run).await)
        })
    });
    for (at, run) in concurrent.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(run.await.expect("no panic"), serial[at]);
    }
    engine.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn settings_are_read_once_per_run() {
    let world = World::new();
    let engine = world.engine(LINE, LINE_SCRIPT).await;
    let run = engine.start(start("line")).await.expect("it starts");
    engine.set_verbose(true);
    engine.set_start_agent("second".into());
    engine.wait(&run).await.expect("it rests");
    let Event::RunStarted(started) = &log(&engine, &run).await[0].event else { panic!("the first event") };
    assert!(!started.verbose && started.start_at.is_none());
}
