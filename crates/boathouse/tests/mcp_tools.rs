//! Tools of MCP servers: programs that speak as they should, and programs and sockets that do not.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used)]

#[path = "support/calls.rs"]
mod calls;
#[path = "mcp_tools/http.rs"]
mod http;
#[path = "mcp_tools/program.rs"]
mod program;
#[path = "support/upstream.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod upstream;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use boathouse::core::crew::mcp::{McpReach, McpServer, McpSpec};
use boathouse::core::crew::{Effect, ToolDef, ToolKind, ToolSpec};
use boathouse::tool::{CallLimits, ToolEnd, Tools, call, tool_for};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use calls::{context, error, success, unknown};

const LIMITS: CallLimits = CallLimits {
    timeout: Duration::from_secs(60),
    grace: Duration::from_secs(5),
    max_output_bytes: 32 * 1024,
};

/// Tools of one server.
struct Client {
    tools: Tools,
    server: Arc<McpServer>,
    dir: Option<PathBuf>,
    effect: Effect,
}

impl Client {
    fn of(reach: McpReach, dir: Option<PathBuf>) -> Client {
        let server = Arc::new(McpServer { name: "fake".to_owned(), reach });
        Client { tools: Tools::new(), server, dir, effect: Effect::Once }
    }

    async fn call(&self, tool: &str, arguments: Value) -> ToolEnd {
        self.call_with(tool, arguments, &CancellationToken::new(), LIMITS).await
    }

    async fn call_with(
        &self,
        tool: &str,
        arguments: Value,
        cancelled: &CancellationToken,
        limits: CallLimits,
    ) -> ToolEnd {
        let cx = context(self.dir.clone(), cancelled);
        let schema = json!({"type": "object", "properties": {"a": {}, "limit": {"default": 20}}});
        let spec = ToolSpec::new("Tool", "", schema).effect(self.effect);
        let mcp = McpSpec { server: self.server.clone(), tool: tool.to_owned() };
        let def = ToolDef { spec: Arc::new(spec), kind: ToolKind::Mcp(Arc::new(mcp)) };
        call(tool_for(&self.tools, &def).unwrap(), &arguments, cx, limits).await
    }
}
