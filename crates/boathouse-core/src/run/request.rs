//! What a model is asked: a prompt in the form that every provider can translate.

use std::sync::Arc;

use serde_json::Value;

use crate::crew::{Crew, Model, Parameters, ToolSpec};
use crate::ids::{AgentId, CallId, RunId};
use crate::run::event::Purpose;

/// One request to a model.
#[derive(Clone, Debug)]
pub struct ModelRequest {
    /// The run it is made for.
    pub run: RunId,
    /// The call.
    pub call: CallId,
    /// The try, from 1.
    pub attempt: u32,
    /// The crew, as the run began with it.
    pub crew: Arc<Crew>,
    /// Who is to speak.
    pub agent: AgentId,
    /// What the reply is for.
    pub purpose: Purpose,
    /// Which reply of this agent in this run it will be, from 1. In a parallel group each branch counts alone. 0 for a
    /// summary, which is none of the agent's replies.
    pub agent_call: u32,
    /// Which model answers.
    pub model: Model,
    /// Sampling parameters.
    pub parameters: Parameters,
    /// The system prompt.
    pub system: String,
    /// The conversation. Never empty; the last message is never the assistant's.
    pub messages: Vec<PromptMessage>,
    /// Tools offered through the provider's interface; empty for agents that call tools by text.
    pub tools: Vec<ToolOffer>,
}

/// A message as models see it.
#[derive(Clone, Debug, PartialEq)]
pub enum PromptMessage {
    /// A system-role message of the history.
    System {
        /// Its text.
        text: String,
    },
    /// From the user, another agent, or a group.
    User {
        /// Its text.
        text: String,
    },
    /// From the agent that is to speak.
    Assistant {
        /// Its text.
        text: String,
        /// Its native tool calls.
        calls: Vec<PromptCall>,
    },
    /// The result of one native tool call of the assistant message before.
    Tool {
        /// The id of the call, as in its [`PromptCall`].
        id: String,
        /// The tool.
        tool: String,
        /// What it gave.
        output: String,
        /// Whether it failed.
        failed: bool,
    },
}

/// A native tool call in a prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptCall {
    /// The provider's id, with a suffix where another call of the prompt has the same one.
    pub id: String,
    /// The tool, in the characters that tool names may have.
    pub tool: String,
    /// Its arguments, always an object.
    pub arguments: Value,
}

/// A tool as models see it.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolOffer {
    /// A tool of the crew.
    Tool(Arc<ToolSpec>),
    /// A hand-off: `transfer_to_<target>`, without arguments.
    Transfer {
        /// The tool's name.
        name: String,
        /// When to use it.
        description: String,
    },
}
