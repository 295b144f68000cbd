//! Servers that are reached by HTTP: what they get, and what their answers, or none, are taken for.

use std::time::Duration;

use boathouse::core::crew::Effect;
use boathouse::core::crew::http::{Address, Header};
use boathouse::core::crew::mcp::McpReach;
use boathouse::core::run::event::CallEnd;
use boathouse::tool::{CallLimits, ToolEnd};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::upstream::{Answer, Seen, Upstream};

use super::{Client, LIMITS, error, success, unknown};

fn client(url: &str) -> Client {
    let headers = vec![Header::parse("Authorization", "Bearer {env.CARGO_PKG_NAME}").unwrap()];
    Client::of(McpReach::Http { address: Address::parse(url).unwrap(), headers }, None)
}

fn answer(id: u64, body: Value) -> Answer {
    answer_with("", id, body)
}

/// An answer with a further header.
fn answer_with(header: &str, id: u64, body: Value) -> Answer {
    let mut message = json!({"jsonrpc": "2.0", "id": id});
    message.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
    let headers = format!("content-type: application/json; charset=utf-8\r\n{header}");
    Answer::status("200 OK", &headers, &message.to_string())
}

fn text(id: u64, text: &str) -> Answer {
    answer(id, json!({"result": {"content": [{"type": "text", "text": text}]}}))
}

fn accepted() -> Answer {
    Answer::status("202 Accepted", "", "")
}

/// An answer as a stream of events, with a notification before the result.
fn events(id: u64, result: &str) -> Answer {
    let progress =
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#;
    let body = format!(
        "event: message\nid: 1\ndata: {progress}\n\ndata: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}\n\n"
    );
    Answer::stream_by(body.as_bytes(), 7)
}

/// What a server says to whoever introduces itself.
fn introduced(upstream: &Upstream, id: u64) {
    let result = json!({
        "protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
        "serverInfo": {"name": "fake", "version": "1"},
    });
    upstream.answer(answer_with("mcp-session-id: s-1\r\n", id, json!({"result": result})));
    upstream.answer(accepted());
}

/// A server that has been introduced, and a client that has made a call.
async fn at_work() -> (Upstream, Client) {
    let mut upstream = Upstream::start().await;
    introduced(&upstream, 0);
    upstream.answer(text(1, "hello"));
    let client = client(&upstream.url());
    assert_eq!(client.call("hello", json!({})).await, success("hello"));
    for _ in 0..3 {
        upstream.request().await;
    }
    (upstream, client)
}

fn method(seen: &Seen) -> &str {
    seen.body["method"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_call_has_its_key_its_session_and_the_crews_headers() {
    let mut upstream = Upstream::start().await;
    introduced(&upstream, 0);
    upstream.answer(text(1, "one"));
    upstream.answer(events(2, r#"{"content":[{"type":"text","text":"two"}]}"#));
    let mut client = client(&upstream.url());
    assert_eq!(client.call("put", json!({"a": 1})).await, success("one"));
    client.effect = Effect::Read;
    assert_eq!(client.call("look", json!({})).await, success("two"));

    let hello = upstream.request().await;
    assert_eq!((method(&hello), hello.header("mcp-session-id")), ("initialize", None));
    assert_eq!(method(&upstream.request().await), "notifications/initialized");
    let put = upstream.request().await;
    assert_eq!((method(&put), &*put.line), ("tools/call", "POST /v1 HTTP/1.1"));
    assert_eq!(put.body["params"]["arguments"], json!({"a": 1, "limit": 20}));
    assert_eq!(put.body["params"]["_meta"]["boathouse/idempotency-key"], "run-7");
    for (name, value) in [
        ("authorization", "Bearer boathouse"),
        ("mcp-session-id", "s-1"),
        ("mcp-protocol-version", "2025-06-18"),
        ("accept", "application/json, text/event-stream"),
    ] {
        assert_eq!(put.header(name), Some(value), "{name}");
    }
    let look = upstream.request().await;
    assert_eq!(look.body["params"]["_meta"].get("boathouse/idempotency-key"), None);

    upstream.answer(Answer::status("204 No Content", "", ""));
    client.tools.close().await;
    let bye = upstream.request().await;
    assert_eq!((&*bye.line, bye.header("mcp-session-id")), ("DELETE /v1 HTTP/1.1", Some("s-1")));
}

#[tokio::test]
async fn without_an_answer_nobody_knows_what_became_of_it() {
    let (upstream, client) = at_work().await;
    upstream.answer(Answer::default().close());
    let told = unknown(client.call("put", json!({})).await);
    assert!(told.starts_with("the connection to http://127.0.0.1:") && told.contains(" broke: "), "{told}");
    upstream.answer(Answer::stream().chunk(b"data: {\"jsonrpc\":").close());
    let told = unknown(client.call("put", json!({})).await);
    assert!(told.starts_with("the MCP server `fake` was lost before it answered"), "{told}");
    upstream.answer(Answer::stream().chunk(b": nothing\n\n").end());
    unknown(client.call("put", json!({})).await);
    upstream.answer(Answer::status("200 OK", "content-type: text/html\r\n", "<p>hello"));
    assert!(unknown(client.call("put", json!({})).await).ends_with("answered 200 OK, with what is no JSON"));
    upstream.answer(Answer::status("200 OK", "content-type: application/json\r\n", "{"));
    assert!(unknown(client.call("put", json!({})).await).contains("with what is no message"));
    upstream.answer(text(7, "still there"));
    assert_eq!(client.call("put", json!({})).await, success("still there"));
}

#[tokio::test]
async fn a_refusal_is_a_result() {
    let (upstream, client) = at_work().await;
    upstream.answer(Answer::status("500 Internal Server Error", "", "no, boathouse"));
    let told = error(client.call("put", json!({})).await);
    assert!(told.ends_with(" answered 500 Internal Server Error\nno, [CARGO_PKG_NAME]"), "{told}");
    upstream.answer(Answer::status("302 Found", "location: http://x.example/\r\n", ""));
    assert!(error(client.call("put", json!({})).await).ends_with(" answered 302 Found"));
    let refusal = json!({"jsonrpc": "2.0", "id": 4, "error": {"code": -32602, "message": "unknown tool"}});
    upstream.answer(Answer::status("400 Bad Request", "", &refusal.to_string()));
    let told = "the MCP server `fake` refused the call: unknown tool (-32602)";
    assert_eq!(error(client.call("put", json!({})).await), told);
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_kept() {
    let (upstream, client) = at_work().await;
    let told = "the MCP server `fake` refused the call: its answer has more than 16 MiB (-32603)";
    let mebibyte = vec![b'x'; 1 << 20];
    let endless = |begin: Answer| (0..17).fold(begin, |answer, _| answer.chunk(&mebibyte)).stall();
    upstream.answer(endless(Answer::stream().chunk(b"data: ")));
    assert_eq!(error(client.call("put", json!({})).await), told);
    upstream.gone_is(1).await;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    upstream.answer(endless(Answer::default().bytes(head)));
    assert_eq!(error(client.call("put", json!({})).await), told);
    upstream.gone_is(2).await;
}

#[tokio::test]
async fn a_server_that_is_not_reached_is_a_failure_and_nothing_more() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let told = error(client(&format!("http://{free}/mcp")).call("put", json!({})).await);
    assert!(
        told.starts_with("the MCP server `fake` cannot be used: no connection to http://127.0.0.1:"),
        "{told}"
    );

    let upstream = Upstream::start().await;
    upstream.answer(Answer::status("401 Unauthorized", "", "who is boathouse?"));
    let told = error(client(&upstream.url()).call("put", json!({})).await);
    assert!(told.ends_with(" answered 401 Unauthorized\nwho is [CARGO_PKG_NAME]?"), "{told}");

    let (upstream, client) = at_work().await;
    drop(upstream);
    let told = error(client.call("put", json!({})).await);
    assert!(told.starts_with("no connection to http://127.0.0.1:"), "it was there before: {told}");
}

#[tokio::test]
async fn a_session_that_is_over_is_begun_again() {
    let (mut upstream, client) = at_work().await;
    upstream.answer(Answer::status("404 Not Found", "", "no such session"));
    introduced(&upstream, 0);
    upstream.answer(text(2, "again"));
    assert_eq!(client.call("put", json!({})).await, success("again"));
    let mut methods = Vec::new();
    for _ in 0..4 {
        methods.push(method(&upstream.request().await).to_owned());
    }
    assert_eq!(methods, ["tools/call", "initialize", "notifications/initialized", "tools/call"]);
}

#[tokio::test]
async fn cancel_tells_the_server_and_closes_the_connection() {
    for begun in [Answer::default().stall(), Answer::stream().chunk(b": one moment\n\n").stall()] {
        let (mut upstream, client) = at_work().await;
        upstream.answer(begun);
        upstream.answer(accepted());
        let token = CancellationToken::new();
        let limits = CallLimits { grace: Duration::from_secs(3600), ..LIMITS };
        let (end, asked) = tokio::join!(client.call_with("hang", json!({}), &token, limits), async {
            let asked = upstream.request().await;
            token.cancel();
            asked
        });
        assert_eq!(end, ToolEnd::Stopped(CallEnd::Disconnected));
        let told = upstream.request().await;
        assert_eq!(method(&told), "notifications/cancelled");
        assert_eq!(told.body["params"]["requestId"], asked.body["id"]);
        upstream.gone_is(1).await;
    }
}
