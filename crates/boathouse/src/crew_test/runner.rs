//! Runs tests.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use boathouse_core::crew::Crew;
use boathouse_core::crew::check::{SCRIPT_FILE, hash};
use boathouse_core::ids::{RunId, Seq};
use boathouse_core::run::event::{Recorded, RunState};
use tokio_util::sync::CancellationToken;

use super::verdict::{Miss, verdict};
use super::{Facts, Suite, Test};
use crate::crew_dir::Loaded;
use crate::engine::{Engine, StartRun};
use crate::provider::Providers;
use crate::provider::scripted::Scripted;
use crate::tool::Tools;

/// How long what a test leaves behind may take to stop.
const CANCEL_GRACE: Duration = Duration::from_secs(1);
/// Events read at a time.
const PAGE: usize = 1000;

/// Runs tests, any number at once: each has an engine of its own, which keeps its run in memory.
///
/// Every model is replaced by `scripted`, which does not pause between the pieces of a reply.
#[derive(Clone)]
pub struct Runner {
    tools: Tools,
    stop: CancellationToken,
}

/// What became of a test.
#[derive(Clone, Debug)]
pub struct Report {
    /// The test.
    pub test: Test,
    /// The crew, with the script of the test.
    pub crew: Arc<Crew>,
    /// What happened.
    pub log: Vec<Recorded>,
    /// What the log says, as far as tests ask; `None` if the run did not begin.
    pub facts: Option<Facts>,
    /// What was not as expected.
    pub misses: Vec<Miss>,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    /// Whether everything was as expected.
    pub fn passed(&self) -> bool {
        self.misses.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passed() { "passed" } else { "failed" };
        write!(f, "{}:{}: {}: {verdict}", self.test.file, self.test.line, self.test.name)?;
        for miss in &self.misses {
            let (expected, came) = (under(&miss.expected), under(&miss.came));
            write!(f, "\n  {}\n    expected: {expected}\n    came:     {came}", miss.check)?;
        }
        Ok(())
    }
}

/// The text with its further lines under the first.
fn under(text: &str) -> String {
    text.replace('\n', "\n              ")
}

impl Runner {
    /// Tests whose agents call these tools, beside the tools that their crews define.
    pub fn new(tools: Tools) -> Runner {
        Runner { tools, stop: CancellationToken::new() }
    }

    /// Stops the tests that run, and those that would begin.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Runs a test in the caller's runtime; `None` if [`Runner::stop`] came before its end.
    ///
    /// Nothing of it is alive when this returns. If the future is dropped, its run is interrupted as by a crash.
    pub async fn run(&self, suite: &Suite, test: &Test) -> Option<Report> {
        if self.stop.is_cancelled() {
            return None;
        }
        let begun = Instant::now();
        let crew = with_script(&suite.crew, test);
        let mut report = Report {
            test: test.clone(),
            crew: Arc::new(crew.crew.clone()),
            log: Vec::new(),
            facts: None,
            misses: Vec::new(),
            took: Duration::ZERO,
        };
        let stopped = match self.engine(crew).await {
            Ok(engine) => {
                let stopped = tokio::select! {
                    () = self.stop.cancelled() => true,
                    () = drive(&engine, &mut report) => false,
                };
                engine.shutdown(Duration::ZERO).await;
                stopped
            }
            Err(why) => {
                report.misses.push(cannot_start(why));
                false
            }
        };
        report.took = begun.elapsed();
        (!stopped).then_some(report)
    }

    async fn engine(&self, crew: Loaded) -> Result<Engine, String> {
        let providers = Providers::new().with("scripted", Arc::new(Scripted::at_once()));
        providers.replace_all_with("scripted").map_err(|error| error.to_string())?;
        let builder = Engine::builder().providers(providers).tools(self.tools.clone());
        builder.cancel_grace(CANCEL_GRACE).crew(crew).start().await.map_err(|error| error.to_string())
    }
}

/// The crew with the test's own script, if it has one.
fn with_script(loaded: &Loaded, test: &Test) -> Loaded {
    let mut loaded = loaded.clone();
    if let Some(script) = &test.script {
        loaded.crew.source.insert(SCRIPT_FILE.to_owned(), script.to_string());
        loaded.crew.hash = hash(&loaded.crew.source).into();
    }
    loaded
}

fn cannot_start(why: impl fmt::Display) -> Miss {
    Miss::new("start", "the run begins", why.to_string())
}

/// Runs the test and fills in its report.
async fn drive(engine: &Engine, report: &mut Report) {
    let test = &report.test;
    let start = StartRun {
        crew: report.crew.name.clone(),
        input: test.input.clone(),
        history: test.history.clone(),
        start_at: test.start_at.clone(),
        vars: test.vars.clone(),
        ..StartRun::default()
    };
    let run = match engine.start(start).await {
        Ok(run) => run,
        Err(error) => return report.misses.push(cannot_start(error)),
    };
    let told = match tokio::time::timeout(test.timeout, answer(engine, &run, test)).await {
        Ok(told) => told,
        Err(_) => {
            let limit = format!("the test ends within {} s", test.timeout.as_secs_f64());
            vec![Miss::new("timeout", limit, "it was still running")]
        }
    };
    let read = match log(engine, &run).await {
        Ok(log) => {
            report.log = log;
            Facts::of(&report.crew, &report.log).map_err(|error| error.to_string())
        }
        Err(why) => Err(why),
    };
    report.misses = told;
    match read {
        // Of a run that was cut, nothing else can be said.
        Ok(facts) => {
            if facts.state != RunState::Running {
                report.misses.extend(verdict(&report.test.expect, &facts));
            }
            report.facts = Some(facts);
        }
        Err(why) => report.misses.push(Miss::new("log", "the run's log can be read", why)),
    }
}

/// Answers each pause until the run ends, or stays paused because no answer is left.
async fn answer(engine: &Engine, run: &RunId, test: &Test) -> Vec<Miss> {
    let mut answers = test.answers.iter();
    loop {
        let view = match engine.wait(run).await {
            Ok(view) => view,
            Err(error) => return vec![Miss::new("run", "the run goes on", error.to_string())],
        };
        let left = answers.len();
        match (view.waits.first(), answers.next()) {
            (Some(wait), Some(answer)) => {
                if let Err(error) = engine.answer(run, Some(wait.wait), answer.clone()).await {
                    let number = test.answers.len() - left + 1;
                    return vec![Miss::new(
                        format!("answer {number}"),
                        "the run takes it",
                        error.to_string(),
                    )];
                }
            }
            (None, Some(_)) => {
                let used = test.answers.len() - left;
                let expected = format!("{} answers are asked for", test.answers.len());
                return vec![Miss::new("answers", expected, format!("the run asked for {used}"))];
            }
            (_, None) => return Vec::new(),
        }
    }
}

async fn log(engine: &Engine, run: &RunId) -> Result<Vec<Recorded>, String> {
    let mut log: Vec<Recorded> = Vec::new();
    loop {
        let after = log.last().map_or(Seq(0), |last| last.seq);
        let page = engine.journal().read(run, after, PAGE).await.map_err(|error| error.to_string())?;
        if page.is_empty() {
            return Ok(log);
        }
        log.extend(page.iter().map(|stored| stored.recorded.clone()));
    }
}
