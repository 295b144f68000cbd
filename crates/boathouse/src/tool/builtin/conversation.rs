//! What was said in the conversation that the calling agent takes part in.
//!
//! They look at the whole conversation: also at what `keep_recent` leaves out of the prompt.

use std::cmp::Reverse;

use boathouse_core::crew::Effect;
use boathouse_core::message::{Author, Message};
use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Nothing;
use crate::tool::function::{FunctionTool, function};
use crate::tool::{ToolCx, ToolError};

/// Characters of a message that are shown.
const SHOWN: usize = 200;
/// Messages at the end that a summary shows.
const LATEST: usize = 5;

pub(super) fn message_count() -> FunctionTool {
    function(
        "GetMessageCount",
        "Counts the messages of this conversation, in all and by role.",
        |_: Nothing, cx| async move { Ok(counted(&said(&cx))) },
    )
    .effect(Effect::Read)
}

pub(super) fn conversation_summary() -> FunctionTool {
    function(
        "GetConversationSummary",
        "Tells how long this conversation is, who took part, how it began and what was said last.",
        |_: Nothing, cx| async move { Ok(summary(&said(&cx))) },
    )
    .effect(Effect::Read)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Search {
    /// The text to look for. Upper and lower case are the same.
    #[schemars(length(min = 1, max = 1000))]
    query: String,
    /// At most so many messages.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 100))]
    limit: usize,
}

fn ten() -> usize {
    10
}

pub(super) fn search_messages() -> FunctionTool {
    function(
        "SearchMessages",
        "Finds the earlier messages of this conversation that contain a text, however long ago they were.",
        |args: Search, cx| async move { found(&said(&cx), &args) },
    )
    .effect(Effect::Read)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CountBy {
    /// What is counted: the messages of a role, those that contain a keyword, or all.
    filter_by: FilterBy,
    /// The role (user, assistant or system) or the keyword; nothing for all.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    filter_value: Option<String>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum FilterBy {
    Role,
    Keyword,
    All,
}

pub(super) fn count_messages_by() -> FunctionTool {
    function(
        "CountMessagesBy",
        "Counts the messages of this conversation by role or by a word that they contain.",
        |args: CountBy, cx| async move { count_by(&said(&cx), &args) },
    )
    .effect(Effect::Read)
}

/// One message with a text.
struct Said {
    /// From 1.
    number: usize,
    role: Role,
    /// Who speaks, for people.
    who: String,
    text: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    User,
    Assistant,
    System,
}

impl Role {
    fn named(name: &str) -> Option<Role> {
        match name.trim().to_lowercase().as_str() {
            "user" => Some(Role::User),
            "assistant" => Some(Role::Assistant),
            "system" => Some(Role::System),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::System => "system",
        }
    }
}

/// The conversation before the reply that made this call. Tool calls and their results are not said to anybody.
fn said(cx: &ToolCx) -> Vec<Said> {
    let asks = |message: &Message| message.calls.iter().any(|call| call.call == cx.call);
    let texts = cx.history.iter().take_while(|message| !asks(message)).filter_map(|message| {
        let text = message.content().trim().to_owned();
        (!text.is_empty()).then_some((&message.from, text))
    });
    texts
        .enumerate()
        .map(|(at, (from, text))| {
            let (role, who) = match from {
                Author::User => (Role::User, "user".to_owned()),
                Author::System => (Role::System, "system".to_owned()),
                Author::Agent(None) => (Role::Assistant, "assistant".to_owned()),
                Author::Agent(Some(id)) => (Role::Assistant, id.to_string()),
                Author::Group(name) => (Role::Assistant, name.clone()),
            };
            Said { number: at + 1, role, who, text }
        })
        .collect()
}

/// `3 messages: 2 user, 1 assistant`.
fn counted(said: &[Said]) -> String {
    let parts = [Role::User, Role::Assistant, Role::System].into_iter().filter_map(|role| {
        let count = said.iter().filter(|said| said.role == role).count();
        (count > 0).then(|| format!("{count} {}", role.name()))
    });
    let parts: Vec<String> = parts.collect();
    match parts.len() {
        0 => messages(0),
        _ => format!("{}: {}", messages(said.len()), parts.join(", ")),
    }
}

fn messages(count: usize) -> String {
    format!("{count} message{}", if count == 1 { "" } else { "s" })
}

fn earlier(count: usize) -> String {
    format!("{count} earlier message{}", if count == 1 { "" } else { "s" })
}

fn summary(said: &[Said]) -> String {
    let mut told = format!("The conversation so far has {}", counted(said));
    let mut speakers: Vec<(&str, usize)> = Vec::new();
    for said in said {
        match speakers.iter_mut().find(|(who, _)| *who == said.who) {
            Some((_, count)) => *count += 1,
            None => speakers.push((&said.who, 1)),
        }
    }
    let speakers: Vec<String> = speakers.iter().map(|(who, count)| format!("{who} ({count})")).collect();
    if !speakers.is_empty() {
        told.push_str(&format!("\nWho spoke: {}", speakers.join(", ")));
    }
    let latest = said.len().saturating_sub(LATEST);
    if let Some(first) = said.first().filter(|_| latest > 0) {
        told.push_str(&format!("\nIt began with:\n{}", line(first, 0)));
    }
    if !said.is_empty() {
        told.push_str(if latest > 0 { "\nThe latest:" } else { "\nAll of it:" });
    }
    for said in &said[latest..] {
        told.push_str(&format!("\n{}", line(said, 0)));
    }
    told
}

/// How well a text fits, the best first; then where it fits.
fn fit(pattern: &Regex, text: &str) -> Option<(u8, usize)> {
    let found = pattern.find(text)?;
    let rank = match (found.start(), found.end() == text.len()) {
        (0, true) => 0,
        (0, false) => 1,
        _ => 2,
    };
    Some((rank, found.start()))
}

fn found(said: &[Said], search: &Search) -> Result<String, ToolError> {
    let query = search.query.trim();
    let pattern = pattern("query", query)?;
    // What is being answered asks for the text, and would be the first to contain it. The agent has it before it.
    let newest = said.iter().rposition(|said| said.role == Role::User);
    let said: Vec<&Said> = said.iter().filter(|said| Some(said.number) != newest.map(|at| at + 1)).collect();
    let mut hits: Vec<(u8, usize, &Said)> = said
        .iter()
        .filter_map(|said| fit(&pattern, &said.text).map(|(rank, at)| (rank, at, *said)))
        .collect();
    if hits.is_empty() {
        return Ok(format!("none of {} contains `{query}`", earlier(said.len())));
    }
    hits.sort_by_key(|(rank, _, said)| (*rank, Reverse(said.number)));
    let contain = if hits.len() == 1 { "contains" } else { "contain" };
    let mut told = format!("{} of {} {contain} `{query}`", hits.len(), earlier(said.len()));
    match hits.len() {
        1 => told.push(':'),
        all if all > search.limit => told.push_str(&format!("; the best {}:", search.limit)),
        _ => told.push_str("; the best first:"),
    }
    for (_, at, said) in hits.into_iter().take(search.limit) {
        told.push_str(&format!("\n{}", line(said, at)));
    }
    Ok(told)
}

fn count_by(said: &[Said], by: &CountBy) -> Result<String, ToolError> {
    let value = by.filter_value.as_deref().map(str::trim).filter(|value| !value.is_empty());
    let needs = |what: &str| ToolError::Refused(format!("`filter_value` is missing: {what}"));
    match by.filter_by {
        FilterBy::All => Ok(counted(said)),
        FilterBy::Role => {
            let name = value.ok_or_else(|| needs("give a role, `user`, `assistant` or `system`"))?;
            let role = Role::named(name).ok_or_else(|| {
                let why =
                    format!("no message has the role `{name}`; roles are `user`, `assistant` and `system`");
                ToolError::Refused(why)
            })?;
            let count = said.iter().filter(|said| said.role == role).count();
            let have = if count == 1 { "has" } else { "have" };
            Ok(format!("{count} of {} {have} the role `{}`", messages(said.len()), role.name()))
        }
        FilterBy::Keyword => {
            let word = value.ok_or_else(|| needs("give the word to look for"))?;
            let pattern = pattern("filter_value", word)?;
            let count = said.iter().filter(|said| pattern.is_match(&said.text)).count();
            let contain = if count == 1 { "contains" } else { "contain" };
            Ok(format!("{count} of {} {contain} `{word}`", messages(said.len())))
        }
    }
}

/// Finds exactly this text, in any case.
fn pattern(argument: &str, text: &str) -> Result<Regex, ToolError> {
    if text.is_empty() {
        return Err(ToolError::Refused(format!("`{argument}` is blank; give the text to look for")));
    }
    let built = RegexBuilder::new(&regex::escape(text)).case_insensitive(true).build();
    built.map_err(|_| ToolError::Refused(format!("`{argument}` is too long to look for")))
}

/// `#3 user: the text`, in one line; of a long text the part around `at`.
fn line(said: &Said, at: usize) -> String {
    let before = said.text[..at].chars().count();
    let start = if before < SHOWN { 0 } else { before - SHOWN / 4 };
    let shown: String = said.text.chars().skip(start).take(SHOWN).collect();
    let words: Vec<&str> = shown.split_whitespace().collect();
    let rest = said.text.chars().count() > start + SHOWN;
    let (head, tail) = (if start > 0 { "... " } else { "" }, if rest { " ..." } else { "" });
    format!("#{} {}: {head}{}{tail}", said.number, said.who, words.join(" "))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use boathouse_core::ids::CallId;
    use boathouse_core::message::{CallStyle, ResultStatus, ToolCall, ToolResult};
    use serde_json::{Value, json};

    use super::super::tests::{cx, run_in};
    use super::*;

    /// A conversation with a tool round in it, and the reply that is making call 1.
    fn talk() -> Vec<Message> {
        let agent = || Author::Agent(Some("host".into()));
        let call = |number: u64| ToolCall {
            call: CallId(number),
            id: "x".to_owned(),
            tool: "GetCurrentTime".to_owned(),
            arguments: json!({}),
            style: CallStyle::Native,
        };
        let result = ToolResult { call: CallId(9), status: ResultStatus::Success, output: "boat".to_owned() };
        vec![
            Message::text(Author::System, "Be kind."),
            Message::text(Author::User, "Boat"),
            Message::text(agent(), "Which boat, the red one?"),
            Message { from: agent(), parts: Vec::new(), calls: vec![call(9)], results: Vec::new() },
            Message { from: agent(), parts: Vec::new(), calls: Vec::new(), results: vec![result] },
            Message::text(Author::User, "boat number two\nat the pier"),
            Message { calls: vec![call(1)], ..Message::text(agent(), "I look for the boat.") },
        ]
    }

    async fn asked(history: Vec<Message>, tool: &str, arguments: Value) -> Result<String, String> {
        let cx = ToolCx { history: history.into_iter().map(Arc::new).collect(), ..cx() };
        run_in(&cx, tool, arguments).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn what_was_said_before_the_call_is_counted() {
        let count = |history| asked(history, "GetMessageCount", json!({}));
        assert_eq!(count(talk()).await.expect("it counts"), "4 messages: 2 user, 1 assistant, 1 system");
        assert_eq!(count(Vec::new()).await.expect("it counts"), "0 messages");
    }

    #[tokio::test]
    async fn messages_are_counted_by_role_and_keyword() {
        let by = |by: &str, value: Value| {
            asked(talk(), "CountMessagesBy", json!({"filter_by": by, "filter_value": value}))
        };
        assert_eq!(
            by("role", json!("User")).await.expect("it counts"),
            "2 of 4 messages have the role `user`"
        );
        assert_eq!(
            by("role", json!("assistant")).await.expect("it counts"),
            "1 of 4 messages has the role `assistant`"
        );
        assert_eq!(by("keyword", json!("BOAT")).await.expect("it counts"), "3 of 4 messages contain `BOAT`");
        assert_eq!(by("keyword", json!(".")).await.expect("it counts"), "1 of 4 messages contains `.`");
        assert!(by("all", json!(null)).await.expect("it counts").starts_with("4 messages: "));
        for (kind, value, told) in [
            ("role", json!(" "), "`filter_value` is missing: give a role"),
            ("keyword", json!(null), "`filter_value` is missing: give the word"),
            (
                "role",
                json!("tool"),
                "no message has the role `tool`; roles are `user`, `assistant` and `system`",
            ),
            ("author", json!("x"), "filter_by"),
        ] {
            let error = by(kind, value).await.expect_err("it is refused");
            assert!(error.contains(told), "{error}");
        }
    }

    #[tokio::test]
    async fn the_best_match_comes_first_then_the_newest() {
        // The newest message of the user asks for boats itself, and is not searched.
        let mut history = talk();
        let asks = history.pop().expect("the reply that calls");
        history.push(Message::text(Author::Agent(Some("host".into())), "Noted: boat 2."));
        history.push(Message::text(Author::User, "What about my boat?"));
        history.push(Message::text(Author::Agent(Some("host".into())), "Let me see."));
        history.push(asks);
        let search = |arguments| asked(history.clone(), "SearchMessages", arguments);
        assert_eq!(
            search(json!({"query": "boat"})).await.expect("it searches"),
            "4 of 6 earlier messages contain `boat`; the best first:\n#2 user: Boat\n\
             #4 user: boat number two at the pier\n#5 host: Noted: boat 2.\n#3 host: Which boat, the red one?"
        );
        assert_eq!(
            search(json!({"query": "boat", "limit": 1})).await.expect("it searches"),
            "4 of 6 earlier messages contain `boat`; the best 1:\n#2 user: Boat"
        );
        assert_eq!(
            search(json!({"query": "ship"})).await.expect("it searches"),
            "none of 6 earlier messages contains `ship`"
        );
        assert!(search(json!({"query": " "})).await.expect_err("blank").contains("`query` is blank"));
    }

    #[tokio::test]
    async fn a_long_message_is_shown_around_the_match() {
        let text = format!("{} Ünique {}", "ä ".repeat(500), "b".repeat(500));
        let history = vec![Message::text(Author::Group("team".to_owned()), text)];
        let told = asked(history, "SearchMessages", json!({"query": "ünique"})).await.expect("it searches");
        assert!(told.contains("Ünique bbb") && told.contains(": ... ä") && told.ends_with("b ..."), "{told}");
        assert!(told.chars().count() < 300, "{told}");
    }

    #[tokio::test]
    async fn a_summary_tells_the_beginning_and_the_end() {
        assert_eq!(
            asked(talk(), "GetConversationSummary", json!({})).await.expect("it sums up"),
            "The conversation so far has 4 messages: 2 user, 1 assistant, 1 system\n\
             Who spoke: system (1), user (2), host (1)\nAll of it:\n#1 system: Be kind.\n#2 user: Boat\n\
             #3 host: Which boat, the red one?\n#4 user: boat number two at the pier"
        );
        let long = (1..=9).map(|number| Message::text(Author::User, format!("line {number}"))).collect();
        let told = asked(long, "GetConversationSummary", json!({})).await.expect("it sums up");
        assert!(told.contains("It began with:\n#1 user: line 1\nThe latest:\n#5 user: line 5\n"), "{told}");
        assert!(told.ends_with("#9 user: line 9"), "{told}");
    }
}
