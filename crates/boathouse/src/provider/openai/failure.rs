//! What a refused or broken request means.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use boathouse_core::run::event::CallErrorKind;
use hyper::StatusCode;
use hyper::header::{HeaderMap, RETRY_AFTER};
use regex::Regex;
use serde_json::Value;

use crate::provider::ProviderError;

/// Characters of a peer's message that are kept.
const MAX_MESSAGE: usize = 500;
/// The longest pause that a peer's wish is taken for: a day.
const MAX_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// The error for an answer with a status other than success.
pub(crate) fn http(status: StatusCode, headers: &HeaderMap, body: &str, now: SystemTime) -> ProviderError {
    let told = serde_json::from_str(body).ok().and_then(|body: Value| Told::of_answer(&body));
    let kind = match status.as_u16() {
        401 | 403 => CallErrorKind::Auth,
        408 => CallErrorKind::Timeout,
        // Waiting does not help who has no credit left.
        429 if told.as_ref().is_some_and(Told::is_out_of_credit) => CallErrorKind::Rejected,
        429 => CallErrorKind::RateLimited,
        500.. => CallErrorKind::Server,
        _ => CallErrorKind::Rejected,
    };
    let why = told.map_or_else(|| short(body), |told| short(&told.message));
    let message = match why.is_empty() {
        true => format!("the provider answered {status}"),
        false => format!("the provider answered {status}: {why}"),
    };
    ProviderError { kind, message, retry_after: retry_after(headers, now) }
}

/// The error for an `error` object in the midst of a stream.
pub(crate) fn in_stream(json: &str) -> ProviderError {
    let error: Value = serde_json::from_str(json).unwrap_or(Value::Null);
    let Some(told) = Told::of_error(&error) else {
        return ProviderError::new(
            CallErrorKind::Server,
            format!("the provider broke off with an error: {}", short(json)),
        );
    };
    ProviderError::new(told.kind(), format!("the provider broke off: {}", short(&told.message)))
}

/// The error for a frame that is not what the API says.
pub(crate) fn unreadable_frame(data: &str, error: &serde_json::Error) -> ProviderError {
    ProviderError::new(
        CallErrorKind::Protocol,
        format!("a frame of the reply is unreadable ({error}): {}", short(data)),
    )
}

/// Takes out of a message whatever looks like a key, above all the key that was sent.
pub(crate) fn redact(mut error: ProviderError, key: Option<&str>) -> ProviderError {
    if let Some(key) = key.filter(|key| !key.is_empty()) {
        error.message = error.message.replace(key, "[key]");
    }
    // Providers quote keys half masked, as `sk-abc***xyz`.
    if let std::borrow::Cow::Owned(message) = KEY_LIKE.replace_all(&error.message, "[key]") {
        error.message = message;
    }
    error
}

static KEY_LIKE: LazyLock<Regex> = LazyLock::new(|| {
    #[expect(clippy::unwrap_used, reason = "the pattern is constant, and a test compiles it")]
    Regex::new(r"\bsk-[A-Za-z0-9_*.-]{5,}").unwrap()
});

/// What an error object says.
struct Told {
    message: String,
    /// `type` and `code`, in lower case.
    words: String,
    status: Option<u64>,
}

impl Told {
    /// From a whole answer: `{"error": {...}}`, `{"error": "..."}`, `{"message": ...}`, `{"detail": ...}`, or a list of one.
    fn of_answer(body: &Value) -> Option<Told> {
        let body = body.as_array().and_then(|list| list.first()).unwrap_or(body);
        Told::of_error(body.get("error").unwrap_or(body))
    }

    fn of_error(error: &Value) -> Option<Told> {
        let text = |value: &Value| match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
        };
        if let Value::String(message) = error {
            return Some(Told { message: message.clone(), words: String::new(), status: None });
        }
        let message = error.get("message").or_else(|| error.get("detail")).map(text)?;
        let kind = error.get("type").map(text).unwrap_or_default();
        let code = error.get("code").unwrap_or(&Value::Null);
        let status = code.as_u64().or_else(|| code.as_str()?.parse().ok());
        Some(Told { message, words: format!("{kind} {}", text(code)).to_ascii_lowercase(), status })
    }

    fn is_out_of_credit(&self) -> bool {
        self.words.contains("insufficient_quota")
    }

    fn kind(&self) -> CallErrorKind {
        let says = |words: &[&str]| words.iter().any(|word| self.words.contains(word));
        match self.status {
            Some(401 | 403) => CallErrorKind::Auth,
            Some(408 | 504) => CallErrorKind::Timeout,
            _ if self.is_out_of_credit() => CallErrorKind::Rejected,
            Some(429) => CallErrorKind::RateLimited,
            Some(400..500) => CallErrorKind::Rejected,
            Some(_) => CallErrorKind::Server,
            None if says(&["rate_limit", "too_many"]) => CallErrorKind::RateLimited,
            None if says(&["authentication", "api_key", "permission"]) => CallErrorKind::Auth,
            None if says(&["timeout"]) => CallErrorKind::Timeout,
            None if says(&["invalid", "context_length", "not_found", "content_filter", "unsupported"]) => {
                CallErrorKind::Rejected
            }
            None => CallErrorKind::Server,
        }
    }
}

/// How long the peer asks to wait: `retry-after-ms`, or `retry-after` in seconds or as a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let wait = match text("retry-after-ms").and_then(|text| text.parse().ok()) {
        Some(millis) => Duration::from_millis(millis),
        None => {
            let text = text(RETRY_AFTER.as_str())?;
            match text.parse::<f64>() {
                Ok(seconds) => Duration::try_from_secs_f64(seconds).ok()?,
                Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or(Duration::ZERO),
            }
        }
    };
    Some(wait.min(MAX_PAUSE))
}

/// One line, not too long.
fn short(text: &str) -> String {
    let mut line: String =
        text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_MESSAGE + 1).collect();
    if line.chars().count() > MAX_MESSAGE {
        line.pop();
        line.push_str("...");
    }
    line
}

#[cfg(test)]
mod tests;
