//! What a run does next, from the run alone.
//!
//! The order of the crew loop is here: tool calls, termination signal, routing signal, `wait_for_signal`, terminal,
//! `defaults`, hand-off targets. Nothing here remembers anything, so a run that was replayed decides as the one that
//! was never interrupted.

use crate::crew::{Agent, HandoffStyle, OnUnknown, Route, Signal, ToolCallStyle, ToolSpec};
use crate::ids::{BranchId, CallId, Timestamp, WaitId};
use crate::message::{CallStyle, Reply, ResultStatus, ToolCall, ToolResult};
use serde_json::Value;

use super::apply::OUTCOME_UNKNOWN;
use super::branch::{Branch, ModelCall, Round, Slot, SlotState, Step, Summarizing};
use super::event::{
    BranchEnd, CallEnd, Event, Outcome, PlannedCall, ReceiptLine, Target, Timer, Via, WaitFor,
};
use super::{Ending, MAX_TAKEOVERS, OperatorPause, Phase, Run, approval, group, prompt, signal, text_calls};

/// What a run does next.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// This is to be recorded; then ask again.
    Record(Event),
    /// These calls are to be in flight, and no others; then wait for the first of them, a command, or the time.
    Await {
        /// Calls that are wanted. A call in flight that is not among them is to be stopped.
        calls: Vec<Wanted>,
        /// When to record [`Event::TimedOut`], if nothing happens before.
        until: Option<(Timer, Timestamp)>,
    },
    /// Nothing, until a command comes: everything is paused, the run has ended, or its turn has not come.
    Rest {
        /// When an approval expires: ask again then.
        wake_at: Option<Timestamp>,
    },
}

/// A call that a run wants to be in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its id.
    pub call: CallId,
    /// The try, from 1.
    pub attempt: u32,
    /// Where.
    pub branch: BranchId,
    /// Whether the log says that it was started.
    pub started: bool,
    /// It may not start before.
    pub not_before: Option<Timestamp>,
}

/// Says what the run does next. A pure function of the run.
pub fn decide(run: &Run) -> Decision {
    match &run.phase {
        Phase::Queued | Phase::Ended(_) => return Decision::Rest { wake_at: None },
        Phase::Ending(_) if !run.open.is_empty() => {
            return Decision::Await { calls: Vec::new(), until: None };
        }
        Phase::Ending(Ending::Cancelled(reason)) => {
            return end(run, Outcome::Cancelled { reason: *reason, receipt: receipt(run) });
        }
        Phase::Ending(Ending::TimedOut) => return Decision::Record(limit_reached(run, "timeout_seconds")),
        Phase::Running if run.takeovers >= MAX_TAKEOVERS => return end(run, crash_loop()),
        Phase::Running => {}
    }
    match run.pause {
        OperatorPause::Paused => return rest(run),
        OperatorPause::Requested if run.open.is_empty() => return Decision::Record(Event::Paused {}),
        OperatorPause::Requested => {
            let calls = wanted(run).into_iter().filter(|wanted| wanted.started).collect();
            return until_the_first(run, calls);
        }
        OperatorPause::None => {}
    }
    if let Some(event) = run.branches.iter().find_map(|branch| branch_event(run, branch)) {
        return Decision::Record(event);
    }
    let calls = wanted(run);
    if calls.is_empty() && run.open.is_empty() {
        return rest(run);
    }
    until_the_first(run, calls)
}

/// Rests, unless an approval has expired already.
fn rest(run: &Run) -> Decision {
    match approval::expired(run, run.last_at) {
        Some(event) => Decision::Record(event),
        None => Decision::Rest { wake_at: approval::first_expiry(run).map(|(_, at)| at) },
    }
}

/// Waits for calls, unless a time limit has passed already.
fn until_the_first(run: &Run, calls: Vec<Wanted>) -> Decision {
    let until = first_timer(run);
    match until {
        Some((timer, at)) if at <= run.last_at => Decision::Record(Event::TimedOut { timer }),
        _ => Decision::Await { calls, until },
    }
}

/// The time limit that passes first: those of work are counted in active time, those of approvals are not.
fn first_timer(run: &Run) -> Option<(Timer, Timestamp)> {
    let after = |limit: u64, active: u64| run.last_at.plus_millis(limit.saturating_sub(active));
    let of_run = run.is_busy().then(|| (Timer::Run, after(run.timeout_ms(), run.active_ms)));
    let of_groups = run.branches.iter().filter_map(|branch| match &branch.step {
        Step::Group(group) if group.closing.is_none() && run.children(branch).any(Branch::is_busy) => {
            let limit = run.crew.group(group.group).timeout_ms;
            Some((Timer::Group(branch.id), after(limit, group.active_ms)))
        }
        _ => None,
    });
    let of_waits = approval::first_expiry(run);
    of_run.into_iter().chain(of_groups).chain(of_waits).min_by_key(|(_, at)| *at)
}

/// All calls that should be in flight.
fn wanted(run: &Run) -> Vec<Wanted> {
    let mut calls = Vec::new();
    for branch in &run.branches {
        match &branch.step {
            Step::Calling(_) | Step::Summarizing(_) | Step::Round(_) if run.is_stopping(branch.id) => {}
            Step::Calling(model) => calls.push(want_model(branch, model)),
            Step::Summarizing(summary) if summary.gave.is_none() => {
                calls.push(want_model(branch, &summary.call));
            }
            Step::Round(round) => {
                let at_once = run.crew.settings.tool_concurrency.max(1);
                calls.extend(round.slots.iter().filter_map(|slot| want(branch, slot)).take(at_once));
            }
            Step::Summarizing(_)
            | Step::Replied { .. }
            | Step::Transfer(_)
            | Step::Group(_)
            | Step::Joined { .. }
            | Step::Waiting(_)
            | Step::Failed { .. }
            | Step::Limited(_)
            | Step::Ended(_) => {}
        }
    }
    calls
}

fn want_model(branch: &Branch, model: &ModelCall) -> Wanted {
    Wanted {
        call: model.call,
        attempt: model.attempt,
        branch: branch.id,
        started: model.started,
        not_before: model.not_before,
    }
}

fn want(branch: &Branch, slot: &Slot) -> Option<Wanted> {
    let (attempt, started) = match slot.state {
        SlotState::Wanted { attempt } => (attempt, false),
        SlotState::InFlight { attempt } => (attempt, true),
        SlotState::Unapproved
        | SlotState::Proposed { .. }
        | SlotState::Decided(_)
        | SlotState::Unknown { .. }
        | SlotState::Asked { .. }
        | SlotState::Settled(_) => return None,
    };
    Some(Wanted { call: slot.call.call, attempt, branch: branch.id, started, not_before: None })
}

/// What is to be recorded about a branch, if anything is.
fn branch_event(run: &Run, branch: &Branch) -> Option<Event> {
    if let Step::Round(round) = &branch.step
        && let Some(event) = unknown_outcome(run, branch, round)
    {
        return Some(event);
    }
    if run.is_stopping(branch.id) {
        return group::stop_branch(run, branch);
    }
    match &branch.step {
        Step::Calling(model) if !model.started => {
            let dropped = branch.outgrown(&run.crew.settings)?;
            Some(match run.crew.settings.summarize {
                true => Event::HistoryOutgrown { branch: branch.id, messages: dropped },
                false => Event::HistoryTrimmed { branch: branch.id, dropped, summary: None, failed: None },
            })
        }
        Step::Summarizing(Summarizing { call, to, gave, .. }) => {
            let (summary, failed) = match gave.as_ref()? {
                Ok(_) => (Some(call.call), None),
                Err(error) => (None, Some(error.clone())),
            };
            Some(Event::HistoryTrimmed { branch: branch.id, dropped: *to, summary, failed })
        }
        Step::Replied { reply } => Some(after_reply(run, branch, reply)),
        Step::Round(round) => approval::next(run, branch, round),
        Step::Transfer(target) => {
            let route = match target {
                Target::Agent(agent) => run.crew.find_agent(agent.as_str()).map(Route::Agent),
                Target::Group(group) => run.crew.find_group(group).map(Route::Group),
            };
            Some(take(run, branch, route.unwrap_or(Route::End), Via::Transfer))
        }
        Step::Group(step) => group::next(run, branch, step),
        Step::Joined { group, completed, closing, first_failure, output } => {
            let group = run.crew.group(*group);
            if let Some(error) = group::failure(group, *completed, *closing, first_failure.as_deref()) {
                return Some(ended(run, Outcome::Failed { code: "parallel_failed".to_owned(), error }));
            }
            Some(match group.next_agent {
                Some(agent) => take(run, branch, Route::Agent(agent), Via::NextAgent),
                None => ended(run, Outcome::Completed { output: output.clone() }),
            })
        }
        Step::Failed { code, error } => Some(match branch.parent {
            Some(_) => {
                Event::BranchEnded { branch: branch.id, end: BranchEnd::Failed { error: error.clone() } }
            }
            None => ended(run, Outcome::Failed { code: (*code).to_owned(), error: error.clone() }),
        }),
        Step::Limited(limit) => Some(match branch.parent {
            Some(_) => Event::BranchEnded {
                branch: branch.id,
                end: BranchEnd::LimitReached { limit: limit.clone() },
            },
            None => limit_reached(run, limit),
        }),
        Step::Calling(_) | Step::Waiting(_) | Step::Ended(_) => None,
    }
}

/// What follows a reply: DESIGN's order of the crew loop.
fn after_reply(run: &Run, branch: &Branch, reply: &Reply) -> Event {
    let agent = run.crew.agent(branch.agent);
    if let Some(round) = plan_round(run, branch, agent, reply) {
        return round;
    }
    if branch.parent.is_some() {
        return Event::BranchEnded { branch: branch.id, end: BranchEnd::Completed {} };
    }
    if let Some((route, signal)) = find_signal(run.crew.handoff, agent, &reply.text) {
        return take(run, branch, route, Via::Signal(signal.text.clone()));
    }
    if agent.wait_for_signal {
        return Event::WaitOpened {
            wait: WaitId(run.next_wait),
            branch: branch.id,
            agent: agent.id.clone(),
            what: WaitFor::Answer { schema: agent.answer_schema.clone() },
        };
    }
    if agent.terminal {
        return take(run, branch, Route::End, Via::Default);
    }
    match (agent.default_route, agent.handoff_targets.first()) {
        (Some(route), _) => take(run, branch, route, Via::Default),
        (None, Some(target)) => take(run, branch, Route::Agent(*target), Via::HandoffTarget),
        (None, None) => take(run, branch, Route::End, Via::Default),
    }
}

/// Termination signals come first, then those that route. Where hand-offs are tools, only termination is written.
fn find_signal<'a>(style: HandoffStyle, agent: &'a Agent, text: &str) -> Option<(Route, &'a Signal)> {
    if agent.signals.is_empty() {
        return None;
    }
    let (ends, routes): (Vec<Signal>, Vec<Signal>) =
        agent.signals.iter().cloned().partition(|signal| signal.route == Route::End);
    let found = signal::find(text, &ends).or_else(|| match style {
        HandoffStyle::Signal | HandoffStyle::Auto => signal::find(text, &routes),
        HandoffStyle::Tool => None,
    })?;
    agent.signals.iter().find(|signal| *signal == found).map(|signal| (signal.route, signal))
}

/// Takes a route, if the run may take another one.
fn take(run: &Run, branch: &Branch, route: Route, via: Via) -> Event {
    let from = run.crew.agent(branch.agent).id.clone();
    match route {
        Route::End => ended(run, Outcome::Completed { output: last_words(run) }),
        Route::Agent(_) | Route::Group(_) if run.handoffs >= run.max_handoffs() => {
            limit_reached(run, "max_handoffs")
        }
        Route::Agent(to) => Event::HandedOff { branch: branch.id, from, to: run.agent_id(to), via },
        Route::Group(group) => {
            let group = run.crew.group(group);
            let first = run.branches.len() as u32;
            let branches = (first..).map(BranchId).zip(group.agents.iter().map(|agent| run.agent_id(*agent)));
            Event::Forked {
                branch: branch.id,
                group: group.name.clone(),
                from,
                via,
                branches: branches.collect(),
            }
        }
    }
}

/// The round that a reply asks for, if it asks for one.
fn plan_round(run: &Run, branch: &Branch, agent: &Agent, reply: &Reply) -> Option<Event> {
    let mut calls = asked_calls(run, agent, reply);
    if calls.is_empty() {
        return None;
    }
    if branch.rounds >= run.max_rounds() {
        for planned in &mut calls {
            planned.settled = Some(refused(planned.call.call, "not run: max_rounds".to_owned()));
        }
        let limit = Some("max_rounds".to_owned());
        return Some(Event::RoundStarted { branch: branch.id, calls, transfer: None, limit });
    }
    let transfer = if branch.parent.is_none() { settle_transfers(run, branch, &mut calls) } else { None };
    for planned in calls.iter_mut().filter(|planned| planned.settled.is_none()) {
        match find_tool(run, agent, &planned.call.tool) {
            Some(spec) => planned.approval = spec.approval.is_needed(&planned.call.arguments),
            None => {
                let why = not_found(run, agent, &planned.call.tool);
                planned.settled = Some(refused(planned.call.call, why));
            }
        }
    }
    Some(Event::RoundStarted { branch: branch.id, calls, transfer, limit: None })
}

/// The calls of a reply: native ones, else those written in its text.
fn asked_calls(run: &Run, agent: &Agent, reply: &Reply) -> Vec<PlannedCall> {
    let ids = (run.next_call..).map(CallId);
    if !reply.calls.is_empty() {
        let native = reply.calls.iter().zip(ids).map(|(native, call)| {
            let raw = if native.arguments.trim().is_empty() { "{}" } else { &native.arguments };
            let (arguments, problem) = match serde_json::from_str::<Value>(raw) {
                Ok(arguments @ Value::Object(_)) => (arguments, None),
                Ok(other) => (other, Some("the arguments must be one JSON object".to_owned())),
                Err(error) => (
                    Value::String(native.arguments.clone()),
                    Some(format!("the arguments are not valid JSON ({error}); write one JSON object")),
                ),
            };
            let id = if native.id.is_empty() { format!("call_{call}") } else { native.id.clone() };
            let settled = problem.map(|problem| refused(call, problem));
            let tool = native.tool.clone();
            let call = ToolCall { call, id, tool, arguments, style: CallStyle::Native };
            PlannedCall { call, settled, approval: false }
        });
        return native.collect();
    }
    if agent.tool_calls == ToolCallStyle::Native || agent.tools.is_empty() {
        return Vec::new();
    }
    let specs: Vec<&ToolSpec> = agent.tools.iter().map(|tool| &*run.crew.tool(*tool).spec).collect();
    let written = text_calls::parse(&reply.text, &specs).into_iter().zip(ids).map(|(written, call)| {
        let (arguments, settled) = match written.arguments {
            Ok(arguments) => (arguments, None),
            Err(problem) => {
                let raw = reply.text.get(written.range).unwrap_or_default();
                (Value::String(raw.to_owned()), Some(refused(call, problem)))
            }
        };
        let id = format!("call_{call}");
        PlannedCall {
            call: ToolCall { call, id, tool: written.tool, arguments, style: CallStyle::Text },
            settled,
            approval: false,
        }
    });
    written.collect()
}

/// Gives transfers among the calls their result; the first one is the route to take after the round.
fn settle_transfers(run: &Run, branch: &Branch, calls: &mut [PlannedCall]) -> Option<Target> {
    let offered = prompt::transfers(&run.crew, branch.agent);
    let mut taken = None;
    for planned in calls {
        let Some((_, route, _)) = offered.iter().find(|(name, ..)| *name == planned.call.tool) else {
            continue;
        };
        let call = planned.call.call;
        planned.settled = Some(match &taken {
            Some(_) => refused(call, "not transferred: the first transfer of a reply counts".to_owned()),
            None => {
                taken = match *route {
                    Route::Agent(agent) => Some(Target::Agent(run.agent_id(agent))),
                    Route::Group(group) => Some(Target::Group(run.crew.group(group).name.clone())),
                    Route::End => None,
                };
                let to = run.crew.route_name(*route).unwrap_or("the end");
                ToolResult { call, status: ResultStatus::Success, output: format!("transferred to {to}") }
            }
        });
    }
    taken
}

fn find_tool<'a>(run: &'a Run, agent: &Agent, name: &str) -> Option<&'a ToolSpec> {
    agent.tools.iter().map(|tool| &*run.crew.tool(*tool).spec).find(|spec| spec.name == name)
}

fn not_found(run: &Run, agent: &Agent, name: &str) -> String {
    let names: Vec<&str> = agent.tools.iter().map(|tool| run.crew.tool(*tool).spec.name.as_str()).collect();
    match &names[..] {
        [] => format!("Tool {name} not found; there are no tools"),
        names => format!("Tool {name} not found; the tools are {}", names.join(", ")),
    }
}

fn refused(call: CallId, output: String) -> ToolResult {
    ToolResult { call, status: ResultStatus::Error, output }
}

/// What follows for the first call of a round that ended without a known outcome.
fn unknown_outcome(run: &Run, branch: &Branch, round: &Round) -> Option<Event> {
    let (slot, end) = round.slots.iter().find_map(|slot| match slot.state {
        SlotState::Unknown { end, .. } => Some((slot, end)),
        _ => None,
    })?;
    let call = slot.call.call;
    let on_unknown = slot.tool.map_or(OnUnknown::Ask, |tool| run.crew.tool(tool).spec.on_unknown);
    let result = match on_unknown {
        OnUnknown::Ask => {
            return Some(Event::WaitOpened {
                wait: WaitId(run.next_wait),
                branch: branch.id,
                agent: run.agent_id(branch.agent),
                what: WaitFor::UnknownOutcome {
                    call,
                    tool: slot.call.tool.clone(),
                    arguments: slot.call.arguments.clone(),
                    end,
                },
            });
        }
        OnUnknown::Fail | OnUnknown::Rerun => refused(call, OUTCOME_UNKNOWN.to_owned()),
        OnUnknown::AssumeDone => ToolResult {
            call,
            status: ResultStatus::Success,
            output: "assumed done: the call was made, and its outcome is not known".to_owned(),
        },
    };
    Some(Event::ToolReturned { branch: branch.id, result, took_ms: 0 })
}

/// The last reply of the main branch without its closing signal.
fn last_words(run: &Run) -> String {
    let main = run.main();
    signal::strip_closing(&main.last_reply, &run.crew.agent(main.agent).signals)
}

fn limit_reached(run: &Run, limit: &str) -> Event {
    ended(run, Outcome::LimitReached { limit: limit.to_owned(), output: last_words(run) })
}

fn ended(run: &Run, outcome: Outcome) -> Event {
    Event::RunEnded { outcome, usage: run.usage }
}

fn crash_loop() -> Outcome {
    let error = format!(
        "{MAX_TAKEOVERS} processes in a row ended while they drove this run, without a step forward: one of its calls \
         may be what ends them"
    );
    Outcome::Failed { code: "crash_loop".to_owned(), error }
}

fn end(run: &Run, outcome: Outcome) -> Decision {
    Decision::Record(ended(run, outcome))
}

/// What became of each call that was in flight, and of those whose outcome was unknown already.
fn receipt(run: &Run) -> Vec<ReceiptLine> {
    let mut lines = run.receipt.clone();
    for branch in &run.branches {
        let Step::Round(round) = &branch.step else { continue };
        for slot in &round.slots {
            if matches!(slot.state, SlotState::Unknown { .. } | SlotState::Asked { .. }) {
                lines.push(ReceiptLine {
                    call: slot.call.call,
                    agent: run.agent_id(branch.agent),
                    tool: Some(slot.call.tool.clone()),
                    end: CallEnd::Unknown,
                });
            }
        }
    }
    lines
}
