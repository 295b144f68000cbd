//! Texts in a picture: how wide they are, about, and how they are written.

use unicode_width::UnicodeWidthChar;

/// A font as far as an estimate needs it.
#[derive(Clone, Copy)]
pub(super) struct Font {
    /// In pixels.
    size: f64,
    /// Whether every letter is as wide as another.
    is_mono: bool,
}

/// Names of agents and groups, in bold.
pub(super) const NAME: Font = Font { size: 14.6, is_mono: false };
/// What is said beside.
pub(super) const SMALL: Font = Font { size: 11.5, is_mono: false };
/// Ids and signals.
pub(super) const MONO: Font = Font { size: 11.5, is_mono: true };

/// About how wide a text is, in pixels; rather too wide than too narrow.
pub(super) fn width(text: &str, font: Font) -> f64 {
    let ems = text.chars().map(|c| match (c.width().unwrap_or(0), font.is_mono) {
        (0, _) => 0.0,
        (2.., _) => 1.15,
        (1, true) => 0.61,
        (1, false) => match c {
            'i' | 'j' | 'l' | 'I' | ' ' | '.' | ',' | ':' | ';' | '!' | '\'' | '|' => 0.33,
            'f' | 'r' | 't' | '(' | ')' | '[' | ']' | '/' | '\\' | '-' | '"' => 0.43,
            'm' | 'w' | 'M' | 'W' | '@' | '%' | '…' => 0.97,
            '<' | '>' | '=' | '+' | '~' | '#' | '^' | '&' | '_' => 0.85,
            c if c.is_uppercase() => 0.72,
            _ => 0.61,
        },
    });
    ems.sum::<f64>() * font.size
}

/// A text between tags.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A number with at most one digit behind the point.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    match text.strip_suffix(".0") {
        Some("-0") => "0".to_owned(),
        Some(whole) => whole.to_owned(),
        None => text,
    }
}
