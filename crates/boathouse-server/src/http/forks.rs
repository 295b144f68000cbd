//! New runs from steps of others: forked with edits, or tried again.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use boathouse::core::crew::Model;
use boathouse::core::ids::{AgentId, RunId, Seq, WaitId};
use boathouse::core::run::event::Answer;
use boathouse::core::run::fork::{Edits, ForkRefused};
use boathouse::engine::{ForkError, ForkPoint, ForkRun};
use serde_json::Value;

use super::error::{Code, Problem, too_many_runs};
use super::input::{self, Fields, Query, invalid};
use super::runs::{
    RunPath, answer_with, locate, read_answer, read_limits, read_on_disconnect, rested, view_at,
};
use super::{App, door, idempotency};

/// Models of one request: as many as a crew may have agents.
const MAX_MODELS: usize = 1000;

/// `POST /v1/runs/{run}/fork`: a new run from a step of this one.
pub(crate) async fn fork(
    State(app): State<App>,
    RunPath(run): RunPath,
    request: Request,
) -> Result<Response, Problem> {
    begin(&app, run, request, read_fork).await
}

/// `POST /v1/runs/{run}/retry`: this run again, from its last point with no call in flight.
pub(crate) async fn retry(
    State(app): State<App>,
    RunPath(run): RunPath,
    request: Request,
) -> Result<Response, Problem> {
    begin(&app, run, request, read_retry).await
}

/// Where a fork begins, and what is other in it.
type Asked = Result<(ForkPoint, Edits), Problem>;

async fn begin(
    app: &App,
    run: RunId,
    request: Request,
    read: fn(&[u8]) -> Asked,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let query = Query::parse_strict(parts.uri.query(), &["wait"])?;
    let wait = query.flag("wait", false)?;
    let body = door::read_body(app, &parts, body).await?;
    let (from, edits) = read(&body)?;
    let fork = ForkRun { run, from, edits };
    let engine = app.engine();
    let (run, at, replayed) = match idempotency::key(&parts, &body)? {
        None => (engine.fork(fork).await?, None, false),
        Some(key) => {
            let done = engine.fork_once(fork, key).await?;
            (done.run, Some(done.seq), done.replayed)
        }
    };
    let mut response = if wait {
        // Whoever waits counts as a reader for as long as it waits.
        let _reader = engine.watch(&run, Seq(0), false).await?;
        rested(app, &run).await?
    } else {
        answer_with(StatusCode::ACCEPTED, &view_at(app, &run, at).await?)
    };
    idempotency::mark(&mut response, replayed);
    locate(&mut response, format!("/v1/runs/{run}"));
    Ok(response)
}

fn read_fork(body: &[u8]) -> Asked {
    let known = ["at", "input", "reply", "answer", "model", "limits", "metadata", "on_disconnect"];
    let mut fields = Fields::parse(body, &known)?;
    let from = match fields.take("at") {
        None => ForkPoint::Last,
        Some(at) => match at.as_u64().filter(|at| *at > 0) {
            Some(at) => ForkPoint::At(Seq(at)),
            None => return Err(invalid("at", "must be the number of an event, from 1")),
        },
    };
    let mut edits = read_edits(&mut fields)?;
    edits.input = fields.text("input")?;
    edits.reply = fields.text("reply")?;
    edits.answer = fields.take("answer").map(|answer| read_inner_answer(&answer)).transpose()?;
    Ok((from, edits))
}

fn read_retry(body: &[u8]) -> Asked {
    let known = ["model", "limits", "metadata", "on_disconnect"];
    let mut fields = Fields::parse(body, &known)?;
    Ok((ForkPoint::Retry, read_edits(&mut fields)?))
}

/// What both take.
fn read_edits(fields: &mut Fields) -> Result<Edits, Problem> {
    let mut edits = Edits { on_disconnect: read_on_disconnect(fields)?, ..Edits::default() };
    if let Some(metadata) = fields.optional_object("metadata")? {
        input::check_labels("metadata", &metadata)?;
        edits.metadata = Some(metadata.into_iter().collect());
    }
    if let Some(limits) = fields.optional_object("limits")? {
        edits.limits = Some(read_limits(limits)?);
    }
    match fields.take("model") {
        None => {}
        Some(Value::Array(list)) if list.len() > MAX_MODELS => {
            return Err(invalid("model", format!("has {} entries; {MAX_MODELS} are allowed", list.len())));
        }
        Some(Value::Array(list)) => {
            for (place, entry) in list.into_iter().enumerate() {
                read_model(&mut edits, entry, &format!("model[{place}]"))?;
            }
        }
        Some(one) => read_model(&mut edits, one, "model")?,
    }
    Ok(edits)
}

/// Reads `{provider, model, base_url?, agent?}`; without an agent it is for all of them.
fn read_model(edits: &mut Edits, value: Value, path: &str) -> Result<(), Problem> {
    let mut fields = Fields::of(value, path, &["provider", "model", "base_url", "agent"])?;
    let model = Model {
        provider: fields.required_text("provider")?,
        model: fields.required_text("model")?,
        base_url: fields.text("base_url")?,
    };
    match fields.text("agent")? {
        Some(agent) => {
            edits.models.insert(AgentId::from(agent), model);
        }
        None => edits.model = Some(model),
    }
    Ok(())
}

fn read_inner_answer(answer: &Value) -> Result<(Option<WaitId>, Answer), Problem> {
    if !answer.is_object() {
        return Err(invalid("answer", "must be an object"));
    }
    read_answer(answer.to_string().as_bytes()).map_err(|problem| {
        let field = problem.field.as_ref().map(|field| format!("answer.{field}"));
        Problem { field, ..problem }
    })
}

impl From<ForkError> for Problem {
    fn from(error: ForkError) -> Problem {
        let detail = error.to_string();
        match error {
            ForkError::UnknownRun(_) => Problem::new(Code::UnknownRun, detail),
            ForkError::UnknownProvider { .. } => Problem::new(Code::InvalidField, detail).field("model"),
            ForkError::Refused(refused) => refused_problem(refused, detail),
            ForkError::TooManyRuns(_) => too_many_runs(detail),
            ForkError::ShuttingDown => boathouse::engine::CommandError::ShuttingDown.into(),
            ForkError::Request(error) => error.into(),
            ForkError::Journal(error) => error.into(),
        }
    }
}

fn refused_problem(refused: ForkRefused, detail: String) -> Problem {
    match refused {
        ForkRefused::NoSuchStep { .. } | ForkRefused::NotAStep { .. } => {
            Problem::new(Code::NotAStep, detail).field("at")
        }
        ForkRefused::NotAReply(_) => Problem::new(Code::NotAStep, detail)
            .field("at")
            .hint("name the `seq` of a `model_replied` after which no call is in flight"),
        ForkRefused::Answer(refused) => {
            let problem = boathouse::engine::CommandError::Refused(refused).into();
            let Problem { field, .. } = &problem;
            Problem {
                field: Some(field.as_ref().map_or("answer".to_owned(), |f| format!("answer.{f}"))),
                ..problem
            }
        }
        ForkRefused::NotEnded => {
            Problem::new(Code::RunNotEnded, detail).hint("cancel the run first, or fork it")
        }
        ForkRefused::Completed => Problem::new(Code::RunCompleted, detail).hint("fork the run instead"),
        ForkRefused::WouldRepeat { at, .. } => Problem::new(Code::WouldRepeat, detail)
            .hint(format!("if that is right, fork the run at event {at}")),
        ForkRefused::UnknownAgent { .. } => Problem::new(Code::UnknownAgent, detail).field("model"),
        ForkRefused::Empty(field) => Problem::new(Code::MissingField, detail).field(field),
        ForkRefused::Replay(_) => Problem::new(Code::Internal, detail),
    }
}
