//! Servers that are started: a shell script that answers what it is asked, or does worse.
//!
//! It writes down what it reads in `log`, and opens the named pipe `pipe` for all its life: the pipe's end is its end.

use std::path::Path;
use std::time::Duration;

use boathouse::core::crew::Effect;
use boathouse::core::crew::mcp::McpReach;
use boathouse::core::run::event::CallEnd;
use boathouse::tool::{CallLimits, ToolEnd, Tools};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio_util::sync::CancellationToken;

use super::{Client, LIMITS, error, success, unknown};

/// Answers, but for the tool `hang`.
const SERVER: &str = r#"
exec 3> pipe
echo started >> log
say() { printf '{"jsonrpc":"2.0","id":%s,%s}\n' "$id" "$1"; }
text() { say '"result":{"content":[{"type":"text","text":"'"$1"'"}]}'; }
while read -r line; do
    printf '%s\n' "$line" >> log
    id=$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
    case $line in
        *'"initialize"'*) initialize ;;
        *'"name":"hello"'*) text hello ;;
        *'"name":"all"'*) say "$ALL" ;;
        *'"name":"empty"'*) say '"result":{"content":[]}' ;;
        *'"name":"structured"'*) say '"result":{"content":[],"structuredContent":{"a":1}}' ;;
        *'"name":"fails"'*) say '"result":{"content":[{"type":"text","text":"no such note"}],"isError":true}' ;;
        *'"name":"refused"'*) say '"error":{"code":-32602,"message":"unknown tool"}' ;;
        *'"name":"breaks"'*) say '"error":{"code":-32603,"message":"internal"}' ;;
        *'"name":"dies"'*) echo oh no >&2; exit 3 ;;
        *'"name":"deaf"'*) sleep 1000 ;;
        *'"name":"last"'*) text 'last words'; exit 0 ;;
        *'"name":"closes"'*) trap 'echo told to end >> log; exit' TERM; exec >&-; sleep 1000 & wait ;;
        *'"name":"huge"'*) head -c 17000000 /dev/zero | tr '\0' x; echo ;;
        *'"name":"large"'*) text "$(head -c 100000 /dev/zero | tr '\0' x)" ;;
        *'"name":"asks"'*) echo '{"jsonrpc":"2.0","id":90,"method":"sampling/createMessage","params":{"messages":[],"maxTokens":1}}'
            read -r line; printf '%s\n' "$line" >> log; text asked ;;
        *'"name":"where"'*) text "$(pwd -P) $(env | sort | tr '\n' ' ')" ;;
        *'"name":"family"'*) sleep 1000 3>&3 & text $! ;;
        *'"name":"stubborn"'*) trap '' TERM; text $$; while :; do sleep 1000; done ;;
    esac
done
"#;

const INITIALIZE: &str = r#"
initialize() {
    say '"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"fake","version":"1"}}'
}
"#;

const ALL: &str = r#"
ALL='"result":{"content":[{"type":"text","text":"one"},{"type":"image","data":"AA==","mimeType":"image/png"},
{"type":"audio","data":"AA==","mimeType":"audio/wav"},{"type":"resource","resource":{"uri":"a:b","text":"two"}},
{"type":"resource","resource":{"uri":"a:c","blob":"AA=="}},{"type":"resource_link","uri":"a:d","name":"three"}]}'
ALL=$(printf %s "$ALL" | tr -d '\n')
"#;

/// A server in a crew's folder.
struct Fake {
    client: Client,
    dir: TempDir,
    pipe: pipe::Receiver,
}

impl Fake {
    fn new() -> Fake {
        Fake::that(&format!("{INITIALIZE}{ALL}{SERVER}"))
    }

    fn that(script: &str) -> Fake {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("server.sh"), script).unwrap();
        std::fs::write(dir.path().join("log"), "").unwrap();
        let made = std::process::Command::new("mkfifo").arg(dir.path().join("pipe")).status().unwrap();
        assert!(made.success());
        let pipe = pipe::OpenOptions::new().open_receiver(dir.path().join("pipe")).unwrap();
        let reach = McpReach::Program {
            argv: vec!["sh".to_owned(), "server.sh".to_owned()],
            env: vec!["CARGO_PKG_NAME".to_owned()],
        };
        let client = Client::of(reach, Some(dir.path().to_owned()));
        Fake { client, dir, pipe }
    }

    async fn call(&self, tool: &str) -> ToolEnd {
        self.client.call(tool, json!({})).await
    }

    /// Waits until all processes of the server have ended.
    async fn gone(&mut self) {
        let mut nothing = Vec::new();
        let end = tokio::time::timeout(Duration::from_secs(60), self.pipe.read_to_end(&mut nothing));
        assert_eq!(end.await.expect("it ends").unwrap(), 0);
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// The messages that it has read with this method.
    fn asked(&self, method: &str) -> Vec<Value> {
        let log = self.log();
        let messages = log.lines().filter_map(|line| serde_json::from_str(line).ok());
        messages.filter(|message: &Value| message["method"] == method).collect()
    }

    /// How often it was started.
    fn starts(&self) -> usize {
        self.log().lines().filter(|line| *line == "started").count()
    }
}

fn is_alive(pid: &str) -> bool {
    let Ok(stat) = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")) else { return false };
    !matches!(stat.rsplit_once(") ").map(|(_, rest)| &rest[..1]), Some("Z" | "X"))
}

#[tokio::test]
async fn a_call_has_its_arguments_and_its_key() {
    let mut fake = Fake::new();
    let arguments = json!({"a": [1, {"b": "ü \"x\""}], "limit": null});
    assert_eq!(fake.client.call("hello", arguments).await, success("hello"));
    fake.client.effect = Effect::Read;
    assert_eq!(fake.call("hello").await, success("hello"));
    let asked = fake.asked("tools/call");
    assert_eq!(asked[0]["params"]["name"], "hello");
    let sent = json!({"a": [1, {"b": "ü \"x\""}], "limit": 20});
    assert_eq!(asked[0]["params"]["arguments"], sent, "with the default of the crew's schema");
    assert_eq!(asked[0]["params"]["_meta"]["boathouse/idempotency-key"], "run-7");
    assert_eq!(
        asked[1]["params"]["_meta"].get("boathouse/idempotency-key"),
        None,
        "what only reads needs none"
    );
    let hello = &fake.asked("initialize")[0]["params"]["clientInfo"];
    assert_eq!(hello["name"], "boathouse");
    assert_eq!(fake.asked("tools/list"), Vec::<Value>::new(), "what a server says of its tools is not asked");
}

#[tokio::test]
async fn all_calls_share_one_server() {
    let fake = Fake::new();
    let calls = (0..8).map(|_| fake.client.call("hello", json!({})));
    for end in futures_util::future::join_all(calls).await {
        assert_eq!(end, success("hello"));
    }
    assert_eq!(fake.starts(), 1);
}

#[tokio::test]
async fn what_is_no_text_is_named() {
    let fake = Fake::new();
    let told = "one\n[an image, image/png, is left out]\n[a sound, audio/wav, is left out]\ntwo\n[a:c is left out: it is no text]\n[three: a:d]";
    assert_eq!(fake.call("all").await, success(told));
    assert_eq!(fake.call("structured").await, success("{\"a\":1}"));
    assert_eq!(fake.call("empty").await, success("done, without output"));
}

#[tokio::test]
async fn a_failure_is_a_result() {
    let fake = Fake::new();
    assert_eq!(error(fake.call("fails").await), "no such note");
    let told = "the MCP server `fake` refused the call: unknown tool (-32602)";
    assert_eq!(error(fake.call("refused").await), told);
    let told = "the MCP server `fake` refused the call: internal (-32603)";
    assert_eq!(error(fake.call("breaks").await), told);
    assert_eq!(fake.starts(), 1);
}

#[tokio::test]
async fn output_is_kept_to_the_cap() {
    let fake = Fake::new();
    let told = format!("{}\n[cut here: the output was longer than 32768 bytes]", "x".repeat(32768));
    assert_eq!(fake.call("large").await, success(&told));
}

#[tokio::test]
async fn it_works_in_the_crews_folder_with_the_listed_variables() {
    let fake = Fake::new();
    let ToolEnd::Returned { output, .. } = fake.call("where").await else { panic!() };
    let dir = fake.dir.path().canonicalize().unwrap();
    assert!(output.starts_with(dir.to_str().unwrap()), "{output}");
    assert!(output.contains("CARGO_PKG_NAME=boathouse") && !output.contains("CARGO_PKG_VERSION"), "{output}");
}

#[tokio::test]
async fn a_server_that_asks_something_is_refused_and_goes_on() {
    let fake = Fake::new();
    assert_eq!(fake.call("asks").await, success("asked"));
    let answer = fake.log().lines().last().unwrap().to_owned();
    assert!(answer.contains("\"id\":90") && answer.contains("\"error\""), "{answer}");
}

#[tokio::test]
async fn a_server_that_dies_leaves_an_unknown_outcome_and_is_started_again() {
    let fake = Fake::new();
    let told = unknown(fake.call("dies").await);
    assert_eq!(told, "the MCP server `fake` was lost before it answered: it ended with exit code 3");
    assert_eq!(fake.call("hello").await, success("hello"));
    assert_eq!(fake.starts(), 2);
}

#[tokio::test]
async fn what_a_server_says_last_is_heard() {
    let fake = Fake::new();
    assert_eq!(fake.call("last").await, success("last words"));
}

#[tokio::test]
async fn a_server_that_closes_its_output_is_ended() {
    let mut fake = Fake::new();
    let told = unknown(fake.call("closes").await);
    assert_eq!(told, "the MCP server `fake` was lost before it answered: it closed its output");
    fake.gone().await;
    assert!(fake.log().ends_with("told to end\n"), "it is asked before it is killed");
}

#[tokio::test]
async fn a_message_without_end_is_not_kept() {
    let fake = Fake::new();
    let told = unknown(fake.call("huge").await);
    let why = "it wrote a message of more than 16 MiB";
    assert_eq!(told, format!("the MCP server `fake` was lost before it answered: {why}"));
    assert_eq!(fake.call("hello").await, success("hello"));
}

#[tokio::test]
async fn what_is_no_message_is_passed_over() {
    let junk = "echo welcome; echo '[1, 2'; printf '\\377\\n\\n'; echo '{\"a\": 1}'";
    let fake = Fake::that(&format!("{junk}\n{INITIALIZE}{SERVER}"));
    assert_eq!(fake.call("hello").await, success("hello"));
}

#[tokio::test]
async fn a_server_that_does_not_start_is_a_failure_that_says_why() {
    let fake = Fake::that("echo 'cannot find module x' >&2; exit 4");
    let told = error(fake.call("hello").await);
    let why = "it ended with exit code 4\n[stderr]\ncannot find module x";
    assert_eq!(told, format!("the MCP server `fake` cannot be used: {why}"));

    let reach = McpReach::Program { argv: vec!["no-such-program-here".to_owned()], env: Vec::new() };
    let told = error(Client::of(reach, None).call("hello", json!({})).await);
    assert!(told.contains("cannot be used: cannot start `no-such-program-here`: no such program"), "{told}");

    let refuses = "initialize() { say '\"error\":{\"code\":-32600,\"message\":\"go away\"}'; }";
    let fake = Fake::that(&format!("{refuses}\n{SERVER}"));
    let told = error(fake.call("hello").await);
    assert_eq!(told, "the MCP server `fake` cannot be used: it refused `initialize`: go away");
}

#[tokio::test]
async fn a_server_that_never_answers_initialize_is_killed_with_the_call() {
    let mut fake = Fake::that(&format!("initialize() {{ sleep 1000; }}\n{SERVER}"));
    let limits = CallLimits { timeout: Duration::from_millis(500), ..LIMITS };
    let end = fake.client.call_with("hello", json!({}), &CancellationToken::new(), limits).await;
    let told = "nothing was sent: the MCP server `fake` has not answered `initialize` yet";
    assert_eq!(error(end), told);
    fake.gone().await;
}

#[tokio::test]
async fn cancel_tells_the_server_and_ends_at_once() {
    let mut fake = Fake::new();
    assert_eq!(fake.call("hello").await, success("hello"));
    let token = CancellationToken::new();
    let limits = CallLimits { grace: Duration::from_secs(3600), ..LIMITS };
    let (end, ()) = tokio::join!(fake.client.call_with("hang", json!({}), &token, limits), async {
        while fake.asked("tools/call").len() < 2 {
            tokio::task::yield_now().await;
        }
        token.cancel();
    });
    assert_eq!(end, ToolEnd::Stopped(CallEnd::Disconnected));
    assert_eq!(fake.call("hello").await, success("hello"), "the server goes on");
    let cancelled = &fake.asked("notifications/cancelled")[0]["params"]["requestId"];
    assert_eq!(cancelled, &fake.asked("tools/call")[1]["id"]);
    assert_eq!(fake.starts(), 1);
    fake.client.tools.close().await;
    fake.gone().await;
}

#[tokio::test]
async fn time_that_is_up_leaves_an_unknown_outcome() {
    let fake = Fake::new();
    assert_eq!(fake.call("hello").await, success("hello"));
    let limits = CallLimits { timeout: Duration::from_millis(100), ..LIMITS };
    let end = fake.client.call_with("hang", json!({}), &CancellationToken::new(), limits).await;
    assert_eq!(unknown(end), "timed out after 100 ms; the server may still be at work on it");
}

#[tokio::test]
async fn a_server_that_answers_nothing_any_more_is_ended_at_last() {
    let mut fake = Fake::new();
    assert_eq!(fake.call("hello").await, success("hello"));
    let limits = CallLimits { timeout: Duration::from_millis(1), ..LIMITS };
    let arguments = json!({"a": "x".repeat(4096)});
    // It reads nothing of what comes after this.
    for name in std::iter::once("deaf").chain(std::iter::repeat_n("hello", 99)) {
        let end = fake.client.call_with(name, arguments.clone(), &CancellationToken::new(), limits).await;
        assert!(unknown(end).starts_with("timed out after 1 ms"));
    }
    fake.gone().await;
    assert_eq!(fake.call("hello").await, success("hello"));
    assert_eq!(fake.starts(), 2);
}

#[tokio::test]
async fn close_ends_a_server_with_all_that_it_started() {
    for tool in ["family", "stubborn"] {
        let mut fake = Fake::new();
        let ToolEnd::Returned { output: pid, .. } = fake.call(tool).await else { panic!() };
        assert!(is_alive(&pid), "{tool}");
        fake.client.tools.close().await;
        assert!(!is_alive(&pid), "{tool}");
        fake.gone().await;
        let told = error(fake.call("hello").await);
        assert_eq!(told, "the MCP server `fake` cannot be used: everything is shutting down");
    }
}

#[tokio::test]
async fn tools_that_are_dropped_take_their_servers_along() {
    let mut fake = Fake::new();
    assert_eq!(fake.call("hello").await, success("hello"));
    fake.client.tools = Tools::new();
    fake.gone().await;
}

#[tokio::test]
async fn a_server_that_nobody_uses_is_ended_and_started_again() {
    let mut fake = Fake::new();
    assert_eq!(fake.call("hello").await, success("hello"));
    // Its keeper hears that the call is over.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(14 * 60)).await;
    tokio::time::resume();
    assert_eq!(fake.call("hello").await, success("hello"));
    assert_eq!(fake.starts(), 1, "it was used in time");
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(16 * 60)).await;
    tokio::time::resume();
    fake.gone().await;
    assert_eq!(fake.call("hello").await, success("hello"));
    assert_eq!(fake.starts(), 2);
}
