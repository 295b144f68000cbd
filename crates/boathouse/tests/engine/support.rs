//! Crews, providers and engines for these tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use boathouse::core::crew::check::Catalog;
use boathouse::core::crew::{Approval, Crew, Effect, Source};
use boathouse::core::ids::{RunId, Seq, WaitId};
use boathouse::core::message::Reply;
use boathouse::core::run::approval::ApprovalDecision;
use boathouse::core::run::event::{Answer, Event, Outcome, Recorded, RunState, WaitFor};
use boathouse::core::run::request::ModelRequest;
use boathouse::crew_dir;
use boathouse::engine::{Engine, RunView, StartRun};
use boathouse::feed::{Item, Watch};
use boathouse::journal::Journal;
use boathouse::journal::sqlite::SqliteJournal;
use boathouse::provider::scripted::Scripted;
use boathouse::provider::{Deltas, Provider, ProviderError, Providers};
use boathouse::tool::{Tools, function};
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tempfile::TempDir;
use tokio::sync::{Semaphore, mpsc};

/// Longer than any test.
pub const LEASE: Duration = Duration::from_secs(600);

/// A crew of two that looks, puts, asks, hands over and sends.
pub const LINE: &str = r#"
name: line
agents:
  - id: first
    provider: scripted
    model: any
    tools: [look, put]
  - id: second
    provider: scripted
    model: any
    tools: [send]
    is_terminal: true
routing:
  signals:
    first:
      - { signal: "[SECOND]", target: second }
  agent_behaviors:
    first: { wait_for_signal: true }
"#;

pub const LINE_SCRIPT: &str = r#"
rules:
  - { agent: first, call: 1, reply: "looking", tools: [{ name: look, arguments: { what: a } }, { name: put, arguments: { what: b } }] }
  - { agent: first, call: 2, reply: "which one?" }
  - { agent: first, call: 3, reply: "on to it [SECOND]" }
  - { agent: second, call: 1, reply: "", tools: [{ name: send, arguments: { what: c } }] }
  - { agent: second, call: 2, reply: "sent: {{result.send}}" }
"#;

/// A desk that opens a group of three.
pub const GROUP: &str = r#"
name: group
agents:
  - { id: desk, provider: scripted, model: any }
  - { id: a, provider: scripted, model: any, tools: [look] }
  - { id: b, provider: scripted, model: any }
  - { id: c, provider: scripted, model: any, tools: [look, put] }
  - { id: closer, provider: scripted, model: any, is_terminal: true }
routing:
  signals:
    desk:
      - { signal: "[ALL]", target: everyone }
  parallel_groups:
    everyone: { agents: [a, b, c], next_agent: closer }
"#;

pub const GROUP_SCRIPT: &str = r#"
rules:
  - { agent: desk, reply: "all of you [ALL]" }
  - { agent: a, call: 1, reply: "", tools: [{ name: look, arguments: { what: "1" } }] }
  - { agent: a, call: 2, reply: "a saw {{result.look}}" }
  - { agent: b, reply: "b is done" }
  - { agent: c, call: 1, reply: "", tools: [{ name: put, arguments: { what: "2" } }, { name: look, arguments: { what: "3" } }] }
  - { agent: c, call: 2, reply: "c is done" }
  - { agent: closer, reply: "closed" }
"#;

/// One agent that answers from its script.
pub const ONE: &str = r#"
name: one
agents:
  - { id: a, provider: scripted, model: any, tools: [look, send] }
"#;

pub fn source(crew: &str, script: &str) -> Source {
    BTreeMap::from([
        ("crew.yaml".to_owned(), crew.to_owned()),
        ("scripted.yaml".to_owned(), script.to_owned()),
    ])
}

pub fn load(crew: &str, script: &str, catalog: &Catalog) -> Crew {
    crew_dir::compile(source(crew, script), "crew", catalog).unwrap_or_else(|error| panic!("{error}"))
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct What {
    what: String,
}

/// `look` (read), `put` (idempotent), `send` (once) and `pay` (once, with approval). Each made call is told to `made`.
pub fn tools(made: mpsc::UnboundedSender<String>) -> Tools {
    let mut tools = Tools::new();
    for (name, effect) in [("look", Effect::Read), ("put", Effect::Idempotent), ("send", Effect::Once)] {
        let made = made.clone();
        let tool = function(name, "For tests", move |what: What, cx| {
            let made = made.clone();
            async move {
                made.send(format!("{name} {} {}", what.what, cx.idempotency_key)).expect("somebody listens");
                Ok(format!("{name} of {}", what.what))
            }
        });
        tools = tools.with(tool.effect(effect)).expect("the name is free");
    }
    let pay = function("pay", "For tests", move |what: What, cx| {
        let made = made.clone();
        async move {
            made.send(format!("pay {} {}", what.what, cx.idempotency_key)).expect("somebody listens");
            Ok(format!("paid {}", what.what))
        }
    });
    tools.with(pay.approval(Approval::Always)).expect("the name is free")
}

/// A world that outlives engines: a folder, and what tools did.
pub struct World {
    pub dir: TempDir,
    pub made: mpsc::UnboundedReceiver<String>,
    tools: Tools,
}

impl World {
    pub fn new() -> World {
        let (sender, made) = mpsc::unbounded_channel();
        World { dir: tempfile::tempdir().expect("a folder"), made, tools: tools(sender) }
    }

    pub fn catalog(&self) -> Catalog {
        Catalog { tools: self.tools.specs(), providers: vec!["scripted".to_owned(), "held".to_owned()] }
    }

    pub fn tools(&self) -> Tools {
        self.tools.clone()
    }

    /// The journal in the folder, also while another one has it open.
    pub async fn sqlite(&self) -> SqliteJournal {
        SqliteJournal::open_shared(self.dir.path().join("runs.db"), LEASE).await.expect("the journal opens")
    }

    /// Makes it look as if no process had said for long that it lives.
    pub async fn nobody_was_heard(&self) {
        let path = self.dir.path().join("runs.db");
        let mut connection =
            SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.expect("it opens");
        sqlx::raw_sql("UPDATE processes SET beat_at = 0")
            .execute(&mut connection)
            .await
            .expect("it is written");
    }

    /// An engine on the journal in the folder.
    pub async fn engine(&self, crew: &str, script: &str) -> Engine {
        self.engine_on(self.sqlite().await, crew, script).await
    }

    pub async fn engine_on(&self, journal: impl Journal, crew: &str, script: &str) -> Engine {
        let providers = Providers::new().with("scripted", Arc::new(Scripted::new()));
        self.engine_with(journal, providers, crew, script).await
    }

    pub async fn engine_with(
        &self,
        journal: impl Journal,
        providers: Providers,
        crew: &str,
        script: &str,
    ) -> Engine {
        Engine::builder()
            .journal(journal)
            .providers(providers)
            .tools(self.tools())
            .crew(load(crew, script, &self.catalog()))
            .cancel_grace(Duration::from_secs(2))
            .start()
            .await
            .expect("the engine starts")
    }

    /// Calls of `once` tools so far.
    pub fn sent(&mut self) -> usize {
        std::iter::from_fn(|| self.made.try_recv().ok()).filter(|call| call.starts_with("send")).count()
    }
}

pub fn start(crew: &str) -> StartRun {
    StartRun { crew: crew.to_owned(), input: "hello".to_owned(), ..StartRun::default() }
}

/// Waits until the run rests, and answers what it asks, until it has ended.
pub async fn finish(engine: &Engine, run: &RunId) -> RunView {
    for _ in 0..50 {
        let view = engine.wait(run).await.expect("there is such a run");
        if view.state.is_ended() {
            return view;
        }
        assert_eq!(view.state, RunState::Paused, "a run that nobody drives rests");
        let Some(open) = view.waits.first() else {
            engine.resume(run).await.expect("it is paused");
            continue;
        };
        let answer = match &open.what {
            WaitFor::Answer { .. } => Answer::Text { text: "the second".to_owned() },
            WaitFor::UnknownOutcome { tool, arguments, .. } => {
                let what = arguments["what"].as_str().expect("the tools here take `what`");
                Answer::Done { output: format!("{} {what}", if tool == "pay" { "paid" } else { "send of" }) }
            }
            WaitFor::Approval { arguments, .. } => {
                let answer = match arguments["what"].as_str() {
                    Some("too much") => Answer::Reject { reason: Some("too much".to_owned()) },
                    _ => Answer::Approve {},
                };
                let digest = open.what.digest();
                let decision = ApprovalDecision { wait: open.wait, answer, digest, by: None };
                engine.decide(run, vec![decision]).await.expect("it waits");
                continue;
            }
        };
        answer_it(engine, run, open.wait, answer).await;
    }
    panic!("the run asks without end");
}

pub async fn answer_it(engine: &Engine, run: &RunId, wait: WaitId, answer: Answer) {
    engine.answer(run, Some(wait), answer).await.expect("it waits");
}

/// All events of a run.
pub async fn log(engine: &Engine, run: &RunId) -> Vec<Recorded> {
    let stored = engine.journal().read(run, Seq(0), 100_000).await.expect("the journal can be read");
    stored.iter().map(|stored| stored.recorded.clone()).collect()
}

/// What a run came to: its outcome and the words of its messages, which do not depend on the order of events.
pub fn end(log: &[Recorded]) -> (Outcome, Vec<String>) {
    let mut said: Vec<String> = Vec::new();
    let mut outcome = None;
    for recorded in log {
        match &recorded.event {
            Event::ModelReplied { agent, reply, .. } => said.push(format!("{agent}: {}", reply.text)),
            Event::Joined { output, .. } => said.push(output.clone()),
            Event::RunEnded { outcome: end, .. } => outcome = Some(end.clone()),
            _ => {}
        }
    }
    said.sort();
    said.dedup();
    (outcome.expect("the run has ended"), said)
}

/// Looks again and again, until it is so. What is looked for happens by itself.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looking).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Reads a watch to its end: the types of its events, and the text of its deltas.
pub async fn read_all(mut watch: Watch) -> (Vec<String>, String) {
    let (mut types, mut text) = (Vec::new(), String::new());
    while let Some(items) = watch.next().await.expect("the journal can be read") {
        for item in items {
            match item {
                Item::Event(stored) => {
                    let json: serde_json::Value =
                        serde_json::from_slice(&stored.json).expect("events are JSON");
                    types.push(json["type"].as_str().expect("they have a type").to_owned());
                }
                Item::Delta(data) => {
                    let json: serde_json::Value = serde_json::from_slice(&data).expect("deltas are JSON");
                    text.push_str(json["text"].as_str().expect("they have text"));
                }
                Item::Snapshot { text: whole, .. } => text = whole,
                Item::Gap => {}
            }
        }
    }
    (types, text)
}

/// A provider whose replies wait until they are let go, and which tells when a request is dropped.
#[derive(Clone)]
pub struct Held {
    asked: mpsc::UnboundedSender<String>,
    dropped: mpsc::UnboundedSender<String>,
    gates: Arc<Mutex<BTreeMap<String, Arc<Semaphore>>>>,
}

/// What became of the requests to a [`Held`] provider.
pub struct Requests {
    pub asked: mpsc::UnboundedReceiver<String>,
    pub dropped: mpsc::UnboundedReceiver<String>,
}

impl Held {
    pub fn new() -> (Held, Requests) {
        let (asked, when_asked) = mpsc::unbounded_channel();
        let (dropped, when_dropped) = mpsc::unbounded_channel();
        (
            Held { asked, dropped, gates: Arc::default() },
            Requests { asked: when_asked, dropped: when_dropped },
        )
    }

    /// Lets one reply of an agent go.
    pub fn release(&self, agent: &str) {
        self.gate(agent).add_permits(1);
    }

    fn gate(&self, agent: &str) -> Arc<Semaphore> {
        self.gates
            .lock()
            .expect("no test panics in here")
            .entry(agent.to_owned())
            .or_insert_with(|| Arc::new(Semaphore::new(0)))
            .clone()
    }
}

struct Told(mpsc::UnboundedSender<String>, Option<String>);

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(agent) = self.1.take() {
            // The test may be over.
            let _ = self.0.send(agent);
        }
    }
}

#[async_trait]
impl Provider for Held {
    async fn reply(&self, request: &ModelRequest, deltas: &dyn Deltas) -> Result<Reply, ProviderError> {
        let agent = request.agent.to_string();
        let mut told = Told(self.dropped.clone(), Some(agent.clone()));
        // The test may be over.
        let _ = self.asked.send(agent.clone());
        deltas.text("thinking");
        self.gate(&agent).acquire().await.expect("the gate stays open").forget();
        told.1 = None;
        let mut reply = Scripted::new().reply(request, &boathouse::provider::NoDeltas).await?;
        reply.text.insert_str(0, "thinking");
        Ok(reply)
    }
}
