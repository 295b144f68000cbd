//! The body of a request.

use boathouse_core::run::event::CallErrorKind;
use boathouse_core::run::request::{ModelRequest, PromptCall, PromptMessage, ToolOffer};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::provider::ProviderError;

/// Keys of `parameters.extra` that would change what a request is.
const RESERVED: [&str; 5] = ["model", "messages", "stream", "tools", "n"];

/// Under which key the cap on the reply's tokens is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxTokens {
    /// `max_tokens`: what compatible servers know.
    Old,
    /// `max_completion_tokens`: what OpenAI asks for; its reasoning models refuse the other.
    Completion,
}

/// The JSON body of a streaming request.
///
/// Keys of `parameters.extra` are added at the end; where one has the name of a key of ours it takes its place, and null
/// removes it. `model`, `messages`, `stream`, `tools` and `n` are refused with an error of kind `config`.
pub fn body(request: &ModelRequest, max_tokens: MaxTokens) -> Result<Vec<u8>, ProviderError> {
    if let Some(key) = RESERVED.iter().find(|key| request.parameters.extra.contains_key(**key)) {
        return Err(ProviderError::new(
            CallErrorKind::Config,
            format!("the parameter `extra.{key}` of agent `{}` cannot be set", request.agent),
        ));
    }
    serde_json::to_vec(&Body { request, max_tokens }).map_err(|error| {
        ProviderError::new(CallErrorKind::Rejected, format!("the request cannot be written as JSON: {error}"))
    })
}

struct Body<'a> {
    request: &'a ModelRequest,
    max_tokens: MaxTokens,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let parameters = &self.request.parameters;
        let extra = &parameters.extra;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("model", &self.request.model.model)?;
        map.serialize_entry("messages", &Messages(self.request))?;
        map.serialize_entry("stream", &true)?;
        if !self.request.tools.is_empty() {
            map.serialize_entry("tools", &Tools(&self.request.tools))?;
        }
        let max_tokens = match self.max_tokens {
            MaxTokens::Old => "max_tokens",
            MaxTokens::Completion => "max_completion_tokens",
        };
        let stop = Some(&parameters.stop).filter(|stop| !stop.is_empty());
        let usage = json!({"include_usage": true});
        let mut own = Own { map, extra };
        own.entry("stream_options", Some(&usage))?;
        own.entry("temperature", parameters.temperature.as_ref())?;
        own.entry(max_tokens, parameters.max_tokens.as_ref())?;
        own.entry("top_p", parameters.top_p.as_ref())?;
        own.entry("stop", stop)?;
        own.entry("seed", parameters.seed.as_ref())?;
        own.entry("reasoning_effort", parameters.reasoning_effort.as_ref())?;
        let mut map = own.map;
        for (key, value) in extra.iter().filter(|(_, value)| !value.is_null()) {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// Writes our own keys, except those that `extra` replaces.
struct Own<'a, M> {
    map: M,
    extra: &'a serde_json::Map<String, Value>,
}

impl<M: SerializeMap> Own<'_, M> {
    fn entry<T: Serialize>(&mut self, key: &str, value: Option<&T>) -> Result<(), M::Error> {
        match value {
            Some(value) if !self.extra.contains_key(key) => self.map.serialize_entry(key, value),
            _ => Ok(()),
        }
    }
}

struct Messages<'a>(&'a ModelRequest);

impl Serialize for Messages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Messages(request) = self;
        let mut seq = serializer.serialize_seq(None)?;
        if !request.system.is_empty() {
            seq.serialize_element(&MessageBody::System { content: &request.system })?;
        }
        for message in &request.messages {
            seq.serialize_element(&MessageBody::of(message))?;
        }
        seq.end()
    }
}

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
enum MessageBody<'a> {
    System {
        content: &'a str,
    },
    User {
        content: &'a str,
    },
    Assistant {
        /// Null where there is nothing but calls: some servers refuse an empty text.
        content: Option<&'a str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<CallBody<'a>>,
    },
    Tool {
        tool_call_id: &'a str,
        content: &'a str,
    },
}

impl<'a> MessageBody<'a> {
    fn of(message: &'a PromptMessage) -> MessageBody<'a> {
        match message {
            PromptMessage::System { text } => MessageBody::System { content: text },
            PromptMessage::User { text } => MessageBody::User { content: text },
            PromptMessage::Assistant { text, calls } => MessageBody::Assistant {
                content: (!text.is_empty() || calls.is_empty()).then_some(text),
                tool_calls: calls.iter().map(CallBody::of).collect(),
            },
            PromptMessage::Tool { id, output, .. } => MessageBody::Tool { tool_call_id: id, content: output },
        }
    }
}

#[derive(Serialize)]
struct CallBody<'a> {
    id: &'a str,
    r#type: &'static str,
    function: CalledBody<'a>,
}

#[derive(Serialize)]
struct CalledBody<'a> {
    name: &'a str,
    /// JSON in a string, as the API wants it.
    arguments: String,
}

impl<'a> CallBody<'a> {
    fn of(call: &'a PromptCall) -> CallBody<'a> {
        let function = CalledBody { name: &call.tool, arguments: call.arguments.to_string() };
        CallBody { id: &call.id, r#type: "function", function }
    }
}

struct Tools<'a>(&'a [ToolOffer]);

impl Serialize for Tools<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let nothing = json!({"type": "object", "properties": {}});
        let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
        for offer in self.0 {
            let function = match offer {
                ToolOffer::Tool(spec) => FunctionBody {
                    name: &spec.name,
                    description: &spec.description,
                    parameters: &spec.parameters,
                },
                ToolOffer::Transfer { name, description } => {
                    FunctionBody { name, description, parameters: &nothing }
                }
            };
            seq.serialize_element(&ToolBody { r#type: "function", function })?;
        }
        seq.end()
    }
}

#[derive(Serialize)]
struct ToolBody<'a> {
    r#type: &'static str,
    function: FunctionBody<'a>,
}

#[derive(Serialize)]
struct FunctionBody<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a Value,
}
