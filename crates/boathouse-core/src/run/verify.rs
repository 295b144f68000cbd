//! Whether a log is what this code, and a crew, would have written.
//!
//! What models, tools, people and the clock gave is taken from the log. Everything else is worked out again: each
//! decision, each call that is made, and each prompt, by its fingerprint.

use std::sync::Arc;

use crate::crew::Crew;
use crate::ids::{RunId, Seq, Timestamp};

use super::admit::{Command, admit};
use super::approval;
use super::call::{self, Work};
use super::decide::{Decision, Wanted, decide};
use super::event::{CallKind, Event, NextAttempt, Recorded, Timer};
use super::request::ModelRequest;
use super::{Phase, ReplayError, Run};

/// The first place at which a log is not what would be written now.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The event's number.
    pub seq: Seq,
    /// What the log has there; `None` past its end.
    pub recorded: Option<Event>,
    /// What it would have.
    pub now: Now,
}

/// What would be in a log now.
#[derive(Clone, Debug, PartialEq)]
pub enum Now {
    /// This event.
    Event(Box<Event>),
    /// Nothing before a call in flight, a person or a time limit says more.
    Waiting,
    /// Nothing: the command that the log has would be refused.
    Refused(String),
    /// Nothing: this event speaks of something that the run would not have.
    Misfit(String),
}

/// Compares a log with what this code would do with a crew. The crew may be another than that of the log.
///
/// The error is for a log that cannot be read at all.
pub fn first_difference(
    id: &RunId,
    crew: &Arc<Crew>,
    log: &[Recorded],
) -> Result<Option<Difference>, ReplayError> {
    let mut run = begin(id, crew, log)?;
    let copied = run.started.forked_from.as_ref().map_or(Seq(0), |fork| fork.seq);
    for recorded in &log[1..] {
        let differs =
            |now: Now| Difference { seq: recorded.seq, recorded: Some(recorded.event.clone()), now };
        if let Some(now) = instead_of(&run, recorded, recorded.seq <= copied) {
            return Ok(Some(differs(now)));
        }
        match run.apply(recorded) {
            Ok(()) => {}
            Err(ReplayError::Misfit { why, .. }) => return Ok(Some(differs(Now::Misfit(why)))),
            Err(broken) => return Err(broken),
        }
    }
    Ok(match decide(&run) {
        Decision::Record(event) => {
            Some(Difference { seq: run.seq.next(), recorded: None, now: Now::Event(Box::new(event)) })
        }
        Decision::Await { .. } | Decision::Rest { .. } => None,
    })
}

/// The request of the model call that an event of a log started, as this code would make it with a crew; `None` if the
/// event started none.
pub fn request_at(
    id: &RunId,
    crew: &Arc<Crew>,
    log: &[Recorded],
    seq: Seq,
) -> Result<Option<Box<ModelRequest>>, ReplayError> {
    let mut run = begin(id, crew, log)?;
    for recorded in &log[1..] {
        if recorded.seq == seq {
            let Event::CallStarted { call, .. } = &recorded.event else { return Ok(None) };
            return Ok(match find(&run, *call).and_then(|wanted| call::start(&run, &wanted)) {
                Some((_, Work::Model(request))) => Some(request),
                Some((_, Work::Tool(_))) | None => None,
            });
        }
        run.apply(recorded)?;
    }
    Ok(None)
}

/// The run after its first event, with a crew that need not be its own.
fn begin(id: &RunId, crew: &Arc<Crew>, log: &[Recorded]) -> Result<Run, ReplayError> {
    let mut first = log.first().ok_or(ReplayError::OutOfPlace(Seq(0)))?.clone();
    if let Event::RunStarted(started) = &mut first.event {
        started.crew_hash = crew.hash.to_string();
    }
    Run::begin(id.clone(), crew.clone(), &first)
}

/// What would be in the log instead of an event; `None` if the event is right. Of an event that was copied when the run
/// was forked the model and the prompt may be others.
fn instead_of(run: &Run, recorded: &Recorded, copied: bool) -> Option<Now> {
    let event = &recorded.event;
    // Another driver may take the run over at any time.
    if let Event::TakenOver { .. } = event {
        return match call::taken_over(run) {
            Some(now) => unless_same(event, now),
            None => Some(Now::Waiting),
        };
    }
    let (calls, until) = match decide(run) {
        Decision::Record(now) => return unless_same(event, now),
        Decision::Await { calls, until } => (calls, until),
        Decision::Rest { .. } => (Vec::new(), None),
    };
    let ready = calls.iter().find(|wanted| !wanted.started && wanted.not_before.is_none());
    let make_ready = || match ready.and_then(|wanted| call::start(run, wanted)) {
        Some((now, _)) => Now::Event(Box::new(now)),
        None => Now::Waiting,
    };
    match event {
        Event::CallStarted { call, attempt, .. } => {
            let wanted = calls
                .iter()
                .find(|wanted| !wanted.started && (wanted.call, wanted.attempt) == (*call, *attempt));
            match wanted.and_then(|wanted| call::start(run, wanted)) {
                Some((now, _)) if copied && is_same_model_call(event, &now) => None,
                Some((now, _)) => unless_same(event, now),
                None => Some(make_ready()),
            }
        }
        // All calls that are ready are made before anything else happens.
        _ if ready.is_some() => Some(make_ready()),
        Event::Begun { .. } => (run.phase != Phase::Queued).then_some(Now::Waiting),
        Event::ModelReplied { call, .. }
        | Event::Summarized { call, .. }
        | Event::CallStopped { call, .. } => (!run.open.contains_key(call)).then_some(Now::Waiting),
        Event::ToolReturned { result, .. } => (!run.open.contains_key(&result.call)).then_some(Now::Waiting),
        Event::AttemptFailed { call, error, next, took_ms, .. } => {
            if !run.open.contains_key(call) {
                return Some(Now::Waiting);
            }
            let now = call::attempt_failed(run, *call, error.clone(), *took_ms, recorded.at)?;
            (!leads_to(&now, next)).then(|| Now::Event(Box::new(now)))
        }
        // Copies are all of the time of the fork: what had passed by then is not in them.
        Event::TimedOut { timer: Timer::Wait(wait) } if copied => {
            (!run.waits.iter().any(|open| open.wait == *wait)).then_some(Now::Waiting)
        }
        Event::TimedOut { .. } if copied => None,
        Event::TimedOut { timer: Timer::Wait(_) } => {
            (approval::expired(run, recorded.at).as_ref() != Some(event)).then_some(Now::Waiting)
        }
        Event::TimedOut { timer } => (!has_passed(until, *timer, recorded.at)).then_some(Now::Waiting),
        Event::Answered { wait, answer, .. } => {
            refused(run, &Command::Answer { wait: Some(*wait), answer: answer.clone() })
        }
        Event::PauseRequested {} => refused(run, &Command::Pause),
        Event::Resumed {} => refused(run, &Command::Resume),
        Event::CancelRequested { reason } => refused(run, &Command::Cancel { reason: *reason }),
        Event::RunStarted(_)
        | Event::TakenOver { .. }
        | Event::RoundStarted { .. }
        | Event::HandedOff { .. }
        | Event::Forked { .. }
        | Event::BranchEnded { .. }
        | Event::GroupClosing { .. }
        | Event::Joined { .. }
        | Event::WaitOpened { .. }
        | Event::HistoryOutgrown { .. }
        | Event::HistoryTrimmed { .. }
        | Event::Paused {}
        | Event::RunEnded { .. } => Some(Now::Waiting),
    }
}

fn unless_same(recorded: &Event, now: Event) -> Option<Now> {
    (*recorded != now).then(|| Now::Event(Box::new(now)))
}

/// Whether both make the same model call, with whatever model and prompt.
fn is_same_model_call(recorded: &Event, now: &Event) -> bool {
    match (recorded, now) {
        (
            Event::CallStarted { agent, branch, kind: CallKind::Model { .. }, .. },
            Event::CallStarted { agent: agent_now, branch: branch_now, kind: CallKind::Model { .. }, .. },
        ) => (agent, branch) == (agent_now, branch_now),
        _ => false,
    }
}

/// Whether the failure of a try leads to what was recorded, whenever that is.
fn leads_to(now: &Event, recorded: &NextAttempt) -> bool {
    let Event::AttemptFailed { next, .. } = now else { return false };
    match (next, recorded) {
        (NextAttempt::Again { .. }, NextAttempt::Again { .. })
        | (NextAttempt::Backup {}, NextAttempt::Backup {})
        | (NextAttempt::GiveUp {}, NextAttempt::GiveUp {}) => true,
        (NextAttempt::Again { .. } | NextAttempt::Backup {} | NextAttempt::GiveUp {}, _) => false,
    }
}

fn has_passed(until: Option<(Timer, Timestamp)>, timer: Timer, now: Timestamp) -> bool {
    until.is_some_and(|(limit, at)| limit == timer && at <= now)
}

fn refused(run: &Run, command: &Command) -> Option<Now> {
    match admit(run, command) {
        Ok(events) if events.is_empty() => Some(Now::Waiting),
        Ok(_) => None,
        Err(why) => Some(Now::Refused(why.to_string())),
    }
}

fn find(run: &Run, call: crate::ids::CallId) -> Option<Wanted> {
    let Decision::Await { calls, .. } = decide(run) else { return None };
    calls.into_iter().find(|wanted| wanted.call == call)
}
