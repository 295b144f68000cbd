//! What a client of the Go endpoint asks, in all the forms that the Go system took.

use boathouse::core::ids::RunId;
use boathouse::core::message::{Author, Message};
use serde_json::{Map, Value};

use crate::http::error::{Code, Problem};
use crate::http::input::{self, MAX_HISTORY, MAX_MESSAGE_BYTES, Query, check_id};

/// Bytes of a query.
pub const MAX_ASKED_BYTES: usize = 10_240;

/// A request, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct GoRequest {
    /// What is asked, or the answer to a pause.
    pub query: String,
    /// What was said before.
    pub history: Vec<Message>,
    /// The paused run that is answered.
    pub run: Option<RunId>,
}

/// A request as it was sent.
#[derive(Default)]
struct Raw {
    query: String,
    history: Vec<Value>,
    run: String,
}

impl GoRequest {
    /// Reads a GET's query string, or a POST's body and, only if that is no JSON of the right shape, its query string.
    pub fn read(query: &Query, body: Option<&[u8]>) -> Result<GoRequest, Problem> {
        let posted = match body {
            None => None,
            Some(body) => {
                let body = std::str::from_utf8(body)
                    .map_err(|_| Problem::new(Code::InvalidUtf8, "Invalid query: not valid UTF-8"))?;
                // Like Go's decoder: the first value counts, whatever follows it.
                let first = serde_json::Deserializer::from_str(body).into_iter().next();
                first.and_then(Result::ok).and_then(Raw::of)
            }
        };
        let asked = query.get("q").or_else(|| query.get("query"));
        let mut raw = match (posted, asked) {
            (Some(raw), _) => raw,
            (None, None) => Raw::default(),
            (None, Some(text)) => {
                let json = serde_json::from_str(text).ok().and_then(Raw::of);
                json.unwrap_or_else(|| Raw { query: text.to_owned(), ..Raw::default() })
            }
        };
        if raw.run.is_empty() {
            raw.run = query.get("run").unwrap_or_default().to_owned();
        }
        raw.check()
    }
}

impl Raw {
    /// Reads a JSON value as Go's decoder would: names in any case, unknown ones ignored, `null` for nothing. `None`
    /// if a value has the wrong type.
    fn of(value: Value) -> Option<Raw> {
        let map = match value {
            Value::Object(map) => map,
            Value::Null => return Some(Raw::default()),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => return None,
        };
        let mut raw = Raw::default();
        for (name, value) in map {
            match (name.to_ascii_lowercase().as_str(), value) {
                (_, Value::Null) => {}
                ("query", Value::String(text)) => raw.query = text,
                ("run", Value::String(text)) => raw.run = text,
                ("history", Value::Array(list)) => {
                    if !list.iter().all(is_message) {
                        return None;
                    }
                    raw.history = list;
                }
                ("query" | "run" | "history", _) => return None,
                _ => {}
            }
        }
        Some(raw)
    }

    fn check(self) -> Result<GoRequest, Problem> {
        if self.query.is_empty() {
            return Err(Problem::new(Code::MissingField, "Query is required").field("query"));
        }
        let wrong = |code, why: String| Problem::new(code, format!("Invalid query: {why}")).field("query");
        if self.query.len() > MAX_ASKED_BYTES {
            let why = format!("{} bytes; {MAX_ASKED_BYTES} are allowed", self.query.len());
            return Err(wrong(Code::InvalidField, why));
        }
        if let Some(found) =
            self.query.chars().find(|found| found.is_control() && !matches!(found, '\n' | '\t'))
        {
            let why = format!("control character U+{:04X}", u32::from(found));
            return Err(wrong(Code::ControlCharacter, why));
        }
        let run = match self.run.as_str() {
            "" => None,
            run => {
                check_id("run", run)
                    .map_err(|_| Problem::new(Code::UnknownRun, "no run has such an id").field("run"))?;
                Some(RunId::from(run))
            }
        };
        if run.is_some() && !self.history.is_empty() {
            let why = "Invalid history: a run that goes on has its own";
            return Err(Problem::new(Code::InvalidField, why).field("history"));
        }
        Ok(GoRequest { history: check_history(self.history)?, query: self.query, run })
    }
}

/// Whether Go could decode the value as a message.
fn is_message(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.iter().all(|(name, value)| {
            let named = matches!(name.to_ascii_lowercase().as_str(), "role" | "content");
            !named || value.is_string() || value.is_null()
        }),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => false,
    }
}

fn check_history(list: Vec<Value>) -> Result<Vec<Message>, Problem> {
    let wrong = |at: Option<usize>, why: String| {
        let field = at.map_or("history".to_owned(), |at| format!("history[{at}]"));
        Problem::new(Code::InvalidField, format!("Invalid history: {why}")).field(field)
    };
    if list.len() > MAX_HISTORY {
        return Err(wrong(None, format!("{} messages; {MAX_HISTORY} are allowed", list.len())));
    }
    let mut history = Vec::with_capacity(list.len());
    for (at, value) in list.into_iter().enumerate() {
        let mut map = match value {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        let from = match take(&mut map, "role").as_str() {
            "user" => Author::User,
            "assistant" => Author::Agent(None),
            "system" => Author::System,
            _ => return Err(wrong(Some(at), format!("message {at} has no role of user, assistant, system"))),
        };
        let content = take(&mut map, "content");
        if content.len() > MAX_MESSAGE_BYTES {
            let why = format!("message {at} has {} bytes; {MAX_MESSAGE_BYTES} are allowed", content.len());
            return Err(wrong(Some(at), why));
        }
        input::check_text(&format!("history[{at}].content"), &content, input::LineBreaks::Allowed).map_err(
            |problem| Problem { detail: format!("Invalid history: {}", problem.detail).into(), ..problem },
        )?;
        history.push(Message::text(from, content));
    }
    Ok(history)
}

/// A text field, its name in any case.
fn take(map: &mut Map<String, Value>, name: &str) -> String {
    let found = map.iter_mut().find(|(found, _)| found.eq_ignore_ascii_case(name));
    match found.map(|(_, value)| value.take()) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn get(query: &str) -> Result<GoRequest, String> {
        GoRequest::read(&Query::parse(Some(query)).unwrap(), None)
            .map_err(|problem| problem.detail.into_owned())
    }

    fn post(query: &str, body: &str) -> Result<GoRequest, String> {
        GoRequest::read(&Query::parse(Some(query)).unwrap(), Some(body.as_bytes()))
            .map_err(|problem| problem.detail.into_owned())
    }

    fn asked(result: Result<GoRequest, String>) -> Result<String, String> {
        result.map(|request| request.query)
    }

    const REQUIRED: &str = "Query is required";

    #[test]
    fn a_get_takes_plain_text_or_json_in_q() {
        assert_eq!(asked(get("q=my+pc+is+slow")), Ok("my pc is slow".into()));
        assert_eq!(asked(get("q=42")), Ok("42".into()));
        assert_eq!(asked(get("q=%22quoted%22")), Ok("\"quoted\"".into()));
        assert_eq!(asked(get("q=%7B%22QUERY%22:%22x%22,%22more%22:1%7D")), Ok("x".into()));
        assert_eq!(asked(get("q=%7B%22query%22:5%7D")), Ok("{\"query\":5}".into()));
        for empty in ["", "q=", "q={}", "q=null", "x=1"] {
            assert_eq!(asked(get(empty)), Err(REQUIRED.into()), "{empty}");
        }
    }

    #[test]
    fn a_post_falls_back_to_q_only_if_its_body_is_no_request() {
        assert_eq!(asked(post("", r#"{"query":"x"} and more"#)), Ok("x".into()));
        for no_request in ["", "not json", "[]", r#"{"query":5}"#, r#"{"history":[1]}"#, "\"text\""] {
            assert_eq!(asked(post("q=y", no_request)), Ok("y".into()), "{no_request}");
        }
        for valid in ["{}", "null", r#"{"history":[]}"#] {
            assert_eq!(asked(post("q=y", valid)), Err(REQUIRED.into()), "{valid}");
        }
    }

    #[test]
    fn a_history_keeps_its_roles() {
        let body = r#"{"query":"x","history":[{"role":"user","content":"a"},{"Role":"assistant","Content":"b"},{"role":"system"}]}"#;
        let history = post("", body).unwrap().history;
        let said: Vec<_> = history.iter().map(|message| (message.from.clone(), message.content())).collect();
        let expected = [
            (Author::User, "a".to_owned()),
            (Author::Agent(None), "b".to_owned()),
            (Author::System, String::new()),
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn what_is_too_long_or_unreadable_is_refused() {
        let long = "x".repeat(MAX_ASKED_BYTES + 1);
        assert_eq!(
            asked(get(&format!("q={long}"))),
            Err("Invalid query: 10241 bytes; 10240 are allowed".into())
        );
        assert_eq!(asked(get("q=a%00b")), Err("Invalid query: control character U+0000".into()));
        assert_eq!(asked(get("q=a%0Db")), Err("Invalid query: control character U+000D".into()));
        assert_eq!(asked(get("q=a%0A%09b")), Ok("a\n\tb".into()));
        let many =
            serde_json::json!({"query": "x", "history": vec![serde_json::json!({"role": "user"}); 1001]});
        let refused = asked(post("", &many.to_string()));
        assert_eq!(refused, Err("Invalid history: 1001 messages; 1000 are allowed".into()));
        let role = asked(post("", r#"{"query":"x","history":[{"role":"tool","content":"a"}]}"#));
        assert_eq!(role, Err("Invalid history: message 0 has no role of user, assistant, system".into()));
    }

    #[test]
    fn a_run_that_goes_on_takes_no_history() {
        let request = post("", r#"{"query":"yes","run":"0190-ab"}"#).unwrap();
        assert_eq!(request.run, Some(RunId::from("0190-ab")));
        assert_eq!(get("q=yes&run=0190-ab").unwrap().run, Some(RunId::from("0190-ab")));
        let both = r#"{"query":"yes","run":"0190-ab","history":[{"role":"user","content":"a"}]}"#;
        assert_eq!(asked(post("", both)), Err("Invalid history: a run that goes on has its own".into()));
    }

    proptest! {
        #[test]
        fn any_request_is_read_or_refused(query in ".{0,80}", body in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(query) = Query::parse(Some(&query)) {
                let _ = GoRequest::read(&query, Some(&body));
                let _ = GoRequest::read(&query, None);
            }
        }
    }
}
