use std::time::{Duration, SystemTime};

use boathouse_core::run::event::CallErrorKind;
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::{http, in_stream, redact};
use crate::provider::ProviderError;

fn status(code: u16, headers: &[(&'static str, &str)], body: &str) -> ProviderError {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header"));
    }
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    http(StatusCode::from_u16(code).expect("a status"), &map, body, now)
}

#[test]
fn a_status_says_of_what_sort_the_failure_is() {
    use CallErrorKind::*;
    let cases = [
        (401, Auth),
        (403, Auth),
        (408, Timeout),
        (429, RateLimited),
        (500, Server),
        (503, Server),
        (529, Server),
        (400, Rejected),
        (404, Rejected),
        (422, Rejected),
        (302, Rejected),
    ];
    for (code, kind) in cases {
        assert_eq!(status(code, &[], "").kind, kind, "{code}");
    }
    let no_credit =
        r#"{"error":{"message":"You exceeded your quota","type":"insufficient_quota","code":null}}"#;
    assert_eq!(status(429, &[], no_credit).kind, Rejected, "waiting does not help");
}

#[test]
fn the_providers_own_words_are_passed_on() {
    let cases = [
        (r#"{"error":{"message":"no such model","type":"x","code":"model_not_found"}}"#, "no such model"),
        (r#"{"error":"model 'm' not found"}"#, "model 'm' not found"),
        (r#"{"object":"error","message":"too long","code":400}"#, "too long"),
        (r#"{"detail":[{"msg":"bad"}]}"#, r#"[{"msg":"bad"}]"#),
        (r#"[{"error":{"code":400,"message":"in a list"}}]"#, "in a list"),
        ("<html>\r\n<b>Bad</b>", "<html>  <b>Bad</b>"),
    ];
    for (body, words) in cases {
        assert_eq!(status(400, &[], body).message, format!("the provider answered 400 Bad Request: {words}"));
    }
    assert_eq!(status(502, &[], " ").message, "the provider answered 502 Bad Gateway");
    let long = status(500, &[], &"ä".repeat(10_000)).message;
    assert!(long.chars().count() < 600 && long.ends_with("..."));
}

#[test]
fn retry_after_is_read_as_seconds_milliseconds_or_a_date() {
    let wait = |name, value| status(429, &[(name, value)], "").retry_after;
    assert_eq!(wait("retry-after", "7"), Some(Duration::from_secs(7)));
    assert_eq!(wait("retry-after", " 0.5 "), Some(Duration::from_millis(500)));
    assert_eq!(wait("retry-after-ms", "250"), Some(Duration::from_millis(250)));
    assert_eq!(wait("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT"), Some(Duration::from_secs(30)));
    assert_eq!(wait("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO), "it is over");
    assert_eq!(wait("retry-after", "1e300"), None);
    assert_eq!(wait("retry-after", "999999999"), Some(Duration::from_secs(86_400)), "a day at most");
    assert_eq!(wait("retry-after", "-5"), None);
    assert_eq!(wait("retry-after", "soon"), None);
}

#[test]
fn an_error_in_the_stream_has_a_sort_too() {
    use CallErrorKind::*;
    let cases = [
        (r#"{"message":"slow down","type":"rate_limit_exceeded"}"#, RateLimited),
        (r#"{"message":"slow down","code":429}"#, RateLimited),
        (r#"{"message":"slow down","code":"429"}"#, RateLimited),
        (r#"{"message":"who?","code":"invalid_api_key"}"#, Auth),
        (
            r#"{"message":"too long","type":"invalid_request_error","code":"context_length_exceeded"}"#,
            Rejected,
        ),
        (r#"{"message":"late","code":504}"#, Timeout),
        (r#"{"message":"oh","type":"server_error"}"#, Server),
        (r#""just text""#, Server),
        (r#"{"odd":1}"#, Server),
    ];
    for (json, kind) in cases {
        assert_eq!(in_stream(json).kind, kind, "{json}");
    }
    assert_eq!(in_stream(r#"{"message":"oh"}"#).message, "the provider broke off: oh");
}

#[test]
fn no_message_holds_a_key() {
    let error = |message: &str| ProviderError::new(CallErrorKind::Auth, message);
    let said = |message: &str, key| redact(error(message), key).message;
    assert_eq!(said("key my-secret is wrong, my-secret!", Some("my-secret")), "key [key] is wrong, [key]!");
    assert_eq!(said("Incorrect API key: sk-proj-ab***yz.", None), "Incorrect API key: [key]");
    assert_eq!(said("the task-runner and the disk-full", Some("")), "the task-runner and the disk-full");
}
