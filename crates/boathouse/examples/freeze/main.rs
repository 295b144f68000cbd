//! Plays scenarios with the real engine and keeps their logs under `testdata/logs/v1`, for every later version to read.
//!
//! `cargo run -p boathouse --example freeze` plays those that have no log yet; a log that is there is never changed.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use boathouse::core::ids::{RunId, Seq};
use boathouse::core::run::event::{Answer, CancelReason};
use boathouse::crew_dir;
use boathouse::engine::{Engine, ForkPoint, ForkRun, WhenBusy};
use boathouse::log_file::LogFile;
use boathouse::prelude::*;

mod crews;
mod scenarios;

#[expect(unreachable_pub, reason = "the module is shared with a test")]
#[path = "../../tests/logs/golden.rs"]
mod golden;

use scenarios::{Scenario, Step};

type Failed = Box<dyn Error>;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for scenario in scenarios::all() {
        let file = root.join("testdata/logs/v1").join(format!("{}.jsonl", scenario.name));
        if file.exists() {
            println!("{}: is there", scenario.name);
            continue;
        }
        let log = play(&scenario, &root).await.map_err(|error| format!("{}: {error}", scenario.name))?;
        fs::write(&file, log.to_text())?;
        fs::write(file.with_extension("state.json"), golden::golden(&golden::fold(&log)))?;
        println!("{}: {} events", scenario.name, log.events.len());
    }
    Ok(())
}

/// An engine on the scenario's file, with its crew.
struct Stage {
    dir: tempfile::TempDir,
    engine: Engine,
}

async fn open(dir: &Path, crew: &Path, scripted: bool) -> Result<Engine, Failed> {
    let providers = Providers::from_env();
    if scripted {
        providers.replace_all_with("scripted")?;
    }
    let builder = Engine::builder()
        .providers(providers)
        .tools(Tools::builtin())
        .journal(SqliteJournal::open(dir.join("runs.db")).await?)
        .cancel_grace(Duration::from_millis(300));
    let loaded = crew_dir::load(crew, &builder.catalog())?;
    Ok(builder.crew(loaded).start().await?)
}

async fn play(scenario: &Scenario, root: &Path) -> Result<LogFile, Failed> {
    let dir = tempfile::tempdir()?;
    let crew = match scenario.example {
        Some(example) => root.join(example),
        None => write_crew(dir.path(), scenario)?,
    };
    let scripted = scenario.example.is_some();
    let engine = open(dir.path(), &crew, scripted).await?;
    let name = engine.crews()[0].name.clone();
    let start = StartRun { crew: name, input: scenario.input.to_owned(), ..StartRun::default() };
    let mut run = engine.start(start).await?;
    let mut stage = Stage { dir, engine };
    for step in scenario.steps {
        let engine = &stage.engine;
        match step {
            Step::Until(kind, times) => until(engine, &run, kind, *times).await?,
            Step::Rest => drop(engine.wait(&run).await?),
            Step::Answer(text) => answer(engine, &run, Answer::Text { text: (*text).to_owned() }).await?,
            Step::Rerun => answer(engine, &run, Answer::Rerun {}).await?,
            Step::Done(output) => answer(engine, &run, Answer::Done { output: (*output).to_owned() }).await?,
            Step::Fail => answer(engine, &run, Answer::Fail {}).await?,
            Step::Decide(decision) => answer(engine, &run, decision()).await?,
            Step::Pause => drop(engine.pause(&run).await?),
            Step::Resume => drop(engine.resume(&run).await?),
            Step::Cancel => drop(engine.cancel(&run, CancelReason::Requested, true).await?),
            Step::Crash => {
                engine.shutdown(Duration::ZERO).await;
                stage.engine = open(stage.dir.path(), &crew, scripted).await?;
            }
            Step::Fork(edits) => {
                let fork = ForkRun { run: run.clone(), from: ForkPoint::Last, edits: edits() };
                run = engine.fork(fork).await?;
            }
            Step::Queue => {
                let crew = engine.crews()[0].name.clone();
                let (thread, when_busy) = (Some(run.as_str().into()), WhenBusy::Enqueue);
                let input = "and now?".to_owned();
                run =
                    engine.start(StartRun { crew, input, thread, when_busy, ..StartRun::default() }).await?;
            }
            Step::Retry => {
                let fork = ForkRun { run: run.clone(), from: ForkPoint::Retry, edits: Default::default() };
                run = engine.fork(fork).await?;
            }
        }
    }
    stage.engine.wait(&run).await?;
    let log = LogFile::read(&**stage.engine.journal(), &run).await?.ok_or("the run is gone")?;
    stage.engine.shutdown(Duration::from_secs(1)).await;
    Ok(log)
}

fn write_crew(dir: &Path, scenario: &Scenario) -> Result<PathBuf, Failed> {
    let crew = dir.join(scenario.name);
    fs::create_dir(&crew)?;
    fs::write(crew.join("crew.yaml"), scenario.crew)?;
    fs::write(crew.join("scripted.yaml"), scenario.script)?;
    Ok(crew)
}

async fn answer(engine: &Engine, run: &RunId, answer: Answer) -> Result<(), Failed> {
    engine.wait(run).await?;
    let view = engine.run(run).await?.ok_or("the run is gone")?;
    let wait = view.waits.first().ok_or("the run waits for nothing")?;
    Ok(engine.answer(run, Some(wait.wait), answer).await?)
}

/// Waits until the log has so many events of a kind.
async fn until(engine: &Engine, run: &RunId, kind: &str, times: usize) -> Result<(), Failed> {
    let wanted = format!("\"type\":\"{kind}\"");
    for _ in 0..1000 {
        let events = engine.journal().read(run, Seq(0), usize::MAX).await?;
        let found = events.iter().filter(|event| String::from_utf8_lossy(&event.json).contains(&wanted));
        if found.count() >= times {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err(format!("no {kind} came").into())
}
