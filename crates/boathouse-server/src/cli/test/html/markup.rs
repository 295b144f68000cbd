//! HTML under way: what is ours goes in as it is, everything else as a text that shows what it holds.

use std::borrow::Cow;
use std::fmt::Write;

/// Characters of one text that are shown.
const SHOWN: usize = 20_000;

/// HTML under way.
///
/// Only texts of this program are tags: whatever a crew, a model or a tool wrote comes in as [`Html::text`] or as the
/// value of an attribute.
pub(super) struct Html(String);

impl Html {
    pub(super) fn new() -> Html {
        Html(String::new())
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    /// Our own markup.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Html {
        self.0.push_str(markup);
        self
    }

    /// An opening tag with values from elsewhere.
    pub(super) fn open(&mut self, tag: &'static str, attributes: &[(&'static str, &str)]) -> &mut Html {
        self.0.push('<');
        self.0.push_str(tag);
        for (name, value) in attributes {
            let _ = write!(self.0, " {name}=\"");
            for c in value.chars() {
                let c = if is_unseen(c) { '\u{fffd}' } else { c };
                self.character(c);
            }
            self.0.push('"');
        }
        self.0.push('>');
        self
    }

    /// A text, whole up to a size that no reader minds. Characters that nobody would see are shown by their numbers.
    pub(super) fn text(&mut self, text: &str) -> &mut Html {
        let text = if text.contains('\r') { Cow::Owned(text.replace("\r\n", "\n")) } else { text.into() };
        for (place, (at, c)) in text.char_indices().enumerate() {
            if place == SHOWN {
                let more = grouped(text[at..].chars().count() as u64);
                self.raw("<span class=\"cut\">… ").text(&more);
                return self.raw(" more characters</span>");
            }
            if is_unseen(c) {
                let _ = write!(self.0, "<span class=\"unseen-char\">U+{:04X}</span>", u32::from(c));
            } else {
                self.character(c);
            }
        }
        self
    }

    /// A text in an element of a class, kept from turning the direction of what stands around it.
    pub(super) fn span(&mut self, class: &'static str, text: &str) -> &mut Html {
        self.open("bdi", &[("class", class)]).text(text).raw("</bdi>")
    }

    fn character(&mut self, c: char) {
        match c {
            '&' => self.0.push_str("&amp;"),
            '<' => self.0.push_str("&lt;"),
            '>' => self.0.push_str("&gt;"),
            '"' => self.0.push_str("&quot;"),
            '\'' => self.0.push_str("&#39;"),
            c => self.0.push(c),
        }
    }
}

/// Whether a reader would not see the character, or would see others in another order because of it. Joiners stay: some
/// scripts and emoji are written with them.
fn is_unseen(c: char) -> bool {
    let control = c.is_control() && c != '\n' && c != '\t';
    let hidden = matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fdd0}'..='\u{fdef}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
    control || hidden || u32::from(c) & 0xfffe == 0xfffe
}

/// `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 test`, `1,200 tests`.
pub(super) fn counted(number: u64, one: &str) -> String {
    let ending = match (number, one) {
        (1, _) => return format!("1 {one}"),
        (_, "reply") => return format!("{} replies", grouped(number)),
        _ => "s",
    };
    format!("{} {one}{ending}", grouped(number))
}

#[cfg(test)]
mod tests {
    use super::{Html, SHOWN, counted, grouped};

    #[test]
    fn a_text_is_never_markup_and_hides_nothing() {
        let mut html = Html::new();
        html.text("</p><script>'\"&\r\n\u{202e}evil\u{0}\u{feff}");
        assert_eq!(
            html.finish(),
            "&lt;/p&gt;&lt;script&gt;&#39;&quot;&amp;\n<span class=\"unseen-char\">U+202E</span>evil\
             <span class=\"unseen-char\">U+0000</span><span class=\"unseen-char\">U+FEFF</span>"
        );
        let mut html = Html::new();
        html.open("p", &[("id", "a\" onclick='x'>\u{202e}")]);
        assert_eq!(html.finish(), "<p id=\"a&quot; onclick=&#39;x&#39;&gt;\u{fffd}\">");
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let mut html = Html::new();
        html.text(&"é".repeat(SHOWN + 1234));
        let html = html.finish();
        assert!(html.ends_with("é<span class=\"cut\">… 1,234 more characters</span>"));
        assert_eq!(html.matches('é').count(), SHOWN);
    }

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!([grouped(7), grouped(1000), grouped(12345678)], ["7", "1,000", "12,345,678"]);
        assert_eq!(
            [counted(1, "reply"), counted(0, "reply"), counted(2000, "test")],
            ["1 reply", "0 replies", "2,000 tests"]
        );
    }
}
