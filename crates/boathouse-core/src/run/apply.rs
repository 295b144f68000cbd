//! What each event does to a run. No choices are made here.

use std::sync::Arc;

use crate::crew::{Effect, OnUnknown};
use crate::ids::{AgentId, BranchId, CallId, WaitId};
use crate::message::{Author, Message, ResultStatus, ToolResult};

use super::approval::{self, Closed};
use super::branch::{Branch, GroupStep, ModelCall, Round, Slot, SlotState, Step, Summarizing};
use super::event::{
    Answer, CallEnd, Event, NextAttempt, Pinned, PlannedCall, ReceiptLine, Recorded, Timer, WaitFor,
};
use super::{Ending, OperatorPause, Phase, ReplayError, Run, Wait};

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
        self.take_down(&recorded.event)
    }

    /// Active time stands while no driver had the run and while nothing is busy.
    fn count_time(&mut self, recorded: &Recorded) {
        let passed = recorded.at.millis_since(self.last_at);
        if passed == 0 || matches!(recorded.event, Event::TakenOver { .. }) {
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
                self.pin(pinned.as_ref())?;
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
                self.group_mut(*branch)?.closing = Some(super::event::ClosingReason::TimedOut);
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

    /// Gives the main branch what the run begins with: what it pins of its thread, the history of its request, its input.
    pub(super) fn pin(&mut self, pinned: Option<&Pinned>) -> Result<(), ReplayError> {
        let count = pinned.map_or(0, |pinned| pinned.messages);
        let mut history = match pinned {
            Some(pinned) if !pinned.said.is_empty() => pinned.said.iter().cloned().map(Arc::new).collect(),
            Some(_) | None => std::mem::take(&mut self.thread),
        };
        if history.len() < count {
            return Err(self.misfit(format!(
                "it begins with {count} messages of its thread, and {} are known",
                history.len()
            )));
        }
        while history.len() > count {
            history.drop_last_mut();
        }
        for message in &self.started.history {
            history.push_back_mut(Arc::new(message.clone()));
        }
        history.push_back_mut(Arc::new(Message::text(Author::User, self.started.input.clone())));
        let main = &mut self.branches[0];
        main.input_at = history.len() - 1;
        main.history = history;
        if let Some(summary) = pinned.and_then(|pinned| pinned.summary.as_ref()) {
            main.trim(summary.messages.min(count));
            main.summary = Some(summary.text.as_str().into());
        }
        self.pinned = pinned.cloned();
        Ok(())
    }

    fn fail_attempt(&mut self, call: CallId, error: &str, next: NextAttempt) -> Result<(), ReplayError> {
        let branch = self.close(call, CallEnd::Finished);
        let CallMut::Model(model) = self.call_mut(call)? else {
            return Err(self.misfit(format!("call {call} is not a model call")));
        };
        model.started = false;
        model.attempt += 1;
        match next {
            NextAttempt::Again { at } => {
                model.tries_on_model += 1;
                model.not_before = Some(at);
            }
            NextAttempt::Backup {} => {
                model.model += 1;
                model.tries_on_model = 0;
                model.not_before = None;
            }
            NextAttempt::GiveUp {} => {
                let branch = branch.ok_or_else(|| self.misfit(format!("call {call} is not open")))?;
                match &mut self.branch_mut(branch)?.step {
                    Step::Summarizing(summary) => summary.gave = Some(Err(error.to_owned())),
                    step => *step = Step::Failed { code: "model_failed", error: error.to_owned() },
                }
            }
        }
        Ok(())
    }

    /// Puts the reply that opened a round, and its calls, into the history.
    fn begin_round(
        &mut self,
        id: BranchId,
        calls: &[PlannedCall],
        transfer: Option<super::event::Target>,
        limit: Option<String>,
    ) -> Result<(), ReplayError> {
        for planned in calls {
            self.next_call = self.next_call.max(planned.call.call.0 + 1);
        }
        let crew = self.crew.clone();
        let branch = self.branch_mut(id)?;
        let agent = crew.agent(branch.agent);
        let slots = calls
            .iter()
            .map(|planned| Slot {
                tool: agent
                    .tools
                    .iter()
                    .copied()
                    .find(|tool| crew.tool(*tool).spec.name == planned.call.tool),
                call: planned.call.clone(),
                edited: false,
                state: match &planned.settled {
                    Some(result) => SlotState::Settled(result.clone()),
                    None if planned.approval => SlotState::Unapproved,
                    None => SlotState::Wanted { attempt: 1 },
                },
            })
            .collect();
        let mut said = Message::text(Author::Agent(Some(agent.id.clone())), branch.last_reply.clone());
        said.calls = calls.iter().map(|planned| planned.call.clone()).collect();
        branch.say(said);
        branch.rounds += 1;
        branch.step = Step::Round(Round { slots, transfer, limit });
        self.finish_round(id)
    }

    /// Once each call of the round has its result, the results become a message and the branch goes on.
    fn finish_round(&mut self, id: BranchId) -> Result<(), ReplayError> {
        let crew = self.crew.clone();
        let branch = self.branch_mut(id)?;
        let Step::Round(round) = &branch.step else { return Ok(()) };
        let Some(results) = round.results() else { return Ok(()) };
        let (transfer, limit) = (round.transfer.clone(), round.limit.clone());
        let names: Vec<String> = round.slots.iter().map(|slot| slot.call.tool.clone()).collect();
        if branch.parent.is_some() {
            branch.tool_log.extend(names.into_iter().zip(results.iter().cloned()));
        }
        let author = Author::Agent(Some(crew.agent(branch.agent).id.clone()));
        branch.say(Message { from: author, parts: Vec::new(), calls: Vec::new(), results });
        branch.step = match (limit, transfer) {
            (Some(limit), _) => Step::Limited(limit),
            (None, Some(target)) => Step::Transfer(target),
            (None, None) => {
                let call = self.mint_call();
                let branch = self.branch_mut(id)?;
                branch.step = Step::Calling(ModelCall::new(call));
                return Ok(());
            }
        };
        Ok(())
    }

    fn settle(&mut self, id: BranchId, mut result: ToolResult) -> Result<(), ReplayError> {
        let slot = self.slot_mut(result.call)?;
        if slot.edited {
            result.output.insert_str(0, &approval::edited(&slot.call.arguments));
        }
        slot.state = SlotState::Settled(result);
        self.finish_round(id)
    }

    /// A call ended without a result of its own.
    fn stop_call(&mut self, call: CallId, end: CallEnd) -> Result<(), ReplayError> {
        let Some(id) = self.close(call, end) else { return Ok(()) };
        let ending = matches!(self.phase, Phase::Ending(_));
        let stopping = self.is_stopping(id);
        let crew = self.crew.clone();
        let settled = match self.call_mut(call)? {
            CallMut::Model(model) => {
                model.started = false;
                model.attempt += 1;
                return Ok(());
            }
            CallMut::Tool(slot) => {
                let SlotState::InFlight { attempt } = slot.state else { return Ok(()) };
                let spec = slot.tool.map(|tool| crew.tool(tool).spec.clone());
                let (effect, on_unknown) =
                    spec.map_or((Effect::Once, OnUnknown::Ask), |spec| (spec.effect, spec.on_unknown));
                match (effect, on_unknown) {
                    (Effect::Once, _) if ending => OUTCOME_UNKNOWN,
                    (Effect::Once, OnUnknown::Rerun) if !stopping => {
                        slot.state = SlotState::Wanted { attempt: attempt + 1 };
                        return Ok(());
                    }
                    (Effect::Once, OnUnknown::Rerun) => OUTCOME_UNKNOWN,
                    (Effect::Once, OnUnknown::Ask | OnUnknown::Fail | OnUnknown::AssumeDone) => {
                        slot.state = SlotState::Unknown { attempt, end };
                        return Ok(());
                    }
                    (Effect::Read | Effect::Idempotent, _) if ending || stopping => CANCELLED,
                    (Effect::Read | Effect::Idempotent, _) => {
                        slot.state = SlotState::Wanted { attempt: attempt + 1 };
                        return Ok(());
                    }
                }
            }
        };
        self.settle(id, ToolResult { call, status: ResultStatus::Error, output: settled.to_owned() })
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

    fn open_wait(
        &mut self,
        wait: WaitId,
        branch: BranchId,
        agent: &AgentId,
        what: &WaitFor,
    ) -> Result<(), ReplayError> {
        self.next_wait = self.next_wait.max(wait.0 + 1);
        let opened_at = self.last_at;
        self.waits.push(Wait { wait, branch, agent: agent.clone(), what: what.clone(), opened_at });
        match what {
            WaitFor::Answer { .. } => {
                self.end_reply(branch)?;
                self.branch_mut(branch)?.step = Step::Waiting(wait);
            }
            WaitFor::Approval { call, .. } => {
                let slot = self.slot_mut(*call)?;
                if slot.state == SlotState::Unapproved {
                    slot.state = SlotState::Proposed { wait };
                }
            }
            WaitFor::UnknownOutcome { call, .. } => {
                let slot = self.slot_mut(*call)?;
                if let SlotState::Unknown { attempt, .. } = slot.state {
                    slot.state = SlotState::Asked { attempt, wait };
                }
            }
        }
        Ok(())
    }

    fn answer(&mut self, wait: WaitId, answer: &Answer) -> Result<(), ReplayError> {
        let open = self.close_wait(wait, Closed::Answered(approval::fingerprint(answer)))?;
        let branch = open.branch;
        match (&open.what, answer) {
            (WaitFor::Answer { .. }, Answer::Text { text }) => {
                let call = self.mint_call();
                let branch = self.branch_mut(branch)?;
                branch.say(Message::text(Author::User, text.clone()));
                branch.rounds = 0;
                branch.step = Step::Calling(ModelCall::new(call));
                Ok(())
            }
            (WaitFor::Approval { call, .. }, Answer::Approve {}) => {
                self.slot_mut(*call)?.state = SlotState::Wanted { attempt: 1 };
                Ok(())
            }
            (WaitFor::Approval { call, .. }, Answer::Edit { arguments, .. }) => {
                let slot = self.slot_mut(*call)?;
                slot.edited = slot.call.arguments != *arguments;
                slot.call.arguments = arguments.clone();
                slot.state = SlotState::Wanted { attempt: 1 };
                Ok(())
            }
            (WaitFor::Approval { call, .. }, Answer::Reject { reason }) => {
                let output = approval::rejected(reason.as_deref());
                let result = ToolResult { call: *call, status: ResultStatus::Error, output };
                self.slot_mut(*call)?.state = SlotState::Decided(result);
                Ok(())
            }
            (WaitFor::Approval { call, .. }, Answer::Respond { output }) => {
                let result =
                    ToolResult { call: *call, status: ResultStatus::Success, output: output.clone() };
                self.slot_mut(*call)?.state = SlotState::Decided(result);
                Ok(())
            }
            (WaitFor::UnknownOutcome { call, .. }, Answer::Rerun {}) if !self.is_stopping(branch) => {
                let slot = self.slot_mut(*call)?;
                if let SlotState::Asked { attempt, .. } = slot.state {
                    slot.state = SlotState::Wanted { attempt: attempt + 1 };
                }
                Ok(())
            }
            (WaitFor::UnknownOutcome { call, .. }, Answer::Rerun {}) => {
                let output = CANCELLED.to_owned();
                self.settle(branch, ToolResult { call: *call, status: ResultStatus::Error, output })
            }
            (WaitFor::UnknownOutcome { call, .. }, Answer::Done { output }) => {
                let output = output.clone();
                self.settle(branch, ToolResult { call: *call, status: ResultStatus::Success, output })
            }
            (WaitFor::UnknownOutcome { call, .. }, Answer::Fail {} | Answer::Text { .. }) => {
                let output = OUTCOME_UNKNOWN.to_owned();
                self.settle(branch, ToolResult { call: *call, status: ResultStatus::Error, output })
            }
            (WaitFor::Answer { .. } | WaitFor::Approval { .. } | WaitFor::UnknownOutcome { .. }, _) => {
                Err(self.misfit(format!("wait {wait} cannot be answered like that")))
            }
        }
    }

    /// Nobody decided in time.
    fn expire(&mut self, wait: WaitId) -> Result<(), ReplayError> {
        let open = self.close_wait(wait, Closed::Expired)?;
        let WaitFor::Approval { call, .. } = open.what else {
            return Err(self.misfit(format!("wait {wait} does not expire")));
        };
        let output = approval::EXPIRED.to_owned();
        self.slot_mut(call)?.state =
            SlotState::Decided(ToolResult { call, status: ResultStatus::Error, output });
        Ok(())
    }

    fn close_wait(&mut self, wait: WaitId, closed: Closed) -> Result<Wait, ReplayError> {
        let at = self.waits.iter().position(|open| open.wait == wait);
        let at = at.ok_or_else(|| self.misfit(format!("wait {wait} is not open")))?;
        self.closed.insert(wait, closed);
        Ok(self.waits.remove(at))
    }

    /// Puts the reply that ends a turn into the history. A reply that opened a round is there already.
    fn end_reply(&mut self, id: BranchId) -> Result<(), ReplayError> {
        let crew = self.crew.clone();
        let branch = self.branch_mut(id)?;
        if let Step::Replied { reply } = &branch.step {
            let author = Author::Agent(Some(crew.agent(branch.agent).id.clone()));
            let message = Message::text(author, reply.text.clone());
            branch.say(message);
        }
        Ok(())
    }

    /// Gives every call of an unfinished round its one result.
    fn settle_rest(&mut self, id: BranchId) -> Result<(), ReplayError> {
        let crew = self.crew.clone();
        let branch = self.branch_mut(id)?;
        if let Step::Round(round) = &mut branch.step {
            for slot in &mut round.slots {
                let output = match &slot.state {
                    SlotState::Settled(_) => continue,
                    SlotState::Decided(result) => {
                        slot.state = SlotState::Settled(result.clone());
                        continue;
                    }
                    SlotState::Unapproved | SlotState::Proposed { .. } | SlotState::Wanted { .. } => NOT_RUN,
                    SlotState::InFlight { .. } => CANCELLED,
                    SlotState::Unknown { .. } | SlotState::Asked { .. } => OUTCOME_UNKNOWN,
                };
                slot.state = SlotState::Settled(ToolResult {
                    call: slot.call.call,
                    status: ResultStatus::Error,
                    output: output.to_owned(),
                });
            }
            let results = round.results().unwrap_or_default();
            let author = Author::Agent(Some(crew.agent(branch.agent).id.clone()));
            branch.say(Message { from: author, parts: Vec::new(), calls: Vec::new(), results });
            branch.step = Step::Limited("ended".to_owned());
        }
        Ok(())
    }

    /// Takes a call off the open ones; its end goes into the receipt if the run is being cancelled.
    fn close(&mut self, call: CallId, end: CallEnd) -> Option<BranchId> {
        let branch = self.open.remove(&call)?;
        if matches!(self.phase, Phase::Ending(Ending::Cancelled(_)))
            && let Some(place) = self.find_call(call)
        {
            let tool = match place {
                super::branch::CallPlace::Model(..) => None,
                super::branch::CallPlace::Tool(_, slot) => Some(slot.call.tool.clone()),
            };
            let agent = self.agent_id(place.branch().agent);
            self.receipt.push(ReceiptLine { call, agent, tool, end });
        }
        Some(branch)
    }

    fn call_mut(&mut self, call: CallId) -> Result<CallMut<'_>, ReplayError> {
        let seq = self.seq;
        for branch in &mut self.branches {
            match &mut branch.step {
                Step::Calling(model) if model.call == call => return Ok(CallMut::Model(model)),
                Step::Summarizing(summary) if summary.call.call == call => {
                    return Ok(CallMut::Model(&mut summary.call));
                }
                Step::Round(round) => {
                    if let Some(slot) = round.slots.iter_mut().find(|slot| slot.call.call == call) {
                        return Ok(CallMut::Tool(slot));
                    }
                }
                _ => {}
            }
        }
        Err(ReplayError::Misfit { seq, why: format!("no call {call}") })
    }

    fn slot_mut(&mut self, call: CallId) -> Result<&mut Slot, ReplayError> {
        let seq = self.seq;
        match self.call_mut(call)? {
            CallMut::Tool(slot) => Ok(slot),
            CallMut::Model(_) => {
                Err(ReplayError::Misfit { seq, why: format!("call {call} is not a tool call") })
            }
        }
    }

    fn branch_mut(&mut self, id: BranchId) -> Result<&mut Branch, ReplayError> {
        let seq = self.seq;
        let missing = || ReplayError::Misfit { seq, why: format!("no branch {id}") };
        self.branches.get_mut(id.0 as usize).ok_or_else(missing)
    }

    /// Messages may go out of prompts, but none that there are not, and no call without its results.
    fn check_trim(&mut self, id: BranchId, dropped: usize) -> Result<(), ReplayError> {
        let seq = self.seq;
        let branch = self.branch_mut(id)?;
        let parted = branch.history.get(dropped).is_some_and(|message| !message.results.is_empty());
        if parted || dropped > branch.history.len() {
            let why = format!("the history of branch {id} cannot be trimmed before message {dropped}");
            return Err(ReplayError::Misfit { seq, why });
        }
        Ok(())
    }

    fn trim(&mut self, id: BranchId, dropped: usize) -> Result<(), ReplayError> {
        self.check_trim(id, dropped)?;
        self.branch_mut(id)?.trim(dropped);
        Ok(())
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

enum CallMut<'a> {
    Model(&'a mut ModelCall),
    Tool(&'a mut Slot),
}
