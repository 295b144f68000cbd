//! Tools of kind `mcp`: a call of a tool that an MCP server has.
//!
//! The protocol is `rmcp`'s; servers, connections and what an answer means are ours (`servers`, `link`). Which tools
//! there are, and what models are told of them, is said by the crew: a server's own list is never read.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use boathouse_core::crew::mcp::McpSpec;
use boathouse_core::crew::{Effect, ToolSpec};
use boathouse_core::run::event::CallEnd;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorCode, ErrorData,
    RequestMetaObject, ResourceContents,
};
use rmcp::service::ServiceError;
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::arguments::argument;
use super::{Stop, Tool, ToolCx, ToolError};

mod http;
mod link;
mod program;
mod servers;

use http::Fault;
use servers::Connection;
pub(super) use servers::Servers;

/// Holds [`ToolCx::idempotency_key`] in `_meta` of a call.
const KEY_META: &str = "boathouse/idempotency-key";
/// Bytes of one message of a server that are taken.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// What stands for content of a kind that is not known here.
const LEFT_OUT: &str = "[something that is no text is left out]";
/// How long the reason may take by which a connection ended.
const REASON: Duration = Duration::from_secs(2);

/// A tool of an MCP server.
pub struct McpTool {
    spec: Arc<ToolSpec>,
    mcp: Arc<McpSpec>,
    servers: Servers,
}

impl McpTool {
    pub(super) fn new(spec: Arc<ToolSpec>, mcp: Arc<McpSpec>, servers: Servers) -> McpTool {
        McpTool { spec, mcp, servers }
    }

    fn params(&self, arguments: &Value, cx: &ToolCx) -> CallToolRequestParams {
        let mut params = CallToolRequestParams::new(self.mcp.tool.clone());
        params.arguments = Some(self.with_defaults(arguments));
        if self.spec.effect != Effect::Read {
            let key = (KEY_META.to_owned(), Value::from(cx.idempotency_key.as_str()));
            params.meta = Some(RequestMetaObject::from(Map::from_iter([key])));
        }
        params
    }

    /// The arguments, and the defaults of those that are missing, as other tools have them.
    fn with_defaults(&self, arguments: &Value) -> Map<String, Value> {
        let mut all = arguments.as_object().cloned().unwrap_or_default();
        let properties = self.spec.parameters.get("properties");
        for name in properties.and_then(Value::as_object).into_iter().flat_map(Map::keys) {
            if let Some(value) = argument(name, arguments, properties) {
                all.insert(name.clone(), value.clone());
            }
        }
        all
    }

    /// What became of a call that got no result.
    async fn failed(&self, error: ServiceError, connection: &Connection) -> ToolError {
        let server = &self.mcp.server.name;
        match error {
            ServiceError::McpError(error) => refused(server, &error),
            ServiceError::TransportSend(error) => match Fault::of(&*error.error) {
                Some(Fault::Unsent(why) | Fault::Answered(why)) => ToolError::Failed(why.clone()),
                Some(Fault::Lost(why)) => ToolError::Unknown(why.clone()),
                // A line that was not written to its end is no request.
                None if connection.is_program => {
                    ToolError::Failed(format!("nothing was sent: the MCP server `{server}` is gone"))
                }
                None => ToolError::Unknown(format!("the MCP server `{server}` was lost: {}", error.error)),
            },
            ServiceError::TransportClosed => {
                // Whoever keeps the connection learns the reason at the same time.
                let _ = timeout(REASON, connection.over.cancelled()).await;
                let why = connection.why.get().map_or("it closed the connection", String::as_str);
                ToolError::Unknown(format!("the MCP server `{server}` was lost before it answered: {why}"))
            }
            error => ToolError::Unknown(format!("no answer of the MCP server `{server}`: {error}")),
        }
    }

    fn told(&self, result: CallToolResult) -> Result<String, ToolError> {
        let mut parts: Vec<String> = result.content.into_iter().map(in_words).collect();
        if let (true, Some(value)) = (parts.is_empty(), result.structured_content) {
            parts.push(value.to_string());
        }
        let text = parts.join("\n").replace('\0', "\u{FFFD}");
        match (result.is_error, text.trim_end()) {
            (Some(true), "") => Err(ToolError::Failed("it failed, and does not say why".to_owned())),
            (Some(true), text) => Err(ToolError::Failed(text.to_owned())),
            (_, "") => Ok("done, without output".to_owned()),
            (_, text) => Ok(text.to_owned()),
        }
    }
}

#[async_trait]
impl Tool for McpTool {
    fn spec(&self) -> &Arc<ToolSpec> {
        &self.spec
    }

    async fn call(&self, arguments: &Value, cx: &ToolCx) -> Result<String, ToolError> {
        let server = &self.mcp.server;
        let connection = tokio::select! {
            biased;
            connection = self.servers.connect(server, cx.crew_dir.as_deref()) => connection?,
            () = cx.cancelled.cancelled() => {
                let why = format!("nothing was sent: the MCP server `{}` has not answered `initialize` yet", server.name);
                return Err(ToolError::Failed(why));
            }
        };
        let response = tokio::select! {
            biased;
            response = connection.peer.call_tool_once(self.params(arguments, cx)) => response,
            // Dropping the call tells the server (`notifications/cancelled`).
            () = cx.cancelled.cancelled() => {
                connection.gave_up();
                return Err(ToolError::Stopped(CallEnd::Disconnected));
            }
        };
        connection.answered();
        let told = match response {
            Ok(CallToolResponse::Complete(result)) => self.told(result),
            Ok(_) => {
                let why = format!("the MCP server `{}` asks for more than a call can give it", server.name);
                Err(ToolError::Failed(why))
            }
            Err(error) => Err(self.failed(error, &connection).await),
        };
        match told {
            Ok(text) => Ok(connection.secrets.hide(text)),
            Err(ToolError::Failed(text)) => Err(ToolError::Failed(connection.secrets.hide(text))),
            Err(ToolError::Refused(text)) => Err(ToolError::Refused(connection.secrets.hide(text))),
            Err(error) => Err(error),
        }
    }

    fn stop(&self) -> Stop {
        Stop::Cooperate
    }
}

/// An answer that is no result.
fn refused(server: &str, error: &ErrorData) -> ToolError {
    let told = format!("the MCP server `{server}` refused the call: {} ({})", error.message, error.code.0);
    match error.code {
        ErrorCode::INVALID_REQUEST
        | ErrorCode::METHOD_NOT_FOUND
        | ErrorCode::INVALID_PARAMS
        | ErrorCode::PARSE_ERROR => ToolError::Refused(told),
        _ => ToolError::Failed(told),
    }
}

/// Text as it is; what is no text is named.
fn in_words(block: ContentBlock) -> String {
    match block {
        ContentBlock::Text(text) => text.text,
        ContentBlock::Image(image) => format!("[an image, {}, is left out]", image.mime_type),
        ContentBlock::Audio(audio) => format!("[a sound, {}, is left out]", audio.mime_type),
        ContentBlock::Resource(resource) => match resource.resource {
            ResourceContents::TextResourceContents { text, .. } => text,
            ResourceContents::BlobResourceContents { uri, .. } => {
                format!("[{uri} is left out: it is no text]")
            }
            _ => LEFT_OUT.to_owned(),
        },
        ContentBlock::ResourceLink(link) => format!("[{}: {}]", link.name, link.uri),
        _ => LEFT_OUT.to_owned(),
    }
}
