//! Approvals: tool calls that wait for a person, what people decide about them, and when they expire.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::ids::{Timestamp, WaitId};

use super::admit::{Refused, check_answer, find_wait};
use super::branch::{Branch, Round, SlotState};
use super::event::{Answer, Event, Timer, WaitFor};
use super::{Phase, Run};

/// Who decided, where nobody said so.
pub const ANONYMOUS: &str = "anonymous";

/// Characters of edited arguments that the model is shown.
const SHOWN: usize = 2_000;

/// What a person decides about a call that waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalDecision {
    /// The wait: an approval, or the question about an unknown outcome.
    pub wait: WaitId,
    /// What is decided.
    pub answer: Answer,
    /// The digest of the arguments that the person has seen: with another one nothing is decided.
    pub digest: Option<String>,
    /// Who decides, in their own words.
    pub by: Option<String>,
}

/// How a wait was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// By an answer with this fingerprint.
    Answered([u8; 16]),
    /// By time.
    Expired,
}

/// The digest of a call's arguments: SHA-256 in hexadecimal over their JSON, with sorted keys and no blanks.
pub fn digest(arguments: &Value) -> String {
    Sha256::digest(arguments.to_string()).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Tells answers apart.
pub(super) fn fingerprint(answer: &Answer) -> [u8; 16] {
    let digest = Sha256::digest(serde_json::to_string(answer).unwrap_or_default());
    let mut fingerprint = [0; 16];
    fingerprint.copy_from_slice(&digest[..16]);
    fingerprint
}

/// What is to be recorded about the approvals of a round: the result of a call that was decided not to be made, or the
/// question about a call that nobody was asked about yet.
pub(super) fn next(run: &Run, branch: &Branch, round: &Round) -> Option<Event> {
    let decided = round.slots.iter().find_map(|slot| match &slot.state {
        SlotState::Decided(result) => Some(result.clone()),
        _ => None,
    });
    if let Some(result) = decided {
        return Some(Event::ToolReturned { branch: branch.id, result, took_ms: 0 });
    }
    let slot = round.slots.iter().find(|slot| slot.state == SlotState::Unapproved)?;
    let spec = slot.tool.map(|tool| &run.crew.tool(tool).spec);
    let timeout = spec.and_then(|spec| spec.approval_timeout_ms).or(run.crew.settings.approval_timeout_ms);
    Some(Event::WaitOpened {
        wait: WaitId(run.next_wait),
        branch: branch.id,
        agent: run.agent_id(branch.agent),
        what: WaitFor::Approval {
            call: slot.call.call,
            tool: slot.call.tool.clone(),
            digest: digest(&slot.call.arguments),
            arguments: slot.call.arguments.clone(),
            expires_at: timeout.map(|timeout| run.last_at.plus_millis(timeout)),
        },
    })
}

/// The open wait that expires first, and when.
pub(super) fn first_expiry(run: &Run) -> Option<(Timer, Timestamp)> {
    if run.phase != Phase::Running {
        return None;
    }
    let expiries = run.waits.iter().filter_map(|open| Some((Timer::Wait(open.wait), open.expires_at()?)));
    expiries.min_by_key(|(_, at)| *at)
}

/// The event that records the expiry of a wait, if one has expired by `now`. Unlike the time limits of work, this goes
/// by the clock on the wall, also while the run rests.
pub fn expired(run: &Run, now: Timestamp) -> Option<Event> {
    first_expiry(run).filter(|(_, at)| *at <= now).map(|(timer, _)| Event::TimedOut { timer })
}

/// Turns decisions into the events that record them: all, or none. Those that have been taken already change nothing.
pub(super) fn admit(run: &Run, decisions: &[ApprovalDecision]) -> Result<Vec<Event>, Refused> {
    let mut events = Vec::new();
    let mut seen: BTreeMap<WaitId, &Answer> = BTreeMap::new();
    for decision in decisions {
        let ApprovalDecision { wait, answer, digest, by } = decision;
        match seen.insert(*wait, answer) {
            Some(first) if first == answer => continue,
            Some(_) => return Err(Refused::DecidedTwice(*wait)),
            None => {}
        }
        match run.closed.get(wait) {
            Some(Closed::Answered(before)) if *before == fingerprint(answer) => continue,
            Some(Closed::Answered(_)) => return Err(Refused::AlreadyDecided(*wait)),
            Some(Closed::Expired) => return Err(Refused::Expired(*wait)),
            None if wait.0 >= run.next_wait => return Err(Refused::UnknownApproval(*wait)),
            None if run.phase != Phase::Running => return Err(Refused::Ended),
            None => {}
        }
        let open = find_wait(run, Some(*wait))?;
        check_answer(run, open, answer)?;
        if let Some(seen) = digest
            && open.what.digest().is_some_and(|digest| digest != *seen)
        {
            return Err(Refused::OtherDigest(*wait));
        }
        let by = by.clone().unwrap_or_else(|| ANONYMOUS.to_owned());
        events.push(Event::Answered { wait: *wait, answer: answer.clone(), by: Some(by) });
    }
    Ok(events)
}

/// What the model is told in front of the result of a call whose arguments a person has edited.
pub(super) fn edited(arguments: &Value) -> String {
    let arguments = arguments.to_string();
    let shown = match arguments.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &arguments[..end]),
        None => arguments,
    };
    format!("[a person edited the arguments before the call was made: {shown}]\n")
}

/// What the model is told of a call that a person did not allow.
pub(super) fn rejected(reason: Option<&str>) -> String {
    match reason.map(str::trim).filter(|reason| !reason.is_empty()) {
        Some(reason) => format!("not run: a person rejected the call: {reason}"),
        None => "not run: a person rejected the call, without a reason".to_owned(),
    }
}

/// What the model is told of a call that nobody has decided about in time.
pub(super) const EXPIRED: &str = "not run: the approval expired, nobody decided in time";
