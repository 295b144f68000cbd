//! A new run from a step of another one.
//!
//! Its log begins with copies of that run's events, numbered as they were, so it stands alone: recovery, streams and
//! replay know nothing of forks, and the other run may be deleted. A step is the number of an event after which no call
//! is in flight. The time of the new run begins with it: every copy is recorded now, and approvals expire as late after
//! it as they did after they were asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::crew::{Crew, Effect, Model, problem};
use crate::ids::{AgentId, CallId, RunId, Seq, ThreadId, Timestamp, WaitId};
use crate::message::Finish;

use super::admit::{Command, Refused, admit};
use super::branch::CallPlace;
use super::decide::{Decision, decide};
use super::event::{
    Answer, CallKind, Event, FORMAT, ForkedFrom, OnDisconnect, Outcome, Recorded, RunLimits, RunStarted,
    Timer, WaitFor,
};
use super::{OperatorPause, Phase, ReplayError, Run};

/// The run that is forked.
#[derive(Clone, Debug)]
pub struct Parent<'a> {
    /// Its id.
    pub run: RunId,
    /// The crew that it began with.
    pub crew: Arc<Crew>,
    /// Its log, from the first event.
    pub log: &'a [Recorded],
}

/// The run to be made.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// Its id.
    pub run: RunId,
    /// The conversation it belongs to.
    pub thread: ThreadId,
    /// When it begins.
    pub now: Timestamp,
}

/// What a fork does otherwise than the run that it comes from. What is not given stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edits {
    /// What the run is asked.
    pub input: Option<String>,
    /// What the model replied at the step; tool calls of that reply are gone.
    pub reply: Option<String>,
    /// What a person says to a wait that is open at the step.
    pub answer: Option<(Option<WaitId>, Answer)>,
    /// The model that every agent asks from there on, without a backup.
    pub model: Option<Model>,
    /// The same for single agents.
    pub models: BTreeMap<AgentId, Model>,
    /// Limits, instead of those of the request.
    pub limits: Option<RunLimits>,
    /// The caller's own labels, instead of those of the run.
    pub metadata: Option<BTreeMap<String, Value>>,
    /// What happens when nobody watches the new run any more; it goes on if this is not given.
    pub on_disconnect: Option<OnDisconnect>,
}

/// A new run that was forked from another.
#[derive(Clone, Debug)]
pub struct Fork {
    /// The run.
    pub run: Run,
    /// Its log so far. No call in it is in flight.
    pub log: Vec<Recorded>,
}

/// A fork that cannot be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ForkRefused {
    /// The run has no such event.
    #[error("the run has no event {at}; its last one is {last}")]
    NoSuchStep {
        /// What was asked for.
        at: Seq,
        /// The last event.
        last: Seq,
    },
    /// No new run can begin after this event.
    #[error("no run can begin after event {at}: {why}; {}", nearest(*.before, *.after))]
    NotAStep {
        /// What was asked for.
        at: Seq,
        /// Why.
        why: &'static str,
        /// The nearest step before it.
        before: Option<Seq>,
        /// The nearest step after it.
        after: Option<Seq>,
    },
    /// The event is no reply.
    #[error("event {0} is no model's reply, so there is none to replace")]
    NotAReply(Seq),
    /// The answer does not fit.
    #[error("{0}")]
    Answer(#[from] Refused),
    /// A retry of a run that has not ended.
    #[error("the run has not ended")]
    NotEnded,
    /// A retry of a run that completed.
    #[error("the run completed: there is nothing to try again")]
    Completed,
    /// A retry would make calls again that may be made only once.
    #[error(
        "trying the run again from event {at} would repeat {}, which may be made only once",
        calls.iter().map(|(call, tool)| format!("call {call} of {tool}")).collect::<Vec<_>>().join(", ")
    )]
    WouldRepeat {
        /// The step from which it would go on.
        at: Seq,
        /// The calls and their tools.
        calls: Vec<(CallId, String)>,
    },
    /// A model for an agent that the crew does not have.
    #[error("crew `{crew}` has no agent `{agent}`{}", hint.as_ref().map_or_else(String::new, |hint| format!("; {hint}")))]
    UnknownAgent {
        /// The crew.
        crew: String,
        /// What was asked for.
        agent: AgentId,
        /// A suggestion.
        hint: Option<String>,
    },
    /// The input or the reply is blank.
    #[error("the {0} is empty")]
    Empty(&'static str),
    /// The log cannot be read.
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

fn nearest(before: Option<Seq>, after: Option<Seq>) -> String {
    match (before, after) {
        (Some(before), Some(after)) => format!("the nearest where one can are {before} and {after}"),
        (Some(only), None) | (None, Some(only)) => format!("the nearest where one can is {only}"),
        (None, None) => "there is none where one can".to_owned(),
    }
}

/// Makes a new run from a step of another. Without `at` it is the step that the edits speak of: the last open wait for
/// an answer, the last reply for a reply, the first event for an input; else the last one from which things can go
/// otherwise.
pub fn fork(parent: &Parent<'_>, fresh: &Fresh, at: Option<Seq>, edits: &Edits) -> Result<Fork, ForkRefused> {
    let steps = steps(parent)?;
    let at = match at {
        Some(at) => asked_step(&steps, at)?,
        None => last_step(&steps, edits)?,
    };
    begin(parent, fresh, at, &[], edits)
}

/// Makes a run again that failed, reached a limit or was cancelled, from the last step from which things can go
/// otherwise.
///
/// If calls that may be made only once were started since then, a run that was stopped from outside goes on from where it
/// was stopped, as after a crash: such calls that gave no result are lost, and none is made again by itself. Another run is
/// refused.
pub fn retry(parent: &Parent<'_>, fresh: &Fresh, edits: &Edits) -> Result<Fork, ForkRefused> {
    let (steps, whole) = fold(parent)?;
    match whole.outcome() {
        None => return Err(ForkRefused::NotEnded),
        Some(Outcome::Completed { .. }) => return Err(ForkRefused::Completed),
        Some(Outcome::Cancelled { .. } | Outcome::Failed { .. } | Outcome::LimitReached { .. }) => {}
    }
    let at = last_where(&steps, |step| step.is_open).unwrap_or(Seq(1));
    let once = once_calls(&parent.log[place(at) + 1..]);
    if once.is_empty() {
        return begin(parent, fresh, at, &[], edits);
    }
    let stopped = parent.log.iter().position(|recorded| stops_run(&recorded.event));
    let Some((stopped, rest)) = stopped.map(|stopped| (stopped, &parent.log[stopped..])) else {
        return Err(ForkRefused::WouldRepeat { at, calls: once });
    };
    let ends = rest.iter().map(|recorded| recorded.event.clone()).filter(|event| match event {
        Event::ToolReturned { result, .. } => once.iter().any(|(call, _)| *call == result.call),
        Event::CallStopped { call, .. } => once.iter().any(|(once, _)| once == call),
        _ => false,
    });
    begin(parent, fresh, Seq(stopped as u64), &ends.collect::<Vec<Event>>(), edits)
}

/// Whether the event is what ends a run from outside.
fn stops_run(event: &Event) -> bool {
    matches!(event, Event::CancelRequested { .. } | Event::TimedOut { timer: Timer::Run })
}

/// The `once` calls that these events start, with their tools.
fn once_calls(events: &[Recorded]) -> Vec<(CallId, String)> {
    let started = events.iter().filter_map(|recorded| match &recorded.event {
        Event::CallStarted { call, kind: CallKind::Tool { tool, effect: Effect::Once, .. }, .. } => {
            Some((*call, tool.clone()))
        }
        _ => None,
    });
    started.collect()
}

/// What can be done after an event.
#[derive(Clone, Copy, Debug, Default)]
struct Step {
    /// Why no run can begin here.
    barred: Option<&'static str>,
    /// A model replied.
    is_reply: bool,
    /// A person is waited for.
    is_wait: bool,
    /// What follows depends on a model, a tool or a person.
    is_open: bool,
}

/// The place of an event in the log.
fn place(at: Seq) -> usize {
    usize::try_from(at.0).unwrap_or(usize::MAX).saturating_sub(1)
}

fn steps(parent: &Parent<'_>) -> Result<Vec<Step>, ForkRefused> {
    Ok(fold(parent)?.0)
}

/// Each event's step, and the run after the last one.
fn fold(parent: &Parent<'_>) -> Result<(Vec<Step>, Run), ForkRefused> {
    let first = parent.log.first().ok_or(ReplayError::OutOfPlace(Seq(0)))?;
    let mut run = Run::begin(parent.run.clone(), parent.crew.clone(), first)?;
    let mut steps = vec![step(&run, &first.event)];
    for recorded in &parent.log[1..] {
        run.apply(recorded)?;
        steps.push(step(&run, &recorded.event));
    }
    Ok((steps, run))
}

fn step(run: &Run, event: &Event) -> Step {
    let barred = match run.phase {
        Phase::Ended(_) => Some("the run has ended"),
        Phase::Ending(_) => Some("the run is ending"),
        Phase::Running if !run.open.is_empty() => Some("calls are in flight"),
        Phase::Queued | Phase::Running => None,
    };
    if barred.is_some() {
        return Step { barred, ..Step::default() };
    }
    let is_open = match run.pause {
        OperatorPause::None => is_open(run),
        OperatorPause::Requested | OperatorPause::Paused => {
            is_open(&Run { pause: OperatorPause::None, ..run.clone() })
        }
    };
    Step {
        barred,
        is_reply: matches!(event, Event::ModelReplied { .. }),
        is_wait: is_open && !run.waits.is_empty(),
        is_open,
    }
}

/// Whether the run decides nothing more by itself, and no model call that it wants has failed before.
fn is_open(run: &Run) -> bool {
    match decide(run) {
        Decision::Record(_) => false,
        Decision::Rest { .. } => true,
        Decision::Await { calls, .. } => calls.iter().all(|wanted| match run.find_call(wanted.call) {
            Some(CallPlace::Model(_, model)) => model.model == 0 && model.tries_on_model == 0,
            Some(CallPlace::Tool(..)) | None => true,
        }),
    }
}

fn last_where(steps: &[Step], wanted: impl Fn(&Step) -> bool) -> Option<Seq> {
    steps.iter().rposition(wanted).map(seq_at)
}

fn seq_at(place: usize) -> Seq {
    Seq(place as u64 + 1)
}

fn asked_step(steps: &[Step], at: Seq) -> Result<Seq, ForkRefused> {
    let found = if at == Seq(0) { None } else { steps.get(place(at)) };
    let Some(step) = found else {
        return Err(ForkRefused::NoSuchStep { at, last: Seq(steps.len() as u64) });
    };
    let Some(why) = step.barred else { return Ok(at) };
    let free = |step: &Step| step.barred.is_none();
    let (before, after) = (&steps[..place(at)], &steps[place(at)..]);
    Err(ForkRefused::NotAStep {
        at,
        why,
        before: last_where(before, free),
        after: after.iter().position(free).map(|found| seq_at(place(at) + found)),
    })
}

fn last_step(steps: &[Step], edits: &Edits) -> Result<Seq, ForkRefused> {
    if edits.answer.is_some() {
        return last_where(steps, |step| step.is_wait).ok_or(ForkRefused::Answer(Refused::NotWaiting));
    }
    if edits.reply.is_some() {
        let reply = last_where(steps, |step| step.is_reply);
        return reply.ok_or(ForkRefused::NotAReply(Seq(steps.len() as u64)));
    }
    if edits.input.is_some() {
        return Ok(Seq(1));
    }
    // A run is open after its first event.
    Ok(last_where(steps, |step| step.is_open).unwrap_or(Seq(1)))
}

fn begin(
    parent: &Parent<'_>,
    fresh: &Fresh,
    at: Seq,
    ends: &[Event],
    edits: &Edits,
) -> Result<Fork, ForkRefused> {
    check_models(&parent.crew, &edits.models)?;
    check_reply(parent, at, edits)?;
    let (Some(Recorded { event: Event::RunStarted(started), .. }), copied) =
        (parent.log.first(), &parent.log[1..=place(at)])
    else {
        return Err(ReplayError::OutOfPlace(Seq(1)).into());
    };
    let mut started = first(started, parent, fresh, at, edits)?;
    // A fork waits for nobody: what a queued run began with, it begins with at once.
    if at == Seq(1) && started.queued.take().is_some() {
        started.pinned = parent.log.iter().find_map(|recorded| match &recorded.event {
            Event::Begun { pinned } => pinned.clone(),
            _ => None,
        });
    }
    let started = Event::RunStarted(Box::new(started));
    let now = fresh.now;
    let first = Recorded { seq: Seq(1), at: now, event: started };
    let run = Run::begin(fresh.run.clone(), parent.crew.clone(), &first)?;
    let mut fork = Fork { run, log: vec![first] };
    for (recorded, before) in copied.iter().zip(parent.log) {
        let mut event = recorded.event.clone();
        if let Event::WaitOpened { what: WaitFor::Approval { expires_at: Some(at), .. }, .. } = &mut event {
            *at = now.plus_millis(at.millis_since(before.at));
        }
        if recorded.seq == at
            && let (Some(text), Event::ModelReplied { reply, .. }) = (&edits.reply, &mut event)
        {
            reply.text.clone_from(text);
            reply.calls.clear();
            reply.finish = Finish::Stop;
        }
        fork.record(event, now)?;
    }
    if fork.run.pause == OperatorPause::Requested {
        fork.record(Event::Paused {}, now)?;
    }
    if fork.run.pause == OperatorPause::Paused {
        fork.record(Event::Resumed {}, now)?;
    }
    for event in ends {
        if !fork.settle(now)? {
            break;
        }
        fork.record(event.clone(), now)?;
    }
    if let Some((wait, answer)) = &edits.answer {
        for event in admit(&fork.run, &Command::Answer { wait: *wait, answer: answer.clone() })? {
            fork.record(event, now)?;
        }
    }
    let lost: Vec<CallId> = fork.run.open_calls().map(|(call, _)| call).collect();
    if !lost.is_empty() {
        fork.record(Event::TakenOver { lost }, now)?;
    }
    Ok(fork)
}

impl Fork {
    /// The same fork, which waits for room.
    pub fn queued(mut self) -> Result<Fork, ReplayError> {
        if let Some(Recorded { event: Event::RunStarted(started), .. }) = self.log.first_mut()
            && let Some(fork) = &mut started.forked_from
        {
            fork.queued.push(self.run.seq());
        }
        let run = Run::replay(self.run.id().clone(), self.run.crew().clone(), &self.log)?;
        Ok(Fork { run, ..self })
    }

    /// Records what the run decides by itself. Returns whether it then waits for calls that have all been started.
    fn settle(&mut self, at: Timestamp) -> Result<bool, ReplayError> {
        loop {
            match decide(&self.run) {
                Decision::Record(event) => self.record(event, at)?,
                Decision::Await { calls, .. } => return Ok(calls.iter().all(|wanted| wanted.started)),
                Decision::Rest { .. } => return Ok(false),
            }
        }
    }

    fn record(&mut self, event: Event, at: Timestamp) -> Result<(), ReplayError> {
        let recorded = Recorded { seq: self.run.seq().next(), at, event };
        self.run.apply(&recorded)?;
        self.log.push(recorded);
        Ok(())
    }
}

fn check_models(crew: &Crew, models: &BTreeMap<AgentId, Model>) -> Result<(), ForkRefused> {
    let Some(agent) = models.keys().find(|agent| crew.find_agent(agent.as_str()).is_none()) else {
        return Ok(());
    };
    let ids = crew.agents.iter().map(|agent| agent.id.as_str());
    let hint = problem::suggest(agent.as_str(), ids);
    Err(ForkRefused::UnknownAgent { crew: crew.name.clone(), agent: agent.clone(), hint })
}

fn check_reply(parent: &Parent<'_>, at: Seq, edits: &Edits) -> Result<(), ForkRefused> {
    match (&edits.reply, parent.log.get(place(at)).map(|recorded| &recorded.event)) {
        (None, _) => Ok(()),
        (Some(text), _) if text.trim().is_empty() => Err(ForkRefused::Empty("reply")),
        (Some(_), Some(Event::ModelReplied { .. })) => Ok(()),
        (Some(_), _) => Err(ForkRefused::NotAReply(at)),
    }
}

/// The first event of the fork.
fn first(
    started: &RunStarted,
    parent: &Parent<'_>,
    fresh: &Fresh,
    at: Seq,
    edits: &Edits,
) -> Result<RunStarted, ForkRefused> {
    let before = started.forked_from.as_ref();
    let mut models = before.map(|before| before.models.clone()).unwrap_or_default();
    let mut queued = before.map(|before| before.queued.clone()).unwrap_or_default();
    queued.retain(|waited| *waited < at);
    if let Some(model) = &edits.model {
        models.extend(parent.crew.agents.iter().map(|agent| (agent.id.clone(), model.clone())));
    }
    models.extend(edits.models.clone());
    let input = match &edits.input {
        Some(input) if input.trim().is_empty() => return Err(ForkRefused::Empty("input")),
        Some(input) => input.clone(),
        None => started.input.clone(),
    };
    Ok(RunStarted {
        format: FORMAT,
        thread: fresh.thread.clone(),
        input,
        metadata: edits.metadata.clone().unwrap_or_else(|| started.metadata.clone()),
        limits: edits.limits.unwrap_or(started.limits),
        on_disconnect: edits.on_disconnect.unwrap_or_default(),
        forked_from: Some(ForkedFrom { run: parent.run.clone(), seq: at, models, queued }),
        ..started.clone()
    })
}
