//! The MCP servers that an engine speaks with: one connection to each, from its first call until nobody has used it for
//! a while, it dies, or the engine shuts down.
//!
//! A call opens the connection if there is none, and all runs share it. Each connection has a keeper: a task that sees
//! its end, and ends what was started. The table owns the keepers.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use boathouse_core::crew::mcp::{McpReach, McpServer};
use rmcp::RoleClient;
use rmcp::service::Peer;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::tool::ToolError;
use crate::tool::http::Secrets;

use super::link::{self, Link};

/// How long a server may take until it has answered `initialize`.
const START: Duration = Duration::from_secs(60);
/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(15 * 60);

/// Calls that may be given up one after the other, without any answer in between.
const MAX_GIVEN_UP: u32 = 100;

/// The servers. Clones are the same.
#[derive(Clone, Default)]
pub(in crate::tool) struct Servers(Arc<Table>);

#[derive(Default)]
struct Table {
    servers: Mutex<Vec<Arc<Server>>>,
    keepers: TaskTracker,
    end: CancellationToken,
}

impl Drop for Table {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

/// A server of a crew, whose folder it works in.
struct Server {
    spec: Arc<McpServer>,
    crew_dir: Option<PathBuf>,
    connection: tokio::sync::Mutex<Option<Arc<Connection>>>,
}

/// A connection that has been initialized.
pub(super) struct Connection {
    pub(super) peer: Peer<RoleClient>,
    pub(super) secrets: Secrets,
    pub(super) is_program: bool,
    /// Fires when it is of no use any more.
    pub(super) over: CancellationToken,
    /// Why it ended, if not because we wanted so.
    pub(super) why: Arc<OnceLock<String>>,
    used: Notify,
    /// Calls that were given up since the last answer.
    given_up: AtomicU32,
}

impl Connection {
    /// A call was answered.
    pub(super) fn answered(&self) {
        self.given_up.store(0, Ordering::Relaxed);
    }

    /// A call was given up. Whoever answers none of so many is taken for dead: what it does not read is kept for it.
    pub(super) fn gave_up(&self) {
        if self.given_up.fetch_add(1, Ordering::Relaxed) + 1 >= MAX_GIVEN_UP {
            self.over.cancel();
        }
    }

    fn is_open(&self) -> bool {
        !self.over.is_cancelled() && !self.peer.is_transport_closed()
    }
}

/// A connection that a call uses.
pub(super) struct InUse(Arc<Connection>);

impl std::ops::Deref for InUse {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.used.notify_one();
    }
}

impl Servers {
    /// The connection to a server, opened if there is none. An error means that nothing was sent. Dropping the future ends what
    /// it has started.
    pub(super) async fn connect(
        &self,
        spec: &Arc<McpServer>,
        crew_dir: Option<&Path>,
    ) -> Result<InUse, ToolError> {
        let server = self.server(spec, crew_dir);
        let mut kept = server.connection.lock().await;
        if let Some(open) = kept.as_ref().filter(|connection| connection.is_open()) {
            return Ok(InUse(open.clone()));
        }
        let cannot = |why: String| format!("the MCP server `{}` cannot be used: {why}", spec.name);
        if self.0.end.is_cancelled() {
            return Err(ToolError::Failed(cannot("everything is shutting down".to_owned())));
        }
        let opened = timeout(START, link::open(spec, crew_dir)).await.unwrap_or_else(|_| {
            Err(ToolError::Failed(format!("it did not answer `initialize` within {START:?}")))
        });
        let (link, secrets) = opened.map_err(|error| match error {
            ToolError::Refused(why) => ToolError::Refused(cannot(why)),
            error => ToolError::Failed(cannot(error.to_string())),
        })?;
        let connection = Arc::new(Connection {
            peer: link.peer(),
            secrets,
            is_program: matches!(spec.reach, McpReach::Program { .. }),
            over: CancellationToken::new(),
            why: link.why.clone(),
            used: Notify::new(),
            given_up: AtomicU32::new(0),
        });
        *kept = Some(connection.clone());
        self.0.keepers.spawn(keep(server.clone(), connection.clone(), link, self.0.end.clone()));
        Ok(InUse(connection))
    }

    /// Closes all connections, and ends all programs. None is opened after this.
    pub(crate) async fn close(&self) {
        self.0.end.cancel();
        self.0.keepers.close();
        self.0.keepers.wait().await;
    }

    fn server(&self, spec: &Arc<McpServer>, crew_dir: Option<&Path>) -> Arc<Server> {
        let mut servers = self.0.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) =
            servers.iter().find(|server| server.spec == *spec && server.crew_dir.as_deref() == crew_dir)
        {
            return server.clone();
        }
        // Keepers and calls hold those that are of use.
        servers.retain(|server| Arc::strong_count(server) > 1);
        let server = Server {
            spec: spec.clone(),
            crew_dir: crew_dir.map(Path::to_owned),
            connection: Default::default(),
        };
        servers.push(Arc::new(server));
        servers[servers.len() - 1].clone()
    }
}

/// Sees the end of a connection, or brings it about.
async fn keep(server: Arc<Server>, connection: Arc<Connection>, mut link: Link, end: CancellationToken) {
    let mut idle = std::pin::pin!(sleep(IDLE));
    loop {
        tokio::select! {
            () = link.lost() => {
                if let Some(why) = connection.why.get() {
                    tracing::warn!(server = %server.spec.name, %why, "a connection to an MCP server was lost");
                }
                break;
            }
            () = end.cancelled() => break,
            () = connection.over.cancelled() => break,
            () = connection.used.notified() => idle.as_mut().reset(Instant::now() + IDLE),
            () = &mut idle => {
                // With the lock nobody can take it: the table has one, and this is the other.
                if let Ok(mut kept) = server.connection.try_lock()
                    && Arc::strong_count(&connection) == 2
                {
                    *kept = None;
                    break;
                }
                idle.as_mut().reset(Instant::now() + IDLE);
            }
        }
    }
    connection.over.cancel();
    link.close().await;
}
