//! Runs: started, listed, looked at, and told what to do.

use axum::Json;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header, request};
use axum::response::Response;
use boathouse::core::ids::{RunId, Seq, ThreadId};
use boathouse::core::run::event::RunState;
use boathouse::engine::{Done, RunView};
use boathouse::journal::RunQuery;
use serde_json::{Value, json};

use super::error::{Code, Problem};
use super::input::{self, Query, invalid};
use super::page::{self, Page};
use super::{App, idempotency};

mod body;
mod command;
mod start;

pub(crate) use body::answer_with;
pub use body::{row_json, run_json};
pub use command::read_answer;
pub(crate) use command::{answer, cancel, pause, resume};
pub use start::read_start;
pub(crate) use start::{read_history, read_limits, read_on_disconnect, start};

/// Every state, for `?state=`.
const STATES: [RunState; 7] = [
    RunState::Queued,
    RunState::Running,
    RunState::Paused,
    RunState::Completed,
    RunState::Cancelled,
    RunState::Failed,
    RunState::LimitReached,
];

/// The run's id in the path.
pub(crate) struct RunPath(pub(crate) RunId);

impl FromRequestParts<App> for RunPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, app: &App) -> Result<RunPath, Problem> {
        let Path(id) = Path::<String>::from_request_parts(parts, app)
            .await
            .map_err(|error| Problem::new(Code::BadRequest, error.body_text()).field("run"))?;
        match input::check_id("run", &id) {
            Ok(()) => Ok(RunPath(RunId::from(id))),
            Err(_) => Err(Problem::new(Code::UnknownRun, "no run has such an id").field("run")),
        }
    }
}

/// `GET /v1/runs`: newest first, a page at a time.
pub(crate) async fn list(State(app): State<App>, request: Request) -> Result<Json<Value>, Problem> {
    let known = ["crew", "state", "thread", "limit", "cursor"];
    let query = Query::parse_strict(request.uri().query(), &known)?;
    let page = Page::of(&query)?;
    let state = match query.get("state") {
        None => None,
        Some(text) => Some(STATES.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
            let states: Vec<&str> = STATES.iter().map(|state| state.as_str()).collect();
            invalid("state", format!("must be one of {}", states.join(", ")))
        })?),
    };
    let before = page::place(&query, page::read_cursor)?.map(|(at, id)| (at, RunId::from(id)));
    let wanted = RunQuery {
        crew: query.get("crew").map(str::to_owned),
        state,
        thread: query.get("thread").map(ThreadId::from),
        before,
        limit: page.look_for(),
    };
    let mut rows = app.engine().runs(&wanted).await?;
    let next = page.cut(&mut rows, |row| page::cursor(row.created_at, row.run.as_str()));
    let rows: Vec<Value> = rows.iter().map(row_json).collect();
    Ok(Json(json!({"runs": rows, "next": next})))
}

/// `GET /v1/runs/{run}`.
pub(crate) async fn show(
    State(app): State<App>,
    RunPath(run): RunPath,
    request: Request,
) -> Result<Response, Problem> {
    Query::parse_strict(request.uri().query(), &[])?;
    Ok(answer_with(StatusCode::OK, &view_at(&app, &run, None).await?))
}

/// `DELETE /v1/runs/{run}`: forgets a run that has ended.
pub(crate) async fn delete(State(app): State<App>, RunPath(run): RunPath) -> Result<StatusCode, Problem> {
    app.engine().delete(&run).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The run as it was when a request with a key had been carried out, or as it is now, as an answer.
pub(crate) async fn answer_done(app: &App, run: &RunId, done: Option<Done>) -> Result<Response, Problem> {
    let view = view_at(app, run, done.as_ref().map(|done| done.seq)).await?;
    let mut response = answer_with(StatusCode::OK, &view);
    idempotency::mark(&mut response, done.is_some_and(|done| done.replayed));
    Ok(response)
}

/// The run as it was at an event, or as it is now.
pub(crate) async fn view_at(app: &App, run: &RunId, at: Option<Seq>) -> Result<RunView, Problem> {
    let view = match at {
        Some(seq) => app.engine().run_at(run, seq).await?,
        None => app.engine().run(run).await?,
    };
    view.ok_or_else(|| unknown_run(run))
}

pub(crate) fn unknown_run(run: &RunId) -> Problem {
    Problem::new(Code::UnknownRun, format!("no run {run}"))
}

/// The run once it rests, as an answer; 202 and as it is, if the server shuts down first: it goes on at the next start.
pub(crate) async fn rested(app: &App, run: &RunId) -> Result<Response, Problem> {
    let (status, view) = tokio::select! {
        biased;
        view = app.engine().wait(run) => (StatusCode::OK, view?),
        () = app.closing().cancelled() => (StatusCode::ACCEPTED, view_at(app, run, None).await?),
    };
    Ok(answer_with(status, &view))
}

/// Says in the answer where what was made is to be found.
pub(crate) fn locate(response: &mut Response, path: String) {
    if let Ok(location) = HeaderValue::try_from(path) {
        response.headers_mut().insert(header::LOCATION, location);
    }
}

/// Whether the client asks for an event stream.
pub(crate) fn wants_stream(headers: &HeaderMap) -> bool {
    accepts(headers, "text/event-stream")
}

/// Whether one of the `Accept` header's types is exactly this one.
pub(crate) fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    accepted
        .flat_map(|accept| accept.split(','))
        .any(|part| part.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(kind))
}
