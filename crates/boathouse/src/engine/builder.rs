//! What an engine is made of.

use std::sync::Arc;
use std::time::Duration;

use boathouse_core::crew::Crew;
use boathouse_core::crew::check::Catalog;

use crate::crew_dir::Loaded;
use crate::journal::memory::MemoryJournal;
use crate::journal::{Journal, JournalError, Retention};
use crate::provider::Providers;
use crate::tool::Tools;
use crate::webhook::Webhooks;

use super::shared::Recover;
use super::{Engine, Inner, Shared};

/// Puts an engine together. See [`Engine::builder`].
pub struct EngineBuilder {
    journal: Option<Arc<dyn Journal>>,
    providers: Providers,
    tools: Tools,
    crews: Vec<Loaded>,
    cancel_grace: Duration,
    disconnect_grace: Duration,
    retention: Option<Retention>,
    recovery: Recovery,
    max_active_runs: usize,
    max_queued_runs: usize,
    webhooks: Option<Webhooks>,
}

/// Which runs of the journal go on that nobody drives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recovery {
    /// All that are not at rest, by themselves.
    #[default]
    ByItself,
    /// Those that are told something.
    WhenAsked,
}

impl EngineBuilder {
    pub(super) fn new() -> EngineBuilder {
        EngineBuilder {
            journal: None,
            providers: Providers::new(),
            tools: Tools::new(),
            crews: Vec::new(),
            cancel_grace: Duration::from_secs(5),
            disconnect_grace: Duration::from_secs(5),
            retention: Some(Retention::default()),
            recovery: Recovery::default(),
            max_active_runs: 10_000,
            max_queued_runs: 100_000,
            webhooks: None,
        }
    }

    /// Where events are kept. Without one they are kept in memory.
    pub fn journal(mut self, journal: impl Journal) -> EngineBuilder {
        self.journal = Some(Arc::new(journal));
        self
    }

    /// Who answers model calls. Without any, only crews without a model call can run.
    pub fn providers(mut self, providers: Providers) -> EngineBuilder {
        self.providers = providers;
        self
    }

    /// What agents can call, beside the tools that their crews define.
    pub fn tools(mut self, tools: Tools) -> EngineBuilder {
        self.tools = tools;
        self
    }

    /// What the engine will offer to crews: its tools and providers, to check crews against.
    pub fn catalog(&self) -> Catalog {
        Catalog { tools: self.tools.specs(), providers: self.providers.names() }
    }

    /// Serves a crew from the start.
    pub fn crew(mut self, crew: impl Into<Loaded>) -> EngineBuilder {
        self.crews.push(crew.into());
        self
    }

    /// How long a call may take to stop once it was told to. Default 5 s.
    pub fn cancel_grace(mut self, grace: Duration) -> EngineBuilder {
        self.cancel_grace = grace;
        self
    }

    /// How long a run that is cancelled on disconnect waits for another reader. Default 5 s.
    pub fn disconnect_grace(mut self, grace: Duration) -> EngineBuilder {
        self.disconnect_grace = grace;
        self
    }

    /// Which ended runs a durable journal keeps; `None` keeps all of them. Default: [`Retention::default`].
    pub fn retention(mut self, retention: Option<Retention>) -> EngineBuilder {
        self.retention = retention;
        self
    }

    /// Which runs go on that a crash or a stop has interrupted. Default: all of them.
    pub fn recovery(mut self, recovery: Recovery) -> EngineBuilder {
        self.recovery = recovery;
        self
    }

    /// How many runs may be at work at once; those beyond wait in the journal, first in, first out. Runs that are paused
    /// are not at work, and are not held up when they go on. Default 10,000; at least 1.
    pub fn max_active_runs(mut self, most: usize) -> EngineBuilder {
        self.max_active_runs = most.max(1);
        self
    }

    /// How many runs may wait to begin, for room and on threads; those beyond are refused. Default 100,000.
    pub fn max_queued_runs(mut self, most: usize) -> EngineBuilder {
        self.max_queued_runs = most;
        self
    }

    /// Who is told when a run waits for a person, and when it ends. Nobody, if nothing is said.
    pub fn webhooks(mut self, webhooks: Webhooks) -> EngineBuilder {
        self.webhooks = Some(webhooks);
        self
    }

    /// Makes the engine, in the caller's runtime. Runs in the journal that were not at rest go on, unless
    /// [`EngineBuilder::recovery`] says otherwise.
    pub async fn start(self) -> Result<Engine, JournalError> {
        let journal = self.journal.unwrap_or_else(|| Arc::new(MemoryJournal::new()));
        let shared = Shared::new(
            journal,
            self.providers,
            self.tools.apart(),
            self.cancel_grace,
            self.disconnect_grace,
            (self.max_active_runs, self.max_queued_runs),
            self.webhooks,
        );
        let engine = Engine { inner: Arc::new(Inner { shared: Arc::new(shared) }) };
        for crew in self.crews {
            engine.add_crew(crew).await?;
        }
        if self.recovery == Recovery::ByItself {
            for run in engine.shared().journal.unfinished().await? {
                engine.shared().recover(run, Recover::First);
            }
            engine.shared().look_at_queue().await;
        }
        engine.shared().keep(self.retention, self.recovery);
        Ok(engine)
    }
}

impl From<Crew> for Loaded {
    fn from(crew: Crew) -> Loaded {
        Loaded { crew, dir: None, warnings: Vec::new() }
    }
}
