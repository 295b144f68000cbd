//! What goes into the history of a branch, and what no longer goes into prompts.

use std::sync::Arc;

use crate::ids::BranchId;
use crate::message::{Author, Message};
use crate::run::branch::Step;
use crate::run::event::Pinned;
use crate::run::{ReplayError, Run};

impl Run {
    /// Gives the main branch what the run begins with: what it pins of its thread, the history of its request, its input.
    pub(in crate::run) fn pin(&mut self, pinned: Option<&Pinned>) -> Result<(), ReplayError> {
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

    /// Puts the reply that ends a turn into the history. A reply that opened a round is there already.
    pub(super) fn end_reply(&mut self, id: BranchId) -> Result<(), ReplayError> {
        let crew = self.crew.clone();
        let branch = self.branch_mut(id)?;
        if let Step::Replied { reply } = &branch.step {
            let author = Author::Agent(Some(crew.agent(branch.agent).id.clone()));
            let message = Message::text(author, reply.text.clone());
            branch.say(message);
        }
        Ok(())
    }

    pub(super) fn trim(&mut self, id: BranchId, dropped: usize) -> Result<(), ReplayError> {
        self.check_trim(id, dropped)?;
        self.branch_mut(id)?.trim(dropped);
        Ok(())
    }

    /// Messages may go out of prompts, but none that there are not, and no call without its results.
    pub(super) fn check_trim(&mut self, id: BranchId, dropped: usize) -> Result<(), ReplayError> {
        let seq = self.seq;
        let branch = self.branch_mut(id)?;
        let parted = branch.history.get(dropped).is_some_and(|message| !message.results.is_empty());
        if parted || dropped > branch.history.len() {
            let why = format!("the history of branch {id} cannot be trimmed before message {dropped}");
            return Err(ReplayError::Misfit { seq, why });
        }
        Ok(())
    }
}
