//! Parallel groups: when one is over, and what its branches give.

use crate::crew::{Group, Join, OnError};
use crate::ids::BranchId;

use super::Run;
use super::aggregate::{BranchResult, aggregate};
use super::branch::{Branch, GroupStep, SlotState, Step};
use super::event::{BranchEnd, ClosingReason, Event};

impl Run {
    /// Whether the branch belongs to a group that is closing.
    pub(super) fn is_stopping(&self, branch: BranchId) -> bool {
        self.closing_of(branch).is_some()
    }

    fn closing_of(&self, branch: BranchId) -> Option<ClosingReason> {
        let parent = self.branch(self.branch(branch)?.parent?)?;
        match &parent.step {
            Step::Group(group) => group.closing,
            _ => None,
        }
    }
}

/// Ends a branch of a closing group once nothing of it is in flight or waits for a person.
pub(super) fn stop_branch(run: &Run, branch: &Branch) -> Option<Event> {
    if branch.end().is_some() || run.open.values().any(|owner| *owner == branch.id) {
        return None;
    }
    if let Step::Round(round) = &branch.step
        && round.slots.iter().any(|slot| matches!(slot.state, SlotState::Asked { .. }))
    {
        return None;
    }
    let end = match (&branch.step, run.closing_of(branch.id)?) {
        (Step::Failed { error, .. }, _) => BranchEnd::Failed { error: error.clone() },
        (Step::Limited(limit), _) => BranchEnd::LimitReached { limit: limit.clone() },
        (_, ClosingReason::TimedOut) => BranchEnd::TimedOut {},
        (_, ClosingReason::Enough | ClosingReason::Failed) => BranchEnd::Cancelled {},
    };
    Some(Event::BranchEnded { branch: branch.id, end })
}

/// What is to be recorded about a group, if anything is.
pub(super) fn next(run: &Run, parent: &Branch, step: &GroupStep) -> Option<Event> {
    let group = run.crew.group(step.group);
    let ends = || run.children(parent).filter_map(Branch::end);
    let completed = ends().filter(|end| matches!(end, BranchEnd::Completed {})).count();
    let all_ended = ends().count() == step.children.len();
    if step.closing.is_none() {
        let failed = ends().any(|end| matches!(end, BranchEnd::Failed { .. }));
        if group.on_error == OnError::FailFast && failed {
            return Some(Event::GroupClosing { branch: parent.id, why: ClosingReason::Failed });
        }
        if group.join != Join::All && completed >= required(group) && !all_ended {
            return Some(Event::GroupClosing { branch: parent.id, why: ClosingReason::Enough });
        }
    }
    all_ended.then(|| join(run, parent, group, completed))
}

fn join(run: &Run, parent: &Branch, group: &Group, completed: usize) -> Event {
    let results: Vec<BranchResult<'_>> = run
        .children(parent)
        .filter_map(|branch| {
            let agent = run.crew.agent(branch.agent);
            Some(BranchResult {
                agent: &agent.id,
                name: &agent.name,
                reply: &branch.last_reply,
                tools: &branch.tool_log,
                end: branch.end()?,
            })
        })
        .collect();
    let failed = results.iter().filter_map(|result| Some((result.agent.clone(), why(result.end)?))).collect();
    Event::Joined {
        branch: parent.id,
        group: group.name.clone(),
        output: aggregate(&group.aggregate, &results, &run.vars()),
        completed: completed as u32,
        failed,
    }
}

/// Why a branch did not complete, for people; `None` if it did, or was not needed any more.
fn why(end: &BranchEnd) -> Option<String> {
    match end {
        BranchEnd::Completed {} | BranchEnd::Cancelled {} => None,
        BranchEnd::Failed { error } => Some(error.clone()),
        BranchEnd::LimitReached { limit } => Some(format!("{limit} reached")),
        BranchEnd::TimedOut {} => Some("timed out".to_owned()),
    }
}

/// Branches that have to complete.
fn required(group: &Group) -> usize {
    match group.join {
        Join::All | Join::First => 1,
        Join::Quorum(quorum) => quorum,
    }
}

/// Why a group that is over fails its run, if it does.
pub(super) fn failure(
    group: &Group,
    completed: u32,
    closing: Option<ClosingReason>,
    first_failure: Option<&str>,
) -> Option<String> {
    let name = &group.name;
    let first = first_failure.unwrap_or("no branch completed");
    if closing == Some(ClosingReason::Failed) {
        return Some(format!("parallel group `{name}` failed: {first}"));
    }
    let required = required(group);
    if (completed as usize) < required {
        let of = group.agents.len();
        return Some(format!(
            "parallel group `{name}` failed: {completed} of {of} branches completed, {required} had to; {first}"
        ));
    }
    None
}
