//! A model that costs nothing: streams Chat Completions as OpenAI does, after a script that its name tells.
//!
//! A model's name is a script, and then, where wanted, milliseconds to the first piece and between pieces:
//! `plain-200-20`. With a pause, also one of 0, each piece is a write of its own; without, the reply is one write.
//!
//! - `plain`: one reply of 40 pieces.
//! - `tools`: four replies that call `ResolveDNS` (of an address) and `GetMemoryUsage` in turn, then a last one; each of 40 pieces.
//! - `same`: two replies that call `Echo`, then a last one. Every piece of text depends on all that was sent.
//! - `long@N`: N replies of one piece that each call `Echo`, then a last one; counted by the run's `probe-<n>`.
//!
//! Source: OpenAI's API reference, "Create chat completion" and "Streaming".

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;

use crate::http::{self, Body, Result};

/// Pieces of a reply.
const PIECES: usize = 40;

#[derive(Default)]
struct State {
    started: AtomicU64,
    finished: AtomicU64,
    dropped: AtomicU64,
    /// When the request of a run was dropped: nanoseconds since 1970, by the number of its probe.
    drops: Mutex<HashMap<u64, u128>>,
    /// Calls of each `long` run, by the number of its probe.
    rounds: Mutex<HashMap<u64, usize>>,
}

pub(crate) async fn run() -> Result<()> {
    let state = Arc::new(State::default());
    http::serve(move |request| {
        let state = state.clone();
        async move {
            match answer(state, request).await {
                Ok(response) => response,
                Err(error) => {
                    http::respond(StatusCode::BAD_REQUEST, "text/plain", http::whole(error.to_string()))
                }
            }
        }
    })
    .await
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Body>> {
    let counters = |state: &State| {
        let [started, finished, dropped] =
            [&state.started, &state.finished, &state.dropped].map(|counter| counter.load(Ordering::Relaxed));
        json!({"started": started, "finished": finished, "dropped": dropped, "open": started - finished - dropped})
    };
    let told = match (request.method(), request.uri().path()) {
        (&Method::POST, path) if path.ends_with("/chat/completions") => {
            let body = request.into_body().collect().await?.to_bytes();
            let reply = Reply::to(&body, state)?;
            let frames = futures_util::stream::unfold(reply, async |mut reply| {
                let frame = reply.next().await?;
                Some((frame, reply))
            });
            return Ok(http::respond(StatusCode::OK, "text/event-stream", http::stream(frames)));
        }
        (&Method::GET, "/stats") => counters(&state),
        (&Method::GET, "/drops") => {
            let drops = state.drops.lock().unwrap_or_else(PoisonError::into_inner);
            drops.iter().map(|(probe, at)| (probe.to_string(), json!(at.to_string()))).collect()
        }
        _ => return Ok(http::respond(StatusCode::NOT_FOUND, "text/plain", http::whole("no such route\n"))),
    };
    Ok(http::respond(StatusCode::OK, "application/json", http::whole(told.to_string())))
}

/// A reply on its way.
struct Reply {
    frames: VecDeque<Bytes>,
    /// Before the first piece, and before each further one; `None` gives all at once.
    pace: Option<(Duration, Duration)>,
    begun: bool,
    probe: Option<u64>,
    state: Arc<State>,
}

impl Reply {
    fn to(body: &[u8], state: Arc<State>) -> Result<Reply> {
        let model = text_after(body, b"\"model\":\"").ok_or("the request names no model")?;
        let mut parts = model.split('-');
        let script = parts.next().unwrap_or_default();
        let mut pause = || parts.next().map(|text| text.parse().map(Duration::from_millis)).transpose();
        let pace = pause()?.zip(pause()?);
        let probe = http::find(body, b"probe-").and_then(|at| {
            let digits: Vec<u8> = body[at + 6..].iter().copied().take_while(u8::is_ascii_digit).collect();
            String::from_utf8(digits).ok()?.parse().ok()
        });

        let results = http::count(body, b"\"role\":\"tool\"");
        let frames = match script.split_once('@') {
            None if script == "plain" => frames(PIECES, "word ", None),
            None if script == "tools" => {
                let (tool, arguments) = match results % 2 {
                    0 => ("ResolveDNS", json!({"hostname": "127.0.0.1"})),
                    _ => ("GetMemoryUsage", json!({})),
                };
                frames(PIECES, "word ", (results < 4).then_some((tool, arguments, results as u64)))
            }
            None if script == "same" => {
                let seen = hash(body);
                let piece = format!("{seen:016x} ");
                let said = json!({"text": format!("{}.{results}", probe.unwrap_or_default())});
                frames(4, &piece, (results < 2).then_some(("Echo", said, seen)))
            }
            None if script == "ask" => {
                let answered = http::find(body, b"the blue one").is_some();
                frames(1, if answered { "fine [DONE]" } else { "which one?" }, None)
            }
            Some(("many", pieces)) => frames(pieces.parse()?, "word ", None),
            Some(("long", rounds)) => {
                let rounds: usize = rounds.parse()?;
                let mut counted = state.rounds.lock().unwrap_or_else(PoisonError::into_inner);
                let round = counted.entry(probe.unwrap_or_default()).or_default();
                *round += 1;
                let call = (*round <= rounds).then(|| ("Echo", json!({"text": "x"}), *round as u64));
                frames(1, "word ", call)
            }
            _ => return Err(format!("no script `{script}`").into()),
        };
        state.started.fetch_add(1, Ordering::Relaxed);
        Ok(Reply { frames, pace, begun: false, probe, state })
    }

    async fn next(&mut self) -> Option<Bytes> {
        if self.frames.is_empty() {
            return None;
        }
        let Some((first, each)) = self.pace else {
            return Some(self.frames.drain(..).collect::<Vec<_>>().concat().into());
        };
        let pause = if std::mem::replace(&mut self.begun, true) { each } else { first };
        if pause.is_zero() {
            // What was given so far is written before this.
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(pause).await;
        }
        self.frames.pop_front()
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.frames.is_empty() {
            self.state.finished.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.state.dropped.fetch_add(1, Ordering::Relaxed);
        if let (Some(probe), Ok(now)) = (self.probe, SystemTime::now().duration_since(UNIX_EPOCH)) {
            let mut drops = self.state.drops.lock().unwrap_or_else(PoisonError::into_inner);
            drops.insert(probe, now.as_nanos());
        }
    }
}

/// The frames of a reply: pieces of text, then maybe a tool call, then how it ended.
fn frames(pieces: usize, piece: &str, call: Option<(&str, serde_json::Value, u64)>) -> VecDeque<Bytes> {
    let chunk = |delta: serde_json::Value, finish: Option<&str>| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        let chunk = json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": "fake", "choices": [choice],
        });
        format!("data: {chunk}\n\n")
    };
    let text = Bytes::from(chunk(json!({"content": piece}), None));
    let mut frames: VecDeque<Bytes> = std::iter::repeat_n(text, pieces).collect();
    let mut end = String::new();
    match call {
        None => end += &chunk(json!({}), Some("stop")),
        Some((tool, arguments, number)) => {
            let function = json!({"name": tool, "arguments": arguments.to_string()});
            let call = json!({"index": 0, "id": format!("call_{number:x}"), "type": "function", "function": function});
            end += &chunk(json!({"tool_calls": [call]}), None);
            end += &chunk(json!({}), Some("tool_calls"));
        }
    }
    let usage = json!({"prompt_tokens": 100, "completion_tokens": pieces, "total_tokens": 100 + pieces});
    end += &format!(
        "data: {}\n\ndata: [DONE]\n\n",
        json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": "fake", "choices": [],
            "usage": usage,
        })
    );
    frames.push_back(end.into());
    frames
}

/// The text between the end of `mark` and the next quotation mark.
fn text_after<'a>(body: &'a [u8], mark: &[u8]) -> Option<&'a str> {
    let rest = &body[http::find(body, mark)? + mark.len()..];
    std::str::from_utf8(&rest[..http::find(rest, b"\"")?]).ok()
}

/// FNV-1a. Source: <http://www.isthe.com/chongo/tech/comp/fnv/>.
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
