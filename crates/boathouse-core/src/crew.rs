//! A crew: a compiled, validated, immutable team. Every reference is resolved, every default filled in.
//!
//! [`check`] is the only place that makes one, from the files as written. A `Crew` never changes; editing its
//! files makes another one with another hash, and runs keep the one they began with.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::AgentId;

pub use approval::Approval;

pub mod approval;
pub mod argv;
pub mod check;
pub mod file;
pub mod graph;
pub mod http;
pub mod mcp;
pub mod problem;
pub mod yaml;

/// The files that a crew was compiled from: relative path to text. Enough to compile it again.
pub type Source = BTreeMap<String, String>;

/// A compiled crew.
#[derive(Clone, Debug)]
pub struct Crew {
    /// Its `name`, else its folder's.
    pub name: String,
    /// What it is for, in its author's words.
    pub description: String,
    /// SHA-256 over its source, in hexadecimal.
    pub hash: Arc<str>,
    /// What it was compiled from.
    pub source: Source,
    /// In the order of the file. Never empty.
    pub agents: Vec<Agent>,
    /// Where a run begins.
    pub entry: AgentIx,
    /// Parallel groups in the order of the file.
    pub groups: Vec<Group>,
    /// Tools that some agent of the crew may call.
    pub tools: Vec<ToolDef>,
    /// How agents hand over.
    pub handoff: HandoffStyle,
    /// Limits and timeouts.
    pub settings: Settings,
    /// Placeholders that a run may fill in, with their defaults; `None` where the run must bring a value.
    pub vars: BTreeMap<String, Option<String>>,
}

impl Crew {
    /// The agent at an index that this crew gave out.
    pub fn agent(&self, ix: AgentIx) -> &Agent {
        &self.agents[ix.0]
    }

    /// The group at an index that this crew gave out.
    pub fn group(&self, ix: GroupIx) -> &Group {
        &self.groups[ix.0]
    }

    /// The tool at an index that this crew gave out.
    pub fn tool(&self, ix: ToolIx) -> &ToolDef {
        &self.tools[ix.0]
    }

    /// Finds an agent by its id.
    pub fn find_agent(&self, id: &str) -> Option<AgentIx> {
        self.agents.iter().position(|agent| agent.id.as_str() == id).map(AgentIx)
    }

    /// Finds a parallel group by its name.
    pub fn find_group(&self, name: &str) -> Option<GroupIx> {
        self.groups.iter().position(|group| group.name == name).map(GroupIx)
    }

    /// The id of the agent or the name of the group that a route leads to; `None` for the end.
    pub fn route_name(&self, route: Route) -> Option<&str> {
        match route {
            Route::Agent(ix) => Some(self.agent(ix).id.as_str()),
            Route::Group(ix) => Some(&self.group(ix).name),
            Route::End => None,
        }
    }
}

/// An agent of one crew, by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AgentIx(pub usize);

/// A parallel group of one crew, by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupIx(pub usize);

/// A tool of one crew, by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ToolIx(pub usize);

/// Where a run goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// To an agent.
    Agent(AgentIx),
    /// To a parallel group.
    Group(GroupIx),
    /// The run completes.
    End,
}

/// A persona with a prompt, a model, tools, and its place in the routing.
#[derive(Clone, Debug)]
pub struct Agent {
    /// The id that routes use.
    pub id: AgentId,
    /// The name that people see.
    pub name: String,
    /// Its role, for the prompt.
    pub role: String,
    /// Its description, for the prompt and for whoever hands over to it.
    pub description: String,
    /// Its backstory, for the prompt.
    pub backstory: String,
    /// Its own system prompt with `{{placeholders}}`; `None` gives the generic one.
    pub system_prompt: Option<String>,
    /// The primary model, then backups. Never empty.
    pub models: Vec<Model>,
    /// Sampling parameters.
    pub parameters: Parameters,
    /// How the agent asks for tools.
    pub tool_calls: ToolCallStyle,
    /// Tools it may call.
    pub tools: Vec<ToolIx>,
    /// Its routing signals in the order of the file.
    pub signals: Vec<Signal>,
    /// Pause after a reply without a signal, until a person answers.
    pub wait_for_signal: bool,
    /// JSON Schema of what that person may answer; `None` takes any text.
    pub answer_schema: Option<Value>,
    /// The run completes after its reply.
    pub terminal: bool,
    /// `routing.defaults` for it: `None` if unset; `Some(Route::End)` if null.
    pub default_route: Option<Route>,
    /// Agents to hand over to when nothing else says where.
    pub handoff_targets: Vec<AgentIx>,
}

/// A text that an agent writes at the end of its reply to say where the run goes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// The text as written in the file, in Unicode NFC.
    pub text: String,
    /// Where it leads. [`Route::End`] for an empty or null target.
    pub route: Route,
    /// What it means, for the model.
    pub description: String,
}

/// Which model answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Model {
    /// `openai`, `ollama`, `scripted`, ...
    pub provider: String,
    /// The model's name there.
    pub model: String,
    /// A base URL other than the provider's own.
    pub base_url: Option<String>,
}

/// Sampling parameters; `None` sends nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// 0 is sent as 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// At most this many tokens of reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// Nucleus sampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Texts that end the reply.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub stop: Vec<String>,
    /// For replies that repeat, where the provider can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// How hard a reasoning model thinks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<String>,
    /// Passed through to the provider as further keys of the request.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty", default)]
    pub extra: serde_json::Map<String, Value>,
}

/// How an agent asks for tools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolCallStyle {
    /// Through the provider's interface; calls written in the text count too if the reply has no native ones.
    #[default]
    Auto,
    /// Only through the provider's interface.
    Native,
    /// Only as `Tool(args)` lines: for models without native tool calls.
    Text,
}

/// How agents hand over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandoffStyle {
    /// By routing signals in the text. The Go system's way.
    #[default]
    Signal,
    /// By `transfer_to_<target>` tools.
    Tool,
    /// By tools where the agent can call tools natively, and by signals always.
    Auto,
}

/// Agents that work side by side as branches, then join.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name, which routes use.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its agents, in the order of the file. Never empty.
    pub agents: Vec<AgentIx>,
    /// When it is done.
    pub join: Join,
    /// What a failing branch does to the others.
    pub on_error: OnError,
    /// Active time for the whole group, in milliseconds.
    pub timeout_ms: u64,
    /// How the branches' results become one message.
    pub aggregate: Aggregate,
    /// Who receives the aggregate; `None` completes the run with it.
    pub next_agent: Option<AgentIx>,
}

/// When a group is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Join {
    /// When every branch has ended.
    #[default]
    All,
    /// When one branch has completed.
    First,
    /// When so many branches have completed.
    Quorum(usize),
}

/// What a failing branch does to the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// They go on.
    #[default]
    Continue,
    /// They are cancelled and the run fails.
    FailFast,
}

/// How the branches' results become one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Aggregate {
    /// The Go system's block, one section a branch.
    #[default]
    Text,
    /// `{results, summary}` as JSON.
    Json,
    /// Replies joined by blank lines, equal ones once.
    Merge,
    /// A minijinja template over `results` and `summary`.
    Template(String),
}

/// A tool that an agent of the crew may call: what it promises, and how it is run.
#[derive(Clone, Debug)]
pub struct ToolDef {
    /// What models and the loop need to know.
    pub spec: Arc<ToolSpec>,
    /// How it is run.
    pub kind: ToolKind,
}

/// How a tool is run.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolKind {
    /// By whatever the program registered under its name: a built-in or a Rust function.
    Registered,
    /// By starting a program.
    Command(Arc<CommandSpec>),
    /// By sending an HTTP request.
    Http(Arc<http::HttpSpec>),
    /// By an MCP server.
    Mcp(Arc<mcp::McpSpec>),
}

/// A subprocess tool. Argument lists only: no shell ever reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandSpec {
    /// What may be started.
    pub run: CommandLine,
    /// The working directory, relative to the crew's folder.
    pub cwd: Option<String>,
    /// Names of environment variables that are handed on, beside `PATH`, `HOME`, `LANG` and `TZ`.
    pub env: Vec<String>,
}

/// What a command tool may start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandLine {
    /// One program; `{name}` in an element is replaced by the argument of that name, which never leaves the element.
    Argv(Vec<String>),
    /// An allow-list: the argument `command` names one of these.
    Allow(BTreeMap<String, Vec<String>>),
}

/// What models and the loop need to know of a tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// Its name, `[A-Za-z_][A-Za-z0-9_-]{0,63}`.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of its arguments: an object schema.
    pub parameters: Value,
    /// Whether its call may be made again.
    pub effect: Effect,
    /// What happens when the outcome of a `once` call is not known.
    pub on_unknown: OnUnknown,
    /// Which calls need a person's approval.
    #[serde(default)]
    pub approval: Approval,
    /// How long an approval is waited for, in milliseconds; `None` takes the crew's `approval_timeout_seconds`.
    #[serde(default)]
    pub approval_timeout_ms: Option<u64>,
    /// How long one attempt may take, in milliseconds; `None` takes the crew's `tool_execution_timeout_seconds`.
    pub timeout_ms: Option<u64>,
    /// Further attempts after a failed one, for `read` and `idempotent` tools.
    pub retries: u32,
    /// Bytes of output that are kept.
    pub max_output_bytes: usize,
    /// Order of parameters for positional arguments: required ones as listed, then the others as written.
    pub positional: Vec<String>,
}

/// Output that a tool keeps unless it says otherwise: 32 KiB.
pub const DEFAULT_OUTPUT_BYTES: usize = 32 * 1024;

impl ToolSpec {
    /// A spec with the defaults: effect `once`, `on_unknown: ask`, no approval, no retries, 32 KiB of output.
    pub fn new(name: impl Into<String>, description: impl Into<String>, parameters: Value) -> ToolSpec {
        let positional = positional_order(&parameters);
        ToolSpec {
            name: name.into(),
            description: description.into(),
            parameters,
            effect: Effect::Once,
            on_unknown: OnUnknown::Ask,
            approval: Approval::Never,
            approval_timeout_ms: None,
            timeout_ms: None,
            retries: 0,
            max_output_bytes: DEFAULT_OUTPUT_BYTES,
            positional,
        }
    }

    /// The same with another effect.
    pub fn effect(mut self, effect: Effect) -> ToolSpec {
        self.effect = effect;
        self
    }
}

/// Whether a text can name a tool: `[A-Za-z_][A-Za-z0-9_-]{0,63}`.
pub fn is_tool_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

/// Required parameters in their order, then the other properties in the order of the schema's map.
pub fn positional_order(parameters: &Value) -> Vec<String> {
    let required = parameters.get("required").and_then(Value::as_array).into_iter().flatten();
    let mut order: Vec<String> = required.filter_map(|name| name.as_str().map(str::to_owned)).collect();
    if let Some(properties) = parameters.get("properties").and_then(Value::as_object) {
        for name in properties.keys() {
            if !order.contains(name) {
                order.push(name.clone());
            }
        }
    }
    order
}

/// Whether a tool's call may be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It changes nothing.
    Read,
    /// It may be repeated; it always receives the same key.
    Idempotent,
    /// It is never repeated silently.
    Once,
}

/// What happens when the outcome of a `once` call is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknown {
    /// The run pauses and shows what was attempted.
    Ask,
    /// The model gets an error result.
    Fail,
    /// The model is told that it was done.
    AssumeDone,
    /// It is made again.
    Rerun,
}

/// Limits and timeouts of a crew, defaults filled in. Times are in milliseconds of active time.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Routes that a run may take. Default 5.
    pub max_handoffs: u32,
    /// Rounds of tool calls per turn. Default 10.
    pub max_rounds: u32,
    /// Active time of a run. Default 300 s.
    pub timeout_ms: u64,
    /// Active time of a group that sets none. Default 60 s.
    pub parallel_timeout_ms: u64,
    /// Time of a tool call whose tool sets none. Default 30 s.
    pub tool_timeout_ms: u64,
    /// Tool calls of one reply that run at once. Default 8.
    pub tool_concurrency: usize,
    /// How long an approval is waited for, by the clock on the wall; `None` waits for ever.
    pub approval_timeout_ms: Option<u64>,
    /// Attempts of a model call on one model before the next model is tried. Default 3.
    pub model_attempts: u32,
    /// Bounds of the pause between attempts of a model call. Default 100 ms and 5 s.
    pub retry_backoff_ms: (u64, u64),
    /// Messages of history in a prompt, beside the first user message; `None` sends all.
    pub keep_recent: Option<usize>,
    /// Tokens of history in a prompt, estimated; `None` sets no bound.
    pub context_window: Option<usize>,
    /// How much of that window is made free when it is full, in percent. Default 20.
    pub context_trim_percent: u32,
    /// Whether what no longer fits is summarised by the agent's model, or just left out.
    pub summarize: bool,
    /// Bytes of one tool's output in a prompt; caps every tool of the crew.
    pub max_tool_output: Option<usize>,
    /// Bytes of all tool outputs of one round in a prompt.
    pub max_total_tool_output: Option<usize>,
    /// The language that agents are told to answer in; `None` says nothing.
    pub language: Option<String>,
    /// Named in the generic prompt; `None` says nothing.
    pub organization: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            max_handoffs: 5,
            max_rounds: 10,
            timeout_ms: 300_000,
            parallel_timeout_ms: 60_000,
            tool_timeout_ms: 30_000,
            tool_concurrency: 8,
            approval_timeout_ms: None,
            model_attempts: 3,
            retry_backoff_ms: (100, 5_000),
            keep_recent: None,
            context_window: None,
            context_trim_percent: 20,
            summarize: false,
            max_tool_output: None,
            max_total_tool_output: None,
            language: None,
            organization: None,
        }
    }
}
