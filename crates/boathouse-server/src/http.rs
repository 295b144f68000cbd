//! What each route does. One file per noun.

use std::sync::Arc;

use boathouse::engine::Engine;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::server::ServerConfig;

pub mod approvals;
pub(crate) mod console;
pub(crate) mod crews;
pub(crate) mod door;
pub mod error;
pub(crate) mod forks;
pub mod go_stream;
pub(crate) mod health;
pub(crate) mod idempotency;
pub mod input;
pub(crate) mod logs;
pub(crate) mod page;
#[doc(hidden)]
pub mod reading;
pub(crate) mod runs;
pub(crate) mod schemas;
pub(crate) mod stream;
pub(crate) mod threads;

pub use runs::{row_json, run_json};

/// What handlers share. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    engine: Engine,
    config: ServerConfig,
    closing: CancellationToken,
    tasks: TaskTracker,
}

impl App {
    /// An application that ends its streams when `closing` fires.
    pub fn new(engine: Engine, config: ServerConfig, closing: CancellationToken) -> App {
        App(Arc::new(Inner { engine, config, closing, tasks: TaskTracker::new() }))
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn config(&self) -> &ServerConfig {
        &self.0.config
    }

    /// Fires when the server shuts down: streams end.
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.0.closing
    }

    /// Owns the few tasks that outlive their request; the server waits for them before it returns.
    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }
}
