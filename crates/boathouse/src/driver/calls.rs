//! The calls of a run that are in flight. Each is a task that is joined or aborted here.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;

use boathouse_core::ids::CallId;
use boathouse_core::message::{Reply, ResultStatus};
use boathouse_core::run::event::{CallEnd, CallErrorKind};
use boathouse_core::run::request::ModelRequest;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::feed::Feed;
use crate::provider::{Deltas, Provider, ProviderError};
use crate::tool::{CallLimits, Tool, ToolCx, ToolEnd};

/// Calls in flight. Dropping it aborts them.
#[derive(Default)]
pub(super) struct Calls {
    tasks: JoinSet<End>,
    open: HashMap<Id, InFlight>,
}

struct InFlight {
    call: CallId,
    attempt: u32,
    began: Instant,
    stop: Stop,
}

enum Stop {
    /// A model call: its future is dropped, and with it the request.
    Abort(AbortHandle, CallEnd),
    /// A tool call: it is told, and ends within its grace.
    Tell(CancellationToken),
}

/// How a call ended.
pub(super) enum End {
    /// A model call.
    Model(Result<Reply, ProviderError>),
    /// A tool call.
    Tool(ToolEnd),
    /// It was stopped.
    Stopped(CallEnd),
}

/// A call that ended.
pub(super) struct Returned {
    pub(super) call: CallId,
    pub(super) attempt: u32,
    pub(super) took_ms: u64,
    pub(super) end: End,
}

impl Calls {
    /// Whether nothing is in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Asks a model. Pieces of the reply go to the feed.
    pub(super) fn ask(
        &mut self,
        provider: Result<Arc<dyn Provider>, ProviderError>,
        request: Box<ModelRequest>,
        feed: Arc<Feed>,
    ) {
        let (call, attempt) = (request.call, request.attempt);
        let stopped = match &provider {
            Ok(provider) if provider.is_remote() => CallEnd::Disconnected,
            Ok(_) | Err(_) => CallEnd::Dropped,
        };
        let handle = self.tasks.spawn(async move {
            let deltas = ToFeed { feed, call, attempt };
            End::Model(match provider {
                Ok(provider) => provider.reply(&request, &deltas).await,
                Err(error) => Err(error),
            })
        });
        let stop = Stop::Abort(handle.clone(), stopped);
        self.open.insert(handle.id(), InFlight { call, attempt, began: Instant::now(), stop });
    }

    /// Runs a tool.
    pub(super) fn run(
        &mut self,
        tool: Option<Arc<dyn Tool>>,
        arguments: serde_json::Value,
        cx: ToolCx,
        limits: CallLimits,
    ) {
        let (call, attempt, token) = (cx.call, cx.attempt, cx.cancelled.clone());
        let handle = self.tasks.spawn(async move {
            End::Tool(match tool {
                Some(tool) => crate::tool::call(tool, &arguments, cx, limits).await,
                None => ToolEnd::Returned {
                    status: ResultStatus::Error,
                    output: "this program has no such tool".to_owned(),
                },
            })
        });
        self.open
            .insert(handle.id(), InFlight { call, attempt, began: Instant::now(), stop: Stop::Tell(token) });
    }

    /// Tells every call that `unwanted` names to stop. Telling it twice changes nothing.
    pub(super) fn stop(&self, unwanted: impl Fn(CallId) -> bool) {
        for in_flight in self.open.values().filter(|in_flight| unwanted(in_flight.call)) {
            match &in_flight.stop {
                Stop::Abort(handle, _) => handle.abort(),
                Stop::Tell(token) => token.cancel(),
            }
        }
    }

    /// The next call that ends; never, if none is in flight. Cancel safe.
    pub(super) async fn next(&mut self) -> Returned {
        let Some(joined) = self.tasks.join_next_with_id().await else { return pending().await };
        let id = match &joined {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        // Every task was entered in `open` when it was spawned, and is joined once.
        let Some(in_flight) = self.open.remove(&id) else { return pending().await };
        let end = match joined {
            Ok((_, end)) => end,
            Err(error) => lost(&in_flight.stop, &error),
        };
        let took_ms = u64::try_from(in_flight.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Returned { call: in_flight.call, attempt: in_flight.attempt, took_ms, end }
    }

    /// Stops all and waits until nothing is alive.
    pub(super) async fn stop_all(&mut self) {
        self.stop(|_| true);
        while self.tasks.join_next().await.is_some() {}
        self.open.clear();
    }
}

/// A task that was aborted, or panicked.
fn lost(stop: &Stop, error: &JoinError) -> End {
    match stop {
        Stop::Abort(_, end) if error.is_cancelled() => End::Stopped(*end),
        Stop::Abort(..) => {
            End::Model(Err(ProviderError::new(CallErrorKind::Protocol, "the provider panicked")))
        }
        Stop::Tell(_) => End::Stopped(CallEnd::Unknown),
    }
}

struct ToFeed {
    feed: Arc<Feed>,
    call: CallId,
    attempt: u32,
}

impl Deltas for ToFeed {
    fn text(&self, piece: &str) {
        self.feed.delta(self.call, self.attempt, piece);
    }
}
