//! A connection to an MCP server, and the program behind it.

use std::future::pending;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use boathouse_core::crew::http::{Address, Header};
use boathouse_core::crew::mcp::{McpReach, McpServer};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use rmcp::RoleClient;
use rmcp::model::{ClientCapabilities, ClientConfig, Implementation};
use rmcp::service::{
    ClientInitializeError, Peer, RunningService, RunningServiceCancellationToken, ServiceExt,
};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::common::client_side_sse::NeverRetry;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use tokio::time::timeout;

use crate::tool::ToolError;
use crate::tool::http::Secrets;

use super::http::{Fault, Http};
use super::program::{self, Program};

/// How long the last messages and the end of the connection may take, once the server is gone or is to go.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// A connection. Dropping it closes it, and kills the program.
pub(super) struct Link {
    peer: Peer<RoleClient>,
    stop: Option<RunningServiceCancellationToken>,
    /// The end of the connection; for whoever asks, however often.
    served: Shared<BoxFuture<'static, ()>>,
    program: Option<Program>,
    /// Why it ended, if not because we wanted so.
    pub(super) why: Arc<OnceLock<String>>,
}

/// Starts a server, or reaches it, and introduces us. Dropping the future ends what it has started.
pub(super) async fn open(server: &McpServer, crew_dir: Option<&Path>) -> Result<(Link, Secrets), ToolError> {
    match &server.reach {
        McpReach::Program { argv, env } => Ok((open_program(argv, env, crew_dir).await?, Secrets::default())),
        McpReach::Http { address, headers } => open_http(address, headers).await,
    }
}

async fn open_program(argv: &[String], env: &[String], crew_dir: Option<&Path>) -> Result<Link, ToolError> {
    let why = Arc::new(OnceLock::new());
    let (mut program, transport) = program::start(argv, env, crew_dir, why.clone())?;
    let served = tokio::select! {
        served = introduction().serve(transport) => served,
        how = program.ended() => return Err(not_started(program, how).await),
    };
    match served {
        Ok(running) => Ok(Link::new(running, Some(program), why)),
        Err(error) => {
            let mut how = why.get().cloned().unwrap_or_else(|| in_words(&error));
            // That its output is closed says less than how it ended.
            if let ClientInitializeError::ConnectionClosed(_) | ClientInitializeError::TransportError { .. } =
                error
                && why.get().is_none()
            {
                how = program.ended_by_now().await.unwrap_or(how);
            }
            Err(not_started(program, how).await)
        }
    }
}

async fn not_started(program: Program, how: String) -> ToolError {
    let stderr = program.end().await;
    ToolError::Failed(format!("{how}{stderr}"))
}

async fn open_http(address: &Address, headers: &[Header]) -> Result<(Link, Secrets), ToolError> {
    let (http, secrets) = Http::new(address, headers).map_err(ToolError::Refused)?;
    let mut config = StreamableHttpClientTransportConfig::with_uri(address.origin.as_str());
    config.allow_stateless = true;
    config.retry_config = Arc::new(NeverRetry::default());
    let transport = StreamableHttpClientTransport::with_client(http, config);
    match introduction().serve(transport).await {
        Ok(running) => Ok((Link::new(running, None, Arc::default()), secrets)),
        Err(error) => Err(ToolError::Failed(secrets.hide(in_words(&error)))),
    }
}

fn introduction() -> ClientConfig {
    ClientConfig::new(
        ClientCapabilities::default(),
        Implementation::new("boathouse", env!("CARGO_PKG_VERSION")),
    )
}

/// Why a server could not be introduced to us.
fn in_words(error: &ClientInitializeError) -> String {
    match error {
        ClientInitializeError::TransportError { error, .. } => match Fault::of(&*error.error) {
            Some(Fault::Unsent(why) | Fault::Answered(why) | Fault::Lost(why)) => why.clone(),
            None => error.error.to_string(),
        },
        ClientInitializeError::ConnectionClosed(_) => {
            "it closed the connection before it had answered `initialize`".to_owned()
        }
        ClientInitializeError::JsonRpcError(error) => format!("it refused `initialize`: {}", error.message),
        error => error.to_string(),
    }
}

impl Link {
    fn new(
        running: RunningService<RoleClient, ClientConfig>,
        program: Option<Program>,
        why: Arc<OnceLock<String>>,
    ) -> Link {
        let (peer, stop) = (running.peer().clone(), Some(running.cancellation_token()));
        let served = async move { drop(running.waiting().await) }.boxed().shared();
        Link { peer, stop, served, program, why }
    }

    pub(super) fn peer(&self) -> Peer<RoleClient> {
        self.peer.clone()
    }

    /// Waits until the connection or the program has ended, and notes why. Cancel safe until then.
    pub(super) async fn lost(&mut self) {
        let how = tokio::select! {
            () = self.served.clone() => None,
            how = ended(&mut self.program) => Some(how),
        };
        let how = match (how, &mut self.program) {
            (Some(how), Some(program)) => {
                // What it said last is still on its way.
                program.kill();
                let _ = timeout(LAST_WORDS, self.served.clone()).await;
                how
            }
            (_, Some(program)) => {
                program.ended_by_now().await.unwrap_or_else(|| "it closed its output".to_owned())
            }
            (_, None) => "it closed the connection".to_owned(),
        };
        self.why.get_or_init(|| how);
    }

    /// Closes the connection and ends the program.
    pub(super) async fn close(mut self) {
        if let Some(stop) = self.stop.take() {
            stop.cancel();
        }
        let _ = timeout(LAST_WORDS, self.served.clone()).await;
        if let Some(program) = self.program {
            program.end().await;
            // What was stuck in a pipe of the program is not any more.
            let _ = timeout(LAST_WORDS, self.served).await;
        }
    }
}

async fn ended(program: &mut Option<Program>) -> String {
    match program {
        Some(program) => program.ended().await,
        None => pending().await,
    }
}
