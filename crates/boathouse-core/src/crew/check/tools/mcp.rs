//! MCP servers of a crew, and which of their tools its agents may call.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::crew::check::Check;
use crate::crew::file::{Said, View};
use crate::crew::http::Address;
use crate::crew::mcp::{McpReach, McpServer, McpSpec};
use crate::crew::problem::Code;
use crate::crew::yaml::Node;

/// The MCP servers that a crew defines, by name; `None` where the definition has an error.
pub(super) type Servers<'a> = BTreeMap<&'a str, Option<Arc<McpServer>>>;

impl<'a> Check<'a> {
    /// The servers under `mcp_servers:` of `crew.yaml`.
    pub(super) fn mcp_servers(&mut self, crew_file: View<'a>) -> Servers<'a> {
        let mut servers = BTreeMap::new();
        for (name, node) in crew_file.map("mcp_servers").iter().flat_map(View::entries) {
            let view = View { file: crew_file.file, node };
            if !crate::crew::is_tool_name(name.value) {
                let message = format!("`{}` cannot be a server's name", name.value);
                let hint = "at most 64 letters, digits, `_` and `-`, beginning with a letter or `_`";
                self.problems.error(name.at, Code::InvalidName, message, Some(hint.to_owned()));
            }
            let reach = self.mcp_reach(name, view);
            servers.insert(
                name.value,
                reach.map(|reach| Arc::new(McpServer { name: name.value.to_owned(), reach })),
            );
        }
        servers
    }

    fn mcp_reach(&mut self, name: Said<'a, &'a str>, view: View<'a>) -> Option<McpReach> {
        let errors_before = self.problems.error_count();
        let reach = match (view.key("command"), view.key("url")) {
            (Some(at), None) => {
                self.idle_keys(view, &["headers"], "url");
                view.get("command").and_then(Node::items)?;
                let argv = view.texts("command");
                match argv.first() {
                    Some(program) => self.program(*program),
                    None => {
                        let message =
                            "`command` is empty: it needs the program, then its arguments".to_owned();
                        let hint = Some("write `command: [PROGRAM, ARGUMENT]`".to_owned());
                        self.problems.error(at, Code::InvalidCommand, message, hint);
                    }
                }
                let argv = argv.iter().map(|said| said.value.to_owned()).collect();
                McpReach::Program { argv, env: self.env(view) }
            }
            (None, Some(_)) => {
                self.idle_keys(view, &["env"], "command");
                let url = view.text("url")?;
                let address = self.sound(url.at, Code::InvalidUrl, Address::parse(url.value))?;
                if let Some(argument) = address.arguments().next() {
                    let message = format!("`{{{argument}}}` has no place in a server's address");
                    let hint = Some("write the address as it is; arguments go to the tool".to_owned());
                    self.problems.error(url.at, Code::InvalidUrl, message, hint);
                }
                let headers = self.headers(view);
                McpReach::Http { address, headers }
            }
            (Some(_), Some(at)) => {
                let message = "`command` and `url` exclude each other".to_owned();
                self.problems.error(at, Code::Contradiction, message, Some("remove one of them".to_owned()));
                return None;
            }
            (None, None) => {
                let message = format!("the MCP server `{}` does not say how it is reached", name.value);
                let hint = "write `command: [PROGRAM, ARGUMENT]` or `url: https://host/path`";
                self.problems.error(name.at, Code::MissingKey, message, Some(hint.to_owned()));
                return None;
            }
        };
        (self.problems.error_count() == errors_before).then_some(reach)
    }

    pub(super) fn mcp(
        &mut self,
        mcp: View<'a>,
        tool: Said<'a, &'a str>,
        servers: &Servers<'a>,
    ) -> Option<McpSpec> {
        let server = mcp.text("server")?;
        let Some(found) = servers.get(server.value) else {
            let hint = self.problems.suggest(server.value, servers.keys().copied());
            let hint = hint.unwrap_or_else(|| {
                format!("define it in `crew.yaml`: `mcp_servers: {{{}: {{command: [...]}}}}`", server.value)
            });
            let message = format!("no MCP server named `{}`", server.value);
            self.problems.error(server.at, Code::UnknownServer, message, Some(hint));
            return None;
        };
        let name = mcp.text("tool").unwrap_or(tool);
        if name.value.is_empty() {
            let message = "`tool` is empty".to_owned();
            let hint = Some("write what the server calls it, or remove the key".to_owned());
            self.problems.error(name.at, Code::InvalidName, message, hint);
            return None;
        }
        Some(McpSpec { server: found.clone()?, tool: name.value.to_owned() })
    }

    /// Servers of which no tool of the crew is one.
    pub(super) fn idle_servers(&mut self, crew_file: View<'a>) {
        let tools = crew_file.map("tools");
        let tools = || tools.iter().flat_map(View::entries);
        let used = |server: &str| {
            tools().any(|(_, node)| {
                let mcp = View { file: crew_file.file, node }.map("mcp");
                mcp.and_then(|mcp| mcp.text("server")).is_some_and(|said| said.value == server)
            })
        };
        for (name, _) in crew_file.map("mcp_servers").iter().flat_map(View::entries) {
            if !used(name.value) {
                let message = format!("no tool is one of the MCP server `{}`", name.value);
                let hint =
                    format!("write a tool with `mcp: {{server: {}, tool: ...}}`, or remove it", name.value);
                self.problems.warn(name.at, Code::NoEffect, message, Some(hint));
            }
        }
    }
}
