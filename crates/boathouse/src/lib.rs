//! Does: runs crews of LLM agents declared in YAML.
//!
//! A [crew](boathouse_core::crew::Crew) is read from a folder ([`crew_dir`]), an [`Engine`](engine::Engine) runs it, and
//! a [`Watch`](feed::Watch) shows a run while it happens. Every run is a log in a [journal](journal::Journal); what comes
//! next is decided from that log alone, by [`boathouse_core`]. So a run can be cancelled, paused, answered, watched by
//! many, and taken up again after a crash.
//!
//! ```no_run
//! use boathouse::prelude::*;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let builder = Engine::builder().providers(Providers::from_env()).tools(Tools::builtin());
//! let crew = crew_dir::load("examples/it-support".as_ref(), &builder.catalog())?;
//! let engine = builder.crew(crew).start().await?;
//! let run = StartRun { crew: "it-support".into(), input: "My computer is slow".into(), ..StartRun::default() };
//! let run = engine.start(run).await?;
//! println!("{:?}", engine.wait(&run).await?.outcome);
//! engine.shutdown(std::time::Duration::from_secs(10)).await;
//! # Ok(())
//! # }
//! ```
//!
//! The library installs no log subscriber and no signal handler, reads no environment unless asked
//! ([`Providers::from_env`](provider::Providers::from_env)), and runs in the caller's Tokio runtime. The journal in a
//! SQLite file is the feature `sqlite`, on by default.

mod clock;
#[cfg(feature = "crash-points")]
pub mod crash;
pub mod crew_dir;
pub mod crew_test;
mod driver;
pub mod engine;
pub mod feed;
pub mod http;
pub mod journal;
pub mod log_file;
pub mod provider;
pub mod schema;
pub mod settings;
mod sync;
pub mod tool;
pub mod webhook;

pub use boathouse_core as core;

/// What most programs need.
pub mod prelude {
    pub use crate::crew_dir;
    pub use crate::engine::{Engine, RunView, StartRun};
    pub use crate::feed::{Item, Watch};
    pub use crate::journal::memory::MemoryJournal;
    #[cfg(feature = "sqlite")]
    pub use crate::journal::sqlite::SqliteJournal;
    pub use crate::provider::Providers;
    pub use crate::tool::{Tools, function};
}
