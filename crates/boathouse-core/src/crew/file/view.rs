//! Reads the values of maps.

use crate::crew::yaml::Node;

use super::MAX_SECONDS;
use super::problems::At;

/// A value and where it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said<'a, T> {
    /// The value.
    pub value: T,
    /// Where.
    pub at: At<'a>,
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
