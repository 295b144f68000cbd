//! Runs over `/v1`: started, listed, answered, paused, cancelled, deleted.

use serde_json::json;

use crate::support::Server;

#[tokio::test]
async fn a_run_is_started_waited_for_and_looked_at() {
    let server = Server::start().await;
    let started =
        server.post("/v1/crews/hello/runs", json!({"input": "hi", "metadata": {"ticket": 7}})).await;
    assert_eq!(started.status, 202);
    let id = started.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(started.headers["location"], format!("/v1/runs/{id}"));

    let run = server.rested(&id).await;
    assert_eq!(run["state"], "completed");
    assert_eq!(run["output"], "Hello, <world> & all");
    assert_eq!(run["metadata"], json!({"ticket": 7}));
    assert_eq!((&run["error"], &run["limit"], &run["receipt"]), (&json!(null), &json!(null), &json!(null)));

    let waited = server.post("/v1/crews/hello/runs?wait=true", json!({"input": "hi", "thread": "t-1"})).await;
    assert_eq!((waited.status, waited.json()["state"].as_str()), (200, Some("completed")));
    assert_eq!(waited.json()["thread"], "t-1");
    server.stop().await;
}

#[tokio::test]
async fn a_run_ends_in_a_limit_or_an_error_by_name() {
    let server = Server::start().await;
    let circled =
        server.post("/v1/crews/circle/runs?wait=true", json!({"input": "go", "limits": {"max_handoffs": 2}}));
    let circled = circled.await.json();
    assert_eq!(
        (circled["state"].as_str(), circled["limit"].as_str()),
        (Some("limit_reached"), Some("max_handoffs"))
    );
    assert_eq!(circled["output"], "round");
    let failed = server.post("/v1/crews/broken/runs?wait=true", json!({"input": "go"})).await.json();
    assert_eq!(failed["state"], "failed");
    assert!(failed["error"]["message"].as_str().unwrap().contains("the key was refused"), "{failed}");
    server.stop().await;
}

#[tokio::test]
async fn a_paused_run_tells_its_question_and_takes_one_answer() {
    let server = Server::start().await;
    let id = server.run("ask").await;
    let paused = server.rested(&id).await;
    assert_eq!(paused["state"], "paused");
    let wait = &paused["waits"][0];
    assert_eq!(
        (wait["agent"].as_str(), wait["question"].as_str()),
        (Some("clarifier"), Some("Which server?"))
    );
    assert_eq!(wait["for"]["kind"], "answer");

    let path = format!("/v1/runs/{id}/answer");
    server.post(&path, json!({"wait": 99, "text": "x"})).await.is_problem(409, "unknown_wait");
    server.post(&path, json!({"rerun": true})).await.is_problem(409, "wrong_answer");
    server.post(&path, json!({"text": "x", "fail": true})).await.is_problem(400, "invalid_field");
    server.post(&path, json!({"wait": 1})).await.is_problem(400, "missing_field");
    let answered = server.post(&path, json!({"wait": wait["wait"], "text": "the blue one"})).await;
    assert_eq!(answered.status, 200, "{}", answered.text());
    let run = server.rested(&id).await;
    assert_eq!((run["state"].as_str(), run["output"].as_str()), (Some("completed"), Some("The blue one.")));
    server.post(&path, json!({"text": "again"})).await.is_problem(409, "run_ended");
    server.stop().await;
}

#[tokio::test]
async fn cancel_waits_for_its_receipt() {
    let server = Server::start().await;
    let mut stream = server
        .open(
            "POST /v1/crews/half/runs",
            &[("content-type", "application/json"), ("accept", "text/event-stream")],
            r#"{"input":"go"}"#,
        )
        .await;
    let text = stream.until(r#""text":"one ""#).await;
    let id = text.split("location: /v1/runs/").nth(1).unwrap().split("\r\n").next().unwrap();
    let cancelled = server.post(&format!("/v1/runs/{id}/cancel?wait=true"), json!({})).await;
    assert_eq!(cancelled.status, 200);
    let run = cancelled.json();
    assert_eq!(
        (run["state"].as_str(), run["cancel_reason"].as_str()),
        (Some("cancelled"), Some("requested"))
    );
    assert_eq!(run["receipt"][0]["agent"], "greeter");
    assert!(run["receipt"][0]["end"].is_string(), "{run}");
    let again = server.send(&format!("POST /v1/runs/{id}/cancel"), &[], "").await;
    assert_eq!(
        (again.status, again.json()["state"].as_str()),
        (200, Some("cancelled")),
        "a second cancel changes nothing"
    );
    let rest = stream.answer().await;
    assert_eq!(rest.types().last().map(String::as_str), Some("run_ended"));
    server.stop().await;
}

#[tokio::test]
async fn an_operator_pauses_and_resumes() {
    let server = Server::start().await;
    let id = server.run("tools").await;
    let paused = server.send(&format!("POST /v1/runs/{id}/pause"), &[], "").await;
    assert_eq!(paused.status, 202, "the call in flight still ends: {}", paused.text());
    server.gate.add_permits(1);
    assert_eq!(server.rested(&id).await["state"], "paused");
    let resumed = server.post(&format!("/v1/runs/{id}/resume"), json!({})).await;
    assert_eq!(resumed.status, 200, "{}", resumed.text());
    assert_eq!(server.rested(&id).await["state"], "completed");
    server.post(&format!("/v1/runs/{id}/resume"), json!({})).await.is_problem(409, "run_ended");
    server.stop().await;
}

#[tokio::test]
async fn runs_are_listed_page_by_page_and_filtered() {
    let server = Server::start().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let id = server.run("hello").await;
        server.rested(&id).await;
        ids.push(id);
    }
    let asked = server.run("ask").await;
    server.rested(&asked).await;

    let first = server.get("/v1/runs?crew=hello&limit=2").await.json();
    let listed = |page: &serde_json::Value| -> Vec<String> {
        page["runs"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(listed(&first), [ids[2].clone(), ids[1].clone()], "newest first");
    let next = first["next"].as_str().unwrap();
    let second = server.get(&format!("/v1/runs?crew=hello&limit=2&cursor={next}")).await.json();
    assert_eq!(listed(&second), [ids[0].clone()]);
    assert_eq!(second["next"], json!(null));
    assert_eq!(listed(&server.get("/v1/runs?state=paused").await.json()), [asked]);
    for wrong in ["state=done", "limit=0", "limit=201", "cursor=xyz", "limit=many"] {
        server.get(&format!("/v1/runs?{wrong}")).await.is_problem(400, "invalid_field");
    }
    server.get("/v1/runs?stat=paused").await.is_problem(400, "unknown_parameter");
    server.stop().await;
}

#[tokio::test]
async fn only_an_ended_run_is_deleted() {
    let server = Server::start().await;
    let live = server.run("slow").await;
    server.send(&format!("DELETE /v1/runs/{live}"), &[], "").await.is_problem(409, "run_not_ended");
    server.post(&format!("/v1/runs/{live}/cancel?wait=1"), json!({})).await;
    assert_eq!(server.send(&format!("DELETE /v1/runs/{live}"), &[], "").await.status, 204);
    server.get(&format!("/v1/runs/{live}")).await.is_problem(404, "unknown_run");
    server.get(&format!("/v1/runs/{live}/events")).await.is_problem(404, "unknown_run");
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_read_never_reaches_a_run() {
    let server = Server::start().await;
    let path = "/v1/crews/hello/runs";
    let unknown = server.post(path, json!({"inptu": "x"})).await;
    unknown.is_problem(400, "unknown_field");
    assert_eq!(unknown.json()["hint"], "did you mean `input`?");
    for (body, code) in [
        (json!({}), "missing_field"),
        (json!({"input": "  "}), "missing_field"),
        (json!({"input": 5}), "invalid_field"),
        (json!({"input": "a\u{0}b"}), "control_character"),
        (json!({"input": "x", "start_at": "nobody"}), "unknown_agent"),
        (json!({"input": "x", "start_at": "no body"}), "invalid_field"),
        (json!({"input": "x", "limits": {"max_handofs": 1}}), "unknown_field"),
        (json!({"input": "x", "limits": {"max_handoffs": -1}}), "invalid_field"),
        (json!({"input": "x", "vars": {"a": 1}}), "invalid_field"),
        (json!({"input": "x", "history": [{"role": "tool", "content": "y"}]}), "invalid_field"),
        (json!({"input": "x", "history": [{"role": "user"}]}), "missing_field"),
        (json!({"input": "x", "on_disconnect": "explode"}), "invalid_field"),
        (json!(["input"]), "invalid_json"),
    ] {
        server.post(path, body).await.is_problem(400, code);
    }
    let json = [("content-type", "application/json")];
    server.send(&format!("POST {path}"), &json, "{\"input\":").await.is_problem(400, "invalid_json");
    server.post("/v1/crews/nobody/runs", json!({"input": "x"})).await.is_problem(404, "unknown_crew");
    server.get("/v1/crews/nobody").await.is_problem(404, "unknown_crew");
    server.get("/v1/runs/no-such-run").await.is_problem(404, "unknown_run");
    server.post("/v1/runs/no-such-run/cancel", json!({})).await.is_problem(404, "unknown_run");
    assert_eq!(server.get("/v1/runs").await.json()["runs"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn crews_are_listed_and_shown() {
    let server = Server::start().await;
    let listed = server.get("/v1/crews").await.json();
    assert_eq!(listed["crews"][0]["name"], "hello");
    let shown = server.get("/v1/crews/ask").await.json();
    assert_eq!(shown["agents"][0]["signals"][0], json!({"signal": "[DONE]", "to": null, "description": ""}));
    assert_eq!(shown["limits"]["max_handoffs"], 5);
    assert!(shown["graph"]["mermaid"].as_str().unwrap().starts_with("flowchart"), "{shown}");
    let picture = server.get("/v1/crews/ask/graph.svg").await;
    assert_eq!((picture.status, &picture.headers["content-type"]), (200, &"image/svg+xml".parse().unwrap()));
    assert!(picture.text().contains("waits for an answer"), "{}", picture.text());
    server.get("/v1/crews/nobody/graph.svg").await.is_problem(404, "unknown_crew");
    server.stop().await;
}
