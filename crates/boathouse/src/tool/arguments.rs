//! The arguments of a call against the tool's JSON Schema, and what to tell a model that got them wrong.

use std::borrow::Cow;
use std::fmt::Write as _;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use super::call::cut;

/// Violations that are listed; a model mends these first.
const LISTED: usize = 10;
/// Bytes of one violation's text: it quotes the argument, which may be long.
const VIOLATION_BYTES: usize = 300;

/// The argument of this name, else the `default` of its schema. Null is as good as none.
pub(crate) fn argument<'v>(
    name: &str,
    arguments: &'v Value,
    properties: Option<&'v Value>,
) -> Option<&'v Value> {
    let default = || properties?.get(name)?.get("default");
    arguments.get(name).filter(|value| !value.is_null()).or_else(default).filter(|value| !value.is_null())
}

/// A value where only text can stand: a text as it is, anything else as JSON.
pub(crate) fn as_text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

/// A compiled schema.
#[derive(Debug)]
pub(crate) struct Arguments(Validator);

/// Compiles a schema of any type. References are resolved inside it only, and patterns are matched in linear time.
///
/// The error says what is wrong with the schema.
pub(crate) fn validator(schema: &Value) -> Result<Validator, String> {
    jsonschema::options().offline().with_pattern_options(PatternOptions::regex()).build(schema).map_err(
        |error| match error.instance_path().as_str() {
            "" => error.to_string(),
            path => format!("{path}: {error}"),
        },
    )
}

impl Arguments {
    /// Compiles the schema of a tool's arguments; the error says what is wrong with it.
    pub(crate) fn compile(schema: &Value) -> Result<Arguments, String> {
        if schema.get("type").and_then(Value::as_str) != Some("object") {
            return Err("the schema of a tool's arguments needs `type: object`".to_owned());
        }
        validator(schema).map(Arguments)
    }

    /// Checks the arguments of a call; the error lists each violation with its path, for the model.
    pub(crate) fn check(&self, tool: &str, arguments: &Value) -> Result<(), String> {
        match Violations::of(&self.0, arguments, "(arguments)") {
            None => Ok(()),
            Some(found) => Err(format!(
                "the call was not made: the arguments of `{tool}` do not fit its schema. Correct these:{}",
                found.list
            )),
        }
    }
}

/// Where a value does not fit its schema.
#[derive(Debug)]
pub(crate) struct Violations {
    /// The first place, as a JSON pointer; empty for the whole value.
    pub(crate) first: String,
    /// A line for each of them, each after a line break.
    pub(crate) list: String,
}

impl Violations {
    /// What does not fit; `whole` is what the value itself is called. `None` if all does.
    pub(crate) fn of(schema: &Validator, value: &Value, whole: &str) -> Option<Violations> {
        let mut violations = schema.iter_errors(value);
        let first = violations.next()?;
        let mut found = Violations { first: first.instance_path().as_str().to_owned(), list: String::new() };
        let mut more = 0;
        for (at, violation) in std::iter::once(first).chain(violations).enumerate() {
            if at >= LISTED {
                more += 1;
                continue;
            }
            let path = violation.instance_path().as_str();
            let path = if path.is_empty() { whole } else { path };
            let what = violation.to_string();
            let (kept, dots) = match cut(&what, VIOLATION_BYTES) {
                kept if kept.len() < what.len() => (kept, "..."),
                kept => (kept, ""),
            };
            let _ = write!(found.list, "\n- {path}: {kept}{dots}");
        }
        if more > 0 {
            let _ = write!(found.list, "\n- and {more} more");
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ping() -> Arguments {
        Arguments::compile(&json!({
            "type": "object",
            "properties": {
                "host": {"type": "string", "pattern": "^[a-z.]+$"},
                "count": {"type": "integer", "minimum": 1, "maximum": 10},
            },
            "required": ["host"],
            "additionalProperties": false,
        }))
        .expect("the schema is sound")
    }

    #[test]
    fn fitting_arguments_pass() {
        assert_eq!(ping().check("Ping", &json!({"host": "a.example", "count": 3})), Ok(()));
    }

    #[test]
    fn each_violation_is_told_with_its_path() {
        let text = ping().check("Ping", &json!({"count": 50, "hots": "a"})).expect_err("three faults");
        assert!(text.contains("`Ping`"), "{text}");
        assert!(text.contains("- /count: 50 is greater than the maximum of 10"), "{text}");
        assert!(text.contains("- (arguments): \"host\" is a required property"), "{text}");
        assert!(text.contains("'hots' was unexpected"), "{text}");
    }

    #[test]
    fn a_long_argument_is_not_quoted_whole() {
        let text = ping().check("Ping", &json!({"host": "é!".repeat(10_000)})).expect_err("a bad host");
        assert!(text.len() < 600, "{}", text.len());
    }

    #[test]
    fn an_argument_that_is_no_object_is_told() {
        let text = ping().check("Ping", &json!("a.example")).expect_err("not an object");
        assert!(text.contains("is not of type \"object\""), "{text}");
    }

    #[test]
    fn broken_schemas_are_refused_and_nothing_is_fetched() {
        for schema in [
            json!({"type": "object", "properties": {"a": {"type": "strin"}}}),
            json!({"type": "object", "properties": {"a": {"pattern": "("}}}),
            json!({"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/a.json"}}}),
            json!({"type": "string"}),
            json!(true),
        ] {
            assert!(Arguments::compile(&schema).is_err(), "{schema}");
        }
    }
}
