//! A call from the run's side: what it takes to make it, and what its failure leads to.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde_json::Value;

use crate::crew::ToolIx;
use crate::ids::{AgentId, CallId, Timestamp};
use crate::message::{Message, Reply};

use super::Run;
use super::branch::{CallPlace, Step};
use super::decide::Wanted;
use super::event::{CallError, CallKind, Event, NextAttempt};
use super::prompt;
use super::request::ModelRequest;

/// What has to be done for a call.
#[derive(Clone, Debug)]
pub enum Work {
    /// Ask a model.
    Model(Box<ModelRequest>),
    /// Run a tool.
    Tool(ToolWork),
}

/// A tool call to be made.
#[derive(Clone, Debug)]
pub struct ToolWork {
    /// The tool.
    pub tool: ToolIx,
    /// Its arguments, not validated yet.
    pub arguments: Value,
    /// Whose call it is.
    pub agent: AgentId,
    /// The conversation as the agent's branch has it.
    pub history: rpds::VectorSync<Arc<Message>>,
}

/// The event that announces a wanted call, and the work itself; `None` if the run does not want it.
pub fn start(run: &Run, wanted: &Wanted) -> Option<(Event, Work)> {
    let place = run.find_call(wanted.call)?;
    let agent = run.agent_id(place.branch().agent);
    let (kind, work) = match place {
        CallPlace::Model(..) => {
            let request = prompt::build(run, wanted.call)?;
            let mark = prompt::mark(&request);
            let (model, purpose) = (request.model.clone(), request.purpose);
            (CallKind::Model { model, prompt: mark, purpose }, Work::Model(Box::new(request)))
        }
        CallPlace::Tool(branch, slot) => {
            let tool = slot.tool?;
            let kind = CallKind::Tool {
                tool: slot.call.tool.clone(),
                arguments: slot.call.arguments.clone(),
                effect: run.crew.tool(tool).spec.effect,
            };
            let work = ToolWork {
                tool,
                arguments: slot.call.arguments.clone(),
                agent: agent.clone(),
                history: branch.history.clone(),
            };
            (kind, Work::Tool(work))
        }
    };
    let Wanted { call, attempt, branch, .. } = *wanted;
    Some((Event::CallStarted { call, attempt, branch, agent, kind }, work))
}

/// What the next driver of a run records first, unless the run rests: calls in flight are lost, and the time in which
/// nobody drove the run does not count.
pub fn taken_over(run: &Run) -> Option<Event> {
    let lost: Vec<CallId> = run.open_calls().map(|(call, _)| call).collect();
    (run.is_busy() || !lost.is_empty()).then_some(Event::TakenOver { lost })
}

/// What a model's reply is to the run; `None` if no such call is in flight.
pub fn replied(run: &Run, call: CallId, reply: Reply, took_ms: u64) -> Option<Event> {
    let CallPlace::Model(branch, model) = run.find_call(call)? else { return None };
    let (attempt, agent, branch_id) = (model.attempt, run.agent_id(branch.agent), branch.id);
    Some(match branch.step {
        Step::Summarizing(_) => Event::Summarized { call, attempt, branch: branch_id, agent, reply, took_ms },
        _ => Event::ModelReplied { call, attempt, branch: branch_id, agent, reply, took_ms },
    })
}

/// What the failure of a model call's try leads to; `None` if no such try is in flight.
///
/// A failure that may pass is tried again on the same model after a pause that doubles, is spread by a hash of the
/// ids, and is never shorter than the peer asked for. Then, and for other failures, comes the next model of the agent.
pub fn attempt_failed(
    run: &Run,
    call: CallId,
    error: CallError,
    took_ms: u64,
    now: Timestamp,
) -> Option<Event> {
    let CallPlace::Model(branch, model) = run.find_call(call)? else { return None };
    let tries = model.tries_on_model + 1;
    let asked_ms = error.retry_after_ms.unwrap_or(0);
    let left_ms = run.timeout_ms().saturating_sub(run.active_ms);
    let again = error.kind.is_transient() && tries < run.crew.settings.model_attempts && asked_ms < left_ms;
    let backup = model.model + 1 < run.models(branch.agent).len();
    let next = if again {
        let pause = backoff_ms(run, call, model.attempt, tries).max(asked_ms);
        NextAttempt::Again { at: now.plus_millis(pause) }
    } else if backup {
        NextAttempt::Backup {}
    } else {
        NextAttempt::GiveUp {}
    };
    Some(Event::AttemptFailed { call, attempt: model.attempt, error, next, took_ms })
}

/// Between half and all of the doubled pause. A hash takes the place of chance, so that replays agree.
fn backoff_ms(run: &Run, call: CallId, attempt: u32, tries: u32) -> u64 {
    let (least, most) = run.crew.settings.retry_backoff_ms;
    let full = least.saturating_mul(1 << (tries - 1).min(20)).min(most);
    let mut hasher = DefaultHasher::new();
    (run.id.as_str(), call, attempt).hash(&mut hasher);
    full / 2 + hasher.finish() % (full / 2 + 1)
}
