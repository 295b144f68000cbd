//! The keys of an agent.

use super::{
    Key, Kind, NO_KEYS, NO_MEMORY, NUMBER, TEXTS, Table, WHOLE, acts, inert, instead, needs, not_yet,
};

const NO_LIMITS: &str = "tokens are counted, but neither tokens nor money are limited";
const TEMPERATURE: Key = acts(
    "temperature",
    Kind::Number { min: 0.0, max: 2.0 },
    "how freely it words its replies; 0 is sent as 0",
)
.or("the provider's");
const MAX_TOKENS: Key =
    acts("max_tokens", Kind::Whole { min: 1, max: 100_000_000 }, "the longest reply, in tokens")
        .or("the provider's");
const TOP_P: Key =
    acts("top_p", Kind::Number { min: 0.0, max: 1.0 }, "nucleus sampling").or("the provider's");

/// An agent: a file of `agents/`, or an item of `agents:`.
pub static AGENT: Table = Table {
    name: "agent",
    what: "an agent",
    keys: &[
        needs("id", Kind::Text, "what routes and lists call it").takes("text, 1 to 128 characters"),
        acts("name", Kind::Text, "what people and prompts call it").or("the id"),
        acts("role", Kind::Text, "its task in a few words, for prompts"),
        acts("description", Kind::Text, "what it does, for prompts; tells other agents when to hand over to it"),
        acts("backstory", Kind::Text, "who it is, for prompts"),
        acts("system_prompt", Kind::Text, "the whole system prompt, with placeholders")
            .or("made from the persona"),
        acts("model", Kind::Text, "which model answers").or("`gpt-4o-mini` with `openai`; `scripted` needs none"),
        acts("provider", Kind::Text, "who answers, such as `openai`, `ollama` or `scripted`").or("openai"),
        acts("provider_url", Kind::Text, "a base URL of the provider").or("the provider's own"),
        acts("primary", Kind::Map(&MODEL), "the three keys above as a block; then those do nothing"),
        acts(
            "backup",
            Kind::Either {
                what: "a model as a map, or a list of them",
                scalar: None,
                list: Some(&Kind::List(&Kind::Map(&MODEL))),
                map: Some(&Kind::Map(&MODEL)),
            },
            "asked in turn when the model before has failed `model_attempts` times",
        )
        .takes("model, or list of models"),
        TEMPERATURE,
        MAX_TOKENS,
        TOP_P,
        acts("parameters", Kind::Map(&PARAMETERS), "what is sent with every request; the three keys above may stand here too"),
        acts(
            "tool_calls",
            Kind::Choice(&["auto", "native", "text"]),
            "how it asks for tools: through the provider's interface, as `Tool(args)` lines for models that know no other way, or both",
        )
        .or("auto"),
        acts("tools", TEXTS, "what it may call: tools of this crew, or built-in ones").takes("list of tools").or("none"),
        acts(
            "handoff_targets",
            TEXTS,
            "the first one takes over when nothing else says where to go; with `handoff: tool` or `auto` each one is offered as a transfer",
        )
        .takes("list of agents")
        .or("none"),
        acts("is_terminal", Kind::Flag, "the run completes after its reply").or("false"),
        not_yet("output_schema", Kind::Json, "replies are texts; say in the prompt what they should look like"),
        not_yet("max_tokens_per_call", WHOLE, "tokens are counted but not limited; `max_tokens` limits a reply"),
        not_yet("max_tokens_per_day", WHOLE, NO_LIMITS),
        not_yet("max_cost_per_day", NUMBER, NO_LIMITS),
        not_yet("cost_alert_threshold", NUMBER, NO_LIMITS),
        not_yet("enforce_cost_limits", Kind::Flag, NO_LIMITS),
        not_yet("cost_limits", Kind::Map(&COST_LIMITS), NO_LIMITS),
        not_yet("enforce", Kind::Any, "a limit that acts is always enforced"),
        not_yet("top_k", WHOLE, "not every provider knows it; one that does takes it under `parameters.extra`"),
        inert("memory_limits", Kind::Map(&MEMORY_LIMITS), NO_MEMORY),
        not_yet("error_limits", Kind::Map(&ERROR_LIMITS), "a failing model is tried `settings.model_attempts` times, then the backups"),
        not_yet("logging", Kind::Map(&LOGGING), "what is logged is the program's setting, the same for all agents"),
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

const OF_THE_AGENT: &str = "sampling is set for the agent, the same for all its models";

/// `primary:` and `backup:` of an agent.
pub static MODEL: Table = Table {
    name: "model",
    what: "a model",
    keys: &[
        acts("model", Kind::Text, "which model answers")
            .or("`gpt-4o-mini` with `openai`; `scripted` needs none"),
        acts("provider", Kind::Text, "who answers").or("openai"),
        acts("provider_url", Kind::Text, "a base URL of the provider").or("the provider's own"),
        instead("top_p", NUMBER, OF_THE_AGENT),
        instead("top_k", WHOLE, OF_THE_AGENT),
    ],
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
    name: "parameters",
    what: "`parameters`",
    keys: &[
        TEMPERATURE,
        MAX_TOKENS,
        TOP_P,
        acts(
            "stop",
            Kind::Either {
                what: "a text, or a list of texts",
                scalar: Some(&Kind::Text),
                list: Some(&TEXTS),
                map: None,
            },
            "ends the reply",
        ),
        acts(
            "seed",
            Kind::Whole { min: i64::MIN, max: i64::MAX },
            "for replies that repeat, where the provider can",
        ),
        acts("reasoning_effort", Kind::Text, "how hard a reasoning model thinks"),
        acts(
            "extra",
            Kind::Json,
            "further keys of the request, passed through as JSON. Not `model`, `messages`, `system`, `tools`, `tool_choice`, `stream`, `n`",
        ),
    ],
    mistaken: &[
        ("top_k", "a provider that knows it takes it under `extra:`"),
        ("frequency_penalty", "a provider that knows it takes it under `extra:`"),
        ("presence_penalty", "a provider that knows it takes it under `extra:`"),
    ],
};

/// `cost_limits:` of an agent.
pub static COST_LIMITS: Table = Table {
    name: "cost_limits",
    what: "`cost_limits`",
    keys: &[
        acts("max_tokens_per_call", WHOLE, "tokens of one call"),
        acts("max_tokens_per_day", WHOLE, "tokens of a day"),
        acts("max_cost_per_day_usd", NUMBER, "money of a day, in dollars"),
        acts("alert_threshold", NUMBER, "the part of a limit at which a warning is due"),
        acts("block_on_cost_exceed", Kind::Flag, "whether a limit stops the agent"),
        acts("input_token_price_per_million", NUMBER, "the price of a million tokens that the model reads"),
        acts("output_token_price_per_million", NUMBER, "the price of a million tokens that it writes"),
        acts("enforce", Kind::Any, "whether the limits count"),
    ],
    mistaken: &[("max_cost_per_day", "the key is `max_cost_per_day_usd`")],
};

/// `memory_limits:` of an agent.
pub static MEMORY_LIMITS: Table = Table {
    name: "memory_limits",
    what: "`memory_limits`",
    keys: &[
        acts("max_per_call_mb", WHOLE, "memory of one call, in megabytes"),
        acts("max_per_day_mb", WHOLE, "memory of a day, in megabytes"),
        acts("block_on_memory_exceed", Kind::Flag, "whether a limit stops the agent"),
        acts("enforce", Kind::Any, "whether the limits count"),
    ],
    mistaken: &[],
};

/// `error_limits:` of an agent.
pub static ERROR_LIMITS: Table = Table {
    name: "error_limits",
    what: "`error_limits`",
    keys: &[
        acts("max_consecutive", WHOLE, "failures one after the other"),
        acts("max_per_day", WHOLE, "failures of a day"),
        acts("block_on_error_exceed", Kind::Flag, "whether a limit stops the agent"),
        acts("enforce", Kind::Any, "whether the limits count"),
    ],
    mistaken: &[],
};

/// `logging:` of an agent.
pub static LOGGING: Table = Table {
    name: "logging",
    what: "`logging`",
    keys: &[
        acts("enable_memory_metrics", Kind::Flag, "whether memory is measured"),
        acts("enable_performance_metrics", Kind::Flag, "whether calls are measured"),
        acts("enable_quota_warnings", Kind::Flag, "whether a limit that comes near is warned of"),
        acts("log_level", Kind::Text, "how much is logged"),
    ],
    mistaken: &[],
};
