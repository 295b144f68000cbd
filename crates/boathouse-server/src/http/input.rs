//! Reading requests: query strings and JSON bodies, field by field, with a [`Problem`] for whatever is wrong.
//!
//! Nothing here panics on any bytes, and nothing that it refuses reaches the engine.

use serde_json::{Map, Value};

use super::error::{Code, Problem};

/// Bytes of a query string that are read; Go clients put a whole history there. The HTTP parser refuses addresses of
/// 64 KiB and more.
pub const MAX_QUERY_BYTES: usize = 60 * 1024;
/// Messages of history in one request.
pub const MAX_HISTORY: usize = 1000;
/// Bytes of one message of history.
pub const MAX_MESSAGE_BYTES: usize = 102_400;
/// Levels of nesting in values of a caller's.
const MAX_DEPTH: usize = 32;
/// Bytes of `metadata` as JSON.
const MAX_METADATA_BYTES: usize = 16 * 1024;

/// A decoded query string.
#[derive(Debug, Default)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Decodes a query string. The first of several values of a name counts.
    pub fn parse(raw: Option<&str>) -> Result<Query, Problem> {
        let raw = raw.unwrap_or_default();
        if raw.len() > MAX_QUERY_BYTES {
            let detail = format!("the query has {} bytes; {MAX_QUERY_BYTES} are read", raw.len());
            return Err(Problem::new(Code::UriTooLong, detail).hint("send a POST with a JSON body"));
        }
        let mut pairs = Vec::new();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name =
                decode(name).map_err(|code| Problem::new(code, "a parameter's name cannot be decoded"))?;
            let value = decode(value).map_err(|code| {
                Problem::new(code, format!("parameter `{name}` cannot be decoded")).field(name.clone())
            })?;
            pairs.push((name, value));
        }
        Ok(Query { pairs })
    }

    /// The same, refusing parameters that are not `known`.
    pub fn parse_strict(raw: Option<&str>, known: &[&str]) -> Result<Query, Problem> {
        let query = Query::parse(raw)?;
        for (name, value) in &query.pairs {
            if !known.contains(&name.as_str()) {
                return Err(unknown(Code::UnknownParameter, "parameter", name, name.clone(), known));
            }
            check_text(name, value, LineBreaks::Refused)?;
        }
        Ok(query)
    }

    /// A parameter's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// A yes or no; `?wait` alone is a yes.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool, Problem> {
        match self.get(name) {
            None => Ok(default),
            Some("true" | "1" | "") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(_) => Err(invalid(name, "must be true or false")),
        }
    }

    /// A whole number within bounds.
    pub fn number(&self, name: &str, range: std::ops::RangeInclusive<u64>) -> Result<Option<u64>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match text.parse() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => Err(invalid(
                name,
                format!("must be a whole number from {} to {}", range.start(), range.end()),
            )),
        }
    }
}

/// Decodes `application/x-www-form-urlencoded` text; a `%` without two digits stays as it is.
fn decode(text: &str) -> Result<String, Code> {
    if !text.contains(['%', '+']) {
        return Ok(text.to_owned());
    }
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                // Two hexadecimal digits are at most 255.
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', ..) => out.push(b' '),
            (byte, ..) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8(out).map_err(|_| Code::InvalidUtf8)
}

/// The fields of a JSON object, taken one by one.
#[derive(Debug)]
pub struct Fields {
    path: String,
    map: Map<String, Value>,
}

impl Fields {
    /// Reads a body that must be a JSON object with no fields but `known`. An empty body counts as `{}`.
    pub fn parse(body: &[u8], known: &[&str]) -> Result<Fields, Problem> {
        let text = std::str::from_utf8(body).map_err(|error| {
            let detail = format!("the body is not UTF-8: byte {} is wrong", error.valid_up_to());
            Problem::new(Code::InvalidUtf8, detail)
        })?;
        let value = if text.trim().is_empty() {
            Value::Object(Map::new())
        } else {
            serde_json::from_str(text).map_err(|error| {
                Problem::new(Code::InvalidJson, format!("the body cannot be read as JSON: {error}"))
            })?
        };
        Fields::of(value, "", known)
    }

    /// The fields of a value at `path`, which must be an object with no fields but `known`.
    pub fn of(value: Value, path: &str, known: &[&str]) -> Result<Fields, Problem> {
        let Value::Object(map) = value else {
            return Err(match path {
                "" => Problem::new(Code::InvalidJson, "the body must be a JSON object"),
                _ => invalid(path, "must be an object"),
            });
        };
        let fields = Fields { path: path.to_owned(), map };
        for name in fields.map.keys() {
            if !known.contains(&name.as_str()) {
                return Err(unknown(Code::UnknownField, "field", name, fields.at(name), known));
            }
        }
        Ok(fields)
    }

    /// The path of a field, for problems.
    pub fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Takes a field; `null` is the same as absent.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    /// Takes a text.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let at = self.at(name);
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => {
                check_text(&at, &text, LineBreaks::Allowed)?;
                Ok(Some(text))
            }
            Some(_) => Err(invalid(&at, "must be a string")),
        }
    }

    /// Takes a text that must be there and not be blank.
    pub fn required_text(&mut self, name: &str) -> Result<String, Problem> {
        let at = self.at(name);
        match self.text(name)? {
            Some(text) if !text.trim().is_empty() => Ok(text),
            Some(_) => Err(Problem::new(Code::MissingField, format!("`{at}` is empty")).field(at)),
            None => Err(Problem::new(Code::MissingField, format!("`{at}` is missing")).field(at)),
        }
    }

    /// Takes an id: 1 to 128 characters of `A-Z a-z 0-9 _ - . :`.
    pub fn id(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let at = self.at(name);
        let Some(text) = self.text(name)? else { return Ok(None) };
        check_id(&at, &text)?;
        Ok(Some(text))
    }

    /// Takes a whole number that fits 32 bits.
    pub fn number(&mut self, name: &str) -> Result<Option<u32>, Problem> {
        let at = self.at(name);
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        number.map(Some).ok_or_else(|| invalid(&at, "must be a whole number from 0 to 4294967295"))
    }

    /// Takes `true`; `false` is the same as absent.
    pub fn yes(&mut self, name: &str) -> Result<bool, Problem> {
        let at = self.at(name);
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(yes)) => Ok(yes),
            Some(_) => Err(invalid(&at, "must be true or false")),
        }
    }

    /// Takes an object.
    pub fn object(&mut self, name: &str) -> Result<Map<String, Value>, Problem> {
        Ok(self.optional_object(name)?.unwrap_or_default())
    }

    /// Takes an object; `None` where there is none.
    pub fn optional_object(&mut self, name: &str) -> Result<Option<Map<String, Value>>, Problem> {
        let at = self.at(name);
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(_) => Err(invalid(&at, "must be an object")),
        }
    }

    /// Takes a list of at most `max` values.
    pub fn list(&mut self, name: &str, max: usize) -> Result<Vec<Value>, Problem> {
        let at = self.at(name);
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) if list.len() > max => {
                Err(invalid(&at, format!("has {} entries; {max} are allowed", list.len())))
            }
            Some(Value::Array(list)) => Ok(list),
            Some(_) => Err(invalid(&at, "must be a list")),
        }
    }
}

/// Checks a caller's labels: not too deep, not too large, no control characters.
pub fn check_labels(field: &str, map: &Map<String, Value>) -> Result<(), Problem> {
    for (name, value) in map {
        check_text(field, name, LineBreaks::Refused)?;
        walk(&format!("{field}.{name}"), value, MAX_DEPTH)?;
    }
    let bytes = serde_json::to_string(map).map_or(usize::MAX, |json| json.len());
    if bytes > MAX_METADATA_BYTES {
        return Err(invalid(field, format!("has {bytes} bytes of JSON; {MAX_METADATA_BYTES} are allowed")));
    }
    Ok(())
}

/// Checks a value of a caller's: not too deep, no control characters.
pub fn check_value(field: &str, value: &Value) -> Result<(), Problem> {
    walk(field, value, MAX_DEPTH)
}

fn walk(field: &str, value: &Value, depth: usize) -> Result<(), Problem> {
    if depth == 0 {
        return Err(invalid(field, format!("is nested deeper than {MAX_DEPTH} levels")));
    }
    match value {
        Value::String(text) => check_text(field, text, LineBreaks::Allowed),
        Value::Array(list) => list.iter().try_for_each(|value| walk(field, value, depth - 1)),
        Value::Object(map) => map.iter().try_for_each(|(name, value)| {
            check_text(field, name, LineBreaks::Refused)?;
            walk(field, value, depth - 1)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// Whether a text may hold line breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineBreaks {
    /// `\n`, `\r` and `\t` may stand in it.
    Allowed,
    /// It is one line.
    Refused,
}

/// Refuses control characters.
pub fn check_text(field: &str, text: &str, breaks: LineBreaks) -> Result<(), Problem> {
    let allowed = |found: char| breaks == LineBreaks::Allowed && matches!(found, '\n' | '\r' | '\t');
    let Some((place, found)) = text.char_indices().find(|(_, found)| found.is_control() && !allowed(*found))
    else {
        return Ok(());
    };
    let detail = format!("`{field}` holds the control character U+{:04X} at byte {place}", u32::from(found));
    Err(Problem::new(Code::ControlCharacter, detail).field(field).hint("remove it"))
}

/// Refuses what is not an id.
pub fn check_id(field: &str, text: &str) -> Result<(), Problem> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
    if text.is_empty() || text.len() > 128 || !text.bytes().all(fits) {
        return Err(invalid(field, "must be 1 to 128 characters of A-Z a-z 0-9 _ - . :"));
    }
    Ok(())
}

/// A field or parameter with a wrong value.
pub fn invalid(field: &str, what: impl AsRef<str>) -> Problem {
    Problem::new(Code::InvalidField, format!("`{field}` {}", what.as_ref())).field(field)
}

fn unknown(code: Code, what: &str, name: &str, at: String, known: &[&str]) -> Problem {
    let shown: String = name.chars().take(64).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    let problem = Problem::new(code, format!("no {what} `{shown}`")).field(at);
    let nearest = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(&shown, known), known))
        .filter(|(distance, known)| *distance <= known.len().max(3) / 3)
        .min_by_key(|(distance, _)| *distance);
    match nearest {
        Some((_, known)) => problem.hint(format!("did you mean `{known}`?")),
        None if known.is_empty() => problem.hint(format!("this route takes no {what}s")),
        None => problem.hint(format!("known are {}", known.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_unknown_field_is_refused_by_name_with_a_suggestion() {
        let problem = Fields::parse(br#"{"inptu":"x"}"#, &["input", "history"]).unwrap_err();
        assert_eq!(problem.code, Code::UnknownField);
        assert_eq!(problem.field.as_deref(), Some("inptu"));
        assert_eq!(problem.hint.as_deref(), Some("did you mean `input`?"));
        let problem = Fields::of(serde_json::json!({"b": 1}), "history[2]", &["role"]).unwrap_err();
        assert_eq!(problem.field.as_deref(), Some("history[2].b"));
    }

    #[test]
    fn a_query_is_decoded_as_forms_write_it() {
        let query = Query::parse(Some("q=a+b%20%C3%B6%26&x&q=second&p=50%")).unwrap();
        assert_eq!(query.get("q"), Some("a b ö&"));
        assert_eq!(query.get("x"), Some(""));
        assert_eq!(query.get("p"), Some("50%"));
        assert_eq!(Query::parse(Some("q=%ff")).unwrap_err().code, Code::InvalidUtf8);
    }

    #[test]
    fn control_characters_are_refused_and_line_breaks_are_not() {
        for bad in ["\u{0}", "a\u{7}", "\u{1b}[31m", "\u{7f}", "\u{85}"] {
            let body = serde_json::json!({ "input": bad }).to_string();
            let problem = Fields::parse(body.as_bytes(), &["input"]).unwrap().text("input").unwrap_err();
            assert_eq!(problem.code, Code::ControlCharacter, "{bad:?}");
        }
        let mut fields = Fields::parse(br#"{"input":"a\r\n\tb"}"#, &["input"]).unwrap();
        assert_eq!(fields.text("input").unwrap().as_deref(), Some("a\r\n\tb"));
    }

    #[test]
    fn labels_are_bounded_in_depth_and_size() {
        let mut deep = serde_json::json!(1);
        for _ in 0..40 {
            deep = serde_json::json!([deep]);
        }
        let map = |value: Value| Map::from_iter([("x".to_owned(), value)]);
        assert_eq!(check_labels("metadata", &map(deep)).unwrap_err().code, Code::InvalidField);
        let large = serde_json::json!("x".repeat(20_000));
        assert_eq!(check_labels("metadata", &map(large)).unwrap_err().code, Code::InvalidField);
        assert!(check_labels("metadata", &map(serde_json::json!({"a": [1, "b"]}))).is_ok());
    }

    #[test]
    fn json_that_is_nested_too_deeply_is_refused() {
        let body = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(Fields::parse(body.as_bytes(), &[]).unwrap_err().code, Code::InvalidJson);
    }

    proptest! {
        #[test]
        fn any_query_is_read_or_refused(raw in ".{0,60}") {
            let _ = Query::parse(Some(&raw)).map(|query| query.flag("a", false).is_ok());
        }

        #[test]
        fn decoding_undoes_encoding(text in ".{0,40}") {
            let encoded = serde_urlencoded::to_string([("q", &text)]).unwrap();
            let query = Query::parse(Some(&encoded)).unwrap();
            prop_assert_eq!(query.get("q"), Some(text.as_str()));
        }
    }
}
