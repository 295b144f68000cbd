//! Texts of a crew, made fit to be shown in a drawing.

use unicode_normalization::char::is_combining_mark;

/// Longer texts are cut.
const LONGEST: usize = 40;
/// Marks above and below one letter; the rest is left out.
const MOST_MARKS: usize = 4;

/// One line of at most [`LONGEST`] characters that shows what it holds: no control characters, nothing invisible,
/// nothing that turns the direction of the text around it.
pub(super) fn legible(text: &str) -> String {
    let mut line = String::new();
    let (mut length, mut marks) = (0, 0);
    let shown = text.split(is_space).filter(|word| !word.is_empty()).enumerate().flat_map(|(place, word)| {
        (place > 0).then_some(' ').into_iter().chain(word.chars().filter(|c| !is_hidden(*c)))
    });
    for c in shown {
        if is_combining_mark(c) {
            marks += 1;
            if marks <= MOST_MARKS && length > 0 {
                line.push(c);
            }
            continue;
        }
        marks = 0;
        length += 1;
        if length > LONGEST {
            let end = line.char_indices().rev().find(|(_, c)| !is_combining_mark(*c));
            line.truncate(end.map_or(0, |(at, _)| at));
            line.push('…');
            break;
        }
        line.push(if is_noncharacter(c) { '\u{fffd}' } else { c });
    }
    let line = line.trim();
    if line.is_empty() { "(nothing to show)".to_owned() } else { line.to_owned() }
}

fn is_space(c: char) -> bool {
    c.is_whitespace() || c.is_control()
}

/// Zero-width characters, direction marks, tags and fillers. Joiners stay: some scripts and emoji are written with them.
fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Code points that are no characters, which XML does not take.
fn is_noncharacter(c: char) -> bool {
    matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use super::legible;

    #[test]
    fn a_text_becomes_one_line_that_hides_nothing() {
        for (text, shown) in [
            ("Ngân  [KẾT\tTHÚC]", "Ngân [KẾT THÚC]"),
            ("a\r\n\u{0}b\u{2028}c", "a b c"),
            ("\u{202e}live\u{202c}\u{feff}\u{200b}", "live"),
            ("שלום עולם", "שלום עולם"),
            ("\u{ffff}x\u{fdd0}", "\u{fffd}x\u{fffd}"),
            (" \n\u{200b}", "(nothing to show)"),
            ("\u{301}a\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}", "a\u{301}\u{301}\u{301}\u{301}"),
        ] {
            assert_eq!(legible(text), shown, "{text:?}");
        }
    }

    #[test]
    fn a_long_text_is_cut_between_letters() {
        assert_eq!(legible(&"x".repeat(40)), "x".repeat(40));
        assert_eq!(legible(&"x".repeat(41)), "x".repeat(39) + "…");
        assert_eq!(legible(&"e\u{301}".repeat(5000)), "e\u{301}".repeat(39) + "…");
    }
}
