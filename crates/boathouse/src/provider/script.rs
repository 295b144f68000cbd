//! The rules of `scripted.yaml`: what the `scripted` provider answers, and when.
//!
//! `docs/scripted.md` is the page for people.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use boathouse_core::message::Usage;
use boathouse_core::run::event::CallErrorKind;
use boathouse_core::run::request::ModelRequest;
use regex::Regex;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::Spanned;

pub(crate) mod keys;
mod patterns;
mod quote;

pub(crate) use patterns::Patterns;
pub(crate) use quote::Quotes;

/// The name of the provider that answers from it.
pub(crate) const PROVIDER: &str = "scripted";

/// The name of the file beside `crew.yaml`.
pub const FILE: &str = "scripted.yaml";

/// Rules of one file.
const MAX_RULES: usize = 1000;

/// Says everything that is wrong with the text of a `scripted.yaml`; empty if nothing is.
pub fn check(text: &str) -> Vec<Fault> {
    Script::parse(text).err().unwrap_or_default()
}

/// Something wrong with a `scripted.yaml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1; 0 if it is about the whole file.
    pub line: usize,
    /// In characters, from 1; 0 if it is about the whole file.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{FILE}: {}", self.message),
            line => write!(f, "{FILE}:{line}:{}: {}", self.column, self.message),
        }
    }
}

/// The JSON Schema (draft-07) of `scripted.yaml`, for editors.
pub(crate) fn schema() -> Value {
    let mut settings = SchemaSettings::draft07();
    settings.inline_subschemas = true;
    let mut schema = settings.into_generator().into_root_schema_for::<FileText>();
    schema.insert("$id".to_owned(), "urn:boathouse:schema:scripted".into());
    schema.insert("title".to_owned(), "Boathouse: scripted.yaml".into());
    schema.into()
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

/// A native tool call.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScriptedCall {
    /// The tool's name.
    pub(crate) name: String,
    /// Its arguments: a map, or a text that is sent as it is.
    #[serde(default)]
    #[schemars(extend("type" = ["object", "string", "null"]))]
    pub(crate) arguments: Value,
}

/// A failure.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScriptedError {
    /// What went wrong.
    #[schemars(with = "String", extend("enum" = KINDS))]
    pub(crate) kind: CallErrorKind,
    /// The same in words.
    #[serde(default)]
    pub(crate) message: Option<String>,
    /// How long the provider asks to wait, in milliseconds.
    #[serde(default)]
    pub(crate) retry_after_ms: Option<u64>,
}

/// The kinds of failures, as they are written.
const KINDS: [&str; 9] =
    ["connect", "timeout", "rate_limited", "server", "truncated", "protocol", "auth", "rejected", "config"];

/// What may stand for a text: numbers and flags count as they are written.
const TEXT: [&str; 4] = ["string", "number", "boolean", "null"];

/// What the provider `scripted` answers, and when.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FileText {
    /// The first rule that fits answers.
    #[schemars(with = "Vec<RuleText>")]
    rules: Vec<Spanned<RuleText>>,
}

/// A rule: all its conditions must hold; one without conditions always fits.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RuleText {
    /// Condition: this agent is to speak (its id).
    #[schemars(extend("type" = TEXT))]
    agent: Option<String>,
    /// Condition: this model is asked (its name, without the provider).
    #[schemars(extend("type" = TEXT))]
    model: Option<String>,
    /// Condition: this regular expression matches the last message, or the results of the last round.
    #[schemars(with = "Option<String>", extend("type" = TEXT))]
    when: Option<Spanned<String>>,
    /// Condition: this regular expression matches the first or the newest of the user's messages.
    #[schemars(with = "Option<String>", extend("type" = TEXT))]
    input: Option<Spanned<String>>,
    /// Condition: it is the agent's n-th reply in this run, counted from 1.
    #[schemars(with = "Option<NonZeroU32>")]
    call: Option<Spanned<u32>>,
    /// Condition: it is the n-th try of this call, counted from 1.
    #[schemars(with = "Option<NonZeroU32>")]
    attempt: Option<Spanned<u32>>,
    /// The text of the reply. `{{input}}`, `{{last}}`, `{{result.ToolName}}` and `{{match.group}}` are replaced.
    #[schemars(with = "Option<String>", extend("type" = TEXT))]
    reply: Option<Spanned<String>>,
    /// Native tool calls.
    #[schemars(with = "Option<Vec<ScriptedCall>>")]
    tools: Option<Vec<Spanned<ScriptedCall>>>,
    /// A failure, after the text if there is any.
    error: Option<ScriptedError>,
    /// A pause before the first piece, in milliseconds.
    #[serde(default)]
    delay_ms: u64,
    /// A pause before every further piece, in milliseconds.
    #[serde(default)]
    piece_delay_ms: u64,
    /// How the text is streamed: a number of about equal pieces, or a list of texts, which then is the reply.
    #[schemars(with = "Option<Value>", extend("type" = ["integer", "array", "null"], "minimum" = 1, "items" = {"type": "string"}))]
    pieces: Option<Spanned<Value>>,
    /// Tokens to report.
    usage: Option<UsageText>,
}

/// Tokens of one reply.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UsageText {
    /// What the model read.
    #[serde(default)]
    input_tokens: u64,
    /// What it wrote.
    #[serde(default)]
    output_tokens: u64,
}

impl Script {
    /// Reads the file, or says what is wrong with it: the first thing that is no rule, else each rule's first fault.
    pub(crate) fn parse(text: &str) -> Result<Script, Vec<Fault>> {
        let whole = Place { line: 0, column: 0 };
        if text.trim().is_empty() {
            return Err(vec![whole.say("the file is empty; it needs a list `rules`")]);
        }
        let options = serde_saphyr::options! { with_snippet: false };
        let file: FileText = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let why = error.to_string();
            let Some(at) = error.location() else { return vec![whole.say(why)] };
            let told_twice = format!(" at line {}, column {}", at.line(), at.column());
            let why = why.strip_suffix(&told_twice).unwrap_or(&why);
            vec![Place { line: at.line(), column: at.column() }.say(why)]
        })?;
        if let Some(first) = file.rules.get(MAX_RULES) {
            let many = file.rules.len();
            return Err(vec![Place::of(first).say(format!("{many} rules; there may be {MAX_RULES}"))]);
        }
        let mut faults = Vec::new();
        let mut patterns = Patterns::new();
        let checked = file.rules.into_iter().map(|rule| Rule::check(rule, &mut patterns));
        let rules = checked.filter_map(|rule| rule.map_err(|fault| faults.push(fault)).ok()).collect();
        if faults.is_empty() { Ok(Script { rules }) } else { Err(faults) }
    }

    /// The first rule, in the order of the file, that fits a request.
    pub(crate) fn find(&self, request: &ModelRequest, quotes: &Quotes<'_>) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.fits(request, quotes))
    }
}

impl Rule {
    fn check(text: Spanned<RuleText>, patterns: &mut Patterns) -> Result<Rule, Fault> {
        let at = Place::of(&text);
        let rule = text.value;
        let mut pattern = |key: &str, text: Option<Spanned<String>>| {
            text.map(|text| {
                let said = |why| Place::of(&text).say(format!("`{key}` {why}"));
                patterns.compile(&text.value).map_err(said)
            })
            .transpose()
        };
        let when = pattern("when", rule.when)?;
        let input = pattern("input", rule.input)?;
        let groups: Vec<&str> =
            when.iter().chain(&input).flat_map(|pattern| pattern.capture_names().flatten()).collect();
        let pieces = pieces(rule.reply, rule.pieces, &at, &groups)?;
        let tools = rule.tools.unwrap_or_default();
        if matches!(&pieces, Pieces::Words(text) if text.is_empty())
            && tools.is_empty()
            && rule.error.is_none()
        {
            return Err(at.say("the rule gives nothing; add `reply`, `tools` or `error`"));
        }
        for call in &tools {
            quote::check_value(&call.value.arguments, &groups).map_err(|why| Place::of(call).say(why))?;
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
            when,
            input,
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

    /// What the rule may quote: also what its patterns matched.
    pub(crate) fn quotes<'a>(&self, quotes: Quotes<'a>) -> Quotes<'a> {
        quotes.of_rule(self.when.as_ref(), self.input.as_ref())
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

    fn say(&self, why: impl fmt::Display) -> Fault {
        let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Fault { line: number(self.line), column: number(self.column), message: why.to_string() }
    }
}

fn pieces(
    reply: Option<Spanned<String>>,
    pieces: Option<Spanned<Value>>,
    rule: &Place,
    groups: &[&str],
) -> Result<Pieces, Fault> {
    if let Some(reply) = &reply {
        quote::check(&reply.value, groups).map_err(|why| Place::of(reply).say(why))?;
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
                    Value::String(text) => quote::check(&text, groups).map(|()| text),
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
