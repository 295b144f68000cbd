//! What a model is asked when old messages are to be summarised.

use std::fmt::Write as _;

use crate::crew::Crew;
use crate::message::{Author, Message, ToolCall};
use crate::run::branch::Branch;
use crate::run::request::PromptMessage;

use super::messages::{SUMMARY, capped, name, with_calls};

/// What the model is to do.
pub(super) fn system(crew: &Crew) -> String {
    let mut text = "You keep the record of a conversation. What you write takes the place of the messages that you are \
                    shown: whoever goes on sees nothing else of them. Keep what is wanted, what was found out, decided, \
                    done and promised, names, numbers, and what is still open. Leave out greetings and repetitions. \
                    Write only the record."
        .to_owned();
    if let Some(language) = &crew.settings.language {
        let _ = write!(text, " Write it in {language}.");
    }
    text
}

/// The messages that are to be summarised, all of them up to `to` that are not in the summary so far, and that summary.
pub(super) fn message(crew: &Crew, branch: &Branch, to: usize) -> PromptMessage {
    let mut text = "Summarize this part of a conversation.".to_owned();
    if let Some(summary) = &branch.summary {
        let _ = write!(text, "\n\n{SUMMARY}\n{summary}");
    }
    let mut before: Option<&Message> = None;
    for message in branch.history.iter().take(to).skip(branch.trimmed) {
        if message.from != Author::System {
            push(&mut text, crew, message, before.map_or(&[], |before| &before.calls));
        }
        before = Some(message);
    }
    PromptMessage::User { text }
}

/// `[name]`, then what was said, the calls, or the results of the calls before.
fn push(text: &mut String, crew: &Crew, message: &Message, calls: &[ToolCall]) {
    let said = with_calls(&message.content(), &message.calls.iter().collect::<Vec<_>>());
    if !said.trim().is_empty() {
        let _ = write!(text, "\n\n[{}]\n{said}", name(crew, &message.from));
    }
    for (result, output) in message.results.iter().zip(capped(crew, &message.results)) {
        let tool = calls.iter().find(|call| call.call == result.call).map_or("tool", |call| &call.tool);
        let _ = write!(text, "\n\n[result of {tool}]\n{output}");
    }
}
