//! A crew's files as written: which keys there are, what each takes, and whether it does anything.
//!
//! The tables in [`keys`] say it; [`validate`] holds a tree against them and reports every key that is unknown, of
//! the wrong type, out of range, missing, or without effect. [`View`] then reads values, and gives `None` for
//! whatever is absent or was reported. Names are not resolved here.

use super::problem::Code;
use super::yaml::{Node, Yaml};

mod hints;
pub mod keys;
pub mod page;
mod problems;
pub mod schema;
mod view;

use problems::listed;
pub use problems::{At, MAX_PROBLEMS, Problems};
pub use view::{Said, View};

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
    /// Whatever stands there.
    Any,
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
    /// One word for the map, for programs: `agent`.
    pub name: &'static str,
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
    /// What it takes in words that say more than its kind; empty if there are none.
    pub takes: &'static str,
    /// What counts where it is not written, for people; empty if that goes without saying.
    pub default: &'static str,
    /// What it is for, for people: a fragment without a full stop, as `names the crew`.
    pub says: &'static str,
    /// Whether it acts.
    pub does: Does,
}

impl Key {
    /// The same, with what it takes in words.
    pub const fn takes(self, takes: &'static str) -> Key {
        Key { takes, ..self }
    }

    /// The same, with what counts where it is not written.
    pub const fn or(self, default: &'static str) -> Key {
        Key { default, ..self }
    }

    /// Why it does nothing; `None` if it acts.
    pub fn idle(&self) -> Option<&'static str> {
        match self.does {
            Does::Nothing(why) | Does::Instead(why) | Does::NotYet(why) => Some(why),
            Does::Acts | Does::Needed | Does::NeededByCheck | Does::Note => None,
        }
    }

    /// Whether the map makes no sense without it.
    pub fn is_needed(&self) -> bool {
        matches!(self.does, Does::Needed | Does::NeededByCheck)
    }
}

/// Whether a key acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// As its documentation says.
    Acts,
    /// The same, and the map makes no sense without it.
    Needed,
    /// The same; the check of the whole crew tells when it is missing, because it knows what to write.
    NeededByCheck,
    /// Nothing; it is a note for whoever reads the file.
    Note,
    /// Nothing, for this reason.
    Nothing(&'static str),
    /// Nothing: this is how the same is said here.
    Instead(&'static str),
    /// Nothing so far, for this reason.
    NotYet(&'static str),
}

/// Holds a value against what it must be, and reports everything that is not.
pub fn validate(node: &Node, kind: &Kind, file: &str, name: &str, problems: &mut Problems<'_>) {
    let at = At { file, place: node.at };
    let wrong = |problems: &mut Problems<'_>, wanted: &str| {
        let message = format!("`{name}` must be {wanted}, not {}", node.kind());
        let hint = hints::instead_of(node, kind).unwrap_or_else(|| hints::fitting(kind).to_owned());
        problems.error(at, Code::WrongType, message, Some(hint));
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
                    problems.error(at, Code::ControlCharacter, message, Some("remove it".to_owned()));
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
                out_of_range(problems, at, name, number, *min, *max, "");
            }
            Some(_) => {}
            None => wrong(problems, "a whole number"),
        },
        Kind::Number { min, max } => match node.number() {
            Some(number) if number < *min || number > *max => {
                out_of_range(problems, at, name, number, *min, *max, "");
            }
            Some(_) => {}
            None => wrong(problems, "a number"),
        },
        Kind::Setting { max, default } => match node.whole() {
            Some(0) => zero(problems, at, name, default),
            Some(number) if number < 0 || number > *max => {
                out_of_range(problems, at, name, number, 1, *max, default);
            }
            Some(_) => {}
            None => wrong(problems, "a whole number"),
        },
        Kind::Seconds { default } => match node.number() {
            Some(0.0) => zero(problems, at, name, default),
            Some(number) if !(MIN_SECONDS..=MAX_SECONDS).contains(&number) => {
                out_of_range(problems, at, name, number, MIN_SECONDS, MAX_SECONDS, default);
            }
            Some(_) => {}
            None => wrong(problems, "a number of seconds"),
        },
        Kind::Choice(words) => match node.text() {
            Some(word) if words.contains(&word) => {}
            Some(word) => {
                let message = format!("`{name}` is {}, not `{word}`", one_of(words));
                let hint = choose(problems, word, words);
                problems.error(at, Code::UnknownChoice, message, Some(hint));
            }
            None => wrong(problems, &one_of(words)),
        },
        Kind::List(item) => match node.items() {
            Some(items) => {
                for node in items {
                    if node.is_null() && !matches!(item, Kind::TextOrNull) {
                        let at = At { file, place: node.at };
                        let message = format!("an item of `{name}` is empty");
                        problems.error(at, Code::WrongType, message, Some("remove the item".to_owned()));
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
        Kind::Any => {}
        Kind::Either { what, scalar, list, map } => {
            let fitting = match &node.yaml {
                Yaml::Scalar { .. } => scalar,
                Yaml::List(_) => list,
                Yaml::Map(_) => map,
            };
            match (fitting, node.text()) {
                (Some(Kind::Choice(words)), Some(word)) if !words.contains(&word) => {
                    let hint = choose(problems, word, words);
                    let message = format!("`{name}` is {what}, not `{word}`");
                    problems.error(at, Code::UnknownChoice, message, Some(hint));
                }
                (Some(kind), _) => validate(node, kind, file, name, problems),
                (None, _) => wrong(problems, what),
            }
        }
    }
}

/// The shortest time that can be asked for.
const MIN_SECONDS: f64 = 0.001;
/// The longest time that can be asked for: 30 days.
const MAX_SECONDS: f64 = 30.0 * 86_400.0;

fn out_of_range<T: std::fmt::Display + PartialOrd>(
    problems: &mut Problems<'_>,
    at: At<'_>,
    name: &str,
    is: T,
    min: T,
    max: T,
    default: &str,
) {
    let message = format!("`{name}` is {is}, but must lie between {min} and {max}");
    let nearest = if is < min { min } else { max };
    let or_default = match default {
        "" => String::new(),
        default => format!(", or remove the key: the default is {default}"),
    };
    problems.error(at, Code::OutOfRange, message, Some(format!("write `{nearest}`{or_default}")));
}

fn zero(problems: &mut Problems<'_>, at: At<'_>, name: &str, default: &str) {
    let message = format!("`{name}: 0` means the default, which is {default}");
    problems.warn(
        at,
        Code::ZeroIsDefault,
        message,
        Some("write the value that you want, or remove the key".to_owned()),
    );
}

/// What to do about a word that is none of these.
fn choose(problems: &Problems<'_>, word: &str, words: &[&str]) -> String {
    problems.similar(word, words.iter().copied()).unwrap_or_else(|| "write one of these".to_owned())
}

fn one_of(words: &[&str]) -> String {
    listed(words, "or")
}

fn validate_map(node: &Node, table: &Table, file: &str, problems: &mut Problems<'_>) {
    for entry in node.entries().unwrap_or_default() {
        let at = At { file, place: entry.key_at };
        match table.keys.iter().find(|key| key.name == entry.key) {
            Some(key) => {
                match key.does {
                    Does::Acts | Does::Needed | Does::NeededByCheck | Does::Note => {}
                    Does::Nothing(why) | Does::Instead(why) => {
                        let message = format!("`{}` does nothing: {why}", key.name);
                        problems.warn(at, Code::NoEffect, message, Some("remove the key".to_owned()));
                    }
                    Does::NotYet(why) => {
                        let message = format!("`{}` does nothing yet in this version: {why}", key.name);
                        problems.warn(
                            at,
                            Code::NotYet,
                            message,
                            Some("remove the key until then".to_owned()),
                        );
                    }
                }
                validate(&entry.value, &key.kind, file, key.name, problems);
            }
            // Free for the author: anchors and notes for other programs.
            None if entry.key.starts_with("x-") => {}
            None => {
                let known = table.keys.iter().filter(|key| key.idle().is_none());
                let mistaken = table.mistaken.iter().find(|(wrong, _)| *wrong == entry.key);
                let hint = match mistaken {
                    Some((_, hint)) => Some((*hint).to_owned()),
                    None => problems.suggest(&entry.key, known.map(|key| key.name)),
                };
                let hint = hint.or_else(|| Some("remove it; docs/crew-file.md lists the keys".to_owned()));
                let message = format!("{} has no key `{}`", table.what, entry.key);
                problems.error(at, Code::UnknownKey, message, hint);
            }
        }
    }
    for key in table.keys.iter().filter(|key| key.does == Does::Needed) {
        let given = node.entries().unwrap_or_default().iter().find(|entry| entry.key == key.name);
        if given.is_none_or(|entry| entry.value.is_null()) {
            let at = At { file, place: given.map_or(node.at, |entry| entry.key_at) };
            let hint = format!("write `{}`", hints::sample(key));
            problems.error(at, Code::MissingKey, format!("{} needs `{}`", table.what, key.name), Some(hint));
        }
    }
}
