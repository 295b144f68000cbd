//! `boathouse test`: the tests of crews, with the scripted model.

use std::borrow::Cow;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use boathouse::core::crew::problem::{Problem, count};
use boathouse::core::ids::Timestamp;
use boathouse::crew_test::{Report, Runner, Suite, Test};
use boathouse::tool::Tools;
use clap::Args;
use futures_util::{StreamExt, stream};

use super::exit::{Exit, Failure};
use super::setup::Parts;
use super::signals::StopSignals;
use super::{crews, paint};

mod files;
mod html;
mod json;
mod junit;
mod terminal;

use files::Files;

const AFTER_HELP: &str = "\
Examples:
  boathouse test examples/it-support
  boathouse test crews/* --jobs 4 --junit report.xml --html report.html
  boathouse test my-crew --filter \"vague request\"
  boathouse test my-crew --json | jq 'select(.passed == false)'

Tests are the files tests/*.yaml beside crew.yaml; docs/testing.md describes them. Models are
replaced by `scripted`, tools are real. Results come in the order of the files. Reports are written
at the end, also after Ctrl-C, beside what is printed.

Ctrl-C stops the tests and says how many have run. A second one quits at once.

Exit codes:
  0 all tests passed, 1 some failed, the files have errors, there are no tests, or a report
  cannot be written, 2 usage, 130 stopped by Ctrl-C, 143 by SIGTERM";

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
    /// Write a JUnit report, for build servers
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write a page for the browser: one file that shows each test with its path, calls and replies
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// A test, and where it is from.
#[derive(Clone, Copy)]
struct Chosen<'a> {
    /// The folder of its crew, as it was given.
    dir: &'a Path,
    suite: &'a Suite,
    test: &'a Test,
}

impl Chosen<'_> {
    /// The file as seen from where the command runs.
    fn file(&self) -> String {
        self.dir.join(&self.test.file).display().to_string()
    }

    /// The file, and the line.
    fn place(&self) -> String {
        format!("{}:{}", self.file(), self.test.line)
    }
}

/// A test and what became of it.
struct Shown<'a> {
    chosen: Chosen<'a>,
    /// `None` if it was stopped.
    report: Option<Report>,
}

/// Runs tests.
pub(crate) async fn test(args: TestArgs) -> Result<Exit, Failure> {
    let mut signals = StopSignals::take_over()?;
    let suites = load(&args.dirs)?;
    let chosen = choose(&suites, args.filter.as_deref())?;
    let files = Files::create(args.junit.as_deref(), args.html.as_deref())?;
    let jobs = args.jobs.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let runner = Runner::new(Tools::builtin());
    let begun = (SystemTime::now(), Instant::now());
    let mut results = stream::iter(chosen)
        .map(|chosen| {
            let run = runner.run(chosen.suite, chosen.test);
            async move { Shown { chosen, report: run.await } }
        })
        .buffered(jobs);
    let mut shown: Vec<Shown<'_>> = Vec::new();
    let mut told: Option<&Path> = None;
    let mut stopped = None;
    loop {
        tokio::select! {
            next = results.next() => match next {
                Some(result) => {
                    if let Some(report) = &result.report {
                        let dir = result.chosen.dir;
                        match args.json {
                            true => json::test(&result.chosen, report),
                            false => terminal::test(&result.chosen, report, told != Some(dir)),
                        }
                        .map_err(cannot_write)?;
                        told = Some(dir);
                    }
                    shown.push(result);
                }
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
    let summary = Summary::of(&shown, begun);
    match args.json {
        true => json::summary(&summary),
        false => terminal::summary(&summary),
    }
    .map_err(cannot_write)?;
    files.write(&shown, &summary)?;
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
    begun_at: Timestamp,
    took_ms: u64,
}

impl Summary {
    fn of(shown: &[Shown<'_>], (at, begun): (SystemTime, Instant)) -> Summary {
        let reports = || shown.iter().filter_map(|shown| shown.report.as_ref());
        let passed = reports().filter(|report| report.passed()).count();
        Summary {
            passed,
            failed: reports().count() - passed,
            not_run: shown.len() - reports().count(),
            begun_at: Timestamp(at.duration_since(UNIX_EPOCH).map_or(0, |since| millis(since).cast_signed())),
            took_ms: millis(begun.elapsed()),
        }
    }
}

/// The tests of each crew together, in the order in which they were given.
fn by_crew<'s, 'a>(shown: &'s [Shown<'a>]) -> impl Iterator<Item = &'s [Shown<'a>]> {
    shown.chunk_by(|one, next| one.chosen.dir == next.chosen.dir)
}

/// A text, or its beginning and how much more there is.
fn cut(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        None => text.into(),
        Some((at, _)) => format!("{}… ({} more characters)", &text[..at], text[at..].chars().count()).into(),
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
        [dir] => Err(Failure::new(format!("the tests in {} cannot be run", dir.display()))),
        dirs => Err(Failure::new(format!("the tests in {} folders cannot be run", dirs.len()))),
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
        (true, _) => Err(Failure::new("there are no tests").hint("docs/testing.md shows how to write one")),
    }
}

fn cannot_write(error: io::Error) -> Failure {
    match error.kind() {
        // Whoever read it has read enough.
        io::ErrorKind::BrokenPipe => Failure::told(),
        _ => Failure::new(format!("cannot write to stdout: {error}")),
    }
}
