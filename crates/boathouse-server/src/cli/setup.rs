//! The engine as the command line wants it: all built-in tools and providers, one journal.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use boathouse::core::crew::check::Catalog;
use boathouse::crew_dir::Loaded;
use boathouse::engine::{Engine, Recovery, StartError};
use boathouse::journal::sqlite::SqliteJournal;
use boathouse::journal::{Journal, JournalError, Retention};
use boathouse::provider::Providers;
use boathouse::tool::Tools;
use boathouse::webhook::Webhooks;

use super::exit::Failure;
use super::paint;

/// Where runs are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JournalChoice {
    /// Nowhere: they end with the process.
    Memory,
    /// In an SQLite file.
    File(PathBuf),
}

impl FromStr for JournalChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<JournalChoice, String> {
        match text {
            "" => Err("write `memory`, or the name of a file".to_owned()),
            "memory" => Ok(JournalChoice::Memory),
            _ if text.contains("://") => {
                Err("write `memory`, or the name of an SQLite file; no other database is supported"
                    .to_owned())
            }
            file => Ok(JournalChoice::File(file.into())),
        }
    }
}

/// How runs are kept in a file.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keeping {
    /// The lease, if other processes serve the same file.
    pub(crate) shared: Option<Duration>,
    /// Which ended runs are kept; `None` keeps all.
    pub(crate) retention: Option<Retention>,
    /// Runs that may be at work, and that may wait, if not as many as the engine lets by itself.
    pub(crate) max_active: Option<usize>,
    pub(crate) max_queued: Option<usize>,
}

/// What crews are checked against and engines are made of.
pub(crate) struct Parts {
    providers: Providers,
    tools: Tools,
    webhooks: Option<Webhooks>,
}

impl Parts {
    /// Everything that this program has. `model`, if given, answers for every model of every crew.
    pub(crate) fn new(model: Option<&str>) -> Result<Parts, Failure> {
        let providers = Providers::from_env();
        if let Some(model) = model {
            providers.replace_all_with(model).map_err(|error| {
                Failure::usage(format!("--model {model}: {error}"))
                    .hint("write `scripted`, or a provider and a model, such as `openai/gpt-4o-mini`")
            })?;
        }
        Ok(Parts { providers, tools: Tools::builtin(), webhooks: None })
    }

    /// The same, with webhooks.
    pub(crate) fn webhooks(self, webhooks: Option<Webhooks>) -> Parts {
        Parts { webhooks, ..self }
    }

    /// What crews may name.
    pub(crate) fn catalog(&self) -> Catalog {
        Catalog { tools: self.tools.specs(), providers: self.providers.names() }
    }

    /// An engine on a file that exists, which goes on only with runs that it is told to, and forgets none by itself.
    pub(crate) async fn open(self, file: &Path) -> Result<Engine, Failure> {
        let journal = SqliteJournal::open(file).await.map_err(cannot_open)?;
        let builder = Engine::builder().providers(self.providers).tools(self.tools).journal(journal);
        builder.retention(None).recovery(Recovery::WhenAsked).start().await.map_err(cannot_open)
    }

    /// An engine that serves the crews. Runs that a crash or a stop interrupted go on, which is told.
    pub(crate) async fn start(
        self,
        choice: &JournalChoice,
        keeping: Keeping,
        crews: Vec<Loaded>,
    ) -> Result<Engine, Failure> {
        let mut builder =
            Engine::builder().providers(self.providers).tools(self.tools).retention(keeping.retention);
        if let Some(most) = keeping.max_active {
            builder = builder.max_active_runs(most);
        }
        if let Some(most) = keeping.max_queued {
            builder = builder.max_queued_runs(most);
        }
        if let Some(webhooks) = self.webhooks {
            builder = builder.webhooks(webhooks);
        }
        if let JournalChoice::File(file) = choice {
            let journal = match keeping.shared {
                None => SqliteJournal::open(file).await,
                Some(lease) => SqliteJournal::open_shared(file, lease).await,
            };
            let journal = journal.map_err(cannot_keep)?;
            let recovered = journal.unfinished().await.map_err(cannot_keep)?;
            match recovered.len() {
                0 => {}
                1 => paint::note(format!("one interrupted run goes on: {}", recovered[0])),
                many => paint::note(format!("{many} interrupted runs go on")),
            }
            builder = builder.journal(journal);
        }
        for crew in crews {
            builder = builder.crew(crew);
        }
        builder.start().await.map_err(cannot_keep)
    }
}

/// A journal file that cannot be opened.
fn cannot_open(error: JournalError) -> Failure {
    Failure::new(error).hint("leave --journal out to ask the server that has it open, at --server URL")
}

fn cannot_keep(error: JournalError) -> Failure {
    Failure::new(error).hint("`--journal FILE` names another file, `--journal memory` keeps nothing")
}

/// A run that could not be started.
pub(crate) fn cannot_start(error: StartError) -> Failure {
    match error {
        StartError::UnknownCrew { .. }
        | StartError::UnknownAgent { .. }
        | StartError::EmptyInput
        | StartError::OtherCrew { .. }
        | StartError::HistoryOnThread(_) => Failure::usage(error),
        StartError::ThreadBusy { .. } => Failure::new(error)
            .hint("`boathouse serve` its file to answer or cancel that run, or choose another thread"),
        StartError::ThreadQueueFull(_)
        | StartError::TooManyRuns(_)
        | StartError::ShuttingDown
        | StartError::Request(_)
        | StartError::Journal(_) => Failure::new(error),
    }
}
