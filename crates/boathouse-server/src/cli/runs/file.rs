//! Runs in a file that no server has open. What goes on with them goes on in this process; other runs in the file stay
//! as they are.

use std::path::Path;
use std::time::Duration;

use boathouse::core::ids::{RunId, WaitId};
use boathouse::core::run::approval::ApprovalDecision;
use boathouse::core::run::event::{Answer, CancelReason};
use boathouse::core::run::fork::Edits;
use boathouse::engine::{CommandError, Engine, ForkError, ForkPoint, ForkRun, RunView};
use boathouse::journal::{JournalError, RunQuery};
use boathouse::log_file::LogFile;
use boathouse_server::http::{row_json, run_json};
use serde_json::Value;

use super::place::Wanted;
use super::server::{no_approval, several_approvals};
use crate::cli::exit::Failure;
use crate::cli::setup::Parts;
use crate::cli::who;

/// How long what is left may take to stop when the command ends.
const GRACE: Duration = Duration::from_secs(5);

/// An open file.
pub(crate) struct File {
    engine: Engine,
}

impl File {
    pub(crate) async fn open(file: &Path, model: Option<&str>) -> Result<File, Failure> {
        if !file.is_file() {
            return Err(Failure::new(format!("there is no journal {}", file.display()))
                .hint("name the file that `boathouse serve` or `boathouse run --journal` has written"));
        }
        Ok(File { engine: Parts::new(model)?.open(file).await? })
    }

    pub(crate) async fn list(&self, wanted: &Wanted) -> Result<(Vec<Value>, bool), Failure> {
        let query = RunQuery {
            crew: wanted.crew.clone(),
            state: wanted.state,
            thread: wanted.thread(),
            before: None,
            // One more, to know whether there are more.
            limit: wanted.limit + 1,
        };
        let mut rows = self.engine.runs(&query).await.map_err(Failure::new)?;
        let more = rows.len() > wanted.limit;
        rows.truncate(wanted.limit);
        Ok((rows.iter().map(row_json).collect(), more))
    }

    pub(crate) async fn log(&self, run: &RunId) -> Result<LogFile, Failure> {
        let log = LogFile::read(&**self.engine.journal(), run).await.map_err(Failure::new)?;
        log.ok_or_else(|| unknown(run))
    }

    pub(crate) async fn cancel(&self, run: &RunId) -> Result<Value, Failure> {
        let view = self.engine.cancel(run, CancelReason::Requested, true).await.map_err(not_done)?;
        to_json(&view)
    }

    pub(crate) async fn answer(
        &self,
        run: &RunId,
        wait: Option<WaitId>,
        answer: Answer,
    ) -> Result<Value, Failure> {
        if let Answer::Text { .. } = answer {
            self.engine.answer(run, wait, answer).await.map_err(not_done)?;
            return self.show(run).await;
        }
        let wait = match wait {
            Some(wait) => wait,
            None => self.only_approval(run).await?,
        };
        let decision = ApprovalDecision { wait, answer, digest: None, by: who::is_it() };
        self.engine.decide(run, vec![decision]).await.map_err(not_done)?;
        self.show(run).await
    }

    /// The approval that is meant where none is named.
    async fn only_approval(&self, run: &RunId) -> Result<WaitId, Failure> {
        let view = self.engine.run(run).await.map_err(Failure::new)?.ok_or_else(|| unknown(run))?;
        let mut calls = view.waits.iter().filter(|wait| wait.what.tool().is_some());
        match (calls.next(), calls.next()) {
            (None, _) => Err(no_approval(run)),
            (Some(only), None) => Ok(only.wait),
            (Some(_), Some(_)) => Err(several_approvals(run)),
        }
    }

    pub(crate) async fn fork(&self, run: RunId, from: ForkPoint, edits: Edits) -> Result<Value, Failure> {
        let forked = self.engine.fork(ForkRun { run, from, edits }).await;
        let id = forked.map_err(|error| match error {
            ForkError::UnknownRun(run) => unknown(&run),
            other => Failure::new(other),
        })?;
        self.show(&id).await
    }

    pub(crate) async fn rested(&self, run: &RunId) -> Result<Value, Failure> {
        to_json(&self.engine.wait(run).await.map_err(not_done)?)
    }

    pub(crate) async fn delete(&self, run: &RunId) -> Result<(), Failure> {
        self.engine.delete(run).await.map_err(not_done)
    }

    /// Runs that have not come to rest go on at the next start.
    pub(crate) async fn close(self) {
        self.engine.shutdown(GRACE).await;
    }

    async fn show(&self, run: &RunId) -> Result<Value, Failure> {
        let view = self.engine.run(run).await.map_err(Failure::new)?;
        to_json(&view.ok_or_else(|| unknown(run))?)
    }
}

fn to_json(view: &RunView) -> Result<Value, Failure> {
    serde_json::to_value(run_json(view)).map_err(Failure::new)
}

fn unknown(run: &RunId) -> Failure {
    Failure::new(format!("no run {run} in this file"))
        .hint("`boathouse runs list --journal FILE` shows the runs")
}

fn not_done(error: CommandError) -> Failure {
    match error {
        CommandError::UnknownRun(run) | CommandError::Journal(JournalError::UnknownRun(run)) => unknown(&run),
        other => Failure::new(other),
    }
}
