//! Models behind one small trait.
//!
//! A provider turns a [`ModelRequest`] into a [`Reply`], telling pieces of the text as they come. It always streams.
//! Whether a failed call is made again is not its business: that is decided by the core and recorded.

use std::time::Duration;

use async_trait::async_trait;
use boathouse_core::message::Reply;
use boathouse_core::run::event::CallErrorKind;
use boathouse_core::run::request::ModelRequest;

pub(crate) mod client;
pub mod openai;
pub mod pool;
pub mod registry;
pub mod script;
pub mod scripted;
pub mod sse;

pub use client::Timeouts;
pub use registry::Providers;

/// Something that answers model calls.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// Makes one call.
    ///
    /// Pieces of the reply's text go to `deltas` as they arrive; their concatenation is the text of the returned
    /// reply. Dropping the future closes the request at once, and nothing of it stays alive.
    async fn reply(&self, request: &ModelRequest, deltas: &dyn Deltas) -> Result<Reply, ProviderError>;

    /// Whether a peer answers, which may go on with a request that we dropped.
    fn is_remote(&self) -> bool {
        true
    }
}

/// Takes pieces of a reply in flight. Must not block.
pub trait Deltas: Send + Sync {
    /// Takes the next piece of text; never empty.
    fn text(&self, piece: &str);
}

/// For callers that only want the whole reply.
pub struct NoDeltas;

impl Deltas for NoDeltas {
    fn text(&self, _piece: &str) {}
}

/// A model call that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ProviderError {
    /// Of what sort; it decides whether another try makes sense.
    pub kind: CallErrorKind,
    /// What happened, for people: a fragment without a full stop that never holds a key.
    pub message: String,
    /// How long the peer asked us to wait.
    pub retry_after: Option<Duration>,
}

impl ProviderError {
    /// An error without a wish for a pause.
    pub fn new(kind: CallErrorKind, message: impl Into<String>) -> ProviderError {
        ProviderError { kind, message: message.into(), retry_after: None }
    }
}
