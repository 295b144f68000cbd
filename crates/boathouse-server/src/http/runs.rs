//! Runs: started, listed, looked at, and told what to do.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header, request};
use axum::response::{IntoResponse, Response};
use boathouse::core::ids::{AgentId, RunId, Seq, ThreadId, Timestamp, WaitId};
use boathouse::core::message::{Author, Message, Usage};
use boathouse::core::run::event::{
    Answer, CancelReason, OnDisconnect, Outcome, ReceiptLine, RunLimits, RunState,
};
use boathouse::engine::{CommandError, Done, RunView, StartRun, WaitView, WhenBusy};
use boathouse::feed::Watch;
use boathouse::journal::{OpenWait, RequestKey, RunQuery, RunRow};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::crews::CrewName;
use super::error::{Code, Problem};
use super::input::{self, Fields, MAX_HISTORY, MAX_MESSAGE_BYTES, Query, invalid};
use super::{App, door, idempotency, stream};

/// Runs on one page of a list.
pub(crate) const MAX_PAGE: u64 = 200;
pub(crate) const DEFAULT_PAGE: u64 = 50;
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

pub(crate) fn answer_with(status: StatusCode, view: &RunView) -> Response {
    (status, Json(run_body(view))).into_response()
}

/// The run as it was at an event, or as it is now, as an answer.
pub(crate) async fn answer_at(app: &App, run: &RunId, at: Option<Seq>) -> Result<Response, Problem> {
    Ok(answer_with(StatusCode::OK, &view_at(app, run, at).await?))
}

async fn view(app: &App, run: &RunId) -> Result<RunView, Problem> {
    view_at(app, run, None).await
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

/// `POST /v1/crews/{crew}/runs`.
pub(crate) async fn start(
    State(app): State<App>,
    CrewName(crew): CrewName,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let query = Query::parse_strict(parts.uri.query(), &["wait"])?;
    let wait = query.flag("wait", false)?;
    let body = door::read_body(&app, &parts, body).await?;
    let start = read_start(crew, &body)?;
    let key = idempotency::key(&parts, &body)?;
    let streams = wants_stream(&parts.headers);
    // Whoever waits counts as a reader for as long as it waits.
    let deltas = (streams || wait).then_some(streams);
    let Begun { run, at, watch, replayed } = begin(&app, start, deltas, key).await?;
    let mut response = match watch {
        Some(watch) if streams => stream::native(&app, watch),
        _ if wait => {
            let rested = while_serving(&app, app.engine().wait(&run)).await?;
            answer_with(StatusCode::OK, &rested)
        }
        _ => answer_with(StatusCode::ACCEPTED, &view_at(&app, &run, at).await?),
    };
    idempotency::mark(&mut response, replayed);
    if let Ok(location) = HeaderValue::try_from(format!("/v1/runs/{run}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// A run that was started, now or by an earlier request of the same key.
struct Begun {
    run: RunId,
    /// The event at which the request had been carried out, if it has a key: what the answer shows does not change.
    at: Option<Seq>,
    watch: Option<Watch>,
    replayed: bool,
}

/// Starts a run, or finds the one that the key has started; watches it from its first event, if `deltas` says so.
async fn begin(
    app: &App,
    start: StartRun,
    deltas: Option<bool>,
    key: Option<RequestKey>,
) -> Result<Begun, Problem> {
    let engine = app.engine();
    match (key, deltas) {
        (None, None) => Ok(Begun { run: engine.start(start).await?, at: None, watch: None, replayed: false }),
        (None, Some(deltas)) => {
            let (run, watch) = engine.start_watched(start, deltas).await?;
            Ok(Begun { run, at: None, watch: Some(watch), replayed: false })
        }
        (Some(key), deltas) => {
            let (Done { run, seq, replayed }, mut watch) = engine.start_once(start, deltas, key).await?;
            if let (None, Some(deltas)) = (&watch, deltas) {
                watch = Some(engine.watch(&run, Seq(0), deltas).await?.ok_or_else(|| unknown_run(&run))?);
            }
            Ok(Begun { run, at: Some(seq), watch, replayed })
        }
    }
}

/// What becomes of a run, unless the server shuts down first: the run then goes on at the next start.
pub(crate) async fn while_serving(
    app: &App,
    outcome: impl Future<Output = Result<RunView, CommandError>>,
) -> Result<RunView, Problem> {
    tokio::select! {
        biased;
        view = outcome => Ok(view?),
        () = app.closing().cancelled() => Err(CommandError::ShuttingDown.into()),
    }
}

/// Reads what a run is started with.
pub fn read_start(crew: String, body: &[u8]) -> Result<StartRun, Problem> {
    let known = [
        "input",
        "history",
        "start_at",
        "thread",
        "when_busy",
        "vars",
        "metadata",
        "limits",
        "on_disconnect",
    ];
    let mut fields = Fields::parse(body, &known)?;
    let metadata = fields.object("metadata")?;
    input::check_labels("metadata", &metadata)?;
    let thread = fields.id("thread")?.map(ThreadId::from);
    let when_busy = match fields.text("when_busy")?.as_deref() {
        Some(_) if thread.is_none() => {
            let hint = "name the thread that the run goes on with, or leave it out";
            return Err(invalid("when_busy", "means nothing without `thread`").hint(hint));
        }
        None | Some("reject") => WhenBusy::Reject,
        Some("enqueue") => WhenBusy::Enqueue,
        Some("interrupt") => WhenBusy::Interrupt,
        Some(_) => return Err(invalid("when_busy", "must be `reject`, `enqueue` or `interrupt`")),
    };
    Ok(StartRun {
        crew,
        input: fields.required_text("input")?,
        history: read_history("history", fields.list("history", MAX_HISTORY)?)?,
        start_at: fields.id("start_at")?.map(AgentId::from),
        thread,
        when_busy,
        vars: read_vars(fields.object("vars")?)?,
        metadata: metadata.into_iter().collect(),
        limits: read_limits(fields.object("limits")?)?,
        on_disconnect: read_on_disconnect(&mut fields)?.unwrap_or_default(),
    })
}

/// Reads what happens when nobody watches any more.
pub(crate) fn read_on_disconnect(fields: &mut Fields) -> Result<Option<OnDisconnect>, Problem> {
    match fields.text("on_disconnect")?.as_deref() {
        None => Ok(None),
        Some("continue") => Ok(Some(OnDisconnect::Continue)),
        Some("cancel") => Ok(Some(OnDisconnect::Cancel)),
        Some(_) => Err(invalid("on_disconnect", "must be `continue` or `cancel`")),
    }
}

/// Reads the field `[{role, content, agent?}]`, oldest first.
pub(crate) fn read_history(field: &str, list: Vec<Value>) -> Result<Vec<Message>, Problem> {
    let mut history = Vec::with_capacity(list.len());
    for (place, entry) in list.into_iter().enumerate() {
        let mut fields = Fields::of(entry, &format!("{field}[{place}]"), &["role", "content", "agent"])?;
        let agent = fields.id("agent")?;
        let role = fields.required_text("role")?;
        let from = match (role.as_str(), agent) {
            ("user", None) => Author::User,
            ("system", None) => Author::System,
            ("assistant", agent) => Author::Agent(agent.map(AgentId::from)),
            ("user" | "system", Some(_)) => {
                return Err(invalid(&fields.at("agent"), "may only stand with the role `assistant`"));
            }
            _ => return Err(invalid(&fields.at("role"), "must be `user`, `assistant` or `system`")),
        };
        let at = fields.at("content");
        let content = fields
            .text("content")?
            .ok_or_else(|| Problem::new(Code::MissingField, format!("`{at}` is missing")).field(&at))?;
        if content.len() > MAX_MESSAGE_BYTES {
            let detail = format!("has {} bytes; {MAX_MESSAGE_BYTES} are allowed", content.len());
            return Err(invalid(&at, detail));
        }
        history.push(Message::text(from, content));
    }
    Ok(history)
}

fn read_vars(map: Map<String, Value>) -> Result<BTreeMap<String, String>, Problem> {
    let mut vars = BTreeMap::new();
    for (name, value) in map {
        let at = format!("vars.{name}");
        input::check_text(&at, &name, input::LineBreaks::Refused)?;
        let Value::String(value) = value else { return Err(invalid(&at, "must be a string")) };
        input::check_text(&at, &value, input::LineBreaks::Allowed)?;
        vars.insert(name, value);
    }
    Ok(vars)
}

pub(crate) fn read_limits(map: Map<String, Value>) -> Result<RunLimits, Problem> {
    let known = ["max_handoffs", "max_rounds", "timeout_seconds"];
    let mut fields = Fields::of(Value::Object(map), "limits", &known)?;
    Ok(RunLimits {
        max_handoffs: fields.number("max_handoffs")?,
        max_rounds: fields.number("max_rounds")?,
        timeout_seconds: fields.number("timeout_seconds")?,
    })
}

/// `GET /v1/runs`: newest first, a page at a time.
pub(crate) async fn list(State(app): State<App>, request: Request) -> Result<Json<Value>, Problem> {
    let known = ["crew", "state", "thread", "limit", "cursor"];
    let query = Query::parse_strict(request.uri().query(), &known)?;
    let limit = query.number("limit", 1..=MAX_PAGE)?.unwrap_or(DEFAULT_PAGE) as usize;
    let state = match query.get("state") {
        None => None,
        Some(text) => Some(STATES.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
            let states: Vec<&str> = STATES.iter().map(|state| state.as_str()).collect();
            invalid("state", format!("must be one of {}", states.join(", ")))
        })?),
    };
    let before = read_before(&query)?.map(|(at, id)| (at, RunId::from(id)));
    let wanted = RunQuery {
        crew: query.get("crew").map(str::to_owned),
        state,
        thread: query.get("thread").map(ThreadId::from),
        before,
        // One more than the page, to know whether there is another.
        limit: limit + 1,
    };
    let mut rows = app.engine().runs(&wanted).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| cursor(row.created_at, row.run.as_str()));
    let rows: Vec<Value> = rows.iter().map(row_json).collect();
    Ok(Json(json!({"runs": rows, "next": next})))
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

/// The place after an entry of a list.
pub fn cursor(at: Timestamp, id: &str) -> String {
    to_cursor(&format!("{}.{id}", at.0))
}

/// The place of the query's `cursor`, if it has one.
pub(crate) fn read_before(query: &Query) -> Result<Option<(Timestamp, String)>, Problem> {
    let Some(text) = query.get("cursor") else { return Ok(None) };
    read_cursor(text).map(Some).ok_or_else(|| {
        invalid("cursor", "must be the `next` of an earlier page").hint("leave it out for the first page")
    })
}

/// Reads what [`cursor`] wrote.
pub fn read_cursor(text: &str) -> Option<(Timestamp, String)> {
    let plain = plain_cursor(text)?;
    let (at, id) = plain.split_once('.')?;
    input::check_id("cursor", id).ok()?;
    Some((Timestamp(at.parse().ok()?), id.to_owned()))
}

/// A place in a list, in hexadecimal so that nobody builds on what it holds.
pub(crate) fn to_cursor(place: &str) -> String {
    place.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// What [`to_cursor`] was given.
pub(crate) fn plain_cursor(text: &str) -> Option<String> {
    if !text.len().is_multiple_of(2) || text.len() > 512 || !text.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        return None;
    }
    let bytes: Vec<u8> =
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap_or(0)).collect();
    String::from_utf8(bytes).ok()
}

/// `GET /v1/runs/{run}`.
pub(crate) async fn show(
    State(app): State<App>,
    RunPath(run): RunPath,
    request: Request,
) -> Result<Response, Problem> {
    Query::parse_strict(request.uri().query(), &[])?;
    Ok(answer_with(StatusCode::OK, &view(&app, &run).await?))
}

/// `DELETE /v1/runs/{run}`: forgets a run that has ended.
pub(crate) async fn delete(State(app): State<App>, RunPath(run): RunPath) -> Result<StatusCode, Problem> {
    app.engine().delete(&run).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/runs/{run}/answer`.
pub(crate) async fn answer(
    State(app): State<App>,
    RunPath(run): RunPath,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    Query::parse_strict(parts.uri.query(), &[])?;
    let body = door::read_body(&app, &parts, body).await?;
    let (wait, answer) = read_answer(&body)?;
    let (at, replayed) = match idempotency::key(&parts, &body)? {
        None => {
            app.engine().answer(&run, wait, answer).await?;
            (None, false)
        }
        Some(key) => {
            let done = app.engine().answer_once(&run, wait, answer, key).await?;
            (Some(done.seq), done.replayed)
        }
    };
    let mut response = answer_at(&app, &run, at).await?;
    idempotency::mark(&mut response, replayed);
    Ok(response)
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
    read_nothing(&app, &parts, body).await?;
    let cancel = app.engine().cancel(&run, CancelReason::Requested, wait);
    let view = while_serving(&app, cancel).await?;
    let status = if view.state.is_ended() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(answer_with(status, &view))
}

/// `POST /v1/runs/{run}/pause`: calls in flight end, nothing new starts.
pub(crate) async fn pause(
    State(app): State<App>,
    RunPath(run): RunPath,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    Query::parse_strict(parts.uri.query(), &[])?;
    read_nothing(&app, &parts, body).await?;
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
    let (parts, body) = request.into_parts();
    Query::parse_strict(parts.uri.query(), &[])?;
    read_nothing(&app, &parts, body).await?;
    Ok(answer_with(StatusCode::OK, &app.engine().resume(&run).await?))
}

/// Refuses a body that says anything.
async fn read_nothing(app: &App, parts: &request::Parts, body: axum::body::Body) -> Result<(), Problem> {
    let body = door::read_body(app, parts, body).await?;
    Fields::parse(&body, &[]).map(|_| ())
}
