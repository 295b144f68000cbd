//! Every key of every file: what it takes, and what it does.

use super::{Does, Key, Kind, Table};

const fn acts(name: &'static str, kind: Kind) -> Key {
    Key { name, kind, does: Does::Acts }
}

const fn needs(name: &'static str, kind: Kind) -> Key {
    Key { name, kind, does: Does::Needed }
}

const fn note(name: &'static str) -> Key {
    Key { name, kind: Kind::Text, does: Does::Note }
}

const fn inert(name: &'static str, why: &'static str) -> Key {
    Key { name, kind: Kind::Text, does: Does::Nothing(why) }
}

const fn count(name: &'static str, default: &'static str) -> Key {
    acts(name, Kind::Setting { max: 1_000_000, default })
}

const fn seconds(name: &'static str, default: &'static str) -> Key {
    acts(name, Kind::Seconds { default })
}

const TEXTS: Kind = Kind::List(&Kind::Text);

const GROUPS_INSTEAD: &str =
    "agents work side by side in `routing.parallel_groups`, which a signal names as its target";
const NO_KEYS: &str = "keys never stand in a crew's files: set the provider's environment variable";

/// `crew.yaml`.
pub static CREW: Table = Table {
    what: "a crew",
    keys: &[
        note("version"),
        acts("name", Kind::Text),
        acts("description", Kind::Text),
        acts("entry_point", Kind::Text),
        acts(
            "agents",
            Kind::List(&Kind::Either {
                what: "an agent's id, or an agent as a map",
                scalar: Some(&Kind::Text),
                list: None,
                map: Some(&Kind::Map(&AGENT)),
            }),
        ),
        acts("handoff", Kind::Choice(&["signal", "tool", "auto"])),
        acts("vars", Kind::Entries(&Kind::TextOrNull)),
        acts("tools", Kind::Entries(&Kind::Map(&TOOL))),
        acts("settings", Kind::Map(&SETTINGS)),
        acts("routing", Kind::Map(&ROUTING)),
        inert("tasks", "a run's input is its task"),
        inert("parallel_targets", GROUPS_INSTEAD),
        inert("parallel_execution", GROUPS_INSTEAD),
    ],
    mistaken: &[
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

/// `settings:` of `crew.yaml`.
pub static SETTINGS: Table = Table {
    what: "`settings`",
    keys: &[
        count("max_handoffs", "5"),
        count("max_rounds", "10"),
        seconds("timeout_seconds", "300"),
        seconds("parallel_timeout_seconds", "60"),
        seconds("tool_execution_timeout_seconds", "30"),
        acts("tool_concurrency", Kind::Setting { max: 1000, default: "8" }),
        acts("model_attempts", Kind::Setting { max: 100, default: "3" }),
        acts("retry_backoff_min_millis", Kind::Setting { max: 3_600_000, default: "100" }),
        acts("retry_backoff_max_seconds", Kind::Seconds { default: "5" }),
        count("keep_recent", "to send the whole history"),
        acts("max_tool_output_chars", Kind::Setting { max: 100_000_000, default: "each tool's own cap" }),
        acts("max_total_tool_output_chars", Kind::Setting { max: 100_000_000, default: "no cap" }),
        acts("language", Kind::Text),
        acts("organization", Kind::Text),
        inert(
            "config_mode",
            "every crew is checked strictly, and a setting that is not written has its default",
        ),
        inert(
            "tool_result_timeout_seconds",
            "each tool call has its own time, see `tool_execution_timeout_seconds`",
        ),
        inert("min_tool_timeout_millis", "a tool's `timeout_seconds` is taken as it is written"),
        inert("stream_chunk_timeout_millis", "a reply in flight may take the time that the run has left"),
        inert("sse_keep_alive_seconds", "the server sends a heartbeat every 15 s"),
        inert("request_store_cleanup_minutes", "runs are kept in the journal"),
        inert("max_stored_requests", "runs are kept in the journal"),
        inert("client_cache_ttl_minutes", "connections are pooled for all crews"),
        inert("graceful_shutdown_check_millis", "shutdown needs no polling"),
        inert("max_input_size_kb", "the server's limits are the same for all crews"),
        inert("max_request_body_size_kb", "the server's limits are the same for all crews"),
        inert("stream_buffer_size", "streams are read from the journal"),
        inert("min_agent_id_length", "an id has 1 to 128 characters"),
        inert("max_agent_id_length", "an id has 1 to 128 characters"),
        inert("timeout_warning_threshold_pct", "there is no warning before a timeout"),
        inert(
            "max_tokens_per_call",
            "tokens are counted but not limited; `max_tokens` of an agent limits its replies",
        ),
        inert("max_tokens_per_day", "tokens are counted but not limited"),
        inert("max_cost_per_day", "money is not limited"),
        inert("cost_alert_threshold", "money is not limited"),
        inert("max_memory_mb", "an agent has no memory of its own to limit"),
        inert("max_daily_memory_gb", "an agent has no memory of its own to limit"),
        inert("memory_alert_percent", "an agent has no memory of its own to limit"),
        inert("max_context_window", "history is trimmed by count, see `keep_recent`"),
        inert("context_trim_percent", "history is trimmed by count, see `keep_recent`"),
        inert("slow_call_threshold_seconds", "no call is reported as slow"),
        inert("max_errors_per_hour", "a failing model is tried `model_attempts` times, then its backups"),
        inert("max_errors_per_day", "a failing model is tried `model_attempts` times, then its backups"),
        inert("max_consecutive_errors", "a failing model is tried `model_attempts` times, then its backups"),
        inert("max_calls_per_minute", "calls are not limited by rate"),
        inert("max_calls_per_hour", "calls are not limited by rate"),
        inert("max_calls_per_day", "calls are not limited by rate"),
        inert("block_on_quota_exceed", "a limit that acts always stops the run"),
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
    what: "`routing`",
    keys: &[
        acts("signals", Kind::Entries(&Kind::List(&Kind::Map(&SIGNAL)))),
        acts("defaults", Kind::Entries(&Kind::TextOrNull)),
        acts("agent_behaviors", Kind::Entries(&Kind::Map(&BEHAVIOR))),
        acts("parallel_groups", Kind::Entries(&Kind::Map(&GROUP))),
        inert("parallel_targets", GROUPS_INSTEAD),
        inert("parallel_execution", GROUPS_INSTEAD),
    ],
    mistaken: &[
        ("groups", "the key is `parallel_groups`"),
        ("behaviors", "the key is `agent_behaviors`"),
        ("agent_behaviours", "the key is `agent_behaviors`"),
    ],
};

/// One routing signal.
pub static SIGNAL: Table = Table {
    what: "a signal",
    keys: &[
        needs("signal", Kind::Text),
        acts("target", Kind::TextOrNull),
        acts("description", Kind::Text),
        inert("parallel_targets", GROUPS_INSTEAD),
        inert("parallel_execution", GROUPS_INSTEAD),
    ],
    mistaken: &[
        ("name", "the key is `signal`"),
        ("agent", "the key is `target`"),
        ("to", "the key is `target`"),
    ],
};

/// What an agent does beside speaking.
pub static BEHAVIOR: Table = Table {
    what: "a behaviour",
    keys: &[
        acts("wait_for_signal", Kind::Flag),
        acts("is_terminal", Kind::Flag),
        note("description"),
        inert("auto_route", "`defaults` and `handoff_targets` act with or without it"),
        inert("parallel_targets", GROUPS_INSTEAD),
        inert("parallel_execution", GROUPS_INSTEAD),
    ],
    mistaken: &[("terminal", "the key is `is_terminal`"), ("wait", "the key is `wait_for_signal`")],
};

/// A parallel group.
pub static GROUP: Table = Table {
    what: "a parallel group",
    keys: &[
        needs("agents", TEXTS),
        acts(
            "join",
            Kind::Either {
                what: "`all`, `first` or `{quorum: n}`",
                scalar: Some(&Kind::Choice(&["all", "first"])),
                list: None,
                map: Some(&Kind::Map(&JOIN)),
            },
        ),
        acts("on_error", Kind::Choice(&["continue", "fail_fast"])),
        seconds("timeout_seconds", "`settings.parallel_timeout_seconds`"),
        acts(
            "aggregate",
            Kind::Either {
                what: "`text`, `json`, `merge` or `{template: \"...\"}`",
                scalar: Some(&Kind::Choice(&["text", "json", "merge"])),
                list: None,
                map: Some(&Kind::Map(&AGGREGATE)),
            },
        ),
        acts("next_agent", Kind::TextOrNull),
        acts("description", Kind::Text),
        inert(
            "wait_for_all",
            "a group waits for all its agents; `join: first` or `join: {quorum: n}` waits for fewer",
        ),
        inert("parallel_targets", GROUPS_INSTEAD),
        inert("parallel_execution", GROUPS_INSTEAD),
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
pub static JOIN: Table =
    Table { what: "`join`", keys: &[needs("quorum", Kind::Whole { min: 1, max: 1_000_000 })], mistaken: &[] };

/// `aggregate:` of a group, where it is a map.
pub static AGGREGATE: Table =
    Table { what: "`aggregate`", keys: &[needs("template", Kind::Text)], mistaken: &[] };

const NO_MONEY: &str = "tokens are counted, but neither tokens nor money are limited";
const NO_MEMORY: &str = "an agent has no memory of its own to limit";
const NO_ERRORS: &str = "a failing model is tried `settings.model_attempts` times, then the backups";

/// An agent: a file of `agents/`, or an item of `agents:`.
pub static AGENT: Table = Table {
    what: "an agent",
    keys: &[
        needs("id", Kind::Text),
        acts("name", Kind::Text),
        acts("role", Kind::Text),
        acts("description", Kind::Text),
        acts("backstory", Kind::Text),
        acts("system_prompt", Kind::Text),
        acts("model", Kind::Text),
        acts("provider", Kind::Text),
        acts("provider_url", Kind::Text),
        acts("primary", Kind::Map(&MODEL)),
        acts(
            "backup",
            Kind::Either {
                what: "a model as a map, or a list of them",
                scalar: None,
                list: Some(&Kind::List(&Kind::Map(&MODEL))),
                map: Some(&Kind::Map(&MODEL)),
            },
        ),
        acts("temperature", Kind::Number { min: 0.0, max: 2.0 }),
        acts("max_tokens", Kind::Whole { min: 1, max: 100_000_000 }),
        acts("top_p", Kind::Number { min: 0.0, max: 1.0 }),
        acts("parameters", Kind::Map(&PARAMETERS)),
        acts("tool_calls", Kind::Choice(&["auto", "native", "text"])),
        acts("tools", TEXTS),
        acts("handoff_targets", TEXTS),
        acts("is_terminal", Kind::Flag),
        inert("top_k", "not every provider knows it; one that does takes it under `parameters.extra`"),
        inert("enforce", "a limit that acts is always enforced"),
        inert("enforce_cost_limits", NO_MONEY),
        inert("cost_limits", NO_MONEY),
        inert("max_tokens_per_call", "tokens are counted but not limited; `max_tokens` limits a reply"),
        inert("max_tokens_per_day", NO_MONEY),
        inert("max_cost_per_day", NO_MONEY),
        inert("cost_alert_threshold", NO_MONEY),
        inert("memory_limits", NO_MEMORY),
        inert("error_limits", NO_ERRORS),
        inert("logging", "what is logged is the program's setting, the same for all agents"),
    ],
    mistaken: &[
        ("prompt", "the key is `system_prompt`"),
        ("instructions", "the key is `system_prompt`"),
        ("terminal", "the key is `is_terminal`"),
        ("goal", "write it into `description` or `backstory`"),
        ("base_url", "the key is `provider_url`"),
        ("url", "the key is `provider_url`"),
        ("stop", "it belongs under `parameters:`"),
        ("seed", "it belongs under `parameters:`"),
        ("reasoning_effort", "it belongs under `parameters:`"),
        ("wait_for_signal", "it belongs into `crew.yaml` under `routing.agent_behaviors`"),
        ("signals", "they belong into `crew.yaml` under `routing.signals`"),
        ("handoffs", "the key is `handoff_targets`"),
        ("api_key", NO_KEYS),
    ],
};

/// `primary:` and `backup:` of an agent.
pub static MODEL: Table = Table {
    what: "a model",
    keys: &[acts("model", Kind::Text), acts("provider", Kind::Text), acts("provider_url", Kind::Text)],
    mistaken: &[
        ("base_url", "the key is `provider_url`"),
        ("url", "the key is `provider_url`"),
        ("name", "the key is `model`"),
        ("temperature", "it belongs to the agent, under `parameters:`"),
        ("api_key", NO_KEYS),
    ],
};

/// `parameters:` of an agent.
pub static PARAMETERS: Table = Table {
    what: "`parameters`",
    keys: &[
        acts("temperature", Kind::Number { min: 0.0, max: 2.0 }),
        acts("max_tokens", Kind::Whole { min: 1, max: 100_000_000 }),
        acts("top_p", Kind::Number { min: 0.0, max: 1.0 }),
        acts(
            "stop",
            Kind::Either {
                what: "a text, or a list of texts",
                scalar: Some(&Kind::Text),
                list: Some(&TEXTS),
                map: None,
            },
        ),
        acts("seed", Kind::Whole { min: i64::MIN, max: i64::MAX }),
        acts("reasoning_effort", Kind::Text),
        acts("extra", Kind::Json),
    ],
    mistaken: &[
        ("top_k", "a provider that knows it takes it under `extra:`"),
        ("frequency_penalty", "a provider that knows it takes it under `extra:`"),
        ("presence_penalty", "a provider that knows it takes it under `extra:`"),
    ],
};

/// A tool that the crew defines.
pub static TOOL: Table = Table {
    what: "a tool",
    keys: &[
        acts("description", Kind::Text),
        needs("command", Kind::Map(&COMMAND)),
        acts("cwd", Kind::Text),
        acts("env", TEXTS),
        acts("parameters", Kind::Json),
        acts("effect", Kind::Choice(&["read", "idempotent", "once"])),
        acts("on_unknown", Kind::Choice(&["ask", "fail", "assume_done", "rerun"])),
        seconds("timeout_seconds", "`settings.tool_execution_timeout_seconds`"),
        acts("retries", Kind::Whole { min: 0, max: 100 }),
        acts("max_output_bytes", Kind::Setting { max: 16 * 1024 * 1024, default: "32768" }),
    ],
    mistaken: &[
        ("argv", "write `command: {argv: [...]}`"),
        ("allow", "write `command: {allow: {name: [...]}}`"),
        ("timeout", "the key is `timeout_seconds`"),
        ("params", "the key is `parameters`"),
        ("approval", "no person can be asked before a call yet"),
    ],
};

/// `command:` of a tool.
pub static COMMAND: Table = Table {
    what: "`command`",
    keys: &[acts("argv", TEXTS), acts("allow", Kind::Entries(&TEXTS))],
    mistaken: &[
        ("shell", "a command is a list of arguments: no shell ever reads it"),
        ("args", "the key is `argv`"),
    ],
};
