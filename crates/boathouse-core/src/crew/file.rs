//! A crew's files as written: which keys there are, what each takes, and whether it does anything.
//!
//! The tables in [`keys`] say it; [`validate`] holds a tree against them and reports every key that is unknown, of
//! the wrong type, out of range, missing, or without effect. [`View`] then reads values, and gives `None` for
//! whatever is absent or was reported. Names are not resolved here.

use std::collections::BTreeMap;

use super::Source;
use super::problem::{Problem, Severity, lines, suggest};
use super::yaml::{Fault, Node, Place, Yaml};

pub mod keys;

/// What a value must be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A text; numbers and flags count, as they are written.
    Text,
    /// A text, or null, which means something.
    TextOrNull,
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Whole {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// A number.
    Number {
        /// The least.
        min: f64,
        /// The greatest.
        max: f64,
    },
    /// A whole number where 0 means the default.
    Setting {
        /// The greatest.
        max: i64,
        /// The default, for people.
        default: &'static str,
    },
    /// A number of seconds where 0 means the default.
    Seconds {
        /// The default, for people.
        default: &'static str,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list.
    List(&'static Kind),
    /// A map with keys of the author's choice.
    Entries(&'static Kind),
    /// A map with the keys of a table.
    Map(&'static Table),
    /// A map that is taken as JSON.
    Json,
    /// A single value, a list or a map, whichever is written; `what` names all of them, for people.
    Either {
        /// What is expected, for people.
        what: &'static str,
        /// If a single value is written.
        scalar: Option<&'static Kind>,
        /// If a list is written.
        list: Option<&'static Kind>,
        /// If a map is written.
        map: Option<&'static Kind>,
    },
}

/// The keys of a map.
#[derive(Debug)]
pub struct Table {
    /// What the map describes, for people: `an agent`.
    pub what: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
    /// Words that people write instead of a key, with what to do.
    pub mistaken: &'static [(&'static str, &'static str)],
}

/// One key of a map.
#[derive(Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What it does.
    pub does: Does,
}

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// What the documentation says.
    Acts,
    /// The same, and the map makes no sense without it.
    Needed,
    /// Nothing; it is a note for whoever reads the file.
    Note,
    /// Nothing, for this reason.
    Nothing(&'static str),
}

/// A place in one of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At<'a> {
    /// The file.
    pub file: &'a str,
    /// Where in it.
    pub place: Place,
}

/// A value and where it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said<'a, T> {
    /// The value.
    pub value: T,
    /// Where.
    pub at: At<'a>,
}

/// Most names that a misspelt one is compared with.
const MAX_CANDIDATES: usize = 1000;

/// Most problems that are listed; the rest is counted.
pub const MAX_PROBLEMS: usize = 500;

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
    pub fn error(&mut self, at: At<'_>, code: &'static str, message: String, hint: Option<String>) {
        self.add(Severity::Error, at, code, message, hint);
    }

    /// The crew can run, but something does not do what the file says.
    pub fn warn(&mut self, at: At<'_>, code: &'static str, message: String, hint: Option<String>) {
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
        code: &'static str,
        file: &str,
        message: String,
        hint: Option<String>,
    ) {
        self.push(severity, || Problem::of_file(severity, code, file, message, hint));
    }

    fn add(
        &mut self,
        severity: Severity,
        at: At<'_>,
        code: &'static str,
        message: String,
        hint: Option<String>,
    ) {
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
    pub fn suggest<'n>(&self, name: &str, candidates: impl IntoIterator<Item = &'n str>) -> Option<String> {
        if self.list.len() < MAX_PROBLEMS {
            suggest(name, candidates.into_iter().take(MAX_CANDIDATES))
        } else {
            None
        }
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
            self.list.push(Problem::of_file(severity, "too_many_problems", "crew.yaml", message, hint));
        }
        self.list.sort_by(|a, b| {
            let key = |p: &Problem| (p.code == "too_many_problems", p.file != "crew.yaml");
            (key(a), &a.file, a.line, a.column).cmp(&(key(b), &b.file, b.line, b.column))
        });
        self.list
    }
}

/// Holds a value against what it must be, and reports everything that is not.
pub fn validate(node: &Node, kind: &Kind, file: &str, name: &str, problems: &mut Problems<'_>) {
    let at = At { file, place: node.at };
    let wrong = |problems: &mut Problems<'_>, wanted: &str| {
        let message = format!("`{name}` must be {wanted}, not {}", node.kind());
        problems.error(at, "wrong_type", message, None);
    };
    // A key without a value is as good as absent.
    if node.is_null() {
        return;
    }
    match kind {
        Kind::Text | Kind::TextOrNull => match node.text() {
            Some(text) => {
                if let Some(control) =
                    text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t' | '\r'))
                {
                    let message =
                        format!("`{name}` contains the control character U+{:04X}", u32::from(control));
                    problems.error(at, "control_character", message, None);
                }
            }
            None => wrong(problems, "a text"),
        },
        Kind::Flag => {
            if node.flag().is_none() {
                wrong(problems, "true or false");
            }
        }
        Kind::Whole { min, max } => match node.whole() {
            Some(number) if number < *min || number > *max => {
                out_of_range(problems, at, name, number, *min, *max);
            }
            Some(_) => {}
            None => wrong(problems, "a whole number"),
        },
        Kind::Number { min, max } => match node.number() {
            Some(number) if number < *min || number > *max => {
                out_of_range(problems, at, name, number, *min, *max);
            }
            Some(_) => {}
            None => wrong(problems, "a number"),
        },
        Kind::Setting { max, default } => match node.whole() {
            Some(0) => zero(problems, at, name, default),
            Some(number) if number < 0 || number > *max => out_of_range(problems, at, name, number, 1, *max),
            Some(_) => {}
            None => wrong(problems, "a whole number"),
        },
        Kind::Seconds { default } => match node.number() {
            Some(0.0) => zero(problems, at, name, default),
            Some(number) if !(0.001..=MAX_SECONDS).contains(&number) => {
                out_of_range(problems, at, name, number, 0.001, MAX_SECONDS);
            }
            Some(_) => {}
            None => wrong(problems, "a number of seconds"),
        },
        Kind::Choice(words) => match node.text() {
            Some(word) if words.contains(&word) => {}
            Some(word) => {
                let message = format!("`{name}` is {}, not `{word}`", one_of(words));
                let hint = problems.suggest(word, words.iter().copied());
                problems.error(at, "unknown_choice", message, hint);
            }
            None => wrong(problems, &one_of(words)),
        },
        Kind::List(item) => match node.items() {
            Some(items) => {
                for node in items {
                    if node.is_null() && !matches!(item, Kind::TextOrNull) {
                        let at = At { file, place: node.at };
                        let message = format!("an item of `{name}` is empty");
                        problems.error(at, "wrong_type", message, Some("remove the item".to_owned()));
                    }
                    validate(node, item, file, name, problems);
                }
            }
            None => wrong(problems, "a list"),
        },
        Kind::Entries(value) => match node.entries() {
            Some(entries) => {
                for entry in entries {
                    validate(&entry.value, value, file, &entry.key, problems);
                }
            }
            None => wrong(problems, "a map"),
        },
        Kind::Map(table) => match node.entries() {
            Some(_) => validate_map(node, table, file, problems),
            None => wrong(problems, "a map"),
        },
        Kind::Json => {
            if node.entries().is_none() {
                wrong(problems, "a map");
            }
        }
        Kind::Either { what, scalar, list, map } => {
            let fitting = match &node.yaml {
                Yaml::Scalar { .. } => scalar,
                Yaml::List(_) => list,
                Yaml::Map(_) => map,
            };
            match (fitting, node.text()) {
                (Some(Kind::Choice(words)), Some(word)) if !words.contains(&word) => {
                    let hint = problems.suggest(word, words.iter().copied());
                    problems.error(at, "unknown_choice", format!("`{name}` is {what}, not `{word}`"), hint);
                }
                (Some(kind), _) => validate(node, kind, file, name, problems),
                (None, _) => wrong(problems, what),
            }
        }
    }
}

/// The longest time that can be asked for: 30 days.
const MAX_SECONDS: f64 = 30.0 * 86_400.0;

fn out_of_range<T: std::fmt::Display>(
    problems: &mut Problems<'_>,
    at: At<'_>,
    name: &str,
    is: T,
    min: T,
    max: T,
) {
    problems.error(
        at,
        "out_of_range",
        format!("`{name}` is {is}, but must lie between {min} and {max}"),
        None,
    );
}

fn zero(problems: &mut Problems<'_>, at: At<'_>, name: &str, default: &str) {
    let message = format!("`{name}: 0` means the default, which is {default}");
    problems.warn(
        at,
        "zero_is_default",
        message,
        Some("write the value that you want, or remove the key".to_owned()),
    );
}

fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

fn validate_map(node: &Node, table: &Table, file: &str, problems: &mut Problems<'_>) {
    for entry in node.entries().unwrap_or_default() {
        let at = At { file, place: entry.key_at };
        match table.keys.iter().find(|key| key.name == entry.key) {
            Some(key) => match key.does {
                Does::Acts | Does::Needed => validate(&entry.value, &key.kind, file, key.name, problems),
                Does::Note => {}
                Does::Nothing(why) => {
                    problems.warn(at, "no_effect", format!("`{}` does nothing: {why}", key.name), None);
                }
            },
            // Free for the author: anchors and notes for other programs.
            None if entry.key.starts_with("x-") => {}
            None => {
                let known = table.keys.iter().filter(|key| !matches!(key.does, Does::Nothing(_)));
                let mistaken = table.mistaken.iter().find(|(wrong, _)| *wrong == entry.key);
                let hint = match mistaken {
                    Some((_, hint)) => Some((*hint).to_owned()),
                    None => problems.suggest(&entry.key, known.map(|key| key.name)),
                };
                let message = format!("{} has no key `{}`", table.what, entry.key);
                problems.error(at, "unknown_key", message, hint);
            }
        }
    }
    for key in table.keys.iter().filter(|key| key.does == Does::Needed) {
        let given = node.entries().unwrap_or_default().iter().find(|entry| entry.key == key.name);
        if given.is_none_or(|entry| entry.value.is_null()) {
            let at = At { file, place: given.map_or(node.at, |entry| entry.key_at) };
            problems.error(at, "missing_key", format!("{} needs `{}`", table.what, key.name), None);
        }
    }
}

/// Reads the values of a map that has been validated.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The file.
    pub file: &'a str,
    /// The map; anything else reads as an empty one.
    pub node: &'a Node,
}

impl<'a> View<'a> {
    /// Where the map begins.
    pub fn at(&self) -> At<'a> {
        At { file: self.file, place: self.node.at }
    }

    /// The entries with keys of the author's choice: where the key stands, and the value.
    pub fn entries(&self) -> impl Iterator<Item = (Said<'a, &'a str>, &'a Node)> + use<'a> {
        let file = self.file;
        self.node.entries().unwrap_or_default().iter().map(move |entry| {
            (Said { value: entry.key.as_str(), at: At { file, place: entry.key_at } }, &entry.value)
        })
    }

    /// Where a key stands, if it is written and has a value.
    pub fn key(&self, name: &str) -> Option<At<'a>> {
        let entry = self.node.entries()?.iter().find(|entry| entry.key == name)?;
        (!entry.value.is_null()).then_some(At { file: self.file, place: entry.key_at })
    }

    /// The value of a key, null included.
    pub fn get(&self, name: &str) -> Option<&'a Node> {
        self.node.entries()?.iter().find(|entry| entry.key == name).map(|entry| &entry.value)
    }

    fn said<T>(&self, name: &str, read: impl Fn(&'a Node) -> Option<T>) -> Option<Said<'a, T>> {
        let node = self.get(name)?;
        read(node).map(|value| Said { value, at: At { file: self.file, place: node.at } })
    }

    /// A text.
    pub fn text(&self, name: &str) -> Option<Said<'a, &'a str>> {
        self.said(name, Node::text)
    }

    /// A text that is kept, or the empty one.
    pub fn owned(&self, name: &str) -> String {
        self.text(name).map(|said| said.value.to_owned()).unwrap_or_default()
    }

    /// A flag.
    pub fn flag(&self, name: &str) -> Option<Said<'a, bool>> {
        self.said(name, Node::flag)
    }

    /// A number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.get(name)?.number()
    }

    /// A whole number that is not negative.
    pub fn whole<T: TryFrom<i64>>(&self, name: &str) -> Option<T> {
        self.get(name)?.whole().and_then(|number| T::try_from(number).ok())
    }

    /// A whole number above 0: a setting that is not left to its default.
    pub fn setting<T: TryFrom<i64>>(&self, name: &str) -> Option<T> {
        self.get(name)?.whole().filter(|number| *number > 0).and_then(|number| T::try_from(number).ok())
    }

    /// A time above 0, in milliseconds.
    pub fn millis(&self, name: &str) -> Option<u64> {
        let seconds = self.get(name)?.number().filter(|s| *s > 0.0 && *s <= MAX_SECONDS)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 30 days")]
        Some((seconds * 1000.0).round().max(1.0) as u64)
    }

    /// The texts of a list.
    pub fn texts(&self, name: &str) -> Vec<Said<'a, &'a str>> {
        self.items(name)
            .filter_map(|node| {
                node.text().map(|value| Said { value, at: At { file: self.file, place: node.at } })
            })
            .collect()
    }

    /// The items of a list.
    pub fn items(&self, name: &str) -> impl Iterator<Item = &'a Node> + use<'a> {
        self.get(name).and_then(Node::items).unwrap_or_default().iter()
    }

    /// The map under a key.
    pub fn map(&self, name: &str) -> Option<View<'a>> {
        let node = self.get(name)?;
        node.entries().map(|_| View { file: self.file, node })
    }

    /// The value of a key as JSON, if it is a map.
    pub fn json(&self, name: &str) -> Option<serde_json::Map<String, serde_json::Value>> {
        match self.map(name)?.node.to_json() {
            serde_json::Value::Object(map) => Some(map),
            _ => None,
        }
    }
}
