//! `boathouse test`: the tests of crews, with the scripted model.

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use boathouse::core::crew::problem::{Problem, count};
use boathouse::crew_test::{Report, Runner, Suite, Test};
use boathouse::tool::Tools;
use clap::Args;
use futures_util::{StreamExt, stream};

use super::exit::{Exit, Failure};
use super::setup::Parts;
use super::signals::StopSignals;
use super::{crews, paint};

mod json;
mod terminal;

const AFTER_HELP: &str = "\
Examples:
  boathouse test examples/it-support
  boathouse test crews/* --jobs 4 --junit report.xml
  boathouse test my-crew --filter \"vague request\"
  boathouse test my-crew --json | jq 'select(.passed == false)'

Tests are the files tests/*.yaml beside crew.yaml; docs/testing.md describes them. Models are
replaced by `scripted`, tools are real. Results come in the order of the files.

Ctrl-C stops the tests and says how many have run. A second one quits at once.

Exit codes:
  0 all tests passed, 1 some failed or a report could not be written, 2 usage, a file that
  cannot be read, or no tests, 130 stopped by Ctrl-C, 143 by SIGTERM";

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct TestArgs {
    /// Folders of crews
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Only tests whose file or name contains this text
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// How many tests run at once; as many as there are processors if left out
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Print one JSON object a line: each test, then a summary
    #[arg(long)]
    json: bool,
}

/// A test, and where it is from.
struct Chosen<'a> {
    /// The folder of its crew.
    dir: &'a Path,
    suite: &'a Suite,
    test: &'a Test,
}

/// The result of a test, as the reports show it.
struct Shown<'a> {
    /// The folder of its crew, as it was given.
    dir: &'a Path,
    report: Report,
}

impl Shown<'_> {
    /// The file as seen from where the command runs, and the line.
    fn place(&self) -> String {
        format!("{}:{}", self.dir.join(&self.report.test.file).display(), self.report.test.line)
    }
}

/// Runs tests.
pub(crate) async fn test(args: TestArgs) -> Result<Exit, Failure> {
    let mut signals = StopSignals::take_over()?;
    let suites = load(&args.dirs)?;
    let chosen = choose(&suites, args.filter.as_deref())?;
    let jobs = args.jobs.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let runner = Runner::new(Tools::builtin());
    let begun = Instant::now();
    let mut results = stream::iter(&chosen)
        .map(|chosen| {
            let run = runner.run(chosen.suite, chosen.test);
            async move { Some(Shown { dir: chosen.dir, report: run.await? }) }
        })
        .buffered(jobs);
    let mut shown: Vec<Shown<'_>> = Vec::new();
    let mut stopped = None;
    loop {
        tokio::select! {
            next = results.next() => match next {
                Some(Some(result)) => {
                    let new_crew = shown.last().is_none_or(|last| last.dir != result.dir);
                    match args.json {
                        true => json::test(&result),
                        false => terminal::test(&result, new_crew),
                    }
                    .map_err(cannot_write)?;
                    shown.push(result);
                }
                Some(None) => {}
                None => break,
            },
            exit = signals.next() => match stopped {
                None => {
                    runner.stop();
                    stopped = Some(exit);
                }
                Some(exit) => return Ok(exit),
            },
        }
    }
    let summary = Summary::of(&shown, chosen.len(), begun);
    match args.json {
        true => json::summary(&summary),
        false => terminal::summary(&summary),
    }
    .map_err(cannot_write)?;
    Ok(match stopped {
        Some(exit) => exit,
        None if summary.failed > 0 => Exit::Failed,
        None => Exit::Done,
    })
}

/// How it went.
struct Summary {
    passed: usize,
    failed: usize,
    /// Tests that did not run, because they were stopped.
    not_run: usize,
    took_ms: u64,
}

impl Summary {
    fn of(shown: &[Shown<'_>], chosen: usize, begun: Instant) -> Summary {
        let passed = shown.iter().filter(|shown| shown.report.passed()).count();
        Summary {
            passed,
            failed: shown.len() - passed,
            not_run: chosen - shown.len(),
            took_ms: millis(begun.elapsed()),
        }
    }
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Reads all crews and all their tests; what is wrong with them is told at once.
fn load(dirs: &[PathBuf]) -> Result<Vec<(&Path, Suite)>, Failure> {
    let catalog = Parts::new(None)?.catalog();
    let (mut suites, mut broken) = (Vec::new(), Vec::new());
    for dir in dirs {
        let read = crews::read(dir, &catalog);
        let Some(crew) = read.crew else {
            crews::tell(&errors(read.problems));
            broken.push(dir);
            continue;
        };
        match Suite::load(dir, crew) {
            Ok(suite) => {
                crews::tell(&crews::seen_from_here(dir, suite.warnings.clone()));
                if suite.tests.is_empty() {
                    paint::warn(format!("{}: no tests; they are files tests/*.yaml", dir.display()));
                }
                suites.push((dir.as_path(), suite));
            }
            Err(error) => {
                crews::tell(&crews::seen_from_here(dir, error.problems.clone()));
                paint::error(format!("{}: {}", dir.display(), count(&error.problems)));
                broken.push(dir);
            }
        }
    }
    match &broken[..] {
        [] => Ok(suites),
        [dir] => Err(Failure::usage(format!("the tests in {} cannot be run", dir.display()))),
        dirs => Err(Failure::usage(format!("the tests in {} folders cannot be run", dirs.len()))),
    }
}

fn errors(problems: Vec<Problem>) -> Vec<Problem> {
    problems.into_iter().filter(Problem::is_error).collect()
}

/// The tests that are to run.
fn choose<'a>(suites: &'a [(&'a Path, Suite)], filter: Option<&str>) -> Result<Vec<Chosen<'a>>, Failure> {
    let all = suites
        .iter()
        .flat_map(|(dir, suite)| suite.tests.iter().map(move |test| Chosen { dir, suite, test }));
    let wanted = filter.map(str::to_lowercase);
    let fits = |chosen: &Chosen<'_>| {
        let has = |text: &str, wanted: &str| text.to_lowercase().contains(wanted);
        wanted.as_ref().is_none_or(|wanted| {
            has(&chosen.test.name, wanted)
                || has(&chosen.dir.join(&chosen.test.file).to_string_lossy(), wanted)
        })
    };
    let count = suites.iter().map(|(_, suite)| suite.tests.len()).sum::<usize>();
    let chosen: Vec<Chosen<'_>> = all.filter(fits).collect();
    match (chosen.is_empty(), filter) {
        (false, _) => Ok(chosen),
        (true, Some(filter)) if count > 0 => {
            Err(Failure::usage(format!("none of the {count} tests has `{filter}` in its file or name")))
        }
        (true, _) => Err(Failure::usage("there are no tests").hint("docs/testing.md shows how to write one")),
    }
}

fn cannot_write(error: io::Error) -> Failure {
    match error.kind() {
        // Whoever read it has read enough.
        io::ErrorKind::BrokenPipe => Failure::told(),
        _ => Failure::new(format!("cannot write to stdout: {error}")),
    }
}
