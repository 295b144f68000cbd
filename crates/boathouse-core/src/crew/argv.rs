//! The elements of a command's argument list: fixed text, and places for arguments.

/// A piece of an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text that stays as it is. Never empty, except as the only piece of an empty element.
    Text(String),
    /// The place of the argument of this name.
    Argument(String),
}

/// Splits an element at its placeholders.
///
/// `{name}` is the place of an argument, where `name` is a letter or `_`, then letters, digits, `_` or `-`;
/// `{{name}}` stands for the text `{name}`. Other braces are text. The pieces are never none.
pub fn pieces(element: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = element;
    while let Some(at) = rest.find('{') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some((name, after)) = rest.strip_prefix("{{").and_then(|inner| name_before(inner, "}}")) {
            text.push('{');
            text.push_str(name);
            text.push('}');
            rest = after;
        } else if let Some((name, after)) = name_before(&rest[1..], "}") {
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(Piece::Argument(name.to_owned()));
            rest = after;
        } else {
            text.push('{');
            rest = &rest[1..];
        }
    }
    text.push_str(rest);
    if !text.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(text));
    }
    pieces
}

/// A parameter's name at the beginning of `text`, closed by `close`, and what follows.
fn name_before<'t>(text: &'t str, close: &str) -> Option<(&'t str, &'t str)> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let after = rest.strip_prefix(close)?;
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_').then_some((name, after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }

    fn argument(name: &str) -> Piece {
        Piece::Argument(name.to_owned())
    }

    #[test]
    fn placeholders_stand_alone_or_within_text() {
        assert_eq!(pieces("{host}"), [argument("host")]);
        assert_eq!(
            pieces("--x={a}:{b-1}."),
            [text("--x="), argument("a"), text(":"), argument("b-1"), text(".")]
        );
    }

    #[test]
    fn other_braces_are_text() {
        for fixed in ["", "{}", "{", "}", "{ a }", "{1}", "{a", "{a:1}", "{\"k\":{\"b\":1}}", "{é}"] {
            assert_eq!(pieces(fixed), [text(fixed)]);
        }
        assert_eq!(pieces("{{a}} {{{a}}}"), [text("{a} {{a}}")]);
        assert_eq!(pieces("{{a}"), [text("{"), argument("a")]);
    }

    proptest! {
        #[test]
        fn nothing_of_an_element_gets_lost(element in "[{}a-c1=é-]{0,16}") {
            let mut whole = String::new();
            for piece in pieces(&element) {
                match piece {
                    Piece::Text(text) => whole.push_str(&text),
                    Piece::Argument(name) => whole.push_str(&format!("{{{name}}}")),
                }
            }
            prop_assert!(whole.len() <= element.len());
            prop_assert_eq!(whole.replace(['{', '}'], ""), element.replace(['{', '}'], ""));
        }
    }
}
