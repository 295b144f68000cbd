//! What a run is told: answers, and commands to cancel, pause and go on.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use boathouse::core::ids::WaitId;
use boathouse::core::run::event::{Answer, CancelReason, RunState};
use boathouse::engine::CommandError;
use serde_json::Value;

use super::{RunPath, answer_done, answer_with};
use crate::http::error::{Code, Problem};
use crate::http::input::{self, Fields, Query, invalid};
use crate::http::{App, door, idempotency};

/// `POST /v1/runs/{run}/answer`.
pub(crate) async fn answer(
    State(app): State<App>,
    RunPath(run): RunPath,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = door::read_plain(&app, request).await?;
    let (wait, answer) = read_answer(&body)?;
    let done = match idempotency::key(&parts, &body)? {
        None => {
            app.engine().answer(&run, wait, answer).await?;
            None
        }
        Some(key) => Some(app.engine().answer_once(&run, wait, answer, key).await?),
    };
    answer_done(&app, &run, done).await
}

/// Reads `{wait?, text}` or `{wait?, value}`, or, for a call of which nobody knows whether it happened,
/// `{wait?, rerun: true}`, `{wait?, done: "its output"}` or `{wait?, fail: true}`.
pub fn read_answer(body: &[u8]) -> Result<(Option<WaitId>, Answer), Problem> {
    let mut fields = Fields::parse(body, &["wait", "text", "value", "rerun", "done", "fail"])?;
    let wait = fields.number("wait")?.map(WaitId);
    let done = fields.text("done")?.map(|output| Answer::Done { output });
    let rerun = fields.yes("rerun")?.then_some(Answer::Rerun {});
    let fail = fields.yes("fail")?.then_some(Answer::Fail {});
    let text = fields.text("text")?;
    let value = fields.take("value");
    if let Some(value) = &value {
        input::check_value("value", value)?;
    }
    if text.as_ref().is_some_and(|text| text.trim().is_empty()) {
        return Err(Problem::new(Code::MissingField, "`text` is empty").field("text"));
    }
    let text = text.map(|text| Answer::Text { text });
    let value = value.map(|value| match value {
        Value::String(text) => Answer::Text { text },
        value => Answer::Text { text: value.to_string() },
    });
    let mut given = [text, value, rerun, done, fail].into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(answer), None) => Ok((wait, answer)),
        (None, _) => Err(Problem::new(Code::MissingField, "the answer is missing").field("text").hint(
            "send `text`, or JSON as `value`; for an unknown outcome one of `rerun: true`, `done: \"output\"`, `fail: true`",
        )),
        (Some(_), Some(_)) => Err(invalid("text", "and `value`, `rerun`, `done`, `fail` exclude each other")
            .hint("send one of them")),
    }
}

/// `POST /v1/runs/{run}/cancel`: 202 when the request is recorded; with `?wait=true` 200 with the receipt.
pub(crate) async fn cancel(
    State(app): State<App>,
    RunPath(run): RunPath,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let query = Query::parse_strict(parts.uri.query(), &["wait"])?;
    let wait = query.flag("wait", false)?;
    check_empty(&door::read_body(&app, &parts, body).await?)?;
    let view = tokio::select! {
        biased;
        view = app.engine().cancel(&run, CancelReason::Requested, wait) => view?,
        // Whoever asks again at the next start is given the receipt.
        () = app.closing().cancelled() => return Err(CommandError::ShuttingDown.into()),
    };
    let status = if view.state.is_ended() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(answer_with(status, &view))
}

/// `POST /v1/runs/{run}/pause`: calls in flight end, nothing new starts.
pub(crate) async fn pause(
    State(app): State<App>,
    RunPath(run): RunPath,
    request: Request,
) -> Result<Response, Problem> {
    let (_, body) = door::read_plain(&app, request).await?;
    check_empty(&body)?;
    let view = app.engine().pause(&run).await?;
    let status = if view.state == RunState::Paused { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(answer_with(status, &view))
}

/// `POST /v1/runs/{run}/resume`: ends an operator's pause.
pub(crate) async fn resume(
    State(app): State<App>,
    RunPath(run): RunPath,
    request: Request,
) -> Result<Response, Problem> {
    let (_, body) = door::read_plain(&app, request).await?;
    check_empty(&body)?;
    Ok(answer_with(StatusCode::OK, &app.engine().resume(&run).await?))
}

/// Refuses a body that says anything.
fn check_empty(body: &[u8]) -> Result<(), Problem> {
    Fields::parse(body, &[]).map(|_| ())
}
