//! What became of a run, as far as tests ask about it: read from its log and from nothing else.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use boathouse_core::Run;
use boathouse_core::crew::Crew;
use boathouse_core::ids::{AgentId, BranchId, CallId, RunId};
use boathouse_core::message::{ResultStatus, ToolResult};
use boathouse_core::run::ReplayError;
use boathouse_core::run::event::{Event, Outcome, Recorded, RunState};
use serde::Serialize;
use serde_json::Value;

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Facts {
    /// Its state.
    pub state: RunState,
    /// The limit that stopped it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// The error that it failed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Who had it, in order.
    pub path: Vec<Step>,
    /// Its tool calls, in the order in which they were asked for.
    pub calls: Vec<Call>,
    /// Its output; of a run that has not ended with one, what was said last.
    pub output: String,
    /// Its pauses, in order.
    pub pauses: Vec<Pause>,
    /// What it needed.
    pub needed: Needed,
}

/// A place on the path of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Step {
    /// An agent.
    Agent(AgentId),
    /// The agents of a parallel group.
    Group(Vec<AgentId>),
}

/// A tool call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Call {
    /// Its id in the log.
    pub call: CallId,
    /// The tool.
    pub tool: String,
    /// Its arguments, as the agent wrote them.
    pub arguments: Value,
    /// Whose it was.
    pub agent: AgentId,
    /// Whether the tool did its work; `None` for a call that has no result yet.
    pub status: Option<ResultStatus>,
    /// What the model was told.
    pub result: String,
}

/// A pause.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pause {
    /// Who asked.
    pub agent: AgentId,
    /// What the agent said last.
    pub question: String,
}

/// What a run needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Needed {
    /// Replies of models.
    pub model_calls: u64,
    /// Tool calls.
    pub tool_calls: u64,
    /// Rounds of tool calls.
    pub rounds: u64,
    /// Routes taken.
    pub handoffs: u64,
    /// Tokens of prompts and replies.
    pub tokens: u64,
    /// Active time in milliseconds.
    pub active_ms: u64,
}

impl Facts {
    /// Reads a log. The crew must be the one that the run began with.
    pub fn of<'a>(
        crew: &Arc<Crew>,
        log: impl IntoIterator<Item = &'a Recorded> + Clone,
    ) -> Result<Facts, ReplayError> {
        let run = Run::replay(RunId::from("test"), crew.clone(), log.clone())?;
        let mut reader = Reader {
            crew,
            last: HashMap::new(),
            path: Vec::new(),
            calls: Vec::new(),
            pauses: Vec::new(),
            rounds: 0,
            replies: 0,
        };
        for recorded in log {
            reader.take(&recorded.event);
        }
        let Reader { path, mut calls, pauses, rounds, replies, .. } = reader;
        let results = results(&run);
        for call in &mut calls {
            if let Some(result) = results.get(&call.call) {
                call.settle(result);
            }
        }
        let (limit, error, output) = match run.outcome() {
            Some(Outcome::Completed { output }) => (None, None, output.clone()),
            Some(Outcome::LimitReached { limit, output }) => (Some(limit.clone()), None, output.clone()),
            Some(Outcome::Failed { error, .. }) => (None, Some(error.clone()), run.main().last_reply.clone()),
            Some(Outcome::Cancelled { .. }) | None => (None, None, run.main().last_reply.clone()),
        };
        let needed = Needed {
            model_calls: replies,
            tool_calls: calls.len() as u64,
            rounds,
            handoffs: u64::from(run.handoffs()),
            tokens: run.usage().input_tokens.saturating_add(run.usage().output_tokens),
            active_ms: run.active_ms(),
        };
        Ok(Facts { state: run.state(), limit, error, path, calls, output, pauses, needed })
    }
}

/// Every result that a model was told, in whichever branch.
fn results(run: &Run) -> BTreeMap<CallId, ToolResult> {
    let messages = run.branches().iter().flat_map(|branch| branch.history.iter());
    messages.flat_map(|message| &message.results).map(|result| (result.call, result.clone())).collect()
}

impl Call {
    fn settle(&mut self, result: &ToolResult) {
        self.status = Some(result.status);
        self.result.clone_from(&result.output);
    }
}

struct Reader<'a> {
    crew: &'a Crew,
    /// Who spoke last in a branch, and what they said.
    last: HashMap<BranchId, (AgentId, String)>,
    path: Vec<Step>,
    calls: Vec<Call>,
    pauses: Vec<Pause>,
    rounds: u64,
    replies: u64,
}

impl Reader<'_> {
    fn take(&mut self, event: &Event) {
        match event {
            Event::RunStarted(started) => {
                let entry = || self.crew.agent(self.crew.entry).id.clone();
                self.path.push(Step::Agent(started.start_at.clone().unwrap_or_else(entry)));
            }
            Event::ModelReplied { branch, agent, reply, .. } => {
                self.replies += 1;
                self.last.insert(*branch, (agent.clone(), reply.text.clone()));
            }
            Event::RoundStarted { branch, calls, .. } => {
                let Some((agent, _)) = self.last.get(branch) else { return };
                let before = self.calls.len();
                for planned in calls {
                    if self.is_transfer(&planned.call.tool) {
                        continue;
                    }
                    let mut call = Call {
                        call: planned.call.call,
                        tool: planned.call.tool.clone(),
                        arguments: planned.call.arguments.clone(),
                        agent: agent.clone(),
                        status: None,
                        result: String::new(),
                    };
                    if let Some(result) = &planned.settled {
                        call.settle(result);
                    }
                    self.calls.push(call);
                }
                if self.calls.len() > before {
                    self.rounds += 1;
                }
            }
            Event::HandedOff { branch: BranchId::MAIN, to, .. } => self.path.push(Step::Agent(to.clone())),
            Event::Forked { branches, .. } => {
                self.path.push(Step::Group(branches.iter().map(|(_, agent)| agent.clone()).collect()));
            }
            Event::WaitOpened { branch, agent, .. } => {
                let question = self.last.get(branch).map(|(_, text)| text.clone()).unwrap_or_default();
                self.pauses.push(Pause { agent: agent.clone(), question });
            }
            _ => {}
        }
    }

    /// Whether it hands over instead of calling a tool.
    fn is_transfer(&self, tool: &str) -> bool {
        tool.starts_with("transfer_to_") && !self.crew.tools.iter().any(|def| def.spec.name == tool)
    }
}
