//! HTTP tools over real sockets: what a server gets, and what its answer, or none, is taken for.
#![expect(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use boathouse::core::crew::http::{Address, Header, HttpSpec, Method};
use boathouse::core::crew::{Effect, ToolDef, ToolKind, ToolSpec};
use boathouse::core::run::event::CallEnd;
use boathouse::tool::{CallLimits, ToolEnd, Tools, call, tool_for};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[path = "support/calls.rs"]
mod calls;
#[path = "support/upstream.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod upstream;

use calls::{context, error, success, unknown};
use upstream::{Answer, Upstream};

const LIMITS: CallLimits = CallLimits {
    timeout: Duration::from_secs(30),
    grace: Duration::from_secs(5),
    max_output_bytes: 32 * 1024,
};

/// An HTTP tool with the parameters `a` and `b`.
struct Http {
    spec: ToolSpec,
    http: HttpSpec,
}

impl Http {
    fn new(method: Method, url: &str) -> Http {
        let schema = json!({"type": "object", "properties": {"a": {}, "b": {"default": 7}}});
        let address = Address::parse(url).unwrap();
        Http {
            spec: ToolSpec::new("Tool", "", schema),
            http: HttpSpec { method, address, headers: Vec::new(), body: None },
        }
    }

    fn to(upstream: &Upstream, method: Method, path: &str) -> Http {
        Http::new(method, &format!("{}{path}", upstream.url()))
    }

    fn header(mut self, name: &str, value: &str) -> Http {
        self.http.headers.push(Header::parse(name, value).unwrap());
        self
    }

    fn body(mut self, body: Value) -> Http {
        self.http.body = Some(body);
        self
    }

    fn effect(mut self, effect: Effect, retries: u32) -> Http {
        self.spec = ToolSpec { effect, retries, ..self.spec };
        self
    }

    async fn call(&self, arguments: Value) -> ToolEnd {
        self.call_with(arguments, &CancellationToken::new(), LIMITS).await
    }

    async fn call_with(
        &self,
        arguments: Value,
        cancelled: &CancellationToken,
        limits: CallLimits,
    ) -> ToolEnd {
        let cx = context(None, cancelled);
        let def =
            ToolDef { spec: Arc::new(self.spec.clone()), kind: ToolKind::Http(Arc::new(self.http.clone())) };
        call(tool_for(&Tools::new(), &def).unwrap(), &arguments, cx, limits).await
    }
}

fn ok(body: &str) -> Answer {
    Answer::status("200 OK", "", body)
}

#[tokio::test]
async fn a_request_has_what_the_crew_says_and_the_key_of_its_call() {
    let mut upstream = Upstream::start().await;
    upstream.answer(ok("{\"id\": 4}\n"));
    let tool = Http::to(&upstream, Method::Post, "/x/{a}?b={b}&c={a}")
        .header("Authorization", "Bearer {env.CARGO_PKG_NAME}")
        .header("Accept", "application/json")
        .body(json!({"a": "{a}", "text": "{a}/{b}"}));
    assert_eq!(tool.call(json!({"a": "1/2 ü"})).await, success("{\"id\": 4}"));
    let seen = upstream.request().await;
    assert_eq!(seen.line, "POST /v1/x/1%2F2%20%C3%BC?b=7&c=1%2F2%20%C3%BC HTTP/1.1");
    assert_eq!(seen.body, json!({"a": "1/2 ü", "text": "1/2 ü/7"}));
    let expected = [
        ("authorization", "Bearer boathouse"),
        ("accept", "application/json"),
        ("content-type", "application/json"),
        ("idempotency-key", "run-7"),
        ("connection", "close"),
    ];
    for (name, value) in expected {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    assert!(upstream.url().contains(seen.header("host").unwrap()));
}

#[tokio::test]
async fn only_what_changes_something_has_a_key_and_only_what_has_a_body_a_type() {
    for (effect, key) in
        [(Effect::Read, None), (Effect::Idempotent, Some("run-7")), (Effect::Once, Some("run-7"))]
    {
        let mut upstream = Upstream::start().await;
        upstream.answer(ok("x"));
        let tool = Http::to(&upstream, Method::Delete, "").effect(effect, 0);
        assert_eq!(tool.call(json!({})).await, success("x"));
        let seen = upstream.request().await;
        assert_eq!((seen.header("idempotency-key"), seen.header("content-type")), (key, None), "{effect:?}");
    }
}

#[tokio::test]
async fn each_attempt_of_a_call_has_the_same_key() {
    let mut upstream = Upstream::start().await;
    upstream.answer(Answer::status("503 Service Unavailable", "", "later"));
    upstream.answer(Answer::default().close());
    upstream.answer(Answer::status("204 No Content", "", ""));
    let tool = Http::to(&upstream, Method::Put, "").effect(Effect::Idempotent, 2);
    let told =
        format!("done: {} answered 204 No Content, without a body", upstream.url().trim_end_matches("/v1"));
    assert_eq!(tool.call(json!({})).await, success(&told));
    for _ in 0..3 {
        assert_eq!(upstream.request().await.header("idempotency-key"), Some("run-7"));
    }
    assert_eq!(upstream.connections(), 3, "no connection is used again");
}

#[tokio::test]
async fn an_error_of_the_server_is_a_result_with_its_text() {
    let upstream = Upstream::start().await;
    let tool = Http::to(&upstream, Method::Get, "").effect(Effect::Read, 3);
    upstream.answer(Answer::status("404 Not Found", "", "no such ticket"));
    let told = error(tool.call(json!({})).await);
    assert!(
        told.starts_with("http://127.0.0.1:") && told.ends_with(" answered 404 Not Found\nno such ticket"),
        "{told}"
    );
    assert_eq!(upstream.connections(), 1, "what the server refused is not asked again");

    let tool = Http::to(&upstream, Method::Post, "");
    upstream.answer(Answer::status("500 Internal Server Error", "", ""));
    let told = error(tool.call(json!({})).await);
    assert!(told.ends_with(" answered 500 Internal Server Error"), "an answer is a known outcome: {told}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let upstream = Upstream::start().await;
    let tool = Http::to(&upstream, Method::Get, "");
    for (location, leads) in [
        (
            "location: https://other.example/a?token=hidden\r\n",
            "which leads to https://other.example; redirects",
        ),
        ("location: /elsewhere\r\n", "which leads to another place; redirects"),
    ] {
        upstream.answer(Answer::status("302 Found", location, "moved"));
        let told = error(tool.call(json!({})).await);
        assert!(told.contains(leads) && !told.contains("hidden"), "{told}");
    }
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn an_answer_is_read_to_the_cap_and_no_further() {
    let upstream = Upstream::start().await;
    let mut tool = Http::to(&upstream, Method::Get, "");
    tool.spec.max_output_bytes = 10;
    let told = "0123456789\n[cut here: the output was longer than 10 bytes]";
    // One that never ends, and one that is cut within a character.
    upstream.answer(Answer::stream().chunk(b"0123456789abcdef").stall());
    assert_eq!(tool.call(json!({})).await, success(told));
    upstream.gone_is(1).await;
    upstream.answer(ok("012345678ü"));
    assert_eq!(tool.call(json!({})).await, success(&told.replace('9', "")));
    upstream.answer(ok("0123456789"));
    assert_eq!(tool.call(json!({})).await, success("0123456789"));
    upstream.answer(Answer::default().bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\na\xff\0"));
    assert_eq!(tool.call(json!({})).await, success("a\u{FFFD}\u{FFFD}"));
}

#[tokio::test]
async fn a_secret_that_the_server_repeats_is_not_told() {
    let upstream = Upstream::start().await;
    let mut tool = Http::to(&upstream, Method::Get, "").header("X-Key", "{env.CARGO_PKG_NAME}");
    upstream.answer(ok("you sent boathouse, boathouse"));
    assert_eq!(tool.call(json!({})).await, success("you sent [CARGO_PKG_NAME], [CARGO_PKG_NAME]"));
    tool.spec.max_output_bytes = 12;
    upstream.answer(Answer::status("401 Unauthorized", "", "you sent boathouse"));
    let told = error(tool.call(json!({})).await);
    assert!(told.contains("you sent [CA\n[cut here"), "{told}");
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_before_anybody_is_asked() {
    let upstream = Upstream::start().await;
    let missing = Http::to(&upstream, Method::Get, "/{a}");
    assert_eq!(
        error(missing.call(json!({})).await),
        "`a` is needed, and may not be empty: it is part of the address"
    );
    let dots = error(missing.call(json!({"a": ".."})).await);
    assert_eq!(dots, "a part of the address may not be `.` or `..`: it would lead elsewhere");
    let variable = Http::to(&upstream, Method::Get, "").header("X-Key", "{env.BOATHOUSE_NO_SUCH_VARIABLE}");
    let told = error(variable.call(json!({})).await);
    assert_eq!(told, "the environment variable BOATHOUSE_NO_SUCH_VARIABLE, which it needs, is not set");
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_server_that_is_not_reached_is_a_failure_and_nothing_more() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let told = error(Http::new(Method::Post, &format!("http://{free}/")).call(json!({})).await);
    assert!(told.starts_with(&format!("no connection to http://{free}: ")), "{told}");
    // No name ends in `.invalid`.
    let told = error(Http::new(Method::Post, "http://boathouse.invalid/").call(json!({})).await);
    assert!(
        told.starts_with("no connection to http://boathouse.invalid: the name cannot be resolved"),
        "{told}"
    );
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tool = Http::new(Method::Post, &format!("https://{}/", plain.local_addr().unwrap()));
    let (end, ()) = tokio::join!(tool.call(json!({})), async {
        let (mut stream, _) = plain.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    let told = error(end);
    assert!(told.contains(": TLS: "), "{told}");
}

#[tokio::test]
async fn time_that_is_up_before_anything_was_sent_is_a_failure_too() {
    // Its queue of connections takes one; whoever comes next waits for TLS, as nobody accepts.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tool = Http::new(Method::Post, &format!("https://{}/", silent.local_addr().unwrap()));
    let limits = CallLimits { timeout: Duration::from_millis(100), ..LIMITS };
    let told = error(tool.call_with(json!({}), &CancellationToken::new(), limits).await);
    assert!(told.starts_with("nothing was sent: there was no connection to https://127.0.0.1:"), "{told}");
}

#[tokio::test]
async fn without_an_answer_nobody_knows_what_became_of_it() {
    let upstream = Upstream::start().await;
    let once = Http::to(&upstream, Method::Post, "");
    upstream.answer(Answer::default().close());
    let told = unknown(once.call(json!({})).await);
    assert!(told.starts_with("the connection to http://127.0.0.1:") && told.contains(" broke: "), "{told}");

    upstream.answer(Answer::default().bytes("no HTTP at all\r\n\r\n").close());
    assert!(unknown(once.call(json!({})).await).contains(" broke: "));

    upstream.answer(Answer::default().bytes("HTTP/1.1 201 Created\r\ncontent-length: 9\r\n\r\nid: ").close());
    let told = unknown(once.call(json!({})).await);
    assert!(told.contains(" answered 201 Created, but not to the end: "), "{told}");

    // What was refused is known, though not every word of it.
    upstream
        .answer(Answer::default().bytes("HTTP/1.1 409 Conflict\r\ncontent-length: 9\r\n\r\nno: ").close());
    assert!(error(once.call(json!({})).await).ends_with(" answered 409 Conflict\nno:"));

    let read = Http::to(&upstream, Method::Get, "").effect(Effect::Read, 0);
    upstream.answer(Answer::default().close());
    assert!(error(read.call(json!({})).await).contains(" broke: "), "what reads may be asked again");
}

#[tokio::test]
async fn time_that_is_up_closes_the_connection() {
    let upstream = Upstream::start().await;
    let tool = Http::to(&upstream, Method::Post, "");
    upstream.answer(Answer::default().stall());
    let limits = CallLimits { timeout: Duration::from_millis(300), ..LIMITS };
    let told = unknown(tool.call_with(json!({}), &CancellationToken::new(), limits).await);
    assert_eq!(told, "timed out after 300 ms; the server may still be at work on it");
    upstream.gone_is(1).await;
}

#[tokio::test]
async fn cancel_closes_the_connection_at_once() {
    for answer in [Answer::default().stall(), Answer::stream().chunk(b"some of it").stall()] {
        let mut upstream = Upstream::start().await;
        upstream.answer(answer);
        let tool = Http::to(&upstream, Method::Post, "");
        let token = CancellationToken::new();
        let limits = CallLimits { grace: Duration::from_secs(3600), ..LIMITS };
        let (end, ()) = tokio::join!(tool.call_with(json!({}), &token, limits), async {
            upstream.request().await;
            token.cancel();
        });
        assert_eq!(end, ToolEnd::Stopped(CallEnd::Disconnected));
        upstream.gone_is(1).await;
    }
}
