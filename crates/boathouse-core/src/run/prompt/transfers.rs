//! The `transfer_to_...` tools: hand-offs that a model calls like tools.

use std::collections::HashSet;

use unicode_normalization::UnicodeNormalization;

use crate::crew::{AgentIx, Crew, HandoffStyle, Route, ToolCallStyle};

/// The longest name that providers take.
const MAX_NAME: usize = 64;

/// The transfers that an agent is offered on the main branch: tool name, route, description.
///
/// One for each agent and group that its signals, its default route and its hand-off targets lead to, in that order. None
/// where hand-offs are written as signals. Names hold only `[A-Za-z0-9_-]` and differ from each other and from the agent's tools.
pub fn transfers(crew: &Crew, agent: AgentIx) -> Vec<(String, Route, String)> {
    let agent = crew.agent(agent);
    match (crew.handoff, agent.tool_calls) {
        (HandoffStyle::Signal, _) | (HandoffStyle::Auto, ToolCallStyle::Text) => return Vec::new(),
        (HandoffStyle::Tool, _) | (HandoffStyle::Auto, ToolCallStyle::Auto | ToolCallStyle::Native) => {}
    }
    let signals = agent.signals.iter().map(|signal| (signal.route, signal.description.trim()));
    let targets = agent.handoff_targets.iter().map(|target| Route::Agent(*target));
    let others = agent.default_route.into_iter().chain(targets).map(|route| (route, ""));
    let mut taken: HashSet<String> =
        agent.tools.iter().map(|tool| crew.tool(*tool).spec.name.clone()).collect();
    let mut transfers: Vec<(String, Route, String)> = Vec::new();
    for (route, when) in signals.chain(others) {
        let Some(id) = crew.route_name(route) else { continue };
        if let Some((.., description)) = transfers.iter_mut().find(|(_, other, _)| *other == route) {
            if !when.is_empty() && !description.contains(when) {
                *description = format!("{description} {when}");
            }
            continue;
        }
        let name = unique(&format!("transfer_to_{}", tool_name(id)), &mut taken);
        transfers.push((name, route, describe(crew, route, when)));
    }
    transfers
}

fn describe(crew: &Crew, route: Route, when: &str) -> String {
    let (to, what) = match route {
        Route::Agent(ix) => {
            let agent = crew.agent(ix);
            let what = if agent.description.is_empty() { &agent.role } else { &agent.description };
            (format!("Hands the conversation over to {}.", agent.name), what)
        }
        Route::Group(ix) => {
            let group = crew.group(ix);
            (format!("Hands the conversation over to the group {}.", group.name), &group.description)
        }
        Route::End => ("Ends the conversation.".to_owned(), &crew.description),
    };
    [to.as_str(), what.trim(), when]
        .iter()
        .filter(|part| !part.is_empty())
        .copied()
        .collect::<Vec<_>>()
        .join(" ")
}

/// The text as a tool name: `[A-Za-z0-9_-]{1,64}`. Letters lose their accents, other characters become `_`.
pub(super) fn tool_name(text: &str) -> String {
    let is_accent = unicode_normalization::char::is_combining_mark;
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let name: String = text.nfd().filter(|c| !is_accent(*c)).map(plain).take(MAX_NAME).collect();
    if name.is_empty() { "_".to_owned() } else { name }
}

fn unique(wanted: &str, taken: &mut HashSet<String>) -> String {
    // All characters are ASCII here, so any place may be cut.
    let mut name = wanted[..wanted.len().min(MAX_NAME)].to_owned();
    let mut count = 2;
    while !taken.insert(name.clone()) {
        let suffix = format!("_{count}");
        name = format!("{}{suffix}", &wanted[..wanted.len().min(MAX_NAME - suffix.len())]);
        count += 1;
    }
    name
}
