//! A branch: one line of work in a run. A run has its main branch, and one for each agent of a parallel group.

use std::ops::Range;
use std::sync::Arc;

use crate::crew::{AgentIx, GroupIx, Settings, ToolIx};
use crate::ids::{BranchId, CallId, Timestamp, WaitId};
use crate::message::{Author, Message, Reply, ToolCall, ToolResult};

use super::event::{BranchEnd, CallEnd, ClosingReason, Target};

/// One line of work.
#[derive(Clone, Debug)]
pub struct Branch {
    /// Its id.
    pub id: BranchId,
    /// The branch that waits for its group; `None` for the main one.
    pub parent: Option<BranchId>,
    /// Whose turn it is.
    pub agent: AgentIx,
    /// What was said, as far as this branch knows. Sharing is O(1); a push copies nothing.
    pub history: rpds::VectorSync<Arc<Message>>,
    /// The place in `history` of the message that this line of work was given.
    pub input_at: usize,
    /// Messages before this place no longer go into prompts, but for those in `kept`.
    pub trimmed: usize,
    /// Places before `trimmed` that stay in prompts: the first user message, the input, and system messages.
    pub kept: Vec<usize>,
    /// What stands in prompts for the messages before `trimmed`.
    pub summary: Option<Arc<str>>,
    /// Rounds of the current turn.
    pub rounds: u32,
    /// What it is doing.
    pub step: Step,
    /// The last reply's text.
    pub last_reply: String,
    /// Replies of each agent so far, by the agent's position in the crew.
    pub replies: Vec<u32>,
    /// Results of all its tool calls, with the tool's name: for the aggregate.
    pub tool_log: Vec<(String, ToolResult)>,
}

/// What a branch is doing.
#[derive(Clone, Debug)]
pub enum Step {
    /// It wants a reply, or one is in flight.
    Calling(ModelCall),
    /// Its history has outgrown its prompts, and the oldest messages are summarised before its next call.
    Summarizing(Summarizing),
    /// It has one, and what it means has not been decided.
    Replied {
        /// The reply.
        reply: Arc<Reply>,
    },
    /// Tool calls are being made.
    Round(Round),
    /// The round is over and one of its calls was a transfer.
    Transfer(Target),
    /// It waits for its parallel group.
    Group(GroupStep),
    /// Its parallel group is over.
    Joined {
        /// Which.
        group: GroupIx,
        /// How many branches completed.
        completed: u32,
        /// Why it closed early, if it did.
        closing: Option<ClosingReason>,
        /// The first failure, for people.
        first_failure: Option<String>,
        /// The aggregate.
        output: String,
    },
    /// It waits for a person's answer.
    Waiting(WaitId),
    /// It cannot go on.
    Failed {
        /// A stable word for why.
        code: &'static str,
        /// What happened.
        error: String,
    },
    /// A limit stopped it.
    Limited(String),
    /// It has ended.
    Ended(BranchEnd),
}

/// A model call that is wanted or in flight.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelCall {
    /// Its id.
    pub call: CallId,
    /// The try that is next or in flight, from 1.
    pub attempt: u32,
    /// Tries on the current model before this one.
    pub tries_on_model: u32,
    /// Which of the agent's models.
    pub model: usize,
    /// Whether the try is in flight.
    pub started: bool,
    /// The try may not start before.
    pub not_before: Option<Timestamp>,
}

/// A model call whose reply is to stand for the oldest messages in prompts.
#[derive(Clone, Debug)]
pub struct Summarizing {
    /// The call.
    pub call: ModelCall,
    /// The place of the first message that stays in prompts as it is.
    pub to: usize,
    /// The call that waits for it.
    pub then: ModelCall,
    /// The summary, or why there is none, once the call has ended.
    pub gave: Option<Result<Arc<str>, String>>,
}

/// The tool calls of one reply.
#[derive(Clone, Debug)]
pub struct Round {
    /// In the order of the reply.
    pub slots: Vec<Slot>,
    /// The route to take afterwards.
    pub transfer: Option<Target>,
    /// The limit that forbade it.
    pub limit: Option<String>,
}

/// One tool call of a round.
#[derive(Clone, Debug)]
pub struct Slot {
    /// The call.
    pub call: ToolCall,
    /// The tool; `None` where the call was settled without one.
    pub tool: Option<ToolIx>,
    /// A person has put other arguments in the place of the agent's.
    pub edited: bool,
    /// Where it stands.
    pub state: SlotState,
}

/// Where a tool call stands.
#[derive(Clone, Debug, PartialEq)]
pub enum SlotState {
    /// It needs a person's approval, and nobody was asked yet.
    Unapproved,
    /// A person was asked whether it may be made.
    Proposed {
        /// The wait.
        wait: WaitId,
    },
    /// A person, or the time, has decided that it is not made: this is its result, which is yet to be recorded.
    Decided(ToolResult),
    /// It is to be made.
    Wanted {
        /// The try that is next, from 1.
        attempt: u32,
    },
    /// It is in flight.
    InFlight {
        /// The try.
        attempt: u32,
    },
    /// It ended, and nobody knows how. Only `once` calls get here.
    Unknown {
        /// The last try.
        attempt: u32,
        /// What is known.
        end: CallEnd,
    },
    /// A person was asked what became of it.
    Asked {
        /// The last try.
        attempt: u32,
        /// The wait.
        wait: WaitId,
    },
    /// It has its one result.
    Settled(ToolResult),
}

/// A parallel group at work.
#[derive(Clone, Debug)]
pub struct GroupStep {
    /// Which.
    pub group: GroupIx,
    /// Its branches, as a range of the run's.
    pub children: Range<usize>,
    /// Milliseconds of active time so far.
    pub active_ms: u64,
    /// Why it is closing, if it is.
    pub closing: Option<ClosingReason>,
}

/// Where a call stands in its branch.
#[derive(Clone, Copy, Debug)]
pub enum CallPlace<'a> {
    /// A model call.
    Model(&'a Branch, &'a ModelCall),
    /// A tool call.
    Tool(&'a Branch, &'a Slot),
}

impl<'a> CallPlace<'a> {
    /// Its branch.
    pub fn branch(&self) -> &'a Branch {
        match self {
            CallPlace::Model(branch, _) | CallPlace::Tool(branch, _) => branch,
        }
    }
}

impl Branch {
    pub(super) fn new(
        id: BranchId,
        parent: Option<BranchId>,
        agent: AgentIx,
        history: rpds::VectorSync<Arc<Message>>,
        call: CallId,
    ) -> Branch {
        Branch {
            id,
            parent,
            agent,
            input_at: history.len().saturating_sub(1),
            history,
            trimmed: 0,
            kept: Vec::new(),
            summary: None,
            rounds: 0,
            step: Step::Calling(ModelCall::new(call)),
            last_reply: String::new(),
            replies: Vec::new(),
            tool_log: Vec::new(),
        }
    }

    /// How it ended, if it has.
    pub fn end(&self) -> Option<&BranchEnd> {
        match &self.step {
            Step::Ended(end) => Some(end),
            _ => None,
        }
    }

    /// Replies of an agent so far.
    pub fn replies_of(&self, agent: AgentIx) -> u32 {
        self.replies.get(agent.0).copied().unwrap_or(0)
    }

    /// Finds a call that this branch wants or has in flight.
    pub fn find_call(&self, call: CallId) -> Option<CallPlace<'_>> {
        match &self.step {
            Step::Calling(model) if model.call == call => Some(CallPlace::Model(self, model)),
            Step::Summarizing(summary) if summary.call.call == call => {
                Some(CallPlace::Model(self, &summary.call))
            }
            Step::Round(round) => {
                round.slots.iter().find(|slot| slot.call.call == call).map(|slot| CallPlace::Tool(self, slot))
            }
            _ => None,
        }
    }

    /// Whether it does something other than wait for a person, for its group, or for nothing any more.
    pub(super) fn is_busy(&self) -> bool {
        match &self.step {
            Step::Calling(_)
            | Step::Summarizing(_)
            | Step::Replied { .. }
            | Step::Transfer(_)
            | Step::Joined { .. }
            | Step::Failed { .. }
            | Step::Limited(_) => true,
            Step::Round(round) => round.slots.iter().any(|slot| {
                matches!(
                    slot.state,
                    SlotState::Unapproved
                        | SlotState::Decided(_)
                        | SlotState::Wanted { .. }
                        | SlotState::InFlight { .. }
                        | SlotState::Unknown { .. }
                )
            }),
            Step::Group(_) | Step::Waiting(_) | Step::Ended(_) => false,
        }
    }

    pub(super) fn say(&mut self, message: Message) {
        self.history.push_back_mut(Arc::new(message));
    }

    pub(super) fn count_reply(&mut self) {
        let place = self.agent.0;
        if self.replies.len() <= place {
            self.replies.resize(place + 1, 0);
        }
        self.replies[place] += 1;
    }

    /// The places of messages that go into prompts, in order.
    pub fn visible(&self) -> impl Iterator<Item = usize> + '_ {
        self.kept.iter().copied().chain(self.trimmed..self.history.len())
    }

    /// Takes messages before a place out of prompts. Each message is looked at once in the life of a run.
    pub(super) fn trim(&mut self, to: usize) {
        let mut has_user = self.kept.iter().any(|at| self.history[*at].from == Author::User);
        for at in self.trimmed..to.min(self.history.len()) {
            let keep = match self.history[at].from {
                Author::User => at == self.input_at || !std::mem::replace(&mut has_user, true),
                Author::System => true,
                Author::Agent(_) | Author::Group(_) => at == self.input_at,
            };
            if keep {
                self.kept.push(at);
            }
        }
        self.trimmed = self.trimmed.max(to);
    }

    /// Where prompts should begin, if the history has outgrown them; `None` if nothing has to go.
    ///
    /// Without summaries just so much goes that the rest fits. With them half of what fits stays, so that a summary
    /// serves for a while. A message of results keeps the message that asked for them.
    pub(super) fn outgrown(&self, settings: &Settings) -> Option<usize> {
        let by_count = settings.keep_recent.and_then(|keep| {
            let stay = if settings.summarize { keep / 2 } else { keep };
            (self.history.len() - self.trimmed > keep).then(|| self.history.len() - stay.max(1))
        });
        let by_size = settings.context_window.and_then(|window| self.start_by_size(window, settings));
        let mut from = by_count.max(by_size)?;
        if !self.history[from].results.is_empty() {
            from -= 1;
        }
        (from > self.trimmed).then_some(from)
    }

    /// Where prompts should begin so that the history takes no more than its part of the window, about; `None` if it
    /// fits. The last message always stays.
    fn start_by_size(&self, window: usize, settings: &Settings) -> Option<usize> {
        let tokens = |at: usize| self.history[at].estimated_tokens();
        let summary = self.summary.as_deref().map_or(0, |text| crate::message::estimate_tokens(text.len()));
        let kept = self.kept.iter().copied().map(tokens).sum::<usize>() + summary;
        if kept + (self.trimmed..self.history.len()).map(tokens).sum::<usize>() <= window {
            return None;
        }
        let percent = settings.context_trim_percent.min(100) as usize;
        let last = self.history.len().saturating_sub(1);
        let mut left = (window - window * percent / 100).saturating_sub(kept + tokens(last));
        let stays = (self.trimmed..last).rev().take_while(|at| {
            let tokens = tokens(*at);
            let fits = tokens <= left;
            left = left.saturating_sub(tokens);
            fits
        });
        Some(last - stays.count())
    }
}

impl ModelCall {
    pub(super) fn new(call: CallId) -> ModelCall {
        ModelCall { call, attempt: 1, tries_on_model: 0, model: 0, started: false, not_before: None }
    }
}

impl Round {
    /// The results in the order of the calls, once each call has one.
    pub(super) fn results(&self) -> Option<Vec<ToolResult>> {
        self.slots
            .iter()
            .map(|slot| match &slot.state {
                SlotState::Settled(result) => Some(result.clone()),
                _ => None,
            })
            .collect()
    }
}
