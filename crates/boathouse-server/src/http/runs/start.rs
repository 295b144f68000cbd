//! How a run is started: what the request says, and which answer it gets.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use boathouse::core::ids::{AgentId, RunId, Seq, ThreadId};
use boathouse::core::message::{Author, Message};
use boathouse::core::run::event::{OnDisconnect, RunLimits};
use boathouse::engine::{Done, StartRun, WhenBusy};
use boathouse::feed::Watch;
use boathouse::journal::RequestKey;
use serde_json::{Map, Value};

use super::{answer_with, locate, rested, unknown_run, view_at, wants_stream};
use crate::http::crews::CrewName;
use crate::http::error::{Code, Problem};
use crate::http::input::{self, Fields, MAX_HISTORY, MAX_MESSAGE_BYTES, Query, invalid};
use crate::http::{App, door, idempotency, stream};

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
        _ if wait => rested(&app, &run).await?,
        _ => answer_with(StatusCode::ACCEPTED, &view_at(&app, &run, at).await?),
    };
    idempotency::mark(&mut response, replayed);
    locate(&mut response, format!("/v1/runs/{run}"));
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
