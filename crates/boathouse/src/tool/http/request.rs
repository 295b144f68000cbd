//! Fills the places of a request.

use boathouse_core::crew::argv::{Piece, pieces};
use boathouse_core::crew::http::{Address, Header, HeaderPiece, HttpSpec};
use boathouse_core::crew::{Effect, ToolSpec};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request};
use serde_json::Value;

use crate::provider::client::Origin;
use crate::tool::ToolCx;
use crate::tool::arguments::{argument, as_text};

/// Holds [`ToolCx::idempotency_key`] for the server.
const KEY_HEADER: &str = "idempotency-key";
/// Shorter values of variables are no secrets, and would be found by chance.
const SHORTEST_SECRET: usize = 8;

/// A request that can be sent, and what must not be told of it.
pub(super) struct Prepared {
    pub(super) request: Request<Full<Bytes>>,
    pub(super) secrets: Secrets,
}

/// The request of a call. The error says why it cannot be made.
pub(super) fn prepare(
    http: &HttpSpec,
    origin: &Origin,
    spec: &ToolSpec,
    arguments: &Value,
    cx: &ToolCx,
) -> Result<Prepared, String> {
    let properties = spec.parameters.get("properties");
    let value = |name: &str| argument(name, arguments, properties);
    let unusable = |error: hyper::http::Error| format!("the request cannot be sent: {error}");
    let body = http.body.as_ref().and_then(|body| fill(body, &value));
    let mut request = Request::builder()
        .method(Method::from_bytes(http.method.as_str().as_bytes()).map_err(|error| unusable(error.into()))?)
        .uri(target(&http.address, &value)?)
        .body(Full::new(body.as_ref().map(|body| Bytes::from(body.to_string())).unwrap_or_default()))
        .map_err(unusable)?;
    let (with, secrets) = headers(&http.headers, origin)?;
    *request.headers_mut() = with;
    let headers = request.headers_mut();
    if body.is_some() {
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    }
    if spec.effect != Effect::Read {
        let key = HeaderValue::from_str(&cx.idempotency_key).map_err(|error| unusable(error.into()))?;
        headers.insert(KEY_HEADER, key);
    }
    Ok(Prepared { request, secrets })
}

/// Path and query. A value in the path is one segment or a part of one, whatever is in it; a pair of the query whose argument is
/// missing is left out.
pub(in crate::tool) fn target<'v>(
    address: &Address,
    value: &impl Fn(&str) -> Option<&'v Value>,
) -> Result<String, String> {
    let mut target = String::new();
    for segment in &address.path {
        target.push('/');
        let mut whole = String::new();
        let mut is_fixed = true;
        for piece in segment {
            match piece {
                Piece::Text(text) => {
                    target.push_str(text);
                    whole.push_str(text);
                }
                Piece::Argument(name) => {
                    let text = value(name).map(as_text).unwrap_or_default();
                    if text.is_empty() {
                        return Err(format!(
                            "`{name}` is needed, and may not be empty: it is part of the address"
                        ));
                    }
                    encode(&text, &mut target);
                    whole.push_str(&text);
                    is_fixed = false;
                }
            }
        }
        // Some servers read an encoded slash as a slash.
        if !is_fixed && whole.split(['/', '\\']).any(|part| matches!(part, "." | "..")) {
            return Err("a part of the address may not be `.` or `..`: it would lead elsewhere".to_owned());
        }
    }
    let mut separator = '?';
    for pair in &address.query {
        let mut text = String::new();
        let filled = pair.iter().try_for_each(|piece| {
            match piece {
                Piece::Text(fixed) => text.push_str(fixed),
                Piece::Argument(name) => encode(&as_text(value(name)?), &mut text),
            }
            Some(())
        });
        if filled.is_some() {
            target.push(separator);
            target.push_str(&text);
            separator = '&';
        }
    }
    Ok(target)
}

/// Percent-encodes all but the unreserved characters (RFC 3986, section 2.3).
fn encode(text: &str, into: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push('%');
            into.push(char::from(DIGITS[usize::from(byte >> 4)]));
            into.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

/// A body with its places filled. What has the place of a missing argument is left out, with its key.
fn fill<'v>(template: &Value, value: &impl Fn(&str) -> Option<&'v Value>) -> Option<Value> {
    Some(match template {
        Value::String(text) => match &pieces(text)[..] {
            [Piece::Argument(name)] => value(name)?.clone(),
            pieces => {
                let mut text = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(fixed) => text.push_str(fixed),
                        Piece::Argument(name) => text.push_str(&as_text(value(name)?)),
                    }
                }
                Value::String(text)
            }
        },
        Value::Array(items) => items.iter().filter_map(|item| fill(item, value)).collect(),
        Value::Object(entries) => Value::Object(
            entries.iter().filter_map(|(key, item)| Some((key.clone(), fill(item, value)?))).collect(),
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) => template.clone(),
    })
}

/// The headers of each request to a server: those that the crew writes, those of the connection, and the values of variables
/// in them.
pub(in crate::tool) fn headers(written: &[Header], origin: &Origin) -> Result<(HeaderMap, Secrets), String> {
    let (mut headers, secrets) = filled(written, |name| std::env::var(name).ok())?;
    let host = HeaderValue::from_str(&origin.authority)
        .map_err(|error| format!("the request cannot be sent: {error}"))?;
    headers.insert(HOST, host);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    let user_agent = HeaderValue::from_static(concat!("boathouse/", env!("CARGO_PKG_VERSION")));
    headers.entry(USER_AGENT).or_insert(user_agent);
    Ok((headers, secrets))
}

/// Headers with the values of their variables, and these values.
fn filled(
    headers: &[Header],
    variable: impl Fn(&str) -> Option<String>,
) -> Result<(HeaderMap, Secrets), String> {
    let mut map = HeaderMap::new();
    let mut secrets = Secrets::default();
    for header in headers {
        let mut text = String::new();
        for piece in &header.value {
            match piece {
                HeaderPiece::Text(fixed) => text.push_str(fixed),
                HeaderPiece::Variable(name) => {
                    let value = variable(name).map(|value| value.trim().to_owned());
                    let Some(value) = value.filter(|value| !value.is_empty()) else {
                        return Err(format!("the environment variable {name}, which it needs, is not set"));
                    };
                    text.push_str(&value);
                    secrets.keep(name, value);
                }
            }
        }
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let (Ok(name), Ok(mut value)) = (name, HeaderValue::try_from(text)) else {
            return Err(format!("the header `{}` would hold what no header can hold", header.name));
        };
        value.set_sensitive(true);
        map.insert(name, value);
    }
    Ok((map, secrets))
}

/// Values of variables that went into headers. A server may repeat them; nobody is told.
#[derive(Default)]
pub(in crate::tool) struct Secrets(Vec<(String, String)>);

impl Secrets {
    fn keep(&mut self, name: &str, value: String) {
        if value.len() >= SHORTEST_SECRET {
            self.0.push((name.to_owned(), value));
        }
    }

    /// Bytes of the longest.
    pub(in crate::tool) fn longest(&self) -> usize {
        self.0.iter().map(|(_, value)| value.len()).max().unwrap_or(0)
    }

    /// A text in which the names of variables stand for their values.
    pub(in crate::tool) fn hide(&self, text: String) -> String {
        self.0.iter().fold(text, |text, (name, value)| text.replace(value, &format!("[{name}]")))
    }
}

#[cfg(test)]
mod tests {
    use boathouse_core::crew::http::Address;
    use serde_json::json;

    use super::*;

    fn to(url: &str, arguments: &Value) -> Result<String, String> {
        target(&Address::parse(url).map_err(|fault| fault.what)?, &|name| arguments.get(name))
    }

    #[test]
    fn a_value_in_the_path_is_one_segment_whatever_is_in_it() {
        let to = |value: &str| to("http://h/a/{x}/b", &json!({"x": value}));
        assert_eq!(to("é b/c?d#e%2F&\u{0}").as_deref(), Ok("/a/%C3%A9%20b%2Fc%3Fd%23e%252F%26%00/b"));
        assert_eq!(to("...").as_deref(), Ok("/a/.../b"));
        for refused in ["", ".", "..", "../x", "x/..", "x\\..\\y"] {
            assert!(to(refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn dots_that_only_come_together_lead_nowhere_else() {
        let arguments = json!({"a": ".", "b": "."});
        assert!(to("http://h/{a}{b}/x", &arguments).is_err());
        assert!(to("http://h/.{a}/x", &arguments).is_err());
        assert_eq!(to("http://h/v{a}{b}/x", &arguments).as_deref(), Ok("/v../x"));
        assert!(to("http://h/{c}", &arguments).is_err(), "a part of the address that is missing");
    }

    #[test]
    fn a_pair_of_the_query_without_its_argument_is_left_out() {
        let arguments = json!({"a": "1&b=2", "n": 3, "l": [1, "x"], "f": true});
        let target = to("http://h?a={a}&z={z}&fixed&n={n}-{f}&l={l}&y=1{z}", &arguments);
        assert_eq!(target.as_deref(), Ok("/?a=1%26b%3D2&fixed&n=3-true&l=%5B1%2C%22x%22%5D"));
        assert_eq!(to("http://h/x?z={z}", &arguments).as_deref(), Ok("/x"));
    }

    #[test]
    fn a_body_keeps_the_types_of_arguments() {
        let template = json!({"n": "{n}", "t": "{n} of {t}", "o": {"l": ["{l}", "{z}", "{{t}}"]}, "z": "{z}", "y": null, "c": 5});
        let arguments = json!({"n": 2, "t": "a \"b\"", "l": [1, {"k": null}]});
        let filled = fill(&template, &|name| arguments.get(name));
        let expected =
            json!({"n": 2, "t": "2 of a \"b\"", "o": {"l": [[1, {"k": null}], "{t}"]}, "y": null, "c": 5});
        assert_eq!(filled, Some(expected));
        assert_eq!(fill(&json!("{z}"), &|name| arguments.get(name)), None);
    }

    #[test]
    fn headers_take_variables_and_never_show_them() {
        let read = |text: &str, value: &str| {
            let header = Header::parse("Authorization", text).map_err(|fault| fault.what)?;
            filled(&[header], |name| (name == "KEY").then(|| value.to_owned()))
        };
        let (map, secrets) = read("Bearer {env.KEY}!", " 12345678\n").expect("fine");
        assert_eq!(map["authorization"].as_bytes(), b"Bearer 12345678!");
        assert!(!format!("{map:?}").contains("1234"));
        assert_eq!(secrets.hide("a 12345678 b 1234567".to_owned()), "a [KEY] b 1234567");
        let refused = |text: &str, value: &str| read(text, value).err().unwrap_or_default();
        assert!(refused("{env.OTHER}", "").contains("OTHER, which it needs, is not set"));
        assert!(refused("{env.KEY}", "").contains("is not set"));
        let bad = refused("{env.KEY}", "hid\nden");
        assert!(bad.contains("Authorization") && !bad.contains("hid"), "{bad}");
    }
}
