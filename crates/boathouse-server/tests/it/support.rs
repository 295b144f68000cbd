//! A server to test, its crews, and a client that sees every byte.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use boathouse::core::crew::{
    Agent, AgentIx, Approval, Crew, Effect, HandoffStyle, Model, Parameters, Route, Settings, Signal,
    ToolCallStyle, ToolDef, ToolIx, ToolKind, ToolSpec,
};
use boathouse::core::ids::RunId;
use boathouse::engine::Engine;
use boathouse::tool::registry::Tools;
use boathouse::tool::{Tool, ToolCx, ToolError};
use boathouse_server::server::{ServerConfig, serve};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::gate::Gate;

/// Long enough that no test sees its end.
pub const NEVER_MS: u64 = 3_600_000;
/// How long a test waits for what must come; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Server {
    pub engine: Engine,
    pub address: SocketAddr,
    pub shutdown: CancellationToken,
    /// A permit lets one call of the tool `gate` return.
    pub gate: Arc<Semaphore>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Server {
    pub async fn start() -> Server {
        Server::with(ServerConfig::default()).await
    }

    pub async fn with(config: ServerConfig) -> Server {
        let gate = Arc::new(Semaphore::new(0));
        let tools = Tools::new().with(Echo::new()).unwrap().with(Gate::new(gate.clone())).unwrap();
        let tools = tools.with(Pay::new()).unwrap();
        let mut builder = Engine::builder().tools(tools).disconnect_grace(Duration::from_millis(1));
        for crew in crews() {
            builder = builder.crew(crew);
        }
        let engine = builder.start().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, engine.clone(), config, shutdown.clone()));
        Server { engine, address, shutdown, gate, serving }
    }

    /// Sends one request on a fresh connection and reads the whole answer.
    pub async fn send(&self, request: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.open(request, headers, body).await.answer().await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path}"), &[], "").await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(&format!("POST {path}"), &[("content-type", "application/json")], &body.to_string()).await
    }

    /// Sends one request and leaves the answer to be read.
    pub async fn open(&self, request: &str, headers: &[(&str, &str)], body: &str) -> Connection {
        let mut connection = Connection::to(self.address).await;
        connection.ask(request, headers, body).await;
        connection
    }

    /// Starts a run and gives its id.
    pub async fn run(&self, crew: &str) -> String {
        let answer = self.post(&format!("/v1/crews/{crew}/runs"), json!({"input": "hello"})).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// Waits until a run is at rest and gives it as the API does.
    pub async fn rested(&self, run: &str) -> Value {
        within(self.engine.wait(&RunId::from(run))).await.unwrap();
        self.get(&format!("/v1/runs/{run}")).await.json()
    }

    /// Shuts the server down and the engine after it.
    pub async fn stop(self) {
        self.shutdown.cancel();
        within(self.serving).await.unwrap().unwrap();
        within(self.engine.shutdown(Duration::ZERO)).await;
    }
}

pub async fn within<F: IntoFuture>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future.into_future()).await.expect("it takes too long")
}

/// One connection, read piece by piece.
pub struct Connection {
    socket: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    pub async fn to(address: SocketAddr) -> Connection {
        Connection::on(TcpStream::connect(address).await.unwrap())
    }

    pub fn on(socket: TcpStream) -> Connection {
        Connection { socket, read: Vec::new() }
    }

    /// Sends a request with `Host: localhost` unless the headers say otherwise.
    pub async fn ask(&mut self, request: &str, headers: &[(&str, &str)], body: &str) {
        let mut head = format!("{request} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str("host: localhost\r\n");
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        self.send(format!("{head}\r\n{body}").as_bytes()).await;
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        // A server that has refused the request may have closed the connection.
        let _ = self.socket.write_all(bytes).await;
    }

    /// Reads until the text has come, and gives everything so far.
    pub async fn until(&mut self, text: &str) -> String {
        loop {
            let so_far = String::from_utf8_lossy(&self.read).into_owned();
            if so_far.contains(text) {
                return so_far;
            }
            assert!(self.more().await > 0, "closed before `{text}` came: {so_far}");
        }
    }

    async fn more(&mut self) -> usize {
        let count = within(self.socket.read_buf(&mut self.read)).await;
        count.unwrap_or(0)
    }

    /// Reads to the end of the answer's body.
    pub async fn answer(mut self) -> Answer {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end;
            }
            assert!(self.more().await > 0, "no answer: {:?}", String::from_utf8_lossy(&self.read));
        };
        let head = String::from_utf8(self.read[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: BTreeMap<String, String> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        self.read.drain(..end + 4);
        let chunked = headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked");
        let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut chunks = Vec::new();
        if chunked {
            loop {
                let chunk = self.chunk().await;
                if chunk.is_empty() {
                    break;
                }
                chunks.push(chunk);
            }
        } else {
            while self.read.len() < length {
                assert!(self.more().await > 0, "the body is cut");
            }
            chunks.push(self.read[..length].to_vec());
        }
        Answer { status, headers, chunks }
    }

    async fn chunk(&mut self) -> Vec<u8> {
        let head = loop {
            if let Some(end) = self.read.windows(2).position(|bytes| bytes == b"\r\n") {
                break end;
            }
            assert!(self.more().await > 0, "the stream is cut");
        };
        let length = usize::from_str_radix(std::str::from_utf8(&self.read[..head]).unwrap(), 16).unwrap();
        while self.read.len() < head + length + 4 {
            assert!(self.more().await > 0, "the stream is cut");
        }
        let chunk = self.read[head + 2..head + 2 + length].to_vec();
        self.read.drain(..head + length + 4);
        chunk
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub chunks: Vec<Vec<u8>>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8(self.chunks.concat()).unwrap()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.chunks.concat())
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Asserts that it is a problem, whole and with this code.
    #[track_caller]
    pub fn is_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.json()["code"].as_str()), (status, Some(code)), "{}", self.text());
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.json()["status"], status);
        for field in ["type", "title", "detail"] {
            assert!(self.json()[field].is_string(), "{}", self.text());
        }
        assert!(self.headers.contains_key("x-request-id"));
    }

    /// The `data` of each server-sent event, with its id.
    pub fn events(&self) -> Vec<(Option<String>, Value)> {
        let text = self.text();
        let frames = text.split("\n\n").filter(|frame| frame.lines().any(|line| line.starts_with("data: ")));
        frames
            .map(|frame| {
                let line = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name));
                (line("id: ").map(str::to_owned), serde_json::from_str(line("data: ").unwrap()).unwrap())
            })
            .collect()
    }

    /// The `type` of each server-sent event.
    pub fn types(&self) -> Vec<String> {
        self.events().iter().map(|(_, event)| event["type"].as_str().unwrap().to_owned()).collect()
    }
}

/// Gives its argument back.
struct Echo(Arc<ToolSpec>);

impl Echo {
    fn new() -> Echo {
        let parameters = json!({"type": "object", "properties": {"text": {"type": "string"}}});
        Echo(Arc::new(ToolSpec::new("Echo", "Gives its argument back.", parameters).effect(Effect::Read)))
    }
}

#[async_trait]
impl Tool for Echo {
    fn spec(&self) -> &Arc<ToolSpec> {
        &self.0
    }

    async fn call(&self, arguments: &Value, _cx: &ToolCx) -> Result<String, ToolError> {
        match arguments["text"].as_str() {
            Some("fail") => Err(ToolError::Failed("it failed".to_owned())),
            text => Ok(text.unwrap_or_default().to_owned()),
        }
    }
}

/// Pays, once a person has approved it.
struct Pay(Arc<ToolSpec>);

impl Pay {
    fn new() -> Pay {
        let parameters = json!({
            "type": "object",
            "properties": {"amount": {"type": "integer"}, "to": {"type": "string"}},
            "required": ["amount"],
        });
        let mut spec = ToolSpec::new("Pay", "Pays.", parameters);
        spec.approval = Approval::Always;
        Pay(Arc::new(spec))
    }
}

#[async_trait]
impl Tool for Pay {
    fn spec(&self) -> &Arc<ToolSpec> {
        &self.0
    }

    async fn call(&self, arguments: &Value, _cx: &ToolCx) -> Result<String, ToolError> {
        Ok(format!("paid {}", arguments["amount"]))
    }
}

fn crews() -> Vec<Crew> {
    let done = |text: &str, route| Signal { text: text.into(), route, description: String::new() };
    let hello = agent("greeter", "Greeter");
    let mut clarifier = agent("clarifier", "Clarifier");
    clarifier.terminal = false;
    clarifier.wait_for_signal = true;
    clarifier.signals = vec![done("[DONE]", Route::End)];
    let mut worker = agent("worker", "Worker");
    worker.tools = vec![ToolIx(0), ToolIx(1)];
    let mut clerk = agent("clerk", "Clerk");
    clerk.tools = vec![ToolIx(2)];
    let mut former = clarifier.clone();
    former.answer_schema = Some(json!({
        "type": "object",
        "properties": {"minutes": {"type": "integer", "minimum": 1}},
        "required": ["minutes"],
    }));
    let mut circler = agent("circler", "Circler");
    circler.terminal = false;
    circler.default_route = Some(Route::Agent(AgentIx(0)));
    vec![
        crew("hello", hello.clone(), r#"rules: [{pieces: ["Hello, ", "<world> & all"]}]"#),
        crew(
            "ask",
            clarifier,
            r#"rules: [{call: 1, reply: "Which server?"}, {when: "blue", reply: "The blue one. [DONE]"}, {reply: "Which?"}]"#,
        ),
        crew("slow", hello.clone(), &format!(r#"rules: [{{reply: "late", delay_ms: {NEVER_MS}}}]"#)),
        crew(
            "half",
            hello.clone(),
            &format!(r#"rules: [{{pieces: ["one ", "two"], piece_delay_ms: {NEVER_MS}}}]"#),
        ),
        crew(
            "tools",
            worker.clone(),
            r#"rules:
  - {call: 1, reply: "looking", tools: [{name: Gate}, {name: Echo, arguments: {text: "a<b"}}, {name: Echo, arguments: {text: fail}}]}
  - {reply: "found it"}"#,
        ),
        crew(
            "flood",
            worker,
            // With a long input it is more than any socket takes in between.
            &format!(
                "rules:\n  - {{call: 1, reply: looking, tools: [{{name: Gate}}]}}\n  - {{reply: \"{}\", pieces: 3000}}\n",
                "{{input}}".repeat(16)
            ),
        ),
        crew(
            "pay",
            clerk,
            r#"rules:
  - {call: 1, reply: "", tools: [{name: Pay, arguments: {amount: 5, to: "<b>"}}, {name: Pay, arguments: {amount: 7}}]}
  - {reply: "{{result.Pay}}"}"#,
        ),
        crew("form", former, r#"rules: [{call: 1, reply: "How long?"}, {reply: "Fine. [DONE]"}]"#),
        crew("broken", hello, r#"rules: [{error: {kind: auth, message: "the key was refused"}}]"#),
        crew("circle", circler, r#"rules: [{reply: "round"}]"#),
    ]
}

fn agent(id: &str, name: &str) -> Agent {
    Agent {
        id: id.into(),
        name: name.into(),
        role: "tester".into(),
        description: String::new(),
        backstory: String::new(),
        system_prompt: None,
        models: vec![Model { provider: "scripted".into(), model: "scripted".into(), base_url: None }],
        parameters: Parameters::default(),
        tool_calls: ToolCallStyle::Auto,
        tools: Vec::new(),
        signals: Vec::new(),
        wait_for_signal: false,
        answer_schema: None,
        terminal: true,
        default_route: None,
        handoff_targets: Vec::new(),
    }
}

fn crew(name: &str, agent: Agent, script: &str) -> Crew {
    let (echo, gate, pay) = (Echo::new(), Gate::new(Arc::new(Semaphore::new(0))), Pay::new());
    let tools = [gate.spec().clone(), echo.0, pay.0].map(|spec| ToolDef { spec, kind: ToolKind::Registered });
    Crew {
        name: name.into(),
        description: format!("for tests: {name}"),
        hash: format!("hash-of-{name}").into(),
        source: BTreeMap::from([("scripted.yaml".to_owned(), script.to_owned())]),
        tools: if agent.tools.is_empty() { Vec::new() } else { tools.into() },
        agents: vec![agent],
        entry: AgentIx(0),
        groups: Vec::new(),
        handoff: HandoffStyle::Signal,
        settings: Settings::default(),
        vars: BTreeMap::new(),
    }
}
