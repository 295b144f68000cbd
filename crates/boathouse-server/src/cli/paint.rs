//! Colours, and lines about the answer, on stderr.
//!
//! Styles are always written; the streams of `anstream` drop them where the output is not a terminal or NO_COLOR is
//! set. Writing to stderr never fails a command: there is nobody left to tell.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::Write;

use anstyle::{AnsiColor, Style};

/// Things that went wrong.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Things to look at.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// Things that went well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Side remarks.
pub(crate) const DIM: Style = Style::new().dimmed();
/// What to do.
pub(crate) const HINT: Style = AnsiColor::Cyan.on_default();
/// Names.
pub(crate) const BOLD: Style = Style::new().bold();

/// One line that says what went wrong.
pub(crate) fn error(message: impl Display) {
    let message = message.to_string();
    let _ = writeln!(anstream::stderr(), "{BAD}error:{BAD:#} {}", clean(&message));
}

/// One line that says what to look at.
pub(crate) fn warn(message: impl Display) {
    let message = message.to_string();
    let _ = writeln!(anstream::stderr(), "{WARN}warning:{WARN:#} {}", clean(&message));
}

/// One line that says what to do.
pub(crate) fn hint(message: impl Display) {
    let message = message.to_string();
    let _ = writeln!(anstream::stderr(), "  {HINT}hint:{HINT:#} {}", clean(&message));
}

/// One line about what happens.
pub(crate) fn note(message: impl Display) {
    let message = message.to_string();
    let _ = writeln!(anstream::stderr(), "{}", clean(&message));
}

/// A name, and what is said of it.
pub(crate) fn titled(name: &str, message: impl Display) {
    let message = message.to_string();
    let _ = writeln!(anstream::stderr(), "{BOLD}{}{BOLD:#} {}", clean(name), clean(&message));
}

/// The text with characters made visible that control the terminal or turn the order of others around: what a model or
/// a tool wrote shall not drive the terminal, nor look like something else to whoever approves it.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let harmless = |c: char| c == '\n' || c == '\t' || !(c.is_control() || turns(c));
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace("\r\n", "\n").chars().map(|c| if harmless(c) { c } else { '\u{fffd}' }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_model_writes_drives_the_terminal() {
        assert_eq!(clean("a\tb\nc"), "a\tb\nc");
        assert_eq!(clean("a\r\nb"), "a\nb");
        assert_eq!(clean("\u{1b}[2Jx\u{9b}1m\u{7}"), "\u{fffd}[2Jx\u{fffd}1m\u{fffd}");
        assert_eq!(clean("rm \u{202e}txt.a\u{2069}"), "rm \u{fffd}txt.a\u{fffd}");
        assert_eq!(clean("שלום \u{200f}، สวัสดี 👩‍👧"), "שלום \u{200f}، สวัสดี 👩‍👧");
    }
}
