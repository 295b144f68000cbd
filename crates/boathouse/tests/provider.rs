//! Models over a real socket: what a server does, and what its client makes of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use boathouse::core::crew::{AgentIx, Crew, Effect, HandoffStyle, Model, Parameters, Settings, ToolSpec};
use boathouse::core::ids::{AgentId, CallId, RunId};
use boathouse::core::message::{Finish, Reply};
use boathouse::core::run::event::CallErrorKind;
use boathouse::core::run::request::{ModelRequest, PromptCall, PromptMessage, ToolOffer};
use boathouse::provider::{Deltas, NoDeltas, ProviderError, Providers, script};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::mpsc;

#[path = "support/upstream.rs"]
mod upstream;

use upstream::{Answer, Upstream};

fn request(base_url: &str) -> ModelRequest {
    ModelRequest {
        run: RunId::new("run"),
        call: CallId(1),
        attempt: 1,
        crew: Arc::new(Crew {
            name: "desk".to_owned(),
            description: String::new(),
            hash: "0".into(),
            source: BTreeMap::new(),
            agents: Vec::new(),
            entry: AgentIx(0),
            groups: Vec::new(),
            tools: Vec::new(),
            handoff: HandoffStyle::Signal,
            settings: Settings::default(),
            vars: BTreeMap::new(),
        }),
        agent: AgentId::new("triage"),
        purpose: Default::default(),
        agent_call: 1,
        model: Model {
            provider: "test".to_owned(),
            model: "small-1".to_owned(),
            base_url: Some(base_url.to_owned()),
        },
        parameters: Parameters::default(),
        system: "Be brief.".to_owned(),
        messages: vec![PromptMessage::User { text: "Hello".to_owned() }],
        tools: Vec::new(),
    }
}

fn providers() -> Providers {
    Providers::new().openai_compatible("test", "http://127.0.0.1:9/v1", Some(SecretString::from("key-12345")))
}

async fn ask(providers: &Providers, request: &ModelRequest) -> Result<Reply, ProviderError> {
    providers.resolve(&request.model)?.reply(request, &NoDeltas).await
}

/// Asks in a task, and gives the pieces as they come.
fn ask_aside(
    providers: &Providers,
    request: &ModelRequest,
) -> (tokio::task::JoinHandle<Result<Reply, ProviderError>>, mpsc::UnboundedReceiver<String>) {
    struct Tell(mpsc::UnboundedSender<String>);
    impl Deltas for Tell {
        fn text(&self, piece: &str) {
            // A test may look at the reply alone.
            let _ = self.0.send(piece.to_owned());
        }
    }
    let (tell, pieces) = mpsc::unbounded_channel();
    let provider = providers.resolve(&request.model).expect("it is set up");
    let request = request.clone();
    (tokio::spawn(async move { provider.reply(&request, &Tell(tell)).await }), pieces)
}

fn frame(text: &str) -> Vec<u8> {
    format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": {"content": text}}]})).into_bytes()
}

const STOP: &[u8] =
    b"data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

fn hello() -> Vec<u8> {
    [frame("Hel"), frame("lo"), STOP.to_vec()].concat()
}

fn fixture(name: &str) -> (Vec<u8>, Value) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/wire/openai");
    let read = |ending: &str| std::fs::read(folder.join(format!("{name}.{ending}"))).expect("it is there");
    (read("txt"), serde_json::from_slice(&read("json")).expect("it is JSON"))
}

#[tokio::test]
async fn a_stream_gives_its_reply_however_the_network_cuts_it() {
    let upstream = Upstream::start().await;
    let (providers, asked) = (providers(), request(&upstream.url()));
    for name in ["text", "tools", "refusal", "one_frame_no_done", "error_in_stream", "truncated"] {
        let (stream, expected) = fixture(name);
        let answers = [
            Answer::stream_by(&stream, usize::MAX),
            Answer::stream_by(&stream, 1),
            Answer::stream_by(&stream, 57),
            Answer::raw_by(&stream, 1),
            Answer::raw_by(&stream, 100),
        ];
        for answer in answers {
            upstream.answer(answer);
            let (asking, mut pieces) = ask_aside(&providers, &asked);
            let replied = asking.await.expect("no panic");
            let mut told = String::new();
            while let Some(piece) = pieces.recv().await {
                assert!(!piece.is_empty());
                told.push_str(&piece);
            }
            let shown = match &replied {
                Ok(reply) => json!({ "reply": reply }),
                Err(error) => json!({"error": {"kind": error.kind, "message": error.message}}),
            };
            assert_eq!(shown, expected, "{name}");
            if let Ok(reply) = replied {
                assert_eq!(told, reply.text, "the pieces of {name} are its text");
            }
        }
    }
}

#[tokio::test]
async fn the_request_is_what_the_api_asks_for() {
    let mut upstream = Upstream::start().await;
    let mut asked = request(&format!("{}/?api-version=2", upstream.url()));
    let schema = json!({"type": "object", "properties": {"host": {"type": "string"}}, "required": ["host"]});
    let ping = ToolSpec::new("PingHost", "Pings a host", schema.clone()).effect(Effect::Read);
    asked.tools = vec![
        ToolOffer::Tool(Arc::new(ping)),
        ToolOffer::Transfer { name: "transfer_to_executor".to_owned(), description: "Runs tools".to_owned() },
    ];
    let call = |text: &str| PromptMessage::Assistant {
        text: text.to_owned(),
        calls: vec![PromptCall {
            id: "c1".to_owned(),
            tool: "PingHost".to_owned(),
            arguments: json!({"host": "db1"}),
        }],
    };
    asked.messages = vec![
        PromptMessage::System { text: "Old note".to_owned() },
        PromptMessage::User { text: "Ping \"db1\"".to_owned() },
        call(""),
        PromptMessage::Tool {
            id: "c1".to_owned(),
            tool: "PingHost".to_owned(),
            output: "3 ms".to_owned(),
            failed: false,
        },
        PromptMessage::Assistant { text: "Fine.".to_owned(), calls: Vec::new() },
        PromptMessage::User { text: "Thanks".to_owned() },
    ];
    asked.parameters = Parameters {
        temperature: Some(0.0),
        max_tokens: Some(100),
        top_p: Some(0.5),
        stop: vec!["END".to_owned()],
        seed: Some(7),
        reasoning_effort: Some("low".to_owned()),
        extra: json!({"top_k": 40, "seed": 8, "stream_options": null}).as_object().expect("a map").clone(),
    };
    upstream.answer(Answer::stream_by(&hello(), usize::MAX));
    ask(&providers(), &asked).await.expect("it answers");

    let seen = upstream.request().await;
    assert_eq!(seen.line, "POST /v1/chat/completions?api-version=2 HTTP/1.1");
    assert_eq!(seen.header("authorization"), Some("Bearer key-12345"));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("accept"), Some("text/event-stream"));
    assert!(seen.header("host").is_some_and(|host| host.starts_with("127.0.0.1:")));
    let function = |name: &str, description: &str, parameters: &Value| json!({"type": "function", "function": {"name": name, "description": description, "parameters": parameters}});
    let expected = json!({
        "model": "small-1",
        "stream": true,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "system", "content": "Old note"},
            {"role": "user", "content": "Ping \"db1\""},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "PingHost", "arguments": "{\"host\":\"db1\"}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "3 ms"},
            {"role": "assistant", "content": "Fine."},
            {"role": "user", "content": "Thanks"},
        ],
        "tools": [
            function("PingHost", "Pings a host", &schema),
            function("transfer_to_executor", "Runs tools", &json!({"type": "object", "properties": {}})),
        ],
        "temperature": 0.0, "max_tokens": 100, "top_p": 0.5, "stop": ["END"], "reasoning_effort": "low",
        "top_k": 40, "seed": 8,
    });
    assert_eq!(seen.body, expected);

    asked.parameters = Parameters::default();
    asked.tools.clear();
    upstream.answer(Answer::stream_by(&hello(), usize::MAX));
    ask(&providers(), &asked).await.expect("it answers");
    let plain = upstream.request().await.body;
    let keys: Vec<&String> = plain.as_object().expect("a map").keys().collect();
    assert_eq!(keys, ["messages", "model", "stream", "stream_options"], "what is not set is not sent");

    asked.parameters.extra.insert("stream".to_owned(), json!(false));
    let refused = ask(&providers(), &asked).await.expect_err("that would break the reading");
    assert_eq!((refused.kind, refused.message.contains("extra.stream")), (CallErrorKind::Config, true));
}

#[tokio::test]
async fn pieces_come_as_they_arrive_and_joined_where_they_arrive_together() {
    let upstream = Upstream::start().await;
    let (answer, gate) = Answer::stream()
        .chunks_at_once(&[&frame("one "), &frame("two "), &[frame("three "), frame("four ")].concat()])
        .gate();
    upstream.answer(answer.chunk(&frame("five")).chunk(STOP).end());
    let (asking, mut pieces) = ask_aside(&providers(), &request(&upstream.url()));
    assert_eq!(pieces.recv().await.as_deref(), Some("one two three four "));
    gate.open();
    assert_eq!(pieces.recv().await.as_deref(), Some("five"));
    let reply = asking.await.expect("no panic").expect("it replies");
    assert_eq!((&*reply.text, reply.finish), ("one two three four five", Finish::Stop));
}

#[tokio::test]
async fn dropping_a_call_closes_its_connection_at_once() {
    let upstream = Upstream::start().await;
    let (providers, asked) = (providers(), request(&upstream.url()));

    upstream.answer(Answer::stream().chunk(&frame("begun")).stall());
    let (asking, mut pieces) = ask_aside(&providers, &asked);
    assert_eq!(pieces.recv().await.as_deref(), Some("begun"));
    asking.abort();
    upstream.gone_is(1).await;
    upstream.open_is(0).await;

    // Before anything has been answered, too.
    upstream.answer(Answer::default().stall());
    let (asking, _pieces) = ask_aside(&providers, &asked);
    upstream.open_is(1).await;
    asking.abort();
    upstream.gone_is(2).await;
    upstream.open_is(0).await;
}

#[tokio::test]
async fn refusals_are_told_by_kind_and_without_the_key() {
    let upstream = Upstream::start().await;
    let (providers, asked) = (providers(), request(&upstream.url()));
    use CallErrorKind::*;
    let cases = [
        ("401 Unauthorized", "", r#"{"error":{"message":"bad key key-12345"}}"#, Auth, "bad key [key]"),
        ("429 Too Many Requests", "retry-after: 3\r\n", "slow down", RateLimited, "slow down"),
        ("500 Internal Server Error", "", "oh", Server, "oh"),
        ("404 Not Found", "", r#"{"error":{"message":"no model small-1"}}"#, Rejected, "no model small-1"),
        ("307 Temporary Redirect", "location: http://other/\r\n", "", Rejected, "307"),
    ];
    for (status, headers, body, kind, words) in cases {
        upstream.answer(Answer::status(status, headers, body));
        let error = ask(&providers, &asked).await.expect_err(status);
        assert_eq!(error.kind, kind, "{status}");
        assert!(error.message.contains(words), "{error}");
        assert!(!error.message.contains("12345"), "{error}");
        assert_eq!(error.retry_after, (kind == RateLimited).then_some(Duration::from_secs(3)));
    }
    assert_eq!(upstream.connections(), 1, "a refusal costs no connection");
}

#[tokio::test]
async fn a_broken_connection_is_never_a_reply() {
    let upstream = Upstream::start().await;
    let (providers, asked) = (providers(), request(&upstream.url()));
    let cases = [
        ("no answer", Answer::default().close(), CallErrorKind::Truncated),
        ("half a head", Answer::default().bytes("HTTP/1.1 200 O").close(), CallErrorKind::Truncated),
        ("half a stream", Answer::stream().chunk(&frame("half")).close(), CallErrorKind::Truncated),
        ("no reason at the end", Answer::stream().chunk(&frame("half")).end(), CallErrorKind::Truncated),
        ("no HTTP", Answer::default().bytes("SSH-2.0-OpenSSH\r\n\r\n").close(), CallErrorKind::Protocol),
        (
            "a web page",
            Answer::status("200 OK", "content-type: text/html; charset=utf-8\r\n", "<html>"),
            CallErrorKind::Protocol,
        ),
        ("no events", Answer::stream().chunk(b"<html></html>").end(), CallErrorKind::Truncated),
    ];
    for (what, answer, kind) in cases {
        upstream.answer(answer);
        let error = ask(&providers, &asked).await.expect_err(what);
        assert_eq!(error.kind, kind, "{what}: {error}");
    }
    // All has been said: that the last chunk is missing does not matter.
    upstream.answer(Answer::stream().chunk(&hello()).close());
    assert_eq!(ask(&providers, &asked).await.expect("it is whole").text, "Hello");

    let url = upstream.url();
    drop(upstream);
    let error = ask(&providers, &request(&url)).await.expect_err("nobody listens");
    assert_eq!(error.kind, CallErrorKind::Connect, "{error}");
    assert!(error.message.contains("127.0.0.1"), "{error}");
}

#[tokio::test]
async fn a_silent_server_is_a_timeout() {
    let upstream = Upstream::start().await;
    let (providers, asked) = (providers(), request(&upstream.url()));
    for answer in
        [Answer::default().stall(), Answer::stream().stall(), Answer::stream().chunk(b": wait\n\n").stall()]
    {
        upstream.answer(answer);
        let (asking, _pieces) = ask_aside(&providers, &asked);
        upstream.open_is(1).await;
        // From here on only timers happen.
        tokio::time::pause();
        let error = asking.await.expect("no panic").expect_err("it is silent");
        tokio::time::resume();
        assert_eq!(error.kind, CallErrorKind::Timeout, "{error}");
        upstream.open_is(0).await;
    }
    upstream.gone_is(3).await;

    // All has been said: that the server neither says `[DONE]` nor closes costs time only.
    let (stream, _) = fixture("one_frame_no_done");
    upstream.answer(Answer::stream().chunk(&stream).stall());
    let (asking, mut pieces) = ask_aside(&providers, &asked);
    assert_eq!(pieces.recv().await.as_deref(), Some("ab"));
    tokio::time::pause();
    assert_eq!(asking.await.expect("no panic").expect("it is whole").text, "ab");
}

#[tokio::test]
async fn connections_are_used_again_and_dead_ones_are_not() {
    let upstream = Upstream::start().await;
    let (providers, asked) = (providers(), request(&upstream.url()));
    for _ in 0..5 {
        upstream.answer(Answer::stream_by(&hello(), 40));
        ask(&providers, &asked).await.expect("it answers");
        upstream.open_is(0).await;
    }
    assert_eq!(upstream.connections(), 1);

    // The server closes the connection after an answer that did not say so.
    upstream.answer(Answer::stream_by(&hello(), usize::MAX).close());
    ask(&providers, &asked).await.expect("it answers");
    upstream.open_is(0).await;
    upstream.answer(Answer::stream_by(&hello(), usize::MAX));
    ask(&providers, &asked).await.expect("a new connection is opened");
    upstream.open_is(0).await;
    assert_eq!(upstream.connections(), 2);

    // An answer that goes on after its end is not read into the next one.
    let rest = [frame("more"), frame("and more")].concat();
    upstream.answer(Answer::stream().chunk(&hello()).chunk(&rest).stall());
    ask(&providers, &asked).await.expect("it answers");
    upstream.answer(Answer::stream_by(&hello(), usize::MAX));
    assert_eq!(ask(&providers, &asked).await.expect("it answers").text, "Hello");
    assert_eq!(upstream.connections(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_once_each_get_their_own_reply() {
    let upstream = Upstream::start().await;
    let (providers, asked) = (providers(), request(&upstream.url()));
    for round in 0..3 {
        let mut asking = Vec::new();
        for at in 0..40 {
            upstream
                .answer(Answer::stream_by(&[frame(&format!("{round}.{at}")), STOP.to_vec()].concat(), 33));
            asking.push(ask_aside(&providers, &asked).0);
        }
        let mut texts = Vec::new();
        for asking in asking {
            texts.push(asking.await.expect("no panic").expect("it answers").text);
        }
        texts.sort();
        let mut expected: Vec<String> = (0..40).map(|at| format!("{round}.{at}")).collect();
        expected.sort();
        assert_eq!(texts, expected);
    }
    assert_eq!(providers.pool_metrics().size, 1);
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_understood() {
    let upstream = Upstream::start().await;
    let body = json!({"choices": [{"message": {"role": "assistant", "content": "All at once"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 3}});
    let headers = "content-type: application/json\r\n";
    upstream.answer(Answer::status("200 OK", headers, &body.to_string()));
    let (asking, mut pieces) = ask_aside(&providers(), &request(&upstream.url()));
    assert_eq!(asking.await.expect("no panic").expect("it answers").text, "All at once");
    assert_eq!(pieces.recv().await.as_deref(), Some("All at once"));

    upstream.answer(Answer::status("200 OK", headers, r#"{"error":{"message":"busy","code":503}}"#));
    let error = ask(&providers(), &request(&upstream.url())).await.expect_err("it is an error");
    assert_eq!(error.kind, CallErrorKind::Server);
}

#[tokio::test]
async fn a_key_can_be_changed_while_serving() {
    let mut upstream = Upstream::start().await;
    let providers = Providers::new().openai_compatible("test", upstream.url(), None);
    let mut asked = request("");
    asked.model.base_url = None;
    let header = async |providers: &Providers, upstream: &mut Upstream| {
        upstream.answer(Answer::stream_by(&hello(), usize::MAX));
        ask(providers, &asked).await.expect("it answers");
        upstream.request().await.header("authorization").map(str::to_owned)
    };
    assert_eq!(header(&providers, &mut upstream).await, None, "without a key none is sent");
    for key in ["one", "two"] {
        providers.clone().set_key("test", SecretString::from(key)).expect("it takes a key");
        assert_eq!(header(&providers, &mut upstream).await, Some(format!("Bearer {key}")));
    }
    let metrics = providers.pool_metrics();
    assert_eq!((metrics.size, metrics.misses, metrics.invalidations), (1, 3, 2), "old clients are gone");

    for (name, key) in [("scripted", "x"), ("nobody", "x")] {
        let error = providers.set_key(name, SecretString::from(key)).expect_err("it is refused");
        assert_eq!(error.kind, CallErrorKind::Config);
    }
    providers.set_key("test", SecretString::from("line\nbreak")).expect("it is checked when it is used");
    let error = ask(&providers, &asked).await.expect_err("no header holds that");
    assert_eq!(error.kind, CallErrorKind::Config);
    assert!(!error.message.contains("break"), "{error}");
}

#[tokio::test]
async fn a_plain_server_behind_https_is_no_connection() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let url = format!("https://{}/v1", listener.local_addr().expect("it is bound"));
    let providers = providers();
    let asked = request(&url);
    let (asked, served) = tokio::join!(ask(&providers, &asked), async {
        let (mut stream, _) = listener.accept().await.expect("the client comes");
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .map(|()| stream)
    });
    served.expect("the client listens");
    let error = asked.expect_err("it speaks no TLS");
    assert_eq!(error.kind, CallErrorKind::Connect, "{error}");
    assert!(error.message.contains("TLS"), "{error}");
}

#[test]
fn every_script_that_ships_is_sound() {
    fn scripts(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                scripts(&path, found);
            } else if path.file_name().is_some_and(|name| name == script::FILE) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for folder in ["examples", "../../examples", "../../testdata/crews/good"] {
        scripts(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut found);
    }
    assert!(found.len() >= 3, "scripts are missing: {found:?}");
    for path in found {
        let text = std::fs::read_to_string(&path).expect("readable");
        assert_eq!(script::check(&text), [], "{}", path.display());
    }
}
