//! The Go system's endpoint, as its clients use it.

use std::time::Duration;

use boathouse_server::server::ServerConfig;
use serde_json::Value;

use crate::support::{Answer, Server};

/// Type and content of each event.
fn gist(answer: &Answer) -> Vec<(String, String)> {
    let text = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
    answer.events().iter().map(|(_, event)| (text(event, "type"), text(event, "content"))).collect()
}

fn run_of(answer: &Answer) -> String {
    answer.events()[0].1["metadata"]["run"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_query_is_answered_in_the_go_systems_events() {
    let server = Server::start().await;
    let told = server.get("/api/crew/stream?q=hi").await;
    assert_eq!((told.status, told.headers["content-type"].as_str()), (200, "text/event-stream"));
    assert!(!told.headers.contains_key("access-control-allow-origin"));
    assert!(told.text().contains(r"Hello, \u003cworld\u003e \u0026 all"), "{}", told.text());
    let expected = [
        ("start", "🚀 Starting crew execution..."),
        ("agent_start", "🔄 Starting Greeter..."),
        ("agent_response", "Hello, <world> & all"),
        ("done", "✅ Execution completed"),
    ];
    assert_eq!(gist(&told), expected.map(|(kind, content)| (kind.to_owned(), content.to_owned())));
    let (id, event) = &told.events()[1];
    let keys: Vec<&String> = event.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["agent", "content", "metadata", "timestamp", "type"]);
    assert_eq!((event["agent"].as_str(), event["metadata"]["thread"].is_string()), (Some("Greeter"), true));
    assert_eq!(id.clone().unwrap(), format!("{}/2", run_of(&told)));
    server.stop().await;
}

#[tokio::test]
async fn all_tools_of_a_reply_start_before_results_come_in_the_order_of_the_calls() {
    let server = Server::start().await;
    server.gate.add_permits(1);
    let told = server.send("POST /api/crew/stream?crew=tools", &[], r#"{"query":"go","history":[]}"#).await;
    let tools: Vec<_> = gist(&told).into_iter().filter(|(kind, _)| kind.starts_with("tool_")).collect();
    let expected = [
        ("tool_start", "🔧 [Tool] Gate → Executing..."),
        ("tool_start", "🔧 [Tool] Echo → Executing..."),
        ("tool_start", "🔧 [Tool] Echo → Executing..."),
        ("tool_result", "✅ [Tool] Gate → open"),
        ("tool_result", "✅ [Tool] Echo → a<b"),
        ("tool_result", "❌ [Tool] Echo → it failed"),
    ];
    assert_eq!(tools, expected.map(|(kind, content)| (kind.to_owned(), content.to_owned())));
    server.stop().await;
}

#[tokio::test]
async fn a_pause_is_answered_by_its_run_and_streams_on() {
    let server = Server::start().await;
    let paused = server.get("/api/crew/stream?q=hi&crew=ask").await;
    let last = gist(&paused).pop().unwrap();
    assert_eq!(last, ("pause".to_owned(), "[PAUSE:clarifier] Waiting for user input".to_owned()));
    let run = run_of(&paused);

    let refused = server
        .send(
            "POST /api/crew/stream",
            &[],
            &format!(r#"{{"query":"x","run":"{run}","history":[{{"role":"user","content":"y"}}]}}"#),
        )
        .await;
    assert_eq!(refused.status, 400);
    let told = server.get(&format!("/api/crew/stream?q=the+blue+one&run={run}")).await;
    let kinds: Vec<String> = gist(&told).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["agent_start", "agent_response", "done"]);
    assert_eq!(run_of(&told), run);
    let again = server.get(&format!("/api/crew/stream?q=more&run={run}")).await;
    assert_eq!(again.status, 409);
    server.stop().await;
}

#[tokio::test]
async fn a_reconnect_never_starts_a_run() {
    let server = Server::start().await;
    let told = server.get("/api/crew/stream?q=hi").await;
    let events = told.events();
    let (id, _) = &events[1];
    let rest =
        server.send("GET /api/crew/stream?q=hi", &[("last-event-id", id.as_deref().unwrap())], "").await;
    assert_eq!(rest.events(), events[2..]);
    let (last, _) = events.last().unwrap();
    let nothing =
        server.send("GET /api/crew/stream?q=hi", &[("last-event-id", last.as_deref().unwrap())], "").await;
    assert_eq!(nothing.status, 204);
    let wrong = server.send("GET /api/crew/stream?q=hi", &[("last-event-id", "17")], "").await;
    assert_eq!(wrong.status, 400);
    assert_eq!(server.get("/v1/runs").await.json()["runs"].as_array().unwrap().len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_limit_is_a_warning_and_a_failure_is_one_error() {
    let server = Server::start().await;
    let circled = gist(&server.get("/api/crew/stream?q=go&crew=circle").await);
    let end: Vec<&str> = circled.iter().rev().take(2).map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(end, ["done", "warning"]);
    assert!(circled[circled.len() - 2].1.contains("max_handoffs"), "{circled:?}");
    let failed = gist(&server.get("/api/crew/stream?q=go&crew=broken").await);
    let errors: Vec<_> = failed.iter().filter(|(kind, _)| kind == "error").collect();
    assert_eq!(errors.len(), 1, "{failed:?}");
    assert!(errors[0].1.starts_with("Execution error: ") && errors[0].1.contains("the key was refused"));
    assert!(!failed.iter().any(|(kind, _)| kind == "done"));
    server.stop().await;
}

#[tokio::test]
async fn a_run_is_cancelled_when_its_client_goes() {
    let server = Server::start().await;
    let mut client = server.open("GET /api/crew/stream?q=go&crew=slow", &[], "").await;
    let seen = client.until("agent_start").await;
    let run = seen.split(r#""run":""#).nth(1).unwrap().split('"').next().unwrap().to_owned();
    drop(client);
    let ended = server.rested(&run).await;
    assert_eq!(
        (ended["state"].as_str(), ended["cancel_reason"].as_str()),
        (Some("cancelled"), Some("disconnected"))
    );

    let mut reader = server.open("GET /api/crew/stream?q=go&crew=ask", &[], "").await;
    let seen = reader.until("\"pause\"").await;
    let run = seen.split(r#""run":""#).nth(1).unwrap().split('"').next().unwrap().to_owned();
    drop(reader);
    assert_eq!(server.rested(&run).await["state"], "paused", "a pause is no disconnect");
    server.stop().await;
}

#[tokio::test]
async fn bad_requests_are_refused_in_the_go_systems_words() {
    let server = Server::start().await;
    for (request, body, status, text) in [
        ("GET /api/crew/stream", "", 400, "Query is required\n"),
        ("POST /api/crew/stream?q=x", "{}", 400, "Query is required\n"),
        ("GET /api/crew/stream?q=++", "", 400, "Query is required\n"),
        ("GET /api/crew/stream?q=a%01", "", 400, "Invalid query: control character U+0001\n"),
        ("DELETE /api/crew/stream?q=x", "", 405, "Method not allowed\n"),
        ("OPTIONS /api/crew/stream?q=x", "", 405, "Method not allowed\n"),
        ("GET /api/crew/stream?q=x&crew=nobody", "", 404, "no crew named `nobody`\n"),
        ("GET /api/crew/stream?q=x&run=nothing", "", 404, "no run nothing\n"),
    ] {
        let answer = server.send(request, &[], body).await;
        assert_eq!((answer.status, answer.text().as_str()), (status, text), "{request}");
    }
    assert_eq!(server.get("/v1/runs").await.json()["runs"].as_array().unwrap().len(), 0);
    server.stop().await;
}

#[tokio::test]
async fn a_silent_stream_is_given_pings_without_an_id() {
    let server = Server::with(ServerConfig { go_ping: Duration::from_millis(1), ..Default::default() }).await;
    let mut client = server.open("GET /api/crew/stream?q=go&crew=slow", &[], "").await;
    let seen = client.until("\"ping\"").await;
    let frame = seen.split("\r\n").find(|frame| frame.contains("\"ping\"")).unwrap();
    assert!(
        frame.starts_with(r#"data: {"type":"ping","agent":"system","content":"","timestamp":""#),
        "{frame}"
    );
    server.stop().await;
}
