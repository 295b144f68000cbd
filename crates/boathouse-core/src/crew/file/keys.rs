//! Every key of every file: what it takes, what counts without it, and what it does.
//!
//! The check of a crew's files, their JSON Schema and the tables of `docs/crew-file.md` are made of these tables.

use super::{Does, Key, Kind, Table};

mod agent;
mod tool;

pub use agent::{AGENT, COST_LIMITS, ERROR_LIMITS, LOGGING, MEMORY_LIMITS, MODEL, PARAMETERS};
pub use tool::{COMMAND, HTTP, MCP, MCP_SERVER, TOOL};

/// All tables, in the order in which a newcomer reads them.
pub static ALL: [&Table; 20] = [
    &CREW,
    &AGENT,
    &MODEL,
    &PARAMETERS,
    &ROUTING,
    &SIGNAL,
    &BEHAVIOR,
    &GROUP,
    &JOIN,
    &AGGREGATE,
    &TOOL,
    &COMMAND,
    &HTTP,
    &MCP,
    &MCP_SERVER,
    &SETTINGS,
    &COST_LIMITS,
    &MEMORY_LIMITS,
    &ERROR_LIMITS,
    &LOGGING,
];

const fn key(name: &'static str, kind: Kind, says: &'static str, does: Does) -> Key {
    Key { name, kind, takes: "", default: "", says, does }
}

/// A key that acts.
pub const fn acts(name: &'static str, kind: Kind, says: &'static str) -> Key {
    key(name, kind, says, Does::Acts)
}

/// A key without which its map makes no sense.
pub const fn needs(name: &'static str, kind: Kind, says: &'static str) -> Key {
    key(name, kind, says, Does::Needed)
}

const fn note(name: &'static str, says: &'static str) -> Key {
    key(name, Kind::Text, says, Does::Note)
}

const fn inert(name: &'static str, kind: Kind, why: &'static str) -> Key {
    key(name, kind, "", Does::Nothing(why))
}

const fn instead(name: &'static str, kind: Kind, how: &'static str) -> Key {
    key(name, kind, "", Does::Instead(how))
}

const fn not_yet(name: &'static str, kind: Kind, why: &'static str) -> Key {
    key(name, kind, "", Does::NotYet(why))
}

const fn count(name: &'static str, max: i64, default: &'static str, says: &'static str) -> Key {
    acts(name, Kind::Setting { max, default }, says).or(default)
}

const fn seconds(name: &'static str, default: &'static str, says: &'static str) -> Key {
    acts(name, Kind::Seconds { default }, says).or(default)
}

/// A list of texts.
pub const TEXTS: Kind = Kind::List(&Kind::Text);
/// A whole number of any size.
const WHOLE: Kind = Kind::Whole { min: i64::MIN, max: i64::MAX };
/// A number of any size.
const NUMBER: Kind = Kind::Number { min: f64::MIN, max: f64::MAX };

const GROUPS_INSTEAD: &str =
    "agents work side by side in `routing.parallel_groups`, which a signal names as its target";
const NO_KEYS: &str = "keys never stand in a crew's files: set the provider's environment variable";

/// `crew.yaml`.
pub static CREW: Table = Table {
    name: "crew",
    what: "a crew",
    keys: &[
        acts("name", Kind::Text, "names the crew")
            .takes("text, at most 128 characters, none of `/ \\ ? # %`")
            .or("the folder's name"),
        acts("description", Kind::Text, "tells people what it is for"),
        note("version", "nothing: a note for people"),
        key(
            "agents",
            Kind::List(&Kind::Either {
                what: "an agent's id, or an agent as a map",
                scalar: Some(&Kind::Text),
                list: None,
                map: Some(&Kind::Map(&AGENT)),
            }),
            "which agents the crew has, in this order",
            Does::NeededByCheck,
        )
        .takes("list of ids, or of agents as maps"),
        acts("entry_point", Kind::Text, "where a run begins")
            .takes("agent")
            .or("the first agent that is not terminal, else the first"),
        acts(
            "handoff",
            Kind::Choice(&["signal", "tool", "auto"]),
            "how agents hand over: with signals in their text, with transfer tools, or both",
        )
        .or("signal"),
        acts("vars", Kind::Entries(&Kind::TextOrNull), "placeholders of prompts, which a run may fill in")
            .takes("map of name to text or null"),
        acts(
            "tools",
            Kind::Entries(&Kind::Map(&TOOL)),
            "what agents may call: commands, requests, tools of MCP servers",
        )
        .takes("map of name to tool"),
        acts(
            "mcp_servers",
            Kind::Entries(&Kind::Map(&MCP_SERVER)),
            "MCP servers that have some of these tools",
        )
        .takes("map of name to server"),
        acts("settings", Kind::Map(&SETTINGS), "limits and timeouts"),
        acts("routing", Kind::Map(&ROUTING), "where agents lead"),
        instead("tasks", Kind::Any, "a run's input is its task"),
        instead("parallel_targets", Kind::Any, GROUPS_INSTEAD),
        instead("parallel_execution", Kind::Any, GROUPS_INSTEAD),
    ],
    mistaken: &[
        ("mcp", "the key is `mcp_servers`"),
        ("mcpServers", "the key is `mcp_servers`"),
        ("entry", "the key is `entry_point`"),
        ("start", "the key is `entry_point`"),
        ("signals", "it belongs under `routing:`"),
        ("defaults", "it belongs under `routing:`"),
        ("agent_behaviors", "it belongs under `routing:`"),
        ("parallel_groups", "it belongs under `routing:`"),
        ("max_handoffs", "it belongs under `settings:`"),
        ("max_rounds", "it belongs under `settings:`"),
        ("timeout_seconds", "it belongs under `settings:`"),
        ("api_key", NO_KEYS),
    ],
};

const MANY: i64 = 1_000_000;
const NO_TOKEN_LIMIT: &str = "tokens are counted but not limited";
const NO_MONEY_LIMIT: &str = "money is not limited";
const NO_RATE_LIMIT: &str = "calls are not limited by rate";
const NO_MEMORY: &str = "an agent has no memory of its own to limit";
const SERVER_LIMITS: &str = "the server's limits are the same for all crews";
const IN_THE_JOURNAL: &str = "runs are kept in the journal";
const BACKUPS_INSTEAD: &str = "a failing model is tried `model_attempts` times, then its backups";

/// `settings:` of `crew.yaml`.
pub static SETTINGS: Table = Table {
    name: "settings",
    what: "`settings`",
    keys: &[
        count("max_handoffs", MANY, "5", "routes that a run may take"),
        count("max_rounds", MANY, "10", "rounds of tool calls in one turn of an agent"),
        seconds("timeout_seconds", "300", "active time of a run: waiting for a person does not count"),
        seconds("parallel_timeout_seconds", "60", "active time of a parallel group that sets none"),
        seconds("tool_execution_timeout_seconds", "30", "time of one attempt of a tool that sets none"),
        count("tool_concurrency", 1000, "8", "tool calls of one reply that run at once"),
        seconds(
            "approval_timeout_seconds",
            "for ever",
            "how long an approval is waited for, by the clock on the wall; a call that was not approved by then counts as rejected",
        ),
        count("model_attempts", 100, "3", "attempts on one model before the next one is asked"),
        count("retry_backoff_min_millis", 3_600_000, "100", "the shortest pause between attempts"),
        seconds("retry_backoff_max_seconds", "5", "the longest pause between attempts"),
        count(
            "keep_recent",
            MANY,
            "the whole history",
            "messages of history in a prompt, beside the first one of the user",
        ),
        count(
            "max_context_window",
            100_000_000,
            "no bound",
            "tokens of history in a prompt, about: a quarter of the bytes, and 4 for each message",
        ),
        acts(
            "context_trim_percent",
            Kind::Number { min: 0.0, max: 100.0 },
            "how much of `max_context_window` is made free when it is full",
        )
        .or("20"),
        acts(
            "summarize",
            Kind::Flag,
            "whether the agent's model sums up what no longer fits, once for each half of what fits; otherwise it is left out",
        )
        .or("false"),
        count("max_tool_output_chars", 100_000_000, "each tool's own cap", "bytes of one tool's output"),
        count(
            "max_total_tool_output_chars",
            100_000_000,
            "no cap",
            "bytes of all tool outputs of one round in a prompt",
        ),
        acts(
            "language",
            Kind::Text,
            "the language that agents without a `system_prompt` are told to answer in",
        ),
        acts("organization", Kind::Text, "whom agents without a `system_prompt` are told they work for"),
        not_yet(
            "max_tokens_per_call",
            WHOLE,
            "tokens are counted but not limited; `max_tokens` of an agent limits its replies",
        ),
        not_yet("max_tokens_per_day", WHOLE, NO_TOKEN_LIMIT),
        not_yet("max_cost_per_day", NUMBER, NO_MONEY_LIMIT),
        not_yet("cost_alert_threshold", NUMBER, NO_MONEY_LIMIT),
        not_yet("max_calls_per_minute", WHOLE, NO_RATE_LIMIT),
        not_yet("max_calls_per_hour", WHOLE, NO_RATE_LIMIT),
        not_yet("max_calls_per_day", WHOLE, NO_RATE_LIMIT),
        not_yet("on_limit", Kind::Choice(&["stop", "pause"]), "a limit that is reached always ends the run"),
        not_yet("block_on_quota_exceed", Kind::Flag, "a limit that acts always stops the run"),
        inert(
            "config_mode",
            Kind::Choice(&["permissive", "strict"]),
            "every crew is checked strictly, and a setting that is not written has its default",
        ),
        not_yet(
            "tool_result_timeout_seconds",
            WHOLE,
            "each tool call has its own time, see `tool_execution_timeout_seconds`",
        ),
        not_yet("min_tool_timeout_millis", WHOLE, "a tool's `timeout_seconds` is taken as it is written"),
        not_yet(
            "stream_chunk_timeout_millis",
            WHOLE,
            "a reply in flight may take the time that the run has left",
        ),
        not_yet("sse_keep_alive_seconds", WHOLE, "the server sends a heartbeat every 15 s"),
        inert("request_store_cleanup_minutes", WHOLE, IN_THE_JOURNAL),
        inert("max_stored_requests", WHOLE, IN_THE_JOURNAL),
        not_yet("client_cache_ttl_minutes", WHOLE, "connections are pooled for all crews"),
        inert("graceful_shutdown_check_millis", WHOLE, "shutdown needs no polling"),
        not_yet("max_input_size_kb", WHOLE, SERVER_LIMITS),
        not_yet("max_request_body_size_kb", WHOLE, SERVER_LIMITS),
        inert("stream_buffer_size", WHOLE, "streams are read from the journal"),
        inert("min_agent_id_length", WHOLE, "an id has 1 to 128 characters"),
        inert("max_agent_id_length", WHOLE, "an id has 1 to 128 characters"),
        not_yet("timeout_warning_threshold_pct", NUMBER, "there is no warning before a timeout"),
        inert("max_memory_mb", WHOLE, NO_MEMORY),
        inert("max_daily_memory_gb", WHOLE, NO_MEMORY),
        inert("memory_alert_percent", NUMBER, NO_MEMORY),
        not_yet("slow_call_threshold_seconds", WHOLE, "no call is reported as slow"),
        not_yet("max_errors_per_hour", WHOLE, BACKUPS_INSTEAD),
        not_yet("max_errors_per_day", WHOLE, BACKUPS_INSTEAD),
        not_yet("max_consecutive_errors", WHOLE, BACKUPS_INSTEAD),
    ],
    mistaken: &[
        ("timeout", "the key is `timeout_seconds`"),
        ("max_turns", "turns are limited by `max_handoffs`"),
        ("max_iterations", "the key is `max_rounds`"),
        ("keep_last", "the key is `keep_recent`"),
    ],
};

/// `routing:` of `crew.yaml`.
pub static ROUTING: Table = Table {
    name: "routing",
    what: "`routing`",
    keys: &[
        acts(
            "signals",
            Kind::Entries(&Kind::List(&Kind::Map(&SIGNAL))),
            "what an agent may write at the end of its reply to say where the run goes",
        )
        .takes("map of agent to list of signals"),
        acts(
            "defaults",
            Kind::Entries(&Kind::TextOrNull),
            "where an agent leads when no signal says so; null ends the run",
        )
        .takes("map of agent to agent, group or null"),
        acts(
            "agent_behaviors",
            Kind::Entries(&Kind::Map(&BEHAVIOR)),
            "whether an agent waits for a person, or ends the run",
        )
        .takes("map of agent to behaviour"),
        acts(
            "parallel_groups",
            Kind::Entries(&Kind::Map(&GROUP)),
            "agents that work side by side; a signal or a default names the group as its target",
        )
        .takes("map of name to group"),
        instead("parallel_targets", Kind::Any, GROUPS_INSTEAD),
        instead("parallel_execution", Kind::Any, GROUPS_INSTEAD),
    ],
    mistaken: &[
        ("groups", "the key is `parallel_groups`"),
        ("behaviors", "the key is `agent_behaviors`"),
        ("agent_behaviours", "the key is `agent_behaviors`"),
    ],
};

/// One routing signal.
pub static SIGNAL: Table = Table {
    name: "signal",
    what: "a signal",
    keys: &[
        needs(
            "signal",
            Kind::Text,
            "what the agent writes. Blanks at its ends are dropped, Unicode is normalised (NFC)",
        ),
        acts("target", Kind::TextOrNull, "where it leads; null and `\"\"` end the run")
            .takes("agent, group, null or `\"\"`")
            .or("ends the run, with a warning"),
        acts("description", Kind::Text, "what it means, for the model"),
        instead("parallel_targets", Kind::Any, GROUPS_INSTEAD),
        instead("parallel_execution", Kind::Any, GROUPS_INSTEAD),
    ],
    mistaken: &[
        ("name", "the key is `signal`"),
        ("agent", "the key is `target`"),
        ("to", "the key is `target`"),
    ],
};

/// What an agent does beside speaking.
pub static BEHAVIOR: Table = Table {
    name: "behavior",
    what: "a behaviour",
    keys: &[
        acts(
            "wait_for_signal",
            Kind::Flag,
            "a reply without a signal goes to a person, whose answer goes to this agent",
        )
        .or("false"),
        acts(
            "answer_schema",
            Kind::Json,
            "what that person may answer: an answer that does not fit is refused, with the place that is wrong",
        )
        .takes("JSON Schema")
        .or("any text"),
        acts(
            "is_terminal",
            Kind::Flag,
            "the run completes after its reply; the same as in the agent's file, either one suffices",
        )
        .or("false"),
        note("description", "nothing: a note for people"),
        instead("auto_route", Kind::Flag, "`defaults` and `handoff_targets` act with or without it"),
        instead("parallel_targets", Kind::Any, GROUPS_INSTEAD),
        instead("parallel_execution", Kind::Any, GROUPS_INSTEAD),
    ],
    mistaken: &[("terminal", "the key is `is_terminal`"), ("wait", "the key is `wait_for_signal`")],
};

/// A parallel group.
pub static GROUP: Table = Table {
    name: "group",
    what: "a parallel group",
    keys: &[
        needs("agents", TEXTS, "who works, each once").takes("list of agents"),
        acts(
            "join",
            Kind::Either {
                what: "`all`, `first` or `{quorum: n}`",
                scalar: Some(&Kind::Choice(&["all", "first"])),
                list: None,
                map: Some(&Kind::Map(&JOIN)),
            },
            "how many must complete; the rest is then cancelled, but for a `once` call of which nobody knows what became: it waits for a person",
        )
        .or("all"),
        acts(
            "on_error",
            Kind::Choice(&["continue", "fail_fast"]),
            "whether the others go on when one fails. If all fail, the run fails",
        )
        .or("continue"),
        seconds("timeout_seconds", "`settings.parallel_timeout_seconds`", "active time of the whole group"),
        acts(
            "aggregate",
            Kind::Either {
                what: "`text`, `json`, `merge` or `{template: \"...\"}`",
                scalar: Some(&Kind::Choice(&["text", "json", "merge"])),
                list: None,
                map: Some(&Kind::Map(&AGGREGATE)),
            },
            "how the results become one message",
        )
        .or("text"),
        acts(
            "next_agent",
            Kind::TextOrNull,
            "who receives that message; without one the run completes with it",
        )
        .takes("agent"),
        acts("description", Kind::Text, "for models that are offered the group as a transfer"),
        instead(
            "wait_for_all",
            Kind::Flag,
            "a group waits for all its agents; `join: first` or `join: {quorum: n}` waits for fewer",
        ),
        instead("parallel_targets", Kind::Any, GROUPS_INSTEAD),
        instead("parallel_execution", Kind::Any, GROUPS_INSTEAD),
    ],
    mistaken: &[
        ("members", "the key is `agents`"),
        ("next", "the key is `next_agent`"),
        ("timeout", "the key is `timeout_seconds`"),
        ("quorum", "write `join: {quorum: n}`"),
        ("template", "write `aggregate: {template: \"...\"}`"),
    ],
};

/// `join:` of a group, where it is a map.
pub static JOIN: Table = Table {
    name: "join",
    what: "`join`",
    keys: &[needs("quorum", Kind::Whole { min: 1, max: MANY }, "how many agents must complete")],
    mistaken: &[],
};

/// `aggregate:` of a group, where it is a map.
pub static AGGREGATE: Table = Table {
    name: "aggregate",
    what: "`aggregate`",
    keys: &[needs(
        "template",
        Kind::Text,
        "the message, as a minijinja template over `results` and `summary`",
    )],
    mistaken: &[],
};
