//! Frames to a reply.

use boathouse_core::message::{Finish, NativeCall, Reply, Usage};
use boathouse_core::run::event::CallErrorKind;
use serde_json::value::RawValue;

use super::alike::Alike;
use super::frame::{CallPiece, Choice, Frame, FunctionPiece, Text};
use crate::provider::ProviderError;
use crate::provider::openai::failure;

/// Bytes of text and arguments that a reply may have: 16 MiB.
pub const MAX_REPLY_BYTES: usize = 16 * 1024 * 1024;
/// Tool calls that a reply may have.
pub const MAX_CALLS: usize = 128;

/// A reply under way.
#[derive(Debug, Default)]
pub struct Fold {
    text: String,
    calls: Vec<CallSoFar>,
    usage: Option<Usage>,
    finish: Option<Finish>,
    refused: bool,
    done: bool,
    bytes: usize,
    last: Alike,
}

#[derive(Debug)]
struct CallSoFar {
    index: u64,
    call: NativeCall,
}

/// Whether more frames may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// They may.
    More,
    /// `[DONE]` has come: nothing follows that counts.
    Done,
}

impl Fold {
    /// A reply of which nothing has come.
    pub fn new() -> Fold {
        Fold::default()
    }

    /// The text so far. It only grows.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Takes the data of one event. After an error the fold is of no further use.
    ///
    /// An error object in the stream becomes an error of its kind; what is not JSON is one of kind `protocol`.
    pub fn frame(&mut self, data: &str) -> Result<Progress, ProviderError> {
        if self.done || data.trim_ascii() == "[DONE]" {
            self.done = true;
            return Ok(Progress::Done);
        }
        if let Some(text) = self.last.text(data) {
            self.add_text(text)?;
            return Ok(Progress::More);
        }
        let frame: Frame<'_> =
            serde_json::from_str(data).map_err(|error| failure::unreadable_frame(data, &error))?;
        if let Some(error) = frame.error {
            return Err(failure::in_stream(error.get()));
        }
        if let Some(text) = frame.only_text() {
            self.last.keep(data, text);
        }
        if let Some(usage) = frame.usage {
            self.usage = Some(Usage {
                input_tokens: usage.prompt_tokens.unwrap_or(0),
                output_tokens: usage.completion_tokens.unwrap_or(0),
            });
        }
        if let Some(choice) = frame.choices.0
            && choice.index.is_none_or(|index| index == 0)
        {
            self.choice(choice)?;
        }
        Ok(Progress::More)
    }

    /// The reply. A stream that ended before the model said why it stopped, with `[DONE]` or without it, is an error of
    /// kind `truncated`.
    pub fn finish(self) -> Result<Reply, ProviderError> {
        let Some(finish) = self.finish else {
            let length = self.text.len();
            return Err(ProviderError::new(
                CallErrorKind::Truncated,
                match self.done {
                    true => format!("`[DONE]` came without a `finish_reason`, after {length} bytes of text"),
                    false => format!("the reply ended early, after {length} bytes of text"),
                },
            ));
        };
        let calls: Vec<NativeCall> = self.calls.into_iter().map(|so_far| so_far.call).collect();
        if let Some(at) = calls.iter().position(|call| call.tool.is_empty()) {
            return Err(ProviderError::new(
                CallErrorKind::Protocol,
                format!("tool call {} of the reply has no name", at + 1),
            ));
        }
        let finish = match finish {
            Finish::Stop if self.refused => Finish::Other("refusal".to_owned()),
            // Some servers say `stop` after tool calls.
            Finish::Stop if !calls.is_empty() => Finish::ToolCalls,
            finish @ (Finish::Stop
            | Finish::ToolCalls
            | Finish::Length
            | Finish::ContentFilter
            | Finish::Other(_)) => finish,
        };
        Ok(Reply { text: self.text, calls, usage: self.usage, finish })
    }

    fn choice(&mut self, choice: Choice<'_>) -> Result<(), ProviderError> {
        // Some servers put the last piece and the reason into one frame.
        if let Some(delta) = choice.delta {
            if let Some(Text(text)) = delta.content {
                self.add_text(&text)?;
            }
            if let Some(Text(text)) = delta.refusal
                && !text.is_empty()
            {
                self.refused = true;
                self.add_text(&text)?;
            }
            for piece in delta.tool_calls.into_iter().flatten() {
                self.call_piece(piece)?;
            }
            if let Some(function) = delta.function_call {
                self.call_piece(CallPiece { index: Some(0), id: None, function: Some(function) })?;
            }
        }
        if let Some(Text(reason)) = choice.finish_reason
            && !reason.is_empty()
        {
            self.finish = Some(match &*reason {
                "stop" => Finish::Stop,
                "tool_calls" | "function_call" => Finish::ToolCalls,
                "length" => Finish::Length,
                "content_filter" => Finish::ContentFilter,
                other => Finish::Other(other.chars().take(64).collect()),
            });
        }
        Ok(())
    }

    fn call_piece(&mut self, piece: CallPiece<'_>) -> Result<(), ProviderError> {
        let FunctionPiece { name, arguments } = piece.function.unwrap_or_default();
        let id = piece.id.map(|Text(id)| id).unwrap_or_default();
        let name = name.map(|Text(name)| name).unwrap_or_default();
        let arguments = arguments.map(arguments_text).transpose()?.unwrap_or_default();
        self.add_bytes(id.len() + name.len() + arguments.len())?;
        let at = match self.find_call(piece.index, &id, &name) {
            Some(at) => at,
            None if self.calls.len() == MAX_CALLS => {
                return Err(ProviderError::new(
                    CallErrorKind::Protocol,
                    format!("the reply has more than {MAX_CALLS} tool calls"),
                ));
            }
            None => {
                let index = piece.index.unwrap_or(self.calls.len() as u64);
                let call = NativeCall { id: String::new(), tool: String::new(), arguments: String::new() };
                self.calls.push(CallSoFar { index, call });
                self.calls.len() - 1
            }
        };
        let call = &mut self.calls[at].call;
        if call.id.is_empty() {
            call.id.push_str(&id);
        }
        if call.tool.is_empty() {
            call.tool.push_str(&name);
        }
        call.arguments.push_str(&arguments);
        Ok(())
    }

    /// The call that a piece goes on with; `None` if it opens one.
    ///
    /// Pieces belong together by index. Two accents are understood: whole calls that all have index 0 but ids and names
    /// of their own, and pieces without an index, where an id or a name opens a call.
    fn find_call(&self, index: Option<u64>, id: &str, name: &str) -> Option<usize> {
        let Some(index) = index else {
            let opens = !id.is_empty() || !name.is_empty();
            return if opens { None } else { self.calls.len().checked_sub(1) };
        };
        let at = self.calls.iter().rposition(|so_far| so_far.index == index)?;
        let known = &self.calls[at].call;
        let is_another = !id.is_empty() && !name.is_empty() && !known.id.is_empty() && known.id != id;
        (!is_another).then_some(at)
    }

    fn add_text(&mut self, text: &str) -> Result<(), ProviderError> {
        self.add_bytes(text.len())?;
        self.text.push_str(text);
        Ok(())
    }

    fn add_bytes(&mut self, more: usize) -> Result<(), ProviderError> {
        self.bytes += more;
        match self.bytes > MAX_REPLY_BYTES {
            true => Err(ProviderError::new(
                CallErrorKind::Protocol,
                format!("the reply is larger than {MAX_REPLY_BYTES} bytes"),
            )),
            false => Ok(()),
        }
    }
}

/// The text of a string; of anything else, its JSON; of null, nothing.
fn arguments_text(arguments: &RawValue) -> Result<std::borrow::Cow<'_, str>, ProviderError> {
    let json = arguments.get();
    match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str(json)
            .map(|Text(text)| text)
            .map_err(|error| failure::unreadable_frame(json, &error)),
        _ if json == "null" => Ok(std::borrow::Cow::Borrowed("")),
        _ => Ok(std::borrow::Cow::Borrowed(json)),
    }
}

#[cfg(test)]
mod tests;
