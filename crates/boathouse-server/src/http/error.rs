//! Errors as RFC 9457 `application/problem+json`, each with a code that never changes.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use boathouse::core::run::admit::Refused;
use boathouse::engine::{CommandError, RequestError, StartError, ThreadError};
use boathouse::journal::JournalError;
use serde::Serialize;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal, $title:literal;)*) => {
        /// A stable word for what went wrong. Programs may rely on it; the table is in `docs/api.md`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code { $($(#[$doc])* $name),* }

        impl Code {
            /// All of them, in the order of the table.
            pub const ALL: &[Code] = &[$(Code::$name),*];

            /// The word itself, as in JSON.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text),* }
            }

            /// The status that it is answered with.
            pub fn status(self) -> StatusCode {
                let status: u16 = match self { $(Code::$name => $status),* };
                StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }

            /// A short title, the same for every occurrence.
            pub fn title(self) -> &'static str {
                match self { $(Code::$name => $title),* }
            }
        }
    };
}

codes! {
    /// The path, query or a header cannot be read.
    BadRequest = "bad_request", 400, "The request cannot be read";
    /// The body is not JSON, or not an object.
    InvalidJson = "invalid_json", 400, "The body is not a JSON object";
    /// Bytes that are not UTF-8.
    InvalidUtf8 = "invalid_utf8", 400, "The text is not valid UTF-8";
    /// A character that no text of ours may hold.
    ControlCharacter = "control_character", 400, "The text holds a control character";
    /// A field that the route does not know.
    UnknownField = "unknown_field", 400, "Unknown field";
    /// A query parameter that the route does not know.
    UnknownParameter = "unknown_parameter", 400, "Unknown query parameter";
    /// A field that must be there.
    MissingField = "missing_field", 400, "A field is missing";
    /// A field or parameter of the wrong type, size or content.
    InvalidField = "invalid_field", 400, "A field has a wrong value";
    /// `start_at` names no agent of the crew.
    UnknownAgent = "unknown_agent", 400, "No such agent";
    /// The `Host` is not one that this server answers to.
    HostNotAllowed = "host_not_allowed", 403, "This host name is not served";
    /// A web page of another origin made the request.
    OriginNotAllowed = "origin_not_allowed", 403, "Requests from this origin are not allowed";
    /// No such route.
    NotFound = "not_found", 404, "No such resource";
    /// No such crew.
    UnknownCrew = "unknown_crew", 404, "No such crew";
    /// No such run.
    UnknownRun = "unknown_run", 404, "No such run";
    /// No such thread.
    UnknownThread = "unknown_thread", 404, "No such thread";
    /// The route exists for other methods.
    MethodNotAllowed = "method_not_allowed", 405, "The method is not allowed here";
    /// The body did not arrive in time.
    BodyTimeout = "body_timeout", 408, "The body did not arrive in time";
    /// The run has ended.
    RunEnded = "run_ended", 409, "The run has ended";
    /// The run has not ended.
    RunNotEnded = "run_not_ended", 409, "The run has not ended";
    /// The run completed, so there is nothing to try again.
    RunCompleted = "run_completed", 409, "The run completed";
    /// No run can begin after that event.
    NotAStep = "not_a_step", 409, "No run can begin there";
    /// A retry would make calls again that may be made only once.
    WouldRepeat = "would_repeat", 409, "Calls would be made twice";
    /// The run waits for no answer.
    NotWaiting = "not_waiting", 409, "The run waits for no answer";
    /// The run has no such wait.
    UnknownWait = "unknown_wait", 409, "The run has no such wait";
    /// The wait has been answered.
    AlreadyAnswered = "already_answered", 409, "The wait has been answered";
    /// Several waits are open and the answer does not say which it is for.
    AmbiguousWait = "ambiguous_wait", 409, "Several waits are open";
    /// The answer does not fit the wait.
    WrongAnswer = "wrong_answer", 409, "The answer does not fit the wait";
    /// What the wait belonged to has ended.
    WaitClosed = "wait_closed", 409, "The wait is closed";
    /// The approval was decided in another way.
    AlreadyDecided = "already_decided", 409, "The approval has been decided otherwise";
    /// Nobody decided in time.
    ApprovalExpired = "approval_expired", 409, "The approval has expired";
    /// The decision names the digest of other arguments than those of the call.
    DigestMismatch = "digest_mismatch", 409, "The decision is about other arguments";
    /// The run is not paused by an operator.
    NotPaused = "not_paused", 409, "The run is not paused";
    /// The idempotency key was used for a request with another body.
    KeyReused = "idempotency_key_reused", 409, "The idempotency key stands for another request";
    /// The request with this idempotency key is being carried out.
    KeyInProgress = "idempotency_key_in_progress", 409, "The request is being carried out";
    /// Another run has not ended on the thread, or waits for its turn.
    ThreadBusy = "thread_busy", 409, "The thread is busy";
    /// The thread belongs to another crew.
    ThreadOfOtherCrew = "thread_of_other_crew", 409, "The thread belongs to another crew";
    /// A request brings a history to a thread that has one.
    ThreadHasHistory = "thread_has_history", 409, "The thread has a history of its own";
    /// There is a thread of this id.
    ThreadExists = "thread_exists", 409, "The thread exists already";
    /// The thread is that of one run, and goes with it.
    ThreadOfRun = "thread_of_run", 409, "The thread is that of a run";
    /// The run waits for its turn: it can only be cancelled.
    RunQueued = "run_queued", 409, "The run has not begun";
    /// The run was written by somebody else at the same time.
    RunConflict = "run_conflict", 409, "The run was changed at the same time";
    /// The body is larger than the server takes.
    BodyTooLarge = "body_too_large", 413, "The body is too large";
    /// The query or a path is longer than the server takes.
    UriTooLong = "uri_too_long", 414, "The address is too long";
    /// The content type is not JSON.
    NotJson = "not_json", 415, "The content type must be application/json";
    /// The answer, or the edited arguments, do not fit their JSON Schema; `field` is the place, as a JSON pointer; it is left out for the whole.
    SchemaViolation = "schema_violation", 422, "The value does not fit its schema";
    /// The crew has more agents and routes than a picture can show.
    GraphTooLarge = "graph_too_large", 422, "The crew is too large for a picture";
    /// Too many runs wait on the thread.
    ThreadQueueFull = "thread_queue_full", 429, "Too many runs wait on the thread";
    /// Our fault.
    Internal = "internal", 500, "Internal error";
    /// The run was written by a newer version.
    NeedsUpgrade = "needs_upgrade", 500, "The run was written by a newer version";
    /// The journal cannot be reached or written.
    JournalUnavailable = "journal_unavailable", 503, "The journal is unavailable";
    /// Too many runs are at work, and too many wait.
    TooManyRuns = "too_many_runs", 503, "Too many runs";
    /// The server is shutting down.
    ShuttingDown = "shutting_down", 503, "The server is shutting down";
}

/// One error as the client sees it: `{type, title, status, detail, code, field?, hint?}`. Source: RFC 9457.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What went wrong, for programs.
    pub code: Code,
    /// What went wrong this time, for people.
    pub detail: Cow<'static, str>,
    /// The field or parameter that is wrong, as a path: `history[2].role`.
    pub field: Option<String>,
    /// What to do about it.
    pub hint: Option<Cow<'static, str>>,
}

impl Problem {
    /// A problem without field and hint.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem { code, detail: detail.into(), field: None, hint: None }
    }

    /// The same, naming the field that is wrong.
    pub fn field(mut self, field: impl Into<String>) -> Problem {
        self.field = Some(field.into());
        self
    }

    /// The same, saying what to do.
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Problem {
        self.hint = Some(hint.into());
        self
    }

    /// Its JSON.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Body<'a> {
            r#type: String,
            title: &'a str,
            status: u16,
            detail: &'a str,
            code: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            field: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            hint: Option<&'a str>,
        }
        let body = Body {
            r#type: format!("urn:boathouse:problem:{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: &self.detail,
            code: self.code.as_str(),
            field: self.field.as_deref(),
            hint: self.hint.as_deref(),
        };
        // A struct of strings and numbers always serializes.
        serde_json::to_string(&body).unwrap_or_default()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let mut response = (status, self.to_json()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<JournalError> for Problem {
    fn from(error: JournalError) -> Problem {
        let detail = error.to_string();
        match error {
            JournalError::UnknownRun(_) => Problem::new(Code::UnknownRun, detail),
            JournalError::Conflict(_)
            | JournalError::Held(_)
            | JournalError::Repeated(_)
            | JournalError::Exists(_) => {
                Problem::new(Code::RunConflict, detail).hint("read the run again, then repeat the request")
            }
            JournalError::ThreadBusy(_) => thread_busy(detail),
            JournalError::ThreadQueueFull(_) => Problem::new(Code::ThreadQueueFull, detail),
            JournalError::QueueFull => too_many_runs(detail),
            JournalError::Unavailable(_) => {
                Problem::new(Code::JournalUnavailable, detail).hint("try again in a moment")
            }
            JournalError::Closed => shutting_down(),
            JournalError::NeedsUpgrade(_) => {
                Problem::new(Code::NeedsUpgrade, detail).hint("start a newer version of boathouse")
            }
            JournalError::Corrupt(_) => Problem::new(Code::Internal, detail),
        }
    }
}

impl From<StartError> for Problem {
    fn from(error: StartError) -> Problem {
        let detail = error.to_string();
        match error {
            StartError::UnknownCrew { .. } => {
                Problem::new(Code::UnknownCrew, detail).hint("GET /v1/crews lists the crews that are served")
            }
            StartError::UnknownAgent { .. } => Problem::new(Code::UnknownAgent, detail).field("start_at"),
            StartError::EmptyInput => {
                Problem::new(Code::MissingField, detail).field("input").hint("say what the crew is asked")
            }
            StartError::ThreadBusy { .. } => thread_busy(detail),
            StartError::OtherCrew { .. } => {
                Problem::new(Code::ThreadOfOtherCrew, detail).field("thread").hint("choose another thread")
            }
            StartError::HistoryOnThread(_) => Problem::new(Code::ThreadHasHistory, detail)
                .field("history")
                .hint("leave `history` out: the run begins with what was said on the thread"),
            StartError::ThreadQueueFull(_) => Problem::new(Code::ThreadQueueFull, detail)
                .field("thread")
                .hint("try again when some of them have ended"),
            StartError::TooManyRuns(_) => too_many_runs(detail),
            StartError::ShuttingDown => shutting_down(),
            StartError::Request(error) => error.into(),
            StartError::Journal(error) => error.into(),
        }
    }
}

impl From<ThreadError> for Problem {
    fn from(error: ThreadError) -> Problem {
        let detail = error.to_string();
        match error {
            ThreadError::UnknownCrew { .. } => Problem::new(Code::UnknownCrew, detail)
                .field("crew")
                .hint("GET /v1/crews lists the crews that are served"),
            ThreadError::Exists(_) => Problem::new(Code::ThreadExists, detail).field("id"),
            ThreadError::Journal(error) => error.into(),
        }
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Problem {
        let detail = error.to_string();
        match error {
            CommandError::UnknownRun(_) => Problem::new(Code::UnknownRun, detail),
            CommandError::NotEnded(_) => Problem::new(Code::RunNotEnded, detail).hint("cancel the run first"),
            CommandError::Refused(refused) => refused_problem(&refused),
            CommandError::ShuttingDown => shutting_down(),
            CommandError::Request(error) => error.into(),
            CommandError::Journal(error) => error.into(),
        }
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Problem {
        let detail = error.to_string();
        let problem = match error {
            RequestError::OtherBody => {
                Problem::new(Code::KeyReused, detail).hint("choose a new key for each new request")
            }
            RequestError::InProgress => {
                Problem::new(Code::KeyInProgress, detail).hint("try again in a moment")
            }
        };
        problem.field("idempotency-key")
    }
}

/// A command that the run does not take now.
fn refused_problem(refused: &Refused) -> Problem {
    let detail = refused.to_string();
    match refused {
        Refused::Queued => Problem::new(Code::RunQueued, detail).hint("wait for its begin, or cancel it"),
        Refused::Ended => Problem::new(Code::RunEnded, detail),
        Refused::NotWaiting => Problem::new(Code::NotWaiting, detail),
        Refused::UnknownWait(_) => Problem::new(Code::UnknownWait, detail).field("wait"),
        Refused::UnknownApproval(_) => Problem::new(Code::UnknownWait, detail).field("approval"),
        Refused::AlreadyAnswered(_) => Problem::new(Code::AlreadyAnswered, detail).field("wait"),
        Refused::Ambiguous(_) => Problem::new(Code::AmbiguousWait, detail)
            .field("wait")
            .hint("take one of the `waits` of GET /v1/runs/{id}"),
        Refused::WrongAnswer(_) => Problem::new(Code::WrongAnswer, detail),
        Refused::Closed(_) => Problem::new(Code::WaitClosed, detail),
        Refused::AlreadyDecided(_) => Problem::new(Code::AlreadyDecided, detail)
            .field("approval")
            .hint("the events of the run tell what was decided, and by whom"),
        Refused::Expired(_) => Problem::new(Code::ApprovalExpired, detail).field("approval"),
        Refused::OtherDigest(_) => {
            Problem::new(Code::DigestMismatch, detail).field("digest").hint("look at the arguments again")
        }
        Refused::DecidedTwice(_) => Problem::new(Code::InvalidField, detail).field("decisions"),
        Refused::DoesNotFit { at, .. } => {
            let problem = Problem::new(Code::SchemaViolation, detail);
            if at.is_empty() { problem } else { problem.field(at.clone()) }
        }
        Refused::NotPaused => Problem::new(Code::NotPaused, detail),
    }
}

fn thread_busy(detail: String) -> Problem {
    Problem::new(Code::ThreadBusy, detail)
        .field("thread")
        .hint("wait for its end, or start the run with `when_busy`: `enqueue` or `interrupt`")
}

pub(super) fn too_many_runs(detail: String) -> Problem {
    Problem::new(Code::TooManyRuns, detail).hint("try again in a moment")
}

fn shutting_down() -> Problem {
    Problem::new(Code::ShuttingDown, "the server is shutting down").hint("try again in a moment")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_the_field_and_what_to_do() {
        let problem =
            Problem::new(Code::UnknownField, "no field `inptu`").field("inptu").hint("did you mean `input`?");
        insta::assert_snapshot!(problem.to_json(), @r#"{"type":"urn:boathouse:problem:unknown_field","title":"Unknown field","status":400,"detail":"no field `inptu`","code":"unknown_field","field":"inptu","hint":"did you mean `input`?"}"#);
    }

    #[test]
    fn the_api_page_lists_every_code_with_its_status_and_no_other() {
        let page = include_str!("../../../../docs/api.md");
        let listed: Vec<(&str, &str)> = page
            .lines()
            .skip_while(|line| !line.starts_with("| code | status |"))
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .filter_map(|line| {
                let mut cells = line.split('|').map(str::trim).skip(1);
                Some((cells.next()?.trim_matches('`'), cells.next()?))
            })
            .collect();
        let known: Vec<(&str, String)> =
            Code::ALL.iter().map(|code| (code.as_str(), code.status().as_str().to_owned())).collect();
        let known: Vec<(&str, &str)> = known.iter().map(|(code, status)| (*code, status.as_str())).collect();
        assert_eq!(listed, known);
    }
}
