//! Approvals: listed over all runs, decided one by one or together, once.

use serde_json::{Value, json};

use crate::support::{Answer, Server, within};

const JSON: (&str, &str) = ("content-type", "application/json");

/// A run of the crew `pay`, at rest with its two approvals open.
async fn waiting(server: &Server) -> String {
    let id = server.run("pay").await;
    assert_eq!(server.rested(&id).await["state"], "paused");
    id
}

async fn decide(server: &Server, run: &str, body: Value) -> Answer {
    server.post(&format!("/v1/runs/{run}/approvals"), body).await
}

#[tokio::test]
async fn what_waits_is_shown_with_its_real_arguments() {
    let server = Server::start().await;
    let id = waiting(&server).await;
    let run = server.get(&format!("/v1/runs/{id}")).await.json();
    let listed = server.get("/v1/approvals").await.json();
    assert_eq!(listed["approvals"], run["approvals"], "the list and the run say the same");
    let digest = run["approvals"][0]["digest"].as_str().unwrap().to_owned();
    let expected = json!({
        "run": id, "crew": "pay", "thread": run["thread"], "wait": 1, "approval": 1, "kind": "approval", "branch": 0,
        "agent": "clerk", "question": null, "schema": null, "call": 2, "tool": "Pay",
        "arguments": {"amount": 5, "to": "<b>"}, "digest": digest, "end": null,
        "opened_at": run["approvals"][0]["opened_at"], "expires_at": null,
    });
    assert_eq!(run["approvals"][0], expected);
    assert_eq!(digest.len(), 64);
    assert_eq!(run["waits"].as_array().unwrap().len(), 2);
    server.stop().await;
}

#[tokio::test]
async fn each_decision_is_taken_once_and_a_different_one_is_a_conflict() {
    let server = Server::start().await;
    let id = waiting(&server).await;
    let approve = json!({"approval": 1, "decision": "approve", "by": "ann"});
    let first = decide(&server, &id, approve.clone()).await;
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(decide(&server, &id, approve.clone()).await.status, 200);
    let reject = json!({"approval": 1, "decision": "reject"});
    decide(&server, &id, reject).await.is_problem(409, "already_decided");
    let other = json!({"approval": 2, "decision": "approve", "digest": "0".repeat(64)});
    decide(&server, &id, other).await.is_problem(409, "digest_mismatch");
    decide(&server, &id, json!({"approval": 3, "decision": "approve"})).await.is_problem(409, "unknown_wait");
    decide(&server, &id, json!({"approval": 2, "decision": "done", "result": "x"}))
        .await
        .is_problem(409, "wrong_answer");
    decide(&server, "nobody", approve.clone()).await.is_problem(404, "unknown_run");
    let last =
        decide(&server, &id, json!({"approval": 2, "decision": "respond", "result": "paid by hand"})).await;
    assert_eq!(last.status, 200, "{}", last.text());
    let run = server.rested(&id).await;
    assert_eq!((run["state"].as_str(), run["output"].as_str()), (Some("completed"), Some("paid by hand")));
    assert_eq!(decide(&server, &id, approve).await.status, 200, "also after the end");
    decide(&server, &id, json!({"approval": 7, "decision": "approve"})).await.is_problem(409, "unknown_wait");
    assert_eq!(server.get("/v1/approvals").await.json(), json!({"approvals": [], "next": null}));
    server.stop().await;
}

#[tokio::test]
async fn many_are_decided_together_or_not_at_all() {
    let server = Server::start().await;
    let id = waiting(&server).await;
    let seq = server.get(&format!("/v1/runs/{id}")).await.json()["seq"].clone();
    let wrong = json!({"decisions": [
        {"approval": 1, "decision": "approve"},
        {"approval": 2, "decision": "edit", "arguments": {"amount": "many"}},
    ]});
    let refused = decide(&server, &id, wrong).await;
    refused.is_problem(422, "schema_violation");
    assert_eq!(refused.json()["field"], "/amount", "{}", refused.text());
    assert_eq!(server.get(&format!("/v1/runs/{id}")).await.json()["seq"], seq, "nothing has changed");
    let both = json!({"decisions": [
        {"approval": 1, "decision": "reject", "reason": "no"},
        {"approval": 2, "decision": "edit", "arguments": {"amount": 1, "to": "me"}},
    ]});
    assert_eq!(decide(&server, &id, both.clone()).await.status, 200);
    let run = server.rested(&id).await;
    assert_eq!(run["state"], "completed");
    assert!(run["output"].as_str().unwrap().ends_with("paid 1"), "{run}");
    assert_eq!(decide(&server, &id, both).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_request_with_a_key_is_answered_alike() {
    let server = Server::start().await;
    let id = waiting(&server).await;
    let (path, headers) = (format!("POST /v1/runs/{id}/approvals"), [JSON, ("idempotency-key", "k")]);
    let body = r#"{"approval": 1, "decision": "approve"}"#;
    let first = server.send(&path, &headers, body).await;
    assert_eq!(first.status, 200, "{}", first.text());
    server.rested(&id).await;
    let again = server.send(&path, &headers, body).await;
    assert_eq!((again.status, again.text()), (200, first.text()));
    assert_eq!(again.headers["idempotent-replayed"], "true");
    let other = server.send(&path, &headers, r#"{"approval": 2, "decision": "approve"}"#).await;
    other.is_problem(409, "idempotency_key_reused");
    server.stop().await;
}

#[tokio::test]
async fn the_list_has_pages_and_filters() {
    let server = Server::start().await;
    let mut expected = Vec::new();
    for _ in 0..3 {
        let id = waiting(&server).await;
        expected.extend([(id.clone(), 1), (id, 2)]);
    }
    let question = server.run("ask").await;
    server.rested(&question).await;
    let mut got = Vec::new();
    let mut next = String::new();
    loop {
        let page = server.get(&format!("/v1/approvals?kind=approval&limit=4{next}")).await.json();
        for entry in page["approvals"].as_array().unwrap() {
            got.push((entry["run"].as_str().unwrap().to_owned(), entry["approval"].as_u64().unwrap()));
        }
        let Some(cursor) = page["next"].as_str() else { break };
        next = format!("&cursor={cursor}");
    }
    assert_eq!(got, expected);
    let count = async |query: &str| {
        server.get(&format!("/v1/approvals{query}")).await.json()["approvals"].as_array().unwrap().len()
    };
    assert_eq!((count("").await, count("?state=open").await), (7, 7));
    assert_eq!((count("?crew=pay").await, count("?crew=ask").await, count("?tool=Pay").await), (6, 1, 6));
    assert_eq!((count("?tool=Send").await, count("?kind=unknown_outcome").await), (0, 0));
    let asked = server.get("/v1/approvals?kind=answer").await.json()["approvals"][0].clone();
    assert_eq!((asked["question"].as_str(), asked["approval"].as_u64()), (Some("Which server?"), None));
    for (query, code) in [
        ("?state=closed", "invalid_field"),
        ("?kind=x", "invalid_field"),
        ("?cursor=zz", "invalid_field"),
        ("?crews=a", "unknown_parameter"),
    ] {
        server.get(&format!("/v1/approvals{query}")).await.is_problem(400, code);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_form_is_asked_for_and_kept_to() {
    let server = Server::start().await;
    let id = server.run("form").await;
    let run = server.rested(&id).await;
    assert_eq!(run["waits"][0]["for"]["schema"]["required"], json!(["minutes"]));
    let path = format!("/v1/runs/{id}/answer");
    let refused = server.post(&path, json!({"value": {"minutes": "many"}})).await;
    refused.is_problem(422, "schema_violation");
    assert_eq!(refused.json()["field"], "/minutes");
    server.post(&path, json!({"text": "an hour"})).await.is_problem(422, "schema_violation");
    server.post(&path, json!({"text": "x", "value": 1})).await.is_problem(400, "invalid_field");
    assert_eq!(server.get(&format!("/v1/runs/{id}")).await.json()["seq"], run["seq"], "nothing has changed");
    let taken = server.post(&path, json!({"value": {"minutes": 60}})).await;
    assert_eq!(taken.status, 200, "{}", taken.text());
    assert_eq!(server.rested(&id).await["state"], "completed");
    server.stop().await;
}

#[tokio::test]
async fn a_go_client_is_told_of_the_pause_once_nothing_else_is_at_work() {
    let server = Server::start().await;
    let stream = server.open("GET /api/crew/stream?crew=pay&q=hi", &[], "").await;
    let answer = within(stream.answer()).await;
    let types = answer.types();
    assert_eq!(types.iter().filter(|kind| *kind == "pause").count(), 2, "{types:?}");
    assert_eq!(types[types.len() - 2..], ["pause", "pause"], "they come last");
    let (last, event) = answer.events().pop().unwrap();
    assert_eq!(event["content"], "[PAUSE:clerk] Waiting for approval of Pay");
    let run = event["metadata"]["run"].as_str().unwrap().to_owned();
    assert_eq!(event["metadata"]["wait"], 2);
    let both = json!({"decisions": [
        {"approval": 1, "decision": "approve"},
        {"approval": 2, "decision": "reject", "reason": "no"},
    ]});
    assert_eq!(decide(&server, &run, both).await.status, 200);
    server.rested(&run).await;
    let headers = [("last-event-id", last.as_deref().unwrap())];
    let rest = server.send("GET /api/crew/stream?q=hi", &headers, "").await;
    let told: Vec<String> =
        rest.events().iter().map(|(_, event)| event["content"].as_str().unwrap().to_owned()).collect();
    assert!(told.iter().any(|line| line.starts_with("✅ [Tool] Pay → paid 5")), "{told:?}");
    assert!(
        told.iter().any(|line| line.starts_with("❌ [Tool] Pay → not run: a person rejected")),
        "{told:?}"
    );
    assert_eq!(rest.types().last().map(String::as_str), Some("done"));
    server.stop().await;
}
