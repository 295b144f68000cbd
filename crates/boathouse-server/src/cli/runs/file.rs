//! Runs in a file that no server has open. What goes on with them goes on in this process; other runs in the file stay
//! as they are.

use std::path::Path;
use std::time::Duration;

use boathouse::core::ids::{RunId, WaitId};
use boathouse::core::run::event::{Answer, CancelReason};
use boathouse::core::run::fork::Edits;
use boathouse::engine::{CommandError, Engine, ForkError, ForkPoint, ForkRun, RunView};
use boathouse::journal::{JournalError, RunQuery};
use boathouse::log_file::LogFile;
use boathouse_server::http::{row_json, run_json};
use serde_json::Value;

use super::place::Wanted;
use crate::cli::exit::Failure;
use crate::cli::setup::Parts;

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
        self.engine.answer(run, wait, answer).await.map_err(not_done)?;
        self.show(run).await
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
