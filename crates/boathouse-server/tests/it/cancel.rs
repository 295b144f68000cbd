//! Cancelling over `/v1`: defined for every state of a run, and the same however often it is asked for.

use serde_json::{Value, json};

use crate::support::{Server, within};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

async fn cancel(server: &Server, run: &str, wait: bool) -> (u16, Value) {
    let path = format!("POST /v1/runs/{run}/cancel{}", if wait { "?wait=true" } else { "" });
    let answer = server.send(&path, &[], "").await;
    (answer.status, answer.json())
}

#[tokio::test]
async fn a_paused_run_is_cancelled_and_takes_no_answer_any_more() {
    let server = Server::start().await;
    let run = server.run("ask").await;
    assert_eq!(server.rested(&run).await["state"], "paused");
    let (status, ended) = cancel(&server, &run, true).await;
    assert_eq!((status, &ended["state"], &ended["receipt"]), (200, &json!("cancelled"), &json!([])));
    assert_eq!((&ended["cancel_reason"], &ended["waits"]), (&json!("requested"), &json!([])));
    let late = server.post(&format!("/v1/runs/{run}/answer"), json!({"text": "the blue one"})).await;
    late.is_problem(409, "run_ended");
    for wait in [true, false] {
        assert_eq!(cancel(&server, &run, wait).await, (200, ended.clone()), "once more changes nothing");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_run_that_has_ended_stays_as_it_ended() {
    let server = Server::start().await;
    for (crew, state) in [("hello", "completed"), ("broken", "failed"), ("circle", "limit_reached")] {
        let run = server.run(crew).await;
        let ended = server.rested(&run).await;
        assert_eq!(ended["state"], state);
        for wait in [true, false, true] {
            assert_eq!(cancel(&server, &run, wait).await, (200, ended.clone()), "{crew}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_run_that_nobody_knows_cannot_be_cancelled() {
    let server = Server::start().await;
    for path in ["/v1/runs/nothing/cancel", "/v1/runs/nothing/cancel?wait=true"] {
        server.send(&format!("POST {path}"), &[], "").await.is_problem(404, "unknown_run");
    }
    let run = server.run("hello").await;
    server.rested(&run).await;
    assert_eq!(server.send(&format!("DELETE /v1/runs/{run}"), &[], "").await.status, 204);
    server.send(&format!("POST /v1/runs/{run}/cancel"), &[], "").await.is_problem(404, "unknown_run");
    server.stop().await;
}

#[tokio::test]
async fn all_who_cancel_a_run_at_work_are_given_the_same_receipt() {
    let server = Server::start().await;
    let run = server.run("slow").await;
    let path = format!("POST /v1/runs/{run}/cancel?wait=true");
    let mut waiting = Vec::new();
    for _ in 0..5 {
        waiting.push(server.open(&path, &JSON, "{}").await);
    }
    let mut bodies = Vec::new();
    for connection in waiting {
        let answer = within(connection.answer()).await;
        assert_eq!(answer.status, 200);
        bodies.push(answer.json());
    }
    assert_eq!(bodies[0]["receipt"], json!([{"call": 1, "agent": "greeter", "end": "dropped"}]));
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:#?}");
    let page =
        server.send(&format!("GET /v1/runs/{run}/events"), &[("accept", "application/json")], "").await;
    let told = page.json()["events"].as_array().unwrap().clone();
    let requests = told.iter().filter(|event| event["type"] == "cancel_requested").count();
    assert_eq!((requests, told.last().unwrap()["type"].as_str()), (1, Some("run_ended")));
    server.stop().await;
}

#[tokio::test]
async fn a_run_that_an_operator_paused_is_cancelled_too() {
    let server = Server::start().await;
    let run = server.run("tools").await;
    server.send(&format!("POST /v1/runs/{run}/pause"), &[], "").await;
    server.gate.add_permits(1);
    assert_eq!(server.rested(&run).await["state"], "paused");
    let (status, ended) = cancel(&server, &run, true).await;
    assert_eq!((status, &ended["state"], &ended["receipt"]), (200, &json!("cancelled"), &json!([])));
    server.send(&format!("POST /v1/runs/{run}/resume"), &[], "").await.is_problem(409, "run_ended");
    server.stop().await;
}
