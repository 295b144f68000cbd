//! Owns connections: accepts them, serves the router on each, and ends them in order.

use std::io;
use std::time::Duration;

use axum::Router;
use boathouse::engine::Engine;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::http::App;
use crate::router::router;
use crate::versions::Versions;

/// How the server treats its clients.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Names, with or without port, that clients may call this server by, beside loopback ones. `*` allows any.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may use the API, as browsers write them: `https://app.example.org`. `*` allows any.
    pub allowed_origins: Vec<String>,
    /// Bytes of a request's body. Default 1 MiB.
    pub max_body_bytes: usize,
    /// Bytes of a request's head. Default 128 KiB, at least 8 KiB.
    pub max_head_bytes: usize,
    /// Connections at once; further ones wait to be accepted. Default 4096.
    pub max_connections: usize,
    /// Time for a request's head to arrive, also on an idle connection. Default 30 s.
    pub head_timeout: Duration,
    /// Time for a request's body to arrive. Default 30 s.
    pub body_timeout: Duration,
    /// A stream that is silent so long gets a heartbeat comment. Default 15 s.
    pub heartbeat: Duration,
    /// A stream of the Go endpoint that is silent so long gets a `ping`. Default 30 s.
    pub go_ping: Duration,
    /// At shutdown, time for requests to come to their end. Default 5 s.
    pub grace: Duration,
    /// What `GET /v1/crews/{crew}` tells of crews' files; whoever loads them writes it. Default: nothing.
    pub versions: Versions,
}

impl Default for ServerConfig {
    fn default() -> Self {
        ServerConfig {
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            max_body_bytes: 1024 * 1024,
            max_head_bytes: 128 * 1024,
            max_connections: 4096,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            heartbeat: Duration::from_secs(15),
            go_ping: Duration::from_secs(30),
            grace: Duration::from_secs(5),
            versions: Versions::default(),
        }
    }
}

/// Serves the API until `shutdown` fires.
///
/// Then it stops accepting, ends every stream cleanly, gives the requests in flight [`ServerConfig::grace`] to finish,
/// and drops what is left. That readers go cancels no run any more: see [`Engine::keep_left_runs`]. When this returns, no task of it is alive. The engine is not shut down: that is the
/// caller's next step. Dropping the future drops all connections.
pub async fn serve(
    listener: TcpListener,
    engine: Engine,
    config: ServerConfig,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let grace = config.grace;
    let closing = CancellationToken::new();
    let app = App::new(engine.clone(), config.clone(), closing.clone());
    let router = router(app.clone());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            socket = accept(&listener), if connections.len() < config.max_connections => {
                connections.spawn(connection(socket, router.clone(), config.clone(), closing.child_token()));
            }
        }
    }
    drop(listener);
    engine.keep_left_runs();
    closing.cancel();
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, finished).await.is_err() {
        tracing::warn!(connections = connections.len(), "dropping connections that did not finish in time");
        connections.shutdown().await;
    }
    app.tasks().close();
    if tokio::time::timeout(grace, app.tasks().wait()).await.is_err() {
        tracing::warn!(tasks = app.tasks().len(), "leaving tasks that did not finish in time");
    }
    Ok(())
}

/// The next connection. An error, as when file descriptors run out, is waited out.
async fn accept(listener: &TcpListener) -> TcpStream {
    let mut pause = Duration::from_millis(5);
    loop {
        match listener.accept().await {
            Ok((socket, _)) => return socket,
            // The client left before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::error!(%error, "a connection could not be accepted; trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
        }
    }
}

/// Serves one connection to its end. A client that goes away ends it at once, also while a response is being made.
async fn connection(socket: TcpStream, router: Router, config: ServerConfig, closing: CancellationToken) {
    // Without it, small chunks wait for the client's delayed acknowledgements: 40 ms each.
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let service = TowerToHyperService::new(router);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(config.head_timeout)
        .half_close(false)
        .max_buf_size(config.max_head_bytes.max(8 * 1024));
    // Boxed: a task would have room for it twice, before and after it is pinned.
    let mut serving = Box::pin(builder.serve_connection(TokioIo::new(socket), service));
    let result = tokio::select! {
        biased;
        result = serving.as_mut() => result,
        () = closing.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}
