//! Whether the process lives and whether it can work.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::App;

/// How long the journal may take to answer a readiness check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// `/health`, any method: the Go system's shape.
pub(crate) async fn go_health() -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], r#"{"status":"ok","service":"boathouse"}"#).into_response()
}

/// `GET /healthz`: the process answers.
pub(crate) async fn live() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

/// `GET /readyz`: 200 if runs can be started, else 503; with the state of each dependency.
pub(crate) async fn ready(State(app): State<App>) -> Response {
    let journal = app.engine().journal();
    let error = match tokio::time::timeout(CHECK_TIMEOUT, journal.check()).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("the journal did not answer in time".to_owned()),
    };
    let closing = app.closing().is_cancelled();
    let ready = error.is_none() && !closing;
    let body = json!({
        "status": if ready { "ready" } else if closing { "shutting_down" } else { "not_ready" },
        "journal": {"ok": error.is_none(), "durable": journal.is_durable(), "error": error},
        "crews": app.engine().crews().len(),
    });
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}
