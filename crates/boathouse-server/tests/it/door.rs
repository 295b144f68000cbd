//! What every request must pass.

use std::time::Duration;

use boathouse_server::server::ServerConfig;
use proptest::prelude::*;
use serde_json::json;

use crate::support::{Connection, Server};

#[tokio::test]
async fn foreign_hosts_and_pages_are_refused_on_every_api_route() {
    let server = Server::start().await;
    for request in ["GET /v1/crews", "GET /api/crew/stream?q=x", "POST /v1/crews/hello/runs", "GET /nowhere"]
    {
        server.send(request, &[("host", "evil.example")], "").await.is_problem(403, "host_not_allowed");
        server
            .send(request, &[("origin", "https://evil.example")], "")
            .await
            .is_problem(403, "origin_not_allowed");
        server
            .send(request, &[("sec-fetch-site", "cross-site")], "")
            .await
            .is_problem(403, "origin_not_allowed");
    }
    let plain =
        server.send("POST /v1/crews/hello/runs", &[("content-type", "text/plain")], r#"{"input":"x"}"#).await;
    plain.is_problem(415, "not_json");
    let health = server.send("GET /health", &[("host", "10.1.2.3:8080")], "").await;
    assert_eq!((health.status, health.json()), (200, json!({"status": "ok", "service": "boathouse"})));
    assert_eq!(server.get("/v1/runs").await.json()["runs"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn a_configured_origin_may_read_answers_and_no_other_may() {
    let config = ServerConfig { allowed_origins: vec!["https://app.example".into()], ..Default::default() };
    let server = Server::with(config).await;
    let origin = ("origin", "https://app.example");
    let crews = server.send("GET /v1/crews", &[origin, ("sec-fetch-site", "cross-site")], "").await;
    assert_eq!(
        (crews.status, crews.headers["access-control-allow-origin"].as_str()),
        (200, "https://app.example")
    );
    let asked = [origin, ("access-control-request-method", "POST")];
    let preflight = server.send("OPTIONS /v1/crews/hello/runs", &asked, "").await;
    assert_eq!(preflight.status, 204);
    assert!(preflight.headers["access-control-allow-headers"].contains("content-type"));
    assert!(!server.get("/v1/crews").await.headers.contains_key("access-control-allow-origin"));
    server.stop().await;
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems() {
    let server = Server::start().await;
    server.get("/v1/nothing").await.is_problem(404, "not_found");
    let wrong = server.send("PUT /v1/runs/x", &[("content-type", "application/json")], "{}").await;
    wrong.is_problem(405, "method_not_allowed");
    let mut allowed: Vec<&str> = wrong.headers["allow"].split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["DELETE", "GET", "HEAD"]);
    server.get("/v1/crews/%ff").await.is_problem(400, "bad_request");
    server.get("/v1/runs?crew=%ff").await.is_problem(400, "invalid_utf8");
    server.stop().await;
}

#[tokio::test]
async fn bodies_and_queries_have_a_size() {
    let server = Server::start().await;
    let large = json!({"input": "x".repeat(1024 * 1024)});
    server.post("/v1/crews/hello/runs", large).await.is_problem(413, "body_too_large");
    let mut chunked = Connection::to(server.address).await;
    chunked
        .send(b"POST /v1/crews/hello/runs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    for _ in 0..17 {
        chunked.send(format!("10000\r\n{}\r\n", "x".repeat(0x10000)).as_bytes()).await;
    }
    chunked.answer().await.is_problem(413, "body_too_large");
    let announced = [("content-type", "application/json"), ("content-length", "3000000000")];
    server.send("POST /v1/crews/hello/runs", &announced, "").await.is_problem(413, "body_too_large");
    let asks = [announced[0], announced[1], ("expect", "100-continue")];
    // No `100 Continue` comes before it.
    server.send("POST /v1/crews/hello/runs", &asks, "").await.is_problem(413, "body_too_large");
    let long = format!("/v1/runs?crew={}", "x".repeat(62 * 1024));
    server.get(&long).await.is_problem(414, "uri_too_long");
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_never_comes_is_not_waited_for() {
    let config = ServerConfig { body_timeout: Duration::from_millis(1), ..Default::default() };
    let server = Server::with(config).await;
    let mut slow = Connection::to(server.address).await;
    slow.send(b"POST /v1/crews/hello/runs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{").await;
    slow.answer().await.is_problem(408, "body_timeout");
    server.stop().await;
}

#[tokio::test]
async fn requests_keep_their_id_and_get_one_otherwise() {
    let server = Server::start().await;
    let given = server.send("GET /healthz", &[("x-request-id", "abc-123")], "").await;
    assert_eq!(given.headers["x-request-id"], "abc-123");
    let made = server.send("GET /healthz", &[("x-request-id", "not a sound id!")], "").await;
    assert_eq!(made.headers["x-request-id"].len(), 36);
    server.stop().await;
}

#[tokio::test]
async fn readiness_tells_of_the_journal() {
    let server = Server::start().await;
    let ready = server.get("/readyz").await;
    assert_eq!((ready.status, ready.json()["journal"]["ok"].as_bool()), (200, Some(true)));
    server.engine.shutdown(Duration::ZERO).await;
    let closed = server.get("/readyz").await;
    assert_eq!((closed.status, closed.json()["status"].as_str()), (503, Some("not_ready")));
    server.stop().await;
}

/// Whatever is sent, the answer is a success or a problem with a code, and the server goes on.
#[test]
fn any_request_is_answered() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime.block_on(Server::start());
    let paths = prop_oneof![
        Just("/v1/crews/hello/runs".to_owned()),
        Just("/v1/runs/x/answer".to_owned()),
        Just("/v1/runs/x/cancel".to_owned()),
        "/v1/runs/[!-~&&[^?#]]{0,12}/events",
        "/v1/crews/[!-~&&[^?#]]{0,12}",
        "/v1/runs",
    ];
    let keys = r#"(input|history|limits|metadata|vars|wait|text|role|x)"#;
    let value = prop_oneof![
        "[ -~]{0,8}".prop_map(|text| json!(text)),
        any::<i64>().prop_map(|number| json!(number)),
        Just(json!(null)),
        Just(json!([{"role": "user", "content": "\u{0}"}])),
        prop::collection::vec(any::<f64>(), 0..3).prop_map(|list| json!(list)),
    ];
    let body = prop_oneof![
        "\\PC{0,60}",
        prop::collection::btree_map(keys, value, 0..4).prop_map(|map| json!(map).to_string()),
    ];
    let query = "([a-z]{1,6}=[!-~&&[^#]]{0,8}&?){0,3}";
    let header = "[ -~]{0,20}";
    let method = prop_oneof![Just("GET"), Just("POST"), Just("DELETE"), Just("PATCH")];
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(method in method, path in paths, query in query, body in body, header in header)| {
        let answer = runtime.block_on(async {
            let headers = [("content-type", "application/json"), ("accept", "application/json"), ("last-event-id", header.as_str())];
            server.send(&format!("{method} {path}?{query}"), &headers, &body).await
        });
        // An address that is none at all is refused by the HTTP parser, before there is a request.
        let parsed = answer.headers.contains_key("x-request-id");
        prop_assert!(parsed || (answer.status == 400 && answer.chunks.concat().is_empty()));
        if parsed && answer.status >= 400 {
            prop_assert!(answer.status < 500, "{}", answer.text());
            prop_assert!(answer.json()["code"].is_string(), "{}", answer.text());
        }
    });
    runtime.block_on(server.stop());
}
