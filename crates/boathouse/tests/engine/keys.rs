//! The key of a call outside of Boathouse: each attempt has it, also one that another process makes.

use std::time::Duration;

use boathouse::core::run::event::Outcome;

use crate::upstream::{Answer, Upstream};

use super::support::*;

const SCRIPT: &str = r#"
rules:
  - { call: 1, reply: "", tools: [{ name: Put, arguments: { what: "a b" } }] }
  - { reply: "it said {{result.Put}}" }
"#;

#[tokio::test]
async fn a_request_that_a_restart_cut_off_is_sent_again_with_its_key() {
    let mut upstream = Upstream::start().await;
    let crew = format!(
        r#"
name: one
agents: [{{ id: a, provider: scripted, model: any, tools: [Put] }}]
tools:
  Put:
    description: For tests
    http: {{ method: PUT, url: "{}/{{what}}" }}
    parameters: {{ type: object, properties: {{ what: {{ type: string }} }} }}
    effect: idempotent
"#,
        upstream.url()
    );
    let world = World::new();
    let engine = world.engine(&crew, SCRIPT).await;
    upstream.answer(Answer::default().stall());
    let run = engine.start(start("one")).await.expect("it starts");
    let first = upstream.request().await;
    engine.shutdown(Duration::ZERO).await;
    upstream.gone_is(1).await;

    upstream.answer(Answer::status("200 OK", "", "put"));
    let engine = world.engine(&crew, SCRIPT).await;
    let view = engine.wait(&run).await.expect("it ends");
    assert_eq!(view.outcome, Some(Outcome::Completed { output: "it said put".to_owned() }));
    let second = upstream.request().await;
    assert_eq!((&*first.line, &first.line), ("PUT /v1/a%20b HTTP/1.1", &second.line));
    let key = first.header("idempotency-key").expect("it has a key");
    assert_eq!((key, Some(key)), (&*format!("{run}-2"), second.header("idempotency-key")));
    engine.shutdown(Duration::from_secs(5)).await;
}
