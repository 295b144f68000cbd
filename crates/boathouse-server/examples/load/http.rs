//! HTTP/1.1 as bare as hyper gives it: what the upstream and the relay serve with, and what everyone calls with.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::Stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// What went wrong, for whoever runs the program.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
/// Nothing here is handled: it is told, and the program ends.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// The body of a response.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A whole body.
pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// A body of chunks, each written as it comes.
pub(crate) fn stream(chunks: impl Stream<Item = Bytes> + Send + 'static) -> Body {
    use futures_util::StreamExt;
    StreamBody::new(chunks.map(|chunk| Ok(Frame::data(chunk)))).boxed_unsync()
}

/// A response with a body of this content type.
pub(crate) fn respond(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

/// Serves for ever with hyper, on any free port of this machine, which it prints.
pub(crate) async fn serve<F, A>(answer: F) -> Result<()>
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    listen(|socket| {
        let answer = answer.clone();
        let service = service_fn(move |request| {
            let answered = answer(request);
            async move { Ok::<_, Infallible>(answered.await) }
        });
        async move {
            // A client that goes away is what some scenarios are about.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
        }
    })
    .await
}

/// Accepts for ever, on any free port of this machine, which it prints; `converse` has each connection to itself.
pub(crate) async fn listen<F, C>(converse: F) -> Result<()>
where
    F: Fn(TcpStream) -> C,
    C: Future<Output = ()> + Send + 'static,
{
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let listener = socket.listen(4096)?;
    println!("listens at http://{}", listener.local_addr()?);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (socket, _) = accepted?;
                socket.set_nodelay(true)?;
                connections.spawn(converse(socket));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A client's connection. Closed when dropped.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    _driver: AbortOnDropHandle<()>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Connection> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
        let driver = tokio::spawn(async move {
            // The request that it served is told.
            let _ = connection.await;
        });
        Ok(Connection { sender, host: address.to_string(), _driver: AbortOnDropHandle::new(driver) })
    }

    /// Sends a request; gives the response when its head has come. An error status is a failure.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        accept: &str,
        body: impl Into<Bytes>,
    ) -> Result<Response<Incoming>> {
        self.sender.ready().await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.host)
            .header(AUTHORIZATION, "Bearer dummy")
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, accept)
            .body(Full::new(body.into()))?;
        let response = self.sender.send_request(request).await?;
        if !response.status().is_success() {
            let status = response.status();
            let text = response.into_body().collect().await?.to_bytes();
            return Err(format!("{method} {path}: {status}: {}", String::from_utf8_lossy(&text)).into());
        }
        Ok(response)
    }

    /// Sends a request and reads the whole response.
    pub(crate) async fn fetch(&mut self, method: &str, path: &str, body: impl Into<Bytes>) -> Result<Bytes> {
        let response = self.send(method, path, "application/json", body).await?;
        Ok(response.into_body().collect().await?.to_bytes())
    }
}

/// Connections to one server that are not in use.
pub(crate) struct Pool {
    address: SocketAddr,
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    pub(crate) fn new(address: SocketAddr) -> Pool {
        Pool { address, idle: Mutex::new(Vec::new()) }
    }

    pub(crate) async fn take(&self) -> Result<Connection> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(connection) if !connection.sender.is_closed() => Ok(connection),
            _ => Connection::open(self.address).await,
        }
    }

    pub(crate) fn put_back(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

/// Cuts a stream of server-sent events into the data of each.
#[derive(Default)]
pub(crate) struct Frames(BytesMut);

impl Frames {
    pub(crate) fn feed(&mut self, chunk: &[u8]) {
        self.0.extend_from_slice(chunk);
    }

    /// The data of the next event that has come whole; events of one `data` line are understood, others are skipped.
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        loop {
            let end = self.0.windows(2).position(|two| two == b"\n\n")?;
            let frame = self.0.split_to(end).freeze();
            self.0.advance(2);
            let data = frame.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"data: "));
            if let Some(data) = data {
                return Some(frame.slice_ref(&data[6..]));
            }
        }
    }
}

/// What a head says of one field.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

/// Where `wanted` begins in `bytes`.
pub(crate) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == first) {
        let start = from + at;
        if bytes[start..].starts_with(wanted) {
            return Some(start);
        }
        from = start + 1;
    }
    None
}

/// How often `wanted` occurs in `bytes`.
pub(crate) fn count(bytes: &[u8], wanted: &[u8]) -> usize {
    let (mut rest, mut found) = (bytes, 0);
    while let Some(at) = find(rest, wanted) {
        rest = &rest[at + wanted.len()..];
        found += 1;
    }
    found
}
