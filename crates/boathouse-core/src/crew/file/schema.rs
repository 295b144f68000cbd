//! The JSON Schema of a crew's files, for editors and other programs: draft-07, which the YAML language server knows
//! best.
//!
//! Made of the tables of [`keys`], so it says what the check of a crew's files says about shapes: which
//! keys there are, of which type, in which range. Names are not resolved here, and two things differ, because a
//! validator sees values where the check sees text: `"5"` in quotes is refused only by the check, and numbers with `_`
//! between digits are refused only by editors.

use serde_json::{Map, Value, json};

use super::{Does, Key, Kind, MAX_SECONDS, MIN_SECONDS, Table, keys};

/// The schema of `crew.yaml`.
pub fn crew() -> Value {
    of_table(&keys::CREW, "Boathouse: crew.yaml")
}

/// The schema of a file of `agents/`.
pub fn agent() -> Value {
    of_table(&keys::AGENT, "Boathouse: agents/*.yaml")
}

/// The schema of a file whose keys are in a table.
pub fn of_table(table: &Table, title: &str) -> Value {
    let mut schema = map(table, false);
    schema.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    schema.insert("$id".to_owned(), json!(format!("urn:boathouse:schema:{}", table.name)));
    schema.insert("title".to_owned(), json!(title));
    Value::Object(schema)
}

fn map(table: &Table, nullable: bool) -> Map<String, Value> {
    let properties: Map<String, Value> =
        table.keys.iter().map(|key| (key.name.to_owned(), Value::Object(property(key)))).collect();
    let needed: Vec<&str> = table.keys.iter().filter(|key| key.is_needed()).map(|key| key.name).collect();
    let mut schema = types(&["object"], nullable);
    schema.insert("title".to_owned(), json!(title(table)));
    schema.insert("properties".to_owned(), Value::Object(properties));
    schema.insert("patternProperties".to_owned(), json!({"^x-": {}}));
    schema.insert("additionalProperties".to_owned(), json!(false));
    if !needed.is_empty() {
        schema.insert("required".to_owned(), json!(needed));
    }
    schema
}

fn property(key: &Key) -> Map<String, Value> {
    let mut schema = of(&key.kind, !key.is_needed());
    let description = match key.does {
        Does::Acts | Does::Needed | Does::NeededByCheck | Does::Note => {
            let description = sentence(key.says);
            match default(key) {
                Some(default) => {
                    schema.insert("default".to_owned(), default);
                    description
                }
                None if key.default.is_empty() => description,
                None => format!("{description} Default: {}.", key.default),
            }
        }
        Does::Nothing(why) | Does::Instead(why) => format!("Does nothing: {why}."),
        Does::NotYet(why) => format!("Does nothing yet: {why}."),
    };
    if key.idle().is_some() {
        // The words of editors for a key that is known, warned of, and not proposed.
        schema.insert("deprecationMessage".to_owned(), json!(description));
        schema.insert("doNotSuggest".to_owned(), json!(true));
    }
    schema.insert("description".to_owned(), json!(description));
    schema
}

/// What a value must be. A key without a value is as good as absent, so where a key is not needed, null will do.
fn of(kind: &Kind, nullable: bool) -> Map<String, Value> {
    let extended = |base: &[&str], more: Value| {
        let mut schema = types(base, nullable);
        if let Value::Object(more) = more {
            schema.extend(more);
        }
        schema
    };
    match kind {
        Kind::Text => types(&["string", "number", "boolean"], nullable),
        Kind::TextOrNull => types(&["string", "number", "boolean"], true),
        Kind::Flag => extended(
            &["boolean", "string"],
            json!({
                // Words that YAML 1.1 took for flags are texts to editors; whether they stand in quotes no schema can tell.
                "pattern": "^([Yy][Ee][Ss]|[Nn][Oo]|[Oo][Nn]|[Oo][Ff][Ff])$",
                "patternErrorMessage": "Write true or false.",
            }),
        ),
        Kind::Whole { min: i64::MIN, max: i64::MAX } => types(&["integer"], nullable),
        Kind::Number { min: f64::MIN, max: f64::MAX } => types(&["number"], nullable),
        Kind::Whole { min, max } => extended(&["integer"], json!({"minimum": min, "maximum": max})),
        Kind::Number { min, max } => extended(&["number"], json!({"minimum": min, "maximum": max})),
        Kind::Setting { max, .. } => extended(&["integer"], json!({"minimum": 0, "maximum": max})),
        Kind::Seconds { .. } => extended(
            &["number"],
            json!({
                "minimum": 0,
                "maximum": MAX_SECONDS,
                "not": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": MIN_SECONDS},
            }),
        ),
        Kind::Choice(words) => {
            let mut values: Vec<Value> = words.iter().map(|word| json!(word)).collect();
            values.extend(nullable.then_some(Value::Null));
            extended(&["string"], json!({"enum": values}))
        }
        Kind::List(item) => {
            extended(&["array"], json!({"items": of(item, matches!(item, Kind::TextOrNull))}))
        }
        Kind::Entries(value) => extended(&["object"], json!({"additionalProperties": of(value, true)})),
        Kind::Map(table) => map(table, nullable),
        Kind::Json => types(&["object"], nullable),
        Kind::Any => Map::new(),
        Kind::Either { scalar, list, map, .. } => {
            let mut choices: Vec<Value> = [scalar, list, map]
                .into_iter()
                .flatten()
                .map(|kind| Value::Object(of(kind, false)))
                .collect();
            choices.extend(nullable.then(|| json!({"type": "null"})));
            Map::from_iter([("anyOf".to_owned(), Value::Array(choices))])
        }
    }
}

fn types(types: &[&str], nullable: bool) -> Map<String, Value> {
    let all: Vec<&str> = types.iter().copied().chain(nullable.then_some("null")).collect();
    let types = match &all[..] {
        [one] => json!(one),
        many => json!(many),
    };
    Map::from_iter([("type".to_owned(), types)])
}

/// The default as a value, where it is one and no explanation.
pub(super) fn default(key: &Key) -> Option<Value> {
    match &key.kind {
        Kind::Flag
        | Kind::Whole { .. }
        | Kind::Number { .. }
        | Kind::Setting { .. }
        | Kind::Seconds { .. } => serde_json::from_str(key.default).ok(),
        Kind::Choice(words) | Kind::Either { scalar: Some(Kind::Choice(words)), .. } => {
            words.contains(&key.default).then(|| json!(key.default))
        }
        Kind::Text
        | Kind::TextOrNull
        | Kind::List(_)
        | Kind::Entries(_)
        | Kind::Map(_)
        | Kind::Json
        | Kind::Any
        | Kind::Either { .. } => None,
    }
}

/// `a parallel group` as a title.
fn title(table: &Table) -> String {
    let what = table.what.trim_start_matches("an ").trim_start_matches("a ").trim_matches('`');
    capitalised(what)
}

fn sentence(fragment: &str) -> String {
    format!("{}.", capitalised(fragment))
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
