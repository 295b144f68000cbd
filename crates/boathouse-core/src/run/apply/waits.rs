//! Waits for a person: opened, answered, or over.

use crate::ids::{AgentId, BranchId, WaitId};
use crate::message::{Author, Message, ResultStatus, ToolResult};
use crate::run::approval::{self, Closed};
use crate::run::branch::{ModelCall, SlotState, Step};
use crate::run::event::{Answer, WaitFor};
use crate::run::{ReplayError, Run, Wait};

use super::{CANCELLED, OUTCOME_UNKNOWN};

impl Run {
    pub(super) fn open_wait(
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

    pub(super) fn answer(&mut self, wait: WaitId, answer: &Answer) -> Result<(), ReplayError> {
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
    pub(super) fn expire(&mut self, wait: WaitId) -> Result<(), ReplayError> {
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
}
