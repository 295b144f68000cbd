//! What every server of streams must do at least: ask the model, read each piece's JSON, and write one event for it.
//!
//! `POST /run` with `{"model", "input", "whole"}`. It keeps no log, has no limits and runs no tool: where the model
//! calls one, it gives a fixed result and asks again. The measure for what a run costs beyond that.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::http::{self, Body, Connection, Frames, Pool, Result};

#[derive(Deserialize)]
struct Asked {
    model: String,
    input: String,
    #[serde(default)]
    whole: bool,
}

pub(crate) async fn run(upstream: SocketAddr) -> Result<()> {
    let pool = Arc::new(Pool::new(upstream));
    http::serve(move |request| {
        let pool = pool.clone();
        async move {
            match answer(pool, request).await {
                Ok(response) => response,
                Err(error) => {
                    http::respond(StatusCode::BAD_GATEWAY, "text/plain", http::whole(error.to_string()))
                }
            }
        }
    })
    .await
}

async fn answer(pool: Arc<Pool>, request: Request<Incoming>) -> Result<Response<Body>> {
    let body = request.into_body().collect().await?.to_bytes();
    let asked: Asked = serde_json::from_slice(&body)?;
    let messages = vec![
        json!({"role": "system", "content": "You are an agent. Help."}),
        json!({"role": "user", "content": asked.input}),
    ];
    let relayed = Relayed {
        pool,
        model: asked.model,
        whole: asked.whole,
        messages,
        call: None,
        frames: Frames::default(),
        out: VecDeque::new(),
        text: String::new(),
        tool_call: None,
        over: false,
    };
    let chunks = futures_util::stream::unfold(relayed, async |mut relayed| {
        let chunk = match relayed.next().await {
            Ok(chunk) => chunk?,
            Err(error) => {
                relayed.over = true;
                Bytes::from(format!("data: {}\n\n", json!({"type": "error", "text": error.to_string()})))
            }
        };
        Some((chunk, relayed))
    });
    Ok(http::respond(StatusCode::OK, "text/event-stream", http::stream(chunks)))
}

struct Relayed {
    pool: Arc<Pool>,
    model: String,
    whole: bool,
    messages: Vec<Value>,
    /// The call in flight.
    call: Option<(Connection, Incoming)>,
    frames: Frames,
    /// Frames to be written.
    out: VecDeque<Bytes>,
    text: String,
    tool_call: Option<Value>,
    over: bool,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    delta: Delta<'a>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<Cow<'a, str>>,
    tool_calls: Option<Vec<Value>>,
}

#[derive(Serialize)]
struct Piece<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    text: &'a str,
}

impl Relayed {
    /// What is written next: one frame for each piece, written by itself as servers of events do.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(frame) = self.out.pop_front() {
                // What was given before is written before this.
                tokio::task::yield_now().await;
                return Ok(Some(frame));
            }
            if self.over {
                return Ok(None);
            }
            if self.call.is_none() {
                self.call = Some(self.ask().await?);
            }
            let chunk = match &mut self.call {
                Some((_, body)) => body.frame().await.transpose()?,
                None => None,
            };
            match chunk.and_then(|frame| frame.into_data().ok()) {
                Some(data) => {
                    self.frames.feed(&data);
                    while let Some(data) = self.frames.next() {
                        self.take(&data)?;
                    }
                }
                None => self.replied()?,
            }
        }
    }

    async fn ask(&mut self) -> Result<(Connection, Incoming)> {
        let mut connection = self.pool.take().await?;
        let body = json!({"model": self.model, "messages": self.messages, "stream": true});
        let response =
            connection.send("POST", "/v1/chat/completions", "text/event-stream", body.to_string()).await?;
        Ok((connection, response.into_body()))
    }

    /// Reads one piece and writes it.
    fn take(&mut self, data: &[u8]) -> Result<()> {
        if data == b"[DONE]" {
            return Ok(());
        }
        let chunk: Chunk<'_> = serde_json::from_slice(data)?;
        for choice in chunk.choices {
            if let Some(text) = choice.delta.content {
                if !self.whole {
                    self.out.push_back(frame(&Piece { kind: "delta", text: &text })?);
                }
                self.text.push_str(&text);
            }
            if let Some(call) = choice.delta.tool_calls.and_then(|mut calls| calls.pop()) {
                self.tool_call = Some(call);
            }
        }
        Ok(())
    }

    /// A reply has come whole: asks again if it calls a tool, else ends.
    fn replied(&mut self) -> Result<()> {
        if let Some((connection, _)) = self.call.take() {
            self.pool.put_back(connection);
        }
        let text = std::mem::take(&mut self.text);
        if self.whole {
            self.out.push_back(frame(&Piece { kind: "reply", text: &text })?);
        }
        match self.tool_call.take() {
            Some(call) => {
                let id = call["id"].clone();
                self.messages.push(json!({"role": "assistant", "content": text, "tool_calls": [call]}));
                self.messages.push(json!({"role": "tool", "tool_call_id": id, "content": "ok"}));
            }
            None => {
                self.out.push_back(frame(&Piece { kind: "done", text: &text })?);
                self.over = true;
            }
        }
        Ok(())
    }
}

fn frame(piece: &Piece<'_>) -> Result<Bytes> {
    let mut frame = b"data: ".to_vec();
    serde_json::to_writer(&mut frame, piece)?;
    frame.extend_from_slice(b"\n\n");
    Ok(frame.into())
}
