//! Requests that are sent twice and carried out once.

use serde_json::json;

use crate::support::{Answer, Server, within};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn start(server: &Server, key: &str, body: &str) -> Answer {
    let headers = [JSON, ("idempotency-key", key)];
    server.send("POST /v1/crews/ask/runs", &headers, body).await
}

#[tokio::test]
async fn the_same_request_starts_one_run_and_gives_the_same_answer() {
    let server = Server::start().await;
    let first = start(&server, "k-1", r#"{"input": "hi", "metadata": {"a": 1}}"#).await;
    assert_eq!(first.status, 202, "{}", first.text());
    assert!(!first.headers.contains_key("idempotent-replayed"));
    let id = first.json()["id"].as_str().unwrap().to_owned();
    server.rested(&id).await;

    // The same JSON, written otherwise; the run has gone on meanwhile.
    let again = start(&server, "k-1", r#"{"metadata":{"a":1},"input":"hi"}"#).await;
    assert_eq!((again.status, again.text()), (202, first.text()));
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(again.headers["location"], format!("/v1/runs/{id}"));

    start(&server, "k-1", r#"{"input": "other"}"#).await.is_problem(409, "idempotency_key_reused");
    let other = start(&server, "k-2", r#"{"input": "hi"}"#).await.json();
    assert_ne!(other["id"], id.as_str(), "another key is another request");
    assert_eq!(server.get("/v1/runs").await.json()["runs"].as_array().unwrap().len(), 2);
    server.stop().await;
}

#[tokio::test]
async fn a_key_finds_its_run_again_also_by_waiting_and_by_streaming() {
    let server = Server::start().await;
    let body = r#"{"input": "hi"}"#;
    let headers = [JSON, ("idempotency-key", "k")];
    let waited = server.send("POST /v1/crews/hello/runs?wait=true", &headers, body).await;
    let again = server.send("POST /v1/crews/hello/runs?wait=true", &headers, body).await;
    assert_eq!((again.status, again.text()), (200, waited.text()));
    let headers = [JSON, ("idempotency-key", "k"), ("accept", "text/event-stream")];
    let streamed = server.send("POST /v1/crews/hello/runs", &headers, body).await;
    assert_eq!(streamed.headers["idempotent-replayed"], "true");
    assert_eq!(streamed.types().first().map(String::as_str), Some("run_started"));
    assert_eq!(streamed.types().last().map(String::as_str), Some("run_ended"));
    assert_eq!(server.get("/v1/runs").await.json()["runs"].as_array().unwrap().len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_sent_twice_is_taken_once() {
    let server = Server::start().await;
    let id = server.run("ask").await;
    server.rested(&id).await;
    let (path, headers) = (format!("POST /v1/runs/{id}/answer"), [JSON, ("idempotency-key", "a")]);
    let first = server.send(&path, &headers, r#"{"text": "the blue one"}"#).await;
    assert_eq!(first.status, 200, "{}", first.text());
    server.rested(&id).await;
    let again = server.send(&path, &headers, r#"{"text": "the blue one"}"#).await;
    assert_eq!((again.status, again.text()), (200, first.text()));
    assert_eq!(again.headers["idempotent-replayed"], "true");
    let other = server.send(&path, &headers, r#"{"text": "the red one"}"#).await;
    other.is_problem(409, "idempotency_key_reused");
    let without = server.send(&path, &[JSON], r#"{"text": "the blue one"}"#).await;
    without.is_problem(409, "run_ended");
    server.stop().await;
}

#[tokio::test]
async fn what_was_refused_may_be_sent_again_with_the_same_key() {
    let server = Server::start().await;
    start(&server, "k", r#"{"inptu": "hi"}"#).await.is_problem(400, "unknown_field");
    assert_eq!(start(&server, "k", r#"{"input": "hi"}"#).await.status, 202);
    server.stop().await;
}

#[tokio::test]
async fn of_many_at_once_one_is_carried_out() {
    let server = Server::start().await;
    let many = (0..20).map(|_| start(&server, "k", r#"{"input": "hi"}"#));
    let mut ids = Vec::new();
    for answer in within(futures_util::future::join_all(many)).await {
        match answer.status {
            202 => ids.push(answer.json()["id"].clone()),
            _ => answer.is_problem(409, "idempotency_key_in_progress"),
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(server.get("/v1/runs").await.json()["runs"].as_array().unwrap().len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn keys_that_are_none_are_refused() {
    let server = Server::start().await;
    let long = "x".repeat(256);
    for key in ["", "two words", &long, "sch\u{f6}n"] {
        start(&server, key, &json!({"input": "hi"}).to_string()).await.is_problem(400, "invalid_field");
    }
    assert!(server.get("/v1/runs").await.json()["runs"].as_array().unwrap().is_empty());
    server.stop().await;
}
