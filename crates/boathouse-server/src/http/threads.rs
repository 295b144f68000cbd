//! Threads: conversations whose runs share a history.

use axum::Json;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::{StatusCode, request};
use axum::response::{IntoResponse, Response};
use boathouse::core::ids::ThreadId;
use boathouse::core::message::{Author, Message};
use boathouse::journal::{RunQuery, ThreadQuery, ThreadRow};
use serde_json::{Value, json};

use super::error::{Code, Problem};
use super::input::{self, Fields, MAX_HISTORY, Query};
use super::page::{self, DEFAULT_PAGE, Page};
use super::runs::{locate, read_history, row_json};
use super::{App, door};

/// Messages on one page.
const MAX_MESSAGES: u64 = 1000;
const DEFAULT_MESSAGES: u64 = 100;

/// The thread's id in the path.
pub(crate) struct ThreadPath(ThreadId);

impl FromRequestParts<App> for ThreadPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, app: &App) -> Result<ThreadPath, Problem> {
        let Path(id) = Path::<String>::from_request_parts(parts, app)
            .await
            .map_err(|error| Problem::new(Code::BadRequest, error.body_text()).field("thread"))?;
        match input::check_id("thread", &id) {
            Ok(()) => Ok(ThreadPath(ThreadId::from(id))),
            Err(_) => Err(Problem::new(Code::UnknownThread, "no thread has such an id").field("thread")),
        }
    }
}

fn unknown(thread: &ThreadId) -> Problem {
    Problem::new(Code::UnknownThread, format!("no thread {thread}"))
}

async fn row(app: &App, thread: &ThreadId) -> Result<ThreadRow, Problem> {
    app.engine().thread(thread).await?.ok_or_else(|| unknown(thread))
}

fn body(row: &ThreadRow) -> Value {
    json!({
        "id": row.thread,
        "crew": row.crew,
        "state": if row.is_busy() { "busy" } else { "idle" },
        "run": row.active,
        "queued": row.queued,
        "messages": row.messages,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    })
}

/// `GET /v1/threads`: newest first, a page at a time.
pub(crate) async fn list(State(app): State<App>, request: Request) -> Result<Json<Value>, Problem> {
    let query = Query::parse_strict(request.uri().query(), &["crew", "limit", "cursor"])?;
    let page = Page::of(&query)?;
    let before = page::place(&query, page::read_cursor)?.map(|(at, id)| (at, ThreadId::from(id)));
    let wanted = ThreadQuery { crew: query.get("crew").map(str::to_owned), before, limit: page.look_for() };
    let mut rows = app.engine().threads(&wanted).await?;
    let next = page.cut(&mut rows, |row| page::cursor(row.created_at, row.thread.as_str()));
    Ok(Json(json!({"threads": rows.iter().map(body).collect::<Vec<_>>(), "next": next})))
}

/// `POST /v1/threads`: makes one, with what was said before.
pub(crate) async fn create(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let (_, bytes) = door::read_plain(&app, request).await?;
    let mut fields = Fields::parse(&bytes, &["crew", "id", "messages"])?;
    let crew = fields.required_text("crew")?;
    let id = fields.id("id")?.map(ThreadId::from);
    let messages = read_history("messages", fields.list("messages", MAX_HISTORY)?)?;
    let made = app.engine().create_thread(&crew, id, &messages).await?;
    let mut response = (StatusCode::CREATED, Json(body(&made))).into_response();
    locate(&mut response, format!("/v1/threads/{}", made.thread));
    Ok(response)
}

/// `GET /v1/threads/{thread}`, with its newest runs.
pub(crate) async fn show(
    State(app): State<App>,
    ThreadPath(thread): ThreadPath,
    request: Request,
) -> Result<Json<Value>, Problem> {
    Query::parse_strict(request.uri().query(), &[])?;
    let row = row(&app, &thread).await?;
    let wanted = RunQuery { thread: Some(thread), limit: DEFAULT_PAGE as usize, ..RunQuery::default() };
    let runs = app.engine().runs(&wanted).await?;
    let mut body = body(&row);
    body["runs"] = runs.iter().map(row_json).collect();
    Ok(Json(body))
}

/// `GET /v1/threads/{thread}/messages`: oldest first, a page at a time.
pub(crate) async fn messages(
    State(app): State<App>,
    ThreadPath(thread): ThreadPath,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let query = Query::parse_strict(request.uri().query(), &["after", "limit"])?;
    let after = query.number("after", 0..=u64::from(u32::MAX))?.unwrap_or(0) as usize;
    let limit = query.number("limit", 1..=MAX_MESSAGES)?.unwrap_or(DEFAULT_MESSAGES) as usize;
    row(&app, &thread).await?;
    let mut messages = app.engine().thread_messages(&thread, after, limit + 1).await?;
    let more = messages.len() > limit;
    messages.truncate(limit);
    let messages: Vec<Value> =
        messages.iter().zip(after + 1..).map(|(message, number)| message_body(message, number)).collect();
    Ok(Json(json!({"messages": messages, "more": more})))
}

/// A message as requests bring it, with what only runs add: calls, results, and the names of groups.
fn message_body(message: &Message, number: usize) -> Value {
    let (role, agent) = match &message.from {
        Author::User => ("user", None),
        Author::System => ("system", None),
        Author::Agent(agent) if message.results.is_empty() => {
            ("assistant", agent.as_ref().map(|agent| agent.as_str()))
        }
        Author::Agent(agent) => ("tool", agent.as_ref().map(|agent| agent.as_str())),
        Author::Group(group) => ("group", Some(group.as_str())),
    };
    let mut body = json!({"number": number, "role": role, "agent": agent, "content": message.content()});
    if !message.calls.is_empty() {
        body["calls"] = json!(message.calls);
    }
    if !message.results.is_empty() {
        body["results"] = json!(message.results);
    }
    body
}

/// `DELETE /v1/threads/{thread}`: forgets a thread on which no run is at work or waits.
pub(crate) async fn delete(
    State(app): State<App>,
    ThreadPath(thread): ThreadPath,
) -> Result<StatusCode, Problem> {
    if app.engine().delete_thread(&thread).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    row(&app, &thread).await?;
    Err(Problem::new(Code::ThreadOfRun, format!("thread {thread} is that of run {thread} alone"))
        .hint("delete the run"))
}
