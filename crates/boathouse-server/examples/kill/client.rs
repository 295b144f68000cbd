//! A client that expects its server to die at any moment.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// A server that says nothing for so long is given up.
const PATIENCE: Duration = Duration::from_millis(1500);

/// An answer that came whole.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The `code` of a problem.
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

/// A request.
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: String,
    /// Its idempotency key.
    pub(crate) key: Option<String>,
    pub(crate) body: Option<Value>,
}

/// Asks a server; `None` if no whole answer comes in time: whether anything was done is not known then.
pub(crate) async fn ask(address: SocketAddr, ask: &Ask<'_>) -> Option<Answer> {
    let answer = async {
        let (response, _connection) = send(address, ask, "application/json").await?;
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.ok()?.to_bytes();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).ok()? };
        Some(Answer { status, body })
    };
    timeout(PATIENCE, answer).await.ok().flatten()
}

/// Reads a run's stream after an event, and gives each event that came whole to `seen`. Returns when the stream ends, is cut,
/// or is silent.
pub(crate) async fn follow(address: SocketAddr, run: &str, after: u64, mut seen: impl FnMut(u64, Value)) {
    let ask =
        Ask { method: "GET", path: format!("/v1/runs/{run}/events?after={after}"), key: None, body: None };
    let Ok(Some((response, _connection))) = timeout(PATIENCE, send(address, &ask, "text/event-stream")).await
    else {
        return;
    };
    let mut body = response.into_body();
    let mut text = Vec::new();
    while let Ok(Some(Ok(frame))) = timeout(PATIENCE, body.frame()).await {
        let Ok(data) = frame.into_data() else { continue };
        text.extend_from_slice(&data);
        while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
            let frame: Vec<u8> = text.drain(..end + 2).collect();
            let frame = String::from_utf8_lossy(&frame);
            let line = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name));
            if let (Some(id), Some(data)) = (line("id: "), line("data: "))
                && let (Ok(seq), Ok(event)) = (id.parse(), serde_json::from_str(data))
            {
                seen(seq, event);
            }
        }
    }
}

async fn send(
    address: SocketAddr,
    ask: &Ask<'_>,
    accept: &str,
) -> Option<(hyper::Response<Incoming>, AbortOnDropHandle<()>)> {
    let socket = TcpStream::connect(address).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.ok()?;
    let driver = AbortOnDropHandle::new(tokio::spawn(async move {
        // The request that it serves is told.
        let _ = connection.await;
    }));
    let mut request = Request::builder()
        .method(ask.method)
        .uri(&ask.path)
        .header("host", "localhost")
        .header("accept", accept);
    if let Some(key) = &ask.key {
        request = request.header("idempotency-key", key);
    }
    let body = ask.body.as_ref().map(Value::to_string).unwrap_or_default();
    if ask.method == "POST" {
        request = request.header("content-type", "application/json");
    }
    let response = sender.send_request(request.body(Full::new(Bytes::from(body))).ok()?).await.ok()?;
    Some((response, driver))
}
