//! Arguments by a tool's schema: which parameter each one is, and its type.
//!
//! Positional arguments take the parameters in [`ToolSpec::positional`]'s order. A JSON object as the only argument is the arguments,
//! unless the first parameter is itself an object and the keys are not the tool's parameters.
//!
//! What is written is read as what the schema allows, also through `enum`, `const`, `anyOf`, `oneOf`, `allOf` and local `$ref`: `"5"`
//! and `5` are 5 for an integer and `"5"` for a string. A value that fits nothing is kept as it is, for the validation to
//! refuse. `null` or `None` for a parameter that is neither required nor nullable leaves it out.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::{Map, Number, Value};

use super::args::{Arg, Node, NodeKind};
use crate::crew::ToolSpec;

/// Schemas that are looked at for one value.
const MAX_ALTERNATIVES: usize = 32;
/// Schemas inside schemas that are looked at for one value.
const MAX_REFERENCES: usize = 8;

/// Whether `name:` names a parameter. A tool that declares none takes any.
pub(super) fn is_parameter(tool: &ToolSpec, name: &str) -> bool {
    match properties(tool) {
        Some(properties) if !properties.is_empty() => properties.contains_key(name),
        _ => true,
    }
}

/// How to call the tool: `PingHost(host, count)`.
pub(super) fn signature(tool: &ToolSpec) -> String {
    format!("{}({})", tool.name, tool.positional.join(", "))
}

/// The arguments as an object, or what to fix.
pub(super) fn arguments(tool: &ToolSpec, args: Vec<Arg>) -> Result<Value, String> {
    let mut given = Map::new();
    let named: Vec<(Cow<str>, Node)> = match whole(tool, args) {
        Ok(entries) => entries,
        Err(args) => {
            let total = args.iter().filter(|arg| arg.name.is_none()).count();
            let mut names = tool.positional.iter();
            let mut named = Vec::with_capacity(args.len());
            let mut seen = HashSet::new();
            for arg in args {
                let name = match arg.name {
                    Some(name) => name,
                    None => match names.next() {
                        Some(name) => Cow::Borrowed(name.as_str()),
                        None => return Err(surplus(tool, total)),
                    },
                };
                if !seen.insert(name.clone()) {
                    return Err(format!(
                        "`{name}` is given twice to `{}`. Call it as `{}`",
                        tool.name,
                        signature(tool)
                    ));
                }
                named.push((name, arg.value));
            }
            named
        }
    };
    for (name, node) in named {
        let schema = properties(tool).and_then(|properties| properties.get(&*name));
        let shape = Shape::of(&tool.parameters, schema);
        let value = shape.read(&node);
        if value.is_null() && !shape.allows(NULL) && !is_required(tool, &name) && schema.is_some() {
            continue;
        }
        given.insert(name.into_owned(), value);
    }
    Ok(Value::Object(given))
}

/// The entries of an object that is the only argument, if it stands for all arguments.
fn whole<'a>(tool: &ToolSpec, mut args: Vec<Arg<'a>>) -> Result<Vec<(Cow<'a, str>, Node<'a>)>, Vec<Arg<'a>>> {
    let [Arg { name: None, value: Node { kind: NodeKind::Object(entries), .. } }] = &args[..] else {
        return Err(args);
    };
    let first = tool.positional.first().and_then(|name| properties(tool)?.get(name));
    let shape = Shape::of(&tool.parameters, first);
    let takes_object = first.is_some() && shape.kinds & OBJECT != 0;
    let names_parameters = !entries.is_empty()
        && entries.iter().all(|(key, _)| is_parameter(tool, key) && shape.property(key).is_none());
    if takes_object && !names_parameters {
        return Err(args);
    }
    match args.pop().map(|arg| arg.value.kind) {
        Some(NodeKind::Object(entries)) => Ok(entries),
        _ => Err(args),
    }
}

fn surplus(tool: &ToolSpec, given: usize) -> String {
    let takes = match tool.positional.len() {
        0 => "no arguments".to_owned(),
        1 => "at most 1 argument".to_owned(),
        count => format!("at most {count} arguments"),
    };
    format!(
        "`{}` takes {takes}, not {given}. Call it as `{}`, with text that contains commas in double quotes",
        tool.name,
        signature(tool)
    )
}

fn properties(tool: &ToolSpec) -> Option<&Map<String, Value>> {
    tool.parameters.get("properties")?.as_object()
}

fn is_required(tool: &ToolSpec, name: &str) -> bool {
    let required = tool.parameters.get("required").and_then(Value::as_array);
    required.is_some_and(|required| required.iter().any(|other| other == name))
}

const NULL: u8 = 1;
const BOOLEAN: u8 = 2;
const INTEGER: u8 = 4;
const NUMBER: u8 = 8;
const STRING: u8 = 16;
const ARRAY: u8 = 32;
const OBJECT: u8 = 64;

/// What a schema allows, its alternatives side by side.
struct Shape<'a> {
    root: &'a Value,
    alternatives: Vec<&'a Value>,
    /// Allowed types; none means any.
    kinds: u8,
    /// Allowed values; none means any.
    values: Vec<&'a Value>,
}

impl<'a> Shape<'a> {
    fn of(root: &'a Value, schema: Option<&'a Value>) -> Shape<'a> {
        let mut shape = Shape { root, alternatives: Vec::new(), kinds: 0, values: Vec::new() };
        if let Some(schema) = schema {
            shape.add(schema, 0);
        }
        shape
    }

    fn add(&mut self, schema: &'a Value, depth: usize) {
        if depth > MAX_REFERENCES || self.alternatives.len() >= MAX_ALTERNATIVES {
            return;
        }
        let Some(keys) = schema.as_object() else { return };
        self.alternatives.push(schema);
        let mut kinds = 0;
        match keys.get("type") {
            Some(Value::String(name)) => kinds |= kind(name),
            Some(Value::Array(names)) => {
                kinds |= names.iter().filter_map(Value::as_str).map(kind).fold(0, |all, one| all | one);
            }
            _ if keys.contains_key("properties") => kinds |= OBJECT,
            _ if keys.contains_key("items") => kinds |= ARRAY,
            _ => {}
        }
        if keys.get("nullable") == Some(&Value::Bool(true)) {
            kinds |= NULL;
        }
        self.kinds |= kinds;
        self.values.extend(keys.get("enum").and_then(Value::as_array).into_iter().flatten());
        self.values.extend(keys.get("const"));
        if let Some(target) =
            keys.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#'))
            && let Some(target) = self.root.pointer(target)
        {
            self.add(target, depth + 1);
        }
        for key in ["anyOf", "oneOf", "allOf"] {
            for part in keys.get(key).and_then(Value::as_array).into_iter().flatten() {
                self.add(part, depth + 1);
            }
        }
    }

    fn allows(&self, kind: u8) -> bool {
        (self.kinds == 0 && self.values.is_empty())
            || self.kinds & kind != 0
            || self.values.iter().any(|value| kind_of(value) & kind != 0)
    }

    fn property(&self, name: &str) -> Option<&'a Value> {
        self.alternatives.iter().find_map(|schema| schema.get("properties")?.get(name))
    }

    fn entry(&self, name: &str) -> Option<&'a Value> {
        let others = || self.alternatives.iter().find_map(|schema| schema.get("additionalProperties"));
        self.property(name).or_else(others)
    }

    fn item(&self, at: usize) -> Option<&'a Value> {
        let listed = self.alternatives.iter().find_map(|schema| schema.get("prefixItems")?.get(at));
        listed.or_else(|| self.alternatives.iter().find_map(|schema| schema.get("items")))
    }

    /// What is written, as something that the schema allows if it can be.
    fn read(&self, node: &Node) -> Value {
        if let Some(value) = self.listed(node) {
            return value.clone();
        }
        match &node.kind {
            NodeKind::Quoted(text) if self.allows(STRING) => Value::String(text.clone()),
            NodeKind::Quoted(text) => {
                let inner = || match serde_json::from_str::<Value>(text).ok()? {
                    value @ Value::Array(_) if self.allows(ARRAY) => Some(value),
                    value @ Value::Object(_) if self.allows(OBJECT) => Some(value),
                    _ => None,
                };
                self.word(text).or_else(inner).unwrap_or_else(|| Value::String(text.clone()))
            }
            NodeKind::Bare if self.kinds == 0 => natural(node.raw),
            NodeKind::Bare if is_null(node.raw) => Value::Null,
            NodeKind::Bare => self.word(node.raw).unwrap_or_else(|| {
                if self.allows(STRING) { Value::String(node.raw.to_owned()) } else { natural(node.raw) }
            }),
            NodeKind::Array(_) | NodeKind::Object(_) if self.wants_text(&node.kind) => {
                Value::String(node.raw.to_owned())
            }
            NodeKind::Array(items) => items
                .iter()
                .enumerate()
                .map(|(at, item)| Shape::of(self.root, self.item(at)).read(item))
                .collect(),
            NodeKind::Object(entries) => entries
                .iter()
                .map(|(key, value)| {
                    (key.clone().into_owned(), Shape::of(self.root, self.entry(key)).read(value))
                })
                .collect(),
        }
    }

    /// Whether brackets can only be meant as text.
    fn wants_text(&self, kind: &NodeKind) -> bool {
        let own = if matches!(kind, NodeKind::Array(_)) { ARRAY } else { OBJECT };
        !self.allows(own) && self.allows(STRING)
    }

    /// One of the values that the schema lists.
    fn listed(&self, node: &Node) -> Option<&'a Value> {
        let text = match &node.kind {
            NodeKind::Quoted(text) => text,
            NodeKind::Bare => node.raw,
            NodeKind::Array(_) | NodeKind::Object(_) => return None,
        };
        let is_text = |value: &&&Value| value.as_str() == Some(text);
        let is_meant = |value: &&&Value| same(value, &natural(text));
        let mut values = self.values.iter();
        let found = match node.kind {
            NodeKind::Bare => values.clone().find(is_meant).or_else(|| values.find(is_text)),
            _ => values.clone().find(is_text).or_else(|| values.find(is_meant)),
        };
        found.copied()
    }

    /// A word as null, boolean or number, where the schema allows it.
    fn word(&self, text: &str) -> Option<Value> {
        if self.allows(NULL) && is_null(text) {
            return Some(Value::Null);
        }
        if self.allows(BOOLEAN)
            && let Some(truth) = boolean(text)
        {
            return Some(Value::Bool(truth));
        }
        if self.allows(INTEGER)
            && let Some(whole) = integer(text)
        {
            return Some(Value::Number(whole));
        }
        if self.allows(NUMBER) { number(text).map(Value::Number) } else { None }
    }
}

fn kind(name: &str) -> u8 {
    match name {
        "null" => NULL,
        "boolean" => BOOLEAN,
        "integer" => INTEGER,
        "number" => NUMBER,
        "string" => STRING,
        "array" => ARRAY,
        "object" => OBJECT,
        _ => 0,
    }
}

fn kind_of(value: &Value) -> u8 {
    match value {
        Value::Null => NULL,
        Value::Bool(_) => BOOLEAN,
        Value::Number(_) => NUMBER | INTEGER,
        Value::String(_) => STRING,
        Value::Array(_) => ARRAY,
        Value::Object(_) => OBJECT,
    }
}

/// Equal, with 1 and 1.0 the same.
fn same(one: &Value, other: &Value) -> bool {
    one == other || (one.is_number() && one.as_f64() == other.as_f64())
}

/// What a word without quotes means where the schema does not say.
fn natural(text: &str) -> Value {
    if is_null(text) {
        return Value::Null;
    }
    if let Some(truth) = boolean(text) {
        return Value::Bool(truth);
    }
    // 007 and digits beyond what a number can hold are names of things.
    let digits = text.strip_prefix('-').unwrap_or(text);
    let has_leading_zero = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    let overflows = text.parse::<i64>().is_err() && text.parse::<u64>().is_err() && is_digits(digits);
    match number(text) {
        Some(number) if !has_leading_zero && !overflows => Value::Number(number),
        _ => Value::String(text.to_owned()),
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "null" | "None" | "NULL" | "undefined")
}

fn boolean(text: &str) -> Option<bool> {
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    if is("true") { Some(true) } else { is("false").then_some(false) }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn number(text: &str) -> Option<Number> {
    let text = text.trim();
    if !text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E')) {
        return None;
    }
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    if let Ok(whole) = text.parse::<u64>() {
        return Some(whole.into());
    }
    Number::from_f64(text.parse().ok()?)
}

/// A whole number, also written as `5.0` or `1e3`; none that a float cannot hold exactly.
fn integer(text: &str) -> Option<Number> {
    let number = number(text)?;
    if number.is_i64() || number.is_u64() {
        return Some(number);
    }
    let float =
        number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0)?;
    // Exact: checked the line before.
    let whole = float as i64;
    Some(whole.into())
}
