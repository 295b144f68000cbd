//! Crews from folders, and what is wrong with them.

use std::io::Write;
use std::path::Path;

use anstyle::Style;
use boathouse::core::crew::Source;
use boathouse::core::crew::check::Catalog;
use boathouse::core::crew::problem::{Problem, count};
use boathouse::crew_dir::{self, Loaded};

use super::exit::Failure;
use super::paint::{self, BAD, BOLD, DIM, HINT, WARN};

/// What a folder gave.
pub(crate) struct Read {
    /// The crew; `None` if any problem is an error.
    pub(crate) crew: Option<Loaded>,
    /// All problems, with files as seen from where the command runs.
    pub(crate) problems: Vec<Problem>,
}

/// Reads and checks a crew.
pub(crate) fn read(dir: &Path, catalog: &Catalog) -> Read {
    check(dir, crew_dir::read(dir), catalog)
}

/// Checks a crew whose files were read from a folder.
pub(crate) fn check(dir: &Path, files: (Source, Vec<Problem>), catalog: &Catalog) -> Read {
    let (mut crew, problems) = match crew_dir::load_files(dir, files, catalog) {
        Ok(mut loaded) => {
            let warnings = std::mem::take(&mut loaded.warnings);
            (Some(loaded), warnings)
        }
        Err(error) => (None, error.problems),
    };
    if let Some(loaded) = &mut crew {
        // Command tools run there, wherever it is seen from.
        loaded.dir = std::path::absolute(dir).ok();
    }
    Read { crew, problems: seen_from_here(dir, problems) }
}

/// Problems with their files as seen from where the command runs.
pub(crate) fn seen_from_here(dir: &Path, mut problems: Vec<Problem>) -> Vec<Problem> {
    for problem in &mut problems {
        problem.file = dir.join(&problem.file).display().to_string();
    }
    problems
}

/// Loads a crew that is to run. Errors are told on stderr, one by one; warnings only by their number.
pub(crate) fn load(dir: &Path, catalog: &Catalog) -> Result<Loaded, Failure> {
    let Read { crew, problems } = read(dir, catalog);
    match crew {
        Some(mut loaded) => {
            if !problems.is_empty() {
                let dir = dir.display();
                paint::warn(format!("{dir}: {}; `boathouse check {dir}` shows them", count(&problems)));
            }
            loaded.warnings = problems;
            Ok(loaded)
        }
        None => {
            let errors: Vec<Problem> = problems.into_iter().filter(Problem::is_error).collect();
            tell(&errors);
            Err(Failure::new(format!("{} cannot be run: {}", dir.display(), count(&errors))))
        }
    }
}

/// Tells problems on stderr, with colours.
pub(crate) fn tell(problems: &[Problem]) {
    let mut err = anstream::stderr().lock();
    for problem in problems {
        let style = if problem.is_error() { BAD } else { WARN };
        for (number, line) in problem.to_string().lines().enumerate() {
            let _ = writeln!(err, "{}", painted(line, number == 0, style));
        }
        let _ = writeln!(err);
    }
}

/// One line of a problem: its head, its place, the line of the file, the carets, or the help.
fn painted(line: &str, is_head: bool, style: Style) -> String {
    if is_head {
        return match line.split_once(": ") {
            Some((head, message)) => format!("{style}{head}{style:#}: {BOLD}{message}{BOLD:#}"),
            None => line.to_owned(),
        };
    }
    let rest = line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit());
    let gutter = &line[..line.len() - rest.len()];
    if let Some(place) = rest.strip_prefix("--> ") {
        return format!("{DIM}{gutter}-->{DIM:#} {place}");
    }
    if let Some(help) = rest.strip_prefix("= help: ") {
        return format!("{DIM}{gutter}={DIM:#} {HINT}help:{HINT:#} {help}");
    }
    match rest.strip_prefix('|') {
        Some(carets) if !carets.is_empty() && carets.chars().all(|c| c == ' ' || c == '^') => {
            format!("{DIM}{gutter}|{DIM:#}{style}{carets}{style:#}")
        }
        Some(text) => format!("{DIM}{gutter}|{DIM:#}{text}"),
        None => line.to_owned(),
    }
}
