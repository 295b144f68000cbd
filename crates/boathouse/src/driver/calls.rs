//! The calls of a run that are in flight. They are polled by the run's own task, and live and die with it.

use std::any::Any;
use std::collections::HashMap;
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use boathouse_core::ids::CallId;
use boathouse_core::message::{Reply, ResultStatus};
use boathouse_core::run::event::{CallEnd, CallErrorKind, Purpose};
use boathouse_core::run::request::ModelRequest;
use futures_util::future::{AbortHandle, abortable};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::feed::Feed;
use crate::provider::{Deltas, NoDeltas, Provider, ProviderError};
use crate::tool::{CallLimits, Tool, ToolCx, ToolEnd};

/// Calls in flight. Dropping it drops them: requests are closed, subprocesses killed.
#[derive(Default)]
pub(super) struct Calls {
    futures: FuturesUnordered<Pin<Box<dyn Future<Output = Returned> + Send>>>,
    stops: HashMap<CallId, Stop>,
}

enum Stop {
    /// A model call: its future is dropped, and with it the request.
    Drop(AbortHandle),
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
    pub(super) took_ms: u64,
    pub(super) end: End,
}

impl Calls {
    /// Whether nothing is in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.futures.is_empty()
    }

    /// Asks a model. Pieces of a reply go to the feed.
    pub(super) fn ask(
        &mut self,
        provider: Result<Arc<dyn Provider>, ProviderError>,
        request: Box<ModelRequest>,
        feed: Arc<Feed>,
    ) {
        let (call, attempt, began) = (request.call, request.attempt, Instant::now());
        let stopped = match &provider {
            Ok(provider) if provider.is_remote() => CallEnd::Disconnected,
            Ok(_) | Err(_) => CallEnd::Dropped,
        };
        let (reply, stop) = abortable(async move {
            match request.purpose {
                Purpose::Reply => provider?.reply(&request, &ToFeed { feed, call, attempt }).await,
                // Nobody waits to read it.
                Purpose::Summary => provider?.reply(&request, &NoDeltas).await,
            }
        });
        self.stops.insert(call, Stop::Drop(stop));
        self.futures.push(Box::pin(async move {
            let end = match AssertUnwindSafe(reply).catch_unwind().await {
                Ok(Ok(reply)) => End::Model(reply),
                Ok(Err(_)) => End::Stopped(stopped),
                Err(panic) => End::Model(Err(panicked(&panic))),
            };
            Returned { call, took_ms: millis_since(began), end }
        }));
    }

    /// Runs a tool.
    pub(super) fn run(
        &mut self,
        tool: Option<Arc<dyn Tool>>,
        arguments: serde_json::Value,
        cx: ToolCx,
        limits: CallLimits,
    ) {
        let (call, began) = (cx.call, Instant::now());
        self.stops.insert(call, Stop::Tell(cx.cancelled.clone()));
        self.futures.push(Box::pin(async move {
            let end = match tool {
                Some(tool) => {
                    let end = crate::tool::call(tool, &arguments, cx, limits).await;
                    #[cfg(feature = "crash-points")]
                    crate::crash::pass(crate::crash::CrashPoint::AfterEffect);
                    end
                }
                None => ToolEnd::Returned {
                    status: ResultStatus::Error,
                    output: "this program has no such tool".to_owned(),
                },
            };
            Returned { call, took_ms: millis_since(began), end: End::Tool(end) }
        }));
    }

    /// Tells every call that `unwanted` names to stop. Telling it twice changes nothing.
    pub(super) fn stop(&self, unwanted: impl Fn(CallId) -> bool) {
        for (_, stop) in self.stops.iter().filter(|(call, _)| unwanted(**call)) {
            match stop {
                Stop::Drop(handle) => handle.abort(),
                Stop::Tell(token) => token.cancel(),
            }
        }
    }

    /// The next call that ends; never, if none is in flight. Nothing of the call is left then. Cancel safe.
    pub(super) async fn next(&mut self) -> Returned {
        let Some(returned) = self.futures.next().await else { return pending().await };
        self.stops.remove(&returned.call);
        returned
    }

    /// Stops all and waits until nothing is alive.
    pub(super) async fn stop_all(&mut self) {
        self.stop(|_| true);
        while !self.is_empty() {
            self.next().await;
        }
    }
}

fn millis_since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn panicked(panic: &Box<dyn Any + Send>) -> ProviderError {
    let what =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let what = what.map_or_else(String::new, |what| format!(": {what}"));
    ProviderError::new(CallErrorKind::Protocol, format!("the provider panicked{what}"))
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
