//! The table of contents: every route and what handles it.

use axum::Router;
use axum::http::{Method, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{any, get, post};
use tower_http::catch_panic::CatchPanicLayer;

use crate::http::error::{Code, Problem};
use crate::http::{
    App, approvals, console, crews, door, forks, go_stream, health, logs, runs, schemas, stream, threads,
};

/// All routes. Those that load balancers ask stand outside the door's check of host and origin.
pub fn router(app: App) -> Router {
    let behind_the_door = Router::new()
        .merge(console::files())
        .route("/v1/crews", get(crews::list))
        .route("/v1/crews/{crew}", get(crews::show))
        .route("/v1/crews/{crew}/graph.svg", get(crews::picture))
        .route("/v1/crews/{crew}/runs", post(runs::start))
        .route("/v1/schema/{file}", get(schemas::show))
        .route("/v1/runs", get(runs::list))
        .route("/v1/runs/{run}", get(runs::show).delete(runs::delete))
        .route("/v1/runs/{run}/events", get(stream::events))
        .route("/v1/runs/{run}/log", get(logs::show))
        .route("/v1/runs/{run}/answer", post(runs::answer))
        .route("/v1/runs/{run}/approvals", post(approvals::decide))
        .route("/v1/approvals", get(approvals::list))
        .route("/v1/runs/{run}/cancel", post(runs::cancel))
        .route("/v1/runs/{run}/pause", post(runs::pause))
        .route("/v1/runs/{run}/resume", post(runs::resume))
        .route("/v1/runs/{run}/fork", post(forks::fork))
        .route("/v1/runs/{run}/retry", post(forks::retry))
        .route("/v1/threads", get(threads::list).post(threads::create))
        .route("/v1/threads/{thread}", get(threads::show).delete(threads::delete))
        .route("/v1/threads/{thread}/messages", get(threads::messages))
        .route("/api/crew/stream", any(go_stream::stream))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(app.clone(), door::check));
    Router::new()
        .route("/health", any(health::go_health))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .method_not_allowed_fallback(method_not_allowed)
        .merge(behind_the_door)
        .layer(CatchPanicLayer::custom(door::panicked))
        .layer(from_fn(door::identify))
        .with_state(app)
}

async fn not_found(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::new(Code::NotFound, format!("nothing is served at `{path}`"))
        .hint("docs/api.md lists the routes")
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::new(Code::MethodNotAllowed, format!("`{path}` does not take {method}"))
        .hint("the `allow` header names the methods that it takes")
}
