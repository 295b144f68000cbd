//! OpenAI's Chat Completions, and every server that speaks it: vLLM, LM Studio, llama.cpp, Ollama, Azure, gateways.

use std::time::SystemTime;

use async_trait::async_trait;
use boathouse_core::message::Reply;
use boathouse_core::run::event::CallErrorKind;
use boathouse_core::run::request::ModelRequest;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::client::{Client, Exchange, Origin, Timeouts};
use super::sse::{SseError, SseEvent, SseReader};
use super::{Deltas, Provider, ProviderError};

mod failure;
pub mod wire;

use wire::{Fold, MaxTokens, Progress};

/// Bytes of an error's body that are read.
const MAX_ERROR_BODY: usize = 64 * 1024;

/// One server, with one key.
///
/// It opens no connection and starts no task until it is called, and keeps none of a call that was dropped. A call has no
/// time limit as a whole; [`Timeouts`] bound every pause.
pub struct OpenAi {
    client: Client,
    target: String,
    host: HeaderValue,
    /// Marked sensitive: never printed.
    authorization: Option<HeaderValue>,
    /// Azure reads the key from a header of its own.
    api_key: Option<HeaderValue>,
    key: Option<SecretString>,
    max_tokens: MaxTokens,
}

impl OpenAi {
    /// A server at `base_url`, which requests extend by `/chat/completions`. Without a key none is sent.
    ///
    /// The error, of kind `config`, says what is wrong with the URL or the key.
    pub fn new(
        base_url: &str,
        key: Option<SecretString>,
        timeouts: Timeouts,
    ) -> Result<OpenAi, ProviderError> {
        let config = |why: String| ProviderError::new(CallErrorKind::Config, why);
        let origin =
            Origin::parse(base_url).map_err(|why| config(format!("the base URL is unusable: {why}")))?;
        let host = HeaderValue::from_str(&origin.authority)
            .map_err(|_| config("the base URL is unusable: its host is not ASCII".to_owned()))?;
        let header = |text: String| {
            let mut value = HeaderValue::try_from(text)
                .map_err(|_| config("the key holds characters that no HTTP header may hold".to_owned()))?;
            value.set_sensitive(true);
            Ok::<HeaderValue, ProviderError>(value)
        };
        let secret = key.as_ref().map(SecretString::expose_secret);
        let is_azure = origin.host.ends_with(".azure.com");
        let is_openai = is_azure || origin.host == "api.openai.com";
        Ok(OpenAi {
            target: origin.target("/chat/completions"),
            host,
            authorization: secret.map(|key| header(format!("Bearer {key}"))).transpose()?,
            api_key: secret.filter(|_| is_azure).map(|key| header(key.to_owned())).transpose()?,
            max_tokens: if is_openai { MaxTokens::Completion } else { MaxTokens::Old },
            client: Client::new(origin, timeouts),
            key,
        })
    }

    /// Closes connections that have been unused for too long.
    pub(super) fn tidy(&self, now: Instant) {
        self.client.tidy(now);
    }

    async fn call(&self, request: &ModelRequest, deltas: &dyn Deltas) -> Result<Reply, ProviderError> {
        let request = self.http_request(wire::body(request, self.max_tokens)?)?;
        let (head, exchange) = self.client.send(request).await?;
        if !head.status().is_success() {
            let body = read_text(exchange).await;
            return Err(failure::http(head.status(), head.headers(), &body, SystemTime::now()));
        }
        let kind = |name: &[u8]| {
            head.headers().get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(name))
        };
        if kind(b"text/html") {
            let why = "a web page came instead of a reply; is the base URL right, and does no proxy ask for a login?";
            return Err(ProviderError::new(CallErrorKind::Protocol, why));
        }
        let is_json = kind(b"application/json");
        // Its fields keep alive what was read with them, all the time that the reply takes.
        drop(head);
        if is_json { read_whole(exchange, deltas).await } else { read_stream(exchange, deltas).await }
    }

    fn http_request(&self, body: Vec<u8>) -> Result<Request<Full<Bytes>>, ProviderError> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&self.target)
            .header(HOST, &self.host)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(ACCEPT, HeaderValue::from_static("text/event-stream"))
            .header(USER_AGENT, HeaderValue::from_static(concat!("boathouse/", env!("CARGO_PKG_VERSION"))));
        if let Some(value) = &self.authorization {
            request = request.header(AUTHORIZATION, value);
        }
        if let Some(value) = &self.api_key {
            request = request.header("api-key", value);
        }
        request.body(Full::new(Bytes::from(body))).map_err(|error| {
            ProviderError::new(CallErrorKind::Config, format!("the base URL is unusable: {error}"))
        })
    }
}

#[async_trait]
impl Provider for OpenAi {
    async fn reply(&self, request: &ModelRequest, deltas: &dyn Deltas) -> Result<Reply, ProviderError> {
        let reply = self.call(request, deltas).await;
        reply.map_err(|error| failure::redact(error, self.key.as_ref().map(SecretString::expose_secret)))
    }
}

/// Folds a stream of events. All text that arrived together is told as one piece.
async fn read_stream(mut exchange: Exchange<'_>, deltas: &dyn Deltas) -> Result<Reply, ProviderError> {
    let mut reader = SseReader::default();
    let mut fold = Fold::new();
    let mut told = 0;
    loop {
        let mut progress = Progress::More;
        let read = exchange
            .read(|chunk| {
                let fed = reader.feed(chunk, |event: SseEvent<'_>| {
                    progress = fold.frame(&event.data)?;
                    Ok(())
                });
                match fed {
                    Ok(()) => Ok(progress == Progress::More),
                    Err(SseError::Refused(error)) => Err(error),
                    Err(error @ SseError::TooLarge(_)) => {
                        Err(ProviderError::new(CallErrorKind::Protocol, error.to_string()))
                    }
                }
            })
            .await;
        if fold.text().len() > told {
            deltas.text(&fold.text()[told..]);
            told = fold.text().len();
        }
        match read {
            Ok(true) => {}
            Ok(false) => {
                let reply = fold.finish()?;
                exchange.finish();
                return Ok(reply);
            }
            // Some servers close without the last chunk, or neither close nor say `[DONE]`, when all has been said.
            Err(error) if matches!(error.kind, CallErrorKind::Truncated | CallErrorKind::Timeout) => {
                return fold.finish().map_err(|_| error);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Reads the answer of a server that does not stream: one completion as JSON.
async fn read_whole(mut exchange: Exchange<'_>, deltas: &dyn Deltas) -> Result<Reply, ProviderError> {
    let mut body = Vec::new();
    while exchange
        .read(|chunk| match body.len() + chunk.len() > wire::fold::MAX_REPLY_BYTES {
            true => Err(ProviderError::new(CallErrorKind::Protocol, "the reply is too large")),
            false => {
                body.extend_from_slice(chunk);
                Ok(true)
            }
        })
        .await?
    {}
    exchange.finish();
    let mut fold = Fold::new();
    fold.frame(&String::from_utf8_lossy(&body))?;
    let reply = fold.finish()?;
    if !reply.text.is_empty() {
        deltas.text(&reply.text);
    }
    Ok(reply)
}

/// The body of an error, as much of it as comes.
async fn read_text(mut exchange: Exchange<'_>) -> String {
    let mut body = Vec::new();
    let all = loop {
        let read = exchange
            .read(|chunk| {
                body.extend_from_slice(chunk);
                Ok(body.len() < MAX_ERROR_BODY)
            })
            .await;
        match read {
            Ok(true) => {}
            Ok(false) => break true,
            Err(_) => break false,
        }
    };
    if all {
        exchange.finish();
    }
    String::from_utf8_lossy(&body).into_owned()
}
