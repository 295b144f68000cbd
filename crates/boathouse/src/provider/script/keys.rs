//! Every key of `scripted.yaml` and what it takes. `docs/scripted.md` is the page for people.

use boathouse_core::crew::file::keys::{acts, needs};
use boathouse_core::crew::file::{Kind, Table};

use super::KINDS;

const COUNT: Kind = Kind::Whole { min: 1, max: u32::MAX as i64 };
const MILLIS: Kind = Kind::Whole { min: 0, max: i64::MAX };
const TOKENS: Kind = Kind::Whole { min: 0, max: i64::MAX };

/// What a model says, which may hold any character.
const SAID: Kind = Kind::Any;

/// The file.
pub(crate) static FILE: Table = Table {
    name: "scripted",
    what: "a script",
    keys: &[needs("rules", Kind::List(&Kind::Map(&RULE)), "the rules; the first that fits answers")],
    mistaken: &[
        ("reply", "it belongs into an item of `rules:`"),
        ("when", "it belongs into an item of `rules:`"),
        ("agent", "it belongs into an item of `rules:`"),
        ("responses", "the key is `rules`, a list"),
        ("replies", "the key is `rules`, a list"),
    ],
};

/// One rule.
static RULE: Table = Table {
    name: "rule",
    what: "a rule",
    keys: &[
        acts("agent", Kind::Text, "this agent is to speak"),
        acts("model", Kind::Text, "this model is asked"),
        acts("when", Kind::Text, "this pattern matches the last message"),
        acts("input", Kind::Text, "this pattern matches what the person said"),
        acts("call", COUNT, "it is the agent's n-th reply"),
        acts("attempt", COUNT, "it is the n-th try of the call"),
        acts("reply", SAID, "the text of the reply"),
        acts("tools", Kind::List(&Kind::Map(&CALL)), "native tool calls"),
        acts("error", Kind::Map(&ERROR), "a failure"),
        acts("delay_ms", MILLIS, "a pause before the first piece"),
        acts("piece_delay_ms", MILLIS, "a pause before every further piece"),
        acts(
            "pieces",
            Kind::Either {
                what: "a number of pieces, or a list of texts",
                scalar: Some(&COUNT),
                list: Some(&Kind::List(&SAID)),
                map: None,
            },
            "how the text is streamed",
        ),
        acts("usage", Kind::Map(&USAGE), "tokens to report"),
    ],
    mistaken: &[
        ("match", "the key is `when`, a pattern for the last message"),
        ("response", "the key is `reply`"),
        ("text", "the key is `reply`"),
        ("tool_calls", "the key is `tools`, a list of `{name: ..., arguments: {...}}`"),
        ("delay", "the key is `delay_ms`"),
        ("piece_delay", "the key is `piece_delay_ms`"),
    ],
};

/// A tool call.
static CALL: Table = Table {
    name: "scripted_call",
    what: "a tool call",
    keys: &[
        needs("name", Kind::Text, "the tool"),
        acts("arguments", Kind::Any, "a map, or a text that is sent as it is"),
    ],
    mistaken: &[("tool", "the key is `name`"), ("args", "the key is `arguments`")],
};

/// A failure.
static ERROR: Table = Table {
    name: "scripted_error",
    what: "an error",
    keys: &[
        needs("kind", Kind::Choice(&KINDS), "what went wrong"),
        acts("message", SAID, "the same in words"),
        acts("retry_after_ms", MILLIS, "how long the provider asks to wait"),
    ],
    mistaken: &[("type", "the key is `kind`"), ("retry_after", "the key is `retry_after_ms`")],
};

/// Tokens of one reply.
static USAGE: Table = Table {
    name: "scripted_usage",
    what: "`usage`",
    keys: &[
        acts("input_tokens", TOKENS, "what the model read"),
        acts("output_tokens", TOKENS, "what it wrote"),
    ],
    mistaken: &[
        ("prompt_tokens", "the key is `input_tokens`"),
        ("completion_tokens", "the key is `output_tokens`"),
    ],
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_tables_have_the_keys_that_are_read() {
        let schema = super::super::schema();
        let rule = "/properties/rules/items/properties";
        for (table, path) in [
            (&FILE, "/properties".to_owned()),
            (&RULE, rule.to_owned()),
            (&CALL, format!("{rule}/tools/items/properties")),
            (&ERROR, format!("{rule}/error/properties")),
            (&USAGE, format!("{rule}/usage/properties")),
        ] {
            let read = schema.pointer(&path).and_then(|keys| keys.as_object()).map(|keys| keys.keys());
            let read: BTreeSet<&str> = read.into_iter().flatten().map(String::as_str).collect();
            let listed: BTreeSet<&str> = table.keys.iter().map(|key| key.name).collect();
            assert_eq!(listed, read, "{}", table.name);
        }
    }
}
