//! The system prompt: the agent's own, or one made from its persona.

use std::fmt::Write as _;

use serde_json::Value;

use crate::crew::{Agent, Crew, HandoffStyle, Route, Signal, ToolCallStyle, ToolSpec};
use crate::run::Run;
use crate::run::branch::Branch;

use super::placeholders::Placeholders;

/// The system prompt of the agent that is to speak on a branch.
///
/// An agent that calls tools by text is told how, and which there are, also below its own prompt.
pub(super) fn prompt(run: &Run, branch: &Branch, agent: &Agent) -> String {
    let crew = run.crew();
    let placeholders = Placeholders::new(run, agent);
    let mut sections = Vec::new();
    match &agent.system_prompt {
        Some(own) => {
            sections.push(placeholders.fill(own).trim_end().to_owned());
            sections.extend(tools(crew, agent));
        }
        None => {
            sections.push(persona(crew, agent, &placeholders));
            sections.extend(tools(crew, agent));
            if branch.parent.is_none() {
                sections.extend(signals(crew, agent, &placeholders));
            }
            sections.extend(manners(crew, branch, agent));
        }
    }
    sections.join("\n\n")
}

fn persona(crew: &Crew, agent: &Agent, placeholders: &Placeholders) -> String {
    let mut text = format!("You are {}.", placeholders.fill(&agent.name));
    let parts = [("Role", &agent.role), ("Description", &agent.description), ("Backstory", &agent.backstory)];
    for (label, part) in parts {
        if !part.trim().is_empty() {
            let _ = write!(text, "\n{label}: {}", placeholders.fill(part).trim());
        }
    }
    if let Some(organization) = &crew.settings.organization {
        let _ = write!(text, "\nYou work for {}.", placeholders.fill(organization));
    }
    text
}

/// How to call tools by text, and the list of them; `None` where the provider's interface does that.
fn tools(crew: &Crew, agent: &Agent) -> Option<String> {
    match agent.tool_calls {
        ToolCallStyle::Text if !agent.tools.is_empty() => {}
        ToolCallStyle::Text | ToolCallStyle::Auto | ToolCallStyle::Native => return None,
    }
    let mut text = String::from(
        "You can call the tools listed below. To call one, write the call alone on a line, as in \
         ToolName(\"some text\", 5) or ToolName(first=\"some text\", second=5), with text in double quotes. For several \
         calls, write several lines. The results come in the next message: do not make them up, and do not answer \
         before you have them.\nTools:",
    );
    for (at, tool) in agent.tools.iter().enumerate() {
        let spec = &crew.tool(*tool).spec;
        let _ = write!(text, "\n{}. {}({})", at + 1, spec.name, spec.positional.join(", "));
        if !spec.description.trim().is_empty() {
            let _ = write!(text, ": {}", spec.description.trim());
        }
        for name in &spec.positional {
            let _ = write!(text, "\n   - {}", parameter(spec, name));
        }
    }
    Some(text)
}

/// `host (string, required): the host to ping`
fn parameter(spec: &ToolSpec, name: &str) -> String {
    let schema = spec.parameters.get("properties").and_then(|properties| properties.get(name));
    let mut facts: Vec<String> = Vec::new();
    match schema.and_then(|schema| schema.get("type")) {
        Some(Value::String(kind)) => facts.push(kind.clone()),
        Some(Value::Array(kinds)) => {
            facts.push(kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "));
        }
        _ => {}
    }
    if let Some(values) = schema.and_then(|schema| schema.get("enum")).and_then(Value::as_array) {
        let values: Vec<String> = values.iter().map(Value::to_string).collect();
        facts.push(format!("one of {}", values.join(", ")));
    }
    if let Some(default) = schema.and_then(|schema| schema.get("default")) {
        facts.push(format!("default {default}"));
    }
    let required = spec.parameters.get("required").and_then(Value::as_array);
    if required.is_some_and(|required| required.iter().any(|other| other == name)) {
        facts.push("required".to_owned());
    }
    let mut text = name.to_owned();
    if !facts.is_empty() {
        let _ = write!(text, " ({})", facts.join(", "));
    }
    if let Some(description) = schema.and_then(|schema| schema.get("description")).and_then(Value::as_str) {
        let _ = write!(text, ": {}", description.trim());
    }
    text
}

/// The signals that act: where hand-offs are tools, only those that end the run.
fn signals(crew: &Crew, agent: &Agent, placeholders: &Placeholders) -> Option<String> {
    let acts = |signal: &&Signal| match crew.handoff {
        HandoffStyle::Signal | HandoffStyle::Auto => true,
        HandoffStyle::Tool => signal.route == Route::End,
    };
    let mut text = String::from(
        "To say where the conversation goes next, end your reply with one of these signals, exactly as written:",
    );
    let mut any = false;
    for signal in agent.signals.iter().filter(acts) {
        any = true;
        let to = match signal.route {
            Route::Agent(ix) => format!("hands over to {}", crew.agent(ix).name),
            Route::Group(ix) => format!("hands over to the group {}", crew.group(ix).name),
            Route::End => "ends the conversation".to_owned(),
        };
        let _ = write!(text, "\n- {} {to}", signal.text);
        if !signal.description.trim().is_empty() {
            let _ = write!(text, ": {}", placeholders.fill(&signal.description).trim());
        }
    }
    if agent.wait_for_signal {
        text.push_str("\nA reply without a signal goes to the user, whose answer comes back to you.");
    }
    any.then_some(text)
}

fn manners(crew: &Crew, branch: &Branch, agent: &Agent) -> Option<String> {
    let mut lines = Vec::new();
    if let Some(language) = &crew.settings.language {
        lines.push(format!("Answer in this language: {language}."));
    }
    if agent.terminal && branch.parent.is_none() {
        lines.push("You are the final agent: the conversation ends after your reply.".to_owned());
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}
