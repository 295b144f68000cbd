//! Routing signals in a reply: which one an agent wrote, and the reply without it.
//!
//! The text is compared in Unicode NFC. A signal counts as a whole token: where it begins or ends with a letter or
//! a digit, it must not be glued to a further letter, digit, underscore or combining mark on that side. A signal that begins
//! and ends with something else, such as `[ROUTE]`, is a token by itself: it counts in `so:[ROUTE]`, `x[ROUTE]y`
//! and `[[ROUTE]]` too, since models glue and double brackets and nobody writes a configured signal for another purpose.
//!
//! Exact matches first. Only if there is none, matches that ignore case, white space and underscores, also those around
//! the signal (`_done_`). Of several matches the one that ends last wins, and of those that end at the same place
//! the longest, so a signal inside a longer one never wins over it; of signals that read the same, the first in the file.
//!
//! Time is linear in the reply for each signal.

use std::borrow::Cow;
use std::ops::Range;

use unicode_normalization::char::is_combining_mark;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::crew::Signal;

/// The signal that a reply gives, if any.
pub fn find<'a>(reply: &str, signals: &'a [Signal]) -> Option<&'a Signal> {
    locate(&nfc(reply), signals).map(|(signal, _)| signal)
}

/// The reply without its closing signal.
///
/// The signal that [`find`] finds is closing if nothing but white space and markdown marks (`` * _ ~ ` ``) follow
/// it. Marks around the signal alone go with it; marks that closed a longer stretch stay. What is left is trimmed at
/// the end, and is in NFC. Without a closing signal the reply is returned as it is.
pub fn strip_closing(reply: &str, signals: &[Signal]) -> String {
    if signals.is_empty() {
        return reply.to_owned();
    }
    let text = nfc(reply);
    let Some((_, range)) = locate(&text, signals) else { return reply.to_owned() };
    let rest = &text[range.end..];
    if !rest.chars().all(|c| c.is_whitespace() || is_mark(c)) {
        return reply.to_owned();
    }
    let mut kept = text[..range.start].trim_end();
    let mut marks = rest.chars().filter(|c| is_mark(*c)).peekable();
    while let Some(mark) = marks.next_if(|mark| kept.ends_with(*mark)) {
        kept = kept[..kept.len() - mark.len_utf8()].trim_end();
    }
    let mut kept = kept.to_owned();
    kept.extend(marks);
    kept
}

fn nfc(text: &str) -> Cow<'_, str> {
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => Cow::Borrowed(text),
        IsNormalized::No | IsNormalized::Maybe => Cow::Owned(text.nfc().collect()),
    }
}

fn is_mark(c: char) -> bool {
    matches!(c, '*' | '_' | '~' | '`')
}

fn is_glue(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || is_combining_mark(c)
}

fn locate<'a>(text: &str, signals: &'a [Signal]) -> Option<(&'a Signal, Range<usize>)> {
    locate_exact(text, signals).or_else(|| locate_loose(text, signals))
}

/// Ends last, then longest, then first in the file.
fn better(found: &Range<usize>, best: &Option<(&Signal, Range<usize>)>) -> bool {
    best.as_ref().is_none_or(|(_, best)| {
        (found.end, std::cmp::Reverse(found.start)) > (best.end, std::cmp::Reverse(best.start))
    })
}

fn locate_exact<'a>(text: &str, signals: &'a [Signal]) -> Option<(&'a Signal, Range<usize>)> {
    let mut best = None;
    for signal in signals {
        let wanted = nfc(&signal.text);
        let is_token = |found: &Range<usize>| {
            let before = text[..found.start].chars().next_back();
            let after = text[found.end..].chars().next();
            let glued_before = wanted.starts_with(char::is_alphanumeric) && before.is_some_and(is_glue);
            let glued_after = wanted.ends_with(char::is_alphanumeric) && after.is_some_and(is_glue);
            !glued_before && !glued_after
        };
        if let Some(found) = last_match(text, &wanted, is_token)
            && better(&found, &best)
        {
            best = Some((signal, found));
        }
    }
    best
}

fn locate_loose<'a>(text: &str, signals: &'a [Signal]) -> Option<(&'a Signal, Range<usize>)> {
    let folded = Folded::new(text);
    let mut best = None;
    for signal in signals {
        let wanted = Folded::new(&nfc(&signal.text)).text;
        let is_token = |found: &Range<usize>| {
            let Some(place) = folded.origin(text, found) else { return false };
            let before = text[..place.start].trim_end_matches('_').chars().next_back();
            let after = text[place.end..].trim_start_matches('_').chars().next();
            let glued_before = wanted.starts_with(char::is_alphanumeric) && before.is_some_and(is_glue);
            let glued_after = wanted.ends_with(char::is_alphanumeric) && after.is_some_and(is_glue);
            !glued_before && !glued_after
        };
        if let Some(found) = last_match(&folded.text, &wanted, is_token)
            && let Some(place) = folded.origin(text, &found)
            && better(&place, &best)
        {
            best = Some((signal, place));
        }
    }
    best
}

/// A text in lower case without white space and underscores, and where each byte of it came from.
struct Folded {
    text: String,
    /// For each byte of `text`, the place of its character in the original.
    from: Vec<usize>,
}

impl Folded {
    fn new(original: &str) -> Folded {
        let mut text = String::with_capacity(original.len());
        let mut from = Vec::with_capacity(original.len());
        for (at, c) in original.char_indices() {
            if !c.is_whitespace() && c != '_' {
                text.extend(c.to_lowercase());
                from.resize(text.len(), at);
            }
        }
        Folded { text, from }
    }

    /// The place in the original of a range of the folded text; `None` if the range splits a character of the original.
    fn origin(&self, original: &str, range: &Range<usize>) -> Option<Range<usize>> {
        let splits = |at: usize| at > 0 && at < self.from.len() && self.from[at - 1] == self.from[at];
        if splits(range.start) || splits(range.end) {
            return None;
        }
        let last = *self.from.get(range.end.checked_sub(1)?)?;
        let end = last + original[last..].chars().next()?.len_utf8();
        Some(*self.from.get(range.start)?..end)
    }
}

/// The last occurrence of `wanted` that `accept`s, overlapping ones included. Knuth-Morris-Pratt over bytes.
fn last_match(text: &str, wanted: &str, accept: impl Fn(&Range<usize>) -> bool) -> Option<Range<usize>> {
    let (text, wanted) = (text.as_bytes(), wanted.as_bytes());
    if wanted.is_empty() || wanted.len() > text.len() {
        return None;
    }
    // borders[n]: length of the longest proper border of the first n + 1 bytes.
    let mut borders = vec![0; wanted.len()];
    let mut length = 0;
    for at in 1..wanted.len() {
        while length > 0 && wanted[at] != wanted[length] {
            length = borders[length - 1];
        }
        length += usize::from(wanted[at] == wanted[length]);
        borders[at] = length;
    }
    let mut found = None;
    let mut length = 0;
    for (at, byte) in text.iter().enumerate() {
        while length > 0 && *byte != wanted[length] {
            length = borders[length - 1];
        }
        length += usize::from(*byte == wanted[length]);
        if length == wanted.len() {
            let place = at + 1 - wanted.len()..at + 1;
            if accept(&place) {
                found = Some(place);
            }
            length = borders[length - 1];
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crew::Route;
    use proptest::prelude::*;

    fn signals(texts: &[&str]) -> Vec<Signal> {
        texts
            .iter()
            .map(|text| Signal { text: text.nfc().collect(), route: Route::End, description: String::new() })
            .collect()
    }

    fn found(reply: &str, texts: &[&str]) -> Option<String> {
        find(reply, &signals(texts)).map(|signal| signal.text.clone())
    }

    #[test]
    fn signals_are_found_by_rule() {
        let two = &["[ROUTE_EXECUTOR]", "[ROUTE_CLARIFIER]"][..];
        for (reply, texts, expected) in [
            ("Done. [ROUTE_EXECUTOR]", two, Some("[ROUTE_EXECUTOR]")),
            ("Not [ROUTE_EXECUTOR] but\n[ROUTE_CLARIFIER]\n", two, Some("[ROUTE_CLARIFIER]")),
            ("route it: [route executor]", two, Some("[ROUTE_EXECUTOR]")),
            ("[ROUTE_EXECUTOR], later [route_clarifier]", two, Some("[ROUTE_EXECUTOR]")),
            ("x[ROUTE_EXECUTOR]y", two, Some("[ROUTE_EXECUTOR]")),
            ("[[ROUTE_EXECUTOR]]", two, Some("[ROUTE_EXECUTOR]")),
            ("ROUTE_EXECUTOR", two, None),
            ("", two, None),
            // Decomposed in the reply, composed in the crew.
            ("Xong. [KE\u{302}\u{301}T THU\u{301}C]", &["[KẾT THÚC]"], Some("[KẾT THÚC]")),
            ("Xong. [kết_thúc]", &["[KẾT THÚC]"], Some("[KẾT THÚC]")),
            ("UNDONE", &["DONE"], None),
            ("DONE_2", &["DONE"], None),
            ("ALL_DONE", &["DONE"], None),
            ("_DONE_", &["DONE"], Some("DONE")),
            ("I am done.", &["DONE"], Some("DONE")),
            ("ALL DONE", &["DONE", "ALL DONE"], Some("ALL DONE")),
            ("DONE AT LAST", &["DONE", "DONE AT LAST"], Some("DONE AT LAST")),
            ("[a] [A]", &["[A]", "[a]"], Some("[A]")),
            ("anything", &["", "_", " "], None),
            // The dotted capital I lowers to two characters; half of it is no match.
            ("[İ]", &["[i"], None),
        ] {
            assert_eq!(found(reply, texts).as_deref(), expected, "{reply:?} with {texts:?}");
        }
    }

    #[test]
    fn the_output_omits_the_closing_signal_only() {
        let two = &["[DONE]", "[MORE]"][..];
        for (reply, expected) in [
            ("All is well.\n\n[DONE]\n", "All is well."),
            ("All is well. **[DONE]**", "All is well."),
            ("All is well.\n```\n[DONE]\n```\n", "All is well."),
            ("**All is well. [DONE]**", "**All is well.**"),
            ("All is well. [done]", "All is well."),
            ("[DONE] is what I would say", "[DONE] is what I would say"),
            ("[MORE] then [DONE]", "[MORE] then"),
            ("[DONE]", ""),
            ("no signal \n", "no signal \n"),
        ] {
            assert_eq!(strip_closing(reply, &signals(two)), expected, "{reply:?}");
        }
    }

    #[test]
    fn hostile_replies_are_read_in_one_pass() {
        let repeated = "a".repeat(20_000);
        assert_eq!(found(&"a".repeat(400_000), &[&repeated]), None);
        assert_eq!(found(&"_".repeat(400_000), &["[A]", "A"]), None);
        assert_eq!(found(&"[A".repeat(200_000), &["[A]"]), None);
        assert_eq!(found(&"a_".repeat(200_000), &["A"]), None);
    }

    /// The same rules, written as a search over all substrings.
    fn reference(reply: &str, signals: &[Signal]) -> Option<(usize, Range<usize>)> {
        let text: String = reply.nfc().collect();
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let fold = |text: &str| -> String {
            text.chars().filter(|c| !c.is_whitespace() && *c != '_').flat_map(char::to_lowercase).collect()
        };
        for loose in [false, true] {
            let mut all = Vec::new();
            for (from, start) in places.iter().enumerate() {
                for end in &places[from + 1..] {
                    let piece = &text[*start..*end];
                    let skipped = |c: char| c.is_whitespace() || c == '_';
                    if loose && (piece.starts_with(skipped) || piece.ends_with(skipped)) {
                        continue;
                    }
                    for (place, signal) in signals.iter().enumerate() {
                        let wanted = if loose { fold(&signal.text) } else { signal.text.clone() };
                        let same = !wanted.is_empty()
                            && wanted == if loose { fold(piece) } else { piece.to_owned() };
                        let (mut before, mut after) = (&text[..*start], &text[*end..]);
                        if loose {
                            (before, after) = (before.trim_end_matches('_'), after.trim_start_matches('_'));
                        }
                        let glued = wanted.starts_with(char::is_alphanumeric) && before.ends_with(is_glue)
                            || wanted.ends_with(char::is_alphanumeric) && after.starts_with(is_glue);
                        if same && !glued {
                            all.push((*end, std::cmp::Reverse(*start), std::cmp::Reverse(place)));
                        }
                    }
                }
            }
            if let Some((end, start, place)) = all.into_iter().max() {
                return Some((place.0, start.0..end));
            }
        }
        None
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_search_agrees_with_the_simple_one(
            reply in "[ab\\[\\]_ AéE\u{301}İ]{0,14}",
            texts in prop::collection::vec("\\[?[abAéİ_ ]{0,3}\\]?", 0..4),
        ) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let signals = signals(&texts);
            let text: String = reply.nfc().collect();
            let ours = locate(&text, &signals).map(|(signal, range)| {
                (signals.iter().position(|other| std::ptr::eq(other, signal)).expect("it is one of them"), range)
            });
            prop_assert_eq!(ours, reference(&reply, &signals));
        }

        #[test]
        fn stripping_leaves_a_beginning_of_the_reply(reply in ".{0,40}", tail in "(\\[A\\])?[ *_`\n]{0,4}") {
            let reply: String = format!("{reply}{tail}").nfc().collect();
            let left = strip_closing(&reply, &signals(&["[A]"]));
            let body = left.trim_end_matches(is_mark);
            prop_assert!(reply.starts_with(body), "{left:?} of {reply:?}");
        }
    }
}
