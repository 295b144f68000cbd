//! Tools of MCP servers: which server, how it is reached, and what the tool is called there.
//!
//! Description and schema of such a tool are the crew's: what a server says of its tools changes nothing.

use std::sync::Arc;

use super::http::{Address, Header};

/// A tool of an MCP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpSpec {
    /// Whose tool it is.
    pub server: Arc<McpServer>,
    /// What it is called there.
    pub tool: String,
}

/// An MCP server of a crew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpServer {
    /// Its name in the crew.
    pub name: String,
    /// How it is reached.
    pub reach: McpReach,
}

/// How an MCP server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum McpReach {
    /// By starting it, and speaking through its standard input and output.
    Program {
        /// The program and its arguments. No shell reads them.
        argv: Vec<String>,
        /// Names of environment variables that are handed on, beside `PATH`, `HOME`, `LANG` and `TZ`.
        env: Vec<String>,
    },
    /// By HTTP ("streamable HTTP").
    Http {
        /// Where it is; without places for arguments.
        address: Address,
        /// What goes with each request.
        headers: Vec<Header>,
    },
}
