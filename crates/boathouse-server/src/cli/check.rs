//! `boathouse check`: every problem of a crew's files at once, its tests included.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use boathouse::core::crew::problem::{Problem, count};
use boathouse::crew_test::Suite;
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::crews::{self, Read};
use super::exit::{Exit, Failure};
use super::paint::GOOD;
use super::setup::Parts;

const AFTER_HELP: &str = "\
Examples:
  boathouse check examples/it-support
  boathouse check crews/*
  boathouse check my-crew --format json | jq '.problems[].message'

Problems go to stderr, each with file, line, column, the line itself and what to do.
With --format json one object goes to stdout: {ok, errors, warnings, problems: [...]}.

Exit codes: 0 no errors (warnings may be), 1 errors, 2 usage";

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct CheckArgs {
    /// Folders of crews
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// How problems are told
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For editors and CI
    Json,
}

/// All that was found, for programs.
#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    errors: usize,
    warnings: usize,
    problems: &'a [Problem],
}

/// Checks crews.
pub(crate) fn check(args: &CheckArgs) -> Result<Exit, Failure> {
    let catalog = Parts::new(None)?.catalog();
    let read: Vec<Read> = args.dirs.iter().map(|dir| with_tests(dir, crews::read(dir, &catalog))).collect();
    match args.format {
        Format::Text => {
            for (dir, read) in args.dirs.iter().zip(&read) {
                crews::tell(&read.problems);
                let verdict = match (&read.crew, count(&read.problems)) {
                    (Some(loaded), found) => {
                        let agents = match loaded.crew.agents.len() {
                            1 => "1 agent".to_owned(),
                            many => format!("{many} agents"),
                        };
                        let found = if found.is_empty() { "no problems".to_owned() } else { found };
                        format!("{GOOD}ok{GOOD:#} {}: {agents}, {found}", dir.display())
                    }
                    (None, found) => {
                        // One line on stderr, for those who keep only that.
                        Failure::new(format!("{}: {found}", dir.display())).report();
                        continue;
                    }
                };
                print(&verdict)?;
            }
        }
        Format::Json => {
            let problems: Vec<Problem> = read.iter().flat_map(|read| read.problems.clone()).collect();
            let errors = problems.iter().filter(|problem| problem.is_error()).count();
            let report =
                Report { ok: errors == 0, errors, warnings: problems.len() - errors, problems: &problems };
            print(&serde_json::to_string_pretty(&report).map_err(Failure::new)?)?;
        }
    }
    Ok(if read.iter().all(|read| read.crew.is_some()) { Exit::Done } else { Exit::Failed })
}

/// The same, with what is wrong with the crew's tests: they can be read only where the crew can.
fn with_tests(dir: &Path, mut read: Read) -> Read {
    let Some(loaded) = &read.crew else { return read };
    let (sound, found) = match Suite::load(dir, loaded.clone()) {
        Ok(suite) => (true, suite.warnings),
        Err(error) => (false, error.problems),
    };
    read.problems.extend(crews::seen_from_here(dir, found));
    if !sound {
        read.crew = None;
    }
    read
}

/// A line on stdout. A reader that has gone wants no more.
pub(super) fn print(line: &str) -> Result<(), Failure> {
    match writeln!(anstream::stdout(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}
