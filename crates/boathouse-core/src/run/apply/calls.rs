//! What becomes of a call: another try, or its end.

use crate::crew::{Effect, OnUnknown};
use crate::ids::{BranchId, CallId};
use crate::message::{ResultStatus, ToolResult};
use crate::run::branch::{CallPlace, ModelCall, Slot, SlotState, Step};
use crate::run::event::{CallEnd, NextAttempt, ReceiptLine};
use crate::run::{Ending, Phase, ReplayError, Run};

use super::{CANCELLED, OUTCOME_UNKNOWN};

/// A call that is wanted or in flight.
pub(super) enum CallMut<'a> {
    Model(&'a mut ModelCall),
    Tool(&'a mut Slot),
}

impl Run {
    pub(super) fn fail_attempt(
        &mut self,
        call: CallId,
        error: &str,
        next: NextAttempt,
    ) -> Result<(), ReplayError> {
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

    /// A call ended without a result of its own.
    pub(super) fn stop_call(&mut self, call: CallId, end: CallEnd) -> Result<(), ReplayError> {
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

    /// Takes a call off the open ones; its end goes into the receipt if the run is being cancelled.
    pub(super) fn close(&mut self, call: CallId, end: CallEnd) -> Option<BranchId> {
        let branch = self.open.remove(&call)?;
        if matches!(self.phase, Phase::Ending(Ending::Cancelled(_)))
            && let Some(place) = self.find_call(call)
        {
            let tool = match place {
                CallPlace::Model(..) => None,
                CallPlace::Tool(_, slot) => Some(slot.call.tool.clone()),
            };
            let agent = self.agent_id(place.branch().agent);
            self.receipt.push(ReceiptLine { call, agent, tool, end });
        }
        Some(branch)
    }

    pub(super) fn call_mut(&mut self, call: CallId) -> Result<CallMut<'_>, ReplayError> {
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

    pub(super) fn slot_mut(&mut self, call: CallId) -> Result<&mut Slot, ReplayError> {
        let seq = self.seq;
        match self.call_mut(call)? {
            CallMut::Tool(slot) => Ok(slot),
            CallMut::Model(_) => {
                Err(ReplayError::Misfit { seq, why: format!("call {call} is not a tool call") })
            }
        }
    }
}
