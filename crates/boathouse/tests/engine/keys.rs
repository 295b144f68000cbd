//! The key of a call outside of Boathouse: each attempt has it, also one that another process makes.

use std::path::Path;
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

/// An MCP server that answers calls once there is a file `answers`.
const SERVER: &str = r#"
cd "$(dirname "$0")"
while read -r line; do
    printf '%s\n' "$line" >> log
    id=$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
    say() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$1"; }
    case $line in
        *'"initialize"'*) say '{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"fake","version":"1"}}' ;;
        *'"tools/call"'*) test -e answers && say '{"content":[{"type":"text","text":"put"}]}' ;;
    esac
done
echo gone >> log
"#;

#[tokio::test]
async fn a_call_of_an_mcp_server_that_a_restart_cut_off_is_made_again_with_its_key() {
    let world = World::new();
    let script = world.dir.path().join("server.sh");
    std::fs::write(&script, SERVER).expect("it is written");
    let crew = format!(
        r#"
name: one
mcp_servers: {{ fake: {{ command: [sh, "{}"] }} }}
agents: [{{ id: a, provider: scripted, model: any, tools: [Put] }}]
tools:
  Put:
    description: For tests
    mcp: {{ server: fake, tool: put }}
    parameters: {{ type: object, properties: {{ what: {{ type: string }} }} }}
    effect: idempotent
"#,
        script.display()
    );
    let log = |dir: &Path| std::fs::read_to_string(dir.join("log")).unwrap_or_default();
    let engine = world.engine(&crew, SCRIPT).await;
    let run = engine.start(start("one")).await.expect("it starts");
    until("the server is asked", async || log(world.dir.path()).contains("tools/call")).await;
    engine.shutdown(Duration::ZERO).await;
    assert!(log(world.dir.path()).ends_with("gone\n"), "a shutdown ends the server");

    std::fs::write(world.dir.path().join("answers"), "").expect("it is written");
    let engine = world.engine(&crew, SCRIPT).await;
    let view = engine.wait(&run).await.expect("it ends");
    assert_eq!(view.outcome, Some(Outcome::Completed { output: "it said put".to_owned() }));
    engine.shutdown(Duration::from_secs(5)).await;
    let log = log(world.dir.path());
    let messages = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let calls: Vec<_> = messages.filter(|message| message["method"] == "tools/call").collect();
    let keys: Vec<_> =
        calls.iter().map(|call| &call["params"]["_meta"]["boathouse/idempotency-key"]).collect();
    assert_eq!(keys, [&*format!("{run}-2"); 2]);
}
