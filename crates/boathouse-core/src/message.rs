//! What is said in a run: messages, replies, tool calls and their results.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{AgentId, CallId};

/// A piece of a message's content. Text only, for now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Part {
    /// Plain text.
    Text {
        /// The text.
        text: String,
    },
}

/// Whose message it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Author {
    /// The person, or the program, that the run serves.
    User,
    /// A system-role message that came with the history of a request.
    System,
    /// An agent of the crew. `None` for an assistant message of a request's history, whose agent is unknown.
    Agent(Option<AgentId>),
    /// The joined results of a parallel group.
    Group(String),
}

/// One entry of a history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who said it.
    pub from: Author,
    /// Its content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// The tool calls that this message asked for, in order. Only agents ask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<ToolCall>,
    /// Results of the calls of the message before, in the order of those calls. Such a message has no parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<ToolResult>,
}

impl Message {
    /// A message with one text part.
    pub fn text(from: Author, text: impl Into<String>) -> Message {
        Message {
            from,
            parts: vec![Part::Text { text: text.into() }],
            calls: Vec::new(),
            results: Vec::new(),
        }
    }

    /// About how many tokens it takes in a prompt.
    pub fn estimated_tokens(&self) -> usize {
        let said: usize = self.parts.iter().map(|Part::Text { text }| text.len()).sum();
        let asked: usize =
            self.calls.iter().map(|call| call.tool.len() + call.arguments.to_string().len()).sum();
        let given: usize = self.results.iter().map(|result| result.output.len()).sum();
        estimate_tokens(said + asked + given)
    }

    /// The text of all text parts, joined.
    pub fn content(&self) -> String {
        match &self.parts[..] {
            [Part::Text { text }] => text.clone(),
            parts => parts.iter().map(|Part::Text { text }| text.as_str()).collect(),
        }
    }
}

/// About how many tokens a message of so many bytes takes: a quarter of them, and four around it.
pub(crate) fn estimate_tokens(bytes: usize) -> usize {
    4 + bytes.div_ceil(4)
}

/// How an agent asked for a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallStyle {
    /// Through the provider's own tool-calling interface.
    Native,
    /// As a line of text, read by [`crate::run::text_calls`].
    Text,
}

/// A tool call as the agent asked for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Our id of the call, unique in the run.
    pub call: CallId,
    /// The provider's id of the call, or one of ours where the provider gave none. Sent back with the result.
    pub id: String,
    /// The tool's name.
    pub tool: String,
    /// The arguments: an object, unless the model wrote something else (then the call is refused).
    pub arguments: Value,
    /// How it was asked for.
    pub style: CallStyle,
}

/// What a tool call gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolResult {
    /// The call it answers.
    pub call: CallId,
    /// Whether the tool did its work.
    pub status: ResultStatus,
    /// What the model is told.
    pub output: String,
}

/// Whether a tool did its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResultStatus {
    /// It did.
    Success,
    /// It did not, or the call was not made; the output says why.
    Error,
}

/// Tokens that model calls used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompts.
    pub input_tokens: u64,
    /// Tokens of the replies.
    pub output_tokens: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Usage) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
    }
}

/// Why a model stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// It had said what it wanted to say.
    Stop,
    /// It wants its tool calls answered.
    ToolCalls,
    /// It ran into its token limit: the text is cut.
    Length,
    /// The provider withheld content.
    ContentFilter,
    /// A reason of the provider's that we have no name for.
    Other(String),
}

/// What a model call gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The whole text.
    pub text: String,
    /// Native tool calls, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<NativeCall>,
    /// Tokens, where the provider reported them.
    pub usage: Option<Usage>,
    /// Why the model stopped.
    pub finish: Finish,
}

/// A tool call as it came off the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NativeCall {
    /// The provider's id; empty where it gave none.
    pub id: String,
    /// The tool's name.
    pub tool: String,
    /// The arguments exactly as the model wrote them: JSON text, or nonsense. Empty means `{}`.
    pub arguments: String,
}
