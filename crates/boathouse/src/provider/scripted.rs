//! `scripted`: a provider that answers from the crew's own `scripted.yaml`. No key, no network, always the same.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use boathouse_core::message::{Finish, NativeCall, Reply};
use boathouse_core::run::event::CallErrorKind;
use boathouse_core::run::request::ModelRequest;
use serde_json::Value;

use super::script::{FILE, Pieces, Quotes, Rule, Script};
use super::{Deltas, Provider, ProviderError};

/// Parsed scripts that are kept.
const KEPT: usize = 64;

/// The `scripted` provider.
///
/// The rules come from the file `scripted.yaml` of the crew that the run began with; each crew's is parsed once (the
/// 64 used last are kept). Delays are tokio's, so a paused clock skips them.
#[derive(Default)]
pub struct Scripted {
    /// By the crew's hash, the one used last at the back.
    scripts: Mutex<VecDeque<(Arc<str>, Parsed)>>,
    /// Whether pieces come without the pauses between them.
    at_once: bool,
}

/// The rules, or why there are none.
type Parsed = Result<Arc<Script>, String>;

impl Scripted {
    /// One with no script parsed yet.
    pub fn new() -> Scripted {
        Scripted::default()
    }

    /// One that does not pause between the pieces of a reply: those pauses are for people who watch.
    pub fn at_once() -> Scripted {
        Scripted { at_once: true, ..Scripted::default() }
    }

    fn script(&self, request: &ModelRequest) -> Result<Arc<Script>, ProviderError> {
        let crew = &request.crew;
        if let Some(parsed) = self.kept(&crew.hash) {
            return parsed.map_err(config);
        }
        let parsed = match crew.source.get(FILE) {
            Some(text) => Script::parse(text)
                .map(Arc::new)
                .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
            None => {
                Err(format!("crew `{}` has no {FILE}, which the provider `scripted` answers from", crew.name))
            }
        };
        let mut scripts = self.scripts.lock().unwrap_or_else(PoisonError::into_inner);
        if scripts.len() == KEPT {
            scripts.pop_front();
        }
        scripts.push_back((crew.hash.clone(), parsed.clone()));
        parsed.map_err(config)
    }

    fn kept(&self, hash: &Arc<str>) -> Option<Parsed> {
        let mut scripts = self.scripts.lock().unwrap_or_else(PoisonError::into_inner);
        let at = scripts.iter().rposition(|(kept, _)| kept == hash)?;
        let entry = scripts.remove(at)?;
        let parsed = entry.1.clone();
        scripts.push_back(entry);
        Some(parsed)
    }
}

#[async_trait]
impl Provider for Scripted {
    async fn reply(&self, request: &ModelRequest, deltas: &dyn Deltas) -> Result<Reply, ProviderError> {
        let script = self.script(request)?;
        let (rule, pieces, calls) = {
            let quotes = Quotes::new(request);
            let rule = script.find(request, &quotes).ok_or_else(|| no_rule(request, &quotes))?;
            let quotes = rule.quotes(quotes);
            let broken = |why| config(format!("a rule of {FILE} for agent `{}`: {why}", request.agent));
            let pieces = cut(&rule.pieces, &quotes).map_err(broken)?;
            let calls = native_calls(rule, &quotes, request).map_err(broken)?;
            (rule, pieces, calls)
        };
        pause(rule.delay).await;
        let mut text = String::with_capacity(pieces.iter().map(String::len).sum());
        for (at, piece) in pieces.iter().enumerate() {
            if at > 0 && !self.at_once {
                pause(rule.piece_delay).await;
            }
            text.push_str(piece);
            if !piece.is_empty() {
                deltas.text(piece);
            }
        }
        if let Some(error) = &rule.error {
            let message = error.message.clone().unwrap_or_else(|| format!("scripted error {:?}", error.kind));
            return Err(ProviderError {
                kind: error.kind,
                message,
                retry_after: error.retry_after_ms.map(Duration::from_millis),
            });
        }
        let finish = if calls.is_empty() { Finish::Stop } else { Finish::ToolCalls };
        Ok(Reply { text, calls, usage: rule.usage, finish })
    }

    fn is_remote(&self) -> bool {
        false
    }
}

/// Sleeps, but does not yield for nothing.
async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

fn config(why: String) -> ProviderError {
    ProviderError::new(CallErrorKind::Config, why)
}

fn no_rule(request: &ModelRequest, quotes: &Quotes<'_>) -> ProviderError {
    let mut last: String = quotes.last().trim().chars().take(80).collect();
    if last.len() < quotes.last().trim().len() {
        last.push_str("...");
    }
    config(format!(
        "{FILE} has no rule for agent `{}`, call {} (attempt {}, model `{}`), last message {last:?}; add a rule that \
         fits, or one without conditions at the end",
        request.agent, request.agent_call, request.attempt, request.model.model,
    ))
}

fn native_calls(rule: &Rule, quotes: &Quotes<'_>, request: &ModelRequest) -> Result<Vec<NativeCall>, String> {
    let mut calls = Vec::with_capacity(rule.tools.len());
    for (at, call) in rule.tools.iter().enumerate() {
        let arguments = match quotes.fill_value(&call.arguments)? {
            Value::String(text) => text,
            Value::Null => "{}".to_owned(),
            value @ (Value::Object(_) | Value::Array(_) | Value::Bool(_) | Value::Number(_)) => {
                value.to_string()
            }
        };
        let id = format!("scripted_{}_{}", request.call, at + 1);
        calls.push(NativeCall { id, tool: call.name.clone(), arguments });
    }
    Ok(calls)
}

/// The text of the reply, cut into pieces.
fn cut(pieces: &Pieces, quotes: &Quotes<'_>) -> Result<Vec<String>, String> {
    match pieces {
        Pieces::Listed(texts) => texts.iter().map(|text| quotes.fill(text)).collect(),
        Pieces::Words(text) => {
            let text = quotes.fill(text)?;
            Ok(text.split_inclusive(char::is_whitespace).map(str::to_owned).collect())
        }
        Pieces::Count(text, count) => {
            let text: Vec<char> = quotes.fill(text)?.chars().collect();
            let size = text.len().div_ceil(*count).max(1);
            Ok(text.chunks(size).map(|piece| piece.iter().collect()).collect())
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
