//! What was expected beside what came, and where they part.

use boathouse::crew_test::Miss;

use super::markup::Html;

/// A check that did not hold.
pub(super) fn write(html: &mut Html, miss: &Miss) {
    let parted = miss.same.then(|| part_ways(&miss.expected, &miss.came));
    html.raw("<div class=\"miss\"><h4>").text(&miss.check).raw("</h4>\n<dl class=\"pair\">");
    for (label, tag, text) in [("expected", "del", &miss.expected), ("came", "ins", &miss.came)] {
        html.open("div", &[("class", label)]).raw("<dt>").text(label).raw("</dt><dd><pre dir=\"auto\">");
        match parted {
            _ if text.is_empty() => {
                html.raw("<span class=\"nothing\">nothing</span>");
            }
            Some((before, after)) => {
                let differs = &text[before..text.len() - after];
                html.text(&text[..before]);
                if !differs.is_empty() {
                    html.open(tag, &[]).text(differs).raw(if tag == "del" { "</del>" } else { "</ins>" });
                }
                html.text(&text[text.len() - after..]);
            }
            None => {
                html.text(text);
            }
        }
        html.raw("</pre></dd></div>");
    }
    html.raw("</dl></div>\n");
}

/// How many bytes two texts share at their beginnings and, of the rest, at their ends. Words stay whole.
fn part_ways(one: &str, other: &str) -> (usize, usize) {
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let same = |(a, b): &(char, char)| a == b;
    let mut before: usize = one.chars().zip(other.chars()).take_while(same).map(|(c, _)| c.len_utf8()).sum();
    if before < one.len() || before < other.len() {
        let kept = one[..before].trim_end_matches(word).len();
        let splits = |text: &str| text[before..].starts_with(word);
        if splits(one) || splits(other) {
            before = kept;
        }
    }
    let (one, other) = (&one[before..], &other[before..]);
    let mut after: usize =
        one.chars().rev().zip(other.chars().rev()).take_while(same).map(|(c, _)| c.len_utf8()).sum();
    let splits = |text: &str| text[..text.len() - after].ends_with(word);
    if splits(one) || splits(other) {
        let shared = &one[one.len() - after..];
        after = shared.trim_start_matches(word).len();
    }
    (before, after)
}

#[cfg(test)]
mod tests {
    use super::part_ways;

    #[test]
    fn texts_part_between_words() {
        let parts = |one: &'static str, other: &'static str| {
            let (before, after) = part_ways(one, other);
            (&one[before..one.len() - after], &other[before..other.len() - after])
        };
        assert_eq!(parts("a → clarifier → end", "a → classifier → end"), ("clarifier", "classifier"));
        assert_eq!(parts("a → b", "a → b → c"), ("", " → c"));
        assert_eq!(parts("one two", "one twofold"), ("two", "twofold"));
        assert_eq!(parts("same", "same"), ("", ""));
        assert_eq!(parts("", "x"), ("", "x"));
        assert_eq!(parts("aa aa", "aa"), (" aa", ""));
        assert_eq!(parts("é", "è"), ("é", "è"));
    }
}
