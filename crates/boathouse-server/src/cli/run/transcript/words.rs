//! Names, times and calls in words.

use boathouse::core::crew::Crew;
use boathouse::core::ids::AgentId;
use boathouse::core::run::event::CallEnd;
use serde_json::Value;

use crate::cli::paint::clean;

/// The name that people see of an agent.
pub(crate) fn agent_name(crew: &Crew, agent: &AgentId) -> String {
    let name = crew.find_agent(agent.as_str()).map(|ix| crew.agent(ix).name.as_str()).unwrap_or_default();
    if name.is_empty() { agent.to_string() } else { clean(name).into_owned() }
}

/// What became of a call, in words.
pub(crate) fn call_end(end: CallEnd) -> &'static str {
    match end {
        CallEnd::Finished => "finished",
        CallEnd::Dropped => "dropped",
        CallEnd::Disconnected => "disconnected; what the peer does is the peer's",
        CallEnd::Terminated => "terminated",
        CallEnd::Killed => "killed",
        CallEnd::Abandoned => "abandoned: it ignores cancellation, its result will be discarded",
        CallEnd::Unknown => "nobody knows whether it happened",
        CallEnd::Lost => "lost in a crash",
    }
}

/// `(host: "a", count: 1)`; nothing for no arguments.
pub(super) fn arguments_text(arguments: &Value) -> String {
    match arguments {
        Value::Object(map) if map.is_empty() => String::new(),
        Value::Object(map) => {
            let pairs: Vec<String> = map.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            format!("({})", pairs.join(", "))
        }
        Value::Null => String::new(),
        other => format!("({other})"),
    }
}

pub(super) fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most - 1).collect();
    short.push('…');
    short
}

/// `1 reply`, `2 replies`.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// `312 ms`, `1.2 s`, `3 min 20 s`.
pub(crate) fn duration(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        _ => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1_000),
    }
}
