//! Event streams over `/v1`.

use std::time::Duration;

use boathouse::core::ids::RunId;
use boathouse_server::server::ServerConfig;
use serde_json::json;
use tokio::net::TcpSocket;

use crate::support::{Connection, Server, within};

const STREAM: [(&str, &str); 2] = [("content-type", "application/json"), ("accept", "text/event-stream")];

#[tokio::test]
async fn a_stream_tells_events_and_deltas_and_ends_with_the_run() {
    let server = Server::start().await;
    let told = server.send("POST /v1/crews/hello/runs", &STREAM, r#"{"input":"hi"}"#).await;
    assert_eq!(told.headers["content-type"], "text/event-stream");
    assert!(told.text().starts_with("retry: 1000\n\n"), "{}", told.text());
    let id = told.headers["location"].strip_prefix("/v1/runs/").unwrap().to_owned();

    let events = told.events();
    let recorded: Vec<_> = events.iter().filter(|(id, _)| id.is_some()).collect();
    let seqs: Vec<String> = recorded.iter().map(|(_, event)| event["seq"].to_string()).collect();
    let ids: Vec<String> = recorded.iter().map(|(id, _)| id.clone().unwrap()).collect();
    assert_eq!(ids, seqs);
    assert_eq!(seqs, (1..=seqs.len()).map(|seq| seq.to_string()).collect::<Vec<_>>());
    assert_eq!(recorded.last().unwrap().1["type"], "run_ended");
    let text: String = events
        .iter()
        .filter(|(_, event)| event["type"] == "delta")
        .map(|(_, event)| event["text"].as_str().unwrap())
        .collect();
    assert_eq!(text, "Hello, <world> & all");

    let kept =
        server.send(&format!("GET /v1/runs/{id}/events"), &[("accept", "application/json")], "").await.json();
    let streamed: Vec<_> = recorded.iter().map(|(_, event)| event.clone()).collect();
    assert_eq!(kept, json!({"events": streamed, "more": false}));
    server.stop().await;
}

#[tokio::test]
async fn a_reader_goes_on_where_it_was() {
    let server = Server::start().await;
    let id = server.run("hello").await;
    let last = server.rested(&id).await["seq"].as_u64().unwrap();
    let path = format!("GET /v1/runs/{id}/events");
    let seqs = |answer: &crate::support::Answer| -> Vec<u64> {
        answer.events().iter().map(|(_, event)| event["seq"].as_u64().unwrap()).collect()
    };
    let rest = server.send(&path, &[("last-event-id", "2")], "").await;
    assert_eq!(seqs(&rest), (3..=last).collect::<Vec<_>>());
    let rest = server.send(&format!("{path}?after=3"), &[], "").await;
    assert_eq!(seqs(&rest), (4..=last).collect::<Vec<_>>());
    let both = server.send(&format!("{path}?after=0"), &[("last-event-id", "3")], "").await;
    assert_eq!(seqs(&both), (4..=last).collect::<Vec<_>>(), "the header is newer than the address");
    let past = server.send(&path, &[("last-event-id", &last.to_string())], "").await;
    assert_eq!(past.status, 204);
    server.send(&path, &[("last-event-id", "x")], "").await.is_problem(400, "invalid_field");
    let page =
        server.send(&format!("{path}?after=1&limit=2"), &[("accept", "application/json")], "").await.json();
    assert_eq!((page["events"].as_array().unwrap().len(), page["more"].as_bool()), (2, Some(true)));
    server.stop().await;
}

#[tokio::test]
async fn a_reader_that_joins_gets_the_reply_so_far() {
    let server = Server::start().await;
    let id = server.run("half").await;
    let mut first = server.open(&format!("GET /v1/runs/{id}/events"), &[], "").await;
    first.until(r#""text":"one ""#).await;
    let mut second = server.open(&format!("GET /v1/runs/{id}/events?after=1"), &[], "").await;
    let seen = second.until("reply_snapshot").await;
    assert!(seen.contains(r#"data: {"type":"reply_snapshot","call":1,"attempt":1,"text":"one "}"#), "{seen}");
    let mut whole = server.open(&format!("GET /v1/runs/{id}/events?deltas=false"), &[], "").await;
    let seen = whole.until("call_started").await;
    assert!(!seen.contains("one "), "{seen}");
    server.stop().await;
}

#[tokio::test]
async fn a_stream_ends_when_the_run_pauses() {
    let server = Server::start().await;
    let told = server.send("POST /v1/crews/ask/runs", &STREAM, r#"{"input":"hi"}"#).await;
    assert_eq!(told.types().last().map(String::as_str), Some("wait_opened"));
    server.stop().await;
}

#[tokio::test]
async fn a_silent_stream_is_given_heartbeats() {
    let server =
        Server::with(ServerConfig { heartbeat: Duration::from_millis(1), ..Default::default() }).await;
    let id = server.run("slow").await;
    let mut stream = server.open(&format!("GET /v1/runs/{id}/events"), &[], "").await;
    stream.until("\n\n\r\n3\r\n:\n\n\r\n3\r\n:\n\n").await;
    server.stop().await;
}

#[tokio::test]
async fn a_run_goes_on_without_readers_unless_it_says_cancel() {
    let server = Server::start().await;
    let start = |on_disconnect: &str| format!(r#"{{"input":"go","on_disconnect":"{on_disconnect}"}}"#);
    let mut ids = Vec::new();
    for choice in ["continue", "cancel"] {
        let mut stream = server.open("POST /v1/crews/tools/runs", &STREAM, &start(choice)).await;
        let head = stream.until("call_started").await;
        ids.push(head.split("location: /v1/runs/").nth(1).unwrap().split("\r\n").next().unwrap().to_owned());
        drop(stream);
    }
    let cancelled = server.rested(&ids[1]).await;
    assert_eq!(
        (cancelled["state"].as_str(), cancelled["cancel_reason"].as_str()),
        (Some("cancelled"), Some("disconnected"))
    );
    server.gate.add_permits(1);
    assert_eq!(server.rested(&ids[0]).await["state"], "completed");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_waits_for_the_run_is_missed_when_it_goes() {
    let server = Server::start().await;
    let json = [("content-type", "application/json")];
    let body = r#"{"input":"go","on_disconnect":"cancel"}"#;
    let client = server.open("POST /v1/crews/slow/runs?wait=true", &json, body).await;
    let id = loop {
        let run = server.get("/v1/runs").await.json()["runs"][0].clone();
        if run["seq"].as_u64() >= Some(2) {
            break run["id"].as_str().unwrap().to_owned();
        }
        tokio::task::yield_now().await;
    };
    drop(client);
    assert_eq!(server.rested(&id).await["cancel_reason"], "disconnected");
    server.stop().await;
}

#[tokio::test]
async fn shutdown_waits_neither_for_silent_connections_nor_for_runs() {
    let config = ServerConfig { grace: Duration::from_secs(3600), ..Default::default() };
    let server = Server::with(config).await;
    let _silent = Connection::to(server.address).await;
    let mut idle = server.open("GET /healthz", &[], "").await;
    idle.until("ok").await;
    let json = [("content-type", "application/json")];
    let waiting = server.open("POST /v1/crews/slow/runs?wait=true", &json, r#"{"input":"go"}"#).await;
    while server.get("/v1/runs").await.json()["runs"][0]["seq"].as_u64() < Some(2) {
        tokio::task::yield_now().await;
    }
    server.shutdown.cancel();
    let told = within(waiting.answer()).await;
    let run = told.json();
    assert_eq!((told.status, run["state"].as_str()), (202, Some("running")), "it goes on: {run}");
    assert_eq!(told.headers["location"], format!("/v1/runs/{}", run["id"].as_str().unwrap()));
    server.stop().await;
}

#[tokio::test]
async fn shutdown_ends_streams_and_is_no_cancel() {
    let server = Server::start().await;
    let id = server.run("slow").await;
    let mut stream = server.open(&format!("GET /v1/runs/{id}/events"), &[], "").await;
    stream.until("call_started").await;
    server.shutdown.cancel();
    let told = within(stream.answer()).await;
    assert_eq!(
        told.types().last().map(String::as_str),
        Some("call_started"),
        "the stream ends whole, not cut"
    );
    let run = server.engine.run(&RunId::from(id.as_str())).await.unwrap().unwrap();
    assert!(!run.state.is_ended());
    server.stop().await;
}

#[tokio::test]
async fn a_reader_who_has_seen_more_than_there_is_is_told_what_comes() {
    let server = Server::start().await;
    let id = server.run("slow").await;
    let mut stream = server.open(&format!("GET /v1/runs/{id}/events"), &[("last-event-id", "999")], "").await;
    stream.until("200 OK").await;
    server.post(&format!("/v1/runs/{id}/cancel"), json!({})).await;
    let told = within(stream.answer()).await;
    assert_eq!(told.types().last().map(String::as_str), Some("run_ended"), "{}", told.text());
    server.stop().await;
}

#[tokio::test]
async fn a_reader_that_falls_far_behind_is_told_of_the_gap_and_misses_no_event() {
    let server = Server::start().await;
    let slow = TcpSocket::new_v4().unwrap();
    slow.set_recv_buffer_size(4096).unwrap();
    let mut slow = Connection::on(slow.connect(server.address).await.unwrap());
    slow.ask("POST /v1/crews/flood/runs", &STREAM, &json!({"input": "x".repeat(800_000)}).to_string()).await;
    let head = slow.until("run_started").await;
    let run = head.split("location: /v1/runs/").nth(1).unwrap().split("\r\n").next().unwrap().to_owned();
    // It reads no more, and the run goes on.
    server.gate.add_permits(1);
    assert_eq!(server.rested(&run).await["state"], "completed");

    let told = within(slow.answer()).await;
    assert!(told.types().contains(&"gap".to_owned()), "{:?}", told.types().len());
    let recorded: Vec<_> =
        told.events().into_iter().filter(|(id, _)| id.is_some()).map(|(_, event)| event).collect();
    let kept =
        server.send(&format!("GET /v1/runs/{run}/events"), &[("accept", "application/json")], "").await;
    assert_eq!(kept.json()["events"], json!(recorded));
    server.stop().await;
}
