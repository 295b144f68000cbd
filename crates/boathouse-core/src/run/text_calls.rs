//! The grammar for tool calls written in text: `PingHost(host="10.0.0.1", count=4)`.
//!
//! **Where a call may stand.** A call stands alone on its line: before it there may be list markers (emoji too), numbering, quote
//! marks and markdown marks (emphasis, backticks, fences), after it trailing punctuation and marks. Several calls may share a line,
//! separated by the same. Everything else on the line makes it prose, and none of it counts: `you can use GetCPUUsage() to
//! see the load`, `GetCPUUsage() - shows the load`, `x = GetCPUUsage()`. Inside a code fence a comment (`#`, `//`) may follow.
//! There is nothing between the name and its `(`. Calls of unknown names are passed over.
//!
//! **What the arguments may be.** `args` reads them, over several lines if need be; `typed` gives them names and types
//! by the tool's schema.
//!
//! **What is wrong** with a known tool's call that stands like one is said to the model, in place of arguments. Such a call ends
//! with its line, and reading goes on with the next one. Text that a broken call ran into is read with each call kept to its
//! line, so that no text is read more than twice: time is linear.

use std::collections::HashMap;
use std::ops::Range;

use serde_json::Value;

use crate::crew::ToolSpec;

mod args;
#[cfg(test)]
mod tests;
mod typed;

use args::{Fault, Reader};

/// A tool call found in a text.
#[derive(Clone, Debug, PartialEq)]
pub struct TextCall {
    /// The tool's name.
    pub tool: String,
    /// Its arguments, an object; or what the model has to fix.
    pub arguments: Result<Value, String>,
    /// Where in the text the call is written, in bytes.
    pub range: Range<usize>,
}

/// Finds the calls of these tools in a text, in order.
pub fn parse(text: &str, tools: &[&ToolSpec]) -> Vec<TextCall> {
    let tools = tools.iter().map(|tool| (tool.name.as_str(), *tool)).collect();
    let mut scan = Scan { text, tools, read_to: 0, fenced: false };
    let mut calls = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let line_end = end_of_line(text, at);
        if opens_or_closes_fence(&text[at..line_end]) {
            scan.fenced = !scan.fenced;
        }
        at = match scan.line(at) {
            Some(group) => {
                calls.extend(group.calls);
                end_of_line(text, group.end) + 1
            }
            None => line_end + 1,
        };
    }
    calls
}

struct Scan<'a> {
    text: &'a str,
    tools: HashMap<&'a str, &'a ToolSpec>,
    /// How far calls have been read that turned out to be none. Calls that begin before it are kept to their line.
    read_to: usize,
    fenced: bool,
}

/// The calls of one line, which may end on a later one.
struct Group {
    calls: Vec<TextCall>,
    end: usize,
}

impl<'a> Scan<'a> {
    /// The calls that begin on the line that begins at `start`; `None` if it is prose.
    fn line(&mut self, start: usize) -> Option<Group> {
        let text = self.text;
        let mut group = Group { calls: Vec::new(), end: start };
        let mut at = skip_markers(text, start);
        let mut first = true;
        let mut line_end = end_of_line(text, start);
        loop {
            let rest = &text[at..];
            let is_end = rest.is_empty() || rest.starts_with('\n');
            let is_comment = self.fenced && !first && (rest.starts_with('#') || rest.starts_with("//"));
            if is_end || is_comment {
                group.end = at;
                return (!group.calls.is_empty()).then_some(group);
            }
            let Some((begin, tool)) = self.name(at) else {
                // Prose: whatever stood before it on the line is prose too.
                self.read_to = self.read_to.max(at);
                return None;
            };
            first = false;
            let open = text[begin..].find('(').map_or(text.len(), |offset| begin + offset + 1);
            if line_end < begin {
                line_end = end_of_line(text, begin);
            }
            let limit = if tool.is_none() || begin < self.read_to { line_end } else { text.len() };
            let mut reader = Reader::new(&text[..limit], open);
            let read = reader.args(|name| tool.is_none_or(|tool| typed::is_parameter(tool, name)));
            match (tool, read) {
                (Some(tool), Ok(args)) => {
                    at = reader.at();
                    group.calls.push(TextCall {
                        tool: tool.name.clone(),
                        arguments: typed::arguments(tool, args),
                        range: begin..at,
                    });
                }
                (None, Ok(_)) => at = reader.at(),
                (Some(tool), Err(fault)) => {
                    self.read_to = self.read_to.max(reader.at());
                    group.calls.push(TextCall {
                        tool: tool.name.clone(),
                        arguments: Err(explain(tool, &fault)),
                        range: begin..begin + text[begin..line_end].trim_end().len(),
                    });
                    group.end = line_end;
                    return Some(group);
                }
                (None, Err(_)) => {
                    self.read_to = self.read_to.max(line_end);
                    return None;
                }
            }
            at = skip_between(text, at);
        }
    }

    /// The name before a `(` at this place, and its tool if it is one. A name may be wrapped in underscores for emphasis.
    fn name(&self, at: usize) -> Option<(usize, Option<&'a ToolSpec>)> {
        let rest = &self.text[at..];
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).unwrap_or(rest.len());
        let name = &rest[..end];
        if !rest[end..].starts_with('(') || !name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            return None;
        }
        let plain = name.trim_start_matches('_');
        let known = [name, plain].into_iter().find_map(|name| self.tools.get(name).copied());
        match known {
            Some(tool) => Some((at + end - tool.name.len(), Some(tool))),
            None => Some((at, None)),
        }
    }
}

fn end_of_line(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |offset| at + offset)
}

fn opens_or_closes_fence(line: &str) -> bool {
    let line = line.trim_start();
    ["```", "~~~"].iter().any(|fence| line.strip_prefix(fence).is_some_and(|rest| !rest.contains(fence)))
}

fn is_mark(c: char) -> bool {
    matches!(c, '*' | '_' | '~' | '`')
}

/// Past white space, quote marks, list markers, numbering and markdown marks at the beginning of a line.
fn skip_markers(text: &str, mut at: usize) -> usize {
    loop {
        let rest = &text[at..];
        let Some(c) = rest.chars().next() else { return at };
        // A leading underscore may belong to the name, which is for `Scan::name` to say.
        let skip = match c {
            '\n' => 0,
            '>' | '-' | '+' | '*' | '~' | '`' => c.len_utf8(),
            '(' | '0'..='9' | 'a'..='z' | 'A'..='Z' => numbering(rest),
            _ if c.is_whitespace() => c.len_utf8(),
            // Bullets, arrows, dashes, emoji.
            _ if !c.is_ascii() && !c.is_alphanumeric() => c.len_utf8(),
            _ => 0,
        };
        if skip == 0 {
            return at;
        }
        at += skip;
    }
}

/// Bytes of `12.`, `12)`, `(12)`, or one letter in place of the number, or digits in a keycap; 0 if it is none of them.
fn numbering(text: &str) -> usize {
    let inner = text.strip_prefix('(').unwrap_or(text);
    let digits = inner.bytes().take_while(u8::is_ascii_digit).count();
    let is_letter = digits == 0 && inner.starts_with(|c: char| c.is_ascii_alphabetic());
    let number = digits + usize::from(is_letter);
    let is_open = inner.len() < text.len();
    let rest = &inner[number..];
    let end = if rest.starts_with(')') || (rest.starts_with('.') && !is_open) {
        1
    } else if rest.starts_with("\u{fe0f}\u{20e3}") && !is_open && !is_letter {
        "\u{fe0f}\u{20e3}".len()
    } else {
        return 0;
    };
    // `x.Tool()` is something else.
    let is_glued = is_letter && !rest[end..].starts_with(char::is_whitespace);
    if number == 0 || is_glued { 0 } else { text.len() - rest.len() + end }
}

/// Past white space, punctuation and markdown marks after a call, but not past the end of its line.
fn skip_between(text: &str, at: usize) -> usize {
    let punctuation =
        |c: char| matches!(c, '.' | ',' | ';' | ':' | '!' | '…' | '。' | '，' | '、' | '；' | '&' | '|');
    let skipped = |c: char| c != '\n' && (c.is_whitespace() || punctuation(c) || is_mark(c));
    text[at..].find(|c| !skipped(c)).map_or(text.len(), |offset| at + offset)
}

fn explain(tool: &ToolSpec, fault: &Fault) -> String {
    format!(
        "the call of `{}` cannot be read: {}. Write it on one line as `{}`, with text in double quotes",
        tool.name,
        fault.what,
        typed::signature(tool)
    )
}
