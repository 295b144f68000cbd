//! The keys of a tool that a crew defines.

use crate::crew::http::Method;

use super::{Kind, TEXTS, Table, acts, count, needs, seconds};

/// A tool that the crew defines.
pub static TOOL: Table = Table {
    name: "tool",
    what: "a tool",
    keys: &[
        acts("description", Kind::Text, "tells models when to call it"),
        acts("command", Kind::Map(&COMMAND), "a program that runs, as a list of arguments: no shell reads it")
            .takes("`{argv: [...]}` or `{allow: {name: [...]}}`"),
        acts("cwd", Kind::Text, "where the command runs")
            .takes("path below the crew's folder")
            .or("the crew's folder"),
        acts(
            "env",
            TEXTS,
            "environment variables that the command gets beside `PATH`, `HOME`, `LANG` and `TZ`",
        )
        .takes("list of names"),
        acts("http", Kind::Map(&HTTP), "a request that is sent").takes("`{url: ..., ...}`"),
        acts("mcp", Kind::Map(&MCP), "a tool of an MCP server").takes("`{server: ..., tool: ...}`"),
        acts(
            "parameters",
            Kind::Json,
            "its arguments, each with a place in `argv` or `http`; an MCP server gets them all. A list under `allow` has one argument, `command`",
        )
        .takes("JSON Schema with `type: object`")
        .or("none"),
        acts("effect", Kind::Choice(&["read", "idempotent", "once"]), "whether a call may be made again")
            .or("once"),
        acts(
            "on_unknown",
            Kind::Choice(&["ask", "fail", "assume_done", "rerun"]),
            "what happens when nobody knows how a `once` call ended",
        )
        .or("ask"),
        acts("approval", Kind::Text, "whether a person must approve a call before it is made")
            .takes("`never`, `always`, or a minijinja expression over `args`")
            .or("never"),
        seconds(
            "approval_timeout_seconds",
            "`settings.approval_timeout_seconds`",
            "how long an approval is waited for, by the clock on the wall",
        ),
        seconds(
            "timeout_seconds",
            "`settings.tool_execution_timeout_seconds`",
            "how long one attempt may take",
        ),
        acts("retries", Kind::Whole { min: 0, max: 100 }, "further attempts, for `read` and `idempotent`")
            .or("0"),
        count("max_output_bytes", 16 * 1024 * 1024, "32768", "how much output is kept"),
    ],
    mistaken: &[
        ("argv", "write `command: {argv: [...]}`"),
        ("allow", "write `command: {allow: {name: [...]}}`"),
        ("timeout", "the key is `timeout_seconds`"),
        ("url", "write `http: {url: ...}`"),
        ("method", "it belongs under `http:`"),
        ("headers", "it belongs under `http:`"),
        ("body", "it belongs under `http:`"),
        ("server", "write `mcp: {server: ..., tool: ...}`"),
        ("params", "the key is `parameters`"),
        ("needs_approval", "the key is `approval`"),
        ("confirm", "the key is `approval`"),
    ],
};

/// `command:` of a tool.
pub static COMMAND: Table = Table {
    name: "command",
    what: "`command`",
    keys: &[
        acts("argv", TEXTS, "the program and its arguments; `{x}` stands for the parameter `x`"),
        acts("allow", Kind::Entries(&TEXTS), "a few commands by name, of which the model chooses one")
            .takes("map of name to list of texts"),
    ],
    mistaken: &[
        ("shell", "a command is a list of arguments: no shell ever reads it"),
        ("args", "the key is `argv`"),
    ],
};

/// `http:` of a tool.
pub static HTTP: Table = Table {
    name: "http",
    what: "`http`",
    keys: &[
        needs(
            "url",
            Kind::Text,
            "where it goes. Scheme, host and port are fixed; `{x}` in the path and in values of the query stands for the parameter `x`",
        ),
        acts("method", Kind::Choice(&Method::NAMES), "what is asked").or("GET"),
        acts(
            "headers",
            Kind::Entries(&Kind::Text),
            "what goes with it. `{env.NAME}` stands for an environment variable; parameters have no place here",
        )
        .takes("map of name to text"),
        acts(
            "body",
            Kind::Any,
            "what is sent, as JSON. `{x}` in a text stands for the parameter `x`; a text that is only `{x}` becomes its value",
        )
        .takes("any value"),
    ],
    mistaken: &[
        ("uri", "the key is `url`"),
        ("json", "the key is `body`"),
        ("data", "the key is `body`"),
        ("query", "write it into `url`: `https://host/path?key={name}`"),
        ("params", "write it into `url`: `https://host/path?key={name}`"),
        ("auth", "write `headers: {Authorization: \"Bearer {env.NAME}\"}`"),
        ("timeout", "the key is `timeout_seconds` of the tool"),
    ],
};

/// `mcp:` of a tool.
pub static MCP: Table = Table {
    name: "mcp",
    what: "`mcp`",
    keys: &[
        needs("server", Kind::Text, "whose tool it is").takes("name under `mcp_servers`"),
        acts("tool", Kind::Text, "what the server calls it").or("the tool's name"),
    ],
    mistaken: &[
        ("name", "the key is `tool`"),
        ("command", "it belongs under `mcp_servers:`"),
        ("url", "it belongs under `mcp_servers:`"),
    ],
};

/// An MCP server.
pub static MCP_SERVER: Table = Table {
    name: "mcp_server",
    what: "an MCP server",
    keys: &[
        acts(
            "command",
            TEXTS,
            "the program and its arguments, if the server is started: no shell reads them, and it works in the crew's folder",
        ),
        acts("env", TEXTS, "environment variables that it gets beside `PATH`, `HOME`, `LANG` and `TZ`")
            .takes("list of names"),
        acts("url", Kind::Text, "where it is, if it is reached by HTTP (\"streamable HTTP\")"),
        acts(
            "headers",
            Kind::Entries(&Kind::Text),
            "what goes with each request. `{env.NAME}` stands for an environment variable",
        )
        .takes("map of name to text"),
    ],
    mistaken: &[
        ("args", "the key is `command`: the program, then its arguments"),
        ("argv", "the key is `command`"),
        ("cwd", "a server works in the crew's folder"),
        ("transport", "`command` starts a server, `url` reaches one by HTTP"),
        ("type", "`command` starts a server, `url` reaches one by HTTP"),
    ],
};
