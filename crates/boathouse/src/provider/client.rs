//! An HTTP/1.1 client of one origin that has no tasks of its own.
//!
//! A connection is driven by the future of the call that uses it. So a chunk wakes one task and not two, everything that
//! has arrived is read in one go, and a call that is dropped closes its connection at once. That is why this stands on
//! hyper's connection and not on a pooling client: those drive every connection in a background task. Between calls
//! connections are parked here; one that its peer has closed meanwhile is found out when it is taken.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use boathouse_core::run::event::CallErrorKind;
use bytes::Bytes;
use futures_util::stream::{self, Stream as ChunkStream};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Sleep};

use super::ProviderError;

mod connect;
mod origin;
mod reach;

use connect::Stream;
pub(crate) use origin::Origin;
pub(crate) use reach::Reach;

/// Connections that are parked at most.
const MAX_PARKED: usize = 32;
/// Bytes that may be read to find the end of the last answer on a parked connection.
const MAX_DRAINED: usize = 64 * 1024;
/// Chunks that one go takes before others get their turn.
const MAX_CHUNKS: usize = 64;

/// How long a peer may keep us waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, TLS included. Default 10 s.
    pub connect: Duration,
    /// For the answer to begin, and between any two pieces of it. Default 120 s.
    pub idle: Duration,
    /// How long an unused connection is kept. Default 60 s.
    pub keep: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            keep: Duration::from_secs(60),
        }
    }
}

/// Connections to one origin.
pub(crate) struct Client {
    origin: Origin,
    timeouts: Timeouts,
    reach: Reach,
    parked: Mutex<Vec<Parked>>,
}

/// A connection between two calls.
struct Parked {
    connection: Connection,
    /// The rest of the last answer: nothing of it counts, but it must be over.
    rest: Option<Incoming>,
    since: Instant,
}

struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// `None` once the connection has ended.
    driver: Option<Pin<Box<Driver>>>,
}

type Driver = http1::Connection<TokioIo<Stream>, Full<Bytes>>;

/// A connection that stands, before anything is sent on it.
pub(crate) struct Opened<'a> {
    client: &'a Client,
    connection: Connection,
}

/// An answer under way. Dropping it closes its connection.
pub(crate) struct Exchange<'a> {
    client: &'a Client,
    connection: Connection,
    body: Incoming,
    idle: IdleTimer,
    over: bool,
}

impl Client {
    pub(crate) fn new(origin: Origin, timeouts: Timeouts) -> Client {
        Client::reaching(Reach::Anywhere, origin, timeouts)
    }

    /// One that connects only to addresses within its reach.
    pub(crate) fn reaching(reach: Reach, origin: Origin, timeouts: Timeouts) -> Client {
        Client { origin, timeouts, reach, parked: Mutex::new(Vec::new()) }
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// A parked connection is used if one is alive. A request that a dying connection gave back unsent goes out once
    /// more on a new one. Errors are of kind `connect`, `timeout`, `truncated` or `protocol`.
    pub(crate) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(Response<()>, Exchange<'_>), ProviderError> {
        while let Some(connection) = self.take_parked().await {
            request = match self.exchange(connection, request).await {
                Ok(answer) => return Ok(answer),
                Err(Failed::Unsent(request)) => *request,
                Err(Failed::Sent(error)) => return Err(error),
            };
        }
        self.open().await?.send(request).await
    }

    /// Opens a connection for one request: as long as this lasts, and if it fails, nothing was sent. Errors are of kind
    /// `connect`.
    pub(crate) async fn open(&self) -> Result<Opened<'_>, ProviderError> {
        Ok(Opened { client: self, connection: self.connect().await? })
    }

    /// Closes connections that have been unused for too long.
    pub(crate) fn tidy(&self, now: Instant) {
        let old = {
            let mut parked = self.lock();
            let fresh =
                parked.iter().position(|parked| now.duration_since(parked.since) < self.timeouts.keep);
            let fresh = fresh.unwrap_or(parked.len());
            parked.drain(..fresh).collect::<Vec<Parked>>()
        };
        drop(old);
    }

    async fn connect(&self) -> Result<Connection, ProviderError> {
        let opened = tokio::time::timeout(self.timeouts.connect, async {
            let stream = connect::open(&self.origin, self.reach).await?;
            http1::Builder::new()
                .max_buf_size(256 * 1024)
                .handshake(TokioIo::new(stream))
                .await
                .map_err(|error| format!("{error}"))
        });
        match opened.await {
            Ok(Ok((sender, driver))) => Ok(Connection { sender, driver: Some(Box::pin(driver)) }),
            Ok(Err(why)) => Err(ProviderError::new(
                CallErrorKind::Connect,
                format!("no connection to {}: {why}", self.origin),
            )),
            Err(_) => Err(ProviderError::new(
                CallErrorKind::Connect,
                format!("no connection to {} within {:?}", self.origin, self.timeouts.connect),
            )),
        }
    }

    async fn exchange(
        &self,
        mut connection: Connection,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<()>, Exchange<'_>), Failed> {
        let mut idle = IdleTimer::new(self.timeouts.idle);
        let mut answer = pin!(connection.sender.try_send_request(request));
        let answered = poll_fn(|cx| {
            for _ in 0..2 {
                if let Poll::Ready(answered) = answer.as_mut().poll(cx) {
                    return Poll::Ready(Some(answered));
                }
                connection.drive(cx);
            }
            idle.poll_expired(cx).map(|()| None)
        })
        .await;
        match answered {
            None => Err(Failed::Sent(self.silent())),
            Some(Ok(response)) => {
                let (head, body) = response.into_parts();
                let exchange = Exchange { client: self, connection, body, idle, over: false };
                Ok((Response::from_parts(head, ()), exchange))
            }
            Some(Err(mut error)) => match error.take_message() {
                Some(request) => Err(Failed::Unsent(Box::new(request))),
                None => Err(Failed::Sent(broken(&self.origin, error.error()))),
            },
        }
    }

    /// A parked connection that is alive, the one used last first.
    async fn take_parked(&self) -> Option<Connection> {
        loop {
            let mut parked = self.lock().pop()?;
            if parked.since.elapsed() >= self.timeouts.keep {
                continue;
            }
            // Lets the runtime see what has come meanwhile: the end of the last answer, or of the connection.
            tokio::task::yield_now().await;
            if poll_fn(|cx| Poll::Ready(parked.is_ready(cx))).await {
                return Some(parked.connection);
            }
        }
    }

    fn park(&self, connection: Connection, rest: Option<Incoming>) {
        let mut parked = self.lock();
        if parked.len() < MAX_PARKED {
            parked.push(Parked { connection, rest, since: Instant::now() });
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Parked>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn silent(&self) -> ProviderError {
        let what = format!("{} sent nothing for {:?}", self.origin, self.timeouts.idle);
        ProviderError::new(CallErrorKind::Timeout, what)
    }
}

fn broken(origin: &Origin, error: &hyper::Error) -> ProviderError {
    let kind = match error.is_parse() || error.is_parse_too_large() {
        true => CallErrorKind::Protocol,
        false => CallErrorKind::Truncated,
    };
    ProviderError::new(kind, format!("the connection to {origin} broke: {}", chain(error)))
}

fn closed_early(origin: &Origin) -> ProviderError {
    ProviderError::new(CallErrorKind::Truncated, format!("{origin} closed the connection early"))
}

/// A request that got no answer.
enum Failed {
    /// It is known that nothing of it was sent.
    Unsent(Box<Request<Full<Bytes>>>),
    /// Something of it may have been.
    Sent(ProviderError),
}

impl<'a> Opened<'a> {
    /// As [`Client::send`]; an error of kind `connect` means that nothing was sent.
    pub(crate) async fn send(
        self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<()>, Exchange<'a>), ProviderError> {
        let origin = &self.client.origin;
        self.client.exchange(self.connection, request).await.map_err(|failed| match failed {
            Failed::Sent(error) => error,
            Failed::Unsent(_) => {
                let what = format!("{origin} closed the connection before the request was sent");
                ProviderError::new(CallErrorKind::Connect, what)
            }
        })
    }
}

impl Exchange<'_> {
    /// Waits for the next pieces of the body, and gives all that have arrived to `take`, which says whether it wants
    /// more. `false` at the end of the body, or once `take` wants no more.
    ///
    /// An error of `take` is handed through. Cancel safe.
    pub(crate) async fn read(
        &mut self,
        mut take: impl FnMut(&[u8]) -> Result<bool, ProviderError>,
    ) -> Result<bool, ProviderError> {
        let mut taken = 0;
        let mut driven = false;
        poll_fn(|cx| {
            loop {
                match Pin::new(&mut self.body).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => {
                        driven = false;
                        let Some(chunk) = frame.data_ref() else { continue };
                        taken += 1;
                        if !take(chunk)? {
                            return Poll::Ready(Ok(false));
                        }
                        if taken == MAX_CHUNKS {
                            self.idle.restart();
                            return Poll::Ready(Ok(true));
                        }
                    }
                    Poll::Ready(Some(Err(error))) => {
                        return Poll::Ready(Err(broken(&self.client.origin, &error)));
                    }
                    Poll::Ready(None) => {
                        self.over = true;
                        return Poll::Ready(Ok(false));
                    }
                    Poll::Pending if !driven => {
                        driven = true;
                        self.connection.drive(cx);
                    }
                    Poll::Pending => {
                        driven = false;
                        if taken > 0 {
                            self.idle.restart();
                            return Poll::Ready(Ok(true));
                        }
                        if self.connection.driver.is_none() {
                            return Poll::Ready(Err(closed_early(&self.client.origin)));
                        }
                        return self.idle.poll_expired(cx).map(|()| Err(self.client.silent()));
                    }
                }
            }
        })
        .await
    }

    /// The rest of the body, apart from the client, without a limit to its pauses. Dropping it closes the connection.
    pub(crate) fn into_chunks(
        self,
    ) -> impl ChunkStream<Item = Result<Bytes, ProviderError>> + Send + 'static {
        let origin = self.client.origin.clone();
        let Exchange { mut connection, mut body, .. } = self;
        stream::poll_fn(move |cx| {
            let mut driven = false;
            loop {
                match Pin::new(&mut body).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => {
                        driven = false;
                        if let Ok(chunk) = frame.into_data() {
                            return Poll::Ready(Some(Ok(chunk)));
                        }
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(broken(&origin, &error)))),
                    Poll::Ready(None) => return Poll::Ready(None),
                    Poll::Pending if !driven => {
                        driven = true;
                        connection.drive(cx);
                    }
                    Poll::Pending if connection.driver.is_none() => {
                        return Poll::Ready(Some(Err(closed_early(&origin))));
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
    }

    /// Ends the exchange. Its connection is kept for the next request; of the body nothing more is wanted.
    pub(crate) fn finish(self) {
        if self.connection.driver.is_some() {
            self.client.park(self.connection, (!self.over).then_some(self.body));
        }
    }
}

impl Connection {
    /// Lets the connection read and write what it can without waiting.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(driver) = &mut self.driver
            && driver.as_mut().poll(cx).is_ready()
        {
            // An error shows in the answer or in its body.
            self.driver = None;
        }
    }
}

impl Parked {
    /// Whether the connection can take a request now: the last answer is over, and the peer is still there.
    fn is_ready(&mut self, cx: &mut Context<'_>) -> bool {
        let mut drained = 0;
        let mut driven = false;
        while let Some(rest) = &mut self.rest {
            match Pin::new(rest).poll_frame(cx) {
                Poll::Ready(None) => self.rest = None,
                Poll::Ready(Some(Ok(frame))) => {
                    driven = false;
                    drained += frame.data_ref().map_or(0, Bytes::len);
                    if drained > MAX_DRAINED {
                        return false;
                    }
                }
                Poll::Pending if !driven => {
                    driven = true;
                    self.connection.drive(cx);
                }
                Poll::Pending | Poll::Ready(Some(Err(_))) => return false,
            }
        }
        self.connection.drive(cx);
        self.connection.driver.is_some()
            && matches!(self.connection.sender.poll_ready(cx), Poll::Ready(Ok(())))
    }
}

/// Expires when nothing has been heard for a while. Restarting it only notes the time.
struct IdleTimer {
    limit: Duration,
    last: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl IdleTimer {
    fn new(limit: Duration) -> IdleTimer {
        IdleTimer { limit, last: Instant::now(), sleep: Box::pin(tokio::time::sleep(limit)) }
    }

    fn restart(&mut self) {
        self.last = Instant::now();
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.sleep.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) if self.last.elapsed() >= self.limit => return Poll::Ready(()),
                Poll::Ready(()) => self.sleep.as_mut().reset(self.last + self.limit),
            }
        }
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
