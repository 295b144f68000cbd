//! Whether what people are asked, and what they say, fits the schemas of tools and of answers. The core knows no schemas.

use std::time::Duration;

use boathouse_core::Run;
use boathouse_core::ids::WaitId;
use boathouse_core::message::{ResultStatus, ToolResult};
use boathouse_core::run::admit::Refused;
use boathouse_core::run::branch::CallPlace;
use boathouse_core::run::event::{Answer, Event, WaitFor};
use serde_json::Value;

use crate::tool::CallLimits;
use crate::tool::arguments::{Arguments, Violations, validator};
use crate::tool::call::cap;

/// Nobody is asked about a call that would be refused for its arguments all the same: in place of the question its
/// result is recorded. Every other event stays as it is.
pub(super) fn before_asking(run: &Run, event: Event) -> Event {
    let Event::WaitOpened { branch, what: WaitFor::Approval { call, arguments, .. }, .. } = &event else {
        return event;
    };
    let Some(CallPlace::Tool(_, slot)) = run.find_call(*call) else { return event };
    let Some(spec) = slot.tool.map(|tool| &run.crew().tool(tool).spec) else { return event };
    // A broken schema refuses each call and says so; then it is the person who hears of the call first.
    let Ok(schema) = Arguments::compile(&spec.parameters) else { return event };
    let Err(why) = schema.check(&spec.name, arguments) else { return event };
    let limits = CallLimits::of(spec, &run.crew().settings, Duration::ZERO);
    let output = cap(why, limits.max_output_bytes);
    let result = ToolResult { call: *call, status: ResultStatus::Error, output };
    Event::ToolReturned { branch: *branch, result, took_ms: 0 }
}

/// Checks the answers and the edited arguments among events that are about to be recorded.
pub(super) fn check(run: &Run, events: &[Event]) -> Result<(), Refused> {
    for event in events {
        let Event::Answered { wait, answer, .. } = event else { continue };
        let Some(open) = run.waits().iter().find(|open| open.wait == *wait) else { continue };
        match (&open.what, answer) {
            (WaitFor::Answer { schema: Some(schema) }, Answer::Text { text }) => {
                answer_fits(*wait, schema, text)?;
            }
            (WaitFor::Approval { call, tool, .. }, Answer::Edit { arguments, .. }) => {
                let Some(CallPlace::Tool(_, slot)) = run.find_call(*call) else { continue };
                let Some(ix) = slot.tool else { continue };
                let schema = &run.crew().tool(ix).spec.parameters;
                let found = violations(schema, arguments, "(arguments)");
                let what =
                    || format!("the edited arguments of approval {wait} do not fit the schema of `{tool}`");
                refuse(*wait, found, what)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// An answer is text. It fits if it does as that text, or as the JSON that it is.
fn answer_fits(wait: WaitId, schema: &Value, text: &str) -> Result<(), Refused> {
    let as_text = violations(schema, &Value::from(text), "(answer)");
    if as_text.is_none() {
        return Ok(());
    }
    let found = match serde_json::from_str::<Value>(text) {
        Ok(value) => violations(schema, &value, "(answer)"),
        Err(_) => as_text,
    };
    refuse(wait, found, || "the answer does not fit what the agent asked for".to_owned())
}

/// A schema that cannot be compiled fits nothing; the check of crews tells of it, so this is one of an older crew.
fn violations(schema: &Value, value: &Value, whole: &str) -> Option<Violations> {
    match validator(schema) {
        Ok(schema) => Violations::of(&schema, value, whole),
        Err(why) => Some(Violations { first: String::new(), list: format!(" the schema is broken: {why}") }),
    }
}

fn refuse(wait: WaitId, found: Option<Violations>, what: impl FnOnce() -> String) -> Result<(), Refused> {
    match found {
        None => Ok(()),
        Some(Violations { first, list }) => {
            Err(Refused::DoesNotFit { wait, at: first, why: format!("{}:{list}", what()) })
        }
    }
}
