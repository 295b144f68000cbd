//! `Idempotency-Key`: a request that is sent twice is carried out once.

use axum::http::{HeaderValue, request};
use axum::response::Response;
use boathouse::journal::RequestKey;

use super::error::{Code, Problem};

/// The header of the request.
const KEY: &str = "idempotency-key";

/// The header of an answer that was given before.
const REPLAYED: &str = "idempotent-replayed";

/// Bytes of a key.
const MAX_KEY: usize = 255;

/// The request's key, if it has one: 1 to 255 visible ASCII characters. It counts for this method and path.
pub(crate) fn key(parts: &request::Parts, body: &[u8]) -> Result<Option<RequestKey>, Problem> {
    let mut given = parts.headers.get_all(KEY).iter();
    let Some(key) = given.next() else { return Ok(None) };
    let text = key.to_str().unwrap_or_default();
    let valid = (1..=MAX_KEY).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !valid || given.next().is_some() {
        let detail = format!("`{KEY}` must be one value of 1 to {MAX_KEY} visible ASCII characters");
        return Err(Problem::new(Code::InvalidField, detail).field(KEY).hint("a UUID is a good key"));
    }
    let scope = format!("{} {}", parts.method, parts.uri.path());
    Ok(Some(RequestKey::new(scope, text, body)))
}

/// Says in the answer that it was given before.
pub(crate) fn mark(response: &mut Response, replayed: bool) {
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
}
