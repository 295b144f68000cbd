//! Placeholders in scripted replies: `{{input}}`, `{{last}}`, `{{result.ToolName}}` and `{{match.name}}`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use boathouse_core::run::request::{ModelRequest, PromptMessage};
use regex::{Captures, Regex};
use serde_json::Value;

/// In the first line of a block of results: those of tools as text, or those of a parallel group.
const BLOCK: &str = "EXECUTION RESULTS]";
/// Closes the former.
const BLOCK_END: &str = "[END RESULTS]";
/// In the first line of the latter.
const PARALLEL: &str = "PARALLEL EXECUTION RESULTS]";

static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| {
    #[expect(clippy::unwrap_used, reason = "the pattern is constant, and a test compiles it")]
    Regex::new(r"\{\{\s*([A-Za-z_][A-Za-z0-9_.-]*)\s*\}\}").unwrap()
});

/// Says which placeholder of a text is none of ours. `groups` are the named groups of the rule's patterns.
pub(super) fn check(text: &str, groups: &[&str]) -> Result<(), String> {
    for found in PLACEHOLDER.captures_iter(text) {
        let name = &found[1];
        match (name, name.split_once('.')) {
            ("input" | "last", _) => {}
            (_, Some(("result", tool))) if !tool.is_empty() => {}
            (_, Some(("match", group))) if groups.contains(&group) => {}
            (_, Some(("match", group))) => {
                return Err(format!(
                    "`{{{{{name}}}}}` quotes what a group matched, and the rule has no group `{group}`; write \
                     `(?<{group}>...)` in its `when` or `input`"
                ));
            }
            _ => {
                return Err(format!(
                    "unknown placeholder `{{{{{name}}}}}`; known are `{{{{input}}}}`, `{{{{last}}}}`, \
                     `{{{{result.ToolName}}}}` and `{{{{match.name}}}}`"
                ));
            }
        }
    }
    Ok(())
}

/// [`check`] for every text in a value.
pub(super) fn check_value(value: &Value, groups: &[&str]) -> Result<(), String> {
    match value {
        Value::String(text) => check(text, groups),
        Value::Array(items) => items.iter().try_for_each(|item| check_value(item, groups)),
        Value::Object(entries) => entries.values().try_for_each(|item| check_value(item, groups)),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// What a rule may look at and quote from one request.
pub(crate) struct Quotes<'a> {
    request: &'a ModelRequest,
    last: Cow<'a, str>,
    first_input: &'a str,
    input: &'a str,
    /// What the named groups of the rule matched.
    matched: BTreeMap<String, String>,
}

impl<'a> Quotes<'a> {
    /// Of a request.
    pub(crate) fn new(request: &'a ModelRequest) -> Quotes<'a> {
        let mut inputs = request.messages.iter().filter_map(|message| match message {
            PromptMessage::User { text } if is_from_the_person(request, text) => Some(text.as_str()),
            PromptMessage::User { .. }
            | PromptMessage::System { .. }
            | PromptMessage::Assistant { .. }
            | PromptMessage::Tool { .. } => None,
        });
        let first_input = inputs.next().unwrap_or_default();
        let input = inputs.next_back().unwrap_or(first_input);
        Quotes { request, last: last(&request.messages), first_input, input, matched: BTreeMap::new() }
    }

    /// The same for a rule that fits: with what the named groups of its patterns matched. `when` goes before `input`.
    pub(crate) fn of_rule(mut self, when: Option<&Regex>, input: Option<&Regex>) -> Quotes<'a> {
        let mut matched = BTreeMap::new();
        let mut take = |pattern: Option<&Regex>, texts: &[&str]| {
            let Some(pattern) = pattern else { return };
            let Some(found) = texts.iter().find_map(|text| pattern.captures(text)) else { return };
            for name in pattern.capture_names().flatten() {
                let text = found.name(name).map_or("", |text| text.as_str());
                matched.entry(name.to_owned()).or_insert_with(|| text.to_owned());
            }
        };
        take(when, &[&self.last]);
        take(input, &[self.input, self.first_input]);
        self.matched = matched;
        self
    }

    /// The last message; if it holds tool results, all of that round.
    pub(crate) fn last(&self) -> &str {
        &self.last
    }

    /// What the person said first.
    pub(crate) fn first_input(&self) -> &str {
        self.first_input
    }

    /// What the person said last.
    pub(crate) fn input(&self) -> &str {
        self.input
    }

    /// Fills in the placeholders of a text. The error names a tool without a result.
    pub(crate) fn fill(&self, text: &str) -> Result<String, String> {
        let mut missing = None;
        let filled = PLACEHOLDER.replace_all(text, |found: &Captures<'_>| {
            let name = &found[1];
            match (name, name.split_once('.')) {
                ("input", _) => self.input.to_owned(),
                ("last", _) => self.last.clone().into_owned(),
                // A rule whose groups do not have the name was refused when it was read.
                (_, Some(("match", group))) => self.matched.get(group).cloned().unwrap_or_default(),
                (_, rest) => {
                    let tool = rest.map_or(name, |(_, tool)| tool);
                    self.result(tool).map(str::to_owned).unwrap_or_else(|| {
                        missing.get_or_insert_with(|| tool.to_owned());
                        String::new()
                    })
                }
            }
        });
        match missing {
            None => Ok(filled.into_owned()),
            Some(tool) => Err(format!("it quotes a result of `{tool}`, but the prompt holds none")),
        }
    }

    /// [`Quotes::fill`] for every text in a value.
    pub(crate) fn fill_value(&self, value: &Value) -> Result<Value, String> {
        Ok(match value {
            Value::String(text) => Value::String(self.fill(text)?),
            Value::Array(items) => {
                Value::Array(items.iter().map(|item| self.fill_value(item)).collect::<Result<_, _>>()?)
            }
            Value::Object(entries) => Value::Object(
                entries
                    .iter()
                    .map(|(key, value)| Ok((key.clone(), self.fill_value(value)?)))
                    .collect::<Result<_, String>>()?,
            ),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        })
    }

    /// The newest result of a tool in the prompt, native or as text.
    fn result(&self, name: &str) -> Option<&'a str> {
        self.request.messages.iter().rev().find_map(|message| match message {
            PromptMessage::Tool { tool, output, .. } if tool == name => Some(output.as_str()),
            PromptMessage::User { text } => result_in_text(text, name),
            PromptMessage::Tool { .. } | PromptMessage::System { .. } | PromptMessage::Assistant { .. } => {
                None
            }
        })
    }
}

fn last(messages: &[PromptMessage]) -> Cow<'_, str> {
    let outputs = messages
        .iter()
        .rev()
        .map_while(|message| match message {
            PromptMessage::Tool { output, .. } => Some(output.as_str()),
            PromptMessage::System { .. } | PromptMessage::User { .. } | PromptMessage::Assistant { .. } => {
                None
            }
        })
        .collect::<Vec<&str>>();
    if let [first, .., last] = outputs[..] {
        let mut all = String::with_capacity(first.len() + last.len());
        for output in outputs.iter().rev() {
            if !all.is_empty() {
                all.push('\n');
            }
            all.push_str(output);
        }
        return Cow::Owned(all);
    }
    match messages.last() {
        None => Cow::Borrowed(""),
        Some(PromptMessage::Tool { output, .. }) => Cow::Borrowed(output),
        Some(
            PromptMessage::System { text }
            | PromptMessage::User { text }
            | PromptMessage::Assistant { text, .. },
        ) => Cow::Borrowed(text),
    }
}

/// A user message that is neither another agent's or a group's voice nor a block of results.
fn is_from_the_person(request: &ModelRequest, text: &str) -> bool {
    let text = text.trim_start();
    let Some((voice, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
        return true;
    };
    if voice.ends_with("EXECUTION RESULTS") {
        return false;
    }
    let crew = &request.crew;
    let is_known = voice == "assistant"
        || crew.agents.iter().any(|agent| agent.name == voice || agent.id.as_str() == voice)
        || crew.groups.iter().any(|group| group.name == voice);
    !(is_known && rest.starts_with('\n'))
}

/// The newest result of a tool in a block of results: `Tool:`, `  Status: ...`, `  Output: ...`.
fn result_in_text<'a>(text: &'a str, tool: &str) -> Option<&'a str> {
    if !text.contains(BLOCK) {
        return None;
    }
    let head = format!("\n{tool}:\n  Status: ");
    let body = &text[text.rfind(&head)? + head.len()..];
    let (_, output) = body.split_once("\n  Output: ")?;
    let end = end_of_output(output, text.contains(PARALLEL));
    Some(output[..end].trim_end_matches('\n'))
}

/// Where an output ends: at the next tool's heading, at the next branch's, or at the block's end.
fn end_of_output(output: &str, parallel: bool) -> usize {
    let end = if parallel { "\n\n[" } else { BLOCK_END };
    let block_end = output.find(end).unwrap_or(output.len());
    let next = output[..block_end].find(":\n  Status: ").and_then(|colon| {
        // The heading's line begins after the newline before it.
        output[..colon].rfind('\n')
    });
    next.unwrap_or(block_end)
}
