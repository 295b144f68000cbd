//! What runs wait for, and what people decide about it.

use boathouse_core::ids::RunId;
use boathouse_core::run::admit::Command;
use boathouse_core::run::approval::ApprovalDecision;

use crate::journal::{JournalError, OpenWait, RequestKey, WaitQuery};

use super::requests::Done;
use super::{CommandError, Engine};

impl Engine {
    /// What waits for a person, over all runs, oldest first.
    pub async fn waits(&self, query: &WaitQuery) -> Result<Vec<OpenWait>, JournalError> {
        self.journal().waits(query).await
    }

    /// Decides about calls that wait for it: all of it is taken, or nothing. What has been decided like this before
    /// stays so, and is no error.
    pub async fn decide(&self, run: &RunId, decisions: Vec<ApprovalDecision>) -> Result<(), CommandError> {
        self.command(run, Command::Decide { decisions }, None).await
    }

    /// [`Engine::decide`], at most once per key.
    pub async fn decide_once(
        &self,
        run: &RunId,
        decisions: Vec<ApprovalDecision>,
        key: RequestKey,
    ) -> Result<Done, CommandError> {
        self.command_once(run, Command::Decide { decisions }, key).await
    }
}
