//! What a test expects of a run.

use std::sync::Arc;

use boathouse_core::ids::AgentId;
use boathouse_core::message::ResultStatus;
use boathouse_core::run::event::RunState;
use jsonschema::Validator;
use regex::Regex;
use serde_json::{Map, Value};

use super::facts::Step;

/// What must come of a run. All of it must hold.
#[derive(Clone, Debug)]
pub struct Expect {
    /// How it ends.
    pub state: RunState,
    /// The limit that stopped it.
    pub limit: Option<String>,
    /// A check of the error that it failed with.
    pub error: Option<TextCheck>,
    /// Who had it, in order.
    pub path: Option<Vec<Step>>,
    /// Checks of its tool calls.
    pub tools: Vec<ToolsCheck>,
    /// A check of its output.
    pub output: Option<TextCheck>,
    /// Values that JSON pointers into its output lead to.
    pub json_at: Vec<(String, Value)>,
    /// A JSON Schema for its output.
    pub json_schema: Option<Arc<Validator>>,
    /// How often it pauses, and for what.
    pub pauses: Option<PausesCheck>,
    /// What it may need.
    pub at_most: AtMost,
}

impl Default for Expect {
    /// That the run completes, and nothing else.
    fn default() -> Expect {
        Expect {
            state: RunState::Completed,
            limit: None,
            error: None,
            path: None,
            tools: Vec::new(),
            output: None,
            json_at: Vec::new(),
            json_schema: None,
            pauses: None,
            at_most: AtMost::default(),
        }
    }
}

/// A check of a text. All of it must hold.
#[derive(Clone, Debug, Default)]
pub struct TextCheck {
    /// The text, apart from space around it.
    pub equals: Option<String>,
    /// What it contains.
    pub contains: Vec<String>,
    /// What it does not contain.
    pub not_contains: Vec<String>,
    /// What matches somewhere in it.
    pub regex: Vec<Regex>,
}

/// A check of the tool calls of a run, in the order in which they were asked for.
#[derive(Clone, Debug)]
pub struct ToolsCheck {
    /// How the calls are compared.
    pub how: Among,
    /// The calls.
    pub calls: Vec<CallCheck>,
}

/// How expected calls are found among those of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Among {
    /// They are all calls, in this order.
    Exactly,
    /// They come in this order, with others between them.
    InOrder,
    /// They come in any order, each one its own, among others.
    AnyOrder,
    /// None of them comes.
    Never,
}

impl Among {
    /// Its key in a test file.
    pub fn key(self) -> &'static str {
        match self {
            Among::Exactly => "exactly",
            Among::InOrder => "in_order",
            Among::AnyOrder => "any_order",
            Among::Never => "never",
        }
    }
}

/// One expected call. All of it must hold.
#[derive(Clone, Debug)]
pub struct CallCheck {
    /// The tool.
    pub tool: String,
    /// Arguments that it has.
    pub arguments: Map<String, Value>,
    /// Whether it has no other arguments.
    pub exact: bool,
    /// Whose it is.
    pub agent: Option<AgentId>,
    /// Whether the tool did its work.
    pub status: Option<ResultStatus>,
    /// A check of what the model was told.
    pub result: Option<TextCheck>,
}

/// How often a run pauses, and for what.
#[derive(Clone, Debug)]
pub enum PausesCheck {
    /// So many times.
    Count(usize),
    /// Once for each of these, in order.
    Each(Vec<PauseCheck>),
}

/// One expected pause.
#[derive(Clone, Debug, Default)]
pub struct PauseCheck {
    /// Who asks.
    pub agent: Option<AgentId>,
    /// A check of what the agent said.
    pub question: Option<TextCheck>,
}

/// What a run may need.
#[derive(Clone, Copy, Debug, Default)]
pub struct AtMost {
    /// Replies of models.
    pub model_calls: Option<u64>,
    /// Tool calls.
    pub tool_calls: Option<u64>,
    /// Rounds of tool calls.
    pub rounds: Option<u64>,
    /// Routes taken.
    pub handoffs: Option<u64>,
    /// Tokens of prompts and replies.
    pub tokens: Option<u64>,
    /// Active time in milliseconds.
    pub active_ms: Option<u64>,
}
