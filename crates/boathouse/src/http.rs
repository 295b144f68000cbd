//! A small HTTP client for programs that talk to a Boathouse server: one request, one whole answer.

use std::time::Duration;

use boathouse_core::run::event::CallErrorKind;
use bytes::{Bytes, BytesMut};
use http_body_util::Full;
use hyper::Request;
use hyper::header::{HOST, USER_AGENT};

use crate::provider::client::{Client, Origin};
use crate::provider::{ProviderError, Timeouts};

/// How long a server may say nothing: a request may wait for a run.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// Bytes of an answer that are taken.
const MAX_BODY: usize = 1 << 30;

/// Speaks to one server, over one connection as long as that lives.
pub struct HttpClient {
    origin: Origin,
    client: Client,
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// The whole body.
    pub body: Bytes,
}

/// A request without an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct HttpError {
    /// Nobody was reached, so nothing was done.
    pub unreached: bool,
    message: String,
}

impl From<ProviderError> for HttpError {
    fn from(error: ProviderError) -> HttpError {
        HttpError { unreached: error.kind == CallErrorKind::Connect, message: error.message }
    }
}

impl HttpClient {
    /// A client of the server at a URL, `http://` or `https://`. Nothing is connected yet.
    ///
    /// The error says what is wrong with the URL.
    pub fn new(base_url: &str) -> Result<HttpClient, String> {
        let origin = Origin::parse(base_url)?;
        let timeouts = Timeouts { idle: PATIENCE, ..Timeouts::default() };
        Ok(HttpClient { client: Client::new(origin.clone(), timeouts), origin })
    }

    /// Sends a request for a path, which may have a query, and reads the whole answer. Dropping the future closes the
    /// connection.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<HttpAnswer, HttpError> {
        let unusable = |why: String| HttpError { unreached: true, message: why };
        let mut request = Request::builder()
            .method(method)
            .uri(self.origin.target(path))
            .header(HOST, &self.origin.authority)
            .header(USER_AGENT, concat!("boathouse/", env!("CARGO_PKG_VERSION")));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).map_err(|error| unusable(error.to_string()))?;
        let (head, mut exchange) = self.client.send(request).await?;
        let mut body = BytesMut::new();
        let read = |chunk: &[u8], body: &mut BytesMut| {
            if body.len() + chunk.len() > MAX_BODY {
                let message = "the answer is larger than 1 GiB".to_owned();
                return Err(ProviderError::new(CallErrorKind::Protocol, message));
            }
            body.extend_from_slice(chunk);
            Ok(true)
        };
        while exchange.read(|chunk| read(chunk, &mut body)).await? {}
        exchange.finish();
        Ok(HttpAnswer { status: head.status().as_u16(), body: body.freeze() })
    }
}
