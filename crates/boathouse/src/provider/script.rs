//! The rules of `scripted.yaml`: what the `scripted` provider answers, and when.
//!
//! `docs/scripted.md` is the page for people.

use std::time::Duration;

use boathouse_core::message::Usage;
use boathouse_core::run::event::CallErrorKind;
use boathouse_core::run::request::ModelRequest;
use regex::Regex;
use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::Spanned;

mod quote;

pub(crate) use quote::Quotes;

/// The name of the file beside `crew.yaml`.
pub const FILE: &str = "scripted.yaml";

/// Says what is wrong with the text of a `scripted.yaml`, with file, line and column; `Ok` if nothing is.
pub fn check(text: &str) -> Result<(), String> {
    Script::parse(text).map(|_| ())
}

/// A `scripted.yaml`, parsed and checked.
#[derive(Debug)]
pub(crate) struct Script {
    rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug)]
pub(crate) struct Rule {
    agent: Option<String>,
    model: Option<String>,
    when: Option<Regex>,
    input: Option<Regex>,
    call: Option<u32>,
    attempt: Option<u32>,
    /// The pieces of the reply's text, with placeholders.
    pub(crate) pieces: Pieces,
    /// Native tool calls, with placeholders.
    pub(crate) tools: Vec<ScriptedCall>,
    /// Comes after the pieces.
    pub(crate) error: Option<ScriptedError>,
    /// Before the first piece.
    pub(crate) delay: Duration,
    /// Before every further piece.
    pub(crate) piece_delay: Duration,
    /// Tokens to report.
    pub(crate) usage: Option<Usage>,
}

/// The text of a reply and how it is cut.
#[derive(Debug)]
pub(crate) enum Pieces {
    /// Word by word.
    Words(String),
    /// Into so many pieces, about equal.
    Count(String, usize),
    /// As listed.
    Listed(Vec<String>),
}

/// A native tool call of a rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScriptedCall {
    /// The tool.
    pub(crate) name: String,
    /// Its arguments: an object, or a text that is sent as it is.
    #[serde(default)]
    pub(crate) arguments: Value,
}

/// A failure of a rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScriptedError {
    pub(crate) kind: CallErrorKind,
    #[serde(default)]
    pub(crate) message: Option<String>,
    #[serde(default)]
    pub(crate) retry_after_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    rules: Vec<Spanned<RuleText>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    agent: Option<String>,
    model: Option<String>,
    when: Option<Spanned<String>>,
    input: Option<Spanned<String>>,
    call: Option<Spanned<u32>>,
    attempt: Option<Spanned<u32>>,
    reply: Option<Spanned<String>>,
    tools: Option<Vec<Spanned<ScriptedCall>>>,
    error: Option<ScriptedError>,
    #[serde(default)]
    delay_ms: u64,
    #[serde(default)]
    piece_delay_ms: u64,
    pieces: Option<Spanned<Value>>,
    usage: Option<UsageText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UsageText {
    #[serde(default)]
    input_tokens: u64,
    #[serde(default)]
    output_tokens: u64,
}

impl Script {
    /// Reads the file; the error is a sentence with file, line and column.
    pub(crate) fn parse(text: &str) -> Result<Script, String> {
        if text.trim().is_empty() {
            return Err(format!("{FILE}: the file is empty; it needs a list `rules`"));
        }
        let options = serde_saphyr::options! { with_snippet: false };
        let file: FileText = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let why = error.to_string();
            let Some(at) = error.location() else { return format!("{FILE}: {why}") };
            let told_twice = format!(" at line {}, column {}", at.line(), at.column());
            let why = why.strip_suffix(&told_twice).unwrap_or(&why);
            format!("{FILE}:{}:{}: {why}", at.line(), at.column())
        })?;
        let rules = file.rules.into_iter().map(Rule::check).collect::<Result<Vec<Rule>, String>>()?;
        Ok(Script { rules })
    }

    /// The first rule, in the order of the file, that fits a request.
    pub(crate) fn find(&self, request: &ModelRequest, quotes: &Quotes<'_>) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.fits(request, quotes))
    }
}

impl Rule {
    fn check(text: Spanned<RuleText>) -> Result<Rule, String> {
        let at = Place::of(&text);
        let rule = text.value;
        let pieces = pieces(rule.reply, rule.pieces, &at)?;
        let tools = rule.tools.unwrap_or_default();
        if matches!(&pieces, Pieces::Words(text) if text.is_empty())
            && tools.is_empty()
            && rule.error.is_none()
        {
            return Err(at.say("the rule gives nothing; add `reply`, `tools` or `error`"));
        }
        for call in &tools {
            quote::check_value(&call.value.arguments).map_err(|why| Place::of(call).say(why))?;
            if !matches!(call.value.arguments, Value::Object(_) | Value::String(_) | Value::Null) {
                return Err(Place::of(call).say(format!(
                    "`arguments` of `{}` must be a mapping, or a text that is sent as it is",
                    call.value.name
                )));
            }
        }
        for (key, number) in [("call", &rule.call), ("attempt", &rule.attempt)] {
            if let Some(number) = number
                && number.value == 0
            {
                return Err(Place::of(number).say(format!("`{key}` counts from 1")));
            }
        }
        Ok(Rule {
            agent: rule.agent,
            model: rule.model,
            when: pattern("when", rule.when)?,
            input: pattern("input", rule.input)?,
            call: rule.call.map(|call| call.value),
            attempt: rule.attempt.map(|attempt| attempt.value),
            pieces,
            tools: tools.into_iter().map(|call| call.value).collect(),
            error: rule.error,
            delay: Duration::from_millis(rule.delay_ms),
            piece_delay: Duration::from_millis(rule.piece_delay_ms),
            usage: rule
                .usage
                .map(|usage| Usage { input_tokens: usage.input_tokens, output_tokens: usage.output_tokens }),
        })
    }

    fn fits(&self, request: &ModelRequest, quotes: &Quotes<'_>) -> bool {
        self.agent.as_deref().is_none_or(|agent| agent == request.agent.as_str())
            && self.model.as_deref().is_none_or(|model| model == request.model.model)
            && self.call.is_none_or(|call| call == request.agent_call)
            && self.attempt.is_none_or(|attempt| attempt == request.attempt)
            && self.when.as_ref().is_none_or(|when| when.is_match(quotes.last()))
            && self
                .input
                .as_ref()
                .is_none_or(|input| input.is_match(quotes.first_input()) || input.is_match(quotes.input()))
    }
}

/// A place in the file.
struct Place {
    line: u64,
    column: u64,
}

impl Place {
    fn of<T>(spanned: &Spanned<T>) -> Place {
        Place { line: spanned.referenced.line(), column: spanned.referenced.column() }
    }

    fn say(&self, why: impl std::fmt::Display) -> String {
        format!("{FILE}:{}:{}: {why}", self.line, self.column)
    }
}

fn pattern(key: &str, text: Option<Spanned<String>>) -> Result<Option<Regex>, String> {
    let Some(text) = text else { return Ok(None) };
    Regex::new(&text.value).map(Some).map_err(|error| {
        // The crate draws the pattern over several lines; its last line says what is wrong.
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        Place::of(&text).say(format!("`{key}` is not a regular expression: {why}"))
    })
}

fn pieces(
    reply: Option<Spanned<String>>,
    pieces: Option<Spanned<Value>>,
    rule: &Place,
) -> Result<Pieces, String> {
    if let Some(reply) = &reply {
        quote::check(&reply.value).map_err(|why| Place::of(reply).say(why))?;
    }
    let Some(pieces) = pieces else {
        return Ok(Pieces::Words(reply.map(|reply| reply.value).unwrap_or_default()));
    };
    let at = Place::of(&pieces);
    match (pieces.value, reply) {
        (Value::Number(count), Some(reply)) => match count.as_u64() {
            Some(count @ 1..=1_000_000) => Ok(Pieces::Count(reply.value, count as usize)),
            _ => Err(at.say("`pieces` must be between 1 and 1000000, or a list of texts")),
        },
        (Value::Number(_), None) => Err(rule.say("`pieces` cuts a `reply`, and the rule has none")),
        (Value::Array(_), Some(_)) => {
            Err(at.say("a list of `pieces` is the reply; leave `reply` out, or give a number"))
        }
        (Value::Array(texts), None) => {
            let texts = texts
                .into_iter()
                .map(|text| match text {
                    Value::String(text) => quote::check(&text).map(|()| text),
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                        Err("every one of `pieces` must be a text; quote it".to_owned())
                    }
                })
                .collect::<Result<Vec<String>, String>>()
                .map_err(|why| at.say(why))?;
            Ok(Pieces::Listed(texts))
        }
        (Value::Null | Value::Bool(_) | Value::String(_) | Value::Object(_), _) => {
            Err(at.say("`pieces` must be a number or a list of texts"))
        }
    }
}

#[cfg(test)]
mod tests;
