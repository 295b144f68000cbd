//! The conversation as one agent sees it.
//!
//! Only the agent's own messages are `assistant`, and only its own native calls are tool blocks, each with exactly one result
//! right after. Everyone else speaks as `user`, opened by `[<name>]`, with calls and results as text. The last message
//! is never the assistant's.

use std::collections::HashSet;
use std::fmt::Write as _;

use serde_json::json;

use crate::crew::{Agent, Crew};
use crate::message::{Author, CallStyle, Message, ResultStatus, ToolCall, ToolResult};
use crate::run::aggregate::tool_results;
use crate::run::branch::Branch;
use crate::run::request::{PromptCall, PromptMessage};

use super::transfers::tool_name;

/// Result of a call whose own result is not in the history.
const NO_RESULT: &str = "no result: it is not part of this conversation";
/// What opens the message that stands for old ones.
pub(super) const SUMMARY: &str = "[summary of earlier messages]";
/// What is said to an agent whose own message is the last one.
const GO_ON: &str = "Continue.";

/// The messages that go into a prompt. Never empty. Without `native`, the agent's own calls are text too: a provider
/// takes tool blocks only where tools are offered.
pub(super) fn build(crew: &Crew, branch: &Branch, agent: &Agent, native: bool) -> Vec<PromptMessage> {
    let mut view = View { crew, agent, native, ids: HashSet::new(), messages: Vec::new() };
    let mut summary = branch.summary.as_deref();
    let mut places = branch.visible().peekable();
    while let Some(at) = places.next() {
        if at >= branch.trimmed
            && let Some(text) = summary.take()
        {
            view.user(format!("{SUMMARY}\n{text}"));
        }
        let message = &*branch.history[at];
        if message.calls.is_empty() {
            view.say(message, &[]);
            view.results(message, &[]);
            continue;
        }
        // The results of a message's calls are the next message, if they are there at all.
        let results = places.next_if(|next| *next == at + 1 && !branch.history[*next].results.is_empty());
        let results = results.map(|next| &*branch.history[next]);
        view.say(message, results.map_or(&[], |results| &results.results[..]));
        if let Some(results) = results {
            view.results(results, &message.calls);
        }
    }
    match view.messages.last() {
        Some(PromptMessage::User { .. } | PromptMessage::Tool { .. }) => {}
        Some(PromptMessage::Assistant { .. } | PromptMessage::System { .. }) | None => {
            view.user(GO_ON.to_owned());
        }
    }
    view.messages
}

struct View<'a> {
    crew: &'a Crew,
    agent: &'a Agent,
    native: bool,
    /// Ids of the tool blocks so far.
    ids: HashSet<String>,
    messages: Vec<PromptMessage>,
}

impl View<'_> {
    fn user(&mut self, text: String) {
        self.messages.push(PromptMessage::User { text });
    }

    fn is_own(&self, author: &Author) -> bool {
        match author {
            Author::Agent(Some(id)) => *id == self.agent.id,
            Author::Agent(None) => self.crew.agents.len() == 1,
            Author::User | Author::System | Author::Group(_) => false,
        }
    }

    /// Whether a call is a tool block in this prompt.
    fn is_block(&self, author: &Author, call: &ToolCall) -> bool {
        self.native && call.style == CallStyle::Native && self.is_own(author)
    }

    /// What a message says and asks for. Own native calls are followed by their results.
    fn say(&mut self, message: &Message, results: &[ToolResult]) {
        let said = message.content();
        let (blocks, others): (Vec<&ToolCall>, Vec<&ToolCall>) =
            message.calls.iter().partition(|call| self.is_block(&message.from, call));
        let text = with_calls(&said, &others);
        if text.trim().is_empty() && blocks.is_empty() {
            return;
        }
        match &message.from {
            Author::User => self.user(text),
            Author::System => self.messages.push(PromptMessage::System { text }),
            Author::Group(name) => self.user(format!("[{name}]\n{text}")),
            Author::Agent(_) if !self.is_own(&message.from) => {
                self.user(format!("[{}]\n{text}", self.name(&message.from)));
            }
            Author::Agent(_) => {
                let calls: Vec<PromptCall> = blocks.iter().map(|call| self.prompt_call(call)).collect();
                self.messages.push(PromptMessage::Assistant { text, calls: calls.clone() });
                self.block_results(&blocks, calls, results);
            }
        }
    }

    /// A native call as providers take it: an id that no other call of the prompt has (some servers count from 0 in every
    /// reply), a name of the characters that names may have, and an object of arguments. What a model wrote in place of
    /// an object is shown to it as such.
    fn prompt_call(&mut self, call: &ToolCall) -> PromptCall {
        let mut id = call.id.clone();
        let mut count = 2;
        while !self.ids.insert(id.clone()) {
            id = format!("{}_{count}", call.id);
            count += 1;
        }
        let arguments = if call.arguments.is_object() {
            call.arguments.clone()
        } else {
            json!({"unreadable": call.arguments})
        };
        PromptCall { id, tool: tool_name(&call.tool), arguments }
    }

    /// One result for each native call, in the order of the calls.
    fn block_results(&mut self, blocks: &[&ToolCall], calls: Vec<PromptCall>, results: &[ToolResult]) {
        let outputs = capped(self.crew, results);
        for (block, call) in blocks.iter().zip(calls) {
            let found = results.iter().position(|result| result.call == block.call);
            let output = found.map_or_else(|| NO_RESULT.to_owned(), |at| outputs[at].clone());
            let failed = found.is_none_or(|at| results[at].status == ResultStatus::Error);
            self.messages.push(PromptMessage::Tool { id: call.id, tool: call.tool, output, failed });
        }
    }

    /// Results that are no tool blocks, as text.
    fn results(&mut self, message: &Message, calls: &[ToolCall]) {
        let outputs = capped(self.crew, &message.results);
        let mut shown = Vec::new();
        for (result, output) in message.results.iter().zip(outputs) {
            let call = calls.iter().find(|call| call.call == result.call);
            if !call.is_some_and(|call| self.is_block(&message.from, call)) {
                let tool = call.map_or("tool", |call| call.tool.as_str());
                shown.push((tool, ToolResult { output, ..result.clone() }));
            }
        }
        if shown.is_empty() {
            return;
        }
        let shown: Vec<(&str, &ToolResult)> = shown.iter().map(|(tool, result)| (*tool, result)).collect();
        let block = tool_results(&shown);
        if self.is_own(&message.from) {
            self.user(block);
        } else {
            self.user(format!("[{}]\n{block}", self.name(&message.from)));
        }
    }

    fn name<'b>(&'b self, author: &'b Author) -> &'b str {
        name(self.crew, author)
    }
}

/// The name that opens another's message.
pub(super) fn name<'a>(crew: &'a Crew, author: &'a Author) -> &'a str {
    match author {
        Author::User => "user",
        Author::System => "system",
        Author::Group(name) => name,
        Author::Agent(None) => "assistant",
        Author::Agent(Some(id)) => match crew.find_agent(id.as_str()) {
            Some(ix) => &crew.agent(ix).name,
            None => id.as_str(),
        },
    }
}

/// The text and a line for each native call; calls written in the text are there already.
pub(super) fn with_calls(said: &str, calls: &[&ToolCall]) -> String {
    let mut text = said.to_owned();
    for call in calls.iter().filter(|call| call.style == CallStyle::Native) {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        let _ = write!(text, "{}({})", call.tool, call.arguments);
    }
    text
}

/// The outputs of one round, cut to the crew's caps for one output and for all of them.
pub(super) fn capped(crew: &Crew, results: &[ToolResult]) -> Vec<String> {
    let each = crew.settings.max_tool_output.unwrap_or(usize::MAX);
    let mut left = crew.settings.max_total_tool_output.unwrap_or(usize::MAX);
    results
        .iter()
        .map(|result| {
            let output = cut(&result.output, each.min(left));
            left = left.saturating_sub(result.output.len().min(each));
            output
        })
        .collect()
}

/// The text, or as much of it as fits and a mark that says how much that is. The mark is not counted.
fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(most);
    format!("{}\n[... cut: the first {end} of {} bytes are shown]", &text[..end], text.len())
}
