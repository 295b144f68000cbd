//! Long texts of events, kept once.
//!
//! An event's line of JSON is kept without its long strings; each of them lies in the table `blobs`, under the hash of
//! what stands between its quotes, and a row of `blob_places` says where it belongs. A fork, or a run that is asked what
//! another was asked, costs no second copy. Events that are shorter than a long text, nearly all, are not looked into.

use bytes::Bytes;
use memchr::{memchr, memchr2};
use sha2::{Digest, Sha256};

use crate::journal::{JournalError, Stored};

/// Bytes from which on a text is kept apart.
pub(super) const LONG: usize = 8 << 10;

/// A long text of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LongText {
    /// Bytes of the short JSON in front of it.
    pub(super) place: usize,
    pub(super) hash: String,
    pub(super) text: Bytes,
}

/// An event's JSON without its long texts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) short: Vec<u8>,
    /// In the order of their places.
    pub(super) texts: Vec<LongText>,
}

/// The events that have long texts, by their place among the given ones.
pub(super) fn cut_all<'a>(events: impl IntoIterator<Item = &'a std::sync::Arc<Stored>>) -> Vec<(usize, Cut)> {
    let long = events.into_iter().enumerate().filter(|(_, event)| event.json.len() > LONG);
    long.filter_map(|(number, event)| Some((number, cut(&event.json)?))).collect()
}

/// Takes the long texts out of one line of JSON; `None` if it has none.
pub(super) fn cut(json: &Bytes) -> Option<Cut> {
    let mut cut = Cut { short: Vec::new(), texts: Vec::new() };
    // What has been taken over into `short`, and where the next string may begin.
    let (mut taken, mut at) = (0, 0);
    while let Some(quote) = memchr(b'"', &json[at..]) {
        let begin = at + quote + 1;
        let end = end_of_string(json, begin)?;
        if end - begin >= LONG {
            cut.short.extend_from_slice(&json[taken..begin]);
            let text = json.slice(begin..end);
            cut.texts.push(LongText { place: cut.short.len(), hash: hash(&text), text });
            taken = end;
        }
        at = end + 1;
    }
    if cut.texts.is_empty() {
        return None;
    }
    cut.short.extend_from_slice(&json[taken..]);
    Some(cut)
}

/// Where a JSON string that begins at `at` ends: the place of its closing quote.
fn end_of_string(json: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr2(b'"', b'\\', json.get(at..)?)?;
        if json[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

fn hash(text: &[u8]) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Puts long texts back into the short JSON of an event.
#[derive(Debug)]
pub(super) struct Whole {
    short: Vec<u8>,
    json: Vec<u8>,
    taken: usize,
}

impl Whole {
    pub(super) fn new(short: Vec<u8>) -> Whole {
        Whole { short, json: Vec::new(), taken: 0 }
    }

    /// Puts in the text that belongs at a place; they come in the order of their places.
    pub(super) fn put(&mut self, place: usize, text: &[u8]) -> Result<(), JournalError> {
        let between = self.short.get(self.taken..place);
        let between =
            between.ok_or_else(|| JournalError::Corrupt(format!("no text belongs at byte {place}")))?;
        self.json.reserve(self.short.len() + text.len());
        self.json.extend_from_slice(between);
        self.json.extend_from_slice(text);
        self.taken = place;
        Ok(())
    }

    /// The event's JSON as it was written.
    pub(super) fn end(mut self) -> Vec<u8> {
        if self.taken == 0 {
            return self.short;
        }
        self.json.extend_from_slice(&self.short[self.taken..]);
        self.json
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn put_back(cut: Cut) -> Vec<u8> {
        let mut whole = Whole::new(cut.short);
        for long in &cut.texts {
            whole.put(long.place, &long.text).unwrap();
        }
        whole.end()
    }

    #[test]
    fn short_texts_stay_where_they_are() {
        let json = serde_json::json!({"a": "x".repeat(LONG - 1), "b": ["y".repeat(LONG / 2), 1]}).to_string();
        assert!(json.len() > LONG);
        assert_eq!(cut(&json.into()), None);
    }

    #[test]
    fn equal_texts_have_one_hash_and_what_is_left_is_json() {
        let long = "\u{1}\"\\é".repeat(LONG);
        let json = serde_json::json!({"input": long, "n": 1, "history": [{"text": long}]}).to_string();
        let cut = cut(&json.clone().into()).unwrap();
        assert_eq!(cut.texts.len(), 2);
        assert_eq!(cut.texts[0].hash, cut.texts[1].hash);
        let short: serde_json::Value = serde_json::from_slice(&cut.short).unwrap();
        assert_eq!(short, serde_json::json!({"input": "", "n": 1, "history": [{"text": ""}]}));
        assert_eq!(put_back(cut), json.into_bytes());
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let text = prop_oneof![
            ".{0,12}",
            (".{1,3}", LONG / 2..LONG * 2).prop_map(|(piece, times)| piece.repeat(times)),
        ];
        let leaf = prop_oneof![text.prop_map(serde_json::Value::from), Just(serde_json::Value::Null)];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                proptest::collection::btree_map(".{0,4}", inner, 0..4)
                    .prop_map(|map| serde_json::Value::from(serde_json::Map::from_iter(map))),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn putting_back_undoes_cutting(json in any_json()) {
            let json = Bytes::from(json.to_string());
            if let Some(cut) = cut(&json) {
                prop_assert!(cut.texts.iter().all(|long| long.text.len() >= LONG));
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&cut.short).is_ok());
                prop_assert_eq!(put_back(cut), json.to_vec());
            }
        }
    }
}
