//! What is wrong with a crew's files, told so that a person can mend it: where, what, and how.

use std::fmt;

use serde::Serialize;
use unicode_normalization::char::is_combining_mark;

use super::yaml::Place;

mod code;

pub use code::Code;

/// Something wrong with a crew's files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Whether the crew can run all the same.
    pub severity: Severity,
    /// A stable word for it.
    pub code: Code,
    /// The file, relative to the crew's folder.
    pub file: String,
    /// From 1; 0 if it is about the whole file.
    pub line: usize,
    /// In characters, from 1; 0 if it is about the whole file.
    pub column: usize,
    /// How many characters are meant, from `column` on.
    pub length: usize,
    /// The line as it stands in the file; empty if it is about the whole file, or longer than 1000 characters.
    pub source_line: String,
    /// What is wrong: a fragment without a full stop.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Whether a crew can run all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but something does not do what the file says.
    Warning,
}

impl Problem {
    /// A problem of a whole file: it is missing, or cannot be read.
    pub fn of_file(
        severity: Severity,
        code: Code,
        file: impl Into<String>,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Problem {
        Problem {
            severity,
            code,
            file: file.into(),
            line: 0,
            column: 0,
            length: 0,
            source_line: String::new(),
            message: message.into(),
            hint,
        }
    }

    /// The same, at a place of its file; `source_line` is that line without its end.
    pub fn at(mut self, place: Place, source_line: &str) -> Problem {
        self.line = place.line;
        self.column = place.column;
        let count = source_line.chars().count();
        self.length = place.length.clamp(1, (count + 1).saturating_sub(place.column).max(1));
        if count <= LONGEST_LINE {
            source_line.clone_into(&mut self.source_line);
        }
        self
    }

    /// Whether no crew can be made of the files.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Lines with more characters than this are not kept with a problem.
const LONGEST_LINE: usize = 1000;

/// The lines of a text without their ends. YAML's line ends: LF, CR LF, CR.
pub fn lines(text: &str) -> Vec<&str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find(['\n', '\r']) {
        lines.push(&rest[..end]);
        let skip = if rest[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = &rest[end + skip..];
    }
    lines.push(rest);
    lines
}

/// `did you mean ...?` for a name that nobody knows; `None` if no candidate resembles it.
pub fn suggest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    if name.is_empty() || name.len() > 100 {
        return None;
    }
    let lower = name.to_lowercase();
    let alike = |candidate: &str| strsim::jaro_winkler(&lower, &candidate.to_lowercase());
    let scored = candidates.into_iter().filter(|candidate| candidate.len() <= 100).map(|c| (alike(c), c));
    let best =
        scored.filter(|(score, _)| *score >= 0.8).fold(None, |best: Option<(f64, &str)>, next| match best {
            Some(best) if best.0 >= next.0 => Some(best),
            _ => Some(next),
        });
    best.map(|(_, candidate)| format!("did you mean `{candidate}`?"))
}

/// Columns that a character takes in a terminal, near enough to put a caret under it.
fn width(c: char) -> usize {
    match c {
        _ if is_combining_mark(c) || matches!(c, '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}') => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{1f300}'..='\u{1faff}' => 2,
        _ => 1,
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

/// Longer source lines are shown as a piece around the place.
const SHOWN: usize = 160;

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}[{}]: {}", self.severity, self.code, self.message)?;
        if self.line == 0 {
            write!(f, " --> {}", self.file)?;
            if let Some(hint) = &self.hint {
                write!(f, "\n  = help: {hint}")?;
            }
            return Ok(());
        }
        let gutter = " ".repeat(self.line.to_string().len());
        write!(f, "{gutter}--> {}:{}:{}", self.file, self.line, self.column)?;
        if self.source_line.is_empty() {
            return match &self.hint {
                Some(hint) => write!(f, "\n{gutter} = help: {hint}"),
                None => Ok(()),
            };
        }
        let skipped = if self.column > SHOWN { self.column - SHOWN / 2 } else { 0 };
        let shown: String = self.source_line.chars().skip(skipped).take(SHOWN).collect();
        // Tabs and other control characters become one blank each, so that the caret stands right.
        let clean = |c: char| if c.is_control() { ' ' } else { c };
        let shown: String = shown.chars().map(clean).collect();
        let before = self.column.saturating_sub(skipped + 1);
        let pad: usize = shown.chars().take(before).map(width).sum();
        let carets: usize = shown.chars().skip(before).take(self.length).map(width).sum();
        writeln!(f, "\n{gutter} |")?;
        writeln!(f, "{} | {}", self.line, shown.trim_end())?;
        write!(f, "{gutter} | {}{}", " ".repeat(pad), "^".repeat(carets.max(1)))?;
        if let Some(hint) = &self.hint {
            write!(f, "\n{gutter} = help: {hint}")?;
        }
        Ok(())
    }
}

/// Brings problems into the order in which people read them: `crew.yaml` first, then file by file, in the order of the
/// text.
pub fn sort(problems: &mut [Problem]) {
    let key = |p: &Problem| (p.code == Code::TooManyProblems, p.file != "crew.yaml");
    problems.sort_by(|a, b| (key(a), &a.file, a.line, a.column).cmp(&(key(b), &b.file, b.line, b.column)));
}

/// All problems as people read them: one after the other, then a line that counts them. Empty for none.
pub fn render(problems: &[Problem]) -> String {
    if problems.is_empty() {
        return String::new();
    }
    let mut text: String = problems.iter().map(|problem| format!("{problem}\n\n")).collect();
    text.push_str(&count(problems));
    text.push('\n');
    text
}

/// `2 errors, 1 warning`; empty for no problems.
pub fn count(problems: &[Problem]) -> String {
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    let named = |count: usize, word: &str| match count {
        0 => None,
        1 => Some(format!("1 {word}")),
        _ => Some(format!("{count} {word}s")),
    };
    let parts = [named(errors, "error"), named(problems.len() - errors, "warning")];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str, place: Place) -> Problem {
        Problem::of_file(Severity::Error, Code::UnknownAgent, "crew.yaml", "no agent named `triag`", None)
            .at(place, lines(text).get(place.line.wrapping_sub(1)).copied().unwrap_or(""))
    }

    #[test]
    fn a_problem_shows_its_line_and_points_at_the_place() {
        let mut shown = problem("a: 1\r\n\ttarget: 漢 triag\r\n", Place { line: 2, column: 12, length: 5 });
        shown.hint = Some("did you mean `triage`?".to_owned());
        assert_eq!(
            shown.to_string(),
            "error[unknown_agent]: no agent named `triag`\n \
             --> crew.yaml:2:12\n  \
             |\n\
             2 |  target: 漢 triag\n  \
             |             ^^^^^\n  \
             = help: did you mean `triage`?"
        );
    }

    #[test]
    fn a_place_beyond_the_text_is_shown_all_the_same() {
        for place in [
            Place::default(),
            Place { line: 9, column: 9, length: 9 },
            Place { line: 1, column: 900, length: usize::MAX },
        ] {
            assert!(problem("short", place).to_string().contains("no agent"), "{place:?}");
        }
    }

    #[test]
    fn a_suggestion_is_made_only_where_names_are_alike() {
        let names = ["triage", "writer", "reviewer"];
        assert_eq!(suggest("triag", names).as_deref(), Some("did you mean `triage`?"));
        assert_eq!(suggest("Writer", names).as_deref(), Some("did you mean `writer`?"));
        assert_eq!(suggest("xyz", names), None);
    }

    #[test]
    fn json_has_every_field_an_editor_needs() {
        let json = serde_json::to_value(problem("x: y", Place { line: 1, column: 4, length: 1 }));
        assert_eq!(
            json.expect("plain data"),
            serde_json::json!({
                "severity": "error", "code": "unknown_agent", "file": "crew.yaml", "line": 1, "column": 4,
                "length": 1, "source_line": "x: y", "message": "no agent named `triag`",
            })
        );
    }

    #[test]
    fn the_count_speaks_english() {
        let error = problem("", Place::default());
        let warning = Problem { severity: Severity::Warning, ..error.clone() };
        assert_eq!(count(&[error.clone(), error, warning]), "2 errors, 1 warning");
    }
}
