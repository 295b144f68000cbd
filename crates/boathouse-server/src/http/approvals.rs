//! Approvals: what waits for a person over all runs, and what people decide about it.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::Response;
use boathouse::core::ids::{RunId, Timestamp, WaitId};
use boathouse::core::run::approval::ApprovalDecision;
use boathouse::core::run::event::Answer;
use boathouse::journal::{WaitPlace, WaitQuery};
use serde_json::{Value, json};

use super::error::{Code, Problem};
use super::input::{self, Fields, LineBreaks, Query, invalid};
use super::page::{self, Page, plain_cursor, to_cursor};
use super::runs::{RunPath, answer_done};
use super::{App, door, idempotency};

/// Decisions in one request.
const MAX_DECISIONS: usize = 1000;
/// Characters of who decides.
const MAX_BY: usize = 200;

const KINDS: [&str; 3] = ["answer", "approval", "unknown_outcome"];
const DECISIONS: [&str; 7] = ["approve", "edit", "reject", "respond", "rerun", "done", "fail"];
const FIELDS: [&str; 7] = ["approval", "decision", "arguments", "reason", "result", "digest", "by"];

/// `GET /v1/approvals`: everything that waits for a person, oldest first, a page at a time.
pub(crate) async fn list(State(app): State<App>, request: Request) -> Result<Json<Value>, Problem> {
    let known = ["crew", "kind", "tool", "state", "limit", "cursor"];
    let query = Query::parse_strict(request.uri().query(), &known)?;
    let page = Page::of(&query)?;
    if let Some(state) = query.get("state").filter(|state| *state != "open") {
        let problem = invalid("state", "must be `open`");
        return Err(match state {
            "decided" | "closed" => problem.hint("the events of a run tell what was decided, and by whom"),
            _ => problem,
        });
    }
    let kind = query.get("kind");
    if kind.is_some_and(|kind| !KINDS.contains(&kind)) {
        return Err(invalid("kind", format!("must be one of {}", KINDS.join(", "))));
    }
    let wanted = WaitQuery {
        crew: query.get("crew").map(str::to_owned),
        kind: kind.map(str::to_owned),
        tool: query.get("tool").map(str::to_owned),
        after: page::place(&query, read_cursor)?,
        limit: page.look_for(),
    };
    let mut waits = app.engine().waits(&wanted).await?;
    let next = page.cut(&mut waits, |last| cursor(&last.place()));
    Ok(Json(json!({"approvals": waits, "next": next})))
}

fn cursor((at, run, wait): &WaitPlace) -> String {
    to_cursor(&format!("{}.{wait}.{run}", at.0))
}

fn read_cursor(text: &str) -> Option<WaitPlace> {
    let plain = plain_cursor(text)?;
    let (at, rest) = plain.split_once('.')?;
    let (wait, run) = rest.split_once('.')?;
    input::check_id("cursor", run).ok()?;
    Some((Timestamp(at.parse().ok()?), RunId::from(run), WaitId(wait.parse().ok()?)))
}

/// `POST /v1/runs/{run}/approvals`: one decision, or many of which all are taken or none.
pub(crate) async fn decide(
    State(app): State<App>,
    RunPath(run): RunPath,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = door::read_plain(&app, request).await?;
    let decisions = read_decisions(&body)?;
    let done = match idempotency::key(&parts, &body)? {
        None => {
            app.engine().decide(&run, decisions).await?;
            None
        }
        Some(key) => Some(app.engine().decide_once(&run, decisions, key).await?),
    };
    answer_done(&app, &run, done).await
}

/// Reads `{approval, decision, ...}` or `{decisions: [...]}`.
pub(crate) fn read_decisions(body: &[u8]) -> Result<Vec<ApprovalDecision>, Problem> {
    let known: Vec<&str> = FIELDS.into_iter().chain(["decisions"]).collect();
    let mut fields = Fields::parse(body, &known)?;
    let Some(list) = fields.take("decisions") else { return Ok(vec![read_decision(fields)?]) };
    if let Some(other) = FIELDS.into_iter().find(|name| fields.take(name).is_some()) {
        let hint = "put it into each of the `decisions`";
        return Err(invalid(other, "cannot stand beside `decisions`").hint(hint));
    }
    let list = match list {
        Value::Array(list) if list.is_empty() => {
            return Err(Problem::new(Code::MissingField, "`decisions` is empty").field("decisions"));
        }
        Value::Array(list) if list.len() > MAX_DECISIONS => {
            let detail = format!("has {} entries; {MAX_DECISIONS} are allowed", list.len());
            return Err(invalid("decisions", detail));
        }
        Value::Array(list) => list,
        _ => return Err(invalid("decisions", "must be a list")),
    };
    let decisions = list.into_iter().enumerate();
    decisions
        .map(|(place, entry)| read_decision(Fields::of(entry, &format!("decisions[{place}]"), &FIELDS)?))
        .collect()
}

fn read_decision(mut fields: Fields) -> Result<ApprovalDecision, Problem> {
    let at = |fields: &Fields, name: &str| fields.at(name);
    let missing = |at: String, why: &str| Problem::new(Code::MissingField, format!("`{at}` {why}")).field(at);
    let Some(wait) = fields.number("approval")? else {
        let hint = "take one of the `approvals` of GET /v1/runs/{run} or GET /v1/approvals";
        return Err(missing(at(&fields, "approval"), "is missing").hint(hint));
    };
    let decision = fields.required_text("decision")?;
    let arguments = match fields.take("arguments") {
        None => None,
        Some(Value::Object(arguments)) => {
            let at = at(&fields, "arguments");
            let arguments = Value::Object(arguments);
            input::check_value(&at, &arguments)?;
            Some(arguments)
        }
        Some(_) => return Err(invalid(&at(&fields, "arguments"), "must be an object")),
    };
    let (reason, result) = (fields.text("reason")?, fields.text("result")?);
    // What does not belong to a decision would be lost without a word.
    let foreign = |given: bool, name: &str, with: &str| match given {
        true => Err(invalid(&at(&fields, name), format!("belongs to {with} only"))),
        false => Ok(()),
    };
    if decision != "edit" {
        foreign(arguments.is_some(), "arguments", "`edit`")?;
    }
    if decision != "reject" {
        foreign(reason.is_some(), "reason", "`reject`")?;
    }
    if !matches!(decision.as_str(), "respond" | "done") {
        foreign(result.is_some(), "result", "`respond` and `done`")?;
    }
    let needs_result = |result: Option<String>| {
        result.ok_or_else(|| missing(at(&fields, "result"), "is missing: the agent is told this"))
    };
    let answer = match decision.as_str() {
        "approve" => Answer::Approve {},
        "edit" => match arguments {
            Some(arguments) => Answer::edit(arguments),
            None => return Err(missing(at(&fields, "arguments"), "is missing: the call is made with them")),
        },
        "reject" => Answer::Reject { reason },
        "respond" => Answer::Respond { output: needs_result(result)? },
        "rerun" => Answer::Rerun {},
        "done" => Answer::Done { output: needs_result(result)? },
        "fail" => Answer::Fail {},
        _ => {
            let problem =
                invalid(&at(&fields, "decision"), format!("must be one of {}", DECISIONS.join(", ")));
            return Err(problem);
        }
    };
    let digest = fields.text("digest")?;
    let by_at = at(&fields, "by");
    let by = fields.text("by")?;
    if let Some(by) = &by {
        input::check_text(&by_at, by, LineBreaks::Refused)?;
        if by.trim().is_empty() || by.chars().count() > MAX_BY {
            return Err(invalid(&by_at, format!("must have 1 to {MAX_BY} characters")));
        }
    }
    Ok(ApprovalDecision { wait: WaitId(wait), answer, digest, by })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_cursor_reads_back() {
        let place = (Timestamp(-5), RunId::from("a.b-c"), WaitId(7));
        assert_eq!(read_cursor(&cursor(&place)), Some(place));
        for wrong in ["", "zz", "31", "312e31"] {
            assert_eq!(read_cursor(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_field() {
        for (body, field) in [
            (r#"{}"#, "approval"),
            (r#"{"approval": 1}"#, "decision"),
            (r#"{"approval": 1, "decision": "yes"}"#, "decision"),
            (r#"{"approval": 1, "decision": "edit"}"#, "arguments"),
            (r#"{"approval": 1, "decision": "edit", "arguments": [1]}"#, "arguments"),
            (r#"{"approval": 1, "decision": "edit", "arguments": {"a": ["\u0000"]}}"#, "arguments"),
            (r#"{"approval": 1, "decision": "approve", "reason": "no"}"#, "reason"),
            (r#"{"approval": 1, "decision": "reject", "result": "x"}"#, "result"),
            (r#"{"approval": 1, "decision": "respond"}"#, "result"),
            (r#"{"approval": 1, "decision": "approve", "by": " "}"#, "by"),
            (r#"{"approval": 1, "decision": "approve", "by": "a\nb"}"#, "by"),
            (r#"{"decisions": []}"#, "decisions"),
            (r#"{"decisions": 1}"#, "decisions"),
            (r#"{"decisions": [{"approval": 1, "decision": "approve"}], "by": "me"}"#, "by"),
            (
                r#"{"decisions": [{"approval": 1, "decision": "approve"}, {"approval": "x"}]}"#,
                "decisions[1].approval",
            ),
            (r#"{"decisions": [{"approval": 1, "desicion": "approve"}]}"#, "decisions[0].desicion"),
        ] {
            let problem = read_decisions(body.as_bytes()).unwrap_err();
            assert_eq!(problem.field.as_deref(), Some(field), "{body}: {}", problem.detail);
        }
    }
}
