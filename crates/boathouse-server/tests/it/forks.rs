//! Runs that are forked and tried again, and their logs as files.

use boathouse::log_file::LogFile;
use serde_json::{Value, json};

use crate::support::Server;

const JSON: (&str, &str) = ("content-type", "application/json");

/// A run of the crew `ask` that was answered and has completed.
async fn asked(server: &Server) -> String {
    let id = server.run("ask").await;
    server.rested(&id).await;
    let answer = server.post(&format!("/v1/runs/{id}/answer"), json!({"text": "the blue one"})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(server.rested(&id).await["state"], "completed");
    id
}

async fn events(server: &Server, run: &str) -> Vec<Value> {
    let json = [("accept", "application/json")];
    let page = server.send(&format!("GET /v1/runs/{run}/events"), &json, "").await.json();
    page["events"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_fork_begins_as_the_run_did_and_goes_its_own_way() {
    let server = Server::start().await;
    let id = asked(&server).await;
    let answer = server
        .post(&format!("/v1/runs/{id}/fork"), json!({"answer": {"text": "neither"}, "metadata": {"try": 2}}))
        .await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let fork = answer.json();
    let new = fork["id"].as_str().unwrap();
    assert_eq!(answer.headers["location"], format!("/v1/runs/{new}"));
    assert_eq!(fork["forked_from"], json!({"run": id, "seq": 4}));
    assert_eq!((&fork["metadata"], &fork["thread"]), (&json!({"try": 2}), &json!(new)));
    assert_eq!(server.rested(new).await["state"], "paused", "another answer, another question");

    // It stands alone: what it has of the other run are copies, with the numbers that they had.
    assert_eq!(server.send(&format!("DELETE /v1/runs/{id}"), &[], "").await.status, 204);
    let log = events(&server, new).await;
    assert_eq!(log[0]["forked_from"]["run"], *id);
    let seqs: Vec<u64> = log.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=log.len() as u64).collect::<Vec<_>>());
    assert_eq!(log[2]["reply"]["text"], "Which server?");
    server.stop().await;
}

#[tokio::test]
async fn a_fork_takes_a_step_an_input_a_reply_and_models() {
    let server = Server::start().await;
    let id = asked(&server).await;
    let path = format!("/v1/runs/{id}/fork?wait=true");
    let reply = server.post(&path, json!({"at": 3, "reply": "I know already. [DONE]"})).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["output"], "I know already.");

    let model = json!([{"provider": "scripted", "model": "another", "agent": "clarifier"}]);
    let input = server.post(&path, json!({"input": "something else", "model": model})).await.json();
    assert_eq!((&input["input"], &input["state"]), (&json!("something else"), &json!("paused")));
    let log = events(&server, input["id"].as_str().unwrap()).await;
    assert_eq!(log[1]["model"], "another", "{}", log[1]);
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_forked_is_told_with_what_can() {
    let server = Server::start().await;
    let id = asked(&server).await;
    let path = format!("/v1/runs/{id}/fork");
    let refused = server.post(&path, json!({"at": 2})).await;
    assert!(refused.json()["detail"].as_str().unwrap().contains("are 1 and 3"), "{}", refused.text());
    refused.is_problem(409, "not_a_step");
    let cases = [
        (json!({"at": 999}), 409, "not_a_step"),
        (json!({"at": 0}), 400, "invalid_field"),
        (json!({"at": 1, "reply": "x"}), 409, "not_a_step"),
        (json!({"at": 3, "reply": " "}), 400, "missing_field"),
        (json!({"at": 3, "answer": {"text": "x"}}), 409, "not_waiting"),
        (json!({"answer": {}}), 400, "missing_field"),
        (json!({"answer": "x"}), 400, "invalid_field"),
        (json!({"input": ""}), 400, "missing_field"),
        (json!({"model": {"provider": "scripted"}}), 400, "missing_field"),
        (json!({"model": {"provider": "script", "model": "x"}}), 400, "invalid_field"),
        (json!({"model": {"provider": "scripted", "model": "x", "agent": "clarifer"}}), 400, "unknown_agent"),
        (json!({"form": 3}), 400, "unknown_field"),
    ];
    for (body, status, code) in cases {
        let answer = server.post(&path, body.clone()).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        answer.is_problem(status, code);
    }
    server.post("/v1/runs/none/fork", json!({})).await.is_problem(404, "unknown_run");
    server.post("/v1/runs/none/retry", json!({})).await.is_problem(404, "unknown_run");
    assert_eq!(server.get("/v1/runs").await.json()["runs"].as_array().unwrap().len(), 1, "nothing was begun");
    server.stop().await;
}

#[tokio::test]
async fn a_cancelled_run_is_tried_again_and_others_are_not() {
    let server = Server::start().await;
    let id = server.run("tools").await;
    let retry = format!("/v1/runs/{id}/retry");
    server.post(&retry, json!({})).await.is_problem(409, "run_not_ended");
    server.send(&format!("POST /v1/runs/{id}/cancel?wait=true"), &[], "").await;
    let again = server.post(&retry, json!({})).await;
    assert_eq!(again.status, 202, "{}", again.text());
    server.gate.add_permits(10);
    let again = server.rested(again.json()["id"].as_str().unwrap()).await;
    assert_eq!((&again["state"], &again["output"]), (&json!("completed"), &json!("found it")));
    assert_eq!(again["forked_from"]["run"], *id);
    let retry = format!("/v1/runs/{}/retry", again["id"].as_str().unwrap());
    server.post(&retry, json!({})).await.is_problem(409, "run_completed");
    server.stop().await;
}

#[tokio::test]
async fn a_fork_and_a_retry_that_are_sent_twice_begin_one_run() {
    let server = Server::start().await;
    let id = asked(&server).await;
    let headers = [JSON, ("idempotency-key", "k")];
    let path = format!("POST /v1/runs/{id}/fork");
    let first = server.send(&path, &headers, r#"{"at": 3}"#).await;
    assert_eq!(first.status, 202, "{}", first.text());
    let again = server.send(&path, &headers, r#"{"at":3}"#).await;
    assert_eq!((again.status, again.text()), (202, first.text()));
    assert_eq!(again.headers["idempotent-replayed"], "true");
    server.send(&path, &headers, r#"{"at": 1}"#).await.is_problem(409, "idempotency_key_reused");
    assert_eq!(server.get("/v1/runs").await.json()["runs"].as_array().unwrap().len(), 2);

    let broken = server.run("broken").await;
    server.rested(&broken).await;
    let path = format!("POST /v1/runs/{broken}/retry");
    let first = server.send(&path, &headers, "{}").await.json();
    let again = server.send(&path, &headers, "{}").await;
    assert_eq!((&again.json()["id"], &*again.headers["idempotent-replayed"]), (&first["id"], "true"));
    server.stop().await;
}

#[tokio::test]
async fn a_log_is_a_file_that_holds_all_there_is() {
    let server = Server::start().await;
    let id = asked(&server).await;
    let answer = server.get(&format!("/v1/runs/{id}/log")).await;
    assert_eq!((answer.status, &*answer.headers["content-type"]), (200, "application/jsonl"));
    let log = LogFile::parse(&answer.text()).unwrap();
    assert_eq!((log.head.run.as_str(), log.head.crew.as_str()), (&*id, "ask"));
    assert!(log.head.source["scripted.yaml"].contains("Which server?"));
    let written: Vec<Value> =
        log.events.iter().map(|event| serde_json::from_slice(&event.json).unwrap()).collect();
    assert_eq!(written, events(&server, &id).await);
    server.get("/v1/runs/none/log").await.is_problem(404, "unknown_run");
    server.stop().await;
}
