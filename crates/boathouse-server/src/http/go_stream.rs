//! `GET|POST /api/crew/stream`: the Go system's endpoint, for clients that were written for it.
//!
//! A request starts a run (or answers one that paused) and is given the ten event types of the Go system. The run is
//! the request's own: it is cancelled as soon as the client goes away before the run rests.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use boathouse::core::ids::{RunId, Seq};
use boathouse::core::run::event::{Answer, CancelReason, OnDisconnect, RunState};
use boathouse::engine::{StartError, StartRun};
use boathouse::feed::{Item, Watch};
use boathouse::journal::RunRow;
use bytes::BytesMut;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::App;
use super::crews::unknown_crew;
use super::door;
use super::error::{Code, Problem};
use super::input::{Query, invalid};
use super::runs::unknown_run;
use super::stream::{Script, event_stream};

pub mod request;
pub mod translate;

use request::GoRequest;
use translate::Translator;

/// The whole endpoint. Its errors are plain text, as they were.
pub(crate) async fn stream(State(app): State<App>, request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::POST) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
        return response;
    }
    match answer(&app, request).await {
        Ok(response) => response,
        Err(problem) => plain(problem.code.status(), &problem.detail),
    }
}

fn plain(status: StatusCode, text: &str) -> Response {
    let mut response = (status, format!("{text}\n")).into_response();
    let nosniff = HeaderValue::from_static("nosniff");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

async fn answer(app: &App, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    if let Some((run, seen)) = last_event_id(&parts.headers)? {
        return replay(app, run, seen).await;
    }
    let query = Query::parse(parts.uri.query())?;
    let body = match parts.method {
        Method::POST => Some(door::read_body(app, &parts, Body::new(body)).await?),
        _ => None,
    };
    let wanted = GoRequest::read(&query, body.as_deref())?;
    match wanted.run {
        None => start(app, query.get("crew"), wanted).await,
        Some(run) => go_on(app, run, wanted.query).await,
    }
}

/// Starts a run. A client that goes away meanwhile leaves no run behind: the task that starts it is not its request's.
async fn start(app: &App, crew: Option<&str>, wanted: GoRequest) -> Result<Response, Problem> {
    let crew = match crew {
        Some(name) => app.engine().crew(name).ok_or_else(|| unknown_crew(name))?,
        None => app.engine().crews().into_iter().next().ok_or_else(|| {
            Problem::new(Code::UnknownCrew, "no crew is served").hint("start the server with a crew's folder")
        })?,
    };
    let run = StartRun {
        crew: crew.name.clone(),
        input: wanted.query,
        history: wanted.history,
        on_disconnect: OnDisconnect::Continue,
        ..StartRun::default()
    };
    let (send, started) = oneshot::channel();
    let owner = app.clone();
    app.tasks().spawn(async move {
        let result = owner.engine().start_watched(run, false).await;
        // If nobody takes it, it is dropped, and that cancels the run.
        let _ = send.send(result.map(|(run, watch)| (OwnRun::new(&owner, run), watch)));
    });
    let Ok(result) = started.await else {
        return Err(Problem::new(Code::Internal, "the run could not be started"));
    };
    let (own, watch) = match result {
        Err(StartError::EmptyInput) => return Err(Problem::new(Code::MissingField, "Query is required")),
        other => other?,
    };
    let translator = Translator::new(own.run.clone(), Some(crew), Seq(0));
    Ok(translated(app, translator, own, watch))
}

/// Answers a paused run. What came before is not told again.
async fn go_on(app: &App, run: RunId, text: String) -> Result<Response, Problem> {
    let row = app.engine().journal().run(&run).await?.ok_or_else(|| unknown_run(&run))?;
    app.engine().answer(&run, None, Answer::Text { text }).await?;
    tell_rest(app, OwnRun::new(app, run), &row, row.seq).await
}

/// What a reader has not seen of a run, to its rest; 204 if there is nothing.
async fn replay(app: &App, run: RunId, seen: Seq) -> Result<Response, Problem> {
    let row = app.engine().journal().run(&run).await?.ok_or_else(|| unknown_run(&run))?;
    if (row.state.is_ended() || row.state == RunState::Paused) && seen >= row.seq {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    // It is not this request that the run belongs to.
    let mut own = OwnRun::new(app, run);
    own.armed = false;
    tell_rest(app, own, &row, seen).await
}

async fn tell_rest(app: &App, own: OwnRun, row: &RunRow, seen: Seq) -> Result<Response, Problem> {
    let watch = app.engine().watch(&own.run, Seq(0), false).await?.ok_or_else(|| unknown_run(&own.run))?;
    let translator = Translator::new(own.run.clone(), app.engine().crew(&row.crew), seen);
    Ok(translated(app, translator, own, watch))
}

fn translated(app: &App, translator: Translator, own: OwnRun, watch: Watch) -> Response {
    event_stream(app, watch, app.config().go_ping, GoScript { translator, own })
}

/// `<run>/<seq>`.
fn last_event_id(headers: &HeaderMap) -> Result<Option<(RunId, Seq)>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let wrong = || invalid("last-event-id", "must be the `id` of an event of this endpoint");
    read_event_id(value.as_bytes()).map(Some).ok_or_else(wrong)
}

/// Reads the id of an event of this endpoint.
pub fn read_event_id(id: &[u8]) -> Option<(RunId, Seq)> {
    let (run, seq) = std::str::from_utf8(id.trim_ascii()).ok()?.split_once('/')?;
    super::input::check_id("last-event-id", run).ok()?;
    Some((RunId::from(run), Seq(seq.parse().ok()?)))
}

/// A run that belongs to one request: dropped before the run rests, it cancels the run, unless the server is
/// shutting down, which is not a cancel.
struct OwnRun {
    app: App,
    run: RunId,
    runtime: Handle,
    armed: bool,
}

impl OwnRun {
    fn new(app: &App, run: RunId) -> OwnRun {
        OwnRun { app: app.clone(), run, runtime: Handle::current(), armed: true }
    }
}

impl Drop for OwnRun {
    fn drop(&mut self) {
        if !self.armed || self.app.closing().is_cancelled() {
            return;
        }
        let (app, run) = (self.app.clone(), self.run.clone());
        let cancel = async move {
            if let Err(error) = app.engine().cancel(&run, CancelReason::Disconnected, false).await {
                tracing::warn!(%run, %error, "a run whose client went away could not be cancelled");
            }
        };
        self.app.tasks().spawn_on(cancel, &self.runtime);
    }
}

struct GoScript {
    translator: Translator,
    own: OwnRun,
}

impl Script for GoScript {
    fn open(&mut self, _out: &mut BytesMut) {}

    fn write(&mut self, items: &[Item], out: &mut BytesMut) {
        for item in items {
            match item {
                Item::Event(stored) => self.translator.write(&stored.recorded, out),
                Item::Delta(_) | Item::Snapshot { .. } | Item::Gap => {}
            }
        }
    }

    fn heartbeat(&mut self, out: &mut BytesMut) {
        self.translator.ping(out);
    }

    fn rested(&mut self, out: &mut BytesMut) {
        self.own.armed = false;
        self.translator.rest(out);
    }
}
