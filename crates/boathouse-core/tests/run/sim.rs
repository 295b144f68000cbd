//! A driver without a world: models and tools answer from a table, time passes only when told to.

use std::collections::BTreeMap;
use std::sync::Arc;

use boathouse_core::Run;
use boathouse_core::crew::Crew;
use boathouse_core::ids::{CallId, RunId, Seq, ThreadId, Timestamp};
use boathouse_core::message::{Author, Finish, Message, NativeCall, Reply, ResultStatus, ToolResult, Usage};
use boathouse_core::run::admit::{Command, Refused, admit};
use boathouse_core::run::branch::{CallPlace, Step};
use boathouse_core::run::call::{self, Work};
use boathouse_core::run::decide::{Decision, Wanted, decide};
use boathouse_core::run::event::{
    CallEnd, CallError, CallErrorKind, Event, FORMAT, OnDisconnect, Outcome, Recorded, RunLimits, RunStarted,
    Timer,
};
use boathouse_core::run::request::{ModelRequest, PromptMessage};

/// What models say: by agent, one reply after the other. An agent that runs out says `.`.
#[derive(Clone, Debug, Default)]
pub struct Script(pub BTreeMap<String, Vec<Said>>);

/// What a model gives.
#[derive(Clone, Debug)]
pub enum Said {
    Reply(Reply),
    /// The call gives this error for as many tries.
    Fails(CallErrorKind, u32),
}

pub fn text(text: &str) -> Said {
    Said::Reply(Reply { text: text.to_owned(), calls: Vec::new(), usage: None, finish: Finish::Stop })
}

pub fn tools(text: &str, calls: &[(&str, &str)]) -> Said {
    let calls = calls.iter().map(|(tool, arguments)| NativeCall {
        id: format!("p{tool}"),
        tool: (*tool).to_owned(),
        arguments: (*arguments).to_owned(),
    });
    let usage = Some(Usage { input_tokens: 10, output_tokens: 2 });
    Said::Reply(Reply { text: text.to_owned(), calls: calls.collect(), usage, finish: Finish::ToolCalls })
}

/// A round of one call of `Look`.
pub fn look() -> Said {
    tools("again", &[("Look", "{}")])
}

pub fn fails(kind: CallErrorKind) -> Said {
    Said::Fails(kind, u32::MAX)
}

pub fn script<const N: usize>(lines: [(&str, Vec<Said>); N]) -> Script {
    Script(lines.into_iter().map(|(agent, said)| (agent.to_owned(), said)).collect())
}

/// A run, its log, and what the world answers it.
#[derive(Clone, Debug)]
pub struct Sim {
    pub run: Run,
    pub log: Vec<Recorded>,
    pub script: Arc<Script>,
    pub now: Timestamp,
    /// Every request that was made to a model.
    pub prompts: Vec<Arc<ModelRequest>>,
    /// The messages of its thread.
    pub thread: rpds::VectorSync<Arc<Message>>,
}

impl Sim {
    pub fn new(crew: Crew, script: Script) -> Sim {
        Sim::with(crew, script, |_| {})
    }

    pub fn with(crew: Crew, script: Script, change: impl FnOnce(&mut RunStarted)) -> Sim {
        Sim::on_thread(&[], crew, script, change)
    }

    /// A run on a thread that has these messages.
    pub fn on_thread(
        thread: &[Message],
        crew: Crew,
        script: Script,
        change: impl FnOnce(&mut RunStarted),
    ) -> Sim {
        let mut started = RunStarted {
            format: FORMAT,
            crew: crew.name.clone(),
            crew_hash: crew.hash.to_string(),
            thread: ThreadId::from("thread"),
            input: "hello".to_owned(),
            history: Vec::new(),
            start_at: None,
            vars: BTreeMap::new(),
            metadata: BTreeMap::new(),
            limits: RunLimits::default(),
            on_disconnect: OnDisconnect::Continue,
            verbose: false,
            forked_from: None,
            pinned: None,
            queued: None,
        };
        change(&mut started);
        let now = Timestamp(1_000_000);
        let first = Recorded { seq: Seq(1), at: now, event: Event::RunStarted(Box::new(started)) };
        let thread: rpds::VectorSync<Arc<Message>> = thread.iter().cloned().map(Arc::new).collect();
        let run = Run::begin_on(thread.clone(), RunId::from("run"), Arc::new(crew), &first)
            .expect("the crew is the one it names")
            .on_thread(thread.clone());
        let script = Arc::new(script);
        let mut sim = Sim { run, log: vec![first], script, now, prompts: Vec::new(), thread };
        sim.settle();
        sim
    }

    /// The same run, read from the first `events` of its log by another process.
    pub fn crashed_after(&self, events: usize) -> Sim {
        let log: Vec<Recorded> = self.log[..events].iter().map(through_json).collect();
        let (id, crew, thread) = (self.run.id().clone(), self.run.crew().clone(), self.thread.clone());
        let mut run = Run::begin_on(thread.clone(), id, crew, &log[0])
            .expect("the log begins well")
            .on_thread(thread.clone());
        for recorded in &log[1..] {
            run.apply(recorded).expect("the log folds");
        }
        let script = self.script.clone();
        let mut sim = Sim { run, log, script, now: self.now, prompts: Vec::new(), thread };
        if let Some(event) = call::taken_over(&sim.run) {
            sim.record(event);
        }
        sim.settle();
        sim
    }

    pub fn record(&mut self, event: Event) {
        let recorded = Recorded { seq: self.run.seq().next(), at: self.now, event };
        self.run.apply(&recorded).expect("what was decided fits");
        self.log.push(recorded);
    }

    /// Records decisions and starts wanted calls until nothing more happens by itself.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            match decide(&self.run) {
                Decision::Record(event) => self.record(event),
                Decision::Rest { .. } => return,
                Decision::Await { calls, .. } => {
                    if self.stop_unwanted(&calls) {
                        continue;
                    }
                    let ready: Vec<Wanted> = calls.into_iter().filter(|wanted| !wanted.started).collect();
                    if ready.is_empty() {
                        return;
                    }
                    for wanted in ready {
                        self.now = self.now.max(wanted.not_before.unwrap_or(self.now));
                        let (event, work) = call::start(&self.run, &wanted).expect("a wanted call can start");
                        self.record(event);
                        if let Work::Model(request) = work {
                            assert_valid(&request);
                            self.prompts.push(Arc::new(*request));
                        }
                    }
                }
            }
        }
        panic!("the run never waits: {:#?}", self.log.last());
    }

    fn stop_unwanted(&mut self, wanted: &[Wanted]) -> bool {
        let stopped: Vec<CallId> = self
            .open()
            .into_iter()
            .filter(|open| !wanted.iter().any(|wanted| wanted.call == *open))
            .collect();
        for call in &stopped {
            self.record(Event::CallStopped { call: *call, end: CallEnd::Disconnected });
        }
        !stopped.is_empty()
    }

    /// Calls in flight.
    pub fn open(&self) -> Vec<CallId> {
        self.run.open_calls().map(|(call, _)| call).collect()
    }

    /// The world answers a call.
    pub fn answer_call(&mut self, call: CallId) {
        let event = match self.run.find_call(call).expect("the call is open") {
            CallPlace::Model(branch, model) => {
                let agent = self.run.crew().agent(branch.agent);
                let (speaker, at) = match branch.step {
                    Step::Summarizing(_) => ("summary", self.summaries()),
                    _ => (agent.id.as_str(), branch.replies_of(branch.agent) as usize),
                };
                let said = self.script.0.get(speaker).and_then(|said| said.get(at));
                match said.cloned().unwrap_or_else(|| text(".")) {
                    Said::Fails(kind, tries) if model.attempt <= tries => {
                        let error = CallError { kind, message: "no".to_owned(), retry_after_ms: None };
                        call::attempt_failed(&self.run, call, error, 0, self.now)
                            .expect("the try is in flight")
                    }
                    Said::Fails(..) => self.replied(call, text("after all")),
                    said @ Said::Reply(_) => self.replied(call, said),
                }
            }
            CallPlace::Tool(branch, slot) => Event::ToolReturned {
                branch: branch.id,
                result: ToolResult {
                    call,
                    status: ResultStatus::Success,
                    output: format!("{} of {}: {}", slot.call.tool, branch.id, slot.call.arguments),
                },
                took_ms: 0,
            },
        };
        self.record(event);
        self.settle();
    }

    fn replied(&self, call: CallId, said: Said) -> Event {
        let Said::Reply(reply) = said else { unreachable!("only replies get here") };
        call::replied(&self.run, call, reply, 0).expect("the call is open")
    }

    /// Summaries so far.
    fn summaries(&self) -> usize {
        self.log.iter().filter(|recorded| matches!(recorded.event, Event::Summarized { .. })).count()
    }

    /// Somebody says something to the run.
    pub fn command(&mut self, command: Command) -> Result<(), Refused> {
        let events = admit(&self.run, &command)?;
        if !events.is_empty() {
            events.into_iter().for_each(|event| self.record(event));
            self.settle();
        }
        Ok(())
    }

    /// Time passes until the next limit, if there is one.
    pub fn wait_for_timer(&mut self) -> Option<Timer> {
        let Decision::Await { until: Some((timer, at)), .. } = decide(&self.run) else { return None };
        self.now = at;
        self.record(Event::TimedOut { timer });
        self.settle();
        Some(timer)
    }

    /// Answers calls, the oldest first, until nothing is in flight.
    pub fn go(mut self) -> Sim {
        for _ in 0..10_000 {
            let Some(call) = self.open().first().copied() else { return self };
            self.answer_call(call);
        }
        panic!("the run never rests");
    }

    pub fn outcome(&self) -> &Outcome {
        self.run.outcome().unwrap_or_else(|| panic!("the run has not ended: {:#?}", self.run.main().step))
    }

    pub fn output(&self) -> &str {
        match self.outcome() {
            Outcome::Completed { output } => output,
            other => panic!("the run did not complete: {other:?}"),
        }
    }

    /// The main history, in which ids of calls, which depend on the order of events, are left out.
    pub fn history(&self) -> Vec<String> {
        self.run.history().iter().map(|message| line(message)).collect()
    }

    /// Types of the events.
    pub fn types(&self) -> Vec<String> {
        self.log.iter().map(|recorded| kind(&recorded.event)).collect()
    }

    /// Agents in the order in which they were called.
    pub fn path(&self) -> Vec<String> {
        let mut path: Vec<String> = Vec::new();
        for recorded in &self.log {
            if let Event::ModelReplied { agent, .. } = &recorded.event
                && path.last().map(String::as_str) != Some(agent.as_str())
            {
                path.push(agent.to_string());
            }
        }
        path
    }
}

pub fn kind(event: &Event) -> String {
    let json = serde_json::to_value(event).expect("events are JSON");
    json["type"].as_str().expect("events have a type").to_owned()
}

fn through_json(recorded: &Recorded) -> Recorded {
    let read = Recorded::from_json(&recorded.to_json()).expect("what was written can be read");
    assert_eq!(&read, recorded, "reading gives what was written");
    read
}

fn line(message: &Message) -> String {
    let from = match &message.from {
        Author::User => "user".to_owned(),
        Author::System => "system".to_owned(),
        Author::Agent(agent) => agent.as_ref().map_or_else(|| "assistant".to_owned(), ToString::to_string),
        Author::Group(group) => format!("group {group}"),
    };
    let calls: Vec<String> =
        message.calls.iter().map(|call| format!("{}({})", call.tool, call.arguments)).collect();
    let results: Vec<String> =
        message.results.iter().map(|result| format!("{:?}: {}", result.status, result.output)).collect();
    format!("{from}: {}{calls:?}{results:?}", message.content())
}

/// A prompt that every provider takes: it ends with somebody else's words, and each call has its one result.
pub fn assert_valid(request: &ModelRequest) {
    assert!(!request.messages.is_empty(), "a prompt has messages");
    assert!(
        !matches!(request.messages.last(), Some(PromptMessage::Assistant { .. })),
        "the last word is not its own"
    );
    let mut open: Vec<String> = Vec::new();
    for message in &request.messages {
        match message {
            PromptMessage::Tool { id, .. } => {
                let at = open.iter().position(|call| call == id);
                open.remove(at.unwrap_or_else(|| panic!("a result without its call: {id}")));
            }
            PromptMessage::Assistant { calls, .. } => {
                assert!(open.is_empty(), "calls without a result: {open:?}");
                open.extend(calls.iter().map(|call| call.id.clone()));
            }
            PromptMessage::System { .. } | PromptMessage::User { .. } => {
                assert!(open.is_empty(), "calls without a result: {open:?}");
            }
        }
    }
    assert!(open.is_empty(), "calls without a result: {open:?}");
}
