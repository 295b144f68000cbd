//! The door: what every request must pass before a handler sees it.
//!
//! A server on a loopback address is still reachable from every web page that its user has open. The door lets in
//! programs and our own pages, and refuses other pages: by `Host` (a foreign name that resolves to this address), by
//! `Origin` and `Sec-Fetch-Site` (a page of another site), and by content type (a form that pretends to be an API call).

use std::net::IpAddr;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header, request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tower_http::request_id::{MakeRequestId, MakeRequestUuid};

use super::App;
use super::error::{Code, Problem};
use super::input::Query;
use crate::server::ServerConfig;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
/// Bytes of a refused body that are still read, so that the client sees the answer instead of a reset connection.
const DRAIN_BYTES: usize = 4 * 1024 * 1024;
/// How long they are waited for.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// Gives each response the id of its request: the client's `x-request-id` if it sent a sound one, else a fresh one.
pub(crate) async fn identify(mut request: Request, next: Next) -> Response {
    let given = request.headers().get(&REQUEST_ID).filter(|id| is_sound_id(id.as_bytes())).cloned();
    let made = || MakeRequestUuid.make_request_id(&request).map(|id| id.into_header_value());
    let Some(id) = given.or_else(made) else { return next.run(request).await };
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    tracing::debug!(request = ?id, %method, path, status = response.status().as_u16(), "answered a request");
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

fn is_sound_id(id: &[u8]) -> bool {
    (1..=64).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// The answer to a request whose handler panicked.
pub(crate) fn panicked(_panic: Box<dyn std::any::Any + Send + 'static>) -> Response {
    Problem::new(Code::Internal, "the server failed to handle the request; its log says more").into_response()
}

/// Checks host and origin, answers preflights of configured origins, and checks the content type of `/v1` writes.
pub(crate) async fn check(State(app): State<App>, request: Request, next: Next) -> Response {
    let config = app.config();
    let origin = match admit(config, request.method(), request.uri(), request.headers()) {
        Ok(origin) => origin,
        Err(problem) => return problem.into_response(),
    };
    let preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match &origin {
        Some(_) if preflight => preflight_answer(),
        _ => next.run(request).await,
    };
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.append(header::VARY, HeaderValue::from_static("origin"));
        let exposed = HeaderValue::from_static("location, x-request-id, idempotent-replayed");
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    response
}

fn preflight_answer() -> Response {
    let mut response = axum::http::StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    let methods = HeaderValue::from_static("GET, POST, DELETE");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    let names = HeaderValue::from_static("content-type, last-event-id, x-request-id, idempotency-key");
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

/// Lets a request in or says why not. Gives the origin that may read the answer, where one is configured.
fn admit(
    config: &ServerConfig,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Option<HeaderValue>, Problem> {
    let host = host_of(uri, headers)?;
    if !config.allows_host(host) {
        let detail = format!("this server does not answer to the host name `{}`", shown(host));
        return Err(Problem::new(Code::HostNotAllowed, detail)
            .hint("use localhost, or add the name to the server's allowed hosts"));
    }
    let foreign = |what: &str| {
        let detail = format!("the request comes from {what}, which is not allowed");
        Problem::new(Code::OriginNotAllowed, detail)
            .hint("add the page's origin to the server's allowed origins")
    };
    let mut reader = None;
    if let Some(origin) = headers.get(header::ORIGIN) {
        let text = origin.to_str().map_err(|_| foreign("an unreadable origin"))?;
        if config.allows_origin(text) {
            reader = Some(origin.clone());
        } else if !is_same_origin(text, host) {
            return Err(foreign(&format!("the origin `{}`", shown(text))));
        }
    }
    let site = headers.get(&SEC_FETCH_SITE).map(HeaderValue::as_bytes);
    let mode = headers.get(&SEC_FETCH_MODE).map(HeaderValue::as_bytes);
    // A link to a page of ours may stand anywhere; what it leads to starts nothing.
    let link = mode == Some(b"navigate") && method == Method::GET && is_page(uri.path());
    match (site, mode) {
        _ if reader.is_some() || link => {}
        (Some(b"cross-site"), _) => return Err(foreign("another site")),
        // An image or a script on another port of this machine: it carries no origin.
        (Some(b"same-site"), Some(b"no-cors")) => return Err(foreign("another origin")),
        _ => {}
    }
    if uri.path().starts_with("/v1/") && matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
        check_content_type(headers)?;
    }
    Ok(reader)
}

fn is_page(path: &str) -> bool {
    !path.starts_with("/v1/") && !path.starts_with("/api/")
}

/// A write says that it is JSON. One without a body may say nothing.
fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(given) = headers.get(header::CONTENT_TYPE) else {
        let empty = match headers.get(header::CONTENT_LENGTH) {
            Some(length) => length == "0",
            None => !headers.contains_key(header::TRANSFER_ENCODING),
        };
        if empty {
            return Ok(());
        }
        return Err(Problem::new(Code::NotJson, "the request has a body and no content type")
            .field("content-type")
            .hint("send the header `content-type: application/json`"));
    };
    let text = given.to_str().unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Problem::new(Code::NotJson, format!("the content type is `{}`", shown(text)))
        .field("content-type")
        .hint("send the header `content-type: application/json`"))
}

/// The host that the client believes to talk to, with its port.
fn host_of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<&'a str, Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let named = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok(),
        _ => None,
    };
    let Some(host) = named else {
        return Err(Problem::new(Code::HostNotAllowed, "the request has no single readable `Host` header"));
    };
    match uri.authority() {
        Some(authority) if !authority.as_str().eq_ignore_ascii_case(host) => {
            Err(Problem::new(Code::HostNotAllowed, "the address and the `Host` header name different hosts"))
        }
        _ => Ok(host),
    }
}

/// Splits `name:port`, `[v6]:port` or a name alone; `None` if it is none of these.
fn split_port(host: &str) -> Option<(&str, Option<u16>)> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (name, rest) = rest.split_once(']')?;
            (name, rest)
        }
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    match port.strip_prefix(':') {
        None if port.is_empty() => Some((name, None)),
        None => None,
        Some(port) => Some((name, Some(port.parse().ok()?))),
    }
}

/// Whether a `Host` names this machine's loopback interface.
fn is_loopback(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_same_origin(origin: &str, host: &str) -> bool {
    let named = origin.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"));
    named.is_some_and(|(_, named)| named.eq_ignore_ascii_case(host))
}

/// A client's text, fit to be shown in an error.
fn shown(text: &str) -> String {
    text.chars().take(100).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

impl ServerConfig {
    fn allows_host(&self, host: &str) -> bool {
        let Some((name, _)) = split_port(host) else { return false };
        is_loopback(name)
            || self.allowed_hosts.iter().any(|allowed| {
                allowed == "*" || allowed.eq_ignore_ascii_case(host) || allowed.eq_ignore_ascii_case(name)
            })
    }

    fn allows_origin(&self, origin: &str) -> bool {
        self.allowed_origins.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin))
    }
}

/// The head and the body of a request, for routes that take no parameters.
pub(crate) async fn read_plain(app: &App, request: Request) -> Result<(request::Parts, Bytes), Problem> {
    let (parts, body) = request.into_parts();
    Query::parse_strict(parts.uri.query(), &[])?;
    let body = read_body(app, &parts, body).await?;
    Ok((parts, body))
}

/// Reads a request's body: at most [`ServerConfig::max_body_bytes`], within [`ServerConfig::body_timeout`].
pub(crate) async fn read_body(app: &App, parts: &request::Parts, body: Body) -> Result<Bytes, Problem> {
    let limit = app.config().max_body_bytes;
    let too_large = || {
        let detail = format!("the body has more than {limit} bytes");
        Problem::new(Code::BodyTooLarge, detail)
    };
    let length =
        parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let read = async {
        if length.is_some_and(|length: u64| length > limit as u64) {
            // Whoever asks first, and so has not sent it yet, is answered without it.
            if !parts.headers.contains_key(header::EXPECT) {
                // The answer is the same if it does not come.
                let _ = tokio::time::timeout(DRAIN_TIME, drain(body)).await;
            }
            return Err(too_large());
        }
        let mut limited = Limited::new(body, limit);
        let mut bytes = Vec::with_capacity(length.map_or(0, |length| length as usize));
        while let Some(frame) = limited.frame().await {
            match frame {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        bytes.extend_from_slice(&data);
                    }
                }
                Err(error) if error.is::<LengthLimitError>() => return Err(too_large()),
                Err(_) => {
                    return Err(Problem::new(Code::BadRequest, "the body could not be read to its end"));
                }
            }
        }
        Ok(bytes.into())
    };
    match tokio::time::timeout(app.config().body_timeout, read).await {
        Ok(result) => result,
        Err(_) => Err(Problem::new(Code::BodyTimeout, "the body did not arrive in time")),
    }
}

async fn drain(mut body: Body) {
    let mut left = DRAIN_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let Some(rest) = frame.data_ref().and_then(|data| left.checked_sub(data.len())) else { return };
        left = rest;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;
    use tower::ServiceExt;

    use super::*;

    /// What the door says to `METHOD /path` with the given headers.
    fn knock(config: &ServerConfig, request: &str, headers: &[(&str, &str)]) -> Result<bool, Code> {
        let (method, path) = request.split_once(' ').unwrap();
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
            })
            .collect();
        admit(config, &method.parse().unwrap(), &path.parse().unwrap(), &headers)
            .map(|origin| origin.is_some())
            .map_err(|problem| problem.code)
    }

    #[test]
    fn only_loopback_and_configured_hosts_are_served() {
        let config = ServerConfig { allowed_hosts: vec!["crews.example.org".into()], ..Default::default() };
        for host in
            ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "127.8.8.8", "[::1]:8080", "crews.example.org:443"]
        {
            assert_eq!(knock(&config, "GET /v1/crews", &[("host", host)]), Ok(false), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1:8080",
            "",
            "[::1",
            "a:b:c",
        ] {
            let refused = Err(Code::HostNotAllowed);
            assert_eq!(knock(&config, "GET /v1/crews", &[("host", host)]), refused, "{host}");
        }
        assert_eq!(knock(&config, "GET /v1/crews", &[]), Err(Code::HostNotAllowed));
        let absolute = knock(&config, "GET http://evil.example/v1/crews", &[("host", "localhost")]);
        assert_eq!(absolute, Err(Code::HostNotAllowed));
    }

    #[test]
    fn pages_of_other_origins_are_refused_unless_configured() {
        let closed = ServerConfig::default();
        let open = ServerConfig { allowed_origins: vec!["https://app.example".into()], ..Default::default() };
        let host = ("host", "localhost:8080");
        for origin in ["https://evil.example", "null", "http://localhost:3000", "file://localhost:8080"] {
            let refused = Err(Code::OriginNotAllowed);
            assert_eq!(knock(&closed, "GET /v1/crews", &[host, ("origin", origin)]), refused, "{origin}");
        }
        let own = [host, ("origin", "http://localhost:8080"), ("sec-fetch-site", "same-origin")];
        assert_eq!(knock(&closed, "GET /v1/crews", &own), Ok(false));
        let app = [host, ("origin", "https://app.example"), ("sec-fetch-site", "cross-site")];
        assert_eq!(knock(&closed, "GET /v1/crews", &app), Err(Code::OriginNotAllowed));
        assert_eq!(knock(&open, "GET /v1/crews", &app), Ok(true));
    }

    #[test]
    fn another_site_cannot_start_a_run_with_a_link_or_an_image() {
        let config = ServerConfig::default();
        let host = ("host", "localhost:8080");
        let image = [host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")];
        let near = [host, ("sec-fetch-site", "same-site"), ("sec-fetch-mode", "no-cors")];
        let link = [host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        for headers in [image, near, link] {
            let refused = Err(Code::OriginNotAllowed);
            assert_eq!(knock(&config, "GET /api/crew/stream?q=x", &headers), refused, "{headers:?}");
        }
        assert_eq!(knock(&config, "GET /", &link), Ok(false), "the console may be linked to");
    }

    #[test]
    fn v1_writes_are_json() {
        let config = ServerConfig::default();
        let host = ("host", "localhost");
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
            let refused = Err(Code::NotJson);
            assert_eq!(
                knock(&config, "POST /v1/crews/a/runs", &[host, ("content-type", kind)]),
                refused,
                "{kind}"
            );
        }
        assert_eq!(
            knock(&config, "POST /v1/runs/a/pause", &[host, ("content-length", "2")]),
            Err(Code::NotJson)
        );
        assert_eq!(knock(&config, "POST /v1/runs/a/pause", &[host]), Ok(false));
        let json = [host, ("content-type", "Application/JSON; charset=utf-8")];
        assert_eq!(knock(&config, "POST /v1/crews/a/runs", &json), Ok(false));
        assert_eq!(
            knock(&config, "POST /api/crew/stream", &[host, ("content-type", "text/plain")]),
            Ok(false)
        );
    }

    #[tokio::test]
    async fn a_handler_that_panics_is_answered_for() {
        async fn broken() -> Response {
            panic!("on purpose")
        }
        let router: axum::Router = axum::Router::new()
            .route("/", axum::routing::get(broken))
            .layer(tower_http::catch_panic::CatchPanicLayer::custom(panicked));
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), 500);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body.starts_with(br#"{"type":"urn:boathouse:problem:internal""#), "{body:?}");
    }

    proptest! {
        #[test]
        fn no_foreign_name_passes_for_loopback(name in "[a-z0-9.:\\[\\]-]{0,30}") {
            let passes = ServerConfig::default().allows_host(&name);
            let (bare, _) = split_port(&name).unwrap_or(("", None));
            let loopback = bare.trim_end_matches('.') == "localhost"
                || bare.trim_end_matches('.').parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
            prop_assert_eq!(passes, loopback);
        }
    }
}
