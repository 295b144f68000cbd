//! A YAML document as a tree in which every node knows where it stands.
//!
//! Reads one document: scalars keep their text (what a plain `5` means is for whoever asks), aliases are resolved
//! where they stand, merge keys (`<<`) are applied. Bounded in depth and size, so that neither nesting nor aliases
//! can exhaust memory. What is wrong is told as [`Fault`]s; after a syntax error there is no tree.

use super::problem::Code;

mod reader;
#[cfg(test)]
mod tests;

pub use reader::parse;

/// Collections nested deeper than this are refused.
pub const MAX_DEPTH: usize = 64;
/// Documents with more nodes than this, aliases counted as what they stand for, are refused.
pub const MAX_NODES: usize = 200_000;
/// Documents with more bytes of text than this are refused, aliases counted in the same way.
pub const MAX_BYTES: usize = 8 * 1024 * 1024;

/// A place in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// How many characters of the line are meant; at least 1.
    pub length: usize,
}

/// A value and where it stands. A node that came by an alias stands where it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub at: Place,
    /// What it is.
    pub yaml: Yaml,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum Yaml {
    /// A text, a number, a flag or null: what it is depends on who asks.
    Scalar {
        /// The text, escapes resolved.
        text: String,
        /// Written without quotes: only then can it be a number, a flag or null.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the text. Keys are unique.
    Map(Vec<Entry>),
}

/// One key of a map with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_at: Place,
    /// Its value.
    pub value: Node,
}

/// Something that makes a text not the YAML that we read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub at: Place,
    /// A stable word for it.
    pub code: Code,
    /// What.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Node {
    /// Whether it is `null`, `~` or nothing at all.
    pub fn is_null(&self) -> bool {
        matches!(&self.yaml, Yaml::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What it is, for people.
    pub fn kind(&self) -> &'static str {
        match &self.yaml {
            Yaml::Scalar { .. } if self.is_null() => "nothing",
            Yaml::Scalar { .. } if self.flag().is_some() => "true or false",
            Yaml::Scalar { .. } if self.number().is_some() => "a number",
            Yaml::Scalar { .. } => "a text",
            Yaml::List(_) => "a list",
            Yaml::Map(_) => "a map",
        }
    }

    /// Its text; `None` for lists, maps and null. Numbers and flags are texts too, as they are written.
    pub fn text(&self) -> Option<&str> {
        match &self.yaml {
            Yaml::Scalar { text, .. } if !self.is_null() => Some(text),
            Yaml::Scalar { .. } | Yaml::List(_) | Yaml::Map(_) => None,
        }
    }

    /// As `true` or `false`, in any of YAML's two versions' spellings.
    pub fn flag(&self) -> Option<bool> {
        match &self.yaml {
            Yaml::Scalar { text, plain: true } => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" => Some(true),
                "false" | "no" | "off" => Some(false),
                _ => None,
            },
            Yaml::Scalar { .. } | Yaml::List(_) | Yaml::Map(_) => None,
        }
    }

    /// As a whole number: decimal with optional sign and `_` between digits, or `0x` and `0o`.
    pub fn whole(&self) -> Option<i64> {
        let Yaml::Scalar { text, plain: true } = &self.yaml else { return None };
        if let Some(hex) = text.strip_prefix("0x") {
            return i64::from_str_radix(hex, 16).ok();
        }
        if let Some(octal) = text.strip_prefix("0o") {
            return i64::from_str_radix(octal, 8).ok();
        }
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        if !digits.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        text.replace('_', "").parse().ok()
    }

    /// As a finite number.
    pub fn number(&self) -> Option<f64> {
        let Yaml::Scalar { text, plain: true } = &self.yaml else { return None };
        if let Some(whole) = self.whole() {
            #[expect(
                clippy::cast_precision_loss,
                reason = "a YAML number is a double wherever it is not whole"
            )]
            return Some(whole as f64);
        }
        if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
            return None;
        }
        text.parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// Its entries, if it is a map.
    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.yaml {
            Yaml::Map(entries) => Some(entries),
            Yaml::Scalar { .. } | Yaml::List(_) => None,
        }
    }

    /// Its items, if it is a list.
    pub fn items(&self) -> Option<&[Node]> {
        match &self.yaml {
            Yaml::List(items) => Some(items),
            Yaml::Scalar { .. } | Yaml::Map(_) => None,
        }
    }

    /// As JSON: plain scalars become what YAML 1.2's core schema makes of them, whole numbers beyond 64 bits text.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.yaml {
            Yaml::Scalar { .. } if self.is_null() => Value::Null,
            Yaml::Scalar { text, plain: true } if matches!(text.as_str(), "true" | "True" | "TRUE") => {
                Value::Bool(true)
            }
            Yaml::Scalar { text, plain: true } if matches!(text.as_str(), "false" | "False" | "FALSE") => {
                Value::Bool(false)
            }
            Yaml::Scalar { text, .. } => match (self.whole(), self.number()) {
                (Some(whole), _) => Value::from(whole),
                (None, Some(number)) => Value::from(number),
                (None, None) => Value::String(text.clone()),
            },
            Yaml::List(items) => items.iter().map(Node::to_json).collect(),
            Yaml::Map(entries) => {
                Value::Object(entries.iter().map(|e| (e.key.clone(), e.value.to_json())).collect())
            }
        }
    }
}
