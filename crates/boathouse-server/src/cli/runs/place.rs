//! Where runs are: at a server, or in a file that nobody serves.

use std::path::PathBuf;

use boathouse::core::ids::{RunId, ThreadId, WaitId};
use boathouse::core::run::event::{Answer, RunState};
use boathouse::core::run::fork::Edits;
use boathouse::engine::ForkPoint;
use boathouse::log_file::LogFile;
use boathouse_server::http::input;
use clap::Args;
use serde_json::Value;

use super::file::File;
use super::server::Server;
use crate::cli::exit::Failure;

#[derive(Args)]
pub(crate) struct PlaceArgs {
    /// The server that has the runs
    #[arg(long, env = "BOATHOUSE_SERVER", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// The journal file that has them, if no server has it open
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// With --journal: answer for every model of runs that go on here: `scripted`, or `PROVIDER/MODEL`
    #[arg(long, env = "BOATHOUSE_MODEL", value_name = "MODEL")]
    model: Option<String>,
}

/// Which runs to list.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) crew: Option<String>,
    pub(crate) state: Option<RunState>,
    pub(crate) thread: Option<String>,
    pub(crate) limit: usize,
}

/// Where runs are.
pub(crate) enum Place {
    Server(Box<Server>),
    File(File),
}

impl PlaceArgs {
    pub(crate) async fn open(&self) -> Result<Place, Failure> {
        match &self.journal {
            Some(file) => Ok(Place::File(File::open(file, self.model.as_deref()).await?)),
            None => Ok(Place::Server(Box::new(Server::new(&self.server)?))),
        }
    }
}

impl Place {
    /// Whether runs go on only as long as this process drives them.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self, Place::File(_))
    }

    /// Runs as the API lists them, and whether there are more.
    pub(crate) async fn list(&self, wanted: &Wanted) -> Result<(Vec<Value>, bool), Failure> {
        match self {
            Place::Server(server) => server.list(wanted).await,
            Place::File(file) => file.list(wanted).await,
        }
    }

    /// A run's log; the place is closed with it.
    pub(crate) async fn log(self, run: &str) -> Result<LogFile, Failure> {
        let id = run_id(run)?;
        let log = match &self {
            Place::Server(server) => server.log(&id).await,
            Place::File(file) => file.log(&id).await,
        };
        self.close().await;
        log
    }

    /// Cancels a run. With a file it is always waited for.
    pub(crate) async fn cancel(&self, run: &str, wait: bool) -> Result<Value, Failure> {
        let id = run_id(run)?;
        match self {
            Place::Server(server) => server.cancel(&id, wait).await,
            Place::File(file) => file.cancel(&id).await,
        }
    }

    pub(crate) async fn answer(
        &self,
        run: &str,
        wait: Option<WaitId>,
        answer: Answer,
    ) -> Result<Value, Failure> {
        let id = run_id(run)?;
        match self {
            Place::Server(server) => server.answer(&id, wait, &answer).await,
            Place::File(file) => file.answer(&id, wait, answer).await,
        }
    }

    /// Begins a new run from a step of another.
    pub(crate) async fn fork(&self, run: &str, from: ForkPoint, edits: Edits) -> Result<Value, Failure> {
        let id = run_id(run)?;
        match self {
            Place::Server(server) => server.fork(&id, from, &edits).await,
            Place::File(file) => file.fork(id, from, edits).await,
        }
    }

    /// Waits until a run has ended or waits for a person.
    pub(crate) async fn rested(&self, run: &str) -> Result<Value, Failure> {
        let id = run_id(run)?;
        match self {
            Place::Server(server) => server.rested(&id).await,
            Place::File(file) => file.rested(&id).await,
        }
    }

    pub(crate) async fn delete(&self, run: &str) -> Result<(), Failure> {
        let id = run_id(run)?;
        match self {
            Place::Server(server) => server.delete(&id).await,
            Place::File(file) => file.delete(&id).await,
        }
    }

    /// Lets go of the file.
    pub(crate) async fn close(self) {
        match self {
            Place::Server(_) => {}
            Place::File(file) => file.close().await,
        }
    }
}

impl Wanted {
    pub(crate) fn thread(&self) -> Option<ThreadId> {
        self.thread.as_deref().map(ThreadId::from)
    }
}

fn run_id(text: &str) -> Result<RunId, Failure> {
    match input::check_id("run", text) {
        Ok(()) => Ok(RunId::from(text)),
        Err(_) => Err(Failure::usage(format!("`{text}` is not the id of a run"))
            .hint("`boathouse runs list` shows the ids")),
    }
}
