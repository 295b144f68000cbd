//! A run as the API writes it, whole and in lists.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use boathouse::core::ids::{RunId, Seq, ThreadId, Timestamp};
use boathouse::core::message::Usage;
use boathouse::core::run::event::{CancelReason, Outcome, ReceiptLine, RunState};
use boathouse::engine::{RunView, WaitView};
use boathouse::journal::{OpenWait, RunRow};
use serde::Serialize;
use serde_json::{Value, json};

/// A run as JSON. Every field is always there; `null` where it does not apply.
#[derive(Serialize)]
struct RunBody<'a> {
    id: &'a RunId,
    crew: &'a str,
    crew_hash: &'a str,
    thread: &'a ThreadId,
    state: RunState,
    input: &'a str,
    output: Option<&'a str>,
    error: Option<ErrorBody<'a>>,
    limit: Option<&'a str>,
    cancel_reason: Option<CancelReason>,
    receipt: Option<&'a [ReceiptLine]>,
    usage: Usage,
    waits: &'a [WaitView],
    approvals: &'a [OpenWait],
    metadata: &'a BTreeMap<String, Value>,
    forked_from: Option<ForkedFromBody<'a>>,
    seq: Seq,
    created_at: Timestamp,
    updated_at: Timestamp,
}

#[derive(Serialize)]
struct ForkedFromBody<'a> {
    run: &'a RunId,
    seq: Seq,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    code: &'a str,
    message: &'a str,
}

/// A run as the API writes it: the body of `GET /v1/runs/{run}`.
pub fn run_json(view: &RunView) -> impl Serialize + '_ {
    run_body(view)
}

fn run_body(view: &RunView) -> RunBody<'_> {
    let mut body = RunBody {
        id: &view.id,
        crew: &view.crew,
        crew_hash: &view.crew_hash,
        thread: &view.thread,
        state: view.state,
        input: &view.input,
        output: None,
        error: None,
        limit: None,
        cancel_reason: None,
        receipt: None,
        usage: view.usage,
        waits: &view.waits,
        approvals: &view.approvals,
        metadata: &view.metadata,
        forked_from: view.forked_from.as_ref().map(|from| ForkedFromBody { run: &from.run, seq: from.seq }),
        seq: view.seq,
        created_at: view.created_at,
        updated_at: view.updated_at,
    };
    match &view.outcome {
        None => {}
        Some(Outcome::Completed { output }) => body.output = Some(output),
        Some(Outcome::LimitReached { limit, output }) => {
            body.limit = Some(limit);
            body.output = Some(output);
        }
        Some(Outcome::Failed { code, error }) => body.error = Some(ErrorBody { code, message: error }),
        Some(Outcome::Cancelled { reason, receipt }) => {
            body.cancel_reason = Some(*reason);
            body.receipt = Some(receipt);
        }
    }
    body
}

/// A run as the API lists it.
pub fn row_json(row: &RunRow) -> Value {
    json!({
        "id": row.run,
        "crew": row.crew,
        "crew_hash": row.crew_hash,
        "thread": row.thread,
        "state": row.state,
        "seq": row.seq,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    })
}

pub(crate) fn answer_with(status: StatusCode, view: &RunView) -> Response {
    (status, Json(run_body(view))).into_response()
}
