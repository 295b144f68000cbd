//! Threads over `/v1`: gone on with, listed, read, made, deleted; and what happens when one is busy.

use serde_json::{Value, json};

use crate::support::Server;

async fn start(server: &Server, crew: &str, body: Value) -> String {
    let answer = server.post(&format!("/v1/crews/{crew}/runs"), body).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_thread_is_gone_on_with_listed_read_and_deleted() {
    let server = Server::start().await;
    for input in ["one", "two"] {
        let body = json!({"input": input, "thread": "friday"});
        let run = server.post("/v1/crews/hello/runs?wait=true", body).await;
        assert_eq!(run.json()["state"], "completed", "{}", run.text());
    }
    let thread = server.get("/v1/threads/friday").await.json();
    assert_eq!(
        (&thread["crew"], &thread["state"], &thread["messages"], &thread["run"]),
        (&json!("hello"), &json!("idle"), &json!(4), &json!(null))
    );
    assert_eq!(thread["runs"].as_array().unwrap().len(), 2);
    let page = server.get("/v1/threads/friday/messages?after=1&limit=2").await.json();
    assert_eq!(
        page,
        json!({"more": true, "messages": [
            {"number": 2, "role": "assistant", "agent": "greeter", "content": "Hello, <world> & all"},
            {"number": 3, "role": "user", "agent": null, "content": "two"},
        ]})
    );
    let body = json!({"input": "three", "thread": "friday", "history": [{"role": "user", "content": "x"}]});
    server.post("/v1/crews/hello/runs", body).await.is_problem(409, "thread_has_history");
    let other = json!({"input": "three", "thread": "friday"});
    server.post("/v1/crews/ask/runs", other).await.is_problem(409, "thread_of_other_crew");

    assert_eq!(server.send("DELETE /v1/threads/friday", &[], "").await.status, 204);
    server.get("/v1/threads/friday").await.is_problem(404, "unknown_thread");
    server.get("/v1/threads/friday/messages").await.is_problem(404, "unknown_thread");
    server.send("DELETE /v1/threads/friday", &[], "").await.is_problem(404, "unknown_thread");
    server.get("/v1/threads/no%20id").await.is_problem(404, "unknown_thread");
    server.stop().await;
}

#[tokio::test]
async fn a_thread_is_made_with_what_was_said_before() {
    let server = Server::start().await;
    let said = json!([
        {"role": "user", "content": "hi"},
        {"role": "assistant", "agent": "greeter", "content": "Hello"},
    ]);
    let made = server.post("/v1/threads", json!({"crew": "hello", "id": "t", "messages": said})).await;
    assert_eq!((made.status, made.headers["location"].as_str()), (201, "/v1/threads/t"));
    assert_eq!(made.json()["messages"], 2);
    let again = json!({"crew": "hello", "id": "t"});
    server.post("/v1/threads", again).await.is_problem(409, "thread_exists");
    server.post("/v1/threads", json!({"crew": "hullo"})).await.is_problem(404, "unknown_crew");
    server.post("/v1/threads", json!({})).await.is_problem(400, "missing_field");
    let wrong = json!({"crew": "hello", "messages": [{"role": "user"}]});
    let wrong = server.post("/v1/threads", wrong).await;
    wrong.is_problem(400, "missing_field");
    assert_eq!(wrong.json()["field"], "messages[0].content");
    let other = server.post("/v1/threads", json!({"crew": "ask"})).await.json();

    let ids = |page: &Value| -> Vec<String> {
        let threads = page["threads"].as_array().unwrap().iter();
        threads.map(|thread| thread["id"].as_str().unwrap().to_owned()).collect()
    };
    let first = server.get("/v1/threads?limit=1").await.json();
    assert_eq!(ids(&first), [other["id"].as_str().unwrap()], "the newest first");
    let cursor = first["next"].as_str().unwrap();
    let second = server.get(&format!("/v1/threads?limit=1&cursor={cursor}")).await.json();
    assert_eq!((ids(&second), &second["next"]), (vec!["t".to_owned()], &json!(null)));
    assert_eq!(ids(&server.get("/v1/threads?crew=hello").await.json()), ["t"]);
    server.get("/v1/threads?cursor=zz").await.is_problem(400, "invalid_field");
    server.stop().await;
}

#[tokio::test]
async fn a_busy_thread_rejects_queues_or_is_interrupted() {
    let server = Server::start().await;
    let on = |when_busy: &str| json!({"input": "go", "thread": "t", "when_busy": when_busy});
    let first = start(&server, "slow", json!({"input": "go", "thread": "t"})).await;
    let busy = server.post("/v1/crews/slow/runs", on("reject")).await;
    busy.is_problem(409, "thread_busy");
    assert!(busy.json()["detail"].as_str().unwrap().contains(&first), "{}", busy.text());
    server.send("DELETE /v1/threads/t", &[], "").await.is_problem(409, "thread_busy");

    let second = start(&server, "slow", on("enqueue")).await;
    let queued = server.get(&format!("/v1/runs/{second}")).await.json();
    assert_eq!(queued["state"], "queued");
    let listed = server.get("/v1/runs?state=queued&thread=t").await.json();
    assert_eq!(listed["runs"][0]["id"], json!(second));
    let thread = server.get("/v1/threads/t").await.json();
    assert_eq!(
        (&thread["state"], &thread["run"], &thread["queued"]),
        (&json!("busy"), &json!(first), &json!(1))
    );
    let body = json!({}).to_string();
    let headers = [("content-type", "application/json")];
    server
        .send(&format!("POST /v1/runs/{second}/pause"), &headers, &body)
        .await
        .is_problem(409, "run_queued");

    let mut stream = server
        .open(
            &format!("GET /v1/runs/{second}/events"),
            &[("accept", "text/event-stream"), ("last-event-id", "1")],
            "",
        )
        .await;
    let third = start(&server, "slow", on("interrupt")).await;
    assert_eq!(server.rested(&first).await["state"], "cancelled");
    server.post(&format!("/v1/runs/{third}/cancel?wait=true"), json!({})).await;
    // Now it is the second one's turn, and who watched it sees it begin.
    stream.until("\"type\":\"begun\"").await;
    stream.until("\"type\":\"call_started\"").await;
    let cancelled = server.post(&format!("/v1/runs/{second}/cancel?wait=true"), json!({})).await;
    assert_eq!(cancelled.json()["receipt"].as_array().unwrap().len(), 1);
    let messages = server.get("/v1/threads/t/messages").await.json();
    assert_eq!(messages["messages"].as_array().unwrap().len(), 3, "three inputs, and no partial text");
    server.stop().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let server = Server::start().await;
    let alone = json!({"input": "go", "when_busy": "enqueue"});
    server.post("/v1/crews/hello/runs", alone).await.is_problem(400, "invalid_field");
    let wrong = json!({"input": "go", "thread": "t", "when_busy": "later"});
    server.post("/v1/crews/hello/runs", wrong).await.is_problem(400, "invalid_field");
    let run = server.run("hello").await;
    server.rested(&run).await;
    let thread = server.get(&format!("/v1/threads/{run}")).await.json();
    assert_eq!(
        (&thread["crew"], &thread["messages"]),
        (&json!("hello"), &json!(2)),
        "a run has a thread of its own"
    );
    let messages = server.get(&format!("/v1/threads/{run}/messages")).await.json();
    assert_eq!(messages["messages"][0]["content"], "hello");
    server.send(&format!("DELETE /v1/threads/{run}"), &[], "").await.is_problem(409, "thread_of_run");
    server.stop().await;
}
