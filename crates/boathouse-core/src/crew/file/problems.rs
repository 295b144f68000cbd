//! Collects the problems of a crew's files.

use std::collections::BTreeMap;

use crate::crew::Source;
use crate::crew::problem::{Code, Problem, Severity, lines, sort, suggest};
use crate::crew::yaml::{Fault, Place};

/// A place in one of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At<'a> {
    /// The file.
    pub file: &'a str,
    /// Where in it.
    pub place: Place,
}

/// Most names that a misspelt one is compared with.
const MAX_CANDIDATES: usize = 1000;

/// Most names that a hint lists, and how long each may be.
const MAX_LISTED: usize = 20;
const LONGEST_LISTED: usize = 40;

/// Most problems that are listed; the rest is counted.
pub const MAX_PROBLEMS: usize = 500;

/// "`a`, `b` and `c`".
pub(super) fn listed(words: &[&str], last: &str) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((only, [])) => only.clone(),
        Some((end, rest)) => format!("{} {last} {end}", rest.join(", ")),
        None => String::new(),
    }
}

/// Collects problems.
#[derive(Debug)]
pub struct Problems<'a> {
    lines: BTreeMap<&'a str, Vec<&'a str>>,
    list: Vec<Problem>,
    errors: usize,
    left_out: usize,
}

impl<'a> Problems<'a> {
    /// None yet, in these files.
    pub fn new(source: &'a Source) -> Problems<'a> {
        let lines = source.iter().map(|(file, text)| (file.as_str(), lines(text))).collect();
        Problems { lines, list: Vec::new(), errors: 0, left_out: 0 }
    }

    /// The crew cannot run.
    pub fn error(&mut self, at: At<'_>, code: Code, message: String, hint: Option<String>) {
        self.add(Severity::Error, at, code, message, hint);
    }

    /// The crew can run, but something does not do what the file says.
    pub fn warn(&mut self, at: At<'_>, code: Code, message: String, hint: Option<String>) {
        self.add(Severity::Warning, at, code, message, hint);
    }

    /// What the YAML reader found.
    pub fn fault(&mut self, file: &str, fault: Fault) {
        self.error(At { file, place: fault.at }, fault.code, fault.message, fault.hint);
    }

    /// A problem of a whole file.
    pub fn of_file(
        &mut self,
        severity: Severity,
        code: Code,
        file: &str,
        message: String,
        hint: Option<String>,
    ) {
        self.push(severity, || Problem::of_file(severity, code, file, message, hint));
    }

    fn add(&mut self, severity: Severity, at: At<'_>, code: Code, message: String, hint: Option<String>) {
        let line = self.lines.get(at.file).and_then(|lines| lines.get(at.place.line.wrapping_sub(1)));
        let line = line.copied().unwrap_or("");
        self.push(severity, || Problem::of_file(severity, code, at.file, message, hint).at(at.place, line));
    }

    fn push(&mut self, severity: Severity, problem: impl FnOnce() -> Problem) {
        if severity == Severity::Error {
            self.errors += 1;
        }
        if self.list.len() < MAX_PROBLEMS {
            self.list.push(problem());
        } else {
            self.left_out += 1;
        }
    }

    /// `did you mean ...?`, unless there are so many problems that nobody would read it.
    pub fn similar<'n>(&self, name: &str, candidates: impl IntoIterator<Item = &'n str>) -> Option<String> {
        if self.list.len() < MAX_PROBLEMS {
            suggest(name, candidates.into_iter().take(MAX_CANDIDATES))
        } else {
            None
        }
    }

    /// The same, and where no name is alike the names that there are, if they can be read at a glance.
    pub fn suggest<'n>(
        &self,
        name: &str,
        candidates: impl IntoIterator<Item = &'n str, IntoIter: Clone>,
    ) -> Option<String> {
        if self.list.len() >= MAX_PROBLEMS {
            return None;
        }
        let candidates = candidates.into_iter();
        self.similar(name, candidates.clone()).or_else(|| {
            let few: Vec<&str> = candidates.take(MAX_LISTED + 1).collect();
            let short =
                few.len() <= MAX_LISTED && few.iter().all(|name| name.chars().count() <= LONGEST_LISTED);
            match few.len() {
                0 => None,
                _ if !short => None,
                1 => Some(format!("there is only `{}`", few[0])),
                _ => Some(format!("there are {}", listed(&few, "and"))),
            }
        })
    }

    /// The first place at or after `at` where the file says `wanted` within one line; else `at`.
    ///
    /// Does not look when there are so many problems already that this one would not be listed.
    pub fn find(&self, at: At<'a>, wanted: &str) -> At<'a> {
        if self.list.len() >= MAX_PROBLEMS {
            return at;
        }
        let lines = self.lines.get(at.file).map(Vec::as_slice).unwrap_or_default();
        for (place, line) in lines.iter().enumerate().skip(at.place.line.saturating_sub(1)) {
            if let Some(byte) = line.find(wanted) {
                let column = line[..byte].chars().count() + 1;
                return At { place: Place { line: place + 1, column, length: wanted.chars().count() }, ..at };
            }
        }
        at
    }

    /// Whether there was an error so far.
    pub fn any_error(&self) -> bool {
        self.errors > 0
    }

    /// How many errors there were so far.
    pub fn error_count(&self) -> usize {
        self.errors
    }

    /// All problems: `crew.yaml` first, then file by file, in the order of the text.
    pub fn finish(mut self) -> Vec<Problem> {
        let listed = self.list.iter().filter(|problem| problem.is_error()).count();
        if self.left_out > 0 {
            let severity = if self.errors > listed { Severity::Error } else { Severity::Warning };
            let message = format!("{} more problems", self.left_out);
            let hint = Some("mend the ones above and check again".to_owned());
            self.list.push(Problem::of_file(severity, Code::TooManyProblems, "crew.yaml", message, hint));
        }
        sort(&mut self.list);
        self.list
    }
}
