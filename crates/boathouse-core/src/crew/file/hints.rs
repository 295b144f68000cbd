//! What was probably meant by a value of the wrong type.

use crate::crew::yaml::{Node, Yaml};

use super::{Key, Kind};

/// Longer texts are not repeated in a hint.
const LONGEST: usize = 40;

/// What to write instead of a value that is not of this kind.
pub(super) fn instead_of(node: &Node, kind: &Kind) -> Option<String> {
    match (kind, &node.yaml) {
        // `signal: [DONE]`: to YAML brackets are a list.
        (Kind::Text | Kind::TextOrNull, Yaml::List(items)) => match items.as_slice() {
            [item] => short(item)
                .map(|text| format!("write `{text}`, or `\"[{text}]\"` if the brackets belong to it")),
            _ => None,
        },
        (Kind::List(item), Yaml::Scalar { .. }) if takes_texts(item) => {
            short(node).map(|text| format!("write `[{text}]`"))
        }
        (
            Kind::Flag
            | Kind::Whole { .. }
            | Kind::Number { .. }
            | Kind::Setting { .. }
            | Kind::Seconds { .. },
            Yaml::Scalar { text, plain: false },
        ) => {
            let bare = Node { at: node.at, yaml: Yaml::Scalar { text: text.clone(), plain: true } };
            let fits = match kind {
                Kind::Flag => bare.flag().is_some(),
                Kind::Whole { .. } | Kind::Setting { .. } => bare.whole().is_some(),
                Kind::Number { .. } | Kind::Seconds { .. } => bare.number().is_some(),
                _ => false,
            };
            fits.then(|| "remove the quotes".to_owned())
        }
        (Kind::Seconds { .. }, Yaml::Scalar { text, plain: true }) => {
            seconds(text).map(|seconds| format!("write `{seconds}`"))
        }
        _ => None,
    }
}

/// How a value of this kind is written.
pub(super) fn fitting(kind: &Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::TextOrNull => "write a text; one that begins with `[` or `{` needs quotes",
        Kind::Flag => "write `true` or `false`",
        Kind::Whole { .. } | Kind::Setting { .. } => "write digits only, such as `3`",
        Kind::Number { .. } => "write a number, such as `0.5`",
        Kind::Seconds { .. } => "write a number of seconds, such as `30` or `0.5`",
        Kind::Choice(_) => "write one of these",
        Kind::List(_) => "write `[...]`, or each item on a line of its own after `- `",
        Kind::Entries(_) | Kind::Map(_) | Kind::Json => {
            "write its keys below it, indented, each with its value"
        }
        Kind::Either { scalar: Some(kind), .. }
        | Kind::Either { list: Some(kind), .. }
        | Kind::Either { map: Some(kind), .. } => fitting(kind),
        Kind::Any | Kind::Either { .. } => "write something else",
    }
}

/// A key with a value of its kind.
pub(super) fn sample(key: &Key) -> String {
    let value = match &key.kind {
        Kind::List(_) => "[...]",
        Kind::Entries(_) | Kind::Map(_) | Kind::Json => "{...}",
        Kind::Text
        | Kind::TextOrNull
        | Kind::Flag
        | Kind::Whole { .. }
        | Kind::Number { .. }
        | Kind::Setting { .. }
        | Kind::Seconds { .. }
        | Kind::Choice(_)
        | Kind::Any
        | Kind::Either { .. } => "...",
    };
    format!("{}: {value}", key.name)
}

fn short(node: &Node) -> Option<&str> {
    node.text().filter(|text| text.chars().count() <= LONGEST && !text.contains(['\n', '[', ']', ',']))
}

fn takes_texts(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Text
            | Kind::TextOrNull
            | Kind::Choice(_)
            | Kind::Either { scalar: Some(Kind::Text | Kind::TextOrNull | Kind::Choice(_)), .. }
    )
}

/// `5m` as 300.
fn seconds(text: &str) -> Option<u64> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let each = match text[unit..].trim() {
        "s" | "sec" | "seconds" => 1,
        "m" | "min" | "minutes" => 60,
        "h" | "hours" => 3600,
        _ => return None,
    };
    text[..unit].parse::<u64>().ok()?.checked_mul(each)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn a_time_with_a_unit_is_so_many_seconds() {
        assert_eq!(["30s", "5m", "5 min", "2h"].map(seconds), [Some(30), Some(300), Some(300), Some(7200)]);
        assert_eq!(
            ["", "m", "5x", "-5m", "99999999999999999999h", "9999999999999999999h"].map(seconds),
            [None; 6]
        );
    }
}
