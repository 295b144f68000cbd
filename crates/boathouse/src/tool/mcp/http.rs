//! MCP over HTTP ("streamable HTTP"), through the client that models are asked with.
//!
//! Each message is a request with a connection of its own. Answers are JSON or a stream of events; the stream on which a
//! server could speak unasked is not opened, and a stream that broke is not resumed: an outcome is known or it is not.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use boathouse_core::crew::http::{Address, Header};
use boathouse_core::run::event::CallErrorKind;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use http_body_util::Full;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use rmcp::model::{ClientJsonRpcMessage, ErrorData, RequestId, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_client::{
    SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
};
use sse_stream::Sse;
use tokio::time::timeout;

use crate::provider::ProviderError;
use crate::provider::client::{Client, Exchange, Origin};
use crate::provider::sse::SseReader;
use crate::tool::http::{Secrets, client, headers, target};

use super::MAX_MESSAGE;

const SESSION: &str = "mcp-session-id";
/// Bytes of the body of an error that are read.
const MAX_ERROR_BODY: usize = 16 * 1024;
/// How long the end of a session may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why a message was not answered as it should be.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Fault {
    /// Nothing was sent.
    #[error("{0}")]
    Unsent(String),
    /// It was answered, by a status that is no success.
    #[error("{0}")]
    Answered(String),
    /// It was sent, and there is no answer that can be read.
    #[error("{0}")]
    Lost(String),
}

impl Fault {
    /// The fault that an error of the transport stands for.
    pub(super) fn of<'e>(error: &'e (dyn Error + Send + Sync + 'static)) -> Option<&'e Fault> {
        match error.downcast_ref::<StreamableHttpError<Fault>>()? {
            StreamableHttpError::Client(fault) => Some(fault),
            _ => None,
        }
    }
}

impl From<ProviderError> for Fault {
    fn from(error: ProviderError) -> Fault {
        match error.kind {
            CallErrorKind::Connect => Fault::Unsent(error.message),
            _ => Fault::Lost(error.message),
        }
    }
}

impl From<Fault> for StreamableHttpError<Fault> {
    fn from(fault: Fault) -> StreamableHttpError<Fault> {
        StreamableHttpError::Client(fault)
    }
}

/// The way to a server.
#[derive(Clone)]
pub(super) struct Http {
    client: Arc<Client>,
    origin: Origin,
    target: String,
    headers: HeaderMap,
}

impl Http {
    /// The error says why there is none.
    pub(super) fn new(address: &Address, written: &[Header]) -> Result<(Http, Secrets), String> {
        let (client, origin) = client(address)?;
        let (headers, secrets) = headers(written, &origin)?;
        let target = target(address, &|_| None)?;
        Ok((Http { client: Arc::new(client), origin, target, headers }, secrets))
    }

    async fn send(
        &self,
        method: Method,
        body: Vec<u8>,
        session: Option<&str>,
        protocol: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(Response<()>, Exchange<'_>), Fault> {
        let unsent =
            |error: hyper::http::Error| Fault::Unsent(format!("the request cannot be sent: {error}"));
        let mut request = Request::builder()
            .method(method)
            .uri(&self.target)
            .body(Full::new(Bytes::from(body)))
            .map_err(unsent)?;
        let headers = request.headers_mut();
        *headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers.extend(protocol);
        if let Some(session) = session {
            headers.insert(SESSION, HeaderValue::from_str(session).map_err(|error| unsent(error.into()))?);
        }
        Ok(self.client.open().await?.send(request).await?)
    }
}

impl StreamableHttpClient for Http {
    type Error = Fault;

    async fn post_message(
        &self,
        _uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        _auth: Option<String>,
        protocol: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, StreamableHttpError<Fault>> {
        let body = serde_json::to_vec(&message)?;
        let (head, exchange) = self.send(Method::POST, body, session.as_deref(), protocol).await?;
        let status = head.status();
        let header = |name: &str| head.headers().get(name).and_then(|value| value.to_str().ok());
        let given = header(SESSION).map(str::to_owned);
        if status == StatusCode::NOT_FOUND && session.is_some() {
            return Err(StreamableHttpError::SessionExpired);
        }
        if !status.is_success() {
            let body = read(exchange, MAX_ERROR_BODY).await.map(|(body, _)| body).unwrap_or_default();
            if let Ok(error @ ServerJsonRpcMessage::Error(_)) = serde_json::from_slice(&body) {
                return Ok(StreamableHttpPostResponse::Json(error, given));
            }
            let told = format!("{} answered {status}\n{}", self.origin, String::from_utf8_lossy(&body));
            return Err(Fault::Answered(told.trim_end().to_owned()).into());
        }
        let ClientJsonRpcMessage::Request(request) = message else {
            return Ok(StreamableHttpPostResponse::Accepted);
        };
        let kind = header("content-type").unwrap_or_default().to_ascii_lowercase();
        if kind.starts_with("text/event-stream") {
            let events = events(exchange.into_chunks(), request.id).boxed();
            return Ok(StreamableHttpPostResponse::Sse(events, given));
        }
        if !kind.starts_with("application/json") {
            return Err(
                Fault::Lost(format!("{} answered {status}, with what is no JSON", self.origin)).into()
            );
        }
        let (body, is_whole) = read(exchange, MAX_MESSAGE).await.map_err(Fault::from)?;
        let answer = if is_whole { serde_json::from_slice(&body) } else { Ok(too_large(request.id)) };
        let unreadable =
            |error| Fault::Lost(format!("{} answered with what is no message: {error}", self.origin));
        Ok(StreamableHttpPostResponse::Json(answer.map_err(unreadable)?, given))
    }

    async fn delete_session(
        &self,
        _uri: Arc<str>,
        session: Arc<str>,
        _auth: Option<String>,
        protocol: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), StreamableHttpError<Fault>> {
        let goodbye = self.send(Method::DELETE, Vec::new(), Some(&session), protocol);
        // Whether it is heard is the server's affair.
        let _ = timeout(GOODBYE, goodbye).await;
        Ok(())
    }

    async fn get_stream(
        &self,
        _uri: Arc<str>,
        _session: Option<Arc<str>>,
        _last_event_id: Option<String>,
        _auth: Option<String>,
        _protocol: HashMap<HeaderName, HeaderValue>,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, StreamableHttpError<Fault>> {
        Err(StreamableHttpError::ServerDoesNotSupportSse)
    }
}

/// The body, up to a cap, and whether that is all of it.
async fn read(mut exchange: Exchange<'_>, max: usize) -> Result<(Vec<u8>, bool), ProviderError> {
    let mut body = Vec::new();
    loop {
        let more = exchange.read(|chunk| {
            body.extend_from_slice(&chunk[..chunk.len().min(max + 1 - body.len())]);
            Ok(body.len() <= max)
        });
        if !more.await? {
            let is_whole = body.len() <= max;
            body.truncate(max);
            return Ok((body, is_whole));
        }
    }
}

/// The events of an answer. One that is too large becomes an error for whoever waits for the answer.
fn events(
    chunks: impl Stream<Item = Result<Bytes, ProviderError>> + Send + 'static,
    request: RequestId,
) -> impl Stream<Item = Result<Sse, SseError>> + Send + 'static {
    let mut reader = SseReader::new(MAX_MESSAGE);
    let event = |name: &str, data: String| Sse {
        event: (!name.is_empty()).then(|| name.to_owned()),
        data: Some(data),
        ..Sse::default()
    };
    let read = move |chunk: Result<Bytes, ProviderError>| {
        let mut events = Vec::new();
        match chunk {
            Ok(chunk) => {
                let fed = reader.feed(&chunk, |next| {
                    events.push(Ok(event(next.name, next.data.into_owned())));
                    Ok::<(), std::convert::Infallible>(())
                });
                if fed.is_err() {
                    let error = serde_json::to_string(&too_large(request.clone()));
                    events.push(Ok(event("", error.unwrap_or_default())));
                }
            }
            Err(error) => events.push(Err(SseError::Body(Box::new(error)))),
        }
        stream::iter(events)
    };
    chunks.flat_map(read)
}

fn too_large(request: RequestId) -> ServerJsonRpcMessage {
    let what = format!("its answer has more than {} MiB", MAX_MESSAGE >> 20);
    ServerJsonRpcMessage::error(ErrorData::internal_error(what, None), Some(request))
}
