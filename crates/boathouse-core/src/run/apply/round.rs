//! A round of tool calls: each gets one result, and then the branch goes on.

use crate::ids::BranchId;
use crate::message::{Author, Message, ResultStatus, ToolResult};
use crate::run::approval;
use crate::run::branch::{ModelCall, Round, Slot, SlotState, Step};
use crate::run::event::{PlannedCall, Target};
use crate::run::{ReplayError, Run};

use super::{CANCELLED, NOT_RUN, OUTCOME_UNKNOWN};

impl Run {
    /// Puts the reply that opened a round, and its calls, into the history.
    pub(super) fn begin_round(
        &mut self,
        id: BranchId,
        calls: &[PlannedCall],
        transfer: Option<Target>,
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

    pub(super) fn settle(&mut self, id: BranchId, mut result: ToolResult) -> Result<(), ReplayError> {
        let slot = self.slot_mut(result.call)?;
        if slot.edited {
            result.output.insert_str(0, &approval::edited(&slot.call.arguments));
        }
        slot.state = SlotState::Settled(result);
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

    /// Gives every call of an unfinished round its one result.
    pub(super) fn settle_rest(&mut self, id: BranchId) -> Result<(), ReplayError> {
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
}
