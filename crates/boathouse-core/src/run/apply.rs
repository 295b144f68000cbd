//! What each event does to a run. No choices are made here.
//!
//! [`Run::apply`] goes through the events; calls, rounds of tool calls, waits and histories are beside it.

use std::sync::Arc;

use crate::ids::{AgentId, BranchId};
use crate::message::{Author, Message};

use super::branch::{Branch, GroupStep, ModelCall, SlotState, Step, Summarizing};
use super::event::{CallEnd, ClosingReason, Event, Recorded, Timer};
use super::{Ending, OperatorPause, Phase, ReplayError, Run};
use calls::CallMut;

mod calls;
mod history;
mod round;
mod waits;

/// Result of a call that was stopped with its run or branch.
const CANCELLED: &str = "cancelled: the call was stopped before it gave a result";
/// Result of a `once` call of which nobody knows what became.
pub(super) const OUTCOME_UNKNOWN: &str =
    "outcome unknown: the call was made, but whether it took effect is not known";
/// Result of a call that was planned when its run ended.
const NOT_RUN: &str = "not run: the run ended first";

impl Run {
    /// Takes down one more event. The only mutation of a run.
    ///
    /// After an error the run is as it was or in between, and must be dropped.
    pub fn apply(&mut self, recorded: &Recorded) -> Result<(), ReplayError> {
        if recorded.seq != self.seq.next() {
            return Err(ReplayError::Gap { after: self.seq, found: recorded.seq });
        }
        if matches!(self.phase, Phase::Ended(_)) {
            return Err(ReplayError::OutOfPlace(recorded.seq));
        }
        self.count_time(recorded);
        self.seq = recorded.seq;
        self.last_at = recorded.at.max(self.last_at);
        match &recorded.event {
            Event::TakenOver { .. } => self.takeovers += 1,
            // A takeover leads to these by itself.
            Event::CallStarted { .. } | Event::HistoryTrimmed { .. } | Event::HistoryOutgrown { .. } => {}
            _ => self.takeovers = 0,
        }
        self.take_down(&recorded.event)?;
        self.queue_fork();
        Ok(())
    }

    /// A fork that waits for room does so after all that it was forked with.
    pub(super) fn queue_fork(&mut self) {
        let fork = self.started.forked_from.as_ref();
        if self.phase == Phase::Running && fork.is_some_and(|fork| fork.queued.contains(&self.seq)) {
            self.phase = Phase::Queued;
        }
    }

    /// Active time stands while no driver had the run and while nothing is busy.
    fn count_time(&mut self, recorded: &Recorded) {
        let passed = recorded.at.millis_since(self.last_at);
        if passed == 0 || matches!(recorded.event, Event::TakenOver { .. }) {
            return;
        }
        if let Event::Begun { .. } = recorded.event {
            // People could not decide meanwhile.
            self.waits.iter_mut().for_each(|open| open.what.put_off(passed));
            return;
        }
        if self.is_busy() {
            self.active_ms += passed;
        }
        if self.pause == OperatorPause::Paused {
            return;
        }
        for at in 0..self.branches.len() {
            let busy = self.children(&self.branches[at]).any(Branch::is_busy);
            if let Step::Group(group) = &mut self.branches[at].step
                && busy
            {
                group.active_ms += passed;
            }
        }
    }

    fn take_down(&mut self, event: &Event) -> Result<(), ReplayError> {
        match event {
            Event::RunStarted(_) => return Err(ReplayError::OutOfPlace(self.seq)),
            Event::Begun { pinned } => {
                if self.phase != Phase::Queued {
                    return Err(self.misfit("the run has begun".to_owned()));
                }
                self.phase = Phase::Running;
                // A fork has been given what it begins with.
                if self.main().history.is_empty() {
                    self.pin(pinned.as_ref())?;
                }
            }
            Event::TakenOver { lost } => {
                for call in lost {
                    self.stop_call(*call, CallEnd::Lost)?;
                }
            }
            Event::CallStarted { call, attempt, branch, .. } => {
                self.open.insert(*call, *branch);
                match self.call_mut(*call)? {
                    CallMut::Model(model) => {
                        model.started = true;
                        model.attempt = *attempt;
                        model.not_before = None;
                    }
                    CallMut::Tool(slot) => slot.state = SlotState::InFlight { attempt: *attempt },
                }
            }
            Event::AttemptFailed { call, error, next, .. } => {
                self.fail_attempt(*call, &error.message, *next)?
            }
            Event::ModelReplied { call, branch, reply, .. } => {
                self.close(*call, CallEnd::Finished);
                if let Some(usage) = reply.usage {
                    self.usage += usage;
                }
                let branch = self.branch_mut(*branch)?;
                branch.count_reply();
                branch.last_reply = reply.text.clone();
                branch.step = Step::Replied { reply: Arc::new(reply.clone()) };
            }
            Event::RoundStarted { branch, calls, transfer, limit } => {
                self.begin_round(*branch, calls, transfer.clone(), limit.clone())?;
            }
            Event::ToolReturned { branch, result, .. } => {
                self.close(result.call, CallEnd::Finished);
                self.settle(*branch, result.clone())?;
            }
            Event::CallStopped { call, end } => self.stop_call(*call, *end)?,
            Event::HandedOff { branch, to, .. } => {
                self.handoffs += 1;
                let agent = self
                    .crew
                    .find_agent(to.as_str())
                    .ok_or_else(|| self.misfit(format!("no agent `{to}`")))?;
                let call = self.mint_call();
                self.end_reply(*branch)?;
                let branch = self.branch_mut(*branch)?;
                branch.agent = agent;
                branch.rounds = 0;
                branch.step = Step::Calling(ModelCall::new(call));
            }
            Event::Forked { branch, group, branches, .. } => self.fork(*branch, group, branches)?,
            Event::BranchEnded { branch, end } => {
                self.end_reply(*branch)?;
                self.settle_rest(*branch)?;
                self.waits.retain(|wait| wait.branch != *branch);
                self.branch_mut(*branch)?.step = Step::Ended(end.clone());
            }
            Event::GroupClosing { branch, why } => self.group_mut(*branch)?.closing = Some(*why),
            Event::Joined { branch, group, output, completed, failed } => {
                let step = self.group_mut(*branch)?;
                let (ix, closing) = (step.group, step.closing);
                let branch = self.branch_mut(*branch)?;
                branch.say(Message::text(Author::Group(group.clone()), output.clone()));
                branch.step = Step::Joined {
                    group: ix,
                    completed: *completed,
                    closing,
                    first_failure: failed.first().map(|(agent, why)| format!("{agent}: {why}")),
                    output: output.clone(),
                };
            }
            Event::WaitOpened { wait, branch, agent, what } => self.open_wait(*wait, *branch, agent, what)?,
            Event::Answered { wait, answer, .. } => self.answer(*wait, answer)?,
            Event::HistoryOutgrown { branch, messages } => {
                self.check_trim(*branch, *messages)?;
                let call = self.mint_call();
                let branch = self.branch_mut(*branch)?;
                let Step::Calling(then) = &branch.step else {
                    return Err(self.misfit("no model call is wanted".to_owned()));
                };
                let then = then.clone();
                let call = ModelCall::new(call);
                branch.step = Step::Summarizing(Summarizing { call, to: *messages, then, gave: None });
            }
            Event::Summarized { call, branch, reply, .. } => {
                self.close(*call, CallEnd::Finished);
                if let Some(usage) = reply.usage {
                    self.usage += usage;
                }
                if let Step::Summarizing(summary) = &mut self.branch_mut(*branch)?.step {
                    summary.gave = Some(match reply.text.trim() {
                        "" => Err("the summary is empty".to_owned()),
                        text => Ok(text.into()),
                    });
                }
            }
            Event::HistoryTrimmed { branch, dropped, summary, .. } => {
                self.trim(*branch, *dropped)?;
                let branch = self.branch_mut(*branch)?;
                if let Step::Summarizing(Summarizing { then, gave, .. }) = &branch.step {
                    if let (Some(_), Some(Ok(text))) = (summary, gave) {
                        branch.summary = Some(text.clone());
                    }
                    branch.step = Step::Calling(then.clone());
                }
            }
            Event::PauseRequested {} => self.pause = OperatorPause::Requested,
            Event::Paused {} => self.pause = OperatorPause::Paused,
            Event::Resumed {} => self.pause = OperatorPause::None,
            Event::CancelRequested { reason } => self.phase = Phase::Ending(Ending::Cancelled(*reason)),
            Event::TimedOut { timer: Timer::Run } => self.phase = Phase::Ending(Ending::TimedOut),
            Event::TimedOut { timer: Timer::Group(branch) } => {
                self.group_mut(*branch)?.closing = Some(ClosingReason::TimedOut);
            }
            Event::TimedOut { timer: Timer::Wait(wait) } => self.expire(*wait)?,
            Event::RunEnded { outcome, .. } => {
                for at in 0..self.branches.len() {
                    let id = self.branches[at].id;
                    self.end_reply(id)?;
                    self.settle_rest(id)?;
                }
                self.waits.clear();
                self.open.clear();
                self.phase = Phase::Ended(outcome.clone());
            }
        }
        Ok(())
    }

    fn fork(
        &mut self,
        id: BranchId,
        group: &str,
        branches: &[(BranchId, AgentId)],
    ) -> Result<(), ReplayError> {
        self.handoffs += 1;
        let ix =
            self.crew.find_group(group).ok_or_else(|| self.misfit(format!("no parallel group `{group}`")))?;
        self.end_reply(id)?;
        let snapshot = self.branch_mut(id)?.history.clone();
        let opener = self.branch_mut(id)?;
        let (trimmed, kept, summary) = (opener.trimmed, opener.kept.clone(), opener.summary.clone());
        let first = self.branches.len();
        for (child, agent) in branches {
            if child.0 as usize != self.branches.len() {
                return Err(self.misfit(format!("branch {child} is out of order")));
            }
            let agent = self
                .crew
                .find_agent(agent.as_str())
                .ok_or_else(|| self.misfit(format!("no agent `{agent}`")))?;
            let call = self.mint_call();
            let mut branch = Branch::new(*child, Some(id), agent, snapshot.clone(), call);
            (branch.trimmed, branch.kept, branch.summary) = (trimmed, kept.clone(), summary.clone());
            self.branches.push(branch);
        }
        let children = first..self.branches.len();
        self.branch_mut(id)?.step =
            Step::Group(GroupStep { group: ix, children, active_ms: 0, closing: None });
        Ok(())
    }

    fn branch_mut(&mut self, id: BranchId) -> Result<&mut Branch, ReplayError> {
        let seq = self.seq;
        let missing = || ReplayError::Misfit { seq, why: format!("no branch {id}") };
        self.branches.get_mut(id.0 as usize).ok_or_else(missing)
    }

    fn group_mut(&mut self, id: BranchId) -> Result<&mut GroupStep, ReplayError> {
        let seq = self.seq;
        match &mut self.branch_mut(id)?.step {
            Step::Group(group) => Ok(group),
            _ => Err(ReplayError::Misfit { seq, why: format!("branch {id} waits for no group") }),
        }
    }

    fn misfit(&self, why: String) -> ReplayError {
        ReplayError::Misfit { seq: self.seq, why }
    }
}
